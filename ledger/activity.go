package ledger

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
)

// SaveActivity keeps when people used which app, as the scarce call said at the instant.
func (l *Ledger) SaveActivity(ctx context.Context, org string, used map[string][]access.Activity, at time.Time) error {
	return l.write(ctx, org, "save when people used apps", func(w *write) error {
		var rows [][]any
		for person, all := range used {
			rows = append(rows, []any{org, person, instant(orNow(at)), list(all)})
		}
		return w.execRows(ctx, `INSERT INTO activity (org, person, at, body) VALUES`, marks(4),
			`ON CONFLICT (org, person) DO UPDATE SET at = excluded.at, body = excluded.body`, rows)
	})
}

// Activity returns what was kept of these people at the instant or later. Who used nothing has an empty list; of whom nothing
// is kept there is none.
func (l *Ledger) Activity(ctx context.Context, org string, people []string, since time.Time) (map[string][]access.Activity, error) {
	used := map[string][]access.Activity{}
	for _, some := range chunks(people) {
		where, args := among("org", "person", some, org)
		err := l.reads.each(ctx, func(row scanner) error {
			var person, body string
			if err := row.Scan(&person, &body); err != nil {
				return err
			}
			all, err := fromList[access.Activity](body)
			if all == nil {
				all = []access.Activity{}
			}
			used[person] = all
			return err
		}, `SELECT person, body FROM activity WHERE `+where+` AND at >= ?`, append(args, instant(since))...)
		if err != nil {
			return nil, reading(err, "when people used apps", org)
		}
	}
	return used, nil
}
