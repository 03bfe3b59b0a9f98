package reconcile_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestAQuietLookLeavesNoRecord(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	run := w.NewRun()
	var verdict reconcile.JudgeResult
	made := w.Calls(func() { verdict = w.Examine(run, "", w.Id("carol"), w.Id("gil")) })
	require.True(t, verdict.Quiet())
	require.Equal(t, map[string]int{"users.search": 1}, made)
	require.Equal(t, 2, verdict.Counts.People)
	_, err := w.Ledger.Run(t.Context(), activitytest.Org, run.Run)
	require.ErrorIs(t, err, ledger.ErrNotFound)
}

func TestWhoJoinedIsAddedAtTheFirstLook(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Join("eng", "jo")
	run := w.NewRun()
	verdict := w.Examine(run, "", "jo@example.com")
	require.Equal(t, 1, verdict.Open)
	require.Empty(t, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"add jo@example.com to group:builders": access.Done},
		activitytest.States(w.Write(run)))
}

func TestWhoLeftIsLookedAtTwice(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol")
	first := w.NewRun()
	verdict := w.Examine(first, "", w.Id("carol"))
	require.Zero(t, verdict.Open)
	require.True(t, verdict.Quiet())
	require.Equal(t, []string{w.Id("carol")}, verdict.Settling)
	require.Empty(t, w.Write(first))
	_, err := w.Ledger.Run(t.Context(), activitytest.Org, first.Run)
	require.ErrorIs(t, err, ledger.ErrNotFound, "a look without anything to write leaves no run open")

	second := w.NewRun()
	verdict = w.Examine(second, first.Run, w.Id("carol"))
	require.Equal(t, 1, verdict.Open)
	require.Empty(t, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(w.Write(second)))
	require.NotContains(t, w.Members("builders"), "carol")
}

func TestWhoCameBackBetweenTheLooksStays(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol")
	first := w.NewRun()
	require.NotEmpty(t, w.Examine(first, "", w.Id("carol")).Settling)
	w.Join("eng", "carol")
	require.True(t, w.Examine(w.NewRun(), first.Run, w.Id("carol")).Quiet())
}

// A removal that only the second look saw has been seen once.
func TestWhatOnlyTheSecondLookSeesSettles(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Join("support", "carol")
	w.Write(func() session.RunInput { run := w.NewRun(); w.Examine(run, "", w.Id("carol")); return run }())
	w.Pass(time.Minute)
	w.Leave("eng", "carol")
	first := w.NewRun()
	require.Len(t, w.Examine(first, "", w.Id("carol")).Settling, 1)
	w.Leave("support", "carol")
	second := w.NewRun()
	verdict := w.Examine(second, first.Run, w.Id("carol"))
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, []string{w.Id("carol")}, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(w.Write(second)))
	require.Contains(t, w.Members("helpers"), "carol")
}

func TestTooManyForAPartialRunAreLeftToAFullOne(t *testing.T) {
	t.Parallel()
	file := activitytest.Crowded(60)
	w := activitytest.NewOf(t, file)
	w.Admit(activitytest.OpenGuard)
	w.Full()
	w.Full() // which counts what the first one wrote
	w.Leave("eng", file.People[:52]...)
	var ids []string
	for _, name := range file.People[:52] {
		ids = append(ids, w.Id(name))
	}
	first := w.NewRun()
	require.Len(t, w.Examine(first, "", ids...).Settling, 52)
	verdict := w.Examine(w.NewRun(), first.Run, ids...)
	require.True(t, verdict.TooMany)
	require.Zero(t, verdict.Open)
}

func TestANameThatNobodyHasIsSaid(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	_, err := activitytest.Call[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: w.NewRun(), By: "bo", Scope: activitytest.Named("nobody@example.com")})
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrUnknown, app.Type())
	require.True(t, app.NonRetryable())
	require.Contains(t, app.Message(), "nobody@example.com")

	gone := activitytest.Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: w.NewRun(), Trigger: "events", Scope: activitytest.Named("712020:gone")})
	require.True(t, gone.Quiet(), "an event about somebody who is gone is no error")
}

func TestATouchedGroupsMembersAndHoldersAreLookedAt(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Join("support", "ivo")
	w.Leave("support", "lea")
	run := w.NewRun()
	verdict := activitytest.Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: run, Trigger: "events",
		Scope: messages.Scope{Kind: messages.ScopeGroups, Groups: []string{w.Group("support").ID}},
	})
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, []string{w.Id("lea")}, verdict.Settling, "who was taken out still holds the target")
	require.Equal(t, map[string]access.ChangeState{"add ivo@example.com to group:helpers": access.Done},
		activitytest.States(w.Write(run)))
}

func TestALookSupersedesOlderPlans(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Join("eng", "jo")
	older, _ := w.Planned()
	w.Leave("eng", "jo")
	w.Examine(w.NewRun(), "", w.Id("jo"))
	require.Equal(t, access.Superseded, w.Lines(older.Run)["add jo@example.com to group:builders"].State)
	require.Empty(t, w.Write(older))
}

func TestADryLookIsRecordedAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Join("eng", "jo")
	run := w.NewRun()
	run.Preview = true
	verdict := activitytest.Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: run, By: "bo", Scope: activitytest.Named("jo@example.com"), DryRun: true})
	require.Equal(t, 1, verdict.Counts.Adds)
	require.Zero(t, verdict.Open)
	require.Empty(t, w.Write(run))
}

func TestAnApprovedPlanIsReleased(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit("")
	run := w.NewRun()
	w.Sweep(run)
	hold := w.Judge(run).Hold
	in := reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
		DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol", Note: "CHG-12"}}
	decided := activitytest.Must[reconcile.DecideResult](w, w.Acts.Reconcile.Decide, in)
	require.True(t, decided.Adoption)
	require.Equal(t, run.Run, decided.Hold.Run)
	require.Equal(t, decided, activitytest.Must[reconcile.DecideResult](w, w.Acts.Reconcile.Decide, in),
		"a repeat comes to the same")
	require.Len(t, w.Write(run), 8)
	require.Equal(t, "ana bo carol dan eve kim", w.Members("builders"))
	known, err := w.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.False(t, known.AdoptedAt.IsZero())

	in.Plan = "sha256:another"
	_, err = activitytest.Call[reconcile.DecideResult](w, w.Acts.Reconcile.Decide, in)
	require.Equal(t, session.ErrNotOpen, activitytest.ApplicationError(t, err).Type())
}

// A hold may wait for days, while events come all the time.
func TestAHoldCanBeApprovedAfterManyEvents(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	w.Leave("eng", "carol")
	run := w.NewRun()
	w.Sweep(run)
	hold := w.Judge(run).Hold
	w.Finish(run, messages.ScopeFull)
	for range 22 {
		w.Pass(48 * time.Hour) // more often, and it would be taken for two sides that fight
		w.Join("support", "ivo")
		look := w.NewRun()
		w.Examine(look, "", w.Id("ivo"))
		w.Write(look)
		w.Finish(look, messages.ScopePeople)
		w.ByHand(http.MethodDelete, "helpers", "ivo")
		w.Pass(time.Minute)
	}
	w.Restart()
	current, err := w.Ledger.CurrentHold(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, hold.Plan, current.Plan)
	decided := activitytest.Must[reconcile.DecideResult](w, w.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	approved := session.RunInput{Org: activitytest.Org, Run: decided.Hold.Run, Policy: w.Policy}
	activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: approved, Actions: []access.Action{access.Remove}})
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(w.Write(approved)))
}

func TestARejectedPlanIsNotRaisedAgain(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	w.Leave("eng", "carol")
	run := w.NewRun()
	w.Sweep(run)
	hold := w.Judge(run).Hold
	activitytest.Must[reconcile.DecideResult](w, w.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "reject",
			DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	w.Finish(run, messages.ScopeFull)

	again, verdict := w.Planned()
	require.Nil(t, verdict.Hold)
	require.Equal(t, 1, verdict.Counts.Suppressed)
	w.Finish(again, messages.ScopeFull)

	w.Join("eng", "carol") // what was asked for has gone
	w.Full()
	w.Leave("eng", "carol")
	third := w.NewRun()
	w.Sweep(third)
	require.NotNil(t, w.Judge(third).Hold, "it is asked anew")
}

func TestAPartialRunKeepsWhatOthersHold(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	w.Leave("eng", "carol")
	run := w.NewRun()
	w.Sweep(run)
	before := w.Judge(run).Hold
	w.Finish(run, messages.ScopeFull)
	w.Leave("support", "hana")
	look := w.NewRun()
	after := w.Examine(look, "", w.Id("hana")).Hold
	require.Equal(t, 2, after.Removals)
	require.NotEqual(t, before.Plan, after.Plan)
	require.Contains(t, after.Changed, "replaces "+before.Plan)

	w.Join("eng", "carol")
	last := w.Examine(w.NewRun(), "", w.Id("carol")).Hold
	require.Equal(t, 1, last.Removals, "who no longer needs it is taken out of the hold")
}

// What the guard stopped together is not taken person by person, by events or by looks that somebody asks for.
func TestExamineLeavesHeldWhatIsHeld(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit("guard: {adopt: auto, run: {removals: 1}, source: {share: 100%}}")
	w.Leave("eng", "carol", "dan")
	run := w.NewRun()
	w.Sweep(run)
	hold := w.Judge(run).Hold
	require.Equal(t, 2, hold.Removals)
	w.Finish(run, messages.ScopeFull)
	for range 2 {
		look := w.NewRun()
		result := w.Examine(look, "", w.Id("carol"))
		require.Zero(t, result.Open)
		require.Equal(t, hold.Plan, result.Hold.Plan)
		line := w.Lines(look.Run)["remove carol@example.com from group:builders"]
		require.Equal(t, access.Held, line.State)
		require.Contains(t, line.HeldBy, "run-removals")
		w.Finish(look, messages.ScopePeople)
	}
}

func TestConfirmReadsAgainBeforeWriting(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol", "dan", "eve")
	run := w.NewRun()
	w.Sweep(run)
	require.Equal(t, 3, w.Judge(run).Open)
	w.Join("eng", "dan") // is back
	w.Send(http.MethodPost, "/_sim/people/eve@example.com", map[string]any{"remove": true})
	result := activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Standing)
	require.Equal(t, 2, result.Superseded)
	lines := w.Lines(run.Run)
	require.Contains(t, lines["remove dan@example.com from group:builders"].Answer, "no longer asks for it")
	require.Contains(t, lines["remove eve@example.com from group:builders"].Answer, "could not be read")
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(w.Write(run)))

	again := activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Zero(t, again.Superseded)
}

func TestConfirmAsksTheGroupSearchToo(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol")
	run := w.NewRun()
	w.Sweep(run)
	require.Equal(t, 1, w.Judge(run).Open)
	w.Join("eng", "carol")
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
		Params: cloud.FaultParams{Share: 1}})
	result := activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
	require.Contains(t, w.Lines(run.Run)["remove carol@example.com from group:builders"].Answer,
		"another search still shows")
}

// Two lists lie; the group's own members do not.
func TestConfirmLooksAmongTheMembersToo(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol", "dan")
	run, verdict := w.Planned()
	require.Equal(t, 2, verdict.Open)
	w.Join("eng", "carol")
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
		Params: cloud.FaultParams{Share: 1}})
	w.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage, Count: 1,
		Params: cloud.FaultParams{Next: "drop"}})
	result := activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
	require.Contains(t, w.Lines(run.Run)["remove carol@example.com from group:builders"].Answer,
		"another search still shows")
	require.Equal(t, map[string]access.ChangeState{"remove dan@example.com from group:builders": access.Done},
		activitytest.States(w.Write(run)))
}

// A search that shows no group at all is broken; its silence about somebody is no word against their membership.
func TestAGroupSearchThatShowsNothingClearsNobody(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol")
	run, verdict := w.Planned()
	require.Equal(t, 1, verdict.Open)
	w.Join("eng", "carol")
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
		Params: cloud.FaultParams{Share: 1}})
	w.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage,
		Params: cloud.FaultParams{Next: "drop"}})
	result := activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
}

// What was held for a bad read of the groups is not written on it, even when it is approved.
func TestAnApprovedPlanIsHeldAgainstTheGroupsAsTheyAreNow(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	run := w.NewRun()
	w.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultTruncatedPage, Seed: 1, Count: 1,
		Params: cloud.FaultParams{Share: 0.5}})
	w.Sweep(run)
	hold := w.Judge(run).Hold
	require.Positive(t, hold.Removals)
	activitytest.Must[reconcile.DecideResult](w, w.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	own := activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Zero(t, own.Standing+own.Superseded)
	require.Empty(t, w.WriteSome(run, false), "the run that held it, if it is still under way, does not write it")
	result := activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}, Fresh: true})
	require.Equal(t, hold.Removals, result.Superseded)
	require.Zero(t, result.Standing)
}
