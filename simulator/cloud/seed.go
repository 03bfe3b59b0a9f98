package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// OrgFile is an organization to start with. Its groups are source groups: synced from an identity provider.
type OrgFile struct {
	Source string `json:"source,omitempty"`
	// claimed; people get addresses of the first one; default example.com
	Domains []string   `json:"domains,omitempty"`
	People  []string   `json:"people"`          // keys; a key with an @ is the whole address
	Admins  []string   `json:"admins"`          // organization admins; the first one created the key
	Groups  []OrgGroup `json:"groups"`          // synced groups
	Local   []OrgGroup `json:"local,omitempty"` // groups of the organization's own
	// local or default group → people whom somebody added by hand
	Foreign map[string][]string `json:"foreign,omitempty"`
	Invited []string            `json:"invited,omitempty"` // people who were invited and have no SCIM record
	// people at a claimed domain who have a managed account and no SCIM record, and are not in the directory
	Outside []string `json:"outside,omitempty"`

	Suspended []string              `json:"suspended,omitempty"` // people who start suspended
	Profiles  map[string]OrgProfile `json:"profiles,omitempty"`  // by key
}

// OrgGroup is one group of an OrgFile.
type OrgGroup struct {
	Name    string    `json:"name"`
	Members []string  `json:"members"`
	Roles   []OrgRole `json:"roles,omitempty"` // only for local groups
}

// OrgRole is a role that a local group gives.
type OrgRole struct {
	App     string `json:"app"`
	Site    string `json:"site"`
	Role    string `json:"role"` // user or atlassian/user
	Default bool   `json:"default,omitempty"`
}

// SeedOrg replaces the organization by that of the file. The error names the first impossible part.
func (c *Cloud) SeedOrg(file OrgFile) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seedOrg(file, c.options.Sites, c.options.Apps)
}

func (c *Cloud) seedOrg(file OrgFile, sites, apps []string) error {
	domains := file.Domains
	if len(domains) == 0 {
		domains = []string{"example.com"}
	}
	s := &seeding{c: c, people: make(map[string]*user, len(file.People))}
	before := c.directory
	scimsBefore, auditBefore, changesBefore := c.scims, c.audit, c.changes
	c.reset(sites, apps, domains)
	if err := s.fill(file, domains[0]); err != nil {
		c.directory, c.scims, c.audit, c.changes = before, scimsBefore, auditBefore, changesBefore
		return err
	}
	c.settle()
	return nil
}

// settle finishes seeding: the seeded state has no history.
func (c *Cloud) settle() {
	c.sortUsers()
	for _, g := range c.groups {
		slices.SortFunc(g.members, func(a, b *user) int { return strings.Compare(a.id, b.id) })
	}
	for _, u := range c.users {
		c.reseat(u)
	}
}

// seeding fills an organization without journals and events.
type seeding struct {
	c      *Cloud
	people map[string]*user
}

func (s *seeding) fill(file OrgFile, domain string) error {
	for _, key := range file.People {
		email := key
		if !strings.Contains(key, "@") {
			email = key + "@" + domain
		}
		unsynced := slices.Contains(file.Invited, key) || slices.Contains(file.Outside, key)
		if _, err := s.person(key, key, email, !unsynced); err != nil {
			return err
		}
	}
	if err := s.outside(file.Outside); err != nil {
		return err
	}
	if err := firstError(s.profiles(file.Profiles), s.suspended(file.Suspended)); err != nil {
		return err
	}
	for _, g := range file.Groups {
		if err := s.group(g, true); err != nil {
			return err
		}
	}
	for _, g := range file.Local {
		if err := s.group(g, false); err != nil {
			return err
		}
	}
	for name, members := range file.Foreign {
		g := s.c.byName[strings.ToLower(name)]
		if g == nil || g.synced {
			return fmt.Errorf("foreign: %q is not a local group", name)
		}
		if err := s.join(g, members); err != nil {
			return err
		}
	}
	return s.admins(file.Admins)
}

func (s *seeding) person(key, name, email string, synced bool) (*user, error) {
	c := s.c
	if s.people[key] != nil || c.byEmail[strings.ToLower(email)] != nil {
		return nil, fmt.Errorf("people: %q is there twice", key)
	}
	u := &user{id: c.accountID(key), name: name, nickname: name, email: email, managed: c.claims(email)}
	u.added = c.born - int64(c.chance(1200, "added", key)+1)*24*int64(3600e9)
	u.member.now = true
	c.appendUser(u)
	if synced {
		record := &scimUser{id: c.stableID("scim-user", key), created: u.added,
			scimRecord: scimRecord{userName: email, modified: u.added}}
		record.link(u)
		c.scims[0].addUser(record)
	}
	s.people[key] = u
	return u, nil
}

// outside takes people out of the directory, whose accounts the organization manages all the same.
func (s *seeding) outside(keys []string) error {
	for _, key := range keys {
		u := s.people[key]
		if u == nil || !u.managed {
			return fmt.Errorf("outside: %q is not one of the people, or at a domain that is not claimed", key)
		}
		u.member.now = false
	}
	return nil
}

func (s *seeding) group(file OrgGroup, synced bool) error {
	c := s.c
	if strings.TrimSpace(file.Name) == "" || c.byName[strings.ToLower(file.Name)] != nil {
		return fmt.Errorf("groups: the name %q is empty or there twice", file.Name)
	}
	if synced && len(file.Roles) > 0 {
		return fmt.Errorf("group %q: a synced group cannot be given roles here; write it under local", file.Name)
	}
	g := c.groupSeed(file.Name, synced)
	for _, role := range file.Roles {
		r, err := c.app(role.App, role.Site)
		if err != nil {
			return fmt.Errorf("group %q: %w", file.Name, err)
		}
		full, err := fullRole(role.Role)
		if err != nil {
			return fmt.Errorf("group %q: %w", file.Name, err)
		}
		g.grants = append(g.grants, roleGrant{resource: r, role: full, byDefault: role.Default})
	}
	return s.join(g, file.Members)
}

func (s *seeding) join(g *group, keys []string) error {
	for _, key := range keys {
		u := s.people[key]
		if u == nil {
			return fmt.Errorf("group %q: %q is not one of the people", g.name, key)
		}
		if g.synced && !u.synced() {
			return fmt.Errorf("group %q: %q was invited and has no SCIM record", g.name, key)
		}
		s.put(g, u)
	}
	return nil
}

func (s *seeding) put(g *group, u *user) {
	if !slices.Contains(u.groups, g) {
		g.members, u.groups = append(g.members, u), append(u.groups, g)
	}
}

// admins have the role itself; they are also in org-admins, a leftover that gives them nothing.
func (s *seeding) admins(keys []string) error {
	for _, key := range keys {
		u := s.people[key]
		if u == nil {
			return fmt.Errorf("admins: %q is not one of the people", key)
		}
		u.orgAdmin.now = true
		s.put(s.c.byName[orgAdminsGroup], u)
		if s.c.keyOwner == nil {
			s.c.keyOwner = u
		}
	}
	return nil
}
