package provisioning

import (
	"context"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
)

// identitiesNamed returns the identities of the provision's sources that go by typed names, each once: "source:key", an
// account id, or an e-mail address. missing are the names that lead to none.
//
// Calls: one for a hundred addresses, one for ten account ids.
func identitiesNamed(ctx context.Context, p *session.Provisioner, names []string) (found []ledger.Ref, missing []string,
	err error) {
	var typed []string
	for _, name := range names {
		ref := ledger.ReadRef(name)
		if !slices.Contains(p.Spec.From, ref.Source) {
			typed = append(typed, name)
			continue
		}
		known, err := p.Ledger.Identities(ctx, p.Org, []ledger.Ref{ref})
		if err != nil {
			return nil, nil, err
		}
		if len(known) == 0 {
			missing = append(missing, name)
			continue
		}
		found = append(found, ref)
	}
	accounts, err := p.Accounts(ctx, typed...)
	if err != nil {
		return nil, nil, err
	}
	for i, name := range typed {
		refs, err := identitiesOf(ctx, p, name, accounts[i])
		if err != nil {
			return nil, nil, err
		}
		if len(refs) == 0 {
			missing = append(missing, name)
		}
		found = append(found, refs...)
	}
	slices.SortFunc(found, ledger.CompareRefs)
	return slices.Compact(found), missing, nil
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
