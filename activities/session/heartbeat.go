package session

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// beatEvery is the heartbeat interval of a long call.
const beatEvery = 500 * time.Millisecond

// AutoHeartbeat heartbeats until the function it returns is called, so that a dead worker is noticed long before the
// call's own timeout. Details are for the next attempt.
func AutoHeartbeat(ctx context.Context, details ...any) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(beatEvery)
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
