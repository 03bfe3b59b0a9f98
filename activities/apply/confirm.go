package apply

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// ConfirmInput asks to check a run's released lines of some actions against the organization as it is now.
type ConfirmInput struct {
	session.RunInput
	Actions []access.Action `json:"actions"`
	// Fresh selects the lines of an approved hold, and only those, and reads the groups again too, since the read of
	// the groups may be what was held.
	Fresh bool `json:"fresh,omitempty"`
	// After and Limit select some of the lines, as in NextInput; without Limit, all of them.
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// ConfirmedBy returns the policy that the lines are checked by: bound to the run's outline, or to the groups as they
// are now. Targets that the run had let go of are kept, since removing them may be what was approved.
func (s *Session) ConfirmedBy(ctx context.Context, in ConfirmInput) (*policy.Bound, error) {
	if !in.Fresh {
		return s.BoundOf(ctx, in.Run)
	}
	key := s.Org + "/" + in.Run
	if kept, is := s.FreshBounds.Get(key); is && s.Now().Sub(kept.At) < freshFor {
		return kept.Bound, nil
	}
	was, err := s.OutlineOf(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	now, err := s.ReadOutline(ctx, was.Last)
	if err != nil {
		return nil, err
	}
	b := s.Bound(session.RunOutline{Outline: now, Last: was.Last, Acting: was.Acting})
	s.FreshBounds.Add(key, session.FreshBound{Bound: b, At: s.Now()})
	return b, nil
}

// freshFor is how long the groups read for one line of an approved hold are used for its other lines.
const freshFor = 30 * time.Second

// Unconfirmed returns the lines that a new read of their people no longer asks for, in their final state.
func (s *Session) Unconfirmed(ctx context.Context, b *policy.Bound, run string, lines []access.Change) ([]access.Change,
	error) {
	if len(lines) == 0 {
		return nil, nil
	}
	c := &confirmation{Session: s, bound: b, lines: lines, asked: map[ledger.Key]bool{}, seen: map[string]bool{}}
	absences, err := c.decide(ctx, run)
	if err != nil {
		return nil, err
	}
	if err := c.doubt(ctx, absences); err != nil {
		return nil, err
	}
	gone, removals := c.compare()
	against, err := s.CrossCheckRemovals(ctx, b, removals)
	for _, line := range against {
		gone = append(gone, c.superseded(line, Contradiction))
	}
	return gone, err
}

// confirmation checks lines against a new read of their people.
type confirmation struct {
	*Session
	bound   *policy.Bound
	lines   []access.Change
	now     time.Time
	seen    map[string]bool     // people in the read
	asked   map[ledger.Key]bool // changes that the policy asks for now
	doubted map[string]bool     // people who lack something in one search, and not in another
}

// decide reads the lines' people and decides again. It returns the absences that additions depend on.
func (c *confirmation) decide(ctx context.Context, run string) ([]plan.Absence, error) {
	ids := PeopleOf(c.lines)
	read, err := c.ReadPeople(ctx, ids)
	if err != nil {
		return nil, err
	}
	c.now = c.Now()
	states, err := c.Ledger.States(ctx, c.Org, ids, c.now.Add(-session.RecentWrites))
	if err != nil {
		return nil, err
	}
	if err := c.LearnUse(ctx, c.bound, read, states); err != nil {
		return nil, err
	}
	var absences []plan.Absence
	for _, p := range read {
		c.seen[p.ID] = true
		known := session.PlanState(states[p.ID])
		known.Rejected = nil
		var adds []access.Change
		for _, change := range plan.Decide(c.bound, p, known, run, c.now).Changes {
			c.asked[session.KeyOf(change)] = true
			if change.Action == access.Add && plan.ContainsChange(c.lines, change) {
				adds = append(adds, change)
			}
		}
		if one, hangs := plan.DependsOnAbsence(c.bound, p, known, adds, c.now); hangs {
			absences = append(absences, one)
		}
	}
	return absences, nil
}

// doubt drops the additions that depend on an absence that another search does not confirm.
func (c *confirmation) doubt(ctx context.Context, absences []plan.Absence) (err error) {
	if c.doubted, err = c.Doubted(ctx, c.bound, absences); err != nil {
		return err
	}
	for _, one := range absences {
		for _, line := range one.Lines {
			c.asked[session.KeyOf(line)] = !c.doubted[one.Person.ID]
		}
	}
	return nil
}

// compare returns the lines that are no longer asked for, in their final state, and the removals that still are. An
// inverse is neither: a person asked for it, not the policy.
func (c *confirmation) compare() (gone, removals []access.Change) {
	for _, line := range c.lines {
		switch asked := c.asked[session.KeyOf(line)]; {
		case access.HasKind(line.Reasons, access.ReasonUndo):
		case !asked:
			gone = append(gone, c.superseded(line, c.whyGone(line)))
		case line.Action == access.Remove:
			removals = append(removals, line)
		}
	}
	return gone, removals
}

func (c *confirmation) superseded(line access.Change, why string) access.Change {
	line.State, line.At, line.Answer = access.Superseded, c.now, why
	return line
}

// whyGone returns why a line is no longer asked for.
func (c *confirmation) whyGone(line access.Change) string {
	switch {
	case line.GroupID == "" && line.Target.Kind() == access.KindGroup:
		return "its group is made first: the verification that follows makes it and fills it"
	case !c.seen[line.Person]:
		return "the person could not be read just before writing"
	case c.doubted[line.Person] && line.Action == access.Add:
		return Contradiction
	}
	return "the state read just before writing no longer asks for it"
}
