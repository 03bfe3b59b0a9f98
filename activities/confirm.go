package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// ConfirmInput asks for a run's released lines of some actions to be checked against the world as it is now.
type ConfirmInput struct {
	RunInput
	Actions []access.Action `json:"actions"`
	// Fresh reads the groups again too: for an approved hold, since it may be the read of the groups that was held.
	Fresh bool `json:"fresh,omitempty"`
}

// ConfirmResult counts what still stands.
type ConfirmResult struct {
	Standing   int `json:"standing"`
	Superseded int `json:"superseded"`
	Calls      int `json:"calls"`
}

// Confirm reads the people of released lines again, just before they are written, and supersedes every line that the
// fresh decision no longer asks for, or whose person cannot be read. A removal is so written only after two reads, some
// time apart, said the same. A repeat reads again; what it superseded stays so.
//
// Removals also need the group search's word (see contradicted).
//
// Calls: people/100, and for removals people/10; with Fresh, those of an outline.
func (a *Activities) Confirm(ctx context.Context, in ConfirmInput) (ConfirmResult, error) {
	var result ConfirmResult
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return result, err
	}
	b, err := s.confirmedBy(ctx, in)
	if err != nil {
		return result, err
	}
	filter := ledger.Filter{States: []access.ChangeState{access.Planned}, Actions: in.Actions, Limit: linesAtOnce}
	for {
		lines, err := s.ledger.Lines(ctx, in.Org, in.Run, filter)
		if err != nil {
			return result, err
		}
		gone, err := s.unconfirmed(ctx, b, in.Run, lines)
		if err != nil {
			return result, err
		}
		if len(gone) > 0 {
			if err := s.ledger.RecordLines(ctx, in.Org, in.Run, gone); err != nil {
				return result, err
			}
		}
		result.Superseded += len(gone)
		result.Standing += len(lines) - len(gone)
		result.Calls = s.made()
		activity.RecordHeartbeat(ctx, result)
		if len(lines) < linesAtOnce {
			return result, nil
		}
		filter.After = keyOf(lines[len(lines)-1])
	}
}

// confirmedBy is what the lines are held against: what the run was bound to, or the groups as they are shown now. What the
// run had let go of stays in view, since that is what may have been approved.
func (s *session) confirmedBy(ctx context.Context, in ConfirmInput) (*policy.Bound, error) {
	if !in.Fresh {
		return s.boundOf(ctx, in.Run)
	}
	was, err := s.outlineOf(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	now, err := s.readOutline(ctx, was.Last)
	if err != nil {
		return nil, err
	}
	return s.bound(runOutline{now, was.Last, was.Acting}), nil
}

// unconfirmed are the lines that a fresh read of their people does not ask for, in their final state.
func (s *session) unconfirmed(ctx context.Context, b *policy.Bound, run string, lines []access.Change) ([]access.Change, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	var ids []string
	for i, c := range lines {
		if i == 0 || lines[i-1].Person != c.Person {
			ids = append(ids, c.Person)
		}
	}
	read, err := s.readPeople(ctx, ids)
	if err != nil {
		return nil, err
	}
	now := s.now()
	states, err := s.ledger.States(ctx, s.org, ids, now.Add(-recentWrites))
	if err != nil {
		return nil, err
	}
	if err := s.learnUse(ctx, b, read, states); err != nil {
		return nil, err
	}
	asked := map[ledger.Key]bool{}
	seen := map[string]bool{}
	for _, p := range read {
		seen[p.ID] = true
		known := stateOf(states[p.ID])
		known.Rejected = nil
		d := plan.Decide(b, p, known, run, now)
		for _, c := range d.Changes {
			asked[keyOf(c)] = true
		}
	}
	var gone []access.Change
	var removals []access.Change
	for _, c := range lines {
		if undoes(c) { // an inverse is what a person asked for, not the policy
			continue
		}
		if asked[keyOf(c)] {
			if c.Action == access.Remove {
				removals = append(removals, c)
			}
			continue
		}
		c.State, c.At = access.Superseded, now
		c.Answer = "the state read just before writing no longer asks for it"
		if !seen[c.Person] {
			c.Answer = "the person could not be read just before writing"
		}
		gone = append(gone, c)
	}
	against, err := s.contradicted(ctx, b, removals)
	for _, c := range against {
		c.State, c.At, c.Answer = access.Superseded, now, contradiction
		gone = append(gone, c)
	}
	return gone, err
}

func undoes(c access.Change) bool {
	return len(c.Reasons) > 0 && c.Reasons[0].Kind == access.ReasonUndo
}
