package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// busy returns a loop in which a person's run writes for an hour from the fifth minute on; writing says by which
// policies anything is being written.
func busy(t *testing.T) (l *loop, writing map[string]bool) {
	t.Helper()
	l, writing = newLoop(t), map[string]bool{}
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopePeople {
			return slow(time.Hour, func(now bool) { writing[in.Policy] = now })(ctx, in)
		}
		return ended(in), nil
	}
	l.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	l.at(6*time.Minute, func() { require.True(t, writing[`hash of "first"`]) })
	return l, writing
}

func TestOrgSyncPauseHoldsAPersonsRunToo(t *testing.T) {
	l, writing := busy(t)
	l.updateAt(10*time.Minute, messages.Pause, messages.PauseInput{By: "ana"})
	l.at(11*time.Minute, func() {
		require.False(t, writing[`hash of "first"`])
		require.Equal(t, messages.StatePaused, l.status().State)
	})
	l.updateAt(5*time.Hour, messages.Resume, messages.ResumeInput{By: "ana"})
	l.at(5*time.Hour+time.Minute, func() { require.True(t, writing[`hash of "first"`]) })
	l.start(5*time.Hour + 10*time.Minute)
}

// A pause may come while people are looked at, before their run began.
func TestOrgSyncPauseDuringALookHoldsItsWrites(t *testing.T) {
	l, writing := newLoop(t), false
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull { // takes a minute until it stands aside
			workflow.Go(ctx, func(ctx workflow.Context) {
				var gate messages.GateSignal
				workflow.GetSignalChannel(ctx, messages.Gate).Receive(ctx, &gate)
				_ = workflow.Sleep(ctx, time.Minute)
				standAside(ctx, in, gate)
			})
			_ = workflow.Sleep(ctx, 3*time.Hour)
			return ended(in), nil
		}
		return slow(time.Hour, func(now bool) { writing = now })(ctx, in)
	}
	asked := l.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	l.updateAt(5*time.Minute+30*time.Second, messages.Pause, messages.PauseInput{By: "ana"})
	l.at(20*time.Minute, func() {
		require.False(t, writing, "a person's run writes though the organization is paused")
	})
	l.updateAt(30*time.Minute, messages.Resume, messages.ResumeInput{By: "ana"})
	l.at(31*time.Minute, func() {
		require.True(t, asked.over)
		require.ErrorContains(t, asked.err, "nothing was written")
	})
	l.start(40 * time.Minute)
}

func TestOrgSyncPolicyStopsAPersonsRunToo(t *testing.T) {
	second := messages.PolicyInput{Policy: json.RawMessage(`"second"`), By: "bo"}
	t.Run("while it writes", func(t *testing.T) {
		l, writing := busy(t)
		applied := l.updateAt(10*time.Minute, messages.ApplyPolicy, second)
		l.at(11*time.Minute, func() {
			require.True(t, applied.over)
			require.False(t, writing[`hash of "first"`], "the former policy writes on")
		})
		l.start(time.Hour)
	})
	t.Run("while it is paused", func(t *testing.T) {
		l, writing := busy(t)
		l.updateAt(10*time.Minute, messages.Pause, messages.PauseInput{By: "ana"})
		l.updateAt(20*time.Minute, messages.ApplyPolicy, second)
		l.updateAt(30*time.Minute, messages.Resume, messages.ResumeInput{By: "ana"})
		l.at(31*time.Minute, func() { require.False(t, writing[`hash of "first"`], "the former policy writes on") })
		l.start(time.Hour)
		require.Equal(t, messages.ScopeFull, lastOf(l.runs).Scope.Kind)
		require.Equal(t, `hash of "second"`, lastOf(l.runs).Policy)
	})
}

func TestOrgSyncUndoStopsAPersonsRunToo(t *testing.T) {
	l, writing := busy(t)
	undone := l.updateAt(10*time.Minute, messages.Undo, messages.UndoInput{Run: "r", By: "ana"})
	l.at(20*time.Minute, func() {
		require.False(t, writing[`hash of "first"`])
		require.True(t, undone.over, "undo waits for a run that waits for resume")
	})
	l.start(30 * time.Minute)
	require.NoError(t, undone.err)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopePeople, messages.ScopeUndo}, l.scopes())
}

func TestOrgSyncUndoAfterAProblemIsTriedAgain(t *testing.T) {
	l := newLoop(t)
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if in.Scope.Kind == messages.ScopeFull {
			sum.State, sum.Problem = messages.RunStopped,
				&messages.Problem{Kind: session.ErrUnavailable, Message: "503"}
		}
		return sum, nil
	}
	undone := l.updateAt(20*time.Minute+time.Second, messages.Undo, messages.UndoInput{Run: "r", By: "ana"})
	l.at(40*time.Minute, func() { require.True(t, undone.over, "undo waits for a retry that nobody wakes for") })
	l.start(time.Hour)
	require.NoError(t, undone.err)
}

func TestOrgSyncUnknownRunIsNotTakenBack(t *testing.T) {
	l := newLoop(t)
	l.unknownRun = fatal(session.ErrUnknown, "organization acme has no run r9")
	undone := l.updateAt(time.Minute, messages.Undo, messages.UndoInput{Run: "r9", By: "ana"})
	l.start(time.Hour)
	require.ErrorContains(t, undone.err, "has no run r9")
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
}

// What the guard holds of an undo can be released while the undo's own pause lasts.
func TestOrgSyncHeldUndoIsReleasedWhilePaused(t *testing.T) {
	l := newLoop(t)
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if in.Scope.Kind == messages.ScopeUndo {
			sum.Hold = &messages.Hold{Plan: held, Run: in.Run, Removals: 500, Undo: true}
			tell(ctx, in, sum, true)
		}
		return sum, nil
	}
	l.decide = func(in reconcile.DecideInput) (reconcile.DecideResult, error) {
		return reconcile.DecideResult{Hold: messages.Hold{Plan: in.Plan, Run: "undo-run", Removals: 500, Undo: true}},
			nil
	}
	undone := l.updateAt(time.Minute, messages.Undo, messages.UndoInput{Run: "r", By: "ana"})
	approved := l.updateAt(2*time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.at(3*time.Minute, func() { require.Equal(t, messages.StatePaused, l.status().State) })
	l.start(10 * time.Hour)
	contains(t, undone.message(t), "what the guard holds of it can be approved while it is paused")
	require.NoError(t, approved.err)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeUndo, messages.ScopeHold}, l.scopes())
	require.Equal(t, "undo-run", l.runs[2].Run)
}

// An approval stands until what was approved is written.
func TestOrgSyncApprovedPlanIsTriedAgainAfterAProblem(t *testing.T) {
	l := newLoop(t)
	broken := true
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeHold && broken {
			broken = false
			sum := ended(in)
			sum.State, sum.Problem = messages.RunStopped,
				&messages.Problem{Kind: session.ErrUnavailable, Message: "503"}
			return sum, nil
		}
		return holding(held)(ctx, in)
	}
	l.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.start(10 * time.Minute)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeHold, messages.ScopeHold}, l.scopes())
}

// looking returns a loop that looks at a person from the fifth to the tenth minute, and would write then.
func looking(t *testing.T) (l *loop, wrote map[string]bool, synced *answer) {
	t.Helper()
	l, wrote = newLoop(t), map[string]bool{}
	l.looking = 5 * time.Minute
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopePeople && in.Progress.Phase != "" {
			return slow(time.Minute, func(now bool) { wrote[in.Policy] = wrote[in.Policy] || now })(ctx, in)
		}
		return ended(in), nil
	}
	return l, wrote, l.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
}

func TestOrgSyncPolicyAppliedDuringALook(t *testing.T) {
	l, wrote, synced := looking(t)
	applied := l.updateAt(7*time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"second"`), By: "bo"})
	l.start(time.Hour)
	require.NoError(t, applied.err)
	require.False(t, wrote[`hash of "first"`], "the former policy is written")
	require.True(t, synced.over, "who asked is answered")
	require.Equal(t, messages.StateOK, l.status().State)
}

func TestOrgSyncUndoDuringALook(t *testing.T) {
	l, wrote, synced := looking(t)
	undone := l.updateAt(7*time.Minute, messages.Undo, messages.UndoInput{Run: "r", By: "ana"})
	l.at(30*time.Minute, func() {
		require.True(t, undone.over, "undo waits for a run that waits for resume")
		require.Empty(t, wrote)
	})
	l.start(time.Hour)
	require.NoError(t, undone.err)
	require.True(t, synced.over, "who asked is answered")
}

// Verification takes its time; nobody waits for somebody else's. Here the few people's runs are real ones.
func TestOrgSyncPersonsRunYieldsOnceItOnlyVerifies(t *testing.T) {
	l := newLoop(t)
	var order []string
	l.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		order = append(order, "look at "+in.Scope.People[0])
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			return ended(in), nil
		}
		sum, err := runWithin(ctx, in)
		order = append(order, "end of "+in.Scope.People[0])
		return sum, err
	}
	l.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "ana"})
	l.updateAt(5*time.Minute+time.Second, messages.SyncNow, messages.SyncNowInput{Person: "bo"})
	l.start(10 * time.Minute)
	require.Equal(t, []string{"look at ana", "look at bo", "end of ana", "end of bo"}, order)
}
