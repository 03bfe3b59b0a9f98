package identity

import (
	"time"

	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/provision"
)

// AccountID is the id of an Atlassian account, RecordID that of a record in a SCIM directory. Both are opaque texts;
// the types keep them from being confused.
type (
	AccountID string
	RecordID  string
)

// Ref names an identity: a person in a source, by the immutable key.
type Ref struct {
	Source string `json:"source"`
	Key    string `json:"key"`
}

// String returns the name that changes use for a person who has no account yet: "corp:<key>".
func (r Ref) String() string { return r.Source + ":" + r.Key }

// Presence is what is known about an identity in its source.
type Presence string

// The presences. Gone and OutOfScope must be proved by the caller, by two complete reads and a look-up; anything less
// is Unknown.
const (
	Enabled    Presence = "enabled"
	Disabled   Presence = "disabled"   // the source says so: disabled, suspended, deprovisioned
	Gone       Presence = "gone"       // the source no longer has anyone with this key
	OutOfScope Presence = "outOfScope" // in the source, but outside the policy's scope
	Unknown    Presence = "unknown"
)

// Identity is a person in a source, as far as it is known.
type Identity struct {
	Ref
	Presence Presence
	Since    time.Time // since when it has this Presence; zero: not known
	Groups   []string  // names
	// GroupKeys are the keys of the groups.
	GroupKeys []string
	// Attributes are as in the source; see attribute.Subject. Empty unless the person is Enabled or Disabled.
	Attributes map[string]any
}

func (i Identity) subject() *attribute.Subject {
	s := &attribute.Subject{Source: i.Source, Key: i.Key, Groups: i.Groups, Attributes: i.Attributes}
	switch i.Presence {
	case Enabled, Disabled:
		enabled := i.Presence == Enabled
		s.Enabled = &enabled
	}
	return s
}

// Record is a person in a SCIM directory.
type Record struct {
	ID       RecordID
	Account  AccountID // the account that it is linked to; empty: none
	External string    // the identity provider's own id, as it wrote it
	Active   bool
	Values   Values
	Modified time.Time
}

// Address is the record's address: the primary one, else the user name.
func (r Record) Address() string {
	if address := r.Values[provision.Email]; address != "" {
		return address
	}
	return r.Values[provision.UserName]
}

// Account is an Atlassian account, as the organization shows it.
type Account struct {
	ID      AccountID
	Address string
	Managed *bool // whether the organization manages it; nil: not known
	Active  *bool // nil: not known
}

// Values are attributes with their values. A missing attribute is not known; an empty one is known to be empty.
type Values map[provision.Attribute]string
