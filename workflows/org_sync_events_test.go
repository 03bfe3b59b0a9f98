package workflows_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

func startWithID(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: messages.QueueWorkflows}
}

// touched returns a watch that reports people.
func touched(after time.Duration, cursor string, people ...string) watchEvent {
	return watchEvent{after: after, result: reconcile.WatchResult{Mode: "events", Cursor: cursor, People: people}}
}

func TestOrgSyncFullVerificationRunsOnSchedule(t *testing.T) {
	l := newLoop(t)
	l.start(19 * time.Hour)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull, messages.ScopeFull, messages.ScopeFull},
		l.scopes())
	require.Equal(t, "a policy was applied; on schedule; on schedule; on schedule", triggers(l.runs))
	seen := map[string]bool{}
	for _, in := range l.runs {
		require.False(t, seen[in.Run], "run ids are never used twice")
		seen[in.Run] = true
	}
}

func TestOrgSyncQuietEventCostsNoRun(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{touched(time.Minute, "c1", "x", "y")}
	l.at(2*time.Minute, func() {
		require.Equal(t, "c1", l.status().Feed.Cursor)
		require.Empty(t, l.status().Pending.People)
	})
	l.start(time.Hour)
	require.Len(t, l.examines, 2, "reads may lag behind events: whom one names is looked at once more")
	for _, look := range l.examines {
		require.Equal(t, []string{"x", "y"}, look.Scope.People)
		require.Equal(t, messages.ScopePeople, look.Scope.Kind)
	}
	require.Empty(t, l.examines[0].First)
	require.Equal(t, l.examines[0].Run, l.examines[1].First)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
	require.Equal(t, "c1", l.watches[len(l.watches)-1].Cursor, "the watch goes on where it was")
}

func TestOrgSyncVerifiesWhatALookLeavesToIt(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{touched(time.Minute, "c1", "x")}
	l.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Full: map[bool]string{
			true: "source groups changed as a whole: eng"}[in.First == ""]}, nil
	}
	l.start(time.Hour)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull}, l.scopes())
	require.Equal(t, "a policy was applied; source groups changed as a whole: eng", triggers(l.runs))
}

func TestOrgSyncShowsWhatWasTakenByHand(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{touched(time.Minute, "c1", "x")}
	l.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		if in.First == "" {
			return reconcile.JudgeResult{Settling: []string{"x"}}, nil
		}
		return reconcile.JudgeResult{Regiven: []session.OutOfBandGrant{
			{Grant: "g1", Workflow: "w", Text: "grant g1 ended: taken by hand", Told: true}}}, nil
	}
	l.at(2*time.Minute, func() { require.Contains(t, l.status().Noticed[0], "grant g1 ended: taken by hand") })
	l.start(time.Hour)
	require.Len(t, l.examines, 2)
}

func TestOrgSyncTouchedPeopleWithSomethingToWriteGetARun(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{touched(time.Minute, "c1", "x")}
	l.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		if in.First != "" {
			return reconcile.JudgeResult{}, nil
		}
		return reconcile.JudgeResult{Plan: "sha256:p", Open: 1, Counts: messages.Counts{People: 1, Adds: 1}}, nil
	}
	l.at(2*time.Minute, func() {
		require.Equal(t, messages.ScopePeople, l.status().LastRun.Scope)
		require.Equal(t, messages.StateOK, l.status().State)
	})
	l.start(time.Hour)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopePeople}, l.scopes())
	run := l.runs[1]
	require.Equal(t, l.examines[0].Run, run.Run, "the run writes the plan that was examined")
	require.NotNil(t, run.Progress)
	require.Equal(t, "adopt", run.Progress.Phase, "it does not read again")
	require.Equal(t, "sha256:p", run.Progress.Run.Plan)
}

func TestOrgSyncTouchedGroupsAreLookedAtWithAFreshOutline(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{{after: time.Minute,
		result: reconcile.WatchResult{Mode: "events", Cursor: "c1", Groups: []string{"g"}, Recount: []string{"h"},
			Fresh: true}}}
	l.start(time.Hour)
	require.Len(t, l.examines, 2)
	require.True(t, l.examines[0].Fresh)
	require.True(t, l.examines[1].Fresh, "a group may not be readable yet when its event is seen")
	require.Equal(t, []string{"g"}, l.examines[1].Scope.Groups)
	require.Equal(t, messages.Scope{Kind: messages.ScopeGroups, Groups: []string{"g"}, Recount: []string{"h"}},
		l.examines[0].Scope)
}

func TestOrgSyncRemovalsOfAnEventAreLookedAtASecondTime(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{touched(time.Minute, "c1", "x")}
	l.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		if in.First == "" {
			return reconcile.JudgeResult{Counts: messages.Counts{People: 1}, Settling: []string{"x"}}, nil
		}
		return reconcile.JudgeResult{Plan: "sha256:p", Open: 1, Counts: messages.Counts{People: 1, Removals: 1}}, nil
	}
	l.at(time.Minute+2*time.Second, func() {
		require.Len(t, l.examines, 1)
		require.NotEmpty(t, l.status().Pending.Settling)
		require.Equal(t, []string{messages.ScopeFull}, l.scopes(), "nothing is taken on one look")
	})
	l.start(time.Hour)
	require.GreaterOrEqual(t, len(l.examines), 2)
	require.Equal(t, []string{"x"}, l.examines[1].Scope.People)
	require.Equal(t, l.examines[0].Run, l.examines[1].First)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopePeople}, l.scopes()[:2])
	require.True(t, l.runs[1].Progress.Settled)
}

// What is too recent to end stays so for a while: nobody is looked at without pause meanwhile, however little removals
// settle.
func TestOrgSyncLooksAfterTheSecondOneWait(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		admitted := inForce(in, true)
		admitted.Settings.Settle = 0
		return admitted, nil
	}
	l.events = []watchEvent{touched(time.Minute, "c1", "x")}
	l.examine = func(reconcile.ExamineInput) (result reconcile.JudgeResult, _ error) {
		if l.env.Now().Before(begin.Add(2 * time.Minute)) {
			result.Settling = []string{"x"}
		}
		return result, nil
	}
	l.start(time.Hour)
	require.Len(t, l.examines, 14, "two at once, one every five seconds of the second minute")
	require.NotEmpty(t, l.examines[13].First)
}

func TestOrgSyncTooManyTouchedPeopleMeanEverybody(t *testing.T) {
	l := newLoop(t)
	crowd := make([]string, 2001)
	for i := range crowd {
		crowd[i] = fmt.Sprintf("p%d", i)
	}
	l.events = []watchEvent{touched(time.Minute, "c1", crowd...)}
	l.start(time.Hour)
	require.Empty(t, l.examines)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull}, l.scopes())
	require.Contains(t, l.runs[1].Trigger, "events affected too many people")
}

func TestOrgSyncChangeOfRolesMeansEverybody(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{{after: time.Minute,
		result: reconcile.WatchResult{Mode: "events", Cursor: "c1", Full: "the roles of a group changed"}}}
	l.start(time.Hour)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull}, l.scopes())
	require.Equal(t, "the roles of a group changed", l.runs[1].Trigger)
}

func TestOrgSyncBrokenFeedIsShownAndTriedAgain(t *testing.T) {
	l := newLoop(t)
	refused := temporal.NewApplicationErrorWithOptions("Atlassian refused the organization key", session.ErrKeyRefused,
		temporal.ApplicationErrorOptions{NonRetryable: true})
	l.events = []watchEvent{touched(time.Minute, "c1"), {after: time.Minute, err: refused}, touched(time.Second, "c2")}
	l.at(2*time.Minute+time.Second, func() {
		require.Equal(t, messages.StateProblem, l.status().State)
		require.Contains(t, l.status().Feed.Problem, "refused the organization key")
		require.Contains(t, l.page(), "The event feed cannot be watched")
	})
	l.at(10*time.Minute, func() {
		require.Equal(t, messages.StateOK, l.status().State)
		require.Equal(t, "c2", l.status().Feed.Cursor)
	})
	l.start(time.Hour)
	require.True(t, l.watches[2].Once, "the first watch after a problem reports at once")
	require.Equal(t, "c1", l.watches[2].Cursor)
}

// A key that was mended is not waited for any longer than until it is first seen to work.
func TestOrgSyncBrokenFeedIsTriedAgainAsSoonAsAnythingWorks(t *testing.T) {
	l := newLoop(t)
	refused := temporal.NewApplicationErrorWithOptions("Atlassian refused the organization key", session.ErrKeyRefused,
		temporal.ApplicationErrorOptions{NonRetryable: true})
	for range 6 { // after the sixth it would wait for five minutes
		l.events = append(l.events, watchEvent{after: time.Second, err: refused})
	}
	l.events = append(l.events, touched(time.Second, "c1"))
	var tries int
	l.at(9*time.Minute, func() {
		require.NotEmpty(t, l.status().Feed.Problem)
		tries = len(l.watches)
		l.update(messages.SyncNow, messages.SyncNowInput{By: "ana"})
	})
	l.at(9*time.Minute+10*time.Second, func() {
		require.Len(t, l.watches, tries+2, "tried, and watching on")
		require.Equal(t, messages.StateOK, l.status().State)
	})
	l.start(time.Hour)
}

func TestOrgSyncProblemIsRetriedWithPatienceAndForgotten(t *testing.T) {
	l := newLoop(t)
	broken := true
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if broken {
			sum.State = messages.RunStopped
			sum.Problem = &messages.Problem{Kind: session.ErrKeyRefused, Message: "make a new key"}
		}
		return sum, nil
	}
	l.at(time.Minute+50*time.Second, func() { // at 0 s, 15 s, 45 s, 105 s
		require.Len(t, l.runs, 4)
		state := l.status()
		require.Equal(t, messages.StateProblem, state.State)
		require.Equal(t, 4, state.Problem.Tries)
		require.Equal(t, session.ErrKeyRefused, state.Problem.Kind)
		contains(t, l.page(), "KeyRefused", "make a new key", "Next attempt at")
	})
	l.at(2*time.Hour, func() {
		gap := l.status().Problem.Retry.Sub(begin.Add(2 * time.Hour))
		require.LessOrEqual(t, gap, 5*time.Minute)
		broken = false
	})
	l.at(3*time.Hour, func() {
		require.Nil(t, l.status().Problem)
		require.Equal(t, messages.StateOK, l.status().State)
		require.Contains(t, triggers(l.runs), "retried after a problem")
	})
	l.start(4 * time.Hour)
	n := len(l.runs)
	require.Less(t, n, 40, "the backoff reaches five minutes")
}

func TestOrgSyncFailedRunIsAProblemNotAnEnd(t *testing.T) {
	l := newLoop(t)
	l.run = func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error) {
		return messages.RunSummary{}, errors.New("the worker's disk is full")
	}
	l.at(time.Second, func() {
		require.Contains(t, l.status().Problem.Message, "disk is full")
	})
	l.start(time.Hour)
}

func TestOrgSyncLookThatFailsAsksForEverybody(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{touched(time.Minute, "c1", "x")}
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{},
			temporal.NewApplicationErrorWithOptions("no", session.ErrInvalid,
				temporal.ApplicationErrorOptions{NonRetryable: true})
	}
	l.start(30 * time.Minute)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull}, l.scopes()[:2])
	require.Equal(t, "a partial run failed", l.runs[1].Trigger)
}

func TestOrgSyncTouchedPeopleGoAheadOfTheRunInTheBackground(t *testing.T) {
	l := newLoop(t)
	writing, both, ahead := false, false, 0
	bulk := gated(time.Hour, func(now bool) { writing = now })
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopePeople {
			both, ahead = both || writing, ahead+1
			_ = workflow.Sleep(ctx, 10*time.Second)
			both = both || writing
		}
		return bulk(ctx, in)
	}
	l.events = []watchEvent{touched(10*time.Minute, "c1", "x")}
	l.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		if in.First != "" {
			return reconcile.JudgeResult{}, nil
		}
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	l.at(11*time.Minute, func() { require.True(t, writing, "the run in the background goes on afterwards") })
	l.start(2 * time.Hour)
	require.Equal(t, 1, ahead)
	require.False(t, both, "two runs wrote at once")
}
