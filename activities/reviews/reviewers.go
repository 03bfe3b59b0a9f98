package reviews

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// keepReviewNames makes a review keep the accounts of its campaign's names in the policy, even after the policy drops
// these names.
func (a *Activities) keepReviewNames(ctx context.Context, in ReviewInput, p *policy.Policy) error {
	rows, err := a.env.Ledger.PolicyNames(ctx, in.Org)
	if err != nil {
		return err
	}
	known := session.BoundInForce(rows)
	accounts := map[string]string{}
	for _, named := range p.Names() {
		if is, found := known[access.FoldName(named.Name)]; found && named.Use == policy.NameReviewer &&
			access.IsAddress(named.Name) {
			accounts[named.Name] = is.ID // "": nobody, whoever gets the address while the review runs
		}
	}
	return a.env.Ledger.NameReviewers(ctx, in.Org, in.Review, accounts)
}

// reviewAccounts returns the accounts of the names in a review's policy: as the review keeps them, or else as the
// policy in force has them.
func (a *Activities) reviewAccounts(ctx context.Context, in ReviewInput) (policy.Accounts, error) {
	rows, err := a.env.Ledger.PolicyNames(ctx, in.Org)
	if err != nil {
		return nil, err
	}
	accounts := session.BoundInForce(rows)
	kept, err := a.env.Ledger.ReviewNames(ctx, in.Org, in.Review)
	inForce := session.ByFolded(rows)
	for name, account := range kept {
		if is, found := inForce[name]; account == "" && found && !is.Trial {
			continue // an apply has decided since who is meant
		}
		accounts[name] = policy.Account{Person: access.Person{ID: account}}
	}
	return accounts, err
}

// reviewNames returns the accounts of addresses in the review: those of its campaign, of sponsors, and of reviewers in
// a review from before they were accounts. An account once found stays: an address that is given to somebody else later
// makes nobody a reviewer. An address without an account leads to ""; the keys are folded (access.FoldAddress).
//
// Calls: one for a hundred addresses that the review did not know yet.
func (r *campaignSession) reviewNames(ctx context.Context, written []string) (map[string]string, error) {
	known, err := r.Ledger.ReviewNames(ctx, r.Org, r.review.ID)
	if err != nil {
		return nil, err
	}
	var fresh []string
	for _, name := range written {
		name = access.FoldAddress(name)
		if _, looked := known[name]; access.IsAddress(name) && !looked {
			fresh = append(fresh, name)
		}
	}
	fresh = session.Distinct(fresh)
	if len(fresh) == 0 {
		return known, nil
	}
	found, err := r.Accounts(ctx, fresh...)
	if err != nil {
		return nil, err
	}
	bound := map[string]string{}
	for i, name := range fresh {
		if found[i].Err == nil {
			bound[name] = found[i].Person.ID
		}
	}
	if err := r.Ledger.NameReviewers(ctx, r.Org, r.review.ID, bound); err != nil {
		return nil, err
	}
	maps.Copy(known, bound)
	return known, nil
}

// readAccounts reads people by account ID, as the directory shows them now; those it does not show are left out.
func (s *task) readAccounts(ctx context.Context, ids []string) (map[string]access.Person, error) {
	read, err := s.ReadPeople(ctx, session.Distinct(ids))
	if err != nil {
		return nil, err
	}
	asked := map[string]bool{}
	for _, id := range ids {
		asked[id] = true
	}
	people := map[string]access.Person{}
	for _, p := range read {
		if asked[p.ID] { // the address by which somebody was searched may be another's by now
			people[p.ID] = p
		}
	}
	return people, nil
}

// sponsors replaces the requesters of external people's presence by accounts. An old grant may have only an address: it
// means the one account that the ledger knows by it.
func (t *collector) sponsors(ctx context.Context) error {
	accounts := map[string]string{}
	for _, i := range t.items {
		name := i.Sponsor
		if _, looked := accounts[name]; looked || !access.IsAddress(name) {
			continue
		}
		accounts[name] = ""
		last, before, err := t.Ledger.Addressed(ctx, t.Org, name)
		if err != nil {
			return err
		}
		if all := append(last, before...); len(all) == 1 {
			accounts[name] = all[0].ID
		}
	}
	var ids []string
	for n := range t.items {
		i := &t.items[n]
		if access.IsAddress(i.Sponsor) {
			i.SponsorEmail, i.Sponsor = i.Sponsor, accounts[i.Sponsor]
		}
		if i.Sponsor != "" {
			ids = append(ids, i.Sponsor)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	known, err := t.Ledger.KnownEmails(ctx, t.Org, session.Distinct(ids))
	if err != nil {
		return err
	}
	for n := range t.items {
		t.items[n].SponsorEmail = cmp.Or(known[t.items[n].Sponsor], t.items[n].SponsorEmail)
	}
	return nil
}

// actors are who words name, by what was typed: one look at the directory for all of them.
type actors map[string]session.AccountLookup

// lookUpActors looks up everybody named in messages. If the directory cannot be read, an account ID is taken as it is,
// and an address is whoever the ledger saw with it last; then nothing can be delegated, since a delegate is sent a
// link.
func (a *Activities) lookUpActors(ctx context.Context, org string, words []ReviewMessage) (actors, error) {
	var typed, receivers []string
	for _, w := range words {
		typed = append(typed, w.names()...)
		if w.Delegate != nil {
			receivers = append(receivers, w.Delegate.To)
		}
	}
	typed = slices.DeleteFunc(session.Distinct(typed), func(name string) bool { return name == "" })
	all := actors{}
	if len(typed) == 0 {
		return all, nil
	}
	found, err := a.env.AccountsNow(ctx, org, typed)
	if err == nil {
		for i, name := range typed {
			all[name] = found[i]
		}
		return all, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	for _, name := range typed {
		if slices.Contains(receivers, name) {
			all[name] = session.AccountLookup{
				Err: session.Refusedf("it is not known at the moment who %s is, because the directory cannot be read (%s); try again later", name, session.ErrorText(err))}
			continue
		}
		one, err := a.accountLast(ctx, org, name)
		if err != nil {
			return nil, err
		}
		all[name] = one
	}
	return all, nil
}

// accountLast returns the account that the ledger saw last under a name; an unknown account ID stands for itself. An
// error is the ledger's own.
func (a *Activities) accountLast(ctx context.Context, org, typed string) (session.AccountLookup, error) {
	p, err := a.env.AccountBefore(ctx, org, strings.TrimSpace(typed), false)
	switch {
	case err == nil:
		return session.AccountLookup{Person: p}, nil
	case session.IsNotFound(err) && !access.IsAddress(typed):
		return session.AccountLookup{Person: access.Person{ID: strings.TrimSpace(typed)}}, nil
	case errors.As(err, new(*temporal.ApplicationError)): // nobody, or several
		return session.AccountLookup{Err: err}, nil
	}
	return session.AccountLookup{}, err
}

// of returns the account that somebody typed; refusal is why there is none that may act.
func (s actors) of(typed string, to bool) (p access.Person, refusal string) {
	one, looked := s[typed]
	switch {
	case !looked:
		return p, "nobody is named: give an e-mail address or an account id"
	case one.Err != nil:
		return p, session.ErrorText(one.Err)
	case (to || one.Person.AccountStatus != "") && !one.Person.CanReceive():
		return p, one.Person.Label() + " is not active in the directory"
	}
	return one.Person, ""
}

// names returns all names of people in a message, as typed. The sender with a good link need not be looked up.
func (w ReviewMessage) names() (all []string) {
	by, filter := "", (*messages.ItemFilter)(nil)
	switch {
	case w.Decide != nil:
		by, filter = w.Decide.By, w.Decide.All
	case w.Delegate != nil:
		by, filter, all = w.Delegate.By, w.Delegate.All, []string{w.Delegate.To}
	case w.Comment != nil:
		by = w.Comment.By
	case w.Reopen != nil:
		by, filter = w.Reopen.By, w.Reopen.All
	}
	if filter != nil {
		all = append(all, filter.Person)
	}
	if !w.trusted {
		all = append(all, by)
	}
	return all
}

// labels returns a function from accounts to their names for display: the last known addresses.
func (a *Activities) labels(ctx context.Context, org string, ids []string) (func(id string) string, error) {
	known, err := a.env.Ledger.KnownEmails(ctx, org, session.Distinct(ids))
	return func(id string) string { return cmp.Or(known[id], id) }, err
}
