package ledger

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Supersede ends the planned lines that other runs still have for these people: the run has decided them anew. Held lines
// are left to the hold.
func (l *Ledger) Supersede(ctx context.Context, org, run string, people []string, at time.Time) error {
	return l.write(ctx, org, "supersede older lines by run "+run, func(w *write) error {
		for _, some := range chunks(people) {
			which, args := in("person", some)
			args = append([]any{instant(orNow(at)), org, run}, args...)
			if _, err := w.exec(ctx, `UPDATE lines SET state = 'superseded', answer = 'decided anew by a later run', at = ?
				WHERE org = ? AND run <> ? AND state = 'planned' AND `+which, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// RemovedSince names who was removed from the target since t, by removals that were done or are under way.
func (l *Ledger) RemovedSince(ctx context.Context, org string, target access.Entitlement, t time.Time) (map[string]bool, error) {
	gone := map[string]bool{}
	err := l.reads.each(ctx, func(row scanner) error {
		var person string
		err := row.Scan(&person)
		gone[person] = true
		return err
	}, `SELECT person FROM lines WHERE org = ? AND target = ? AND action = 'remove' AND state = 'done' AND at >= ?`,
		org, string(target), instant(t))
	return gone, reading(err, "recent removals from "+string(target), org)
}
