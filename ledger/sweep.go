package ledger

import (
	"context"
	"encoding/json"
	"time"

	"github.com/castellan-io/castellan/access"
)

// PersonState is the ledger's input to the decision about one person.
type PersonState struct {
	Holdings []access.Holding // open ones, by target
	// written, being written or found unnecessary (done, sent, already) since an instant, oldest first
	Recent []access.Change
	// granted or ended and not settled, by beginning; the caller's clock decides which are in force
	Grants []access.Grant
	// IDs of the grants that the chain does not explain: they are never in force
	Unproven []string

	// Rows that the chain does not explain are left out of these.
	Rejected   []access.Change    // rejected by a person, by target
	Marks      []access.RuleMatch // since when the conditions of rules have held
	Rulings    []access.Ruling    // of reviews, that may affect the person
	Suspension *access.Suspension // Castellan's own, while it lasts
	// Accepted are memberships of somebody else's making that a person decided to have follow an identity source.
	Accepted []access.AcceptedMembership
}

// States returns the state of each of the people, in a bounded number of queries per 500 of them. Recent is of all runs
// from writesSince on. A person without a record has no entry in the map.
func (l *Ledger) States(ctx context.Context, org string, people []string,
	writesSince time.Time) (map[string]PersonState, error) {
	states := make(map[string]PersonState, len(people))
	for _, some := range chunks(people) {
		r := stateReader{Ledger: l, org: org, people: some, writesSince: writesSince, states: states}
		if err := r.read(ctx); err != nil {
			return nil, reading(err, "what is known of people", org)
		}
	}
	return states, nil
}

// stateReader reads the states of some people.
type stateReader struct {
	*Ledger
	org         string
	people      []string
	writesSince time.Time
	states      map[string]PersonState
}

func (r *stateReader) read(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		r.holdings, r.recent, r.grants, r.removals, r.marks, r.rulings, r.suspensions, r.rejections,
		r.accepted,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return r.proveStates(ctx, r.org, r.states)
}

// of changes the state of a person.
func (r *stateReader) of(person string, change func(*PersonState)) {
	state := r.states[person]
	change(&state)
	r.states[person] = state
}

func (r *stateReader) holdings(ctx context.Context) error {
	query, args := openHoldings(r.org, r.people)
	return r.reads.each(ctx, func(row scanner) error {
		h, err := scanHolding(row)
		r.of(h.Person, func(s *PersonState) { s.Holdings = append(s.Holdings, h) })
		return err
	}, query+` ORDER BY person, target`, args...)
}

func (r *stateReader) recent(ctx context.Context) error {
	query, args := recentWrites(r.org, r.people, r.writesSince)
	return r.reads.each(ctx, func(row scanner) error {
		c, err := scanChange(row)
		r.of(c.Person, func(s *PersonState) { s.Recent = append(s.Recent, c) })
		return err
	}, query+` ORDER BY person, at, target`, args...)
}

func (r *stateReader) grants(ctx context.Context) error {
	query, args := standingGrants(r.org, r.people)
	err := r.reads.each(ctx, func(row scanner) error {
		g, err := scanGrant(row)
		r.of(g.Person, func(s *PersonState) { s.Grants = append(s.Grants, g) })
		return err
	}, query+` ORDER BY person, since, id`, args...)
	if err != nil {
		return err
	}
	return r.proveGrants(ctx, r.org, r.states)
}

// removals records in the holdings what somebody else removed.
func (r *stateReader) removals(ctx context.Context) error {
	return r.taken(ctx, r.org, r.people, r.states)
}

func (r *stateReader) marks(ctx context.Context) error {
	where, args := among("org", "person", r.people, r.org)
	return r.reads.each(ctx, func(row scanner) error {
		m, err := scanMark(row)
		r.of(m.Person, func(s *PersonState) { s.Marks = append(s.Marks, m) })
		return err
	}, selectMark+` WHERE `+where+` ORDER BY person, rule`, args...)
}

func (r *stateReader) rulings(ctx context.Context) error {
	query, args := rulingsQuery(r.org, r.people)
	return r.reads.each(ctx, func(row scanner) error {
		ruling, err := scanRuling(row)
		r.of(ruling.Person, func(s *PersonState) { s.Rulings = append(s.Rulings, ruling) })
		return err
	}, query, args...)
}

func (r *stateReader) suspensions(ctx context.Context) error {
	where, args := among("org", "person", r.people, r.org)
	return r.reads.each(ctx, func(row scanner) error {
		suspension, err := scanSuspension(row)
		r.of(suspension.Person, func(s *PersonState) { s.Suspension = &suspension })
		return err
	}, selectSuspension+` WHERE `+where, args...)
}

func (r *stateReader) rejections(ctx context.Context) error {
	where, args := among("org", "person", r.people, r.org)
	return r.reads.each(ctx, func(row scanner) error {
		c, err := scanChange(row)
		r.of(c.Person, func(s *PersonState) { s.Rejected = append(s.Rejected, c) })
		return err
	}, `SELECT person, target, action, group_id, email, 'rejected', reasons, sources, loses, held_by, edits, answer, 0, 0, at
		FROM rejections WHERE `+where+` ORDER BY person, target, action`, args...)
}

// recentWrites has the states in the form of the index lines_written, or SQLite would not use it.
func recentWrites(org string, people []string, since time.Time) (string, []any) {
	where, args := among("org", "person", people, org)
	return selectChange + ` WHERE state IN ('sent', 'done', 'already') AND ` + where + ` AND at >= ?`,
		append(args, instant(since))
}

// Page is what a sweep decided about one page of people.
type Page struct {
	Key       string // unique in the run
	People    []access.Person
	Changes   []access.Change         // the plan lines of these people
	Open      []access.Holding        // that began or whose reasons or ownership changed; a zero From means now
	Close     []access.Holding        // holdings that ended; a zero Until means now
	Ended     []access.Holding        // that somebody else removed and gave again; each has its end
	Lift      []access.Change         // rejections to delete, because nothing asks for these changes any more
	Mark      []access.RuleMatch      // rules that began to apply
	Unmark    []access.RuleMatch      // rules that no longer apply
	Unsuspend []string                // people whose suspension somebody else ended
	Due       map[string]time.Time    // when people have to be decided again because of time; zero: unknown
	Seen      map[string]int          // members of source groups on this page, by group id
	Notes     Notes                   // other numbers to sum up over all pages
	Shown     []string                // people on the page, including those who could not be decided
	Unseen    []access.MissingHolding // in the ledger, not shown, and settled by no line
	// Differences are where people are in a group of a source and not in its counterpart at Atlassian, or the other way
	// round; nil: nobody looked.
	Differences []GroupDifference
	Calls       int // to Atlassian for this page
	Foreign     int
	Suppressed  int
	Observe     bool // preview or dry run: holdings and rejections stay as they are
}

// SavePage records a page of a run's sweep: people that changed, all plan lines of the page's people in place of those
// they had in this run (except lines whose write was begun), holdings, and the page's numbers under its key. A repeat
// of the page replaces what it recorded. At is the instant of the read.
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
			if err := w.recordSeen(ctx, p.Shown, at); err != nil {
				return err
			}
			if _, err := w.endHoldings(ctx, run, p.Ended, givenSince, at); err != nil {
				return err
			}
			if err := w.applyHoldings(ctx, run, p.Open, p.Close, at); err != nil {
				return err
			}
			if err := w.lift(ctx, p.Lift); err != nil {
				return err
			}
			if err := w.applyMatches(ctx, p.Mark, p.Unmark); err != nil {
				return err
			}
			if err := w.unsuspend(ctx, p.Unsuspend); err != nil {
				return err
			}
			if err := w.saveDue(ctx, p.Due); err != nil {
				return err
			}
		}
		if p.Differences != nil {
			if err := w.saveDifferences(ctx, run, p.Key, p.Differences); err != nil {
				return err
			}
		}
		return w.saveTally(ctx, run, p.Key, p.Seen, p.Notes, p.Unseen, p.counts())
	})
}

// lift deletes rejections.
func (w *write) lift(ctx context.Context, changes []access.Change) error {
	keys := make([][]any, len(changes))
	for i, c := range changes {
		keys[i] = []any{c.Person, string(c.Target), string(c.Action)}
	}
	if err := w.forget(ctx, tableRejections, keys...); err != nil {
		return err
	}
	for _, c := range changes {
		if _, err := w.exec(ctx, `DELETE FROM rejections WHERE org = ? AND person = ? AND target = ? AND action = ?`,
			w.org, c.Person, string(c.Target), string(c.Action)); err != nil {
			return err
		}
	}
	return nil
}

// counts returns the page's own numbers.
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
		case access.Update:
			c.Updates++
		case access.Remove:
			c.Removals++
		}
	}
	return c
}

func (w *write) saveTally(ctx context.Context, run, key string, seen map[string]int, notes Notes,
	unseen []access.MissingHolding, counts Counts) error {
	seenText := ""
	if len(seen) > 0 {
		seenText = text(seen)
	}
	_, err := w.exec(ctx, `INSERT INTO pages (org, run, page, seen, notes, unseen, counts) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, run, page) DO UPDATE SET seen = excluded.seen, notes = excluded.notes, unseen = excluded.unseen, counts = excluded.counts`,
		w.org, run, key, seenText, notes.stored(), list(unseen), text(counts))
	return err
}

// Notes returns a run's notes, summed up over its pages. They are kept as long as Seen is.
func (l *Ledger) Notes(ctx context.Context, org, run string) (Notes, error) {
	notes := Notes{}
	err := l.reads.each(ctx, func(row scanner) error {
		var stored string
		if err := row.Scan(&stored); err != nil {
			return err
		}
		return notes.addStored(stored)
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

// Tally adds counts to a run under a key of the caller's: a repeat with the same key replaces them. Keys must differ
// from those of pages.
func (l *Ledger) Tally(ctx context.Context, org, run, key string, delta Counts) error {
	return l.write(ctx, org, "count for run "+run, func(w *write) error {
		return w.saveTally(ctx, run, key, nil, nil, nil, delta)
	})
}

// Seen returns, summed up over a run's pages and tallies, the members seen in each source group and the counts. It is
// kept until the first run that begins after this one has ended.
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

// ReplaceSeen replaces the sum over the pages for a source group that was read again as a whole.
func (l *Ledger) ReplaceSeen(ctx context.Context, org, run, group string, n int) error {
	return l.write(ctx, org, "save the second reading of group "+group+" in run "+run, func(w *write) error {
		_, err := w.exec(ctx, `INSERT INTO rereads (org, run, group_id, users) VALUES (?, ?, ?, ?)
			ON CONFLICT (org, run, group_id) DO UPDATE SET users = excluded.users`, org, run, group, n)
		return err
	})
}
