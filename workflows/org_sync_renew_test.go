package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// renewed runs the loop until it starts a fresh history, and returns what that one is given.
func (l *loop) renewed(in messages.OrgSyncInput) messages.OrgSyncState {
	l.t.Helper()
	l.env.ExecuteWorkflow(messages.OrgSync, in)
	require.True(l.t, l.env.IsWorkflowCompleted())
	err := l.env.GetWorkflowError()
	require.True(l.t, workflow.IsContinueAsNewError(err), "%v", err)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(l.t, err, &again)
	require.Equal(l.t, messages.OrgSync, again.WorkflowType.Name)
	var next messages.OrgSyncInput
	require.NoError(l.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &next))
	require.NotNil(l.t, next.State)
	require.Empty(l.t, next.Policy, "the policy is in the ledger by now")
	return *next.State
}

func TestOrgSyncFreshHistoryCarriesTheState(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	l.events = []watchEvent{touched(time.Minute, "c7")}
	l.signalAt(2*time.Minute, messages.Resume, typed(`{}`)) // refused
	l.at(3*time.Minute, func() { l.env.SetContinueAsNewSuggested(true) })
	state := l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`), By: "ana"})
	require.Equal(t, held, state.Hold.Plan)
	require.Equal(t, "c7", state.Feed.Cursor)
	require.Equal(t, "events", state.Feed.Mode)
	require.Equal(t, `hash of "first"`, state.Policy)
	require.True(t, state.Adopted)
	require.Equal(t, settings, state.Settings)
	require.Len(t, state.Refused, 1)
	require.Equal(t, begin.Add(6*time.Hour), state.NextFull.Truncate(time.Minute))

	next := newLoop(t)
	next.env.SetStartTime(begin.Add(4 * time.Minute))
	next.at(time.Second, func() {
		require.Equal(t, messages.StateHeld, next.status().State)
		require.Equal(t, "c7", next.watches[0].Cursor, "the watch goes on at the carried cursor")
		require.Equal(t, `hash of "first"`, next.watches[0].Policy)
	})
	approved := next.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	next.startWith(messages.OrgSyncInput{State: &state}, time.Hour)
	require.NoError(t, approved.err)
	require.Empty(t, next.admits)
	require.Equal(t, []string{messages.ScopeHold}, next.scopes(), "the schedule is carried too")
}

func TestOrgSyncPauseSurvivesAFreshHistory(t *testing.T) {
	l := newLoop(t)
	l.updateAt(time.Minute, messages.Pause, messages.PauseInput{By: "ana", Reason: "audit"})
	l.signalAt(2*time.Minute, messages.ForceContinueAsNew, nil)
	state := l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`)})
	require.Equal(t, &messages.PauseInput{By: "ana", Reason: "audit"}, state.Paused)

	next := newLoop(t)
	next.at(9*time.Hour, func() { require.Equal(t, messages.StatePaused, next.status().State) })
	next.startWith(messages.OrgSyncInput{State: &state}, 10*time.Hour)
	require.Empty(t, next.runs)
}

func TestOrgSyncForceContinueAsNewStartsAFreshHistory(t *testing.T) {
	l := newLoop(t)
	l.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	state := l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`)})
	require.Equal(t, `hash of "first"`, state.Policy)
	require.Equal(t, org, state.Org)
}

func TestOrgSyncFreshHistoryWaitsForTheRunInTheBackground(t *testing.T) {
	l := newLoop(t)
	over := false
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		_ = workflow.Sleep(ctx, time.Hour)
		over = true
		return ended(in), nil
	}
	l.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	state := l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`)})
	require.True(t, over)
	require.NotNil(t, state.LastFull)
	require.Nil(t, state.Running)
}

func TestOrgSyncWhatIsAskedJustBeforeAFreshHistoryIsServed(t *testing.T) {
	l := newLoop(t)
	var synced *answer
	l.at(time.Minute, func() {
		l.env.SetContinueAsNewSuggested(true)
		synced = l.update(messages.SyncNow, messages.SyncNowInput{Person: "x"})
		l.env.SignalWorkflow(messages.SyncNow, typed(`{"person":"y"}`))
		l.env.SignalWorkflow(messages.Resume, typed(`{"by":"ana"}`))
	})
	state := l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`)})
	require.True(t, synced.over)
	require.NoError(t, synced.err)
	require.Len(t, state.Refused, 1, "a signal that came in time is heard")
	require.Len(t, l.examines, 2, "both were looked at")
	require.Empty(t, state.Pending.Jobs)
}

func TestOrgSyncQuietLoopRenewsAfterManyEvents(t *testing.T) {
	l := newLoop(t)
	l.at(time.Minute, func() { l.env.SetCurrentHistoryLength(2001) })
	l.signalAt(2*time.Minute, messages.Resume, typed(`{}`))
	l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`)})
}
