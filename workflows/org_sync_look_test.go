package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

// lookAt is what a review asks the loop.
func (l *loop) lookAt(after time.Duration, people ...string) {
	l.signalAt(after, messages.LookAt,
		messages.LookAtSignal{Review: spring, People: people, Everybody: len(people) == 0})
}

// Whom a review decided about is looked at, ahead of the full verification that runs, and what is found is written.
func TestOrgSyncLooksAtPeopleAReviewDecidedAbout(t *testing.T) {
	l := newLoop(t)
	l.run = gated(time.Hour, func(bool) {})
	l.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		if in.First == "" {
			return reconcile.JudgeResult{Settling: in.Scope.People, Counts: messages.Counts{People: 2}}, nil
		}
		return reconcile.JudgeResult{Open: 2, Counts: messages.Counts{People: 2, Removals: 2}}, nil
	}
	l.lookAt(time.Minute, "x", "y")
	l.at(2*time.Minute, func() { require.Equal(t, messages.ScopePeople, l.status().LastRun.Scope) })
	l.start(2 * time.Hour)
	require.Len(t, l.examines, 2, "before something is taken, they are looked at twice")
	require.Equal(t, []string{"x", "y"}, l.examines[0].Scope.People)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopePeople}, l.scopes())
	require.Empty(t, l.status().Pending.People)
}

// When they are many, everybody is looked at: the guard judges all that the review takes as one plan.
func TestOrgSyncReviewThatDecidedAboutMany(t *testing.T) {
	t.Run("says so", func(t *testing.T) {
		l := newLoop(t)
		l.lookAt(time.Hour)
		l.start(2 * time.Hour)
		require.Equal(t, "a policy was applied; review "+spring+" decided on many people", triggers(l.runs))
		require.Empty(t, l.examines)
	})
	t.Run("in many signals", func(t *testing.T) {
		l := newLoop(t)
		l.at(time.Hour, func() {
			l.env.SignalWorkflow(messages.Pause, typed(`{"by":"ana"}`))
			for part := range 5 {
				var people []string
				for i := range 500 {
					people = append(people, fmt.Sprintf("p%d", part*500+i))
				}
				l.env.SignalWorkflow(messages.LookAt, messages.LookAtSignal{Review: spring, People: people})
			}
		})
		l.at(time.Hour+time.Minute, func() { require.LessOrEqual(t, len(l.status().Pending.People), 2000) })
		l.signalAt(2*time.Hour, messages.Resume, typed(`{"by":"ana"}`))
		l.start(3 * time.Hour)
		require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull}, l.scopes())
	})
}

// A pause keeps them waiting; after it they are seen.
func TestOrgSyncReviewDecidesWhileTheOrganizationIsPaused(t *testing.T) {
	for name, people := range map[string][]string{"some": {"x", "y"}, "everybody": nil} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			l.signalAt(time.Hour, messages.Pause, typed(`{"by":"ana","reason":"audit"}`))
			l.lookAt(2*time.Hour, people...)
			l.at(20*time.Hour, func() {
				require.Len(t, l.runs, 1)
				require.Empty(t, l.examines)
			})
			l.signalAt(20*time.Hour, messages.Resume, typed(`{"by":"ana"}`))
			l.start(21 * time.Hour)
			require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull}, l.scopes(),
				"a full verification sees them all")
		})
	}
	t.Run("with a run under way", func(t *testing.T) {
		l := newLoop(t)
		l.run = gated(time.Hour, func(bool) {})
		l.signalAt(time.Minute, messages.Pause, typed(`{"by":"ana","reason":"audit"}`))
		l.lookAt(2*time.Minute, "x")
		l.at(2*time.Hour, func() { require.Empty(t, l.examines) })
		l.signalAt(2*time.Hour, messages.Resume, typed(`{"by":"ana"}`))
		l.start(4 * time.Hour)
		require.NotEmpty(t, l.examines)
		require.Equal(t, []string{"x"}, l.examines[0].Scope.People)
	})
}

// Before the first plan is approved, nobody is looked at one by one.
func TestOrgSyncReviewBeforeTheAdoption(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) { return inForce(in, false), nil }
	l.lookAt(time.Hour, "x")
	l.start(2 * time.Hour)
	require.Empty(t, l.examines)
}

// The signal comes from a workflow of ours; one that was typed wrongly harms nobody.
func TestOrgSyncLookThatWasTypedWrongly(t *testing.T) {
	l := newLoop(t)
	l.signalAt(time.Hour, messages.LookAt, typed(`"x"`))
	l.signalAt(time.Hour, messages.LookAt, typed(`{}`))
	l.lookAt(2*time.Hour, "x")
	l.at(3*time.Hour, func() {
		require.Len(t, l.status().Refused, 2, "but it is shown")
		require.Equal(t, []string{"x"}, l.examines[0].Scope.People)
	})
	l.start(4 * time.Hour)
}

// What a review asks just when the history ends goes to the next one.
func TestOrgSyncFreshHistoryKeepsPeopleAReviewDecidedAbout(t *testing.T) {
	l := newLoop(t)
	l.at(time.Hour, func() {
		l.env.SignalWorkflow(messages.Pause, typed(`{"by":"ana"}`))
		l.env.SignalWorkflow(messages.LookAt, messages.LookAtSignal{Review: spring, People: []string{"x"}})
		l.env.SetContinueAsNewSuggested(true)
	})
	state := l.renewed(messages.OrgSyncInput{Policy: []byte(`"first"`)})
	require.Equal(t, []string{"x"}, state.Pending.People)
}
