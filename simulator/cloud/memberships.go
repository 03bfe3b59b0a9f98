package cloud

import (
	"net/http"
	"regexp"
	"slices"
)

var accountIDPattern = regexp.MustCompile(`^[a-zA-Z0-9_|:-]{1,128}$`)

// postMembership returns 409 in two cases: already a member, and no licence left.
func (c *Cloud) postMembership(r *call) answer {
	var body struct {
		AccountID string `json:"accountId"`
	}
	if !r.decode(&body) || !accountIDPattern.MatchString(body.AccountID) {
		return badRequest("ADMIN-400-24", "The body needs an accountId.")
	}
	g, u, bad := c.membership(r, body.AccountID)
	if bad != nil {
		return *bad
	}
	if c.addMember(g, u, c.caller()) {
		r.wrote(c.now(), g.name, "", u.id, true)
		return noContent()
	}
	r.wrote(c.now(), g.name, "", u.id, false)
	return refuse(http.StatusConflict, "ADMIN-409-28", "The user is already a member of the group.")
}

func (c *Cloud) dropMembership(r *call) answer {
	g, u, bad := c.membership(r, r.PathValue("accountId"))
	if bad != nil {
		return *bad
	}
	changed := c.removeMember(g, u, c.caller())
	r.wrote(c.now(), g.name, "", u.id, changed)
	if !changed && c.settings.AbsentRemoval == http.StatusNotFound {
		return refuse(http.StatusNotFound, "ADMIN-404-8", "The user is not a member of the group.")
	}
	return noContent()
}

// membership returns the group and the user of a membership call, and refuses what cannot be written.
func (c *Cloud) membership(r *call, accountID string) (*group, *user, *answer) {
	var bad answer
	g := c.group(r.PathValue("groupId"))
	u := c.userByID[accountID]
	switch {
	case g == nil:
		bad = groupNotFound(r)
	case u == nil || !u.member.now:
		bad = userNotFound(accountID)
	case g.synced:
		r.wrote(c.now(), g.name, "", accountID, false)
		bad = refuse(c.settings.SyncedRefusal, "ADMIN-403-5", protectionText["ADMIN-403-5"])
	case r.Method == http.MethodPost && !slices.Contains(u.groups, g):
		full := c.shortage(u, g.grants)
		if full == nil {
			return g, u, nil
		}
		r.wrote(c.now(), g.name, "", accountID, false)
		bad = refuse(http.StatusConflict, "ADMIN-409-3", "The licence limit is exceeded for "+full.ari+".")
	default:
		return g, u, nil
	}
	return nil, nil, &bad
}

func userNotFound(id string) answer {
	return refuse(http.StatusNotFound, "ADMIN-404-8", "User "+id+" was not found.")
}
