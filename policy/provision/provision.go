package provision

import (
	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/window"
)

// Provision says how the people of some sources become records of one SCIM directory.
type Provision struct {
	Name      string    `json:"name"`
	From      []string  `json:"from"` // sources; the first that has a value wins an attribute
	Directory Directory `json:"directory"`
	Match     []Means   `json:"match"` // how an identity finds its record, in this order
	// Attributes are all that is provisioned, each by an expression over what a source says of a person.
	Attributes map[Attribute]string `json:"attributes,omitempty"`
	External   External             `json:"external"`
	Leavers    Leavers              `json:"leavers"`
}

// Directory is a SCIM directory of the organization.
type Directory struct {
	ID         string      `json:"id"`
	Key        string      `json:"key"`                 // secret reference: env:NAME or file:/path, never a value
	KeyExpires window.Date `json:"keyExpires,omitzero"` // the day on which the key stops working
	Mode       Mode        `json:"mode"`
}

// Mode says who writes to a directory.
type Mode string

// The modes.
const (
	Write   Mode = "write"   // Castellan (the default)
	Observe Mode = "observe" // another identity provider: differences are reported, nothing is changed
)

// Means is how an identity finds its record.
type Means string

// The means. What was bound before always comes first and is not listed.
const (
	ByBinding    Means = "binding"
	ByExternalID Means = "externalId"
	ByEmail      Means = "email"
)

// Consent says whether something is done by itself.
type Consent string

// The degrees of consent.
const (
	Never Consent = "never"
	Ask   Consent = "ask" // held until somebody approves
	Auto  Consent = "auto"
)

// External is what is done for people whose domain the organization has not verified, and whose account it does not
// manage. Any change of the record of such a person may unlink it.
type External struct {
	Link   Consent `json:"link"`   // default Ask
	Update Consent `json:"update"` // default Never
}

// Leave is what becomes of the record of somebody who left.
type Leave string

// What may become of it.
const (
	Deactivate Leave = "deactivate"
	HoldLeave  Leave = "hold" // deactivated once somebody approves
	ReportOnly Leave = "report"
)

// Leavers says what becomes of the record of somebody who is not to be provisioned any more.
type Leavers struct {
	Disabled   Leave           `json:"disabled"`   // default Deactivate
	Gone       Leave           `json:"gone"`       // default Deactivate
	OutOfScope Leave           `json:"outOfScope"` // default HoldLeave
	After      window.Duration `json:"after"`      // from when it is known
}

// Attribute is the path of a record's attribute.
type Attribute string

// The attributes that are provisioned, by their SCIM paths.
const (
	UserName          Attribute = "userName"
	Email             Attribute = "emails" // the primary one
	DisplayName       Attribute = "displayName"
	GivenName         Attribute = "name.givenName"
	FamilyName        Attribute = "name.familyName"
	NickName          Attribute = "nickName"
	Title             Attribute = "title"
	Department        Attribute = "department"
	Organization      Attribute = "organization"
	Timezone          Attribute = "timezone"
	PreferredLanguage Attribute = "preferredLanguage"
	PhoneNumber       Attribute = "phoneNumbers" // the first; the record has it, the account never shows it
)

// Attributes are all of them, in the order in which they are shown and written.
func Attributes() []Attribute {
	return []Attribute{UserName, Email, DisplayName, GivenName, FamilyName, NickName, Title, Department, Organization,
		Timezone, PreferredLanguage, PhoneNumber}
}

// Same reports whether two values of the attribute mean the same: addresses compare folded.
func (a Attribute) Same(one, other string) bool {
	if a.IsAddress() {
		return access.SameAddress(one, other)
	}
	return one == other
}

// IsAddress reports whether the attribute is what links a record to an account.
func (a Attribute) IsAddress() bool { return a == UserName || a == Email }
