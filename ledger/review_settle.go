package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// Settle records outcomes, and begins and ends rulings. A final outcome stays: only a denial may still change its text
// and its date. It is added to the chain, and stored as the last decision of its campaign. A ruling comes into force
// only with an outcome that is recorded, so that a late repeat restores none. While reviewers decide, a settlement of a
// verdict that is no longer theirs is left out. ErrNotFound: the review has no such item.
func (l *Ledger) Settle(ctx context.Context, org, id string, all []review.Resolution, at time.Time) error {
	at = cut(orNow(at))
	return l.write(ctx, org, "settle items of review "+id, func(w *write) error {
		r, err := w.review(ctx, id)
		if err != nil {
			return err
		}
		if _, err := w.countItems(ctx, id); err != nil {
			return err
		}
		var entries []Entry
		var items, rulings [][]any
		for _, s := range all {
			items = append(items, []any{id, s.Item.Person, string(s.Item.Target)})
			rulings = append(rulings, []any{s.Item.Person, string(s.Item.Target), id})
			if s.NewRuling != nil {
				rulings = append(rulings, []any{s.NewRuling.Person, string(s.NewRuling.Target), id})
			}
		}
		if err := errors.Join(w.touchDoubted(ctx, tableItems, items...),
			w.forget(ctx, tableRulings, rulings...)); err != nil {
			return err
		}
		for _, s := range all {
			entry, err := w.settle(ctx, r, s, at)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Item.Label(), err)
			}
			entries = append(entries, entry...)
		}
		return w.append(ctx, entries...)
	})
}

// settle settles one item, and returns the entries for the chain.
func (w *write) settle(ctx context.Context, r access.Review, s review.Resolution, at time.Time) ([]Entry, error) {
	i := s.Item
	was, err := first(ctx, w.database, scanItem,
		selectItem+` WHERE i.org = ? AND i.review = ? AND i.person = ? AND i.target = ?`,
		w.org, r.ID, i.Person, string(i.Target))
	if err != nil {
		return nil, err
	}
	if r.State == access.ReviewOpen && was.Outcome == "" && was.Verdict != i.Verdict {
		return nil, nil
	}
	if s.EndRuling || i.Outcome == access.OutcomeDropped {
		if _, err := w.exec(ctx, `DELETE FROM rulings WHERE org = ? AND person = ? AND target = ? AND review || '' = ?`,
			w.org, i.Person, string(i.Target), r.ID); err != nil {
			return nil, err
		}
	}
	if was.Outcome == access.OutcomeDenied && i.Outcome == access.OutcomeDenied {
		i.Settled = was.Settled
		if i.Verdict == was.Verdict && resultOf(i) == resultOf(was) {
			return nil, nil
		}
	} else if was.Outcome.Final() {
		return nil, nil
	}
	if i.Outcome.Final() && i.Settled.IsZero() {
		i.Settled = at
	}
	if _, err := w.exec(ctx, `UPDATE review_items SET verdict = ?, outcome = ?, result = ? WHERE org = ? AND review = ? AND person = ? AND target = ?`,
		string(i.Verdict), string(i.Outcome), text(resultOf(i)), w.org, r.ID, i.Person, string(i.Target)); err != nil {
		return nil, err
	}
	if s.NewRuling != nil && !s.EndRuling {
		if err := w.rule(ctx, r.ID, *s.NewRuling, at); err != nil {
			return nil, err
		}
	}
	if !i.Outcome.Final() {
		return nil, nil
	}
	i.N, i.Said, i.Reasons, i.Owned = was.N, was.Said, was.Reasons, was.Owned
	fields := map[string]any{"review": r.ID, "item": i.N, "verdict": i.Verdict, "outcome": i.Outcome,
		"silent": i.Silent, "why": i.Why, "run": i.Run}
	return []Entry{{At: at, Kind: EntryReviewOutcome, Run: i.Run, Person: i.Person, Target: i.Target,
		Body: body(fields)}}, w.remember(ctx, r, i, at)
}

// rule begins a ruling. One that is in force keeps its beginning, unless it has another verdict.
func (w *write) rule(ctx context.Context, review string, rule access.Ruling, at time.Time) error {
	if rule.At.IsZero() {
		rule.At = at
	}
	_, err := w.exec(ctx, `INSERT INTO rulings (org, person, target, review, verdict, at, until) VALUES (`+marks(7)+`)
		ON CONFLICT (org, person, target, review) DO UPDATE SET verdict = excluded.verdict, until = excluded.until,
		at = CASE WHEN rulings.verdict = excluded.verdict THEN rulings.at ELSE excluded.at END`,
		w.org, rule.Person, string(rule.Target), review, string(rule.Verdict), instant(rule.At), instant(rule.Until))
	return err
}

// remember stores how an item ended for the next review of its campaign, which takes over the last decisions of older
// ones. Those of a later review stay.
func (w *write) remember(ctx context.Context, r access.Review, i access.Item, at time.Time) error {
	if i.Verdict == "" || i.Outcome == access.OutcomeDropped {
		return nil
	}
	by := review.Decider(i)
	_, err := w.exec(ctx, `INSERT INTO review_last (org, campaign, person, target, review, verdict, by_whom, by_email, at, owned, reasons) VALUES (`+marks(11)+`)
		ON CONFLICT (org, campaign, person, target) DO UPDATE SET review = excluded.review, verdict = excluded.verdict, by_whom = excluded.by_whom, by_email = excluded.by_email,
		at = excluded.at, owned = excluded.owned, reasons = excluded.reasons WHERE NOT EXISTS (
			SELECT 1 FROM reviews later WHERE later.org = review_last.org AND later.id = review_last.review AND later.opened > ?)`,
		w.org, r.Campaign, i.Person, string(i.Target), r.ID, string(i.Verdict), by.By, by.Email, instant(at),
		flag(i.Owned), list(i.Reasons), instant(r.Opened))
	if err != nil {
		return err
	}
	const older = `person = ? AND target = ? AND verdict = 'keep' AND review <> ?
		AND review || '' IN (SELECT id FROM reviews WHERE org = ? AND campaign = ? AND opened <= ?)`
	args := []any{i.Person, string(i.Target), r.ID, w.org, r.Campaign, instant(r.Opened)}
	if err := w.forgetWhere(ctx, tableRulings, older, args...); err != nil {
		return err
	}
	_, err = w.exec(ctx, `DELETE FROM rulings WHERE org = ? AND `+older, append([]any{w.org}, args...)...)
	return err
}

// Rulings returns the rulings of one review, by person and target.
func (l *Ledger) Rulings(ctx context.Context, org, review string) ([]access.Ruling, error) {
	all, err := collect(ctx, l.reads, scanRuling, selectRuling+` WHERE org = ? AND review = ? ORDER BY person, target`,
		org, review)
	return all, reading(err, "the rulings of review "+review, org)
}

// RulingsEnded returns at most limit people with a ruling that ended after one instant and up to another.
func (l *Ledger) RulingsEnded(ctx context.Context, org string, after, to time.Time, limit int) ([]string, error) {
	people, err := collect(ctx, l.reads, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT DISTINCT person FROM rulings WHERE org = ? AND until > ? AND until <= ? ORDER BY person LIMIT ?`,
		org, instant(after), instant(to), atMost(limit))
	return people, reading(err, "which rulings of reviews are over", org)
}

// NextRulingEnd returns when the first ruling ends after an instant; zero when none does.
func (l *Ledger) NextRulingEnd(ctx context.Context, org string, after time.Time) (time.Time, error) {
	at, err := first(ctx, l.reads, func(row scanner) (at int64, err error) { return at, row.Scan(&at) },
		`SELECT COALESCE(MIN(until), 0) FROM rulings WHERE org = ? AND until > ?`, org, instant(after))
	return fromInstant(at), reading(err, "when rulings of reviews end", org)
}

// FreeRulings ends all rulings of a review that is cancelled.
func (l *Ledger) FreeRulings(ctx context.Context, org, review string) error {
	return l.write(ctx, org, "end the rulings of review "+review, func(w *write) error {
		if err := w.forgetWhere(ctx, tableRulings, `review = ?`, review); err != nil {
			return err
		}
		_, err := w.exec(ctx, `DELETE FROM rulings WHERE org = ? AND review = ?`, org, review)
		return err
	})
}

const selectRuling = `SELECT review, person, target, verdict, at, until FROM rulings`

func rulingsQuery(org string, people []string) (string, []any) {
	where, args := among("org", "person", people, org)
	return selectRuling + ` WHERE ` + where + ` ORDER BY person, target, review`, args
}

func scanRuling(row scanner) (r access.Ruling, err error) {
	var at, until int64
	err = row.Scan(&r.Review, &r.Person, &r.Target, &r.Verdict, &at, &until)
	r.At, r.Until = fromInstant(at), fromInstant(until)
	return r, err
}

// RunLine is a plan line with the run it belongs to.
type RunLine struct {
	access.Change
	Run string
}

// Removals returns, for each of these people and targets, the last removal that was begun, answered, refused or held
// since an instant, in whichever run.
func (l *Ledger) Removals(ctx context.Context, org string, keys []Key, since time.Time) (map[Key]RunLine, error) {
	found := map[Key]RunLine{}
	wanted := map[Key]bool{}
	var people []string
	for _, k := range keys {
		wanted[k] = true
		people = append(people, k.Person)
	}
	for _, some := range chunks(people) {
		for _, query := range removalQueries {
			query, args := removalsQuery(query, org, some, since)
			err := l.reads.each(ctx, func(row scanner) error {
				var line RunLine
				c, err := scanChange(extraColumn{row, &line.Run})
				line.Change = c
				if key := (Key{Person: c.Person, Target: c.Target}); wanted[key] && !c.At.Before(found[key].At) {
					found[key] = line
				}
				return err
			}, query, args...)
			if err != nil {
				return nil, reading(err, "what was done for a review", org)
			}
		}
	}
	return found, nil
}

// removalQueries have the states in the form of the indexes, or SQLite would not use them.
var removalQueries = []string{
	`SELECT ` + changeColumns + `, run FROM lines WHERE state IN ('sent', 'done', 'already') AND `,
	`SELECT ` + changeColumns + `, run FROM lines WHERE state IN ('held', 'refused') AND `,
}

// removalsQuery orders lines of one instant by their runs: a held line is copied from run to run with its instant.
func removalsQuery(query, org string, people []string, since time.Time) (string, []any) {
	where, args := among("org", "person", people, org)
	return query + where + ` AND at >= ? AND action = 'remove'
		ORDER BY at, COALESCE((SELECT started FROM runs WHERE runs.org = lines.org AND runs.id = lines.run), 0)`, append(args, instant(since))
}
