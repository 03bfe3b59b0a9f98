package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

// Somebody says by hand that a run stands aside which is still writing, or that it has written: nothing else writes for
// it.
func TestOrgSyncLetsNobodySpeakForARun(t *testing.T) {
	for name, forge := range map[string]func(l *loop, bulk, front string){
		"stands aside": func(l *loop, bulk, _ string) {
			l.env.SignalWorkflow(messages.WritesPaused, messages.WritesPausedSignal{Run: bulk, Turn: 1})
		},
		"will stand aside": func(l *loop, bulk, _ string) {
			l.env.SignalWorkflow(messages.WritesPaused,
				messages.WritesPausedSignal{Run: bulk, Turn: 1000, Execution: "forged"})
		},
		"has written": func(l *loop, _, front string) {
			l.env.SignalWorkflow(messages.RunProgress,
				messages.ProgressSignal{Run: messages.RunSummary{Run: front, State: messages.RunVerifying}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, writing, both := newLoop(t), map[string]bool{}, false
			now := func(scope string, is bool) {
				writing[scope] = is
				both = both || writing[messages.ScopeFull] && writing[messages.ScopePeople]
			}
			l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
				return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
			}
			l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				if in.Scope.Kind == messages.ScopePeople {
					return slow(10*time.Minute, func(is bool) { now(messages.ScopePeople, is) })(ctx, in)
				}
				workflow.Go(ctx, func(ctx workflow.Context) {
					for {
						var gate messages.GateSignal
						workflow.GetSignalChannel(ctx, messages.Gate).Receive(ctx, &gate)
						if gate.Closed {
							_ = workflow.Sleep(ctx, time.Minute) // what is in flight
						}
						now(messages.ScopeFull, !gate.Closed)
						if gate.Closed {
							standAside(ctx, in, gate)
						}
					}
				})
				now(messages.ScopeFull, true)
				_ = workflow.Sleep(ctx, time.Hour)
				now(messages.ScopeFull, false)
				return ended(in), nil
			}
			asked := l.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
			front := func() string {
				i := slices.IndexFunc(l.runs, func(in messages.ReconcileInput) bool {
					return in.Scope.Kind == messages.ScopePeople
				})
				if i < 0 {
					return ""
				}
				return l.runs[i].Run
			}
			for _, after := range []time.Duration{4 * time.Minute, 5*time.Minute + 10*time.Second, 8 * time.Minute} {
				l.at(after, func() { forge(l, l.runs[0].Run, front()) })
			}
			l.at(12*time.Minute, func() {
				require.True(t, writing[messages.ScopePeople])
				require.NotEmpty(t, l.status().Refused, "what was refused is shown")
			})
			l.at(30*time.Minute, func() {
				require.True(t, asked.over)
				require.True(t, writing[messages.ScopeFull], "and the run in the background goes on")
			})
			l.start(40 * time.Minute)
			require.False(t, both, "two runs write at once")
		})
	}
}

// Somebody opens or closes the gate of a run by hand: it stays as the loop has set it.
func TestReconcileTakesItsGateOnlyFromItsLoop(t *testing.T) {
	r := newRunTest(t, crowd(40)...)
	forge := func(after time.Duration, closed bool) {
		r.env.RegisterDelayedCallback(func() {
			r.env.SignalWorkflow(messages.Gate, messages.GateSignal{Closed: closed, Turn: 9})
		}, after)
	}
	begun := 0
	r.gate(2500*time.Millisecond, true, 7)
	r.env.RegisterDelayedCallback(func() { begun = r.begun() }, 10*time.Second)
	forge(20*time.Second, false)
	r.env.RegisterDelayedCallback(func() { require.Equal(t, begun, r.begun(), "it writes though its gate is closed") },
		time.Hour)
	r.gate(2*time.Hour, false, 8)
	forge(2*time.Hour+time.Second, true)
	sum := r.do()
	require.Equal(t, 40, sum.Counts.Done, "nobody else stops it")
	require.Len(t, sum.Refused, 2)
}

// After a reset of the loop, its runs know it by the execution of before or of after.
func TestReconcileTakesItsGateFromALoopThatWasReset(t *testing.T) {
	r := newRunTest(t, crowd(40)...)
	gate := func(after time.Duration, closed bool, turn int) {
		r.env.RegisterDelayedCallback(func() {
			r.env.SignalWorkflow(messages.Gate, messages.GateSignal{
				Closed: closed, Turn: turn, Execution: "the one that was reset",
				Reset: "run of " + messages.OrgSyncID(org),
			})
		}, after)
	}
	begun := 0
	gate(2500*time.Millisecond, true, 7)
	r.env.RegisterDelayedCallback(func() { begun = r.begun() }, 10*time.Second)
	r.env.RegisterDelayedCallback(func() { require.Equal(t, begun, r.begun(), "it writes though its gate is closed") },
		time.Hour)
	gate(2*time.Hour, false, 8)
	sum := r.do()
	require.Less(t, begun, 40)
	require.Equal(t, 40, sum.Counts.Done)
	require.Empty(t, sum.Refused)
}
