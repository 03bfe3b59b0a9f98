package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// When removals are checked.
const (
	firstLook    = 5 * time.Second
	askLoopEvery = 10 * time.Minute // the organization's loop, about the same people
)

// lookBackoff is the time between checks of unfinished removals.
var lookBackoff = kit.Backoff{First: firstLook, Longest: 15 * time.Minute}

// remediationDue reports whether to check the removals, now that deciding is over.
func (r *accessReview) remediationDue(now time.Time) bool {
	return (r.Phase == messages.ReviewCarrying || r.Phase == messages.ReviewHeld) &&
		(!now.Before(r.Carried.Next) || r.lastLook(now))
}

// lastLook reports whether to give up unfinished removals: time is over, or somebody closed the review.
func (r *accessReview) lastLook(now time.Time) bool {
	return r.End != nil || !now.Before(r.Carried.Until)
}

// remediate checks the removals, and continues with the evidence when all are done.
func (r *accessReview) remediate(ctx workflow.Context) error {
	final := r.lastLook(workflow.Now(ctx))
	done, err := r.lookAtRemovals(ctx, final)
	switch {
	case err != nil:
		return err
	case final || done.Open+done.Held == 0:
		r.Phase, r.End = messages.ReviewProving, nil
	case done.Open == 0:
		r.Phase = messages.ReviewHeld
	default:
		r.Phase = messages.ReviewCarrying
	}
	return nil
}

// atOnceDue reports whether to check removals during the stage: some were decided but not begun, or are in progress.
func (r *accessReview) atOnceDue(now time.Time) bool {
	at := r.nextAtOnce()
	return r.stageRuns(now) && kit.RetryDue(r.AtOnce, now) && !at.IsZero() && !now.Before(at)
}

// nextAtOnce returns when that is; zero for never.
func (r *accessReview) nextAtOnce() time.Time {
	switch soon := r.looked.Add(firstLook); {
	case !r.Settings.AtOnce:
		return time.Time{}
	case r.Status.Carry > 0 && (r.Carried.Next.IsZero() || soon.Before(r.Carried.Next)):
		return soon
	}
	return r.Carried.Next
}

// remediateAtOnce carries out removals during the stage.
func (r *accessReview) remediateAtOnce(ctx workflow.Context) error {
	done, err := r.lookAtRemovals(ctx, false)
	if err == nil && done.Open+done.Held == 0 {
		r.Carried.Next, r.Carried.Tries = time.Time{}, 0
	}
	return err
}

// lookAtRemovals checks the removals, asks the organization's loop to reconcile the people concerned, and sends a
// notice about a held plan.
func (r *accessReview) lookAtRemovals(ctx workflow.Context, final bool) (reviews.ReviewCarryResult, error) {
	c := &r.Carried
	fresh := c.Tries == 0 || r.Status.Carry > 0
	done, err := act.ReviewCarry(ctx, reviews.ReviewCarryInput{ReviewInput: r.id, Final: final})
	if err != nil {
		return done, err
	}
	now := workflow.Now(ctx)
	r.looked = now
	c.Open, c.Held, c.Plan = done.Open, done.Held, done.Plan
	if c.Tries++; fresh || done.Done > 0 {
		c.Tries = 1
	}
	c.Next = now.Add(lookBackoff.After(c.Tries))
	r.tellHeld(ctx, done.Plan)
	if (len(done.Look) > 0 || done.Everybody) && (fresh || !now.Before(c.Asked.Add(askLoopEvery))) {
		r.askLoop(ctx, done)
	}
	r.count(ctx)
	return done, nil
}

// askLoop asks the organization's loop to reconcile the people whom removals concern.
func (r *accessReview) askLoop(ctx workflow.Context, done reviews.ReviewCarryResult) {
	err := workflow.SignalExternalWorkflow(ctx, messages.OrgSyncID(r.in.Org), "", messages.LookAt,
		messages.LookAtSignal{
			Review: r.id.Review, People: done.Look, Everybody: done.Everybody,
		}).Get(ctx, nil)
	if err != nil {
		r.log.Warn("the organization's loop cannot be asked to look", "error", err)
		r.Carried.Asked = time.Time{} // ask again at the next check
		return
	}
	r.Carried.Asked = workflow.Now(ctx)
}

// mostPlans is how many held plans are remembered as notified.
const mostPlans = 50

// tellHeld sends a notice about a held plan, once per plan.
func (r *accessReview) tellHeld(ctx workflow.Context, plan string) {
	notice := messages.ReviewNotice{Plan: plan}
	if plan == "" || slices.Contains(r.Sent, notice) {
		return
	}
	plans := 0
	for i := len(r.Sent) - 1; i >= 0; i-- {
		if r.Sent[i].Plan != "" {
			if plans++; plans >= mostPlans {
				r.Sent = slices.Delete(r.Sent, i, i+1)
			}
		}
	}
	r.Sent = append(r.Sent, notice)
	r.sendNotice(ctx, reviews.ReviewTellInput{ReviewInput: r.id, Kind: reviews.NoticeReviewHeld, Why: plan})
}
