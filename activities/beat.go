package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// beatEvery is how often a call that takes long shows that its worker is alive.
const beatEvery = 500 * time.Millisecond

// beating heartbeats until the function it returns is called, so that a worker that died is noticed long before the call's
// own timeout.
func beating(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if ctx.Err() == nil {
					activity.RecordHeartbeat(ctx)
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
