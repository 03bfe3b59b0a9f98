package cloud

import (
	"slices"
	"strings"
)

// heldRole is one role that a person holds on an app, and how.
type heldRole struct {
	resource *resource
	role     string
	methods  []string // direct, group_direct
}

// rolesOf returns the app roles that the person holds, each once. Somebody who is stuck holds none, whatever the groups
// give.
func (v view) rolesOf(u *user) (held []heldRole) {
	if u.stuck {
		return nil
	}
	take := func(grants []roleGrant, method string) {
		for _, grant := range grants {
			at := slices.IndexFunc(held, func(h heldRole) bool {
				return h.resource == grant.resource &&
					h.role == grant.role
			})
			if at < 0 {
				held = append(held, heldRole{resource: grant.resource, role: grant.role})
				at = len(held) - 1
			}
			if !slices.Contains(held[at].methods, method) {
				held[at].methods = append(held[at].methods, method)
			}
		}
	}
	take(v.directOf(u), "direct")
	for _, g := range v.groupsOf(u) {
		if v.shows(g) {
			take(g.grants, "group_direct")
		}
	}
	return held
}

// appsOf returns the apps on which the person holds any role, ordered by ARI.
func (v view) appsOf(u *user) (apps []*resource) {
	for _, held := range v.rolesOf(u) {
		if !slices.Contains(apps, held.resource) {
			apps = append(apps, held.resource)
		}
	}
	slices.SortFunc(apps, func(a, b *resource) int { return strings.Compare(a.ari, b.ari) })
	return apps
}

// platformRoles returns the roles above the apps. The group org-admins gives none of them: since the units rollout only
// a direct assignment makes an organization admin.
func (v view) platformRoles(u *user) []string {
	roles := []string{}
	if u.orgAdmin.at(v.roles) {
		roles = append(roles, "atlassian/org-admin")
	}
	if u.siteAdmin.at(v.roles) {
		roles = append(roles, "atlassian/site-admin")
	}
	if slices.ContainsFunc(v.rolesOf(u), func(h heldRole) bool { return h.role == "atlassian/user-access-admin" }) {
		roles = append(roles, "atlassian/user-access-admin")
	}
	return roles
}

// lastActive returns when the person last used the app. By default it follows from the seed: one person in ten never
// did, the others within the last 400 days, most of them lately.
func (c *Cloud) lastActive(u *user, r *resource) (at instant, ever bool) {
	if at, set := u.lastActive[r]; set {
		return at, at != 0
	}
	const hour = int64(3600e9)
	draw := c.chance(1000, "active", u.id, r.ari)
	if draw < 100 {
		return 0, false
	}
	spread := int64(c.chance(1000, "activity", u.id, r.ari))
	return c.born - spread*spread/100*hour - int64(draw)*1e9, true
}
