package activities_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestSetEndsLinesWithoutACall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit(open)
	run, _ := w.planned()
	in := activities.SetInput{RunInput: run, Action: access.Add, Target: []access.Entitlement{"group:helpers"}, State: access.Shortage, Answer: "not tried"}
	made := w.calls(func() { require.Equal(t, 2, must[int](w, w.acts.Set, in)) })
	require.Empty(t, made)
	require.Zero(t, must[int](w, w.acts.Set, in))
	require.Equal(t, 1, must[int](w, w.acts.Set, activities.SetInput{RunInput: run, Action: access.Adopt, State: access.Done, Answer: "recorded"}))
	require.Len(t, w.write(run), 6)
	states, err := w.ledger.States(t.Context(), org, []string{w.id("finn")}, w.clock())
	require.NoError(t, err)
	require.True(t, states[w.id("finn")].Holdings[0].Owned, "adopted is owned")
}

func TestVerifyReadsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit(open)
	w.configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(10 * time.Second) })
	run, _ := w.planned()
	w.write(run)
	early := must[activities.VerifyResult](w, w.acts.Verify, run)
	require.Equal(t, 8, early.Unverified)
	require.Len(t, early.Open, 8)
	w.pass(20 * time.Second)
	late := must[activities.VerifyResult](w, w.acts.Verify, run)
	require.Equal(t, 8, late.Verified)
	require.Zero(t, late.Unverified)
	require.Contains(t, w.lines(run.Run)["add carol@example.com to group:builders"].Answer, "verified by reading back")
	again := must[activities.VerifyResult](w, w.acts.Verify, run)
	require.Equal(t, late.Verified, again.Verified)
	require.NotContains(t, w.lines(run.Run)["add carol@example.com to group:builders"].Answer, "back; verified")
}

func TestWhatALaterRunTookBackIsNotMissed(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	run := activities.RunInput{Org: org, Run: "run-001", Policy: w.policy}
	before := must[activities.VerifyResult](w, w.acts.Verify, run)
	w.leave("support", "lea")
	_, sum := w.full()
	require.Positive(t, sum.Counts.Done)
	after := must[activities.VerifyResult](w, w.acts.Verify, run)
	require.Less(t, after.Verified, before.Verified)
	require.Zero(t, after.Unverified)

	w.byHand(http.MethodDelete, "builders", "carol")
	require.Equal(t, 1, must[activities.VerifyResult](w, w.acts.Verify, run).Unverified, "what somebody else took back is missed")
}

func TestFinishCountsAndRepeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit(open)
	run, _ := w.planned()
	w.write(run)
	sum := w.finish(run, messages.ScopeFull)
	require.Equal(t, 9, sum.Counts.Done)
	require.Equal(t, messages.RunDone, sum.State)
	counts, err := w.ledger.SourceCounts(t.Context(), org)
	require.NoError(t, err)
	require.Len(t, counts, 3, "what the source groups had is the measure of the next run")
	again := w.finish(run, messages.ScopeFull)
	require.Equal(t, sum.Counts, again.Counts)
	kept, err := w.ledger.Run(t.Context(), org, run.Run)
	require.NoError(t, err)
	require.Equal(t, messages.RunDone, kept.State)
	require.False(t, kept.Ended.IsZero())
}

// A run can be stopped at any moment, also before it read anything.
func TestFinishClosesARunThatWasStoppedEarly(t *testing.T) {
	t.Parallel()
	for name, reach := range map[string]func(*world, activities.RunInput){
		"before the outline": func(*world, activities.RunInput) {},
		"before the sweep":   func(w *world, run activities.RunInput) { w.outline(run) },
		"before the verdict": func(w *world, run activities.RunInput) { w.sweep(run) },
	} {
		for _, problem := range []*messages.Problem{nil, {Kind: activities.ErrKeyRefused, Message: "make a new key"}} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				w.admit(open)
				run := w.newRun()
				reach(w, run)
				sum := must[messages.RunSummary](w, w.acts.Finish, activities.FinishInput{RunInput: run, Scope: messages.ScopeFull, Summary: messages.RunSummary{
					Run: run.Run, Scope: messages.ScopeFull, State: messages.RunStopped, Problem: problem, Started: w.clock(),
				}})
				require.Equal(t, messages.RunStopped, sum.State)
				kept, err := w.ledger.Run(t.Context(), org, run.Run)
				require.NoError(t, err)
				require.False(t, kept.Ended.IsZero())
				counts, err := w.ledger.SourceCounts(t.Context(), org)
				require.NoError(t, err)
				require.Empty(t, counts, "a run that was stopped proves nothing")
			})
		}
	}
}

func TestARunIsTakenBack(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.leave("eng", "carol")
	w.join("eng", "jo")
	run, sum := w.full()
	require.Equal(t, 2, sum.Counts.Done)
	undo := w.newRun()
	require.Equal(t, 2, must[int](w, w.acts.PlanUndo, activities.UndoInput{RunInput: undo, Of: run.Run, By: "ana"}))
	require.Equal(t, 2, must[int](w, w.acts.PlanUndo, activities.UndoInput{RunInput: undo, Of: run.Run, By: "ana"}), "a repeat plans the same")
	verdict := must[activities.JudgeResult](w, w.acts.Judge, activities.JudgeInput{RunInput: undo, Scope: messages.ScopeUndo, Started: w.clock()})
	require.Equal(t, 2, verdict.Open)
	require.Equal(t, map[string]access.ChangeState{
		"add carol@example.com to group:builders": access.Done, "remove jo@example.com from group:builders": access.Done,
	}, states(w.write(undo)))
	require.Equal(t, "ana bo carol dan eve kim", w.members("builders"))

	_, err := call[int](w, w.acts.PlanUndo, activities.UndoInput{RunInput: w.newRun(), Of: "nothing"})
	require.Equal(t, activities.ErrUnknown, application(t, err).Type())
}

// Undoing much passes the same guard; once approved, it is done, though the policy asks for the opposite.
func TestAHeldUndoCanBeApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit(open)
	run, _ := w.full()
	w.admit("guard: {adopt: auto, run: {removals: 2}, source: {share: 100%}}")
	undo := w.newRun()
	must[int](w, w.acts.PlanUndo, activities.UndoInput{RunInput: undo, Of: run.Run, By: "ana"})
	verdict := must[activities.JudgeResult](w, w.acts.Judge, activities.JudgeInput{RunInput: undo, Scope: messages.ScopeUndo, Started: w.clock()})
	require.Equal(t, 8, verdict.Hold.Removals)
	require.True(t, verdict.Hold.Undo)
	w.finish(undo, messages.ScopeUndo)
	must[activities.DecideResult](w, w.acts.Decide, activities.DecideInput{Org: org, Decision: ledger.Approve, DecisionInput: messages.DecisionInput{Plan: verdict.Hold.Plan, By: "carol"}})
	confirmed := must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: undo, Actions: []access.Action{access.Remove}})
	require.Equal(t, 8, confirmed.Standing)
	require.Len(t, w.write(undo), 8)
	require.Empty(t, w.members("builders"))
	require.Equal(t, "finn gil", w.members("helpers"))
}
