package workflows

import (
	"github.com/castellan-io/castellan/messages"

	"go.temporal.io/sdk/workflow"
)

// A history takes 2,000 updates, 10,000 signals and 51,200 events, and must not end while an update or a signal is being handled, or
// its answer would be lost. So it ends as soon as it is long and nothing is in flight. Where a stream of words keeps it from that, it
// is closed: updates are refused for a moment, with an error that says to try again, and signals are kept for the next history.
const (
	renewReviewAt = 4000 // events after which a history is long
	renewUpdates  = 1200 // updates after which it is
	closeReviewAt = 4500 // events after which it is closed, if it is still there
	closeUpdates  = 1600
	closeSize     = 8 << 20 // bytes
	mostUpdates   = 1900    // after so many, no update is taken until the next history
)

// tooLong says that the history should end soon.
func (r *accessReview) tooLong(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return r.force || info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > renewReviewAt || r.words.updates > renewUpdates
}

// full says that no update is taken any more.
func (r *accessReview) full() bool { return r.words.updates >= mostUpdates }

// makeWay ends what is done beside when the history should end. The next one does it again.
func (r *accessReview) makeWay(ctx workflow.Context) {
	if r.tooLong(ctx) {
		r.stopBeside()
	}
}

// mayStart says that something may be begun beside all else.
func (r *accessReview) mayStart(ctx workflow.Context) bool { return !r.beside && !r.tooLong(ctx) }

// renewable says that the history may end here.
func (r *accessReview) renewable(ctx workflow.Context) bool {
	heard := ctx.Err() == nil || r.Cancel != nil || r.Phase == messages.ReviewProving
	return heard && r.tooLong(ctx) && r.nothingRuns() && r.quiet(ctx)
}

// nothingRuns says that nothing is being done that a history's end would interrupt; words aside.
func (r *accessReview) nothingRuns() bool { return r.telling == 0 && !r.beside }

// quiet says that nothing said to the workflow is unheard or being recorded.
func (r *accessReview) quiet(ctx workflow.Context) bool {
	return r.recorded == r.spoken && workflow.GetSignalChannel(ctx, messages.Look).Len() == 0 &&
		!r.words.pending(ctx) && workflow.AllHandlersFinished(ctx)
}

// silent says that nothing is left to hear or to tell, so that the review may end.
func (r *accessReview) silent(ctx workflow.Context) bool {
	return r.nothingRuns() && len(r.Kept) == 0 && r.quiet(ctx)
}

// renew starts a fresh history.
func (r *accessReview) renew(ctx workflow.Context) (messages.ReviewStatus, error) {
	state, again := r.reviewState, r.in
	again.State = &state
	return r.status(ctx), workflow.NewContinueAsNewError(ctx, messages.AccessReview, again)
}

// pressing says that the history has been too long for long, or that somebody wants it to end now.
func (r *accessReview) pressing(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return r.force || info.GetCurrentHistoryLength() > closeReviewAt || info.GetCurrentHistorySize() > closeSize || r.words.updates > closeUpdates
}

// closable says that only a stream of words keeps the history from its end, and has for long.
func (r *accessReview) closable(ctx workflow.Context) bool {
	return r.pressing(ctx) && workflow.GetInfo(ctx).GetCurrentHistoryLength() >= r.closeAt && r.nothingRuns() && !r.renewable(ctx)
}

// overtaken says that something goes ahead of the step that is being taken: a cancellation, or the end of the history.
func (r *accessReview) overtaken(ctx workflow.Context) bool {
	return r.ending() || r.closable(ctx) || r.pressing(ctx) && r.renewable(ctx)
}

// closeHistory lets what is being handled come to its end, while what comes waits. If something takes long, as in an outage of the
// ledger, this history goes on for now.
func (r *accessReview) closeHistory(ctx workflow.Context) {
	r.keepWords(true)
	awaitUntil(ctx, workflow.Now(ctx).Add(closeFor), "let the history end", func() bool { return r.renewable(ctx) })
	if r.renewable(ctx) {
		return // it ends now
	}
	r.keepWords(false)
	r.closeAt = workflow.GetInfo(ctx).GetCurrentHistoryLength() + closeEvery
}

// keepWords has what comes wait for the next history, or not any more.
func (r *accessReview) keepWords(keep bool) { r.closed, r.words.queue.closed = keep, keep }
