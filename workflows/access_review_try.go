package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// Patience with what fails.
const (
	firstRetry    = 15 * time.Second
	longestRetry  = 15 * time.Minute
	beginPatience = 72 * time.Hour // while the ledger does not know of the review, and so nobody can be told
)

// try takes a step on the review's way. A step that fails is tried again, after a while that grows. Cancelling the review goes ahead
// of it; so does the end of a history that is full: the step is then taken again by the next one.
func (r *accessReview) try(ctx workflow.Context, step func(workflow.Context) error) {
	once, interrupt := workflow.WithCancel(ctx)
	defer interrupt()
	interrupted := false
	workflow.Go(once, func(ctx workflow.Context) {
		if workflow.Await(ctx, func() bool { return r.overtaken(ctx) }) == nil {
			interrupted = true
			interrupt()
		}
	})
	if err := step(once); err == nil {
		r.Problem = nil
	} else if !interrupted {
		r.struggle(ctx, err)
	}
}

// insist takes a step that nothing goes ahead of.
func (r *accessReview) insist(ctx workflow.Context, step func(workflow.Context) error) error {
	err := step(ctx)
	if err == nil {
		r.Problem = nil
	} else {
		r.struggle(ctx, err)
	}
	return err
}

// aside takes a step beside all else: nothing waits for it when it fails, and it ends when something is in its way.
func (r *accessReview) aside(ctx workflow.Context, problem **messages.Problem, step func(workflow.Context) error) {
	once, stop := workflow.WithCancel(ctx)
	r.beside, r.stop = true, stop
	workflow.GoNamed(once, "beside", func(once workflow.Context) {
		err := step(once)
		switch {
		case err == nil:
			*problem = nil
		case once.Err() == nil:
			*problem = r.troubled(once, *problem, err)
		}
		stop()
		r.beside, r.stop, r.wake = false, nil, true
	})
}

// stopBeside ends what is done beside.
func (r *accessReview) stopBeside() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// alone ends what is done beside, and waits until it has ended.
func (r *accessReview) alone(ctx workflow.Context) error {
	r.stopBeside()
	return workflow.Await(ctx, func() bool { return !r.beside })
}

// heardOut waits until what was said so far is recorded: nobody's word that came in time comes too late.
func (r *accessReview) heardOut(ctx workflow.Context) error {
	last := r.spoken
	return workflow.Await(ctx, func() bool { return r.recorded >= last })
}

// mayTry says that nothing failed, or that its next attempt is due.
func (r *accessReview) mayTry(now time.Time) bool { return ripe(r.Problem, now) }

func ripe(p *messages.Problem, now time.Time) bool { return p == nil || !now.Before(p.Retry) }

// triedFor says that a step has failed for so long.
func (r *accessReview) triedFor(ctx workflow.Context, long time.Duration) bool {
	return r.Problem != nil && workflow.Now(ctx).Sub(r.Problem.Since) >= long
}

// forget drops a problem of ending a stage that need not end any more, such as when something was reopened.
func (r *accessReview) forget(now time.Time) {
	if r.Problem != nil && r.lasts(now) && !r.stale && r.recorded == r.spoken && !r.decided(now) {
		r.Problem = nil
	}
}

// patience is for how long something may fail until it is given up.
func (r *accessReview) patience() time.Duration { return max(r.Settings.Patience.Std(), time.Hour) }

// struggle notes that a step on the review's way failed. What has failed for as long as the campaign has patience is given up.
func (r *accessReview) struggle(ctx workflow.Context, err error) {
	if r.Problem = r.troubled(ctx, r.Problem, err); !r.unknown() && r.triedFor(ctx, r.patience()) {
		r.giveUp()
	}
}

// giveUp lets a review that cannot go on end otherwise: without stages that cannot begin, or at least in order. Removals have a time
// of their own, and what needs the ledger alone is tried without end.
func (r *accessReview) giveUp() {
	since, why := instant(r.Problem.Since), r.Problem.Message
	stage := r.Review.Stage
	switch {
	case r.ending():
	case r.Phase == messages.ReviewTaking:
		r.stopAll(messages.EndReviewInput{By: castellan, Reason: bounded("it could not be opened since " + since + ": " + why)})
	case r.Phase != messages.ReviewDeciding:
	case stage == 0:
		r.stopAll(messages.EndReviewInput{By: castellan, Reason: bounded("nobody could be asked since " + since + ": " + why)})
	case r.End == nil && stage < len(r.Settings.Stages): // what was decided so far counts
		r.End, r.Problem = &messages.EndReviewInput{By: castellan, Reason: bounded(fmt.Sprintf("stage %d could not begin since %s: %s", stage+1, since, why))}, nil
	default:
		r.stopAll(messages.EndReviewInput{By: castellan, Reason: bounded("deciding could not be ended since " + since + ": " + why)})
	}
}

// castellan is who ends a review that cannot go on.
const castellan = "castellan"

// lost says that the ledger has known nothing of the review for as long as the campaign has patience.
func (r *accessReview) lost(now time.Time) bool {
	decided := r.Phase == messages.ReviewCarrying || r.Phase == messages.ReviewHeld || r.Phase == messages.ReviewProving
	return r.Problem != nil && r.Problem.Kind == activities.ErrUnknown && (decided || r.ending()) &&
		now.Sub(r.Problem.Since) >= r.patience()
}

// troubled notes a failure. Whoever answers for the review is told when the second attempt fails too.
func (r *accessReview) troubled(ctx workflow.Context, was *messages.Problem, err error) *messages.Problem {
	now := workflow.Now(ctx)
	p := messages.Problem{Kind: kindOf(err), Message: bounded(messageOf(err)), Since: now, Tries: 1}
	if was != nil {
		p.Since, p.Tries = was.Since, was.Tries+1
	}
	p.Retry = now.Add(min(firstRetry<<min(p.Tries-1, 10), longestRetry))
	if p.Tries == 2 && !r.unknown() {
		r.tell(ctx, activities.ReviewTellInput{ReviewInput: r.id, Kind: activities.NoticeReviewTrouble, Stage: r.Review.Stage, When: p.Since.UTC().Format(time.RFC3339), Why: p.Message})
	}
	return &p
}

// hopeless says that trying again cannot help.
func hopeless(err error) bool {
	switch kindOf(err) {
	case activities.ErrRefused, activities.ErrUnknown, activities.ErrPolicy:
		return true
	}
	return false
}
