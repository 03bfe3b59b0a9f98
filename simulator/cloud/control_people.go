package cloud

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// domainStatuses are the vendor's words for the claim of a domain.
var domainStatuses = []string{"verified", "unverified", "deleted", "superseded", "missing_token"}

// postDomain adds a domain, or moves it to another status. The organization manages the accounts of verified ones.
func (c *Cloud) postDomain(r *http.Request) (any, error) {
	var body struct {
		Name   string `json:"name"`
		Status string `json:"status"` // default verified
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	claim := domain{strings.ToLower(strings.TrimSpace(body.Name)), orElse(body.Status, "verified")}
	if claim.name == "" || !slices.Contains(domainStatuses, claim.status) {
		return nil, fmt.Errorf("domain %q, status %q: write a name, and one of %s", body.Name, body.Status,
			strings.Join(domainStatuses, ", "))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.domainAt(claim.name); at >= 0 {
		c.domains[at] = claim
	} else {
		c.domains = append(c.domains, claim)
	}
	c.reclaim()
	return done, nil
}

func (c *Cloud) deleteDomain(r *http.Request) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.domainAt(strings.ToLower(r.PathValue("name")))
	if at < 0 {
		return nil, fmt.Errorf("there is no domain %q", r.PathValue("name"))
	}
	c.domains = slices.Delete(c.domains, at, at+1)
	c.reclaim()
	return done, nil
}

func (d *directory) domainAt(name string) int {
	return slices.IndexFunc(d.domains, func(one domain) bool { return one.name == name })
}

// reclaim finds out again which accounts the organization manages. Their records stay linked, for the time being.
func (d *directory) reclaim() {
	for _, u := range d.users {
		u.managed = d.claims(u.email)
	}
}

// postLogin lets somebody log in for the first time, through single sign-on or by themselves: an account is made, which
// no SCIM record is linked to. With an app it enters the directory and gets the app's default groups for users.
func (c *Cloud) postLogin(r *http.Request) (any, error) {
	var body struct {
		Email string `json:"email"`
		Name  string `json:"name"` // default: the address
		App   string `json:"app"`  // without one, the account stays outside the directory
		Site  string `json:"site"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	email := strings.ToLower(body.Email)
	if !strings.Contains(email, "@") {
		return nil, fmt.Errorf("email %q is none", body.Email)
	}
	var app *resource
	if body.App != "" {
		var err error
		if app, err = c.app(body.App, body.Site); err != nil {
			return nil, err
		}
	}
	u := c.byEmail[email]
	if u == nil {
		name := orElse(body.Name, email)
		u = &user{id: c.newAccountID(email), name: name, nickname: name, email: email, added: c.now(),
			managed: c.claims(email)}
		c.insertUser(u)
	}
	self := actor{user: u}
	if app != nil && !u.member.now {
		c.enter(u, self, "user_created")
	}
	c.log(event{action: "user_login", actor: self, user: u})
	for _, g := range c.groups {
		byDefault := roleGrant{resource: app, role: "atlassian/user", byDefault: true}
		if app != nil && g.deleted == 0 && slices.Contains(g.grants, byDefault) {
			c.addMember(g, u, self)
		}
	}
	return map[string]string{"accountId": u.id}, nil
}

// postContent leaves marks that the account has written something: they stay with the account, whatever becomes of its
// record and address.
func (c *Cloud) postContent(r *http.Request) (any, error) {
	var body struct {
		Marks []string `json:"marks"`
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
	people[0].content = append(people[0].content, body.Marks...)
	return done, nil
}

// postToken gives an account an API token.
func (c *Cloud) postToken(r *http.Request) (any, error) {
	var body struct {
		Label      string `json:"label"`
		LastAccess string `json:"lastAccess"` // RFC 3339, like expiry; default never
		Expiry     string `json:"expiry"`     // default: in a year
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
	const year = int64(365 * 24 * 3600e9)
	token := apiToken{ID: c.freshID("token"), Label: body.Label, CreatedAt: timestamp(c.now()),
		LastAccess: body.LastAccess, Expiry: orElse(body.Expiry, timestamp(c.now()+year))}
	people[0].tokens = append(people[0].tokens, token)
	return map[string]string{"id": token.ID}, nil
}
