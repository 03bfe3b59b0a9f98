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

// Renewal is when a workflow's history ends for a fresh one: Temporal replays all of a history, and bounds it. What a
// workflow waits for before that is its own.
type Renewal struct {
	Limits
	handlers *MessageHandlers
	forced   bool // somebody wants it to end as soon as nothing waits
	drainAt  int  // the history's length at which draining is tried again
}

// NewRenewal is for a workflow that hears by these handlers.
func NewRenewal(handlers *MessageHandlers, limits Limits) *Renewal {
	return &Renewal{Limits: limits, handlers: handlers}
}

// Force has the history end as soon as nothing waits.
func (r *Renewal) Force() { r.forced = true }

// Forced reports whether somebody wants it to end.
func (r *Renewal) Forced() bool { return r.forced }

// Due reports whether the history should end soon.
func (r *Renewal) Due(ctx workflow.Context) bool {
	return r.forced || workflow.GetInfo(ctx).GetContinueAsNewSuggested() || r.Beyond(ctx, r.Limits)
}

// Beyond reports whether the history is larger than some limits.
func (r *Renewal) Beyond(ctx workflow.Context, limits Limits) bool {
	info := workflow.GetInfo(ctx)
	return info.GetCurrentHistoryLength() > limits.Events ||
		limits.Bytes > 0 && info.GetCurrentHistorySize() > limits.Bytes ||
		limits.Updates > 0 && r.handlers.updates > limits.Updates
}

// How long new messages wait so that a history can end, and how many events later that is tried again.
const (
	drainFor   = 4 * time.Second
	drainEvery = 500
)

// MayDrain reports whether the history is as long as it has to be for the next attempt to drain it.
func (r *Renewal) MayDrain(ctx workflow.Context) bool {
	return workflow.GetInfo(ctx).GetCurrentHistoryLength() >= r.drainAt
}

// Drain lets what is being handled come to its end, while what comes waits for the next history: so a stream of
// messages keeps no history from its end. If something takes long, or waiting is vain, this history goes on for now.
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

// YieldToCoroutines lets every other coroutine take what has come for it. A signal that was handed to a coroutine which
// has not run yet stands in no channel: a history that ended now would lose it.
func YieldToCoroutines(ctx workflow.Context) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	ran := false
	workflow.Go(whole, func(workflow.Context) { ran = true }) // the last one in turn
	_ = workflow.Await(whole, func() bool { return ran })
}
