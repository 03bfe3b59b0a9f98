package ledger

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Use is when one person used which app, according to the scarce call.
type Use struct {
	Apps []access.Activity
	// Silent: the response left out apps that the person has access to, and was the first to do so.
	Silent bool
}

// SaveUse stores when people used which app, as read at the instant.
func (l *Ledger) SaveUse(ctx context.Context, org string, used map[string]Use, at time.Time) error {
	return l.write(ctx, org, "save when people used apps", func(w *write) error {
		var rows [][]any
		for person, use := range used {
			rows = append(rows, []any{org, person, instant(orNow(at)), flag(use.Silent), list(use.Apps)})
		}
		return w.execRows(ctx, `INSERT INTO activity (org, person, at, silent, body) VALUES`, marks(5),
			`ON CONFLICT (org, person) DO UPDATE SET at = excluded.at, silent = excluded.silent, body = excluded.body`,
			rows)
	})
}

// Use returns what was stored about these people at the instant or later. Somebody who used nothing has no apps;
// somebody with nothing stored has no entry.
func (l *Ledger) Use(ctx context.Context, org string, people []string, since time.Time) (map[string]Use, error) {
	used := map[string]Use{}
	for _, some := range chunks(people) {
		where, args := among("org", "person", some, org)
		err := l.reads.each(ctx, func(row scanner) (err error) {
			var person, body string
			var use Use
			if err := row.Scan(&person, &use.Silent, &body); err != nil {
				return err
			}
			use.Apps, err = fromList[access.Activity](body)
			used[person] = use
			return err
		}, `SELECT person, silent, body FROM activity WHERE `+where+` AND at >= ?`, append(args, instant(since))...)
		if err != nil {
			return nil, reading(err, "when people used apps", org)
		}
	}
	return used, nil
}
