package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// setTimer keeps one timer running, for what is due next.
func (r *accessReview) setTimer(ctx workflow.Context) {
	due, why := r.nextDue(workflow.Now(ctx))
	r.timer.Arm(ctx, due, why, func() { r.wake = true })
}

// nextDue returns when something is due next; zero when nothing is.
func (r *accessReview) nextDue(now time.Time) (due time.Time, why string) {
	next := kit.NewAgenda(now)
	again := func(p *messages.Problem, what string) {
		if p != nil {
			next.At(p.Retry, what)
		}
	}
	if !r.over() {
		again(r.Problem, "try again after a problem")
	}
	switch {
	case r.stageRuns(now):
		next.At(r.Stage.Due, fmt.Sprintf("stage %d ends", r.Review.Stage))
		next.At(r.reminder(remindMiddle), "remind reviewers with items left")
		next.At(r.reminder(remindLast), "remind reviewers with items left, for the last time")
		if !r.Stage.FellBack {
			next.At(r.Stage.Fallback, "ask the fallback reviewers about undecided items")
		}
		next.At(r.escalation(), "ask the owner about undecided items")
		next.At(r.Stage.Checked.Add(checkEvery), "check whether the reviewers are still active")
		again(r.Attend, "check the reviewers again")
		next.At(r.nextAtOnce(), "check the progress of removals")
		again(r.AtOnce, "retry the removals")
		if r.stale {
			next.At(r.recount, "count decisions")
		}
	case r.Phase == messages.ReviewCarrying || r.Phase == messages.ReviewHeld:
		next.At(r.Carried.Next, "check the progress of removals")
		next.At(r.Carried.Until, "give up removals that were not carried out")
	}
	return next.Due, next.Why
}
