package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

func TestOrgSyncGrantsGoAheadOfTheBackground(t *testing.T) {
	d := newGrantsLoop(t)
	bulk := false
	d.run = d.playGrantRuns(gated(time.Hour, d.bulk(&bulk)))
	d.askAt(10*time.Minute, "a", 1)
	d.at(10*time.Minute-time.Second, func() { require.True(t, bulk) })
	d.at(10*time.Minute+5*time.Second, func() {
		require.True(t, d.writing)
		require.False(t, bulk, "the run in the background writes beside it")
	})
	d.at(11*time.Minute, func() { require.True(t, bulk, "the run in the background goes on afterwards") })
	d.start(20 * time.Minute)
	require.False(t, d.both)
}

// What the run in the background has in flight is waited for.
func TestOrgSyncGrantsWaitUntilTheBackgroundStandsAside(t *testing.T) {
	for _, paused := range []bool{false, true} {
		t.Run(fmt.Sprintf("paused %t", paused), func(t *testing.T) {
			d := newGrantsLoop(t)
			inFlight := true
			d.run = d.playGrantRuns(func(ctx workflow.Context,
				in messages.ReconcileInput) (messages.RunSummary, error) {
				workflow.Go(ctx, func(ctx workflow.Context) {
					for {
						var gate messages.GateSignal
						workflow.GetSignalChannel(ctx, messages.Gate).Receive(ctx, &gate)
						if gate.Closed {
							_ = workflow.Await(ctx, func() bool { return !inFlight })
							standAside(ctx, in, gate)
						}
					}
				})
				if in.Scope.Kind == messages.ScopeFull {
					_ = workflow.Sleep(ctx, 10*time.Minute+20*time.Second)
					inFlight = false
					_ = workflow.Sleep(ctx, 3*time.Hour)
				}
				return ended(in), nil
			})
			if paused {
				d.updateAt(10*time.Minute-time.Second, messages.Pause, messages.PauseInput{By: "ana"})
			}
			d.askAt(10*time.Minute, "a", 1)
			d.at(10*time.Minute+15*time.Second, func() { require.Empty(t, d.grantRuns(), "two runs write at once") })
			d.at(10*time.Minute+25*time.Second, func() { require.Len(t, d.grantRuns(), 1) })
			d.start(20 * time.Minute)
		})
	}
}

// Pausing never stops a revocation.
func TestOrgSyncGrantsAreAttendedToWhilePaused(t *testing.T) {
	pause := func(d *grantsLoop) { d.updateAt(10*time.Minute, messages.Pause, messages.PauseInput{By: "ana"}) }
	t.Run("and nothing runs", func(t *testing.T) {
		d := newGrantsLoop(t)
		pause(d)
		d.askAt(11*time.Minute, "a", 1)
		d.askAt(10*time.Hour, "a", 2)
		d.start(20 * time.Hour)
		require.Equal(t, []time.Duration{11 * time.Minute, 10 * time.Hour}, d.planned)
		require.Len(t, d.grantRuns(), 2)
		require.Equal(t, messages.StatePaused, d.status().State)
		require.Len(t, d.runs, 3, "nothing else runs")
	})
	t.Run("and the background waits", func(t *testing.T) {
		d := newGrantsLoop(t)
		bulk := false
		d.run = d.playGrantRuns(gated(time.Hour, d.bulk(&bulk)))
		pause(d)
		d.askAt(11*time.Minute, "a", 1)
		d.at(11*time.Minute+5*time.Second, func() { require.True(t, d.writing) })
		d.at(5*time.Hour, func() { require.False(t, bulk, "a run of grants opened the gate of a paused organization") })
		d.updateAt(5*time.Hour, messages.Resume, messages.ResumeInput{By: "ana"})
		d.at(5*time.Hour+time.Minute, func() { require.True(t, bulk) })
		d.start(6 * time.Hour)
		require.False(t, d.both)
	})
	t.Run("and a person's run waits", func(t *testing.T) {
		d := newGrantsLoop(t)
		one := false
		d.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
			return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
		}
		d.run = d.playGrantRuns(func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
			if in.Scope.Kind == messages.ScopeFull {
				return ended(in), nil
			}
			return slow(time.Hour, d.bulk(&one))(ctx, in)
		})
		d.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
		pause(d)
		d.askAt(11*time.Minute, "a", 1)
		d.at(11*time.Minute+5*time.Second,
			func() { require.True(t, d.writing, "a paused person's run keeps a grant from being taken") })
		d.at(5*time.Hour, func() { require.False(t, one) })
		d.updateAt(5*time.Hour, messages.Resume, messages.ResumeInput{By: "ana"})
		d.at(5*time.Hour+time.Minute, func() { require.True(t, one) })
		d.start(6 * time.Hour)
		require.False(t, d.both)
	})
	t.Run("and the pause comes while they are", func(t *testing.T) {
		d := newGrantsLoop(t)
		d.askAt(10*time.Minute-5*time.Second, "a", 1)
		pause(d)
		d.at(10*time.Minute+time.Second, func() { require.True(t, d.writing) })
		d.start(time.Hour)
		require.Len(t, d.grantRuns(), 1)
	})
}

// A person's run stands aside for grants, and goes on after them.
func TestOrgSyncGrantsGoAheadOfAPersonsRun(t *testing.T) {
	d := newGrantsLoop(t)
	one := false
	d.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	d.run = d.playGrantRuns(func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			return ended(in), nil
		}
		return slow(10*time.Minute, d.bulk(&one))(ctx, in)
	})
	synced := d.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	d.askAt(6*time.Minute, "a", 1)
	d.at(6*time.Minute+5*time.Second, func() {
		require.True(t, d.writing)
		require.False(t, one)
	})
	d.at(7*time.Minute, func() { require.True(t, one) })
	d.start(30 * time.Minute)
	require.NoError(t, synced.err)
	require.True(t, synced.over)
	require.False(t, d.both)
}

func TestOrgSyncGrantsAreAttendedToWithAProblemOpen(t *testing.T) {
	d := newGrantsLoop(t)
	d.run = d.playGrantRuns(func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		sum.State, sum.Problem = messages.RunStopped, &messages.Problem{Kind: session.ErrKeyRefused, Message: "401"}
		return sum, nil
	})
	d.at(time.Hour, func() { require.Equal(t, messages.StateProblem, d.status().State) })
	d.askAt(time.Hour+17*time.Second, "a", 1)
	d.start(2 * time.Hour)
	require.Equal(t, []time.Duration{time.Hour + 17*time.Second}, d.planned)
	require.Len(t, d.grantRuns(), 1)
}

// Somebody else's long look keeps no grant waiting.
func TestOrgSyncGrantsAreAttendedToDuringALook(t *testing.T) {
	d := newGrantsLoop(t)
	d.looking = 5 * time.Minute
	synced := d.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	d.askAt(6*time.Minute, "a", 1)
	d.start(30 * time.Minute)
	require.Equal(t, []time.Duration{6 * time.Minute}, d.planned)
	require.True(t, synced.over)
	require.NoError(t, synced.err)
}

// What a look found is not written beside a run of grants.
func TestOrgSyncLookThatEndsWhileGrantsAreWritten(t *testing.T) {
	d := newGrantsLoop(t)
	one := false
	d.looking = 5 * time.Minute
	d.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	d.run = d.playGrantRuns(func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			return ended(in), nil
		}
		return slow(time.Minute, d.bulk(&one))(ctx, in)
	})
	synced := d.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	d.askAt(10*time.Minute-5*time.Second, "a", 1)
	d.start(30 * time.Minute)
	require.Len(t, d.grantRuns(), 1)
	require.True(t, synced.over)
	require.NoError(t, synced.err)
	require.False(t, d.both, "two runs wrote at once")
}
