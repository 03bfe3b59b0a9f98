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

func named(names ...string) messages.Scope {
	return messages.Scope{Kind: messages.ScopePeople, People: names}
}

// examine looks at people; first names the run of an earlier look.
func (w *world) examine(run activities.RunInput, first string, names ...string) activities.JudgeResult {
	w.t.Helper()
	return must[activities.JudgeResult](w, w.acts.Examine, activities.ExamineInput{RunInput: run, Trigger: "events", Scope: named(names...), First: first})
}

func TestAQuietLookLeavesNoRecord(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	run := w.newRun()
	var verdict activities.JudgeResult
	made := w.calls(func() { verdict = w.examine(run, "", w.id("carol"), w.id("gil")) })
	require.True(t, verdict.Quiet())
	require.Equal(t, map[string]int{"users.search": 1}, made)
	require.Equal(t, 2, verdict.Counts.People)
	_, err := w.ledger.Run(t.Context(), org, run.Run)
	require.ErrorIs(t, err, ledger.ErrNotFound)
}

func TestWhoJoinedIsAddedAtTheFirstLook(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.join("eng", "jo")
	run := w.newRun()
	verdict := w.examine(run, "", "jo@example.com")
	require.Equal(t, 1, verdict.Open)
	require.Empty(t, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"add jo@example.com to group:builders": access.Done}, states(w.write(run)))
}

func TestWhoLeftIsLookedAtTwice(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.leave("eng", "carol")
	first := w.newRun()
	verdict := w.examine(first, "", w.id("carol"))
	require.Zero(t, verdict.Open)
	require.True(t, verdict.Quiet())
	require.Equal(t, []string{w.id("carol")}, verdict.Settling)
	require.Empty(t, w.write(first))
	_, err := w.ledger.Run(t.Context(), org, first.Run)
	require.ErrorIs(t, err, ledger.ErrNotFound, "a look without anything to write leaves no run open")

	second := w.newRun()
	verdict = w.examine(second, first.Run, w.id("carol"))
	require.Equal(t, 1, verdict.Open)
	require.Empty(t, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done}, states(w.write(second)))
	require.NotContains(t, w.members("builders"), "carol")
}

func TestWhoCameBackBetweenTheLooksStays(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.leave("eng", "carol")
	first := w.newRun()
	require.NotEmpty(t, w.examine(first, "", w.id("carol")).Settling)
	w.join("eng", "carol")
	require.True(t, w.examine(w.newRun(), first.Run, w.id("carol")).Quiet())
}

// A removal that only the second look saw has been seen once.
func TestWhatOnlyTheSecondLookSeesSettles(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.join("support", "carol")
	w.write(func() activities.RunInput { run := w.newRun(); w.examine(run, "", w.id("carol")); return run }())
	w.pass(time.Minute)
	w.leave("eng", "carol")
	first := w.newRun()
	require.Len(t, w.examine(first, "", w.id("carol")).Settling, 1)
	w.leave("support", "carol")
	second := w.newRun()
	verdict := w.examine(second, first.Run, w.id("carol"))
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, []string{w.id("carol")}, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done}, states(w.write(second)))
	require.Contains(t, w.members("helpers"), "carol")
}

func TestTooManyForAPartialRunAreLeftToAFullOne(t *testing.T) {
	t.Parallel()
	file := crowded(60)
	w := newWorldOf(t, file)
	w.admit(open)
	w.full()
	w.full() // which counts what the first one wrote
	w.leave("eng", file.People[:52]...)
	var ids []string
	for _, name := range file.People[:52] {
		ids = append(ids, w.id(name))
	}
	first := w.newRun()
	require.Len(t, w.examine(first, "", ids...).Settling, 52)
	verdict := w.examine(w.newRun(), first.Run, ids...)
	require.True(t, verdict.TooMany)
	require.Zero(t, verdict.Open)
}

func TestANameThatNobodyHasIsSaid(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	_, err := call[activities.JudgeResult](w, w.acts.Examine, activities.ExamineInput{RunInput: w.newRun(), By: "bo", Scope: named("nobody@example.com")})
	app := application(t, err)
	require.Equal(t, activities.ErrUnknown, app.Type())
	require.True(t, app.NonRetryable())
	require.Contains(t, app.Message(), "nobody@example.com")

	gone := must[activities.JudgeResult](w, w.acts.Examine, activities.ExamineInput{RunInput: w.newRun(), Trigger: "events", Scope: named("712020:gone")})
	require.True(t, gone.Quiet(), "an event about somebody who is gone is no error")
}

func TestATouchedGroupsMembersAndHoldersAreLookedAt(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.join("support", "ivo")
	w.leave("support", "lea")
	run := w.newRun()
	verdict := must[activities.JudgeResult](w, w.acts.Examine, activities.ExamineInput{
		RunInput: run, Trigger: "events", Scope: messages.Scope{Kind: messages.ScopeGroups, Groups: []string{w.group("support").ID}},
	})
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, []string{w.id("lea")}, verdict.Settling, "who was taken out still holds the target")
	require.Equal(t, map[string]access.ChangeState{"add ivo@example.com to group:helpers": access.Done}, states(w.write(run)))
}

func TestALookSupersedesOlderPlans(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.join("eng", "jo")
	older, _ := w.planned()
	w.leave("eng", "jo")
	w.examine(w.newRun(), "", w.id("jo"))
	require.Equal(t, access.Superseded, w.lines(older.Run)["add jo@example.com to group:builders"].State)
	require.Empty(t, w.write(older))
}

func TestADryLookIsRecordedAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.join("eng", "jo")
	run := w.newRun()
	run.Preview = true
	verdict := must[activities.JudgeResult](w, w.acts.Examine, activities.ExamineInput{RunInput: run, By: "bo", Scope: named("jo@example.com"), DryRun: true})
	require.Equal(t, 1, verdict.Counts.Adds)
	require.Zero(t, verdict.Open)
	require.Empty(t, w.write(run))
}

func TestAnApprovedPlanIsReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit("")
	run := w.newRun()
	w.sweep(run)
	hold := w.judge(run).Hold
	in := activities.DecideInput{Org: org, Decision: "approve", DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol", Note: "CHG-12"}}
	decided := must[activities.DecideResult](w, w.acts.Decide, in)
	require.True(t, decided.Adoption)
	require.Equal(t, run.Run, decided.Hold.Run)
	require.Equal(t, decided, must[activities.DecideResult](w, w.acts.Decide, in), "a repeat comes to the same")
	require.Len(t, w.write(run), 8)
	require.Equal(t, "ana bo carol dan eve kim", w.members("builders"))
	known, err := w.ledger.Organization(t.Context(), org)
	require.NoError(t, err)
	require.False(t, known.AdoptedAt.IsZero())

	in.Plan = "sha256:another"
	_, err = call[activities.DecideResult](w, w.acts.Decide, in)
	require.Equal(t, activities.ErrNotOpen, application(t, err).Type())
}

// A hold may wait for days, while events come all the time.
func TestAHoldCanBeApprovedAfterManyEvents(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	w.leave("eng", "carol")
	run := w.newRun()
	w.sweep(run)
	hold := w.judge(run).Hold
	w.finish(run, messages.ScopeFull)
	for range 22 {
		w.pass(48 * time.Hour) // more often, and it would be taken for two sides that fight
		w.join("support", "ivo")
		look := w.newRun()
		w.examine(look, "", w.id("ivo"))
		w.write(look)
		w.finish(look, messages.ScopePeople)
		w.byHand(http.MethodDelete, "helpers", "ivo")
		w.pass(time.Minute)
	}
	w.restart()
	current, err := w.ledger.CurrentHold(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, hold.Plan, current.Plan)
	decided := must[activities.DecideResult](w, w.acts.Decide, activities.DecideInput{Org: org, Decision: "approve", DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	approved := activities.RunInput{Org: org, Run: decided.Hold.Run, Policy: w.policy}
	must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: approved, Actions: []access.Action{access.Remove}})
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done}, states(w.write(approved)))
}

func TestARejectedPlanIsNotRaisedAgain(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	w.leave("eng", "carol")
	run := w.newRun()
	w.sweep(run)
	hold := w.judge(run).Hold
	must[activities.DecideResult](w, w.acts.Decide, activities.DecideInput{Org: org, Decision: "reject", DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	w.finish(run, messages.ScopeFull)

	again, verdict := w.planned()
	require.Nil(t, verdict.Hold)
	require.Equal(t, 1, verdict.Counts.Suppressed)
	w.finish(again, messages.ScopeFull)

	w.join("eng", "carol") // what was asked for has gone
	w.full()
	w.leave("eng", "carol")
	third := w.newRun()
	w.sweep(third)
	require.NotNil(t, w.judge(third).Hold, "it is asked anew")
}

func TestAPartialRunKeepsWhatOthersHold(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	w.leave("eng", "carol")
	run := w.newRun()
	w.sweep(run)
	before := w.judge(run).Hold
	w.finish(run, messages.ScopeFull)
	w.leave("support", "hana")
	look := w.newRun()
	after := w.examine(look, "", w.id("hana")).Hold
	require.Equal(t, 2, after.Removals)
	require.NotEqual(t, before.Plan, after.Plan)
	require.Contains(t, after.Changed, "replaces "+before.Plan)

	w.join("eng", "carol")
	last := w.examine(w.newRun(), "", w.id("carol")).Hold
	require.Equal(t, 1, last.Removals, "who no longer needs it is taken out of the hold")
}

func TestConfirmReadsAgainBeforeWriting(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.leave("eng", "carol", "dan", "eve")
	run := w.newRun()
	w.sweep(run)
	require.Equal(t, 3, w.judge(run).Open)
	w.join("eng", "dan") // is back
	w.send(http.MethodPost, "/_sim/people/eve@example.com", map[string]any{"remove": true})
	result := must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Standing)
	require.Equal(t, 2, result.Superseded)
	lines := w.lines(run.Run)
	require.Contains(t, lines["remove dan@example.com from group:builders"].Answer, "no longer asks for it")
	require.Contains(t, lines["remove eve@example.com from group:builders"].Answer, "could not be read")
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done}, states(w.write(run)))

	again := must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Zero(t, again.Superseded)
}

func TestConfirmAsksTheGroupSearchToo(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.leave("eng", "carol")
	run := w.newRun()
	w.sweep(run)
	require.Equal(t, 1, w.judge(run).Open)
	w.join("eng", "carol")
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups, Params: cloud.FaultParams{Share: 1}})
	result := must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
	require.Contains(t, w.lines(run.Run)["remove carol@example.com from group:builders"].Answer, "another search still shows")
}

// Two lists lie; the group's own members do not.
func TestConfirmLooksAmongTheMembersToo(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.leave("eng", "carol", "dan")
	run, verdict := w.planned()
	require.Equal(t, 2, verdict.Open)
	w.join("eng", "carol")
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups, Params: cloud.FaultParams{Share: 1}})
	w.inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage, Count: 1, Params: cloud.FaultParams{Next: "drop"}})
	result := must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
	require.Contains(t, w.lines(run.Run)["remove carol@example.com from group:builders"].Answer, "another search still shows")
	require.Equal(t, map[string]access.ChangeState{"remove dan@example.com from group:builders": access.Done}, states(w.write(run)))
}

// A search that shows no group at all is broken; its silence about somebody is no word against their membership.
func TestAGroupSearchThatShowsNothingClearsNobody(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.leave("eng", "carol")
	run, verdict := w.planned()
	require.Equal(t, 1, verdict.Open)
	w.join("eng", "carol")
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups, Params: cloud.FaultParams{Share: 1}})
	w.inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage, Params: cloud.FaultParams{Next: "drop"}})
	result := must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
}

// What was held for a bad read of the groups is not written on it, even when it is approved.
func TestAnApprovedPlanIsHeldAgainstTheGroupsAsTheyAreNow(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	run := w.newRun()
	w.inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultTruncatedPage, Seed: 1, Count: 1, Params: cloud.FaultParams{Share: 0.5}})
	w.sweep(run)
	hold := w.judge(run).Hold
	require.Positive(t, hold.Removals)
	must[activities.DecideResult](w, w.acts.Decide, activities.DecideInput{Org: org, Decision: "approve", DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	result := must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}, Fresh: true})
	require.Equal(t, hold.Removals, result.Superseded)
	require.Zero(t, result.Standing)
}
