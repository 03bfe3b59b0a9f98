package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

// restoreTest runs one restore in time-skipping time, and plays the activities and the organization's loop.
type restoreTest struct {
	historyRunner
	input messages.RestoreInput
	id    string

	begin   func(n int) (groups.BeginRestoreResult, error)
	nothing bool                                  // the preview shows nothing to write
	loop    func(n int) time.Duration             // after which it answers; 0: it does not
	check   func(n int) groups.CheckRestoreResult // what became of it
	begins  int
	asks    []messages.RestoreGroupSignal
	checks  []groups.CheckRestoreInput
	decided []reconcile.DecideInput
	ended   []groups.EndRestoreInput
	stopped bool // the lines were ended before the rest
	after   []messages.SyncNowInput
}

const restorePlan = "sha256:7c"

var lostGroup = groups.BeginRestoreResult{Policy: "p1", ByHand: []string{"an admin makes it a default group"},
	Lost: messages.RestoreOf{Name: "jira-users", Synced: true, Members: 30, Roles: []string{"user of jira-software/acme"}}}

func newRestoreTest(t *testing.T) *restoreTest {
	t.Helper()
	return &restoreTest{historyRunner: historyRunner{t: t}, id: messages.RestoreID(org, "g-1"),
		input: messages.RestoreInput{By: "ops"},
		begin: func(int) (groups.BeginRestoreResult, error) { return lostGroup, nil },
		loop:  func(int) time.Duration { return 5 * time.Second },
		check: func(int) groups.CheckRestoreResult { return groups.CheckRestoreResult{} },
	}
}

func (l *restoreTest) runToEnd() (state messages.RestoreState, err error) {
	l.t.Helper()
	if err = l.runHistories(messages.GroupRestore, l.input, l.openHistory); err == nil {
		err = l.env.GetWorkflowResult(&state)
	}
	l.allDone()
	return state, err
}

func (l *restoreTest) openHistory(start time.Time) {
	env := l.newHistory(l.id, start)
	env.RegisterWorkflowWithOptions(workflows.GroupRestore, workflow.RegisterOptions{Name: messages.GroupRestore})
	for name, play := range map[string]any{
		"BeginRestore": func(context.Context, groups.BeginRestoreInput) (groups.BeginRestoreResult, error) {
			l.begins++
			return l.begin(l.begins)
		},
		"PreviewRestore": func(_ context.Context,
			in groups.PreviewRestoreInput) (groups.PreviewRestoreResult, error) {
			if in.After == "" {
				return groups.PreviewRestoreResult{Next: "account-15"}, nil
			}
			return groups.PreviewRestoreResult{}, nil
		},
		"JudgeRestore": func(_ context.Context, in groups.JudgeRestoreInput) (groups.JudgeRestoreResult, error) {
			result := groups.JudgeRestoreResult{Counts: []messages.StateCount{{State: "pending", Count: 30}}}
			if !in.Observe && !l.nothing {
				result.Hold = &messages.Hold{Plan: restorePlan, People: 30, Rules: []string{"group-restore: 30 members"}}
			}
			return result, nil
		},
		"CheckDecider": func(context.Context, reconcile.DeciderInput) error { return nil },
		"Decide": func(_ context.Context, in reconcile.DecideInput) (reconcile.DecideResult, error) {
			l.decided = append(l.decided, in)
			return reconcile.DecideResult{}, nil
		},
		"CheckRestore": func(_ context.Context, in groups.CheckRestoreInput) (groups.CheckRestoreResult, error) {
			l.checks = append(l.checks, in)
			return l.check(len(l.checks)), nil
		},
		"EndRestore": func(_ context.Context, in groups.EndRestoreInput) (groups.EndRestoreResult, error) {
			if l.stopped = l.stopped || in.LinesOnly; !in.LinesOnly {
				l.ended = append(l.ended, in)
			}
			return groups.EndRestoreResult{Counts: []messages.StateCount{{State: "added", Count: 30}}}, nil
		},
	} {
		env.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
	}
	env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.RestoreGroup,
		mock.Anything).Return(func(_, _, _, _ string, body any) error {
		l.asks = append(l.asks, body.(messages.RestoreGroupSignal))
		if after := l.loop(len(l.asks)); after > 0 {
			l.plan(l.env.Now().Add(after), func() { l.env.SignalWorkflow(messages.Look, nil) })
		}
		return nil
	}).Maybe()
	env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.SyncNow,
		mock.Anything).Return(func(_, _, _, _ string, body any) error {
		l.after = append(l.after, body.(messages.SyncNowInput))
		return nil
	}).Maybe()
	l.runs(env)
}

// approveAt approves the preview.
func (l *restoreTest) approveAt(after time.Duration) *answer {
	return l.updateAt(after, messages.ApprovePlan, messages.DecisionInput{Plan: restorePlan, By: "ana"})
}

// endState is the state with which the restore ended in the ledger.
func (l *restoreTest) endState() string {
	l.t.Helper()
	require.Len(l.t, l.ended, 1)
	return l.ended[0].State
}

// TestGroupRestoreWaits: nothing is written before exactly the preview is approved; then all is, and proven.
func TestGroupRestoreWaits(t *testing.T) {
	l := newRestoreTest(t)
	other := l.updateAt(time.Second, messages.ApprovePlan, messages.DecisionInput{Plan: "sha256:5b", By: "ana"})
	l.at(time.Hour, func() {
		require.Empty(t, l.asks)
		contains(t, l.page(), "jira-users", "held", "30 members", "user of jira-software/acme", "default group",
			restorePlan, "--name approve-plan", "--name reject-plan", "starter plan")
	})
	approved := l.approveAt(2 * time.Hour)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.ErrorContains(t, other.rejected, restorePlan)
	require.NoError(t, approved.err)
	require.Equal(t, messages.RestoreDone, state.State)
	require.Equal(t, "g-1", l.decided[0].Restore)
	require.Equal(t, []messages.RestoreGroupSignal{{Group: "g-1", Run: state.Run, Plan: restorePlan, By: "ana"}}, l.asks)
	require.Equal(t, messages.RestoreDone, l.endState())
	require.Equal(t, "ana", l.ended[0].By)
	require.Len(t, l.after, 1, "everybody is verified then")
}

// TestGroupRestoreNamesTheDifference: what is not as the record stops it, once it had time to show.
func TestGroupRestoreNamesTheDifference(t *testing.T) {
	l := newRestoreTest(t)
	l.check = func(n int) groups.CheckRestoreResult {
		if n < 4 {
			return groups.CheckRestoreResult{Unseen: 1}
		}
		return groups.CheckRestoreResult{Differs: []string{"eve@acme.example: they are suspended"}, Differing: 1}
	}
	l.approveAt(time.Minute)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.RestoreStopped, state.State)
	require.Contains(t, state.Differs[0], "eve@acme.example")
	require.Len(t, l.asks, 1, "it is looked for again, not written again")
	require.Equal(t, messages.RestoreStopped, l.endState())
}

// TestGroupRestoreAsksAgain: a loop that is paused, or has lost the question, is asked again; histories stay short.
func TestGroupRestoreAsksAgain(t *testing.T) {
	l := newRestoreTest(t)
	l.loop = func(n int) time.Duration {
		if n < 100 {
			return 0
		}
		return time.Second
	}
	l.check = func(int) groups.CheckRestoreResult {
		if len(l.asks) < 100 {
			return groups.CheckRestoreResult{Open: 2}
		}
		return groups.CheckRestoreResult{}
	}
	l.approveAt(time.Minute)
	l.at(10*time.Hour, func() { l.env.SetCurrentHistoryLength(1001) })
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.RestoreDone, state.State)
	require.Equal(t, 2, l.histories)
	require.Equal(t, 1, l.begins)
}

// TestGroupRestoreStopsUnderAnotherPolicy: lines that nobody writes any more do not keep it asking.
func TestGroupRestoreStopsUnderAnotherPolicy(t *testing.T) {
	l := newRestoreTest(t)
	l.check = func(int) groups.CheckRestoreResult {
		return groups.CheckRestoreResult{Open: 5, Differs: []string{"another policy is in force"}, Differing: 1}
	}
	l.approveAt(time.Minute)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.RestoreStopped, state.State)
	require.Len(t, l.asks, 1)
}

// TestGroupRestoreWithoutAnythingToWrite: the group has it all, or nothing may be written.
func TestGroupRestoreWithoutAnythingToWrite(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*restoreTest)
		end    string
	}{
		"all there already": {func(l *restoreTest) { l.nothing = true }, messages.RestoreDone},
		"a dry run": {func(l *restoreTest) {
			l.begin = func(int) (groups.BeginRestoreResult, error) {
				begun := lostGroup
				begun.ReadOnly = "the policy says dryRun: true"
				return begun, nil
			}
		}, messages.RestoreStopped},
	} {
		t.Run(name, func(t *testing.T) {
			l := newRestoreTest(t)
			c.change(l)
			state, err := l.runToEnd()
			require.NoError(t, err)
			require.Equal(t, messages.RestoreDone, state.State)
			require.Empty(t, l.asks)
			require.Empty(t, l.after)
			require.Equal(t, c.end, l.endState(), "a preview alone settles nothing")
		})
	}
}

// TestGroupRestoreEndsEarly: rejected, or cancelled while it waits or writes.
func TestGroupRestoreEndsEarly(t *testing.T) {
	t.Run("rejected", func(t *testing.T) {
		l := newRestoreTest(t)
		l.updateAt(time.Minute, messages.RejectPlan, messages.DecisionInput{Plan: restorePlan, By: "ana"})
		state, err := l.runToEnd()
		require.NoError(t, err)
		require.Equal(t, messages.RestoreRejected, state.State)
		require.Equal(t, messages.RestoreRejected, l.endState())
		require.Equal(t, "ana", l.ended[0].By)
		require.Empty(t, l.asks)
	})
	for name, at := range map[string]time.Duration{"while it waits": time.Minute,
		"while it writes": time.Hour + time.Second} {
		t.Run("cancelled "+name, func(t *testing.T) {
			l := newRestoreTest(t)
			if at > time.Hour {
				l.approveAt(time.Hour)
			}
			l.cancelAt(at)
			_, err := l.runToEnd()
			require.True(t, temporal.IsCanceledError(err), "%v", err)
			require.Equal(t, messages.RestoreStopped, l.endState())
			require.Equal(t, at > time.Hour, l.stopped)
			require.Len(t, l.checks, len(l.asks), "what became of it is found out")
		})
	}
}

// TestGroupRestoreSurvivesTrouble: what cannot be read is read again; what was asked for wrongly is refused.
func TestGroupRestoreSurvivesTrouble(t *testing.T) {
	l := newRestoreTest(t)
	l.begin = func(n int) (groups.BeginRestoreResult, error) {
		if n < 20 {
			return lostGroup, errors.New("no route to host")
		}
		return lostGroup, nil
	}
	l.approveAt(time.Hour)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.RestoreDone, state.State)

	l = newRestoreTest(t)
	l.begin = func(int) (groups.BeginRestoreResult, error) {
		return lostGroup, temporal.NewNonRetryableApplicationError("there is no record of a group", session.ErrUnknown, nil)
	}
	_, err = l.runToEnd()
	require.ErrorContains(t, err, "no record")

	for says, change := range map[string]func(*restoreTest){
		"by is missing":          func(l *restoreTest) { l.input.By = "" },
		"must be group-restore:": func(l *restoreTest) { l.id = "jira-users" },
	} {
		l := newRestoreTest(t)
		change(l)
		_, err := l.runToEnd()
		require.ErrorContains(t, err, says)
	}
}

// TestGroupRestoreIsRenewed: a history may end while the preview waits.
func TestGroupRestoreIsRenewed(t *testing.T) {
	l := newRestoreTest(t)
	l.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	l.approveAt(time.Hour)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, 2, l.histories)
	require.Equal(t, messages.RestoreDone, state.State)
	require.Len(t, l.asks, 1)
}
