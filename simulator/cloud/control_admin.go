package cloud

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// These calls do what an administrator does in the web interface: at once, with an audit event, and without asking
// anybody.

// webAdmin returns an admin who is not the owner of the key, if there is one.
func (c *Cloud) webAdmin() actor {
	for _, u := range c.users {
		if u.orgAdmin.now && u != c.keyOwner {
			return actor{user: u}
		}
	}
	return actor{user: c.keyOwner, label: "Site administrator"}
}

func (c *Cloud) getMembers(r *http.Request) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, err := c.named(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	type member struct {
		AccountID string `json:"accountId"`
		Email     string `json:"email"`
	}
	members := []member{}
	for _, u := range g.members {
		members = append(members, member{u.id, u.email})
	}
	return map[string]any{"group": g.name, "id": g.id, "synced": g.synced, "members": members}, nil
}

func (c *Cloud) changeMembers(r *http.Request, add bool) (any, error) {
	var body struct {
		People []string `json:"people"` // account ids, e-mail addresses or keys
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g, err := c.named(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	if g.synced {
		return nil, fmt.Errorf("group %q is synced: change it through SCIM", g.name)
	}
	people, err := c.known(body.People...)
	if err != nil {
		return nil, err
	}
	changed := 0
	for _, u := range people {
		if add && c.addMember(g, u, c.webAdmin()) || !add && c.removeMember(g, u, c.webAdmin()) {
			changed++
		}
	}
	return map[string]int{"changed": changed}, nil
}

func (c *Cloud) postLocalGroup(r *http.Request) (any, error) {
	var body OrgGroup
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.TrimSpace(body.Name) == "" || c.byName[strings.ToLower(body.Name)] != nil {
		return nil, fmt.Errorf("group %q: the name is empty or taken", body.Name)
	}
	people, err := c.known(body.Members...)
	if err != nil {
		return nil, err
	}
	grants := []roleGrant{}
	for _, role := range body.Roles {
		app, err := c.app(role.App, role.Site)
		if err != nil {
			return nil, err
		}
		full, err := fullRole(role.Role)
		if err != nil {
			return nil, err
		}
		grants = append(grants, roleGrant{app, full, role.Default})
	}
	g := c.createGroup(body.Name, "", false, c.webAdmin())
	for _, grant := range grants {
		c.setGroupRole(g, grant.resource, grant.role, true, c.webAdmin())
		c.setDefault(g, grant.resource, grant.role, grant.byDefault, c.webAdmin())
	}
	for _, u := range people {
		c.addMember(g, u, c.webAdmin())
	}
	return map[string]string{"id": g.id}, nil
}

func (c *Cloud) deleteLocalGroup(r *http.Request) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, err := c.named(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	if g.synced {
		return nil, fmt.Errorf("group %q is synced: delete it through SCIM", g.name)
	}
	c.deleteGroup(g, c.webAdmin())
	return done, nil
}

// postDefault moves a default role to another local group, or gives it one more default group.
func (c *Cloud) postDefault(r *http.Request) (any, error) {
	var body struct {
		App   string `json:"app"`
		Site  string `json:"site"`
		Role  string `json:"role"`
		Group string `json:"group"`
		Also  bool   `json:"also"` // the groups that were default stay so
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	app, err := c.app(body.App, body.Site)
	if err != nil {
		return nil, err
	}
	role, err := fullRole(body.Role)
	if err != nil {
		return nil, err
	}
	to, err := c.named(body.Group)
	if err != nil {
		return nil, err
	}
	if to.synced || to.key == orgAdminsGroup {
		return nil, fmt.Errorf("group %q cannot be a default group: it is synced or built in", to.name)
	}
	c.setGroupRole(to, app, role, true, c.webAdmin())
	c.setDefault(to, app, role, true, c.webAdmin())
	for _, g := range c.groups {
		if g != to && g.deleted == 0 && !body.Also {
			c.setDefault(g, app, role, false, c.webAdmin())
		}
	}
	return done, nil
}

// postGroupRole gives a group a role on an app, as an administrator does.
func (c *Cloud) postGroupRole(r *http.Request) (any, error) {
	var body struct {
		App  string `json:"app"`
		Site string `json:"site"`
		Role string `json:"role"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	app, err := c.app(body.App, body.Site)
	if err != nil {
		return nil, err
	}
	role, err := fullRole(body.Role)
	if err != nil {
		return nil, err
	}
	g, err := c.named(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	c.setGroupRole(g, app, role, true, c.webAdmin())
	return done, nil
}

// postPerson changes what an administrator can change of one person by hand: all of it, or nothing and an error.
func (c *Cloud) postPerson(r *http.Request) (any, error) {
	var body struct {
		profileChange
		Email     *string `json:"email"` // a new address, which nobody else may have
		Suspended *bool   `json:"suspended"`
		Inactive  *bool   `json:"inactive"`
		OrgAdmin  *bool   `json:"orgAdmin"`
		Remove    bool    `json:"remove"` // out of the directory
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	people, err := c.known(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	u := people[0]
	if err := body.check(u); err != nil {
		return nil, fmt.Errorf("person %q: %w", r.PathValue("name"), err)
	}
	if body.Email != nil {
		if other := c.byEmail[strings.ToLower(*body.Email)]; other != nil && other != u ||
			!strings.Contains(*body.Email, "@") {
			return nil, fmt.Errorf("person %q: the address %q is taken, or is none", r.PathValue("name"), *body.Email)
		}
		c.setEmail(u, *body.Email)
	}
	c.setProfile(u, body.profileChange, c.webAdmin())
	if body.Suspended != nil {
		c.setSuspended(u, *body.Suspended, c.webAdmin())
	}
	if body.Inactive != nil {
		c.setInactive(u, *body.Inactive, c.webAdmin())
	}
	if body.OrgAdmin != nil {
		c.setOrgAdmin(u, *body.OrgAdmin, c.webAdmin())
	}
	if body.Remove {
		c.removeUser(u, c.webAdmin())
	}
	return done, nil
}

// postActivity sets when somebody last used an app; without a time, or with the word never, they never did.
func (c *Cloud) postActivity(r *http.Request) (any, error) {
	var body struct {
		People []string `json:"people"`
		App    string   `json:"app"`
		Site   string   `json:"site"`
		At     string   `json:"at"` // RFC 3339
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	at, err := lastUse(orElse(body.At, "never"))
	if err != nil {
		return nil, fmt.Errorf("at: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	app, err := c.app(body.App, body.Site)
	if err != nil {
		return nil, err
	}
	people, err := c.known(body.People...)
	if err != nil {
		return nil, err
	}
	for _, u := range people {
		u.setLastActive(app, at)
	}
	return map[string]int{"changed": len(slices.Compact(people))}, nil
}
