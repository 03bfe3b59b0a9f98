package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// serveRuleClock handles what depends on time, as long as the workflow runs: it sends the notices of rules that begin
// to hold, and reconciles people when a rule or the end of a ruling is due for them, or everybody when a rule comes
// into or goes out of force. It asks after every run, since that is when rules begin to hold, and sleeps until
// something is due.
func (s *orgSync) serveRuleClock(ctx workflow.Context) {
	// In old histories, only policies with timed rules used the clock, and verifications noticed the end of rulings.
	if s.alwaysClocked = workflow.GetVersion(ctx, "rulings-end-on-time", workflow.DefaultVersion,
		1) > workflow.DefaultVersion; s.alwaysClocked {
		s.ruleWake = s.ruleWake || s.Rules.Asked.IsZero()
	}
	workflow.GoNamed(ctx, "rules", func(ctx workflow.Context) {
		for ctx.Err() == nil {
			due := func() bool {
				return s.usesRuleClock() && s.Policy != "" && s.Paused == nil && !s.retired() && !s.ending &&
					!s.applyingPolicy && (s.ruleWake || s.ruleDue(ctx))
			}
			if workflow.Await(ctx, func() bool { return due() || s.waitsForRuleClock() }) != nil {
				return
			}
			if !due() {
				next := s.Rules.Next
				kit.AwaitUntil(ctx, next, "the time of a rule or of a review's verdict",
					func() bool { return due() || !s.waitsForRuleClock() || !s.Rules.Next.Equal(next) })
				continue
			}
			s.askRuleClock(ctx)
		}
	})
}

// usesRuleClock reports whether the rule clock is needed at all.
func (s *orgSync) usesRuleClock() bool { return s.alwaysClocked || s.Settings.Clocked }

// waitsForRuleClock reports whether nothing is due before a known instant.
func (s *orgSync) waitsForRuleClock() bool {
	return s.usesRuleClock() && s.Policy != "" && s.Paused == nil && !s.retired() && !s.ending && !s.ruleWake &&
		!s.Rules.Next.IsZero()
}

func (s *orgSync) ruleDue(ctx workflow.Context) bool {
	return !s.Rules.Next.IsZero() && !workflow.Now(ctx).Before(s.Rules.Next)
}

// askRuleClock asks the rule clock once, and schedules the reconciliation of the people it returns.
func (s *orgSync) askRuleClock(ctx workflow.Context) {
	s.ruleWake, s.askingRuleClock = false, true
	defer func() { s.askingRuleClock, s.wake = false, true }()
	policy := s.Policy
	result, err := act.RuleTime(ctx, reconcile.RuleTimeInput{Org: s.Org, Policy: policy, Since: s.Rules.Asked})
	now := workflow.Now(ctx)
	if err != nil {
		if ctx.Err() == nil {
			// Recorded histories depend on this wait.
			s.Rules.Next, s.Rules.Untold = now.Add(loopBackoff.After(5)), kit.Bounded(kit.MessageOf(err))
		}
		return
	}
	if s.Policy != policy {
		s.ruleWake = true
		return
	}
	s.Rules.Asked, s.Rules.Next, s.Rules.Untold = result.At, result.Next, kit.Bounded(result.Untold)
	if result.Full {
		s.requestFull("a rule came into or went out of force", "")
	} else if len(result.People) > 0 {
		s.log.Info("times have come", "people", len(result.People))
		s.touch(result.People)
	}
}

// touch schedules the reconciliation of people, or of everybody if they are many.
func (s *orgSync) touch(people []string) {
	s.Pending.People = merge(s.Pending.People, people)
	if len(s.Pending.People) > mostPending {
		s.Pending.People = nil
		s.requestFull(fmt.Sprintf("more than %d people are to be decided again", mostPending), "")
	}
}
