package cloud

import (
	"net/http"
	"slices"
	"strings"
)

type invitation struct {
	Emails           []string `json:"emails"`
	AdditionalGroups []string `json:"additionalGroups"`
	PermissionRules  []struct {
		Resource string `json:"resource"`
		Role     string `json:"role"`
	} `json:"permissionRules"`
}

// inviteUsers adds people to the directory, to the default groups of the roles asked for, and to more groups: 200 if
// everything succeeded, 206 if something failed. No access policy is involved: these are the foreign members that a
// sync finds.
func (c *Cloud) inviteUsers(r *call) answer {
	var body invitation
	if !r.decode(&body) || len(body.Emails) == 0 || len(body.Emails) > 25 {
		return badRequest("ADMIN-UAM-400-1", "The body needs 1 to 25 emails.")
	}
	for _, rule := range body.PermissionRules {
		if c.resource(rule.Resource) == nil {
			return refuse(http.StatusNotFound, "ADMIN-UAM-404-1", "Resource "+rule.Resource+" was not found.")
		}
	}
	for _, id := range body.AdditionalGroups {
		if c.group(id) == nil {
			return refuse(http.StatusNotFound, "ADMIN-UAM-404-3", "Group "+id+" was not found.")
		}
	}
	status, data := http.StatusOK, []any{}
	for _, email := range body.Emails {
		if !strings.Contains(email, "@") {
			return badRequest("ADMIN-UAM-400-1", "An e-mail address is not valid.")
		}
		one, good := c.invite(r, email, body)
		if !good {
			status = http.StatusPartialContent
		}
		data = append(data, one)
	}
	return answer{status: status, body: map[string]any{"data": data}}
}

func (c *Cloud) invite(r *call, email string, body invitation) (out any, good bool) {
	u := c.byEmail[strings.ToLower(email)]
	entered := u == nil || !u.member.now
	switch {
	case u == nil:
		name, _, _ := strings.Cut(email, "@")
		u = &user{id: c.newAccountID(email), name: name, nickname: name, email: email}
		c.createUser(u, c.caller(), "user_invited")
	case entered:
		c.enter(u, c.caller(), "user_invited")
	}
	r.wrote(c.now(), "", "directory", u.id, entered)
	good = true
	result := func(key, id string, reason any) map[string]any {
		state := "INVITED"
		if reason != nil {
			state, good = "ERROR", false
		}
		return map[string]any{key: id, "status": state, "statusReason": reason}
	}
	roles, groups := []any{}, []any{}
	for _, rule := range body.PermissionRules {
		line := result("resource", rule.Resource, c.grantByDefault(r, u, c.resource(rule.Resource), rule.Role))
		line["role"] = rule.Role
		roles = append(roles, line)
	}
	for _, id := range body.AdditionalGroups {
		groups = append(groups, result("group", id, c.inviteInto(r, u, c.group(id))))
	}
	return map[string]any{"email": email, "id": u.id,
		"results": []any{map[string]any{"roleAssignmentResult": roles, "groupAssignmentResult": groups}}}, good
}

// grantByDefault adds the person to the role's default groups, or gives the role directly if there are none. It returns
// the failure.
func (c *Cloud) grantByDefault(r *call, u *user, app *resource, role string) any {
	placed := false
	for _, g := range c.groups {
		if g.deleted == 0 && slices.Contains(g.grants, roleGrant{resource: app, role: role, byDefault: true}) {
			if reason := c.inviteInto(r, u, g); reason != nil {
				return reason
			}
			placed = true
		}
	}
	if placed {
		return nil
	}
	if full := c.shortage(u, []roleGrant{{resource: app, role: role}}); full != nil {
		return "ADMIN-UAM-409-3"
	}
	c.setDirectRole(u, app, role, true, c.caller())
	return nil
}

func (c *Cloud) inviteInto(r *call, u *user, g *group) any {
	if g.synced {
		return "ADMIN-403-5"
	}
	if !slices.Contains(u.groups, g) && c.shortage(u, g.grants) != nil {
		return "ADMIN-UAM-409-3"
	}
	r.wrote(c.now(), g.name, "", u.id, c.addMember(g, u, c.caller()))
	return nil
}
