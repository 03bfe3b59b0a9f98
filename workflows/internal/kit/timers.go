package kit

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/display"
)

// Timer is the one timer that runs, of what is due next.
type Timer struct {
	due    time.Time
	cancel workflow.CancelFunc
}

// Arm keeps the timer running for an instant, and ends the one that ran for another; the zero instant means none. It
// calls rings when it is time.
func (t *Timer) Arm(ctx workflow.Context, due time.Time, why string, rings func()) {
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
	bell := workflow.NewTimerWithOptions(once, max(due.Sub(workflow.Now(ctx)), time.Millisecond), workflow.TimerOptions{
		Summary: display.Summary(why + " at " + due.UTC().Format(time.RFC3339)),
	})
	workflow.Go(once, func(ctx workflow.Context) {
		if bell.Get(ctx, nil) == nil {
			t.due = time.Time{}
			rings()
		}
	})
}

// AwaitUntil waits for a condition, or an instant; the timer ends with the waiting.
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

// NewAgenda is for what is due after an instant.
func NewAgenda(now time.Time) *Agenda { return &Agenda{now: now} }

// At takes in that something is due at an instant; the zero instant means never.
func (a *Agenda) At(due time.Time, why string) {
	if due.After(a.now) && (a.Due.IsZero() || due.Before(a.Due)) {
		a.Due, a.Why = due, why
	}
}
