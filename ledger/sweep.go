package ledger

import (
	"context"
	"encoding/json"
	"time"

	"github.com/castellan-io/castellan/access"
)

// PersonState is what the ledger knows of one person when the person is decided.
type PersonState struct {
	Holdings []access.Holding // that stand, by target
	Recent   []access.Change  // written, being written or found to be so (done, sent, already) since an instant, oldest first
	Rejected []access.Change  // that someone said no to, by target
	Grants   []access.Grant   // granted or ended and not settled, by beginning; the caller's clock says which are in force
	Marks    []access.Mark    // how long the conditions of rules have held
	Rulings  []access.Ruling  // of reviews, that may bear on the person

	Suspension *access.Suspension // Castellan's own, while it lasts
}

// States returns the state of each of the people, in seven queries per 500 of them. Recent is of all runs from
// writesSince on. A person of whom the ledger knows nothing has no entry in the map.
func (l *Ledger) States(ctx context.Context, org string, people []string, writesSince time.Time) (map[string]PersonState, error) {
	states := make(map[string]PersonState, len(people))
	for _, some := range chunks(people) {
		if err := l.states(ctx, org, some, writesSince, states); err != nil {
			return nil, reading(err, "what is known of people", org)
		}
	}
	return states, nil
}

func (l *Ledger) states(ctx context.Context, org string, people []string, since time.Time, states map[string]PersonState) error {
	query, args := openHoldings(org, people)
	err := l.reads.each(ctx, func(row scanner) error {
		h, err := scanHolding(row)
		state := states[h.Person]
		state.Holdings = append(state.Holdings, h)
		states[h.Person] = state
		return err
	}, query+` ORDER BY person, target`, args...)
	if err != nil {
		return err
	}
	query, args = recentWrites(org, people, since)
	err = l.reads.each(ctx, func(row scanner) error {
		c, err := scanChange(row)
		state := states[c.Person]
		state.Recent = append(state.Recent, c)
		states[c.Person] = state
		return err
	}, query+` ORDER BY person, at, target`, args...)
	if err != nil {
		return err
	}
	query, args = standingGrants(org, people)
	err = l.reads.each(ctx, func(row scanner) error {
		g, err := scanGrant(row)
		state := states[g.Person]
		state.Grants = append(state.Grants, g)
		states[g.Person] = state
		return err
	}, query+` ORDER BY person, since, id`, args...)
	if err != nil {
		return err
	}
	where, args := among("org", "person", people, org)
	err = l.reads.each(ctx, func(row scanner) error {
		m, err := scanMark(row)
		state := states[m.Person]
		state.Marks = append(state.Marks, m)
		states[m.Person] = state
		return err
	}, selectMark+` WHERE `+where+` ORDER BY person, rule`, args...)
	if err != nil {
		return err
	}
	query, args = rulingsQuery(org, people)
	err = l.reads.each(ctx, func(row scanner) error {
		r, err := scanRuling(row)
		state := states[r.Person]
		state.Rulings = append(state.Rulings, r)
		states[r.Person] = state
		return err
	}, query, args...)
	if err != nil {
		return err
	}
	err = l.reads.each(ctx, func(row scanner) error {
		s, err := scanSuspension(row)
		state := states[s.Person]
		state.Suspension = &s
		states[s.Person] = state
		return err
	}, selectSuspension+` WHERE `+where, args...)
	if err != nil {
		return err
	}
	return l.reads.each(ctx, func(row scanner) error {
		c, err := scanChange(row)
		state := states[c.Person]
		state.Rejected = append(state.Rejected, c)
		states[c.Person] = state
		return err
	}, `SELECT person, target, action, group_id, email, 'rejected', reasons, sources, loses, held_by, answer, at
		FROM rejections WHERE `+where+` ORDER BY person, target, action`, args...)
}

// recentWrites names the states as the index lines_written does, or SQLite would not use it.
func recentWrites(org string, people []string, since time.Time) (string, []any) {
	where, args := among("org", "person", people, org)
	return selectChange + ` WHERE state IN ('sent', 'done', 'already') AND ` + where + ` AND at >= ?`, append(args, instant(since))
}

// Page is what a sweep decided about one page of people.
type Page struct {
	Key        string // unique in the run
	People     []access.Person
	Changes    []access.Change  // the plan lines of these people
	Open       []access.Holding // holdings that began or whose reasons or ownership changed; a zero From means now
	Close      []access.Holding // holdings that ended; a zero Until means now
	Lift       []access.Change  // rejections to forget, because nothing asks for these changes any more
	Mark       []access.Mark    // rules that began to hold
	Unmark     []access.Mark    // rules that hold no longer
	Unsuspend  []string         // people whose suspension somebody else took back
	Seen       map[string]int   // members of source groups on this page, by group id
	Notes      map[string]int   // whatever else is to be counted over all pages, by the caller's own keys
	Calls      int              // to Atlassian for this page
	Foreign    int
	Suppressed int
	Observe    bool // preview or dry run: holdings and rejections stay as they are
}

// SavePage records a page of a run's sweep: people that changed, all plan lines of the page's people in place of those they
// had in this run (but for lines whose write was begun: these stay), holdings, and the page's numbers under its key. A
// repeat of the page replaces what it recorded. At is the instant of the read.
func (l *Ledger) SavePage(ctx context.Context, org, run string, p Page, at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, "save page "+p.Key+" of run "+run, func(w *write) error {
		if err := w.savePeople(ctx, p.People, at); err != nil {
			return err
		}
		if err := w.replaceLines(ctx, run, p.People, p.Changes, at); err != nil {
			return err
		}
		if !p.Observe {
			if err := w.applyHoldings(ctx, run, p.Open, p.Close, at); err != nil {
				return err
			}
			if err := w.lift(ctx, p.Lift); err != nil {
				return err
			}
			if err := w.applyMarks(ctx, p.Mark, p.Unmark); err != nil {
				return err
			}
			if err := w.unsuspend(ctx, p.Unsuspend); err != nil {
				return err
			}
		}
		return w.saveTally(ctx, run, p.Key, p.Seen, p.Notes, p.counts())
	})
}

// lift forgets rejections.
func (w *write) lift(ctx context.Context, changes []access.Change) error {
	for _, c := range changes {
		if _, err := w.exec(ctx, `DELETE FROM rejections WHERE org = ? AND person = ? AND target = ? AND action = ?`,
			w.org, c.Person, string(c.Target), string(c.Action)); err != nil {
			return err
		}
	}
	return nil
}

// counts are the page's own numbers.
func (p Page) counts() Counts {
	c := Counts{People: len(p.People), Pages: 1, Calls: p.Calls, Foreign: p.Foreign, Suppressed: p.Suppressed}
	for _, change := range p.Changes {
		switch change.State {
		case access.Rejected:
			c.Rejected++
			continue // no line of the plan
		case access.Observed:
			continue
		case access.Held:
			c.Held++
		}
		switch change.Action {
		case access.Add:
			c.Adds++
		case access.Adopt:
			c.Adopts++
		case access.Remove:
			c.Removals++
		}
	}
	return c
}

func (w *write) saveTally(ctx context.Context, run, key string, seen, notes map[string]int, counts Counts) error {
	stored := func(m map[string]int) string {
		if len(m) == 0 {
			return ""
		}
		return text(m)
	}
	_, err := w.exec(ctx, `INSERT INTO pages (org, run, page, seen, notes, counts) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, run, page) DO UPDATE SET seen = excluded.seen, notes = excluded.notes, counts = excluded.counts`,
		w.org, run, key, stored(seen), stored(notes), text(counts))
	return err
}

// Notes returns, summed over a run's pages, what they noted. It is there as long as Seen is.
func (l *Ledger) Notes(ctx context.Context, org, run string) (map[string]int, error) {
	notes := map[string]int{}
	err := l.reads.each(ctx, func(row scanner) error {
		var stored string
		if err := row.Scan(&stored); err != nil {
			return err
		}
		return addUp(notes, stored)
	}, `SELECT notes FROM pages WHERE org = ? AND run = ? AND notes <> ''`, org, run)
	return notes, reading(err, "what run "+run+" noted", org)
}

// addUp adds stored numbers to a sum.
func addUp(sum map[string]int, stored string) error {
	var here map[string]int
	if err := json.Unmarshal([]byte(stored), &here); err != nil {
		return err
	}
	for key, n := range here {
		sum[key] += n
	}
	return nil
}

// Tally adds counts to a run under a key of the caller's: a repeat with the same key replaces them. Keys share their
// room with the keys of pages.
func (l *Ledger) Tally(ctx context.Context, org, run, key string, delta Counts) error {
	return l.write(ctx, org, "count for run "+run, func(w *write) error {
		return w.saveTally(ctx, run, key, nil, nil, delta)
	})
}

// Seen returns, summed over a run's pages and tallies, the members seen in each source group and the counts. It is there
// until the first run that begins after this one has ended.
func (l *Ledger) Seen(ctx context.Context, org, run string) (map[string]int, Counts, error) {
	seen := map[string]int{}
	var counts Counts
	err := l.reads.each(ctx, func(row scanner) error {
		var storedSeen, storedCounts string
		if err := row.Scan(&storedSeen, &storedCounts); err != nil {
			return err
		}
		if storedSeen != "" {
			if err := addUp(seen, storedSeen); err != nil {
				return err
			}
		}
		var here Counts
		err := json.Unmarshal([]byte(storedCounts), &here)
		counts = counts.Plus(here)
		return err
	}, `SELECT seen, counts FROM pages WHERE org = ? AND run = ?`, org, run)
	if err == nil {
		err = l.reads.each(ctx, func(row scanner) error {
			var group string
			var n int
			err := row.Scan(&group, &n)
			seen[group] = n
			return err
		}, `SELECT group_id, users FROM rereads WHERE org = ? AND run = ?`, org, run)
	}
	return seen, counts, reading(err, "what run "+run+" saw", org)
}

// ReplaceSeen puts the members of a source group that was read again as a whole in place of the sum over the pages.
func (l *Ledger) ReplaceSeen(ctx context.Context, org, run, group string, n int) error {
	return l.write(ctx, org, "save the second reading of group "+group+" in run "+run, func(w *write) error {
		_, err := w.exec(ctx, `INSERT INTO rereads (org, run, group_id, users) VALUES (?, ?, ?, ?)
			ON CONFLICT (org, run, group_id) DO UPDATE SET users = excluded.users`, org, run, group, n)
		return err
	})
}
