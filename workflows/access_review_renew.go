package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// A history takes 2,000 updates, 10,000 signals and 51,200 events, and must not end while an update or a signal is
// being handled, or its answer would be lost. So it ends as soon as it is long and nothing is in flight. Where a stream
// of messages keeps it from that, it is closed: updates are refused for a moment, with an error that says to try again,
// and signals are kept for the next history.
const (
	renewReviewAt = 4000 // events after which a history is long
	renewUpdates  = 1200 // updates after which it is
	closeReviewAt = 4500 // events after which it is closed, if it is still there
	closeUpdates  = 1600
	closeSize     = 8 << 20 // bytes
	mostUpdates   = 1900    // after so many, no update is taken until the next history
)

// tooLong reports whether the history should end soon.
func (r *accessReview) tooLong(ctx workflow.Context) bool {
	return r.history.Due(ctx)
}

// full reports whether no update is taken any more.
func (r *accessReview) full() bool { return r.handlers.Updates() >= mostUpdates }

// mayStart reports whether something may be begun beside all else.
func (r *accessReview) mayStart(ctx workflow.Context) bool { return !r.sideTask && !r.tooLong(ctx) }

// renewable reports whether the history may end here.
func (r *accessReview) renewable(ctx workflow.Context) bool {
	heard := ctx.Err() == nil || r.Cancel != nil || r.Phase == messages.ReviewProving
	return heard && r.tooLong(ctx) && r.nothingRuns() && r.quiet(ctx)
}

// nothingRuns reports whether nothing is under way, besides messages, that a history's end would interrupt.
func (r *accessReview) nothingRuns() bool { return r.telling == 0 && !r.sideTask }

// quiet reports whether no message is unhandled or being recorded.
func (r *accessReview) quiet(ctx workflow.Context) bool {
	return r.recorded == r.submitted && r.handlers.Quiet(ctx, messages.Look)
}

// drained reports whether no message is left to handle and no notice to send, so that the review may end.
func (r *accessReview) drained(ctx workflow.Context) bool {
	return r.nothingRuns() && len(r.Kept) == 0 && r.quiet(ctx)
}

// renew starts a fresh history.
func (r *accessReview) renew(ctx workflow.Context) (messages.ReviewStatus, error) {
	state, again := r.reviewState, r.in
	again.State = &state
	return r.status(ctx), workflow.NewContinueAsNewError(ctx, messages.AccessReview, again)
}

// mustRenew reports whether the history has been too long for long, or somebody wants it to end now.
func (r *accessReview) mustRenew(ctx workflow.Context) bool {
	return r.history.Forced() || r.history.Beyond(ctx,
		kit.Limits{Events: closeReviewAt, Bytes: closeSize, Updates: closeUpdates})
}

// drainable reports whether only a stream of messages keeps the history from ending, and has for long.
func (r *accessReview) drainable(ctx workflow.Context) bool {
	return r.mustRenew(ctx) && r.history.MayDrain(ctx) && r.nothingRuns() && !r.renewable(ctx)
}

// interrupts reports whether something goes ahead of the step that is being taken: a cancellation, or the end of the
// history.
func (r *accessReview) interrupts(ctx workflow.Context) bool {
	return r.cancelling() || r.drainable(ctx) || r.mustRenew(ctx) && r.renewable(ctx)
}
