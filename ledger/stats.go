package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/castellan-io/castellan/access"
)

// LineStat is how many lines of a run share target, action, state and whether they are lapses.
type LineStat struct {
	Target  access.Entitlement `json:"target"`
	GroupID string             `json:"groupId,omitempty"`
	Action  access.Action      `json:"action"`
	State   access.ChangeState `json:"state"`
	Lapse   bool               `json:"lapse,omitempty"` // see access.Change.Lapse
	N       int                `json:"n"`
}

// LineStats counts a run's lines by target, action, state and lapse, in that order.
func (l *Ledger) LineStats(ctx context.Context, org, run string) ([]LineStat, error) {
	stats, err := collect(ctx, l.reads, func(row scanner) (s LineStat, err error) {
		return s, row.Scan(&s.Target, &s.GroupID, &s.Action, &s.State, &s.Lapse, &s.N)
	}, `SELECT target, group_id, action, state, lapse, COUNT(*) FROM lines WHERE org = ? AND run = ?
		GROUP BY target, group_id, action, state, lapse ORDER BY target, group_id, action, state, lapse`, org, run)
	return stats, reading(err, "the sums of run "+run, org)
}

// LosesStats counts, per app on a site (app/site), the people who lose their last known access to it by the run's
// removals, without lapses and removals that were rejected, refused or unnecessary.
func (l *Ledger) LosesStats(ctx context.Context, org, run string) (map[string]int, error) {
	people := map[string]int{}
	last := map[string]string{} // app on a site → the person counted last; lines are ordered by person
	err := l.reads.each(ctx, func(row scanner) error {
		var person, stored string
		if err := row.Scan(&person, &stored); err != nil {
			return err
		}
		loses, err := fromList[string](stored)
		for _, app := range loses {
			if last[app] != person {
				last[app] = person
				people[app]++
			}
		}
		return err
	}, `SELECT person, loses FROM lines WHERE org = ? AND run = ? AND rank = 2 AND lapse = 0 AND loses <> ''
		AND state IN ('planned', 'held', 'sent', 'done', 'recorded') ORDER BY person, target`, org, run)
	return people, reading(err, "who loses access by run "+run, org)
}

// RemovalsSince counts, per target, the removals done at t or later, over all runs, without lapses: the end of a grant
// is no sign of a drain.
func (l *Ledger) RemovalsSince(ctx context.Context, org string, t time.Time) (map[access.Entitlement]int, error) {
	removals := map[access.Entitlement]int{}
	err := l.reads.each(ctx, func(row scanner) error {
		var target access.Entitlement
		var n int
		err := row.Scan(&target, &n)
		removals[target] = n
		return err
	}, `SELECT target, COUNT(*) FROM lines WHERE org = ? AND at >= ? AND state = 'done' AND action = 'remove' AND lapse = 0 GROUP BY target`,
		org, instant(t))
	return removals, reading(err, "the removals since "+t.Format(time.RFC3339), org)
}

// RemovedSince returns the people who were removed from the target at t or later, over all runs, by account ID.
func (l *Ledger) RemovedSince(ctx context.Context, org string, target access.Entitlement,
	t time.Time) (map[string]bool, error) {
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

// WroteSince returns what Castellan wrote last, or may have written, to this person's membership in the group at t or
// later; "" if nothing: an event about it is then Castellan's own echo. A role has no group ID: use "". Changes of the
// person's records, and of groups in SCIM directories, do not count.
func (l *Ledger) WroteSince(ctx context.Context, org, person, groupID string, t time.Time) (access.Action, error) {
	const several = 10 // a person has a record in each of some directories
	last, err := collect(ctx, l.reads, scanChange, selectChange+` WHERE org = ? AND person = ? AND at >= ? AND state IN ('sent', 'done', 'already')
		AND group_id = ? AND (state <> 'already' OR attempts > 1) ORDER BY at DESC LIMIT ?`, org, person, instant(t), groupID, several)
	for _, c := range last {
		if access.ProvisionOf(c.Target) == "" {
			return c.Action, nil
		}
	}
	return "", reading(err, "the writes for "+person, org)
}

// MadeElsewhere returns another run that made the same change at t or later; "" if none did.
func (l *Ledger) MadeElsewhere(ctx context.Context, org, run string, c access.Change, t time.Time) (string, error) {
	other, err := first(ctx, l.reads, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT run FROM lines WHERE org = ? AND person = ? AND at >= ? AND state IN ('sent', 'done', 'already') AND state <> 'sent'
		AND target = ? AND action = ? AND run <> ? ORDER BY at DESC LIMIT 1`,
		org, c.Person, instant(t), string(c.Target), string(c.Action), run)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return other, reading(err, "other runs' changes of "+c.Person, org)
}

// ChangedPeople returns at most limit account IDs (1,000 for 0) after the given one, in byte order, of people for whom
// the run wrote something or may have: those whom a verification reads again.
func (l *Ledger) ChangedPeople(ctx context.Context, org, run, after string, limit int) ([]string, error) {
	people, err := collect(ctx, l.reads,
		func(row scanner) (person string, err error) { return person, row.Scan(&person) },
		`SELECT DISTINCT person FROM lines WHERE org = ? AND run = ? AND person > ? AND action <> 'adopt'
		AND (state IN ('sent', 'done') OR state = 'failed' AND attempts > 0) ORDER BY person LIMIT ?`, org, run, after, atMost(limit))
	return people, reading(err, "the people that run "+run+" changed", org)
}
