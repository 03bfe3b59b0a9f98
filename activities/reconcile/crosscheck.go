package reconcile

import (
	"context"
	"errors"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

const tooMany = "too many people for a partial run: everybody is looked at instead"

// deferRemovals takes out of a partial plan the removals that may not be written yet. After the first look none may:
// their people are looked at again. After the second look only those that the first look asked for too, and that the
// group search does not contradict.
func (s *task) deferRemovals(ctx context.Context, b *policy.Bound, in ExamineInput, result *JudgeResult) error {
	lines, err := s.Ledger.Lines(ctx, s.Org, in.Run, ledger.Filter{
		States: []access.ChangeState{access.Planned}, Actions: []access.Action{access.Remove},
		Limit: 10 * session.LinesAtOnce,
	})
	if err != nil || len(lines) == 0 {
		return err
	}
	second, first, err := s.splitByEarlierRun(ctx, append([]string{in.First}, in.More...), lines)
	if err != nil {
		return err
	}
	if len(apply.PeopleOf(second)) > session.MostCorroborated {
		result.TooMany = true
		result.without(len(second))
		if err := s.supersede(ctx, in.Run, second, tooMany); err != nil {
			return err
		}
		second = nil
	}
	result.Settling = apply.PeopleOf(first)
	result.without(len(first))
	for i := range first {
		first[i].Settling = true
	}
	if err := s.supersede(ctx, in.Run, first, "must stay true for a while: its person is looked at again"); err != nil {
		return err
	}
	against, err := s.CrossCheckRemovals(ctx, b, second)
	if err != nil {
		return err
	}
	result.without(len(against))
	return s.supersede(ctx, in.Run, against, apply.Contradiction)
}

// without subtracts removals from the plan's counts.
func (r *JudgeResult) without(removals int) {
	r.Open -= removals
	r.Counts.Removals -= removals
}

// splitByEarlierRun splits lines into those that an earlier run asked for too and new ones.
func (s *task) splitByEarlierRun(ctx context.Context, earlier []string, lines []access.Change) (second,
	first []access.Change, err error) {
	for _, c := range lines {
		asked, err := s.askedBefore(ctx, earlier, c)
		switch {
		case err != nil:
			return nil, nil, err
		case asked:
			second = append(second, c)
		default:
			first = append(first, c)
		}
	}
	return second, first, nil
}

// askedBefore reports whether one of the earlier runs asked for the removal and deferred it.
func (s *task) askedBefore(ctx context.Context, earlier []string, c access.Change) (bool, error) {
	for _, run := range earlier {
		was, err := s.Ledger.Line(ctx, s.Org, run, c.Person, c.Target)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil || was.Action == access.Remove && was.Settling {
			return err == nil, err
		}
	}
	return false, nil
}

func (s *task) supersede(ctx context.Context, run string, lines []access.Change, why string) error {
	if len(lines) == 0 {
		return nil
	}
	ended := slices.Clone(lines)
	for i := range ended {
		ended[i].State, ended[i].Answer, ended[i].At = access.Superseded, why, s.Now()
	}
	return s.Ledger.RecordLines(ctx, s.Org, run, ended)
}

// withoutDoubted takes out of a page the additions that depend on an absence that another search does not confirm. They
// are decided again whenever their person is.
func (s *task) withoutDoubted(ctx context.Context, b *policy.Bound, page *ledger.Page, all []plan.Absence) error {
	doubted, err := s.Doubted(ctx, b, all)
	if err != nil {
		return err
	}
	for _, one := range all {
		if !doubted[one.Person.ID] {
			continue
		}
		s.doubts = append(s.doubts, one.Person.ID)
		page.Changes = slices.DeleteFunc(page.Changes,
			func(c access.Change) bool { return c.Person == one.Person.ID && plan.ContainsChange(one.Lines, c) })
		if page.Notes != nil {
			page.Notes.Add(noteDoubted)
		}
	}
	return nil
}
