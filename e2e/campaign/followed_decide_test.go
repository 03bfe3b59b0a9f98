package campaign

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// operate decides what is held, and where groups differ, as somebody would who knows everybody: what is wrong is left
// alone, until a later run replaces it.
func (w *followedOrg) operate(ctx context.Context) error {
	s, err := w.Status(ctx, org)
	if err != nil {
		return err
	}
	w.acceptSuspects(ctx, s)
	if s.Hold != nil {
		if err := w.decideHold(ctx, *s.Hold); err != nil {
			return err
		}
	}
	return w.decideConflicts(ctx)
}

// decideHold approves a held plan, or rejects one that only empties groups whose teams are gone.
func (w *followedOrg) decideHold(ctx context.Context, hold messages.Hold) error {
	answer, err := w.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportPlan, Limit: 2000,
		States: []string{string(access.Held)}})
	if err != nil || answer.Plan == nil || answer.Plan.Run.Run != hold.Run {
		return err
	}
	conflicts, err := w.conflicts(ctx)
	if err = errors.Join(err, w.look(ctx, 0)); err != nil {
		return err
	}
	var leaving []membership
	gone := true
	for _, line := range answer.Plan.Lines {
		m := membershipOf(line)
		f := w.followers[m.group]
		switch {
		case line.Action == access.Adopt:
			continue
		case f == nil || line.Action != access.Remove || w.hand[m] || w.any(f, time.Now(), func(t *team) bool {
			return t.there() && t.people.now()[m.account] && !apart(conflicts, f, t)
		}):
			return nil
		}
		leaving = append(leaving, m)
		gone = gone && w.free(f, time.Now())
	}
	if gone && w.random.IntN(4) == 0 {
		w.rejections++
		for _, m := range leaving {
			delete(w.approved, m)
		}
		_ = w.Decide(ctx, org, messages.RejectPlan, hold.Plan) // it may just have been replaced
		return nil
	}
	before := maps.Clone(w.approved) // another plan may have been approved just now
	for _, m := range leaving {
		w.approved[m] = true
	}
	if err := w.Decide(ctx, org, messages.ApprovePlan, hold.Plan); err != nil { // likewise
		w.approved = before
		return nil
	}
	w.approvals++
	return nil
}

// apart reports whether a group does not follow a team yet, because the two differ.
func apart(conflicts []messages.GroupConflict, f *follower, t *team) bool {
	return slices.ContainsFunc(conflicts, func(c messages.GroupConflict) bool {
		return c.Group == f.name && c.Key == t.key && !c.Follows
	})
}

// conflicts lists where groups differ.
func (w *followedOrg) conflicts(ctx context.Context) ([]messages.GroupConflict, error) {
	answer, err := w.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportConflicts, Limit: 2000})
	return answer.Conflicts, err
}

// decideConflicts accepts or rejects those that are shown as they are.
func (w *followedOrg) decideConflicts(ctx context.Context) error {
	all, err := w.conflicts(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		t, f := w.teams[c.Key], w.followers[c.Group]
		if c.Entry == "" || c.Decision != "" || !c.Fit || t == nil || f == nil || !t.there() {
			continue
		}
		answer, err := w.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportConflicts, ID: c.Group,
			Limit: 2000})
		if err != nil || len(answer.Conflicts) == 0 || answer.Conflicts[0].Conflict != c.Conflict {
			continue // it is another one by now, or over
		}
		if err := w.look(ctx, 0); err != nil {
			return err
		}
		if !w.shown(f, t, answer.Conflicted) {
			continue
		}
		w.decideConflict(ctx, c, answer.Conflicted)
	}
	return nil
}

// shown reports whether everybody of a conflict is in one of the two and not in the other.
func (w *followedOrg) shown(f *follower, t *team, people []messages.ConflictPerson) bool {
	return !slices.ContainsFunc(people, func(p messages.ConflictPerson) bool {
		return t.people.now()[p.Account] != p.Missing || f.people.now()[p.Account] == p.Missing
	})
}

func (w *followedOrg) decideConflict(ctx context.Context, c messages.GroupConflict, people []messages.ConflictPerson) {
	in := messages.ConflictInput{Conflict: c.Conflict, By: decider}
	var answer messages.Answer
	if w.random.IntN(3) == 0 {
		if w.Update(ctx, org, messages.RejectConflict, in, &answer) == nil {
			w.rejected[c.Conflict] = true
		}
		return
	}
	f := w.followers[c.Group]
	var leaving []membership
	for _, p := range people {
		if !p.Missing {
			leaving = append(leaving, membership{f.name, p.Account})
		}
	}
	// They may leave as soon as it is accepted.
	before := time.Now()
	if w.Update(ctx, org, messages.AcceptConflict, in, &answer) != nil {
		return
	}
	w.accepted++
	for _, m := range leaving {
		w.approved[m] = true
		delete(w.hand, m)
		delete(w.adopted, m)
	}
	if _, known := f.teams[c.Key]; !known {
		f.teams[c.Key] = before
	}
	f.sure[c.Key] = true
}
