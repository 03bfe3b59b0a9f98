package kit

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/display"
)

// Timer is a single timer for what is due next.
type Timer struct {
	due    time.Time
	cancel workflow.CancelFunc
}

// Arm sets the timer to an instant, unless it is set to it already; the zero time stops it. It calls fire at the
// instant.
func (t *Timer) Arm(ctx workflow.Context, due time.Time, why string, fire func()) {
	if due.Equal(t.due) {
		return
	}
	if t.cancel != nil {
		t.cancel()
	}
	*t = Timer{due: due}
	if due.IsZero() {
		return
	}
	once, cancel := workflow.WithCancel(ctx)
	t.cancel = cancel
	wait := max(due.Sub(workflow.Now(ctx)), time.Millisecond)
	timer := workflow.NewTimerWithOptions(once, wait, workflow.TimerOptions{
		Summary: display.Summary(why + " at " + due.UTC().Format(time.RFC3339)),
	})
	workflow.Go(once, func(ctx workflow.Context) {
		if timer.Get(ctx, nil) == nil {
			t.due = time.Time{}
			fire()
		}
	})
}

// AwaitUntil waits for a condition, or an instant.
func AwaitUntil(ctx workflow.Context, due time.Time, why string, condition func() bool) {
	once, cancel := workflow.WithCancel(ctx)
	defer cancel()
	_, _ = workflow.AwaitWithOptions(once, workflow.AwaitOptions{
		Timeout:      max(due.Sub(workflow.Now(ctx)), time.Second),
		TimerOptions: workflow.TimerOptions{Summary: display.Summary(why + " at " + due.UTC().Format(time.RFC3339))},
	}, condition)
}

// Agenda finds what is due next.
type Agenda struct {
	now time.Time
	Due time.Time // zero: nothing is
	Why string
}

// NewAgenda returns an empty agenda for what is due after now.
func NewAgenda(now time.Time) *Agenda { return &Agenda{now: now} }

// At adds something that is due at an instant; the zero time means never.
func (a *Agenda) At(due time.Time, why string) {
	if due.After(a.now) && (a.Due.IsZero() || due.Before(a.Due)) {
		a.Due, a.Why = due, why
	}
}
