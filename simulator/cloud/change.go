package cloud

import (
	"slices"
	"strings"
)

// Every change of the organization goes through these methods, whichever API made it: they keep the indexes, the
// journals, the licence count, the history and the audit log consistent. Each reports whether anything changed.

func (c *Cloud) createUser(u *user, by actor, action string) {
	u.added = c.now()
	u.managed = c.claims(u.email)
	c.insertUser(u)
	c.enter(u, by, action)
}

// enter adds a user to the directory: a new one, or one who was removed and comes back with the same account and
// nothing else.
func (c *Cloud) enter(u *user, by actor, action string) {
	u.member.set(c.now(), true)
	c.note(u, WhatPresence, true, by)
	c.note(u, WhatDirectory, true, by)
	c.record(event{action: action, actor: by, user: u})
}

func (c *Cloud) createGroup(name, description string, synced bool, by actor) *group {
	g := &group{id: c.freshID("group"), name: name, key: strings.ToLower(name), description: description,
		synced: synced, created: c.now()}
	c.insertGroup(g)
	c.record(event{action: "group_created", actor: by, group: g})
	return g
}

func (c *Cloud) deleteGroup(g *group, by actor) {
	for _, u := range slices.Clone(g.members) {
		c.leave(g, u, by)
	}
	g.deleted = c.now()
	delete(c.byName, g.key)
	c.record(event{action: "group_deleted", actor: by, group: g})
}

func (c *Cloud) addMember(g *group, u *user, by actor) bool {
	if !c.join(g, u, by) {
		return false
	}
	c.record(event{action: "user_added_to_group", actor: by, user: u, group: g})
	return true
}

func (c *Cloud) removeMember(g *group, u *user, by actor) bool {
	if !c.leave(g, u, by) {
		return false
	}
	c.record(event{action: "user_removed_from_group", actor: by, user: u, group: g})
	return true
}

// join and leave change a membership without an audit event.
func (c *Cloud) join(g *group, u *user, by actor) bool {
	if slices.Contains(u.groups, g) {
		return false
	}
	u.stuck = u.stuck && len(g.grants) == 0 // given access anew
	entry := membershipChange{at: c.now(), group: g, user: u, added: true}
	g.members, u.groups = with(g.members, u), append(u.groups, g)
	g.journal, u.journal = append(g.journal, entry), append(u.journal, entry)
	c.reseat(u)
	c.note(u, "group:"+g.name, true, by)
	return true
}

func (c *Cloud) leave(g *group, u *user, by actor) bool {
	at := slices.Index(u.groups, g)
	if at < 0 {
		return false
	}
	entry := membershipChange{at: c.now(), group: g, user: u}
	g.members, u.groups = without(g.members, u), slices.Delete(u.groups, at, at+1)
	g.journal, u.journal = append(g.journal, entry), append(u.journal, entry)
	c.reseat(u)
	c.note(u, "group:"+g.name, false, by)
	return true
}

func (c *Cloud) setOrgAdmin(u *user, holds bool, by actor) bool {
	if u.orgAdmin.now == holds {
		return false
	}
	u.orgAdmin.set(c.now(), holds)
	c.note(u, WhatOrgAdmin, holds, by)
	c.record(event{action: grantAction(holds), actor: by, user: u, role: "atlassian/org-admin"})
	return true
}

func (c *Cloud) setSiteAdmin(u *user, holds bool, by actor) bool {
	if u.siteAdmin.now == holds {
		return false
	}
	u.siteAdmin.set(c.now(), holds)
	c.note(u, WhatSiteAdmin, holds, by)
	c.record(event{action: grantAction(holds), actor: by, user: u, role: "atlassian/site-admin"})
	return true
}

func (c *Cloud) setDirectRole(u *user, r *resource, role string, holds bool, by actor) bool {
	grant := roleGrant{resource: r, role: role}
	at := slices.Index(u.direct, grant)
	if (at >= 0) == holds {
		return false
	}
	if holds {
		u.stuck = false
		u.direct = append(u.direct, grant)
	} else {
		u.direct = slices.Delete(u.direct, at, at+1)
	}
	u.given = append(u.given, directChange{at: c.now(), grant: grant, given: holds})
	c.reseat(u)
	c.note(u, grant.what(), holds, by)
	c.record(event{action: grantAction(holds), actor: by, user: u, resource: r, role: role})
	return true
}

func grantAction(holds bool) string {
	if holds {
		return "user_granted_role"
	}
	return "user_revoked_role"
}

// setGroupRole gives the group a role on an app, or removes it.
func (c *Cloud) setGroupRole(g *group, r *resource, role string, holds bool, by actor) bool {
	at := slices.IndexFunc(g.grants, func(grant roleGrant) bool { return grant.resource == r && grant.role == role })
	if (at >= 0) == holds {
		return false
	}
	action := "group_granted_role"
	if holds {
		g.grants = append(g.grants, roleGrant{resource: r, role: role})
	} else {
		action = "group_revoked_role"
		g.grants = slices.Delete(g.grants, at, at+1)
	}
	for _, u := range g.members {
		c.reseat(u)
	}
	c.record(event{action: action, actor: by, group: g, resource: r, role: role})
	return true
}

// setDefault sets whether the group is a default group for a role that it already gives.
func (c *Cloud) setDefault(g *group, r *resource, role string, byDefault bool, by actor) bool {
	for i := range g.grants {
		if grant := &g.grants[i]; grant.resource == r && grant.role == role && grant.byDefault != byDefault {
			grant.byDefault = byDefault
			c.record(event{action: "group_default_role_changed", actor: by, group: g, resource: r, role: role})
			return true
		}
	}
	return false
}

func (c *Cloud) setSuspended(u *user, suspended bool, by actor) bool {
	if u.suspended.now == suspended {
		return false
	}
	u.suspended.set(c.now(), suspended)
	c.reseat(u)
	if u.member.now {
		c.note(u, WhatDirectory, !suspended, by)
	}
	action := "user_access_restored"
	if suspended {
		action = "user_access_suspended"
	}
	c.record(event{action: action, actor: by, user: u})
	return true
}

func (c *Cloud) setInactive(u *user, inactive bool, by actor) bool {
	if u.inactive == inactive {
		return false
	}
	u.inactive, u.deactivated = inactive, 0
	u.stuck = !inactive && by == scimActor && c.settings.StuckReactivations && len(u.groups) > 0
	action := "user_activated"
	if inactive {
		u.deactivated, action = c.now(), "user_deactivated"
	}
	c.reseat(u)
	c.record(event{action: action, actor: by, user: u})
	c.note(u, WhatActive, !inactive, by)
	return true
}

// removeUser removes the user from the directory; groups and roles are lost.
func (c *Cloud) removeUser(u *user, by actor) bool {
	if !u.member.now {
		return false
	}
	for _, g := range slices.Clone(u.groups) {
		c.removeMember(g, u, by)
	}
	for _, grant := range slices.Clone(u.direct) {
		c.setDirectRole(u, grant.resource, grant.role, false, by)
	}
	c.setSiteAdmin(u, false, by)
	c.setOrgAdmin(u, false, by)
	if !u.suspended.now {
		c.note(u, WhatDirectory, false, by)
	}
	c.note(u, WhatPresence, false, by)
	at := c.now()
	u.member.set(at, false)
	u.suspended.set(at, false)
	c.reseat(u)
	c.record(event{action: "user_removed_from_directory", actor: by, user: u})
	return true
}

func (c *Cloud) setEmail(u *user, email string) {
	delete(c.byEmail, strings.ToLower(u.email))
	u.email = email
	u.managed = c.claims(email)
	c.byEmail[strings.ToLower(email)] = u
}
