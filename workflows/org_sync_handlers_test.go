package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

func TestOrgSyncMalformedSignalsAreRecordedNotFatal(t *testing.T) {
	binary := converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingBinary)},
		Data:     []byte{0, 1, 2},
	})
	l := newLoop(t)
	for i, body := range []any{typed(`{"by":`), typed(`"ana"`), typed(`{"by":"ana","until":"noon"}`),
		typed(`{"by":"ana"} {"by":"bo"}`), binary, typed(`{}`), typed(`null`)} {
		l.signalAt(time.Duration(i+1)*time.Minute, messages.Pause, body)
	}
	l.at(20*time.Minute, func() {
		state := l.status()
		require.Nil(t, state.Paused)
		require.Equal(t, messages.StateOK, state.State)
		require.Len(t, state.Refused, 7)
		for _, r := range state.Refused {
			require.Equal(t, messages.Pause, r.Name)
			require.NotEmpty(t, r.Why)
		}
		contains(t, l.page(), "### Signals that were not accepted", `unknown field "until"`)
	})
	l.signalAt(30*time.Minute, messages.Pause, typed(`{"by":"ana"}`))
	l.at(31*time.Minute, func() {
		require.Equal(t, "ana", l.status().Paused.By,
			"good signals are heard after bad ones")
	})
	l.start(time.Hour)
}

func TestOrgSyncOnlyTheLastRefusalsAreKept(t *testing.T) {
	l := newLoop(t)
	for i := range 25 {
		l.signalAt(time.Duration(i+1)*time.Minute, messages.Resume, typed(`{}`))
	}
	l.at(30*time.Minute, func() { require.Len(t, l.status().Refused, 10) })
	l.start(time.Hour)
}

func TestOrgSyncSyncNowForAPersonWaitsForTheResult(t *testing.T) {
	l := newLoop(t)
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{People: 1, Adds: 1}}, nil
	}
	over := false
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopePeople {
			_ = workflow.Sleep(ctx, time.Minute)
			over = true
		}
		return ended(in), nil
	}
	var synced *answer
	l.at(time.Minute, func() {
		synced = l.update(messages.SyncNow, messages.SyncNowInput{Person: "ana@acme.example", By: "bo"})
	})
	l.at(90*time.Second, func() { require.False(t, synced.over, "the answer waits for the writing") })
	l.start(time.Hour)
	require.True(t, over)
	contains(t, synced.message(t), "1 changes made", messages.ScopePeople)
	require.Equal(t, []string{"ana@acme.example"}, l.examines[0].Scope.People)
	require.Equal(t, "bo", l.examines[0].By)
}

func TestOrgSyncSyncNowLooksTwiceBeforeItTakesSomething(t *testing.T) {
	l := newLoop(t)
	l.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		if in.First == "" {
			return reconcile.JudgeResult{Settling: []string{"x"}, Counts: messages.Counts{People: 1}}, nil
		}
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{People: 1, Removals: 1}}, nil
	}
	synced := l.updateAt(time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	l.start(time.Hour)
	contains(t, synced.message(t), "1 changes made")
	require.Len(t, l.examines, 2)
	require.NotEqual(t, l.examines[0].Run, l.examines[1].Run)
}

func TestOrgSyncSyncNowTellsWhyItFailed(t *testing.T) {
	l := newLoop(t)
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{},
			temporal.NewApplicationErrorWithOptions("organization acme shows nobody named x", session.ErrUnknown,
				temporal.ApplicationErrorOptions{NonRetryable: true})
	}
	synced := l.updateAt(time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	l.at(2*time.Minute, func() {
		require.Nil(t, l.status().Problem,
			"a name that nobody has is not the organization's problem")
	})
	l.start(time.Hour)
	require.ErrorContains(t, synced.err, "shows nobody named x")
}

func TestOrgSyncSyncNowForEverybody(t *testing.T) {
	l := newLoop(t)
	l.updateAt(time.Minute, messages.SyncNow, messages.SyncNowInput{By: "bo"})
	l.signalAt(time.Hour, messages.SyncNow, typed(`{}`))
	l.start(2 * time.Hour)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull, messages.ScopeFull}, l.scopes())
	require.Equal(t, "asked for", l.runs[1].Trigger)
	require.Equal(t, "bo", l.runs[1].By)
}

func TestOrgSyncSyncNowNeedsAPolicyAndNoPause(t *testing.T) {
	l := newLoop(t)
	early := l.updateAt(time.Minute, messages.SyncNow, messages.SyncNowInput{})
	l.updateAt(2*time.Minute, messages.ApplyPolicy, typed(`{"policy":"p","by":"ana"}`))
	l.updateAt(3*time.Minute, messages.Pause, messages.PauseInput{By: "ana", Reason: "audit"})
	paused := l.updateAt(4*time.Minute, messages.SyncNow, messages.SyncNowInput{})
	l.startWith(messages.OrgSyncInput{}, time.Hour)
	require.ErrorContains(t, early.rejected, "no policy is in force")
	require.ErrorContains(t, paused.rejected, "paused by ana (audit)")
}

// A dry run is somebody's question. It must not stand in for the verification that is due, nor hide what is held.
func TestOrgSyncDryRunReplacesNothing(t *testing.T) {
	t.Run("a hold stays open", func(t *testing.T) {
		l := newLoop(t)
		l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
			if in.DryRun {
				return ended(in), nil
			}
			return holding(held)(ctx, in)
		}
		l.updateAt(time.Minute, messages.SyncNow, messages.SyncNowInput{DryRun: true})
		l.at(2*time.Minute, func() {
			require.Len(t, l.runs, 2)
			require.True(t, l.runs[1].DryRun)
			require.NotNil(t, l.status().Hold, "the plan that waits for a decision is forgotten")
			require.False(t, l.status().LastFull.DryRun, "a dry run verified nothing")
		})
		l.start(time.Hour)
	})
	t.Run("a verification that is due writes", func(t *testing.T) {
		l := newLoop(t)
		l.run = gated(10*time.Minute, func(bool) {})
		l.updateAt(time.Minute, messages.SyncNow, messages.SyncNowInput{By: "ana"})
		l.updateAt(2*time.Minute, messages.SyncNow, messages.SyncNowInput{By: "bo", DryRun: true})
		l.start(time.Hour)
		wrote := 0
		for _, in := range l.runs[1:] {
			if !in.DryRun {
				wrote++
			}
		}
		require.Equal(t, 1, wrote, "ana asked for a verification that writes")
	})
}

func TestOrgSyncUndoTakesARunBackAndPauses(t *testing.T) {
	l := newLoop(t)
	undone := l.updateAt(time.Minute, messages.Undo,
		messages.UndoInput{Run: "20260302-090000.000", By: "ana", Reason: "wrong group"})
	l.at(2*time.Minute, func() {
		require.Equal(t, messages.StatePaused, l.status().State)
		require.Contains(t, l.status().Paused.Reason, "20260302-090000.000 was taken back")
	})
	l.start(30 * time.Hour)
	contains(t, undone.message(t), "The organization is paused")
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeUndo}, l.scopes())
	require.Equal(t, "20260302-090000.000", l.runs[1].Scope.Run)
	require.Equal(t, "undo of 20260302-090000.000 wrong group", l.runs[1].Trigger)
}

func TestOrgSyncUndoStopsTheFullRunAndKeepsItStopped(t *testing.T) {
	for name, undo := range map[string]func(*loop){
		"by update": func(l *loop) {
			l.updateAt(10*time.Minute, messages.Undo,
				messages.UndoInput{Run: "r", By: "ana"})
		},
		"by signal": func(l *loop) {
			l.signalAt(10*time.Minute, messages.Undo, messages.UndoInput{Run: "r", By: "ana"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			writing := false
			l.run = gated(time.Hour, func(now bool) { writing = now })
			undo(l)
			l.at(11*time.Minute, func() {
				require.False(t, writing, "the policy writes what is being taken back")
				require.Equal(t, []string{messages.ScopeFull, messages.ScopeUndo}, l.scopes())
			})
			l.start(5 * time.Hour)
			require.Equal(t, []string{messages.ScopeFull, messages.ScopeUndo}, l.scopes())
		})
	}
}

func TestOrgSyncUndoWorksWhilePaused(t *testing.T) {
	l := newLoop(t)
	l.updateAt(time.Minute, messages.Pause, messages.PauseInput{By: "ana"})
	undone := l.updateAt(2*time.Minute, messages.Undo, messages.UndoInput{Run: "r", By: "ana"})
	l.start(time.Hour)
	require.NoError(t, undone.err)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeUndo}, l.scopes())
}

// An approved plan that waits for a place must not stand in the way of taking a run back.
func TestOrgSyncUndoGoesAheadOfAnApprovedPlan(t *testing.T) {
	l := newLoop(t)
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeUndo {
			_ = workflow.Sleep(ctx, 10*time.Minute)
		}
		return holding(held)(ctx, in)
	}
	var second *answer
	l.at(time.Minute, func() {
		l.update(messages.Undo, messages.UndoInput{Run: "r1", By: "ana"}) // takes ten minutes
	})
	l.at(2*time.Minute, func() { l.update(messages.Resume, messages.ResumeInput{By: "ana"}) })
	l.at(3*time.Minute, func() { l.update(messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"}) })
	l.at(4*time.Minute, func() { second = l.update(messages.Undo, messages.UndoInput{Run: "r2", By: "ana"}) })
	l.at(40*time.Minute, func() {
		require.True(t, second.over,
			"the second undo waits behind what may not run while paused")
	})
	l.start(time.Hour)
}

func TestOrgSyncUndoIsCheckedBeforeItIsRecorded(t *testing.T) {
	l := newLoop(t)
	nobody := l.updateAt(time.Minute, messages.Undo, messages.UndoInput{Run: "r"})
	nothing := l.updateAt(time.Minute, messages.Undo, messages.UndoInput{By: "ana"})
	l.start(time.Hour)
	require.ErrorContains(t, nobody.rejected, "by is missing")
	require.ErrorContains(t, nothing.rejected, "run is missing")
}

func TestOrgSyncCancellingStopsTheRunInTheBackground(t *testing.T) {
	l := newLoop(t)
	writing := false
	l.run = gated(time.Hour, func(now bool) { writing = now })
	l.at(9*time.Minute, func() { require.True(t, writing) })
	l.start(10 * time.Minute)
	require.False(t, writing)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
}
