package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// Where something holds the renewal of a history up, the organization is watched all the same.
func TestOrgSyncWatchesWhileItsHistoryCannotBeRenewed(t *testing.T) {
	l := newLoop(t)
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if err := workflow.Sleep(ctx, 10*time.Hour); err != nil {
			return messages.RunSummary{Run: in.Run, Scope: in.Scope.Kind, State: messages.RunStopped}, nil
		}
		return ended(in), nil
	}
	watches := 0
	l.signalAt(time.Hour, messages.ForceContinueAsNew, nil)
	l.at(time.Hour+2*time.Minute, func() {
		watches = len(l.watches)
		require.Greater(t, watches, 1, "it watches again, while the run still holds the renewal up")
	})
	l.start(3 * time.Hour)
}

// Large signals do not fill a history while a long run is under way: the run ends for a fresh history, and another
// begins there.
func TestOrgSyncRenewsALargeHistoryWhileAFullVerificationRuns(t *testing.T) {
	l := newLoop(t)
	l.run = gated(10*time.Hour, func(bool) {})
	l.at(30*time.Minute, func() { l.env.SetCurrentHistorySize(5 << 20) })
	l.signalAt(31*time.Minute, messages.SyncNow, typed(`"dropped"`))
	l.at(50*time.Minute, func() {
		require.NotNil(t, l.status().Running, "below the bound the run goes on")
		l.env.SetCurrentHistorySize(9 << 20)
	})
	l.signalAt(51*time.Minute, messages.SyncNow, typed(`"dropped"`))
	state := l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`)})
	require.Less(t, l.env.Now().Sub(begin), time.Hour)
	require.Nil(t, state.Running)
	require.Contains(t, state.Pending.Full, "the history had to be renewed")
	require.Len(t, l.runs, 1)
}

// What was approved, or is taken back, is written in as many histories as it needs.
func TestOrgSyncRenewsALargeHistoryWhileAJobIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		ask  func(l *loop) *answer
		rest messages.Job
	}{
		"an approved plan": {
			ask: func(l *loop) *answer {
				return l.updateAt(10*time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
			},
			rest: messages.Job{Scope: messages.Scope{Kind: messages.ScopeHold, Run: "held-run", Plan: held},
				By: "carol", Note: "approved by carol"},
		},
		"an undo": {
			ask: func(l *loop) *answer {
				return l.updateAt(10*time.Minute, messages.Undo, messages.UndoInput{Run: "r1", By: "carol"})
			},
			rest: messages.Job{Scope: messages.Scope{Kind: messages.ScopeHold, Run: "", Plan: "sha256:undo",
				Undo: true}, By: "carol", Note: "undo of r1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				if in.Scope.Kind == messages.ScopeFull {
					return holding(held)(ctx, in)
				}
				sum, err := slow(10*time.Hour, func(bool) {})(ctx, in)
				sum.Plan = "sha256:undo"
				return sum, err
			}
			asked := c.ask(l)
			l.at(30*time.Minute, func() {
				require.NotEqual(t, messages.ScopeFull, lastOf(l.runs).Scope.Kind)
				l.env.SetCurrentHistorySize(9 << 20)
			})
			l.signalAt(31*time.Minute, messages.SyncNow, typed(`"dropped"`))
			state := l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`)})
			require.Less(t, l.env.Now().Sub(begin), time.Hour)
			if c.rest.Scope.Run == "" {
				c.rest.Scope.Run = lastOf(l.runs).Run
			}
			require.Equal(t, []messages.Job{c.rest}, state.Pending.Jobs, "the next history does the rest")
			require.NotEmpty(t, asked.message(t))
		})
	}
}

// A run of a few people is not stopped, which is soon over; but the state says how large the history is.
func TestOrgSyncSaysThatItsHistoryIsLarge(t *testing.T) {
	l := newLoop(t)
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if in.Scope.Kind == messages.ScopePeople {
			sum.State = messages.RunVerifying
			tell(ctx, in, sum, false)
			_ = workflow.Sleep(ctx, 10*time.Hour)
		}
		sum.State = messages.RunDone
		return sum, nil
	}
	l.updateAt(time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x", By: "ana"})
	l.at(30*time.Minute, func() { l.env.SetCurrentHistorySize(21 << 20) })
	l.signalAt(31*time.Minute, messages.SyncNow, typed(`"dropped"`))
	l.at(40*time.Minute, func() {
		require.Contains(t, l.status().Stuck,
			"events and 21 MB and cannot be renewed, because it waits for: a run of a few people")
	})
	l.start(time.Hour)
}

// A job that fails again and again, and for which nobody waits, goes with the state: it does not keep the history from
// its end.
func TestOrgSyncCarriesAJobThatFails(t *testing.T) {
	l := newLoop(t)
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeHold {
			return messages.RunSummary{Run: in.Run, Scope: in.Scope.Kind,
				Problem: &messages.Problem{Kind: session.ErrKeyRefused, Message: "make a new key"}}, nil
		}
		return ended(in), nil
	}
	l.signalAt(2*time.Hour, messages.ForceContinueAsNew, nil)
	state := l.renewed(messages.OrgSyncInput{State: &messages.OrgSyncState{
		Org: org, Policy: "p", Adopted: true, Settings: settings, NextFull: begin.Add(100 * time.Hour),
		Feed: messages.Feed{Mode: "events", Cursor: "c"},
		Pending: messages.Pending{Jobs: []messages.Job{
			{Scope: messages.Scope{Kind: messages.ScopeHold, Run: "r1", Plan: "sha256:held"}, By: "carol"}}},
	}})
	require.Len(t, state.Pending.Jobs, 1, "what was approved stays approved")
}

// What a history hands to the next is bounded, whatever waits: what is dropped is told, asked again, or looked at with
// everybody.
func TestOrgSyncCarriesNoMoreThanTemporalTakes(t *testing.T) {
	l := newLoop(t)
	in := messages.OrgSyncState{
		Org: org, Policy: "p", Adopted: true, Settings: settings, NextFull: begin.Add(100 * time.Hour),
		Feed:   messages.Feed{Mode: "events", Cursor: "c"},
		Paused: &messages.PauseInput{By: "ana"},
	}
	for range 5000 {
		in.Pending.People = append(in.Pending.People, strings.Repeat("p", 320))
	}
	for range 200 {
		in.Kept = append(in.Kept, messages.KeptMessage{Name: messages.Pause,
			Body: []byte(`{"by":"` + strings.Repeat("<", 300) + `"}`)})
	}
	l.at(30*time.Second, func() {
		text, err := json.Marshal(l.status())
		require.NoError(t, err)
		require.Less(t, len(text), 1<<20, "nor does the status have more than can be sent")
	})
	l.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	state := l.renewed(messages.OrgSyncInput{State: &in})
	require.Empty(t, state.Pending.People)
	require.NotEmpty(t, state.Pending.Full, "everybody is looked at instead")
}

// The status says how the organization is watched from the first poll on.
func TestOrgSyncSaysThatItWatchesAtOnce(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{{after: time.Second, result: reconcile.WatchResult{Mode: "events", Cursor: "c1"}}}
	l.at(time.Minute, func() {
		require.Equal(t, "events", l.status().Feed.Mode)
		require.True(t, l.watches[0].Once, "the first poll reports at once")
		require.False(t, l.watches[1].Once)
	})
	l.start(time.Hour)
}
