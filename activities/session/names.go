package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// The people whom a policy names are resolved to accounts when it comes into force, and followed: addresses change, and
// are given to others. The ledger keeps the account of each name until the name leaves the policy.

// NameFound is the finding of a name that led to nobody in the policy in force, and that an apply has resolved.
const NameFound = "name-found"

// boundTo returns the accounts of names, as the ledger keeps them.
func boundTo(rows []ledger.PolicyName) policy.Accounts {
	all := policy.Accounts{}
	for _, r := range rows {
		all[r.Name] = policy.Account{Person: access.Person{ID: r.Account, Email: r.Email}, Then: r.Email, Gone: r.Gone,
			Unexplained: r.Unexplained, Since: r.Since}
	}
	return all
}

// BoundInForce is boundTo for a policy in force: what only a preview found does not count.
func BoundInForce(rows []ledger.PolicyName) policy.Accounts {
	return boundTo(slices.DeleteFunc(rows, func(r ledger.PolicyName) bool { return r.Trial }))
}

// useNames replaces the names in the session's policy by accounts. Names that the ledger does not know yet are looked
// up once: those of a ledger from before it kept them, and those of a preview.
//
// Calls: none; for names that are new, one for a hundred.
func (s *Session) useNames(ctx context.Context, inForce bool) error {
	names := foldedNames(s.Policy)
	if len(names) == 0 {
		return nil
	}
	rows, err := s.Ledger.PolicyNames(ctx, s.Org)
	if err != nil {
		return err
	}
	known := ByFolded(rows)
	missing := slices.DeleteFunc(names,
		func(name string) bool { r, found := known[name]; return found && (!r.Trial || !inForce) })
	if len(missing) > 0 {
		fresh, err := s.lookUpNames(ctx, missing, inForce)
		if err != nil {
			return err
		}
		for i := range fresh {
			fresh[i].Trial = !inForce
		}
		if err := s.Ledger.KeepPolicyNames(ctx, s.Org, fresh, s.Now()); err != nil {
			return err
		}
		rows = append(rows, fresh...) // the last one counts
	}
	s.Policy = s.Policy.WithAccounts(boundTo(rows))
	return nil
}

// foldedNames returns the names in a policy, each once, as the ledger keeps them.
func foldedNames(p *policy.Policy) []string {
	var names []string
	for _, n := range p.Names() {
		names = append(names, access.FoldName(n.Name))
	}
	return Distinct(names)
}

// ByFolded returns the rows by the folded form of their names.
func ByFolded(rows []ledger.PolicyName) map[string]ledger.PolicyName {
	known := map[string]ledger.PolicyName{}
	for _, r := range rows {
		known[r.Name] = r
	}
	return known
}

// lookUpNames looks up in the directory whom names stand for now. before: if the directory shows nobody, the name
// stands for whoever the ledger saw with the address, since the policy was in force then.
func (s *Session) lookUpNames(ctx context.Context, names []string, before bool) ([]ledger.PolicyName, error) {
	found, err := s.Accounts(ctx, names...)
	if err != nil {
		return nil, err
	}
	rows := make([]ledger.PolicyName, len(names))
	var read []access.Person
	for i, name := range names {
		one := found[i]
		if before && IsNotFound(one.Err) && access.IsAddress(name) {
			if p, err := s.AccountBefore(ctx, s.Org, name, true); err == nil {
				one = AccountLookup{Person: p}
			}
		} else if one.Err == nil {
			read = append(read, one.Person)
		}
		rows[i] = ledger.PolicyName{Name: name, Account: one.Person.ID, Email: one.Person.Email, Since: s.Now()}
	}
	return rows, s.Ledger.KeepPeople(ctx, s.Org, read, s.Now())
}

// TakeNames resolves the names of a policy that is to come into force, or to be previewed, and puts their accounts into
// the session's. Names of the policy in force keep their accounts. unowned are the rules whose owner is new and nobody
// active.
func (s *Session) TakeNames(ctx context.Context, preview bool) (names []ledger.PolicyName, unowned []access.Finding,
	err error) {
	if err := s.namesInForce(ctx); err != nil {
		return nil, nil, err
	}
	rows, err := s.Ledger.PolicyNames(ctx, s.Org)
	if err != nil {
		return nil, nil, err
	}
	before := ByFolded(rows)
	var fresh []string
	for _, name := range foldedNames(s.Policy) {
		if was, found := before[name]; found && !was.Trial && was.Account != "" {
			names = append(names, was)
		} else {
			fresh = append(fresh, name)
		}
	}
	found, err := s.lookUpNames(ctx, fresh, false)
	if err != nil {
		return nil, nil, err
	}
	if names, err = s.lookAgain(ctx, names); err != nil {
		return nil, nil, err
	}
	for i := range found {
		was, known := before[found[i].Name]
		found[i].Trial = preview && (!known || was.Trial)
	}
	names = append(names, found...)
	accounts, err := s.accountsNow(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	for i, r := range s.Policy.Rules {
		is := accounts.Of(r.Owner)
		was := before[access.FoldName(r.Owner)]
		if known := was.Name != "" && !was.Trial; r.Owner != "" && !known && (is.ID == "" || !is.CanReceive()) {
			unowned = append(unowned, access.Finding{Rule: "rule-owner-unknown", Subject: r.Name, Blocks: true,
				Detail: fmt.Sprintf(
					"its owner %s is not an active person of the organization; name one who is (rules[%d].owner)",
					r.Owner, i)})
		}
	}
	for _, n := range found {
		if was := before[n.Name]; was.Name != "" && !was.Trial && n.Account != "" {
			unowned = append(unowned, access.Finding{Rule: NameFound, Subject: n.Name, Detail: fmt.Sprintf(
				"matched no account in the policy in force; in this one it means account %s: if that is someone else, correct it, or write the account id", n.Account)})
		}
	}
	unowned = append(unowned, s.Policy.NameFindings(accounts)...)
	s.Policy = s.Policy.WithAccounts(accounts)
	if preview { // what the policy in force means is not for a preview to change
		names = slices.DeleteFunc(names, func(n ledger.PolicyName) bool { return !n.Trial })
	}
	return names, unowned, nil
}

// namesInForce makes sure that the ledger knows the names of the policy in force. One that cannot be read does not keep
// another from being applied: then what the ledger knows already stands.
func (s *Session) namesInForce(ctx context.Context) error {
	known, err := s.Ledger.Organization(ctx, s.Org)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := s.WrittenPolicy(ctx, s.Org, known.Policy)
	if isUnreadable(err) {
		return nil
	}
	if err != nil {
		return err
	}
	current := &Session{Env: s.Env, Org: s.Org, Policy: p, API: s.API, Directory: s.Directory}
	return current.useNames(ctx, true)
}

// FollowNames looks again at the people whom the policy in force names: who was renamed, who is gone, and whether an
// address that led to nobody has an owner now. Whom a name means is decided only when the policy is applied. It returns
// the accounts whose address changed, and whether anything did.
//
// Calls: one for a hundred of them.
func (s *Session) FollowNames(ctx context.Context) (renamed []string, moved bool, err error) {
	mine := foldedNames(s.Policy)
	if len(mine) == 0 {
		return nil, false, nil
	}
	rows, err := s.Ledger.PolicyNames(ctx, s.Org)
	if err != nil {
		return nil, false, err
	}
	rows = slices.DeleteFunc(rows, func(r ledger.PolicyName) bool { return r.Trial || !slices.Contains(mine, r.Name) })
	before, err := s.emailsOf(ctx, rows)
	if err != nil {
		return nil, false, err
	}
	now, err := s.lookAgain(ctx, slices.Clone(rows))
	if err != nil {
		return nil, false, err
	}
	after, err := s.emailsOf(ctx, rows)
	if err != nil {
		return nil, false, err
	}
	for _, id := range SortedKeys(before) {
		if after[id] != before[id] {
			renamed = append(renamed, id)
		}
	}
	var changed []ledger.PolicyName
	for i := range now {
		if now[i] != rows[i] {
			changed = append(changed, now[i])
		}
	}
	if len(changed) == 0 {
		return renamed, len(renamed) > 0, nil
	}
	if err := s.Ledger.KeepPolicyNames(ctx, s.Org, changed, s.Now()); err != nil {
		return nil, false, err
	}
	s.Policy = s.Policy.WithAccounts(boundTo(now)) // if several names changed, the last one counts
	return renamed, true, nil
}

// emailsOf returns the addresses that the ledger last saw for the accounts of names.
func (s *Session) emailsOf(ctx context.Context, rows []ledger.PolicyName) (map[string]string, error) {
	var ids []string
	for _, r := range rows {
		if r.Account != "" {
			ids = append(ids, r.Account)
		}
	}
	return s.Ledger.KnownEmails(ctx, s.Org, Distinct(ids))
}

// lookAgain reads the people of names, and those who have the names as addresses now, and marks who is gone.
func (s *Session) lookAgain(ctx context.Context, rows []ledger.PolicyName) ([]ledger.PolicyName, error) {
	var ids, addresses []string
	for _, r := range rows {
		if r.Account != "" {
			ids = append(ids, r.Account)
		}
		if access.IsAddress(r.Name) {
			addresses = append(addresses, r.Name)
		}
	}
	if len(rows) == 0 {
		return rows, nil
	}
	emails, err := s.Ledger.KnownEmails(ctx, s.Org, ids)
	if err != nil {
		return nil, err
	}
	for _, email := range emails {
		addresses = append(addresses, access.FoldAddress(email))
	}
	read, err := s.ByName(ctx, nil, addresses)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, p := range read {
		found[p.ID] = true
	}
	more, err := s.ByName(ctx, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return found[id] }), nil)
	if err != nil {
		return nil, err
	}
	for _, p := range more {
		found[p.ID] = true
	}
	read = append(read, more...)
	for i, r := range rows {
		if r.Account != "" {
			rows[i].Gone = !found[r.Account]
			continue
		}
		// Whoever gets an address that led to nobody may not be the person meant: that is up to whoever applies the
		// policy.
		one := s.oneOf(r.Name, read)
		switch {
		case r.Unexplained:
		case one.Err == nil && r.Email == "":
			rows[i].Email, rows[i].Since = one.Person.Email, s.Now()
		case IsNotFound(one.Err):
			rows[i].Email = ""
		}
	}
	return rows, s.Ledger.KeepPeople(ctx, s.Org, read, s.Now())
}

// accountsNow returns the accounts of names, with what the ledger last saw of them.
func (s *Session) accountsNow(ctx context.Context, rows []ledger.PolicyName) (policy.Accounts, error) {
	var ids, names []string
	for _, r := range rows {
		if r.Account != "" {
			ids = append(ids, r.Account)
		}
		names = append(names, r.Name)
	}
	people, err := s.Ledger.People(ctx, s.Org, Distinct(ids), Distinct(names))
	if err != nil {
		return nil, err
	}
	all := boundTo(rows)
	for name, is := range all {
		for _, p := range people {
			switch {
			case p.ID == is.ID:
				is.Person = p
			case (is.ID != "" || is.Then != "") && access.FoldAddress(p.Email) == name:
				is.Other = p.ID
			}
		}
		all[name] = is
	}
	return all, nil
}

// NameFindings returns findings about the names in the policy, from what was last seen.
func (s *Session) NameFindings(ctx context.Context) ([]access.Finding, error) {
	if len(s.Policy.Names()) == 0 {
		return nil, nil
	}
	rows, err := s.Ledger.PolicyNames(ctx, s.Org)
	if err != nil {
		return nil, err
	}
	accounts, err := s.accountsNow(ctx, rows)
	if err != nil {
		return nil, err
	}
	return s.Policy.NameFindings(accounts), nil
}
