package access

import (
	"strings"
	"time"
)

// Person is a user account in the organization's directory, as one read showed it. The zero value of a field means that
// the read did not tell.
type Person struct {
	ID               string   `json:"id"`                         // Atlassian account id, opaque
	Email            string   `json:"email,omitempty"`            // how humans name a person
	Name             string   `json:"name,omitempty"`             // full name
	AccountType      string   `json:"accountType,omitempty"`      // atlassian, app or customer
	AccountStatus    string   `json:"accountStatus,omitempty"`    // active, inactive or closed
	MembershipStatus string   `json:"membershipStatus,omitempty"` // active, suspended or no_membership
	ClaimStatus      string   `json:"claimStatus,omitempty"`      // managed or unmanaged
	ManagementSource string   `json:"managementSource,omitempty"` // invited or synced
	GroupIDs         []string `json:"groupIds,omitempty"`         // every group the person is a member of
	PlatformRoles    []string `json:"platformRoles,omitempty"`    // for example atlassian/org-admin
	// AppRoles are the app roles given to the person directly, without a group, as role:<app>/<site>/<role>. Nil: the
	// read did not ask for them.
	AppRoles []Entitlement `json:"appRoles,omitempty"`
	// Further facts for conditions.
	EmailVerified *bool     `json:"emailVerified,omitempty"`
	MFA           *bool     `json:"mfa,omitempty"` // two-step verification; known for managed accounts only
	JobTitle      string    `json:"jobTitle,omitempty"`
	Department    string    `json:"department,omitempty"`
	Organization  string    `json:"organization,omitempty"` // as the profile names it
	Location      string    `json:"location,omitempty"`
	Added         time.Time `json:"added,omitzero"` // when the person was added to the organization
	// Activity says when the person last used each app that they have access to. Nil: the read did not ask for it.
	Activity []Activity `json:"activity,omitempty"`
	// Identities are who the person is in identity sources, at most one for each. A source that is not among them knows
	// nobody who is this person. Nil: it is not known.
	Identities []Identity `json:"identities,omitempty"`
	// UnsureGroups are groups of identity sources that the person may be in or not: it is not known whether they are in
	// the source's scope. What such a group gives is neither given anew nor taken.
	UnsureGroups []string `json:"unsureGroups,omitempty"`
	// UnsureSources are identity sources of which it is not known what they would say of the person, since they post
	// and have said nothing lately: the person may be in any of their groups. What these give is neither given anew nor
	// taken.
	UnsureSources []string `json:"unsureSources,omitempty"`
}

// Activity is a person's use of one app on one site. With neither Last nor Never it is unknown, which never means that
// there was none.
type Activity struct {
	Resource string    `json:"resource"`       // ARI of the app on its site
	Last     time.Time `json:"last,omitzero"`  // Atlassian is up to a day behind
	Never    bool      `json:"never,omitzero"` // has access and never used it
}

// Known reports whether the read told when the app was last used, or that it never was.
func (a Activity) Known() bool { return a.Never || !a.Last.IsZero() }

// RoleOrgAdmin is the platform role behind the entitlement OrgAdmin.
const RoleOrgAdmin = "atlassian/org-admin"

// appDomain is the domain of the addresses that Atlassian gives to app accounts. The directory API declares no account
// type but atlassian, so the address is often all that tells an app from a person.
const appDomain = "@connect.atlassian.com"

// IsApp reports whether the account belongs to an installed app. Apps are in default and admin groups by design and are
// never touched.
func (p Person) IsApp() bool {
	return p.AccountType != "" && p.AccountType != "atlassian" || strings.HasSuffix(strings.ToLower(p.Email), appDomain)
}

// CanReceive reports whether the directory would accept new entitlements for this person: an active account with an
// active membership.
func (p Person) CanReceive() bool {
	return !p.IsApp() && (p.AccountStatus == "" || p.AccountStatus == "active") &&
		(p.MembershipStatus == "" || p.MembershipStatus == "active")
}

// InGroup reports whether the read showed the person in the group.
func (p Person) InGroup(id string) bool {
	for _, g := range p.GroupIDs {
		if g == id {
			return true
		}
	}
	return false
}

// HasRole reports whether the read showed the platform role.
func (p Person) HasRole(role string) bool {
	for _, r := range p.PlatformRoles {
		if r == role {
			return true
		}
	}
	return false
}

// Label returns the person's e-mail address, else the account ID.
func (p Person) Label() string {
	if p.Email != "" {
		return p.Email
	}
	return p.ID
}

// Group is a group of the organization's directory.
type Group struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Synced     bool   `json:"synced,omitempty"`     // owned by an identity provider: a source group
	Modifiable bool   `json:"modifiable,omitempty"` // whether the key may change its members
	Users      int    `json:"users"`                // members as the directory counts them; -1 when it did not tell
	// Resources is on how many resources it gives a role, by the group search; -1: that did not tell.
	Resources int `json:"resources,omitempty"`
	// Source is the name of the identity source that the group is read from; empty: it is Atlassian's own. Name is
	// "<source>:<group>" then, ID is a SourceGroupID, and Users are the members who have accounts.
	Source string `json:"source,omitempty"`
}

// SourceGroupID returns the id of a group that is read from an identity source, by the group's immutable key there. No
// group of Atlassian's has such an id.
func SourceGroupID(source, key string) string { return sourceGroup + source + ":" + key }

// SourceGroupRef returns the source and the key that SourceGroupID made an id of.
func SourceGroupRef(id string) (source, key string) {
	source, key, _ = strings.Cut(strings.TrimPrefix(id, sourceGroup), ":")
	return source, key
}

// RoleAssignment is one role that a group gives on one resource.
type RoleAssignment struct {
	GroupID  string `json:"groupId"`
	Resource string `json:"resource"` // ARI, for example ari:cloud:jira-software::site/<id>
	Role     string `json:"role"`     // for example atlassian/user
	Default  bool   `json:"default"`  // whether the group is a default group for this role on this resource
}

// Site is one app on one site of the organization.
type Site struct {
	App      string `json:"app"`      // key in the resource identifier, for example jira-software
	Site     string `json:"site"`     // first label of the host name, for example acme
	Resource string `json:"resource"` // ARI
}

// AppOf returns the key of the app in a resource identifier; "" if it is no app on a site.
func AppOf(resource string) string {
	parts := strings.Split(resource, ":")
	if len(parts) < 5 || parts[0] != "ari" || parts[2] == "" {
		return ""
	}
	return AppKey(parts[2])
}

// Outline is what one read of the organization showed besides its people: all that a policy is bound to.
type Outline struct {
	Directory string  `json:"directory"` // id of the directory that holds the people and groups
	Groups    []Group `json:"groups"`    // all groups of the directory
	// roles given by the groups that may matter to the policy, not by every group
	Roles []RoleAssignment `json:"roles"`
	Sites []Site           `json:"sites"` // apps on sites
	// Domains are the e-mail domains that the organization has verified, in lower case; nil: the read did not ask.
	Domains []string `json:"domains,omitempty"`
}
