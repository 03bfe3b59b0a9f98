package identity

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/attribute"
)

// Provision is how the people of some sources become records of one SCIM directory.
type Provision struct {
	Name       string
	Sources    []string // the first that has a value wins an attribute
	Observe    bool     // another identity provider writes: nothing is changed
	Match      []Means  // in this order
	Attributes map[Attribute]*attribute.Expression
	Domains    func(domain string) bool // the organization has verified it
	External   External
	Leavers    Leavers
	// Kept says that a person is never deactivated: a protected one, or the owner of a key.
	Kept func(AccountID, string) bool
}

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
type External struct{ Link, Update Consent }

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
	Disabled, Gone, OutOfScope Leave
	After                      time.Duration // from when it is known
}

// wanted returns what the record's attributes should be, as far as the identities of a presence say. The errors are of
// attributes that could not be made, which are left as they are.
func (p Provision) wanted(identities []Identity, presence Presence) (values Values, errs []error) {
	values = Values{}
	for _, name := range Attributes() {
		expression := p.Attributes[name]
		if expression == nil {
			continue
		}
		for _, i := range identities {
			if i.Presence != presence {
				continue
			}
			value, err := expression.Value(i.subject())
			if err == nil && value == "" && name.address() {
				continue // nobody is left without an address
			}
			if err == nil {
				values[name] = value
				break
			}
			if !errors.Is(err, attribute.ErrUnknown) {
				errs = append(errs, fmt.Errorf("%s of %s: %w", name, i.Ref, err))
				break // the source that comes first has a say; it is wrong, and no other overrules it
			}
		}
	}
	if values[Email] == "" && values[UserName] != "" {
		values[Email] = values[UserName]
	}
	if values[UserName] == "" && values[Email] != "" {
		values[UserName] = values[Email]
	}
	return values, errs
}

// own reports whether an address is of a domain that the organization has verified.
func (p Provision) own(address string) bool {
	return p.Domains != nil && p.Domains(access.DomainOf(address))
}

// leave is what becomes of the record for a presence.
func (l Leavers) leave(p Presence) Leave {
	switch p {
	case Disabled:
		return cmp.Or(l.Disabled, Deactivate)
	case Gone:
		return cmp.Or(l.Gone, Deactivate)
	case OutOfScope:
		return cmp.Or(l.OutOfScope, HoldLeave)
	}
	return ReportOnly
}
