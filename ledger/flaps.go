package ledger

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Flap is a person's open line in a target that was written again and again.
type Flap struct {
	access.Change      // as it is asked for now
	Adds, Removals int // done since the instant
}

// Flaps returns at most limit (1,000 for 0) open lines of a run whose person and target had at least so many writes
// done since the instant, by person and target. What grants give and take is left out: it may come and go.
func (l *Ledger) Flaps(ctx context.Context, org, run string, since time.Time, least, limit int) ([]Flap, error) {
	query, args := flapsQuery(org, run, since, least, limit)
	all, err := collect(ctx, l.reads, func(row scanner) (f Flap, err error) {
		c, err := scanChange(twoExtraColumns{row, &f.Adds, &f.Removals})
		f.Change = c
		return f, err
	}, query, args...)
	return all, reading(err, "what flaps in run "+run, org)
}

// twoExtraColumns scans two more columns than its scan function has.
type twoExtraColumns struct {
	scanner
	a, b any
}

func (t twoExtraColumns) Scan(dest ...any) error { return t.scanner.Scan(append(dest, t.a, t.b)...) }

// flapsQuery has the states in the form of the index lines_written.
func flapsQuery(org, run string, since time.Time, least, limit int) (string, []any) {
	return `WITH written AS (
			SELECT w.person, w.target, SUM(CASE WHEN w.action = 'add' THEN 1 ELSE 0 END) AS adds,
				SUM(CASE WHEN w.action = 'remove' THEN 1 ELSE 0 END) AS removals
			FROM lines w WHERE w.org = ? AND w.state IN ('sent', 'done', 'already') AND w.state = 'done' AND w.at >= ?
				AND w.person IN (SELECT person FROM lines WHERE org = ? AND run = ? AND state IN ('planned', 'held'))
				AND w.granted = 0
			GROUP BY w.person, w.target HAVING COUNT(*) >= ?)
		SELECT ` + changeColumns + `, adds, removals FROM (SELECT lines.*, written.adds, written.removals FROM lines
			JOIN written ON written.person = lines.person AND written.target = lines.target
			WHERE lines.org = ? AND lines.run = ? AND lines.state IN ('planned', 'held') AND lines.granted = 0) AS flapping
		ORDER BY person, target LIMIT ?`, []any{org, instant(since), org, run, least, org, run, atMost(limit)}
}

// LastWrite returns the last write that was done for a person in a target, or ErrNotFound.
func (l *Ledger) LastWrite(ctx context.Context, org, person string, target access.Entitlement) (access.Change, error) {
	c, err := first(ctx, l.reads, scanChange, selectChange+` WHERE state IN ('sent', 'done', 'already') AND state = 'done' AND org = ?
		AND person = ? AND target = ? ORDER BY at DESC LIMIT 1`, org, person, string(target))
	return c, reading(err, "the last write of "+person+" in "+string(target), org)
}
