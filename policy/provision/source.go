package provision

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/policy/window"
)

// Source is an identity provider that is read, or that posts what it knows: who is there, and in which groups. What a
// source of its kind does not have is empty.
type Source struct {
	Name   string          `json:"name"` // its groups are "<name>:<group>"
	Kind   Kind            `json:"kind"`
	URL    string          `json:"url,omitempty"`    // of the service; with Entra and Google, in place of the vendor's
	Secret string          `json:"secret,omitempty"` // secret reference: env:NAME or file:/path, never a value
	Key    string          `json:"key,omitempty"`    // attribute or column that identifies people for ever; Feed: of assertions
	Email  string          `json:"email"`            // expression: the address by which an account is found, once
	People People          `json:"people,omitzero"`
	Groups Groups          `json:"groups,omitzero"`
	Every  window.Duration `json:"every,omitzero"` // from one read to the next; 0: it is not read
	Stale  window.Duration `json:"stale,omitzero"` // older than this, the last complete read is evidence of nothing
	Link   Link            `json:"link"`

	Enabled *Enabled `json:"enabled,omitempty"` // LDAP, File; nil: the kind's default

	// LDAP
	Base            string   `json:"base,omitempty"` // DN under which everybody can be looked up
	Bind            string   `json:"bind,omitempty"` // account to read as, whose password Secret is; empty: anonymous
	StartTLS        bool     `json:"startTLS,omitempty"`
	Plaintext       bool     `json:"plaintext,omitempty"` // ldap:// without TLS
	ActiveDirectory bool     `json:"activeDirectory,omitempty"`
	Elsewhere       []string `json:"elsewhere,omitempty"` // DNs that other servers hold and that are not wanted
	PageSize        int      `json:"pageSize,omitempty"`  // LDAP, SCIM: entries asked for at once; 0: the reader's own

	// File
	Folder     string            `json:"folder,omitempty"`     // absolute path on the worker's machine; either this or URL
	PeopleFile string            `json:"peopleFile,omitempty"` // name beside the manifest; empty: people.csv
	GroupsFile string            `json:"groupsFile,omitempty"` // empty: no groups, or those of a JSON file of people
	Lists      map[string]string `json:"lists,omitempty"`      // columns of several values, with what separates those
	Separator  string            `json:"separator,omitempty"`  // of cells: , ; or a tab; empty: as the header shows
	MaxAge     window.Duration   `json:"maxAge,omitzero"`      // of a manifest that is still believed; 0: any

	User string `json:"user,omitempty"` // SCIM, File: Secret is the password of this user, not a bearer token

	ClientID    string `json:"clientId,omitempty"`    // Okta (Secret is its private key then), Entra, Keycloak
	KeyID       string `json:"keyId,omitempty"`       // Okta: of the client's public key
	Events      bool   `json:"events,omitempty"`      // Okta: the credentials may read the system log
	Tenant      string `json:"tenant,omitempty"`      // Entra: id or domain
	Certificate string `json:"certificate,omitempty"` // Entra: reference, in place of Secret; Feed: of who signs assertions
	LoginURL    string `json:"loginUrl,omitempty"`    // Entra, Google: where tokens are given, in place of the vendor's
	Subject     string `json:"subject,omitempty"`     // Google: address of the administrator for whom it is read
	Customer    string `json:"customer,omitempty"`    // Google: id of the account; empty: the subject's
	Realm       string `json:"realm,omitempty"`       // Keycloak
	ClientRealm string `json:"clientRealm,omitempty"` // Keycloak: where the client is; empty: Realm

	// Feed, SCIMPush
	Valid     window.Duration `json:"valid,omitzero"`      // for how long what a feed stated of a person counts; 0: for ever
	Quiet     window.Duration `json:"quiet,omitzero"`      // without a post for longer, it is reported
	Issuer    string          `json:"issuer,omitempty"`    // of assertions
	Audience  string          `json:"audience,omitempty"`  // that assertions must be for
	Recipient string          `json:"recipient,omitempty"` // to which assertions must be addressed
}

// Kind is a kind of identity provider.
type Kind string

// The kinds.
const (
	LDAP     Kind = "ldap"
	File     Kind = "file"
	SCIM     Kind = "scim"
	Okta     Kind = "okta"
	Entra    Kind = "entra"
	Google   Kind = "google"
	Keycloak Kind = "keycloak"
	Feed     Kind = "feed"
	SCIMPush Kind = "scim-push"
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{LDAP, File, SCIM, Okta, Entra, Google, Keycloak, Feed, SCIMPush} }

// Pushed reports whether sources of the kind are not read: they post what they know of one person at a time. That one
// says nothing of somebody means nothing.
func (k Kind) Pushed() bool { return k == Feed || k == SCIMPush }

// People says whom a source shows, and who of them is in scope.
type People struct {
	Base       string   `json:"base,omitempty"`       // LDAP: DN under which people are; empty: the source's
	Filter     string   `json:"filter,omitempty"`     // LDAP, SCIM, Entra, Google: in the provider's own language
	Attributes []string `json:"attributes,omitempty"` // LDAP, Entra: which to read; none: the reader's own
	// Scope is an expression: who counts, of all who are shown. Others get nothing by the source's groups, and no
	// record. Empty: everybody.
	Scope string `json:"scope,omitempty"`
}

// Groups says which groups of a source are read.
type Groups struct {
	Base    string   `json:"base,omitempty"`    // LDAP: DN under which they are; empty: the source's
	Filter  string   `json:"filter,omitempty"`  // LDAP, SCIM: in the provider's own language
	Names   []string `json:"names,omitempty"`   // globs, of which one must match; none: every group
	Nested  bool     `json:"nested,omitempty"`  // members of groups in a group count as its own
	Skip    bool     `json:"skip,omitempty"`    // LDAP, SCIM: none is read
	Name    string   `json:"name,omitempty"`    // LDAP: attribute that is a group's name; empty: cn
	Members []string `json:"members,omitempty"` // LDAP: attributes that hold members' DNs; none: the reader's own

	Attribute string `json:"attribute,omitempty"` // Feed: attribute of an assertion that has them; empty: groups
}

// Enabled says how a source tells whether somebody's account is enabled.
type Enabled struct {
	Attribute string   `json:"attribute,omitempty"` // LDAP
	Bits      int      `json:"bits,omitempty"`      // LDAP: the attribute is a number; any of these in it: disabled
	Column    string   `json:"column,omitempty"`    // File
	Yes       []string `json:"yes,omitempty"`       // values that mean enabled; none: all that are not in No
	No        []string `json:"no,omitempty"`        // values that mean disabled
}

// Link says for which addresses an identity is linked to the account of that address by itself.
type Link string

// The domains on which that happens.
const (
	LinkVerified Link = "verified" // the organization's own domains (the default)
	LinkAny      Link = "any"
)

// The bounds and defaults of a source's times. Without anything else, a source is stale after DefaultStale, or twice
// Every if that is longer.
const (
	DefaultEvery = window.Duration(5 * time.Minute)
	DefaultStale = window.Duration(2 * time.Hour)
	DefaultValid = window.Duration(90 * window.Day)
	DefaultQuiet = window.Duration(7 * window.Day)

	minEvery = window.Duration(5 * time.Second)
	maxEvery = window.Duration(24 * time.Hour)
	maxStale = window.Duration(30 * window.Day)
	maxAge   = window.Duration(365 * window.Day)
	minValid = window.Duration(time.Hour)
	maxValid = window.Duration(5 * 365 * window.Day)
	maxQuiet = window.Duration(365 * window.Day)
)

// Find finds a source by its name.
func Find(sources []Source, name string) (s *Source, found bool) {
	i := slices.IndexFunc(sources, func(s Source) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return &sources[i], true
}
