package session

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
)

// The intervals of AutoHeartbeat: as often as the activity's heartbeat timeout needs, and as its end may be wanted.
const (
	shortestBeat = 500 * time.Millisecond
	longestBeat  = 4 * time.Second
)

// AutoHeartbeat heartbeats until the function it returns is called, so that a dead worker is noticed long before the
// call's own timeout. Details are for the next attempt.
func AutoHeartbeat(ctx context.Context, details ...any) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(min(max(activity.GetInfo(ctx).HeartbeatTimeout/4, shortestBeat), longestBeat))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if ctx.Err() == nil {
					activity.RecordHeartbeat(ctx, details...)
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// LateHeartbeats is a worker interceptor that leaves out the heartbeats of an attempt's first half second. Most
// activities are over by then, and each heartbeat is one more call for Temporal, which its cloud charges for.
type LateHeartbeats struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity is called for each attempt of an activity.
func (*LateHeartbeats) InterceptActivity(_ context.Context,
	next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &lateHeartbeatsOf{interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type lateHeartbeatsOf struct {
	interceptor.ActivityInboundInterceptorBase
}

func (l *lateHeartbeatsOf) Init(out interceptor.ActivityOutboundInterceptor) error {
	return l.Next.Init(&lateHeartbeats{interceptor.ActivityOutboundInterceptorBase{Next: out}, time.Now()})
}

type lateHeartbeats struct {
	interceptor.ActivityOutboundInterceptorBase
	began time.Time
}

func (l *lateHeartbeats) RecordHeartbeat(ctx context.Context, details ...any) {
	if time.Since(l.began) >= shortestBeat {
		l.Next.RecordHeartbeat(ctx, details...)
	}
}
