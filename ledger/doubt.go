package ledger

import (
	"context"

	"github.com/castellan-io/castellan/access"
)

// Doubt is a change whose write was begun and never answered: its outcome is unknown.
type Doubt struct {
	access.Change
	Run string
}

// Doubtful returns the last writes of these people that were never answered, by person and target, unless a later write
// of the same target was answered. Lines of the run except do not count.
func (l *Ledger) Doubtful(ctx context.Context, org, except string,
	people ...string) (map[string]map[access.Entitlement]Doubt, error) {
	doubts := map[string]map[access.Entitlement]Doubt{}
	var unanswered []string
	for _, some := range chunks(people) {
		where, args := among("org", "person", some, org)
		err := l.reads.each(ctx, func(row scanner) error {
			var person string
			err := row.Scan(&person)
			unanswered = append(unanswered, person)
			return err
		}, `SELECT DISTINCT person FROM lines WHERE state IN ('sent', 'done', 'already') AND state = 'sent' AND `+where+
			` AND run <> ?`, append(args, except)...)
		if err != nil {
			return nil, reading(err, "the unanswered writes", org)
		}
	}
	for _, person := range unanswered {
		last := map[access.Entitlement]Doubt{}
		err := l.reads.each(ctx, func(row scanner) error {
			var run string
			c, err := scanChange(extraColumn{row, &run})
			last[c.Target] = Doubt{c, run}
			return err
		}, `SELECT `+changeColumns+`, run FROM lines WHERE org = ? AND person = ? AND state IN ('sent', 'done', 'already')
			AND run <> ? ORDER BY at, run`, org, person, except)
		if err != nil {
			return nil, reading(err, "the unanswered writes for "+person, org)
		}
		for target, d := range last {
			if d.State != access.Sent {
				delete(last, target)
			}
		}
		doubts[person] = last
	}
	return doubts, nil
}
