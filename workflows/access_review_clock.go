package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// arm keeps one timer running, of what is due next.
func (r *accessReview) arm(ctx workflow.Context) {
	due, why := r.nextDue(workflow.Now(ctx))
	r.timer.arm(ctx, due, why, func() { r.wake = true })
}

// nextDue is when the clock asks for something; zero when it does not.
func (r *accessReview) nextDue(now time.Time) (due time.Time, why string) {
	at := func(t time.Time, what string) {
		if t.After(now) && (due.IsZero() || t.Before(due)) {
			due, why = t, what
		}
	}
	again := func(p *messages.Problem, what string) {
		if p != nil {
			at(p.Retry, what)
		}
	}
	if !r.over() {
		again(r.Problem, "try again after a problem")
	}
	switch {
	case r.lasts(now):
		at(r.Stage.Due, fmt.Sprintf("stage %d ends", r.Review.Stage))
		at(r.reminder(remindMiddle), "remind who has something left")
		at(r.reminder(remindLast), "remind who has something left, for the last time")
		if !r.Stage.FellBack {
			at(r.Stage.Fallback, "ask the fallback about what nobody decided")
		}
		at(r.escalation(), "ask the owner about what nobody decided")
		at(r.Stage.Checked.Add(checkEvery), "see whether the reviewers are still there")
		again(r.Attend, "look after the reviewers again")
		at(r.nextAtOnce(), "see how far removals are")
		again(r.AtOnce, "carry removals out again")
		if r.stale {
			at(r.recount, "count what is decided")
		}
	case r.Phase == messages.ReviewCarrying || r.Phase == messages.ReviewHeld:
		at(r.Carried.Next, "see how far removals are")
		at(r.Carried.Until, "give up what was not carried out")
	}
	return due, why
}
