package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

func TestOrgSyncPauseClosesTheGateAndResumeOpensIt(t *testing.T) {
	l := newLoop(t)
	writing := false
	l.run = gated(time.Hour, func(now bool) { writing = now })
	paused := l.updateAt(10*time.Minute, messages.Pause, messages.PauseInput{By: "ana", Reason: "audit"})
	l.at(11*time.Minute, func() {
		require.False(t, writing)
		require.Equal(t, messages.StatePaused, l.status().State)
		contains(t, l.page(), "**Paused by ana**: audit", "--name resume", "### Running")
	})
	l.at(20*time.Hour, func() {
		require.Equal(t, []string{messages.ScopeFull}, l.scopes(),
			"nothing runs while paused")
	})
	resumed := l.updateAt(20*time.Hour, messages.Resume, messages.ResumeInput{By: "ana"})
	l.at(20*time.Hour+10*time.Second, func() { require.True(t, writing) })
	l.start(22 * time.Hour)
	contains(t, paused.message(t), "paused")
	require.NoError(t, resumed.err)
}

func TestOrgSyncPauseStopsTheScheduleAndResumeVerifies(t *testing.T) {
	l := newLoop(t)
	l.signalAt(time.Minute, messages.Pause, typed(`{"by":"ana"}`))
	l.events = []watchEvent{touched(2*time.Minute, "c1", "x")}
	l.at(29*time.Hour, func() {
		require.Len(t, l.runs, 1)
		require.Empty(t, l.examines, "nobody is looked at while paused")
	})
	l.signalAt(30*time.Hour, messages.Resume, typed(`{"by":"bo"}`))
	l.start(31 * time.Hour)
	require.Len(t, l.runs, 2)
	require.Equal(t, "resumed", l.runs[1].Trigger)
}

func TestOrgSyncPauseAndResumeAreChecked(t *testing.T) {
	l := newLoop(t)
	nobody := l.updateAt(time.Minute, messages.Pause, messages.PauseInput{})
	running := l.updateAt(time.Minute, messages.Resume, messages.ResumeInput{By: "ana"})
	l.start(time.Hour)
	require.ErrorContains(t, nobody.rejected, "by is missing")
	require.ErrorContains(t, running.rejected, "not paused")
}

func TestOrgSyncApprovingWhilePausedIsRefused(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	l.updateAt(time.Minute, messages.Pause, messages.PauseInput{By: "ana"})
	approved := l.updateAt(2*time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.start(time.Hour)
	require.True(t, approved.over)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
	require.Empty(t, l.decides)
}

// What is asked for a person before a pause must not be written after it.
func TestOrgSyncNothingIsWrittenForAPersonWhilePaused(t *testing.T) {
	l := newLoop(t)
	slow := true
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopePeople && slow {
			slow = false
			_ = workflow.Sleep(ctx, 10*time.Minute)
		}
		return ended(in), nil
	}
	l.updateAt(time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})   // writes for ten minutes
	l.updateAt(2*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "y"}) // waits for its turn
	l.updateAt(3*time.Minute, messages.Pause, messages.PauseInput{By: "ana"})
	l.at(30*time.Minute, func() {
		for _, in := range l.runs {
			require.NotEqual(t, []string{"y"}, in.Scope.People, "y is written while the organization is paused")
		}
	})
	l.start(time.Hour)
}

// Pausing and resuming while a person's run writes must not let the run in the background write beside it.
func TestOrgSyncResumeLeavesTheGateToWhoClosedIt(t *testing.T) {
	l := newLoop(t)
	bulk, person, both := false, false, false
	background := gated(time.Hour, func(now bool) {
		bulk = now
		both = both || bulk && person
	})
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			return background(ctx, in)
		}
		person = true
		_ = workflow.Sleep(ctx, 10*time.Minute)
		person = false
		return ended(in), nil
	}
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	l.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	l.updateAt(6*time.Minute, messages.Pause, messages.PauseInput{By: "ana"})
	l.updateAt(7*time.Minute, messages.Resume, messages.ResumeInput{By: "ana"})
	l.at(20*time.Minute, func() { require.True(t, bulk, "the run in the background goes on afterwards") })
	l.start(30 * time.Minute)
	require.False(t, both, "two runs wrote at once")
}
