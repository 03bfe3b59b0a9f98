package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// PolicyName is the account that a person's name in a policy stands for.
type PolicyName struct {
	Name    string    // as access.FoldName writes it
	Account string    // account id; "" while the name leads to nobody
	Email   string    // the address that the account had then
	Since   time.Time // when that was found
	Trial   bool      // for previews only: no policy in force has the name
	Gone    bool      // the directory no longer shows the account

	Unexplained bool // the chain does not explain the name's row, so it leads to nobody
}

// PolicyNames returns the accounts of the names in the organization's policies, by name. One whose row the chain does
// not explain leads to nobody.
func (l *Ledger) PolicyNames(ctx context.Context, org string) ([]PolicyName, error) {
	all, err := l.reads.policyNames(ctx, org)
	if err != nil {
		return nil, reading(err, "the names in policies", org)
	}
	keys := make([][]string, len(all))
	for i, n := range all {
		keys[i] = []string{n.Name}
	}
	explained, err := l.explainedRows(ctx, org, tablePolicyNames, keys)
	if err != nil {
		return nil, reading(err, "what the chain says of the names in policies", org)
	}
	there := all[:0]
	for _, n := range all {
		is, answered := explained[n.Name]
		if !answered {
			continue // somebody removed it meanwhile
		}
		if !is {
			n.Account, n.Email, n.Unexplained = "", "", true
		}
		there = append(there, n)
	}
	return there, nil
}

func (d database) policyNames(ctx context.Context, org string) ([]PolicyName, error) {
	return collect(ctx, d, func(row scanner) (n PolicyName, err error) {
		var since int64
		var trial, gone int
		err = row.Scan(&n.Name, &n.Account, &n.Email, &since, &trial, &gone)
		n.Since, n.Trial, n.Gone = fromInstant(since), trial != 0, gone != 0
		return n, err
	}, `SELECT name, account, email, since, trial, gone FROM policy_names WHERE org = ? ORDER BY name`, org)
}

// KeepPolicyNames stores the accounts of some names, in place of their earlier ones.
func (l *Ledger) KeepPolicyNames(ctx context.Context, org string, names []PolicyName, at time.Time) error {
	return l.write(ctx, org, "keep what names in the policy stand for",
		func(w *write) error { return w.setNames(ctx, names, orNow(at), false) })
}

// setNames stores the accounts of names; with all, other names are deleted.
func (w *write) setNames(ctx context.Context, names []PolicyName, at time.Time, all bool) error {
	before, err := w.policyNames(ctx, w.org)
	if err != nil {
		return err
	}
	keys := make([][]any, len(names))
	for i, n := range names {
		keys[i] = []any{n.Name}
	}
	announce := w.touchDoubted
	if all {
		announce = w.forget
	}
	if err := announce(ctx, tablePolicyNames, keys...); err != nil {
		return err
	}
	if all {
		if err := w.forgetWhere(ctx, tablePolicyNames, `1 = 1`); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `DELETE FROM policy_names WHERE org = ?`, w.org); err != nil {
			return err
		}
	}
	var rows [][]any
	for _, n := range names {
		rows = append(rows, []any{w.org, n.Name, n.Account, n.Email, instant(orElse(n.Since, at)), flag(n.Trial),
			flag(n.Gone)})
	}
	if err := w.execRows(ctx, `INSERT INTO policy_names (org, name, account, email, since, trial, gone) VALUES`,
		marks(7),
		`ON CONFLICT (org, name) DO UPDATE SET account = excluded.account, email = excluded.email, since = excluded.since,
		trial = excluded.trial, gone = excluded.gone`, rows); err != nil {
		return err
	}
	after, err := w.policyNames(ctx, w.org)
	if err != nil || slices.Equal(standFor(before), standFor(after)) {
		return err
	}
	return w.append(ctx, Entry{At: at, Kind: EntryPolicyNames, Body: body(map[string]any{"accounts": standFor(after)})})
}

// standFor returns the account IDs of the names of the policy in force, in the order of the names: the chain contains
// no address.
func standFor(names []PolicyName) []string {
	all := []string{}
	for _, n := range names {
		if !n.Trial {
			all = append(all, n.Account)
		}
	}
	return all
}

func orElse(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}

// People returns the people with one of the account IDs or one of the addresses, as last seen, without groups and
// roles.
func (l *Ledger) People(ctx context.Context, org string, ids, addresses []string) ([]access.Person, error) {
	var all []access.Person
	seen := map[string]bool{}
	take := func(column string, values []string) error {
		for _, some := range chunks(values) {
			where, args := among("org", column, some, org)
			found, err := collect(ctx, l.reads, scanPerson, selectPerson+` WHERE `+where, args...)
			if err != nil {
				return reading(err, "people", org)
			}
			for _, p := range found {
				if !seen[p.ID] {
					seen[p.ID] = true
					all = append(all, p)
				}
			}
		}
		return nil
	}
	folded := make([]string, len(addresses))
	for i, a := range addresses {
		folded[i] = access.FoldName(a)
	}
	if err := take("id", ids); err != nil {
		return nil, err
	}
	return all, take("email_key", folded)
}
