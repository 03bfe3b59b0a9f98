package cloud

import (
	"strings"
	"time"
)

// Change is one change that took effect, by whomever and whichever API; a write without effect is none. Seeding makes
// no entries: the history begins with the seeded state.
type Change struct {
	At      time.Time `json:"at"` // on the simulator's clock; reads show it only after their lag
	Account string    `json:"account"`
	Email   string    `json:"email"`
	What    string    `json:"what"`  // a What…, group:<name>, or role:<app>/<site>/<role> given directly
	Holds   bool      `json:"holds"` // whether the person holds it from now on
	By      string    `json:"by"`    // e-mail address of who did it, or SCIM
	// label of the API key used; absent: the web interface or SCIM
	Key string `json:"key,omitempty"`
}

// The kinds of change, besides groups and app roles.
const (
	WhatOrgAdmin  = "role:org-admin"
	WhatSiteAdmin = "role:site-admin"
	WhatPresence  = "presence"  // in the directory, suspended or not
	WhatDirectory = "directory" // in the directory and not suspended
	WhatActive    = "active"    // the account is, whatever directory it is in
)

// note adds a change to the history.
func (c *Cloud) note(u *user, what string, holds bool, by actor) {
	change := Change{
		At: time.Unix(0, c.now()).UTC(), Account: u.id, Email: u.email, What: what, Holds: holds, By: by.label,
		Key: by.token,
	}
	if by.user != nil {
		change.By = by.user.email
	}
	c.changes = append(c.changes, change)
}

func (g roleGrant) what() string {
	return "role:" + g.resource.owner + "/" + g.resource.site + "/" + strings.TrimPrefix(g.role, "atlassian/")
}

// History returns all changes since seeding, in order.
func (c *Cloud) History() []Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Change{}, c.changes...)
}
