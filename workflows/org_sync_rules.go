package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
)

// keepTime serves what time means to the policy's rules, for the life of the run: whom a rule names is told that it holds, and
// who is due, or everybody when a rule comes into force or goes out of it, is looked at then. It asks after every look, since
// that is when rules begin to hold, and sleeps until something is due.
func (s *orgSync) keepTime(ctx workflow.Context) {
	workflow.GoNamed(ctx, "rules", func(ctx workflow.Context) {
		for ctx.Err() == nil {
			due := func() bool {
				return s.Settings.Clocked && s.Policy != "" && s.Paused == nil && !s.ending && !s.admitting && (s.ruleWake || s.ruleDue(ctx))
			}
			if workflow.Await(ctx, func() bool { return due() || s.sleeps() }) != nil {
				return
			}
			if !due() {
				next := s.Rules.Next
				awaitUntil(ctx, next, "a rule's time", func() bool { return due() || !s.sleeps() || !s.Rules.Next.Equal(next) })
				continue
			}
			s.askTheClock(ctx)
		}
	})
}

// sleeps says that nothing is due before an instant that is known.
func (s *orgSync) sleeps() bool {
	return s.Settings.Clocked && s.Policy != "" && s.Paused == nil && !s.ending && !s.ruleWake && !s.Rules.Next.IsZero()
}

func (s *orgSync) ruleDue(ctx workflow.Context) bool {
	return !s.Rules.Next.IsZero() && !workflow.Now(ctx).Before(s.Rules.Next)
}

// askTheClock asks once, and has looked at whom that names.
func (s *orgSync) askTheClock(ctx workflow.Context) {
	s.ruleWake, s.timing = false, true
	defer func() { s.timing, s.wake = false, true }()
	policy := s.Policy
	result, err := ruleTime(ctx, activities.RuleTimeInput{Org: s.Org, Policy: policy, Since: s.Rules.Asked})
	now := workflow.Now(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.Rules.Next, s.Rules.Untold = now.Add(backoff(5)), bounded(messageOf(err))
		}
		return
	}
	if s.Policy != policy {
		s.ruleWake = true
		return
	}
	s.Rules.Asked, s.Rules.Next, s.Rules.Untold = result.At, result.Next, bounded(result.Untold)
	if result.Full {
		s.requestFull("a rule came into force, or went out of it", "")
	} else if len(result.People) > 0 {
		s.log.Info("rules' times have come", "people", len(result.People))
		s.touch(result.People)
	}
}

// touch has people looked at, or everybody when they are many.
func (s *orgSync) touch(people []string) {
	s.Pending.People = merge(s.Pending.People, people)
	if len(s.Pending.People) > mostPending {
		s.Pending.People = nil
		s.requestFull(fmt.Sprintf("more than %d people are to be looked at", mostPending), "")
	}
}
