package cloud

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// userQuery is the body of users/search.
type userQuery struct {
	Cursor           string   `json:"cursor,omitempty"`
	Limit            *int     `json:"limit,omitempty"`
	AccountIDs       []string `json:"accountIds,omitempty"`
	DirectoryIDs     []string `json:"directoryIds,omitempty"`
	ResourceIDs      []string `json:"resourceIds,omitempty"`
	GroupIDs         []string `json:"groupIds,omitempty"`
	MFAEnabled       *bool    `json:"mfaEnabled,omitempty"`
	ClaimStatus      string   `json:"claimStatus,omitempty"`
	Status           []string `json:"status,omitempty"`
	AccountStatus    []string `json:"accountStatus,omitempty"`
	MembershipStatus []string `json:"membershipStatus,omitempty"`
	RoleIDs          []string `json:"roleIds,omitempty"`
	EmailDomains     []string `json:"emailDomains,omitempty"`
	Emails           []string `json:"emails,omitempty"`
	SearchTerm       string   `json:"searchTerm,omitempty"`
	SortBy           []sortBy `json:"sortBy,omitempty"`
	Expand           []string `json:"expand,omitempty"`
}

var roleIDs = []string{"atlassian/user", "atlassian/admin", "atlassian/guest", "atlassian/customer",
	"atlassian/user-access-admin", "atlassian/contributor",
	"atlassian/basic", "atlassian/stakeholder", "atlassian/org-admin", "atlassian/site-admin", "atlassian/ai-access"}

func (q *userQuery) check() error {
	if q.Emails != nil && q.SearchTerm != "" {
		return fmt.Errorf("emails and searchTerm exclude each other")
	}
	if q.ClaimStatus != "" {
		if err := oneOf("claimStatus", []string{q.ClaimStatus}, "managed", "unmanaged"); err != nil {
			return err
		}
	}
	return firstError(
		limits(q.Limit, maxLimit),
		checkSort(q.SortBy, "nick_name"),
		bounds("accountIds", q.AccountIDs, 10, false),
		bounds("directoryIds", q.DirectoryIDs, 10, false),
		bounds("resourceIds", q.ResourceIDs, 20, false),
		bounds("groupIds", q.GroupIDs, 10, false),
		bounds("status", q.Status, 4, false),
		oneOf("status", q.Status, "active", "suspended", "not_invited", "deactivated", "for_deletion"),
		bounds("accountStatus", q.AccountStatus, 3, false),
		oneOf("accountStatus", q.AccountStatus, "active", "inactive", "closed"),
		bounds("membershipStatus", q.MembershipStatus, 3, false),
		oneOf("membershipStatus", q.MembershipStatus, "active", "suspended", "no_membership"),
		bounds("roleIds", q.RoleIDs, 10, false),
		oneOf("roleIds", q.RoleIDs, roleIDs...),
		bounds("emailDomains", q.EmailDomains, 10, false),
		bounds("emails", q.Emails, 100, true),
		bounds("expand", q.Expand, 4, true),
		oneOf("expand", q.Expand, "platformRoles", "counts.resources", "productAccess", "groups"),
	)
}

// findUsers returns up to limit users after a key; next is empty at the end. Without a sort order the key is the
// account ID, so that people who come and go between two pages make nobody else appear twice or not at all.
func (c *Cloud) findUsers(q *userQuery, v view, after string, limit int) (found []*user, next string) {
	key := (*user).idKey
	if q.SortBy != nil {
		key = (*user).nickKey
	}
	for u := range c.userCandidates(q, v, after) {
		if !c.userMatches(u, q, v) {
			continue
		}
		if len(found) == limit {
			return found, key(found[limit-1])
		}
		found = append(found, u)
	}
	return found, ""
}

func (u *user) idKey() string { return u.id }

// userCandidates visits a small list that has all matches, in the order asked for, after a key.
func (c *Cloud) userCandidates(q *userQuery, v view, after string) iter.Seq[*user] {
	var some []*user
	switch {
	case q.AccountIDs != nil:
		for _, id := range q.AccountIDs {
			if u := c.userByID[id]; u != nil {
				some = with(some, u)
			}
		}
	case q.Emails != nil:
		for _, email := range q.Emails {
			if u := c.byEmail[strings.ToLower(email)]; u != nil {
				some = with(some, u)
			}
		}
	case q.GroupIDs != nil:
		lists := c.memberLists(q.GroupIDs, v)
		if q.SortBy == nil {
			return merged(lists, after)
		}
		some = slices.Collect(merged(lists, ""))
	default:
		if q.SortBy != nil {
			return walk(c.byNickname(), (*user).nickKey, after, descending(q.SortBy))
		}
		return walk(c.users, (*user).idKey, after, false)
	}
	if q.SortBy == nil {
		return walk(some, (*user).idKey, after, false)
	}
	slices.SortFunc(some, func(a, b *user) int { return cmp.Compare(a.nickKey(), b.nickKey()) })
	return walk(some, (*user).nickKey, after, descending(q.SortBy))
}

func (c *Cloud) memberLists(groupIDs []string, v view) (lists [][]*user) {
	for _, id := range groupIDs {
		if g := c.groupByID[strings.TrimPrefix(id, groupARI)]; g != nil && v.shows(g) {
			lists = append(lists, v.members(g))
		}
	}
	return lists
}

// walk visits users ordered by key, up or down, beyond after.
func walk(users []*user, key func(*user) string, after string, down bool) iter.Seq[*user] {
	return func(yield func(*user) bool) {
		if down {
			end := len(users)
			if after != "" {
				end, _ = slices.BinarySearchFunc(users, after,
					func(u *user, k string) int { return strings.Compare(key(u), k) })
			}
			for i := end - 1; i >= 0; i-- {
				if !yield(users[i]) {
					return
				}
			}
			return
		}
		start := 0
		if after != "" {
			var found bool
			if start, found = slices.BinarySearchFunc(users, after,
				func(u *user, k string) int { return strings.Compare(key(u), k) }); found {
				start++
			}
		}
		for _, u := range users[start:] {
			if !yield(u) {
				return
			}
		}
	}
}

// merged visits several lists ordered by ID as if they were one, each user once.
func merged(lists [][]*user, after string) iter.Seq[*user] {
	return func(yield func(*user) bool) {
		rest := make([][]*user, 0, len(lists))
		for _, list := range lists {
			at, found := slices.BinarySearchFunc(list, after, byUserID)
			if found {
				at++
			}
			rest = append(rest, list[at:])
		}
		for {
			var first *user
			for _, list := range rest {
				if len(list) > 0 && (first == nil || list[0].id < first.id) {
					first = list[0]
				}
			}
			if first == nil || !yield(first) {
				return
			}
			for i, list := range rest {
				if len(list) > 0 && list[0] == first {
					rest[i] = list[1:]
				}
			}
		}
	}
}

func (c *Cloud) userMatches(u *user, q *userQuery, v view) bool {
	membership := v.membershipStatus(u)
	has := func(filter []string, value string) bool { return filter == nil || slices.Contains(filter, value) }
	switch {
	case !v.knows(u):
		return false
	case membership == "no_membership" && q.MembershipStatus == nil && q.Status == nil:
		return false // people outside every directory show only if asked for
	case !has(q.MembershipStatus, membership), !has(q.Status, v.status(u)), !has(q.AccountStatus, u.accountStatus()),
		!has(q.AccountIDs, u.id),
		!has(q.DirectoryIDs, c.info.DirectoryID):
		return false
	case q.ClaimStatus != "" && q.ClaimStatus != u.claimStatus():
		return false
	case q.MFAEnabled != nil && *q.MFAEnabled != u.mfa():
		return false
	case q.Emails != nil && !slices.ContainsFunc(q.Emails,
		func(e string) bool { return strings.EqualFold(e, u.email) }):
		return false
	case q.EmailDomains != nil && !slices.ContainsFunc(q.EmailDomains, func(d string) bool {
		return strings.HasSuffix(strings.ToLower(u.email), "@"+strings.ToLower(d))
	}):
		return false
	case q.SearchTerm != "" && !u.mentions(strings.ToLower(q.SearchTerm)):
		return false
	case q.GroupIDs != nil && !slices.ContainsFunc(v.groupsOf(u), func(g *group) bool {
		return slices.ContainsFunc(q.GroupIDs, func(id string) bool { return strings.TrimPrefix(id, groupARI) == g.id })
	}):
		return false
	case q.ResourceIDs == nil && q.RoleIDs == nil:
		return true
	}
	if q.ResourceIDs == nil && slices.ContainsFunc(v.platformRoles(u),
		func(role string) bool { return slices.Contains(q.RoleIDs, role) }) {
		return true
	}
	for _, held := range v.rolesOf(u) {
		if has(q.ResourceIDs, held.resource.ari) && has(q.RoleIDs, held.role) {
			return true
		}
	}
	return false
}

func (u *user) mentions(term string) bool {
	return strings.Contains(strings.ToLower(u.name), term) || strings.Contains(strings.ToLower(u.nickname), term) ||
		strings.Contains(strings.ToLower(u.email), term)
}
