package ledger

import (
	"context"
	"maps"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// ReviewNames returns the accounts of addresses in a review, by address in the form in which they are compared
// (access.FoldAddress), as far as the chain explains them. An address keeps its account for as long as the review
// lasts, whoever has it later.
func (l *Ledger) ReviewNames(ctx context.Context, org, review string) (map[string]string, error) {
	accounts := map[string]string{}
	err := l.reads.each(ctx, func(row scanner) error {
		var name, account string
		err := row.Scan(&name, &account)
		accounts[name] = account
		return err
	}, `SELECT written, account FROM review_names WHERE org = ? AND review = ?`, org, review)
	if err != nil {
		return nil, reading(err, "whom names stand for in review "+review, org)
	}
	var keys [][]string
	for name := range accounts {
		keys = append(keys, []string{review, name})
	}
	explained, err := l.explainedRows(ctx, org, tableNames, keys)
	maps.DeleteFunc(accounts, func(name, _ string) bool { return !explained[review+"\x00"+name] })
	return accounts, reading(err, "what the chain says of the names in review "+review, org)
}

// NameReviewers stores the accounts of names in a review; a name that has one keeps it.
func (l *Ledger) NameReviewers(ctx context.Context, org, review string, accounts map[string]string) error {
	if len(accounts) == 0 {
		return nil
	}
	return l.write(ctx, org, "keep whom names stand for in review "+review, func(w *write) error {
		var rows [][]any
		seen := map[string]bool{}
		for name, account := range accounts {
			if name = access.FoldAddress(name); seen[name] {
				continue
			}
			seen[name] = true
			rows = append(rows, []any{org, review, name, account})
		}
		keys := make([][]any, len(rows))
		for i, row := range rows {
			keys[i] = row[1:3]
		}
		if err := w.forget(ctx, tableNames, keys...); err != nil {
			return err
		}
		return w.execRows(ctx, `INSERT INTO review_names (org, review, written, account) VALUES`, marks(4),
			`ON CONFLICT (org, review, written) DO NOTHING`, rows)
	})
}

// namesOf returns all names by which the log of a review may know an account: its ID, and its names in a review from
// before reviewers were accounts.
func (w *write) namesOf(ctx context.Context, id, account string) (review.Names, error) {
	known := review.NamesOf(account)
	if account == "" {
		return known, nil
	}
	var keys [][]any
	err := w.each(ctx, func(row scanner) error {
		var written string
		err := row.Scan(&written)
		known[written] = true
		keys = append(keys, []any{id, written})
		return err
	}, `SELECT written FROM review_names WHERE org = ? AND review = ? AND account = ?`, w.org, id, account)
	if err != nil {
		return nil, err
	}
	forged, err := w.doubts(ctx, tableNames, keys)
	for _, key := range forged {
		delete(known, key[1])
	}
	return known, err
}
