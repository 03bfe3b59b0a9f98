package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
)

// NotFoundf returns the error for a name without an account.
func NotFoundf(format string, args ...any) error {
	return NonRetryable(ErrUnknown, fmt.Errorf(format, args...))
}

// IsNotFound reports whether an error means that a name has no account, rather than a failure.
func IsNotFound(err error) bool {
	var what *temporal.ApplicationError
	return errors.As(err, &what) && what.Type() == ErrUnknown
}

// IsRefused reports whether an error means that a name has several accounts.
func IsRefused(err error) bool {
	var what *temporal.ApplicationError
	return errors.As(err, &what) && what.Type() == ErrRefused
}

// Retryable reports whether another attempt may succeed.
func Retryable(err error) bool {
	var what *temporal.ApplicationError
	return !errors.As(err, &what) || !what.NonRetryable()
}

// ReadNamed reads the one person with the typed name, for looking at them: who has the address now, or else who had it
// before. ErrUnknown means nobody.
func (s *Session) ReadNamed(ctx context.Context, typed string) ([]access.Person, error) {
	name, err := access.ReadName(typed)
	if err != nil {
		return nil, NotFoundf("%w", err)
	}
	read, err := s.ReadPeople(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	one := s.oneOf(name, read)
	if IsNotFound(one.Err) && access.IsAddress(name) {
		before, err := s.AccountBefore(ctx, s.Org, name, true)
		if err != nil {
			return nil, err
		}
		if read, err = s.ReadPeople(ctx, []string{before.ID}); err != nil {
			return nil, err
		}
		one = s.oneOf(before.ID, read)
	}
	return []access.Person{one.Person}, one.Err
}

// AccountLookup is the result for one name: the account, or why there is none.
type AccountLookup struct {
	Person access.Person
	Err    error
}

// Accounts looks up several names, in their order. Only a failed read fails the whole. People come with their groups,
// which are nil if the response has no list of them.
//
// Calls: one for a hundred addresses, one for ten account ids.
func (s *Session) Accounts(ctx context.Context, typed ...string) ([]AccountLookup, error) {
	out := make([]AccountLookup, len(typed))
	names := make([]string, len(typed))
	var ids, addresses []string
	for i, word := range typed {
		name, err := access.ReadName(word)
		if err != nil {
			out[i].Err = NotFoundf("%w", err)
			continue
		}
		names[i] = name
		if list := &ids; !access.IsAddress(name) {
			*list = append(*list, name)
		} else {
			addresses = append(addresses, name)
		}
	}
	read, err := s.ByName(ctx, ids, addresses)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if name != "" {
			out[i] = s.oneOf(name, read)
		}
	}
	return out, nil
}

// ByName reads the people of some account IDs and addresses.
func (s *Session) ByName(ctx context.Context, ids, addresses []string) ([]access.Person, error) {
	var all []access.Person
	var forms []string
	for _, address := range addresses {
		forms = append(forms, access.AddressForms(address)...)
	}
	for _, some := range Chunks(Distinct(forms), MostEmails) {
		read, err := s.searchAll(ctx, organization.UserQuery{Emails: some, Limit: PageSize, Expand: ExpandPeople})
		if err != nil {
			return nil, err
		}
		all = append(all, read...)
	}
	for _, some := range Chunks(Distinct(ids), MostAccountIDs) {
		read, err := s.searchAll(ctx, organization.UserQuery{AccountIDs: some, Limit: PageSize, Expand: ExpandPeople})
		if err != nil {
			return nil, err
		}
		all = append(all, read...)
	}
	return unique(all), nil
}

// Distinct returns the words in order, each once.
func Distinct(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}

// searchAll returns all results of a search, including those without a list of groups.
func (s *Session) searchAll(ctx context.Context, q organization.UserQuery) ([]access.Person, error) {
	var found []access.Person
	err := s.EachPerson(ctx, "look up people of organization "+s.Org, q, func(page []organization.User) (bool, error) {
		for _, u := range page {
			found = append(found, person(u))
		}
		return true, nil
	})
	return found, err
}

// oneOf returns the one account among those read that a name stands for. Of several with one address, the active one
// counts.
func (s *Session) oneOf(name string, read []access.Person) AccountLookup {
	var found []access.Person
	for _, p := range read {
		if p.ID == name || access.IsAddress(name) && access.FoldAddress(p.Email) == access.FoldAddress(name) {
			found = append(found, p)
		}
	}
	return s.only(name, found, "the directory")
}

func (a *Env) only(name string, found []access.Person, where string) AccountLookup {
	active := slices.DeleteFunc(slices.Clone(found), func(p access.Person) bool { return !p.CanReceive() })
	switch {
	case len(found) == 0:
		return AccountLookup{Err: NotFoundf("%s shows nobody named %s: check the address, or give the account id",
			where, name)}
	case len(found) == 1:
		return AccountLookup{Person: found[0]}
	case len(active) == 1:
		return AccountLookup{Person: active[0]}
	}
	return AccountLookup{Err: Refusedf("several accounts have the address %s (%s): give the account id", name,
		strings.Join(IDsOf(found), ", "))}
}

// LookUpAccount returns the account of a typed name, for what gives nobody anything: looking things up and removing. If
// the directory shows nobody with that address it is whoever the ledger knows to have had it; if the directory cannot
// be read, whom the ledger saw with it last.
func (a *Env) LookUpAccount(ctx context.Context, org, typed string) (access.Person, error) {
	all, err := a.LookUpAccounts(ctx, org, typed)
	if err != nil {
		return access.Person{}, err
	}
	return all[0].Person, all[0].Err
}

// LookUpAccounts is LookUpAccount for several names, in their order.
func (a *Env) LookUpAccounts(ctx context.Context, org string, typed ...string) ([]AccountLookup, error) {
	found, failed := a.AccountsNow(ctx, org, typed)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if failed != nil {
		found = make([]AccountLookup, len(typed))
	}
	for i, word := range typed {
		name, err := access.ReadName(word)
		switch {
		case err != nil:
			found[i] = AccountLookup{Err: NotFoundf("%w", err)}
		case failed != nil, IsNotFound(found[i].Err):
			p, err := a.AccountBefore(ctx, org, name, failed == nil)
			found[i] = AccountLookup{p, err}
		}
	}
	return found, nil
}

// AccountNow looks up a name in the directory, under the policy in force.
func (a *Env) AccountNow(ctx context.Context, org, typed string) (access.Person, error) {
	all, err := a.AccountsNow(ctx, org, []string{typed})
	if err != nil {
		return access.Person{}, err
	}
	return all[0].Person, all[0].Err
}

// AccountBefore looks up a name in the ledger. gone: the directory was read and shows nobody of that name.
func (a *Env) AccountBefore(ctx context.Context, org, name string, gone bool) (access.Person, error) {
	where := "the ledger"
	if gone {
		where = "the directory"
	}
	if !access.IsAddress(name) {
		p, err := a.Ledger.FindPerson(ctx, org, name)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return access.Person{}, err
		}
		if err != nil {
			return access.Person{}, NotFoundf("%s shows nobody named %s: check the account id", where, name)
		}
		return p, nil
	}
	last, before, err := a.Ledger.Addressed(ctx, org, name)
	if err != nil {
		return access.Person{}, err
	}
	if len(last) == 0 {
		last = before
	}
	one := a.only(name, last, where)
	if gone && IsRefused(one.Err) {
		return one.Person, Refusedf("no account has the address %s now; the accounts %s had it: give the account id of the one you mean", name, strings.Join(IDsOf(last), ", "))
	}
	return one.Person, one.Err
}

// RereadPeople records what the directory shows of some accounts now.
func (a *Env) RereadPeople(ctx context.Context, org string, ids []string) error {
	s, err := a.OpenInForce(ctx, org)
	if err != nil {
		return err
	}
	read, err := s.ByName(ctx, slices.DeleteFunc(slices.Clone(ids), access.IsAddress), nil)
	if err != nil {
		return err
	}
	return a.Ledger.KeepPeople(ctx, org, read, a.Now())
}

// LookUpPatience is how long a look-up of a typed name may take.
const LookUpPatience = 10 * time.Second

// AccountsNow looks up names in the directory, under the policy in force.
func (a *Env) AccountsNow(ctx context.Context, org string, typed []string) ([]AccountLookup, error) {
	calls, cancel := context.WithTimeout(ctx, LookUpPatience)
	defer cancel()
	s, err := a.OpenInForce(calls, org)
	if err != nil {
		return nil, err
	}
	found, err := s.Accounts(calls, typed...)
	if err != nil {
		return nil, err
	}
	return found, s.KeepRenamed(ctx, found)
}

// KeepRenamed records the new addresses of people whom the ledger knows by others, so that answers show them.
func (s *Session) KeepRenamed(ctx context.Context, found []AccountLookup) error {
	var ids []string
	for _, one := range found {
		if one.Err == nil {
			ids = append(ids, one.Person.ID)
		}
	}
	known, err := s.Ledger.KnownEmails(ctx, s.Org, ids)
	if err != nil {
		return err
	}
	var renamed []access.Person
	for _, one := range found {
		if before := known[one.Person.ID]; one.Err == nil && before != "" && before != one.Person.Email {
			renamed = append(renamed, one.Person)
		}
	}
	return s.Ledger.KeepPeople(ctx, s.Org, renamed, s.Now())
}
