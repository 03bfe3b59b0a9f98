package cloud

import (
	"net/http"
	"slices"
	"strings"
)

// assignOrgRole and revokeOrgRole are the only way to appoint and dismiss an organization admin. Reads follow after
// RoleLag.
func (c *Cloud) assignOrgRole(r *call) answer { return c.changeOrgRole(r, true) }

func (c *Cloud) revokeOrgRole(r *call) answer { return c.changeOrgRole(r, false) }

func (c *Cloud) changeOrgRole(r *call, holds bool) answer {
	var body struct{ Role string }
	if !r.decode(&body) || body.Role != "atlassian/org-admin" {
		return badRequest("ADMIN-UAM-400-1", "The role must be atlassian/org-admin.")
	}
	u, bad := c.roleHolder(r)
	if bad != nil {
		return *bad
	}
	r.wrote(c.now(), "", body.Role, u.id, c.setOrgAdmin(u, holds, c.caller()))
	return noContent()
}

func (c *Cloud) roleHolder(r *call) (*user, *answer) {
	id := r.PathValue("userId")
	if u := c.userByID[id]; u != nil && u.member.now {
		return u, nil
	}
	bad := refuse(http.StatusNotFound, "ADMIN-UAM-404-3", "User "+id+" was not found.")
	return nil, &bad
}

// assignRole gives a person a role directly, without a group. Reads follow after RoleLag.
func (c *Cloud) assignRole(r *call) answer { return c.changeRole(r, true) }

func (c *Cloud) revokeRole(r *call) answer { return c.changeRole(r, false) }

func (c *Cloud) changeRole(r *call, holds bool) answer {
	var body struct{ Role, Resource string }
	if !r.decode(&body) || !slices.Contains(roleIDs, body.Role) || body.Role == "atlassian/ai-access" {
		return badRequest("ADMIN-UAM-400-1", "The role is not known.")
	}
	u, bad := c.roleHolder(r)
	if bad != nil {
		return *bad
	}
	var changed bool
	switch body.Role {
	case "atlassian/org-admin": // the resource is ignored
		changed = c.setOrgAdmin(u, holds, c.caller())
	case "atlassian/site-admin":
		changed = c.setSiteAdmin(u, holds, c.caller())
	default:
		app := c.resource(body.Resource)
		if app == nil {
			return badRequest("ADMIN-UAM-400-3", "The role is not valid for resource "+body.Resource+".")
		}
		if full := c.shortage(u, []roleGrant{{resource: app, role: body.Role}}); holds && full != nil {
			return refuse(http.StatusConflict, "ADMIN-UAM-409-3",
				"The product licence limit is exceeded for "+full.ari+".")
		}
		changed = c.setDirectRole(u, app, body.Role, holds, c.caller())
	}
	r.wrote(c.now(), "", strings.TrimSuffix(body.Role+" "+body.Resource, " "), u.id, changed)
	return noContent()
}

// roleFilter are the query parameters of the two role-assignment lists.
type roleFilter struct {
	Limit                           *int
	Directories, Owners, IDs, Roles []string
}

func (r *call) roleFilter() (f roleFilter, err error) {
	limit, err := r.number("limit")
	f = roleFilter{limit, r.list("directoryIds"), r.list("resourceOwners"), r.list("resourceIds"), r.list("roleIds")}
	return f, firstError(err, limits(limit, maxLimit), bounds("directoryIds", f.Directories, 10, false),
		bounds("resourceOwners", f.Owners, 10, false),
		bounds("resourceIds", f.IDs, 20, false), bounds("roleIds", f.Roles, 10, false),
		oneOf("roleIds", f.Roles, roleIDs...))
}

func (f roleFilter) wants(r *resource, roles []string) bool {
	return (f.Owners == nil || slices.Contains(f.Owners, r.owner)) && (f.IDs == nil || slices.Contains(f.IDs, r.ari)) &&
		(f.Roles == nil || slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(f.Roles, role) }))
}

// assignmentPage returns a page of rows that are few and ordered by resource.
func (c *Cloud) assignmentPage(r *call, rows func(roleFilter) ([]string, []any)) answer {
	asked, err := r.roleFilter()
	given := r.URL.Query().Get("cursor")
	if err != nil && given == "" {
		return badRequest("ADMIN-400-19", err.Error())
	}
	f, after, bad := resume(r, given, asked)
	if bad != nil {
		return *bad
	}
	keys, items := rows(f)
	start, found := slices.BinarySearch(keys, after)
	if found {
		start++
	}
	end, next := min(len(items), start+c.cut(f.Limit, defaultLimit)), ""
	if end < len(items) {
		next = keys[end-1]
	}
	return answer{status: http.StatusOK, page: c.pageOf(r, f, after, next, append([]any{}, items[start:end]...))}
}

// listGroupRoles lists the roles that a group gives, and for which of them it is a default group: the only way to
// recognize one.
func (c *Cloud) listGroupRoles(r *call) answer {
	g := c.groupByID[strings.TrimPrefix(r.PathValue("groupId"), groupARI)]
	if g == nil || !r.view.shows(g) {
		return groupNotFound(r)
	}
	return c.assignmentPage(r, func(f roleFilter) (keys []string, rows []any) {
		apps := g.resources()
		slices.SortFunc(apps, func(a, b *resource) int { return strings.Compare(a.ari, b.ari) })
		for _, app := range apps {
			roles, defaultRole := []string{}, any(nil)
			for _, grant := range g.grants {
				if grant.resource == app {
					roles = append(roles, grant.role)
					if grant.byDefault {
						defaultRole = grant.role
					}
				}
			}
			if f.wants(app, roles) {
				keys = append(keys, app.ari)
				rows = append(rows, map[string]any{"resourceId": app.ari, "resourceOwner": app.owner, "roles": roles,
					"defaultRole": defaultRole})
			}
		}
		return keys, rows
	})
}

func (c *Cloud) listUserRoles(r *call) answer {
	u := c.userByID[r.PathValue("accountId")]
	if u == nil || !r.view.knows(u) {
		return userNotFound(r.PathValue("accountId"))
	}
	return c.assignmentPage(r, func(f roleFilter) (keys []string, rows []any) {
		for _, app := range r.view.appsOf(u) {
			roles, methods := []string{}, []any{}
			for _, held := range r.view.rolesOf(u) {
				if held.resource == app {
					roles = append(roles, held.role)
					methods = append(methods, map[string]any{"role": held.role, "roleAssignmentMethods": held.methods})
				}
			}
			if f.wants(app, roles) {
				keys = append(keys, app.ari)
				rows = append(rows, map[string]any{"resourceId": app.ari, "resourceOwner": app.owner,
					"directoryId":         c.info.DirectoryID,
					"userDirectoryStatus": r.view.membershipStatus(u), "roles": roles, "roleAssignments": methods})
			}
		}
		platform := &resource{ari: "ari:cloud:platform::org/" + c.info.OrgID, owner: "platform"}
		roles, methods := r.view.platformRoles(u), []any{}
		for _, role := range roles {
			methods = append(methods, map[string]any{"role": role, "roleAssignmentMethods": []string{"direct"}})
		}
		if len(roles) > 0 && f.wants(platform, roles) {
			keys = append(keys, platform.ari)
			// userDirectoryStatus is left out: the vendor's text says null here, the vendor's schema forbids null.
			rows = append(rows, map[string]any{"resourceId": platform.ari, "resourceOwner": platform.owner,
				"directoryId": nil, "roles": roles, "roleAssignments": methods})
		}
		return keys, rows
	})
}

func (c *Cloud) assignGroupRole(r *call) answer {
	g, app, role, bad := c.groupRole(r)
	if bad != nil {
		return *bad
	}
	if limit, limited := c.licences(app); limited && !slices.Contains(unbilled, role) {
		needed := 0
		for _, u := range g.members {
			if u.billable() && !slices.Contains(u.seats, app) {
				needed++
			}
		}
		if needed > 0 && app.taken+needed > limit {
			return refuse(http.StatusConflict, "ADMIN-409-3", "The licence limit is exceeded for "+app.ari+".")
		}
	}
	c.setGroupRole(g, app, role, true, c.caller())
	return answer{status: http.StatusOK}
}

func (c *Cloud) revokeGroupRole(r *call) answer {
	g, app, role, bad := c.groupRole(r)
	if bad != nil {
		return *bad
	}
	c.setGroupRole(g, app, role, false, c.caller())
	return noContent()
}

func (c *Cloud) groupRole(r *call) (g *group, app *resource, role string, bad *answer) {
	var body struct{ ResourceID, RoleID string }
	var out answer
	valid := r.decode(&body)
	g, app = c.group(r.PathValue("groupId")), c.resource(body.ResourceID)
	switch {
	case !valid || !slices.Contains(roleIDs, body.RoleID):
		out = badRequest("ADMIN-400-24", "The body needs a resourceId and a known roleId.")
	case g == nil:
		out = groupNotFound(r)
	case app == nil:
		out = refuse(http.StatusNotFound, "ADMIN-404-1", "Resource "+body.ResourceID+" was not found.")
	default:
		return g, app, body.RoleID, nil
	}
	return nil, nil, "", &out
}
