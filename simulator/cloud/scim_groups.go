package cloud

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// scimMember names one member in a body.
type scimMember struct {
	Value string `json:"value"`
}

func (c *Cloud) scimGroupJSON(r *call, g *scimGroup) any {
	members := []any{}
	if !strings.Contains(r.URL.Query().Get("excludedAttributes"), "members") {
		for _, u := range g.group.members {
			if record := u.recordIn(g.dir); record != nil {
				members = append(members, map[string]any{"type": "User", "value": record.id, "display": u.name})
			}
		}
	}
	out := map[string]any{"schemas": []string{scimGroupSchema}, "id": g.id, "displayName": g.name, "members": members,
		"meta": c.scimMeta(r, "Group", g.id, g.created, g.modified)}
	if g.externalID != "" {
		out["externalId"] = g.externalID
	}
	return out
}

func (c *Cloud) listSCIMGroups(r *call) answer {
	groups := r.scim.groups
	if text := r.URL.Query().Get("filter"); text != "" {
		_, value, err := scimFilter(text, "displayName")
		if err != nil {
			return scimError(http.StatusBadRequest, "invalidFilter", err.Error())
		}
		groups = nil
		if g := r.scim.group(value); g != nil {
			groups = []*scimGroup{g}
		}
	}
	return c.scimList(r, len(groups), func(i int) any { return c.scimGroupJSON(r, groups[i]) })
}

func (c *Cloud) getSCIMGroup(r *call) answer {
	g := r.scim.groupByID[r.PathValue("id")]
	if g == nil {
		return scimNotFound(r.PathValue("id"))
	}
	return ok(c.scimGroupJSON(r, g))
}

type scimGroupBody struct {
	DisplayName string       `json:"displayName"`
	ExternalID  string       `json:"externalId"`
	Members     []scimMember `json:"members"`
}

// createSCIMGroup responds 409 to the name of a synced group. That of a default or built-in group it accepts, and the
// group never appears in the organization. That of a local group it accepts as well, and holds the group back as a
// conflict, which only a person can accept (see acceptSCIMGroup); or responds 409, as the settings say.
func (c *Cloud) createSCIMGroup(r *call) answer {
	var body scimGroupBody
	if !r.decode(&body) || strings.TrimSpace(body.DisplayName) == "" {
		return scimError(http.StatusBadRequest, "invalidValue", "displayName is required.")
	}
	existing := c.byName[strings.ToLower(body.DisplayName)]
	phantom := slices.Contains(builtInGroups, strings.ToLower(body.DisplayName)) ||
		existing != nil && existing.isDefault()
	conflict := existing != nil && !phantom && !existing.synced && c.settings.GroupConflicts == ConflictsHeld
	if r.scim.group(body.DisplayName) != nil || existing != nil && !phantom && !conflict {
		return scimError(http.StatusConflict, "uniqueness", "Resource [GROUP]: with displayName already exists.")
	}
	if c.tooMany(len(body.Members)) {
		return scimTooMany()
	}
	members, bad := r.scim.members(body.Members)
	if bad != nil {
		return *bad
	}
	now := c.now()
	g := &scimGroup{id: c.freshID("scim-group"), name: body.DisplayName, externalID: body.ExternalID, phantom: phantom,
		conflict: conflict, created: now, modified: now}
	if g.unseen() {
		g.group = &group{id: c.freshID("group"), name: body.DisplayName, synced: true, created: now}
	} else {
		g.group = c.createGroup(body.DisplayName, "", true, scimActor)
		g.group.scim = g
	}
	r.scim.addGroup(g)
	c.changeSCIMMembers(r, g, members, nil)
	return answer{status: http.StatusCreated, body: c.scimGroupJSON(r, g)}
}

// tooMany reports whether a request names more members than one may.
func (c *Cloud) tooMany(members int) bool {
	return c.settings.SCIMMembers > 0 && members > c.settings.SCIMMembers
}

func scimTooMany() answer {
	return scimError(http.StatusRequestEntityTooLarge, "tooMany", "The request names more members than one may.")
}

// acceptSCIMGroup is what a person does in Atlassian Administration with a group that is held back as a conflict: the
// local group of that name becomes synced, and the identity provider's members replace its own.
func (c *Cloud) acceptSCIMGroup(r *http.Request) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.directoryNamed(r)
	if err != nil {
		return nil, err
	}
	g := d.group(r.PathValue("name"))
	if g == nil || !g.conflict {
		return nil, fmt.Errorf("SCIM directory %q has no group %q that waits for acceptance", d.name, r.PathValue("name"))
	}
	local := c.byName[strings.ToLower(g.name)]
	if local == nil {
		local = c.createGroup(g.name, "", true, scimActor)
	}
	if local.isDefault() {
		return nil, fmt.Errorf("group %q is a default group, which cannot be synced", g.name)
	}
	wanted := g.group.members
	local.synced, local.scim, g.group, g.conflict = true, g, local, false
	in := &call{Request: r, scim: d}
	in.spoil = &spoiler{c: c, in: in}
	c.setSCIMMembers(in, g, wanted)
	return done, nil
}

// builtInGroups are names that Atlassian reserves, besides those of the default groups.
var builtInGroups = []string{orgAdminsGroup, "site-admins", "system-administrators", "administrators",
	"atlassian-addons-admin"}

func (g *group) isDefault() bool {
	return slices.ContainsFunc(g.grants, func(grant roleGrant) bool { return grant.byDefault })
}

func (c *Cloud) replaceSCIMGroup(r *call) answer {
	g := r.scim.groupByID[r.PathValue("id")]
	var body scimGroupBody
	switch {
	case g == nil:
		return scimNotFound(r.PathValue("id"))
	case !r.decode(&body):
		return scimError(http.StatusBadRequest, "invalidSyntax", "The body is not a group.")
	case body.DisplayName != "" && !strings.EqualFold(body.DisplayName, g.name):
		return scimError(http.StatusBadRequest, "mutability", "A group cannot be renamed.")
	}
	members, bad := r.scim.members(body.Members)
	if bad != nil {
		return *bad
	}
	if r.spoil.has(FaultUnstored) {
		return ok(c.scimGroupJSON(r, g.with(members)))
	}
	if body.ExternalID != "" {
		g.externalID = body.ExternalID
	}
	c.setSCIMMembers(r, g, members)
	return ok(c.scimGroupJSON(r, g))
}

// with returns a picture of the group with other members.
func (g *scimGroup) with(members []*user) *scimGroup {
	picture, inner := *g, *g.group
	inner.members, picture.group = members, &inner
	return &picture
}

// patchSCIMGroup does all of its operations, or none if one of them is wrong.
func (c *Cloud) patchSCIMGroup(r *call) answer {
	g := r.scim.groupByID[r.PathValue("id")]
	if g == nil {
		return scimNotFound(r.PathValue("id"))
	}
	operations, bad := r.patchOperations()
	if bad != nil {
		return *bad
	}
	members := slices.Clone(g.group.members)
	for _, op := range operations {
		if c.tooMany(op.members()) {
			return scimTooMany()
		}
		if members, bad = patchMembers(g, members, op); bad != nil {
			return *bad
		}
	}
	if len(members) > scimGroupLimit {
		return scimError(http.StatusBadRequest, "tooMany", "A group holds at most 35,000 users.")
	}
	if r.spoil.has(FaultUnstored) {
		return ok(c.scimGroupJSON(r, g.with(members)))
	}
	c.setSCIMMembers(r, g, members)
	return ok(c.scimGroupJSON(r, g))
}

func (c *Cloud) deleteSCIMGroup(r *call) answer {
	g := r.scim.groupByID[r.PathValue("id")]
	if g == nil {
		return scimNotFound(r.PathValue("id"))
	}
	if !g.unseen() {
		c.deleteGroup(g.group, scimActor)
	}
	g.deleted = c.now()
	g.dir.goneGroups = append(g.dir.goneGroups, g)
	delete(g.dir.groupByID, g.id)
	g.dir.groups = slices.DeleteFunc(g.dir.groups, func(other *scimGroup) bool { return other == g })
	return noContent()
}

// scimMembers returns the accounts of SCIM IDs, ordered by account ID. A user without an account is a member of
// nothing.
func (d *scimDirectory) members(values []scimMember) (members []*user, bad *answer) {
	if len(values) > scimGroupLimit {
		out := scimError(http.StatusBadRequest, "tooMany", "A group holds at most 35,000 users.")
		return nil, &out
	}
	for _, value := range values {
		u := d.byID[value.Value]
		if u == nil {
			out := scimError(http.StatusBadRequest, "invalidValue", "Member "+value.Value+" does not exist.")
			return nil, &out
		}
		if u.account != nil {
			members = append(members, u.account)
		}
	}
	slices.SortFunc(members, func(a, b *user) int { return strings.Compare(a.id, b.id) })
	return slices.Compact(members), nil
}

func (c *Cloud) setSCIMMembers(r *call, g *scimGroup, wanted []*user) {
	var added, removed []*user
	for _, u := range wanted {
		if _, there := slices.BinarySearchFunc(g.group.members, u.id, byUserID); !there {
			added = append(added, u)
		}
	}
	for _, u := range g.group.members {
		if _, stays := slices.BinarySearchFunc(wanted, u.id, byUserID); !stays {
			removed = append(removed, u)
		}
	}
	c.changeSCIMMembers(r, g, added, removed)
}

func (c *Cloud) changeSCIMMembers(r *call, g *scimGroup, added, removed []*user) {
	g.modified = c.now()
	for _, u := range removed {
		if g.unseen() {
			g.group.members = without(g.group.members, u)
			continue
		}
		r.wrote(g.modified, g.name, "", u.id, c.removeMember(g.group, u, scimActor))
	}
	for _, u := range added {
		if g.unseen() {
			g.group.members = with(g.group.members, u)
			continue
		}
		r.wrote(g.modified, g.name, "", u.id, c.addMember(g.group, u, scimActor))
	}
}
