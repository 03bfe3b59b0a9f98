package cloud

import (
	"net/http"
	"slices"
)

// userJSON is a user as the v2 API shows it. What was not expanded is absent.
type userJSON struct {
	AccountID        string           `json:"accountId"`
	AccountType      string           `json:"accountType"`
	AccountStatus    string           `json:"accountStatus"`
	Status           string           `json:"status"`
	MembershipStatus string           `json:"membershipStatus"`
	ClaimStatus      string           `json:"claimStatus"`
	ManagementSource string           `json:"managementSource"`
	Name             string           `json:"name"`
	Nickname         string           `json:"nickname"`
	Email            string           `json:"email"`
	EmailVerified    bool             `json:"emailVerified"`
	MFAEnabled       bool             `json:"mfaEnabled"`
	AddedToOrg       string           `json:"addedToOrg"`
	DeactivatedOn    string           `json:"deactivatedOn,omitempty"` // only in users/{id}
	JobTitle         string           `json:"jobTitle,omitempty"`
	Department       string           `json:"department,omitempty"`
	Organization     string           `json:"organization,omitempty"`
	Location         string           `json:"location,omitempty"`
	Picture          string           `json:"picture"`
	PlatformRoles    *[]string        `json:"platformRoles,omitempty"`
	Counts           *userCounts      `json:"counts,omitempty"`
	ProductAccess    *[]appAccess     `json:"productAccess,omitempty"`
	Groups           *[]userGroupJSON `json:"groups,omitempty"`
}

type userCounts struct {
	Resources int `json:"resources"`
}

type appAccess struct {
	ID         string `json:"id"`
	Key        string `json:"key"`
	LastActive string `json:"lastActiveTimestamp,omitempty"` // absent: never active, or left out by the settings
}

type userGroupJSON struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

const picture = "https://secure.gravatar.com/avatar/default"

func (c *Cloud) userJSON(u *user, v view, expand []string) *userJSON {
	out := &userJSON{AccountID: u.id, AccountType: "atlassian", AccountStatus: u.accountStatus(), Status: v.status(u),
		MembershipStatus: v.membershipStatus(u),
		ClaimStatus:      u.claimStatus(), ManagementSource: "invited", Name: u.name, Nickname: u.nickname,
		Email:         u.email,
		EmailVerified: !u.unverified, MFAEnabled: u.mfa(),
		AddedToOrg: timestamp(u.added), JobTitle: u.title, Department: u.department, Organization: u.organization,
		Location: u.location, Picture: picture}
	if u.synced() {
		out.ManagementSource = "synced"
	}
	if u.app && c.settings.AppAccounts {
		out.AccountType = "app"
	}
	for _, what := range expand {
		switch what {
		case "platformRoles":
			roles := v.platformRoles(u)
			out.PlatformRoles = &roles
		case "counts.resources":
			out.Counts = &userCounts{Resources: len(v.appsOf(u))}
		case "productAccess":
			access := []appAccess{}
			for _, r := range v.appsOf(u) {
				one := appAccess{ID: r.ari, Key: r.activity}
				if at, ever := c.lastActive(u, r); ever && !c.leavesOut(u, r) {
					one.LastActive = timestamp(at)
				}
				access = append(access, one)
			}
			out.ProductAccess = &access
		case "groups":
			groups := []userGroupJSON{}
			for _, g := range v.groupsOf(u) {
				if v.shows(g) {
					groups = append(groups, userGroupJSON{ID: c.groupRef(g), Name: g.name, Description: g.description})
				}
			}
			out.Groups = &groups
		}
	}
	return out
}

// groupRef returns a user's reference to a group: in the vendor's example an ARI, not the bare ID.
func (c *Cloud) groupRef(g *group) string {
	if c.settings.PlainGroupIDs {
		return g.id
	}
	return groupARI + g.id
}

func (u *user) claimStatus() string {
	if u.managed {
		return "managed"
	}
	return "unmanaged"
}

// leavesOut reports whether the expanded read lacks the date of the app although there is one.
func (c *Cloud) leavesOut(u *user, r *resource) bool {
	return c.settings.ActivityGaps > 0 && c.chance(1000, "gap", u.id, r.ari) < uint64(c.settings.ActivityGaps*1000)
}

// mfa is known for managed accounts only; by default one in eight of them lacks it.
func (u *user) mfa() bool {
	if u.twoStep != nil {
		return u.managed && *u.twoStep
	}
	return u.managed && u.id[len(u.id)-1]%8 != 0
}

func (c *Cloud) searchUsers(r *call) answer {
	var asked userQuery
	if !r.decode(&asked) {
		return badRequest("ADMIN-400-24", "The body is not the JSON that this operation reads.")
	}
	if asked.Cursor == "" {
		if err := asked.check(); err != nil {
			return badRequest("ADMIN-400-19", err.Error())
		}
	}
	return c.userPage(r, asked.Cursor, asked, defaultUserLimit)
}

// listUsers is the older form of users/search, deprecated until 2027-06-30. It has no expand.
func (c *Cloud) listUsers(r *call) answer {
	given := r.URL.Query().Get("cursor")
	asked, err := r.userQuery()
	if err != nil && given == "" {
		return badRequest("ADMIN-400-19", err.Error())
	}
	return c.userPage(r, given, asked, defaultLimit)
}

// userQuery reads the filters of the GET operations from the URL.
func (r *call) userQuery() (userQuery, error) {
	limit, err := r.number("limit")
	values := r.URL.Query()
	q := userQuery{Limit: limit, AccountIDs: r.list("accountIds"), DirectoryIDs: r.list("directoryIds"),
		ResourceIDs: r.list("resourceIds"), GroupIDs: r.list("groupIds"),
		ClaimStatus: values.Get("claimStatus"), Status: r.list("status"), AccountStatus: r.list("accountStatus"),
		MembershipStatus: r.list("membershipStatus"),
		RoleIDs:          r.list("roleIds"), EmailDomains: r.list("emailDomains"), SearchTerm: values.Get("searchTerm")}
	if text := values.Get("mfaEnabled"); text != "" {
		enabled := text == "true"
		q.MFAEnabled = &enabled
	}
	return q, firstError(err, q.check())
}

func (c *Cloud) userPage(r *call, given string, asked userQuery, otherwise int) answer {
	q, after, bad := resume(r, given, asked)
	if bad != nil {
		return *bad
	}
	users, next := c.findUsers(&q, r.view, after, c.cut(q.Limit, otherwise))
	items := make([]any, 0, len(users))
	for _, u := range users {
		items = append(items, c.userJSON(u, r.view, q.Expand))
	}
	return answer{status: http.StatusOK, page: c.pageOf(r, q, after, next, items)}
}

// countUsers counts, unlike the search, also managed accounts that are in no directory.
func (c *Cloud) countUsers(r *call) answer {
	q, err := r.userQuery()
	if err != nil {
		return badRequest("ADMIN-400-19", err.Error())
	}
	if q.MembershipStatus == nil && q.Status == nil {
		q.MembershipStatus = []string{"active", "suspended", "no_membership"}
	}
	n := 0
	for u := range c.userCandidates(&q, r.view, "") {
		if c.userMatches(u, &q, r.view) && (u.managed || r.view.membershipStatus(u) != "no_membership") {
			n++
		}
	}
	return ok(map[string]any{"count": n})
}

func (c *Cloud) userStats(r *call) answer {
	statuses, roles := map[string]int{}, map[string]int{}
	for _, u := range c.users {
		if r.view.membershipStatus(u) == "no_membership" {
			continue
		}
		statuses[u.accountStatus()]++
		for _, role := range r.view.platformRoles(u) {
			roles[role]++
		}
	}
	byStatus, byRole := []any{}, []any{}
	for _, status := range []string{"active", "inactive", "closed"} {
		byStatus = append(byStatus, map[string]any{"status": status, "count": statuses[status]})
	}
	for _, role := range roleIDs {
		if roles[role] > 0 {
			byRole = append(byRole, map[string]any{"roleId": role, "count": roles[role]})
		}
	}
	return ok(map[string]any{"accountStatus": byStatus, "roles": byRole})
}

func (c *Cloud) getUser(r *call) answer {
	u := c.userByID[r.PathValue("accountId")]
	if u == nil || !r.view.knows(u) {
		return userNotFound(r.PathValue("accountId"))
	}
	out := c.userJSON(u, r.view, []string{"platformRoles", "counts.resources"})
	if u.inactive {
		out.DeactivatedOn = timestamp(u.deactivated)
	}
	return ok(map[string]any{"data": out})
}

// inDirectoryNow returns a user who can be written to.
func (c *Cloud) inDirectoryNow(r *call) (*user, *answer) {
	id := r.PathValue("accountId")
	if u := c.userByID[id]; u != nil && u.member.now {
		return u, nil
	}
	bad := userNotFound(id)
	return nil, &bad
}

// suspendUser keeps groups and roles and frees the licences, on every app and site of the directory.
func (c *Cloud) suspendUser(r *call) answer {
	u, bad := c.inDirectoryNow(r)
	if bad != nil {
		return *bad
	}
	r.wrote(c.now(), "", "directory", u.id, c.setSuspended(u, true, c.caller()))
	return noContent()
}

// restoreUser gives back what suspending took, if the seats are still free. The vendor documents no status for a
// shortage here: of the call's documented ones, 400 is the one whose codes include licences.
func (c *Cloud) restoreUser(r *call) answer {
	u, bad := c.inDirectoryNow(r)
	if bad != nil {
		return *bad
	}
	if full := slices.IndexFunc(u.wantedSeats(), c.full); full >= 0 && u.suspended.now && !u.app && !u.inactive {
		r.wrote(c.now(), "", "directory", u.id, false)
		return badRequest("ADMIN-400-32", "Too many licence breaches: "+u.wantedSeats()[full].ari+" has no free seat.")
	}
	r.wrote(c.now(), "", "directory", u.id, c.setSuspended(u, false, c.caller()))
	return noContent()
}

func (c *Cloud) dropUser(r *call) answer {
	u, bad := c.inDirectoryNow(r)
	if bad != nil {
		return *bad
	}
	if slices.ContainsFunc(u.groups, func(g *group) bool { return g.synced }) {
		return refuse(http.StatusForbidden, "ADMIN-403-5",
			"The user is synced from an identity provider: remove them there.")
	}
	r.wrote(c.now(), "", "directory", u.id, c.removeUser(u, c.caller()))
	return noContent()
}
