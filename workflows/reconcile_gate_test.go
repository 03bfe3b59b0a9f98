package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

func crowd(n int) []*planLine {
	var plan []*planLine
	for i := range n {
		plan = append(plan, adding(fmt.Sprintf("p%03d", i), jira))
	}
	return plan
}

// begun returns how many writes were started.
func (r *runTest) begun() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, l := range r.plan {
		if l.state != access.Planned {
			n++
		}
	}
	return n + r.inFlight
}

func TestReconcileClosedGateStopsTheNextWriteAndIsAnswered(t *testing.T) {
	for name, people := range map[string]int{
		"one by one": 40,
		"several, of which an activity made too few": 250,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunTest(t, crowd(people)...)
			r.gate(2500*time.Millisecond, true, 7)
			begun := 0
			r.env.RegisterDelayedCallback(func() {
				begun = r.begun()
				require.Equal(t, []messages.WritesPausedSignal{{Run: "r1", Turn: 7, Execution: "default-test-run-id"}},
					r.asides)
				value, err := r.env.QueryWorkflow(messages.Status)
				require.NoError(t, err)
				var sum messages.RunSummary
				require.NoError(t, value.Get(&sum))
				require.NotEmpty(t, sum.Run)
			}, 10*time.Second)
			r.env.RegisterDelayedCallback(func() {
				require.Equal(t, begun, r.begun(), "it writes though its gate is closed")
			}, time.Hour)
			r.gate(2*time.Hour, false, 7)
			sum := r.do()
			require.Equal(t, people, sum.Counts.Done)
			require.Greater(t, begun, 0)
			require.Less(t, begun, 40)
			require.LessOrEqual(t, r.most, 8, "writes at once")
		})
	}
}

// A run that ends while changes wait for its gate does not wait for them.
func TestReconcileEndsThoughChangesWaitForTheGate(t *testing.T) {
	r := newRunTest(t, crowd(250)...)
	r.gate(2500*time.Millisecond, true, 7)
	r.env.RegisterDelayedCallback(r.env.CancelWorkflow, time.Minute)
	r.do()
	require.Less(t, r.begun(), 40)
	require.WithinDuration(t, begin.Add(time.Minute), r.env.Now(), time.Minute)
}

func TestReconcileGateClosedAgainIsAnsweredAgain(t *testing.T) {
	r := newRunTest(t, crowd(40)...)
	r.gate(1500*time.Millisecond, true, 1)
	r.gate(20*time.Second, false, 1)
	r.gate(21*time.Second, true, 2)
	r.gate(40*time.Second, true, 3)
	r.gate(60*time.Second, false, 4)
	r.do()
	require.Equal(t, []int{1, 2, 3}, []int{r.asides[0].Turn, r.asides[1].Turn, r.asides[2].Turn})
}

func TestReconcileClosedGateIsAnsweredBeforeAnythingIsWritten(t *testing.T) {
	r := newRunTest(t, crowd(4)...)
	r.gate(0, true, 1)
	r.gate(time.Hour, false, 2)
	r.env.RegisterDelayedCallback(func() {
		require.Len(t, r.asides, 1)
		require.Zero(t, r.begun())
	}, time.Minute)
	r.do()
}

// What was read before a long pause says nothing about the world after it.
func TestReconcileRemovalsAreReadAgainAfterAPause(t *testing.T) {
	var plan []*planLine
	for i := range 20 {
		plan = append(plan, removing(fmt.Sprintf("p%03d", i), jira))
	}
	r := newRunTest(t, plan...)
	r.gate(6500*time.Millisecond, true, 1) // the first removals are being written
	r.env.RegisterDelayedCallback(func() {
		require.Less(t, r.begun(), 20)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stale = []string{"p019"} // is back in the source group
	}, time.Hour)
	r.gate(72*time.Hour, false, 2)
	r.do()
	require.Equal(t, access.Superseded, r.plan[19].state, "removed on evidence of three days ago")
}

func TestReconcileFreshHistoryGoesOnWithTheWriting(t *testing.T) {
	r := newRunTest(t, crowd(150)...)
	r.blocks = 2
	r.env.RegisterDelayedCallback(func() { r.env.SetContinueAsNewSuggested(true) }, 5*time.Second)
	next := r.again()
	require.Equal(t, "add", next.Progress.Phase)
	require.NotEmpty(t, next.Progress.Cursor)
	require.Equal(t, 100, next.Progress.Run.Counts.Done)
	require.Equal(t, "sha256:plan", next.Progress.Run.Plan)
	require.Equal(t, begin, next.Progress.Run.Started)

	second := newRunTest(t, r.plan...)
	second.input = next
	sum := second.do()
	require.Equal(t, 150, sum.Counts.Done)
	require.NotContains(t, second.calls, "Sweep")
	require.NotContains(t, second.calls, "Judge")
}

func TestReconcileFreshHistoryGoesOnWithTheSweep(t *testing.T) {
	r := newRunTest(t)
	r.blocks = 5
	r.env.SetContinueAsNewSuggested(true)
	next := r.again()
	require.Equal(t, "read", next.Progress.Phase)
	require.Equal(t, 1, next.Progress.Block)
	require.Equal(t, "cursor+", next.Progress.Cursor)

	second := newRunTest(t)
	second.blocks = 5
	second.input = next
	sum := second.do()
	require.Equal(t, "Sweep", second.calls[0], "the outline is not read again")
	require.Equal(t, 1, second.sweeps[0].Block)
	require.Len(t, second.sweeps, 4)
	require.Equal(t, messages.RunDone, sum.State)
}

// OrgSync waits for the answer to a gate it closed; a fresh history must give it if the last one did not.
func TestReconcileGateCarriedClosedIsAnswered(t *testing.T) {
	r := newRunTest(t, crowd(10)...)
	r.input.Progress = &messages.Progress{Workflow: messages.ReconcileID(org, "r1"),
		Phase: "add", Since: begin, Run: messages.RunSummary{Run: "r1"},
		Gate: messages.GateSignal{Closed: true, Why: "urgent", Turn: 3},
	}
	r.env.RegisterDelayedCallback(func() {
		require.Equal(t, []messages.WritesPausedSignal{{Run: "r1", Turn: 3, Execution: "default-test-run-id"}},
			r.asides)
		require.Zero(t, r.begun())
	}, time.Minute)
	r.gate(time.Hour, false, 3)
	sum := r.do()
	require.Equal(t, 10, sum.Counts.Done)
}
