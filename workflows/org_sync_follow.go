package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// Bounds of follow-up runs.
const (
	mostRounds  = 8  // runs in a row, each because of what the one before changed
	mostFollows = 50 // runs followed up together; beyond that, everybody is verified
	mostCircles = 10 // findings about circular rules
)

// followChanges schedules another decision for people of whom a run changed something that the policy depends on: a
// group that a rule asks for, presence, a role. The number of runs in a row is limited; the next verification does the
// rest.
func (s *orgSync) followChanges(sum messages.RunSummary) {
	if sum.Due == 0 || sum.Problem != nil || sum.DryRun {
		return
	}
	next := messages.FollowUp{Run: sum.Run, Round: sum.Round + 1, Since: sum.Since}
	if next.Since.IsZero() {
		next.Since = sum.Started
	}
	s.wake = true
	switch {
	case next.Round > mostRounds:
		s.reportCircles([]string{fmt.Sprintf(
			"rules-circle %s: rules still change what others look at after %d runs in a row, the last of them %s; the next verification goes on. `starter plan --run %s` shows what it changed", s.Org, mostRounds, sum.Run, sum.Run)})
	case sum.Due > messages.MostFollowed || len(s.Pending.Follow) >= mostFollows:
		s.requestFull("run "+sum.Run+" changed what rules or mappings look at", "")
		s.Pending.FullRound, s.Pending.FullSince = laterRound(s.Pending.FullRound, s.Pending.FullSince, next.Round,
			next.Since)
	default:
		s.Pending.Follow = append(s.Pending.Follow, next)
	}
}

// mayFollowUp reports whether a follow-up is pending.
func (s *orgSync) mayFollowUp() bool {
	return s.Adopted && s.Problem == nil && len(s.Pending.Follow) > 0
}

// followUp decides these people again.
func (s *orgSync) followUp(ctx workflow.Context) {
	in := s.newRun(ctx)
	var after []string
	for _, f := range s.Pending.Follow {
		after = append(after, f.Run)
		in.Round, in.Since = laterRound(in.Round, in.Since, f.Round, f.Since)
	}
	s.Pending.Follow = nil
	in.Trigger = "what run " + strings.Join(after[:min(len(after), 3)], ", ") + " changed"
	in.Scope = messages.Scope{Kind: messages.ScopePeople}
	s.lookAtFew(ctx, in, lookOptions{after: after})
}

// followedByFull returns the round of a full verification that starts now: it decides everybody again.
func (s *orgSync) followedByFull() (round int, since time.Time) {
	round, since = s.Pending.FullRound, s.Pending.FullSince
	for _, f := range s.Pending.Follow {
		round, since = laterRound(round, since, f.Round, f.Since)
	}
	return round, since
}

// laterRound merges two sequences of runs: the larger round, and the earlier beginning.
func laterRound(round int, since time.Time, other int, began time.Time) (int, time.Time) {
	if since.IsZero() || !began.IsZero() && began.Before(since) {
		since = began
	}
	return max(round, other), since
}

// reportCircles reports circular rules, until the next full verification.
func (s *orgSync) reportCircles(found []string) {
	for _, f := range found {
		if f = kit.Bounded(f); !slices.Contains(s.Circles, f) && len(s.Circles) < mostCircles {
			s.Circles = append(s.Circles, f)
		}
	}
}

// allNoticed returns the last run's findings, and circular rules found before it.
func (s *orgSync) allNoticed() []string {
	all := slices.Clone(s.Findings)
	for _, f := range s.Circles {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}
