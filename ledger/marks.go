package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

const selectMark = `SELECT person, rule, since, told FROM marks`

func scanMark(row scanner) (m access.RuleMatch, err error) {
	var since, told int64
	err = row.Scan(&m.Person, &m.Rule, &since, &told)
	m.Since, m.Told = fromInstant(since), fromInstant(told)
	return m, err
}

// applyMatches begins and ends marks. An existing one stays as it is.
func (w *write) applyMatches(ctx context.Context, begin, end []access.RuleMatch) error {
	var keys [][]any
	for _, m := range slices.Concat(begin, end) {
		keys = append(keys, []any{m.Person, m.Rule})
	}
	if err := w.forget(ctx, tableMarks, keys...); err != nil {
		return err
	}
	for _, m := range end {
		if _, err := w.exec(ctx, `DELETE FROM marks WHERE org = ? AND person = ? AND rule = ?`, w.org, m.Person,
			m.Rule); err != nil {
			return err
		}
	}
	var rows [][]any
	for _, m := range begin {
		rows = append(rows, []any{w.org, m.Person, m.Rule, instant(m.Since), instant(m.Told)})
	}
	return w.execRows(ctx, `INSERT INTO marks (org, person, rule, since, told) VALUES`, marks(5),
		`ON CONFLICT (org, person, rule) DO NOTHING`, rows)
}

// Unnotified returns at most limit (1,000 for 0) marks of a rule without a notice that began at the instant or before
// it, the oldest first.
func (l *Ledger) Unnotified(ctx context.Context, org, rule string, since time.Time,
	limit int) ([]access.RuleMatch, error) {
	all, err := collect(ctx, l.reads, scanMark, selectMark+` WHERE org = ? AND rule = ? AND told = 0 AND since <= ?
		ORDER BY since, person LIMIT ?`, org, rule, instant(since), atMost(limit))
	return all, reading(err, "of whom rule "+rule+" was not told yet", org)
}

// RecordNotified records that the people whom a rule names were notified of these people. Earlier notices stay.
func (l *Ledger) RecordNotified(ctx context.Context, org, rule string, people []string, at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, "record what rule "+rule+" told", func(w *write) error {
		for _, some := range chunks(people) {
			where, args := among("org", "person", some, org)
			if err := w.touchDoubtedWhere(ctx, tableMarks, `rule = ? AND told = 0 AND `+where,
				append([]any{rule}, args...)...); err != nil {
				return err
			}
			if _, err := w.exec(ctx, `UPDATE marks SET told = ? WHERE rule = ? AND told = 0 AND `+where,
				append([]any{instant(at), rule}, args...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// NextMatch returns when the first mark of a rule began (or, with told, was notified) after the instant; zero if none
// was.
func (l *Ledger) NextMatch(ctx context.Context, org, rule string, told bool, after time.Time) (time.Time, error) {
	column := "since"
	if told {
		column = "told"
	}
	at, err := first(ctx, l.reads, func(row scanner) (at int64, err error) { return at, row.Scan(&at) },
		`SELECT COALESCE(MIN(`+column+`), 0) FROM marks WHERE org = ? AND rule = ? AND `+column+` > ?`, org, rule,
		instant(after))
	return fromInstant(at), reading(err, "the next mark of rule "+rule, org)
}

// MatchesBetween returns at most limit people whose marks of a rule began (or were notified) after one instant and up
// to another.
func (l *Ledger) MatchesBetween(ctx context.Context, org, rule string, told bool, after, to time.Time,
	limit int) ([]string, error) {
	column := "since"
	if told {
		column = "told"
	}
	people, err := collect(ctx, l.reads, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT person FROM marks WHERE org = ? AND rule = ? AND `+column+` > ? AND `+column+
			` <= ? ORDER BY person LIMIT ?`,
		org, rule, instant(after), instant(to), atMost(limit))
	return people, reading(err, "the marks of rule "+rule, org)
}

// Suspensions returns the people whom Castellan suspended and who are still suspended, as far as runs saw, by person.
func (l *Ledger) Suspensions(ctx context.Context, org string) ([]access.Suspension, error) {
	all, err := collect(ctx, l.reads, scanSuspension, selectSuspension+` WHERE org = ? ORDER BY person`, org)
	return all, reading(err, "suspensions", org)
}

const selectSuspension = `SELECT person, since, run, reasons FROM suspensions`

func scanSuspension(row scanner) (s access.Suspension, err error) {
	var since int64
	var reasons string
	if err := row.Scan(&s.Person, &since, &s.Run, &reasons); err != nil {
		return s, err
	}
	s.Since = fromInstant(since)
	s.Reasons, err = fromList[access.Reason](reasons)
	return s, err
}

// suspend updates the suspensions after answers: a suspension by a rule begins one, a restoration ends it.
func (w *write) suspend(ctx context.Context, run string, lines []attempted) error {
	for _, c := range lines {
		switch {
		case !c.Target.Presence() || c.State != access.Done && c.State != access.Already:
		case c.Target == access.Directory && c.Action == access.Remove:
			if !access.OnlyRules(c.Reasons) || c.State == access.Already && c.attempts < 2 {
				continue // somebody else suspended the person, or a grant's end did
			}
			if err := w.forget(ctx, tableSuspensions, []any{c.Person}); err != nil {
				return err
			}
			if _, err := w.exec(ctx, `INSERT INTO suspensions (org, person, since, run, reasons) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (org, person) DO NOTHING`, w.org, c.Person, instant(c.At), run, list(c.Reasons)); err != nil {
				return err
			}
		default:
			if err := w.unsuspend(ctx, []string{c.Person}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *write) unsuspend(ctx context.Context, people []string) error {
	for _, p := range people {
		if err := w.forget(ctx, tableSuspensions, []any{p}); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `DELETE FROM suspensions WHERE org = ? AND person = ?`, w.org, p); err != nil {
			return err
		}
	}
	return nil
}
