package identity

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/provision"
)

// Provision is a compiled provision: how one SCIM directory's records follow the people of some sources. See New.
type Provision struct {
	Name       string
	Sources    []string          // the first that has a value wins an attribute
	Observe    bool              // another identity provider writes: nothing is changed
	Match      []provision.Means // in this order
	Attributes map[provision.Attribute]*attribute.Expression
	Domains    func(domain string) bool // the organization has verified it
	External   provision.External
	Leavers    provision.Leavers
	// Kept reports whether a person is never deactivated, as a protected person or the owner of a key.
	Kept func(AccountID, string) bool
}

// New compiles a policy's provision. domains reports whether the organization has verified an e-mail domain, kept
// whether a person is never deactivated, as a protected person or the owner of a key.
func New(p provision.Provision, domains func(string) bool, kept func(AccountID, string) bool) (Provision, error) {
	compiled := Provision{
		Name: p.Name, Sources: p.From, Observe: p.Directory.Mode == provision.Observe, Match: p.Match,
		Attributes: make(map[provision.Attribute]*attribute.Expression, len(p.Attributes)),
		Domains:    domains, External: p.External, Leavers: p.Leavers, Kept: kept,
	}
	for name, text := range p.Attributes {
		expression, err := attribute.CompileValue(text)
		if err != nil {
			return Provision{}, fmt.Errorf("provision %s: %s: %w", p.Name, name, err)
		}
		compiled.Attributes[name] = expression
	}
	return compiled, nil
}

// wanted returns what the record's attributes should be, as far as the identities with a presence have them. The errors
// are of attributes that could not be computed, which stay as they are.
func (p Provision) wanted(identities []Identity, presence Presence) (values Values, errs []error) {
	values = Values{}
	for _, name := range provision.Attributes() {
		expression := p.Attributes[name]
		if expression == nil {
			continue
		}
		for _, i := range identities {
			if i.Presence != presence {
				continue
			}
			value, err := expression.Value(i.subject())
			if err == nil && value == "" && name.IsAddress() {
				continue // nobody is left without an address
			}
			if err == nil {
				values[name] = value
				break
			}
			if !errors.Is(err, attribute.ErrUnknown) {
				errs = append(errs, fmt.Errorf("%s of %s: %w", name, i.Ref, err))
				break // the first source that has a value decides, even if it is invalid
			}
		}
	}
	if values[provision.Email] == "" && values[provision.UserName] != "" {
		values[provision.Email] = values[provision.UserName]
	}
	if values[provision.UserName] == "" && values[provision.Email] != "" {
		values[provision.UserName] = values[provision.Email]
	}
	return values, errs
}

// Addresses returns the addresses by which the person's record may be found: those that it should have, as far as
// enabled identities have them.
func (p Provision) Addresses(person Person) []string {
	wanted, _ := p.wanted(person.Identities, Enabled)
	all := []string{wanted[provision.UserName], wanted[provision.Email]}
	if access.SameAddress(all[0], all[1]) {
		all = all[:1]
	}
	return slices.DeleteFunc(all, func(address string) bool { return address == "" })
}

// own reports whether an address is in a domain that the organization has verified.
func (p Provision) own(address string) bool {
	return p.Domains != nil && p.Domains(access.DomainOf(address))
}

// leave returns what becomes of the record of a person with a presence.
func leave(l provision.Leavers, p Presence) provision.Leave {
	switch p {
	case Disabled:
		return cmp.Or(l.Disabled, provision.Deactivate)
	case Gone:
		return cmp.Or(l.Gone, provision.Deactivate)
	case OutOfScope:
		return cmp.Or(l.OutOfScope, provision.HoldLeave)
	}
	return provision.ReportOnly
}
