package session

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
)

// ErrStopping is the error type of an activity whose worker was told to stop before it was done: another worker
// continues it.
const ErrStopping = "WorkerStopping"

// retryElsewhereAfter is how long an interrupted activity waits for its next attempt: until its worker has stopped
// polling.
const retryElsewhereAfter = 250 * time.Millisecond

// interruptible are the activities that may take minutes, and only read from Atlassian and record what they read. Their
// progress is in the ledger and in their heartbeats. All others are short, or write: they run to their end.
var interruptible = []string{
	"Outline", "Sweep", "Examine", "Judge", "Confirm", "Verify", "CloseEnded",
	"Govern", "GovernEnd", "ReviewSweep", "ReviewRank", "ReviewStage", "Answer",
}

// Interrupt is a worker interceptor: when the worker is told to stop, it interrupts long activities, which another
// worker retries at once.
type Interrupt struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity is called for each attempt of an activity.
func (*Interrupt) InterceptActivity(_ context.Context,
	next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &interruptibleCall{interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type interruptibleCall struct {
	interceptor.ActivityInboundInterceptorBase
}

// ExecuteActivity ignores the result of an interrupted activity, which may have taken the interruption for the end of
// its data.
func (i *interruptibleCall) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	if !slices.Contains(interruptible, activity.GetInfo(ctx).ActivityType.Name) {
		return i.Next.ExecuteActivity(ctx, in)
	}
	running, stopping, done := UntilStopping(ctx)
	defer done()
	result, err := i.Next.ExecuteActivity(running, in)
	if stopping() && ctx.Err() == nil {
		return nil, Interrupted()
	}
	return result, err
}

// UntilStopping returns a context that also ends when the activity's worker is told to stop; stopping reports whether
// that was why.
func UntilStopping(ctx context.Context) (running context.Context, stopping func() bool, done context.CancelFunc) {
	running, cancel := context.WithCancel(ctx)
	told := &atomic.Bool{}
	stop := activity.GetWorkerStopChannel(ctx)
	go func() {
		select {
		case <-stop:
			told.Store(true)
			cancel()
		case <-running.Done():
		}
	}()
	return running, told.Load, cancel
}

// Interrupted returns the error of an activity whose worker was told to stop.
func Interrupted() error {
	return benignOfKind(ErrStopping, retryElsewhereAfter, errors.New("this worker is told to stop; another goes on"))
}
