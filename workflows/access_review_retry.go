package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// Bounds of retries.
const (
	longestRetry  = 15 * time.Minute
	beginPatience = 72 * time.Hour // before the review is in the ledger, so that nobody can be notified
)

// reviewBackoff is the backoff of a failed step.
var reviewBackoff = kit.Backoff{First: 15 * time.Second, Longest: longestRetry}

// attempt runs a step, which is retried with backoff if it fails. A cancellation of the review interrupts it, and so
// does the end of a full history: the next history then repeats the step.
func (r *accessReview) attempt(ctx workflow.Context, step func(workflow.Context) error) {
	once, interrupt := workflow.WithCancel(ctx)
	defer interrupt()
	interrupted := false
	workflow.Go(once, func(ctx workflow.Context) {
		if workflow.Await(ctx, func() bool { return r.interrupts(ctx) }) == nil {
			interrupted = true
			interrupt()
		}
	})
	if err := step(once); err == nil {
		r.Problem = nil
	} else if !interrupted {
		r.recordFailure(ctx, err)
	}
}

// attemptUninterrupted runs a step that nothing interrupts.
func (r *accessReview) attemptUninterrupted(ctx workflow.Context, step func(workflow.Context) error) error {
	err := step(ctx)
	if err == nil {
		r.Problem = nil
	} else {
		r.recordFailure(ctx, err)
	}
	return err
}

// runSideTask runs a step concurrently: nothing waits for it, and it is cancelled when something more important is due.
func (r *accessReview) runSideTask(ctx workflow.Context, problem **messages.Problem,
	step func(workflow.Context) error) {
	once, stop := workflow.WithCancel(ctx)
	r.sideTask, r.stopSide = true, stop
	workflow.GoNamed(once, "beside", func(once workflow.Context) {
		err := step(once)
		switch {
		case err == nil:
			*problem = nil
		case once.Err() == nil:
			*problem = r.nextProblem(once, *problem, err)
		}
		stop()
		r.sideTask, r.stopSide, r.wake = false, nil, true
	})
}

// stopSideTask cancels the side task.
func (r *accessReview) stopSideTask() {
	if r.stopSide != nil {
		r.stopSide()
		r.stopSide = nil
	}
}

// endSideTask cancels the side task, and waits for its end.
func (r *accessReview) endSideTask(ctx workflow.Context) error {
	r.stopSideTask()
	return workflow.Await(ctx, func() bool { return !r.sideTask })
}

// awaitRecorded waits until all decisions so far are recorded: one that arrived in time never counts as late.
func (r *accessReview) awaitRecorded(ctx workflow.Context) error {
	last := r.submitted
	return workflow.Await(ctx, func() bool { return r.recorded >= last })
}

// mayTry reports whether no step has failed, or its retry is due.
func (r *accessReview) mayTry(now time.Time) bool { return kit.RetryDue(r.Problem, now) }

// triedFor reports whether a step has been failing for so long.
func (r *accessReview) triedFor(ctx workflow.Context, long time.Duration) bool {
	return r.Problem != nil && workflow.Now(ctx).Sub(r.Problem.Since) >= long
}

// dropMootProblem drops the problem of ending a stage that need not end any more, for example after a reopen.
func (r *accessReview) dropMootProblem(now time.Time) {
	if r.Problem != nil && r.stageRuns(now) && !r.stale && r.recorded == r.submitted && !r.stageOver(now) {
		r.Problem = nil
	}
}

// retryLimit returns how long a step may fail until it is given up.
func (r *accessReview) retryLimit() time.Duration { return max(r.Settings.Patience.Std(), time.Hour) }

// recordFailure records that a step failed, and gives up after the campaign's patience.
func (r *accessReview) recordFailure(ctx workflow.Context, err error) {
	if r.Problem = r.nextProblem(ctx, r.Problem, err); !r.notBegun() && r.triedFor(ctx, r.retryLimit()) {
		r.giveUp()
	}
}

// giveUp ends a review that cannot continue: without the stages that cannot begin, or by cancelling it. Removals have
// their own deadline, and steps that need only the ledger are retried forever.
func (r *accessReview) giveUp() {
	since, why := instant(r.Problem.Since), r.Problem.Message
	stage := r.Review.Stage
	switch {
	case r.cancelling():
	case r.Phase == messages.ReviewTaking:
		r.requestCancel(messages.EndReviewInput{By: castellan,
			Reason: kit.Bounded("it could not be opened since " + since + ": " + why)})
	case r.Phase != messages.ReviewDeciding:
	case stage == 0:
		r.requestCancel(messages.EndReviewInput{By: castellan,
			Reason: kit.Bounded("nobody could be asked since " + since + ": " + why)})
	case r.End == nil && stage < len(r.Settings.Stages): // earlier decisions count
		r.End, r.Problem = &messages.EndReviewInput{By: castellan,
			Reason: kit.Bounded(fmt.Sprintf("stage %d could not begin since %s: %s", stage+1, since, why))}, nil
	default:
		r.requestCancel(messages.EndReviewInput{By: castellan,
			Reason: kit.Bounded("deciding could not be ended since " + since + ": " + why)})
	}
}

// castellan is who ends a review that cannot continue.
const castellan = "castellan"

// lostFromLedger reports whether the review has been missing from the ledger for the campaign's patience.
func (r *accessReview) lostFromLedger(now time.Time) bool {
	decided := r.Phase == messages.ReviewCarrying || r.Phase == messages.ReviewHeld || r.Phase == messages.ReviewProving
	return r.Problem != nil && r.Problem.Kind == session.ErrUnknown && (decided || r.cancelling()) &&
		now.Sub(r.Problem.Since) >= r.retryLimit()
}

// nextProblem records a failure. The review's owner gets a notice when the second attempt fails too.
func (r *accessReview) nextProblem(ctx workflow.Context, was *messages.Problem, err error) *messages.Problem {
	now := workflow.Now(ctx)
	p := kit.RecordFailure(now, was, messages.Problem{Kind: kit.KindOf(err), Message: kit.Bounded(kit.MessageOf(err))},
		reviewBackoff)
	if p.Tries == 2 && !r.notBegun() {
		r.sendNotice(ctx, reviews.ReviewTellInput{ReviewInput: r.id, Kind: reviews.NoticeReviewTrouble,
			Stage: r.Review.Stage, When: p.Since.UTC().Format(time.RFC3339), Why: p.Message})
	}
	return p
}

// isPermanent reports whether a retry cannot help.
func isPermanent(err error) bool {
	switch kit.KindOf(err) {
	case session.ErrRefused, session.ErrUnknown, session.ErrPolicy, session.ErrRetired:
		return true
	}
	return false
}
