package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// A history is limited to 2,000 updates, 10,000 signals and 51,200 events, and must not end while an update or a signal
// is being handled, or its answer would be lost. So it ends once it is long and nothing is in flight. If a steady
// stream of messages prevents that, it is closed: updates are refused for a moment, with a retryable error, and signals
// are kept for the next history.
const (
	renewReviewAt = 4000 // events after which a history is long
	renewUpdates  = 1200 // updates after which it is
	closeReviewAt = 4500 // events after which it is closed, if it is still there
	closeUpdates  = 1600
	closeSize     = 8 << 20 // bytes
	mostUpdates   = 1900    // after so many, updates are refused until the next history
)

// tooLong reports whether the history should end soon.
func (r *accessReview) tooLong(ctx workflow.Context) bool {
	return r.history.Due(ctx)
}

// full reports whether updates are refused.
func (r *accessReview) full() bool { return r.handlers.Updates() >= mostUpdates }

// mayStart reports whether a side task may begin.
func (r *accessReview) mayStart(ctx workflow.Context) bool { return !r.sideTask && !r.tooLong(ctx) }

// renewable reports whether the history may end here.
func (r *accessReview) renewable(ctx workflow.Context) bool {
	heard := ctx.Err() == nil || r.Cancel != nil || r.Phase == messages.ReviewProving
	return heard && r.tooLong(ctx) && r.nothingRuns() && r.quiet(ctx)
}

// nothingRuns reports whether nothing but messages is in flight.
func (r *accessReview) nothingRuns() bool { return r.telling == 0 && !r.sideTask }

// quiet reports whether all messages are handled and recorded.
func (r *accessReview) quiet(ctx workflow.Context) bool {
	return r.recorded == r.submitted && r.handlers.Quiet(ctx, messages.Look)
}

// drained reports whether no message is left to handle and no notice to send, so that the review may end.
func (r *accessReview) drained(ctx workflow.Context) bool {
	return r.nothingRuns() && len(r.Kept) == 0 && r.quiet(ctx)
}

// renew continues as new.
func (r *accessReview) renew(ctx workflow.Context) (messages.ReviewStatus, error) {
	state, again := r.reviewState, r.in
	again.State = &state
	return r.status(ctx), workflow.NewContinueAsNewError(ctx, messages.AccessReview, again)
}

// mustRenew reports whether the history is far too long, or somebody wants it to end now.
func (r *accessReview) mustRenew(ctx workflow.Context) bool {
	return r.history.Forced() || r.history.Beyond(ctx,
		kit.Limits{Events: closeReviewAt, Bytes: closeSize, Updates: closeUpdates})
}

// drainable reports whether only a stream of messages has kept the history from ending for long.
func (r *accessReview) drainable(ctx workflow.Context) bool {
	return r.mustRenew(ctx) && r.history.MayDrain(ctx) && r.nothingRuns() && !r.renewable(ctx)
}

// interrupts reports whether a cancellation, or the end of the history, takes precedence over the current step.
func (r *accessReview) interrupts(ctx workflow.Context) bool {
	return r.cancelling() || r.drainable(ctx) || r.mustRenew(ctx) && r.renewable(ctx)
}
