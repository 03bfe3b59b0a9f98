package kit

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// Limits are how large a history may grow.
type Limits struct {
	Events  int
	Bytes   int // zero: not counted
	Updates int // accepted; zero: not counted
}

// Renewal decides when a workflow continues as new, since Temporal replays and limits histories. What to wait for
// before that is up to the workflow.
type Renewal struct {
	Limits
	handlers *MessageHandlers
	forced   bool // requested by a signal
	drainAt  int  // the history's length at which to try draining again
}

// NewRenewal returns the renewal of a workflow with these handlers.
func NewRenewal(handlers *MessageHandlers, limits Limits) *Renewal {
	return &Renewal{Limits: limits, handlers: handlers}
}

// Force requests that the history end as soon as nothing is pending.
func (r *Renewal) Force() { r.forced = true }

// Forced reports whether that was requested.
func (r *Renewal) Forced() bool { return r.forced }

// Due reports whether the history should end soon.
func (r *Renewal) Due(ctx workflow.Context) bool {
	return r.forced || workflow.GetInfo(ctx).GetContinueAsNewSuggested() || r.Beyond(ctx, r.Limits)
}

// Beyond reports whether the history exceeds limits.
func (r *Renewal) Beyond(ctx workflow.Context, limits Limits) bool {
	info := workflow.GetInfo(ctx)
	return info.GetCurrentHistoryLength() > limits.Events ||
		limits.Bytes > 0 && info.GetCurrentHistorySize() > limits.Bytes ||
		limits.Updates > 0 && r.handlers.updates > limits.Updates
}

// How long new messages are held so that a history can end, and after how many events to try again.
const (
	drainFor   = 4 * time.Second
	drainEvery = 500
)

// MayDrain reports whether the history is long enough for another attempt to drain it.
func (r *Renewal) MayDrain(ctx workflow.Context) bool {
	return workflow.GetInfo(ctx).GetCurrentHistoryLength() >= r.drainAt
}

// Drain waits until all handlers have finished, while new messages wait for the next history, so that a stream of
// messages cannot keep a history from ending. If that takes too long, or is in vain, this history continues for now.
func (r *Renewal) Drain(ctx workflow.Context, renewable, vain func() bool) {
	r.handlers.Hold(true)
	AwaitUntil(ctx, workflow.Now(ctx).Add(drainFor), "let the history end",
		func() bool { return renewable() || vain != nil && vain() })
	if renewable() {
		return // it ends now
	}
	r.handlers.Hold(false)
	r.drainAt = workflow.GetInfo(ctx).GetCurrentHistoryLength() + drainEvery
}

// YieldToCoroutines lets every other coroutine run. A signal that was handed to a coroutine that has not run yet is in
// no channel: a history that ended now would lose it.
func YieldToCoroutines(ctx workflow.Context) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	ran := false
	workflow.Go(whole, func(workflow.Context) { ran = true }) // runs last
	_ = workflow.Await(whole, func() bool { return ran })
}
