package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// timer is the one timer that runs, of what is due next.
type timer struct {
	due    time.Time
	cancel workflow.CancelFunc
}

// arm keeps the timer running for an instant, and ends the one that ran for another; the zero instant means none. It calls rings
// when it is time.
func (t *timer) arm(ctx workflow.Context, due time.Time, why string, rings func()) {
	if due.Equal(t.due) {
		return
	}
	if t.cancel != nil {
		t.cancel()
	}
	*t = timer{due: due}
	if due.IsZero() {
		return
	}
	once, cancel := workflow.WithCancel(ctx)
	t.cancel = cancel
	bell := workflow.NewTimerWithOptions(once, max(due.Sub(workflow.Now(ctx)), time.Millisecond), workflow.TimerOptions{
		Summary: clip(why + " at " + due.UTC().Format(time.RFC3339)),
	})
	workflow.Go(once, func(ctx workflow.Context) {
		if bell.Get(ctx, nil) == nil {
			t.due = time.Time{}
			rings()
		}
	})
}
