package provisioning

import (
	"context"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
)

// FindIdentitiesInput names people of a provision.
type FindIdentitiesInput struct {
	Org       string   `json:"org"`
	Provision string   `json:"provision"`
	People    []string `json:"people"` // as in messages.ProvisionNowInput
}

// FindIdentities returns the identities of people, as "source:key". Names that lead to nobody are refused.
func (a *Activities) FindIdentities(ctx context.Context, in FindIdentitiesInput) (names []string, err error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.OpenInForce(ctx, in.Org)
	if err != nil {
		return nil, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return nil, err
	}
	refs, err := identitiesNamed(ctx, p, in.People)
	for _, r := range refs {
		names = append(names, r.String())
	}
	return names, err
}

// identitiesNamed returns the identities of the provision's sources that go by typed names, each once: "source:key", an
// account id, or an e-mail address. Names that lead to none are refused, all of them at once.
//
// Calls: one for a hundred addresses, one for ten account ids.
func identitiesNamed(ctx context.Context, p *session.Provisioner, names []string) (found []ledger.Ref, err error) {
	var missing, typed []string
	for _, name := range names {
		ref := ledger.ReadRef(name)
		if !slices.Contains(p.Spec.From, ref.Source) {
			typed = append(typed, name)
			continue
		}
		known, err := p.Ledger.Identities(ctx, p.Org, []ledger.Ref{ref})
		if err != nil {
			return nil, err
		}
		if len(known) == 0 {
			missing = append(missing, name)
			continue
		}
		found = append(found, ref)
	}
	accounts, err := p.Accounts(ctx, typed...)
	if err != nil {
		return nil, err
	}
	for i, name := range typed {
		refs, err := identitiesOf(ctx, p, name, accounts[i])
		if err != nil {
			return nil, err
		}
		if len(refs) == 0 {
			missing = append(missing, name)
		}
		found = append(found, refs...)
	}
	if len(missing) > 0 {
		return nil, session.NotFoundf("%d of %d people are in none of the sources of provision %s: %s. %s lists who is",
			len(missing), len(names), p.Spec.Name, strings.Join(missing[:min(len(missing), 5)], ", "),
			display.Starter("identities", p.Org))
	}
	slices.SortFunc(found, ledger.CompareRefs)
	return slices.Compact(found), nil
}

// identitiesOf returns the identities that are an account, or else those that have the address.
func identitiesOf(ctx context.Context, p *session.Provisioner, name string, of session.AccountLookup) (
	refs []ledger.Ref, err error) {
	if of.Err == nil {
		bound, err := p.Ledger.IdentitiesOf(ctx, p.Org, []string{of.Person.ID})
		if err != nil {
			return nil, err
		}
		for _, one := range bound[of.Person.ID] {
			if slices.Contains(p.Spec.From, one.Source) {
				refs = append(refs, one.Ref())
			}
		}
	} else if !session.IsNotFound(of.Err) {
		return nil, of.Err
	}
	address := name
	if of.Err == nil {
		address = of.Person.Email
	}
	if len(refs) > 0 || !access.IsAddress(address) {
		return refs, nil
	}
	unbound, err := p.Ledger.UnboundAt(ctx, p.Org, []string{address})
	for _, one := range unbound[access.FoldAddress(address)] {
		if slices.Contains(p.Spec.From, one.Source) {
			refs = append(refs, one.Ref())
		}
	}
	return refs, err
}
