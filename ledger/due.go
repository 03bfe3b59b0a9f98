package ledger

import (
	"context"
	"maps"
	"slices"
	"time"
)

// saveDue stores when people have to be decided again because of time; zero: no such instant is known.
func (w *write) saveDue(ctx context.Context, due map[string]time.Time) error {
	var never []string
	var rows [][]any
	for _, person := range slices.Sorted(maps.Keys(due)) {
		if due[person].IsZero() {
			never = append(never, person)
		} else {
			rows = append(rows, []any{w.org, person, instant(due[person])})
		}
	}
	for _, some := range chunks(never) {
		where, args := among("org", "id", some, w.org)
		if _, err := w.exec(ctx, `UPDATE people SET due = 0 WHERE due > 0 AND `+where, args...); err != nil {
			return err
		}
	}
	return w.execRows(ctx, `UPDATE people SET due = v.column3 FROM (VALUES`, `?, ?, CAST(? AS BIGINT)`,
		`) AS v WHERE org = v.column1 AND id = v.column2 AND due <> v.column3`, rows)
}

// DueBetween returns at most limit people (1,000 for 0) who have to be decided again after one instant and up to
// another.
func (l *Ledger) DueBetween(ctx context.Context, org string, after, to time.Time, limit int) ([]string, error) {
	people, err := collect(ctx, l.reads, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT id FROM people WHERE due > 0 AND org = ? AND due > ? AND due <= ? ORDER BY due, id LIMIT ?`,
		org, instant(after), instant(to), atMost(limit))
	return people, reading(err, "who is due", org)
}

// NextDue returns when the first person has to be decided again after the instant; zero: nobody has to.
func (l *Ledger) NextDue(ctx context.Context, org string, after time.Time) (time.Time, error) {
	at, err := first(ctx, l.reads, func(row scanner) (at int64, err error) { return at, row.Scan(&at) },
		`SELECT COALESCE(MIN(due), 0) FROM people WHERE due > 0 AND org = ? AND due > ?`, org, instant(after))
	return fromInstant(at), reading(err, "who is due next", org)
}
