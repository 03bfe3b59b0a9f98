package cloud

// State is the true state of the organization at this moment, without any lag.
type State struct {
	Info
	Domains   []string        `json:"domains"`
	People    []StatePerson   `json:"people"`
	Groups    []StateGroup    `json:"groups"`
	Resources []StateResource `json:"resources"`
	Defaults  []StateDefault  `json:"defaults"`
	OrgAdmins []string        `json:"orgAdmins"` // account IDs, like all lists of people here
	Suspended []string        `json:"suspended"`
}

// StatePerson is one account.
type StatePerson struct {
	AccountID  string      `json:"accountId"`
	Email      string      `json:"email"`
	Name       string      `json:"name"`
	SCIMUserID string      `json:"scimUserId,omitempty"` // the first record's that is linked
	App        bool        `json:"app,omitempty"`
	Inactive   bool        `json:"inactive,omitempty"`  // account deactivated
	Absent     bool        `json:"absent,omitempty"`    // not in the directory
	Suspended  bool        `json:"suspended,omitempty"` // in the directory, without access
	OrgAdmin   bool        `json:"orgAdmin,omitempty"`
	SiteAdmin  bool        `json:"siteAdmin,omitempty"`
	Roles      []StateRole `json:"roles,omitempty"`    // given directly
	Managed    bool        `json:"managed,omitempty"`  // at a domain that the organization has claimed
	Stuck      bool        `json:"stuck,omitempty"`    // reactivated, and its groups give it no access
	Deleting   bool        `json:"deleting,omitempty"` // will be deleted
	Content    []string    `json:"content,omitempty"`  // marks of what the account has written
}

// StateGroup is one live group.
type StateGroup struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Synced      bool        `json:"synced"`
	SCIMGroupID string      `json:"scimGroupId,omitempty"`
	Members     []string    `json:"members"`
	Roles       []StateRole `json:"roles,omitempty"`
}

// StateRole is a role on an app of a site.
type StateRole struct {
	Resource string `json:"resource"`
	App      string `json:"app"`
	Site     string `json:"site"`
	Role     string `json:"role"`
	Default  bool   `json:"default,omitempty"`
}

// StateResource is an app on a site with its licences.
type StateResource struct {
	Resource string `json:"resource"`
	App      string `json:"app"`
	Site     string `json:"site"`
	Seats    int    `json:"seats"`
	Licences *int   `json:"licences,omitempty"` // absent: no limit
}

// StateDefault is a default group for a role.
type StateDefault struct {
	Resource string `json:"resource"`
	App      string `json:"app"`
	Site     string `json:"site"`
	Role     string `json:"role"`
	Group    string `json:"group"`
}

// State returns the true state at this moment.
func (c *Cloud) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writePlanned()
	out := State{Info: c.info, Domains: c.claimed(), People: make([]StatePerson, 0, len(c.users)),
		Groups:    []StateGroup{},
		Resources: []StateResource{}, Defaults: []StateDefault{}, OrgAdmins: []string{}, Suspended: []string{}}
	if c.keyOwner != nil {
		out.KeyOwner = c.keyOwner.email
	}
	for _, u := range c.users {
		p := StatePerson{AccountID: u.id, Email: u.email, Name: u.name, App: u.app, Inactive: u.inactive,
			Absent: !u.member.now, Suspended: u.suspended.now,
			OrgAdmin: u.orgAdmin.now, SiteAdmin: u.siteAdmin.now, Roles: stateRoles(u.direct),
			Managed: u.managed, Stuck: u.stuck, Deleting: u.deleting, Content: u.content}
		if u.synced() {
			p.SCIMUserID = u.records[0].id
		}
		if p.OrgAdmin {
			out.OrgAdmins = append(out.OrgAdmins, u.id)
		}
		if p.Suspended {
			out.Suspended = append(out.Suspended, u.id)
		}
		out.People = append(out.People, p)
	}
	for _, g := range c.groups {
		if g.deleted != 0 {
			continue
		}
		line := StateGroup{ID: g.id, Name: g.name, Synced: g.synced, Members: accountIDs(g.members),
			Roles: stateRoles(g.grants)}
		if g.scim != nil {
			line.SCIMGroupID = g.scim.id
		}
		out.Groups = append(out.Groups, line)
		for _, role := range line.Roles {
			if role.Default {
				out.Defaults = append(out.Defaults, StateDefault{role.Resource, role.App, role.Site, role.Role, g.name})
			}
		}
	}
	for _, r := range c.resources {
		line := StateResource{Resource: r.ari, App: r.owner, Site: r.site, Seats: r.taken}
		if limit, limited := c.licences(r); limited {
			line.Licences = &limit
		}
		out.Resources = append(out.Resources, line)
	}
	return out
}

// claimed returns the domains that the organization has verified.
func (c *Cloud) claimed() []string {
	names := []string{}
	for _, d := range c.domains {
		if d.status == "verified" {
			names = append(names, d.name)
		}
	}
	return names
}

func stateRoles(grants []roleGrant) (roles []StateRole) {
	for _, grant := range grants {
		roles = append(roles, StateRole{grant.resource.ari, grant.resource.owner, grant.resource.site, grant.role,
			grant.byDefault})
	}
	return roles
}

func accountIDs(users []*user) []string {
	ids := make([]string, 0, len(users))
	for _, u := range users {
		ids = append(ids, u.id)
	}
	return ids
}
