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

func TestExamineWithoutChangesLeavesNoRecord(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	run := o.NewRun()
	var verdict reconcile.JudgeResult
	made := o.Calls(func() { verdict = o.Examine(run, "", o.AccountID("carol"), o.AccountID("gil")) })
	require.True(t, verdict.Quiet())
	require.Equal(t, map[string]int{"users.search": 1}, made)
	require.Equal(t, 2, verdict.Counts.People)
	_, err := o.Ledger.Run(t.Context(), activitytest.Org, run.Run)
	require.ErrorIs(t, err, ledger.ErrNotFound)
}

func TestExamineAddsAtTheFirstLook(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Join("eng", "jo")
	run := o.NewRun()
	verdict := o.Examine(run, "", "jo@example.com")
	require.Equal(t, 1, verdict.Open)
	require.Empty(t, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"add jo@example.com to group:builders": access.Done},
		activitytest.States(o.Write(run)))
}

func TestExamineLooksTwiceBeforeARemoval(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol")
	first := o.NewRun()
	verdict := o.Examine(first, "", o.AccountID("carol"))
	require.Zero(t, verdict.Open)
	require.True(t, verdict.Quiet())
	require.Equal(t, []string{o.AccountID("carol")}, verdict.Settling)
	require.Empty(t, o.Write(first))
	_, err := o.Ledger.Run(t.Context(), activitytest.Org, first.Run)
	require.ErrorIs(t, err, ledger.ErrNotFound, "a look without anything to write leaves no run open")

	second := o.NewRun()
	verdict = o.Examine(second, first.Run, o.AccountID("carol"))
	require.Equal(t, 1, verdict.Open)
	require.Empty(t, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(o.Write(second)))
	require.NotContains(t, o.Members("builders"), "carol")
}

func TestExamineKeepsPeopleWhoReturnBetweenTheLooks(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol")
	first := o.NewRun()
	require.NotEmpty(t, o.Examine(first, "", o.AccountID("carol")).Settling)
	o.Join("eng", "carol")
	require.True(t, o.Examine(o.NewRun(), first.Run, o.AccountID("carol")).Quiet())
}

// A removal that only the second look saw has been seen once.
func TestExamineWaitsForWhatOnlyTheSecondLookSees(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Join("support", "carol")
	o.Write(func() session.RunInput { run := o.NewRun(); o.Examine(run, "", o.AccountID("carol")); return run }())
	o.Advance(time.Minute)
	o.Leave("eng", "carol")
	first := o.NewRun()
	require.Len(t, o.Examine(first, "", o.AccountID("carol")).Settling, 1)
	o.Leave("support", "carol")
	second := o.NewRun()
	verdict := o.Examine(second, first.Run, o.AccountID("carol"))
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, []string{o.AccountID("carol")}, verdict.Settling)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(o.Write(second)))
	require.Contains(t, o.Members("helpers"), "carol")
}

func TestExamineLeavesTooManyPeopleToAFullRun(t *testing.T) {
	t.Parallel()
	file := activitytest.PeopleInEng(60)
	o := activitytest.NewOf(t, file)
	o.Admit(activitytest.OpenGuard)
	o.VerifyEverybody()
	o.VerifyEverybody() // which counts what the first one wrote
	o.Leave("eng", file.People[:52]...)
	var ids []string
	for _, name := range file.People[:52] {
		ids = append(ids, o.AccountID(name))
	}
	first := o.NewRun()
	require.Len(t, o.Examine(first, "", ids...).Settling, 52)
	verdict := o.Examine(o.NewRun(), first.Run, ids...)
	require.True(t, verdict.TooMany)
	require.Zero(t, verdict.Open)
}

func TestExamineReportsUnknownNames(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	_, err := activitytest.Call[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: o.NewRun(), By: "bo", Scope: activitytest.Named("nobody@example.com")})
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrUnknown, app.Type())
	require.True(t, app.NonRetryable())
	require.Contains(t, app.Message(), "nobody@example.com")

	gone := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: o.NewRun(), Trigger: "events", Scope: activitytest.Named("712020:gone")})
	require.True(t, gone.Quiet(), "an event about somebody who is gone is no error")
}

func TestExamineLooksAtMembersAndHoldersOfATouchedGroup(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Join("support", "ivo")
	o.Leave("support", "lea")
	run := o.NewRun()
	verdict := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: run, Trigger: "events",
		Scope: messages.Scope{Kind: messages.ScopeGroups, Groups: []string{o.Group("support").ID}},
	})
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, []string{o.AccountID("lea")}, verdict.Settling, "who was taken out still holds the target")
	require.Equal(t, map[string]access.ChangeState{"add ivo@example.com to group:helpers": access.Done},
		activitytest.States(o.Write(run)))
}

func TestExamineSupersedesOlderPlans(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Join("eng", "jo")
	older, _ := o.SweepAndJudge()
	o.Leave("eng", "jo")
	o.Examine(o.NewRun(), "", o.AccountID("jo"))
	require.Equal(t, access.Superseded, o.Lines(older.Run)["add jo@example.com to group:builders"].State)
	require.Empty(t, o.Write(older))
}

func TestExamineInADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Join("eng", "jo")
	run := o.NewRun()
	run.Preview = true
	verdict := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: run, By: "bo", Scope: activitytest.Named("jo@example.com"), DryRun: true})
	require.Equal(t, 1, verdict.Counts.Adds)
	require.Zero(t, verdict.Open)
	require.Empty(t, o.Write(run))
}

func TestExamineReleasesAnApprovedPlan(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit("")
	run := o.NewRun()
	o.Sweep(run)
	hold := o.Judge(run).Hold
	in := reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
		DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol", Note: "CHG-12"}}
	decided := activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide, in)
	require.True(t, decided.Adoption)
	require.Equal(t, run.Run, decided.Hold.Run)
	require.Equal(t, decided, activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide, in),
		"a repeat comes to the same")
	require.Len(t, o.Write(run), 8)
	require.Equal(t, "ana bo carol dan eve kim", o.Members("builders"))
	known, err := o.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.False(t, known.AdoptedAt.IsZero())

	in.Plan = "sha256:another"
	_, err = activitytest.Call[reconcile.DecideResult](o, o.Acts.Reconcile.Decide, in)
	require.Equal(t, session.ErrNotOpen, activitytest.ApplicationError(t, err).Type())
}

// A hold may wait for days, while events come all the time.
func TestHoldCanBeApprovedAfterManyEvents(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	o.Leave("eng", "carol")
	run := o.NewRun()
	o.Sweep(run)
	hold := o.Judge(run).Hold
	o.Finish(run, messages.ScopeFull)
	for range 22 {
		o.Advance(48 * time.Hour) // more often, and it would be taken for two sides that fight
		o.Join("support", "ivo")
		look := o.NewRun()
		o.Examine(look, "", o.AccountID("ivo"))
		o.Write(look)
		o.Finish(look, messages.ScopePeople)
		o.ByHand(http.MethodDelete, "helpers", "ivo")
		o.Advance(time.Minute)
	}
	o.Restart()
	current, err := o.Ledger.CurrentHold(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, hold.Plan, current.Plan)
	decided := activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	approved := session.RunInput{Org: activitytest.Org, Run: decided.Hold.Run, Policy: o.Policy}
	activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: approved, Actions: []access.Action{access.Remove}})
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(o.Write(approved)))
}

func TestHoldThatWasRejectedIsNotOpenedAgain(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	o.Leave("eng", "carol")
	run := o.NewRun()
	o.Sweep(run)
	hold := o.Judge(run).Hold
	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "reject",
			DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	o.Finish(run, messages.ScopeFull)

	again, verdict := o.SweepAndJudge()
	require.Nil(t, verdict.Hold)
	require.Equal(t, 1, verdict.Counts.Suppressed)
	o.Finish(again, messages.ScopeFull)

	o.Join("eng", "carol") // what was asked for has gone
	o.VerifyEverybody()
	o.Leave("eng", "carol")
	third := o.NewRun()
	o.Sweep(third)
	require.NotNil(t, o.Judge(third).Hold, "it is asked anew")
}

func TestHoldSurvivesAPartialRun(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	o.Leave("eng", "carol")
	run := o.NewRun()
	o.Sweep(run)
	before := o.Judge(run).Hold
	o.Finish(run, messages.ScopeFull)
	o.Leave("support", "hana")
	look := o.NewRun()
	after := o.Examine(look, "", o.AccountID("hana")).Hold
	require.Equal(t, 2, after.Removals)
	require.NotEqual(t, before.Plan, after.Plan)
	require.Contains(t, after.Changed, "replaces "+before.Plan)

	o.Join("eng", "carol")
	last := o.Examine(o.NewRun(), "", o.AccountID("carol")).Hold
	require.Equal(t, 1, last.Removals, "who no longer needs it is taken out of the hold")
}

// A look at a few people may hold something while everybody is being read: the full run goes on, and takes it over.
func TestHoldOfALaterLookIsTakenOverByAFullRun(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}")
	o.Leave("eng", "carol", "dan")
	full := o.NewRun()
	o.Sweep(full)
	look := o.NewRun()
	held := o.Examine(look, "", o.AccountID("carol"), o.AccountID("dan")).Hold
	require.Equal(t, 2, held.Removals)
	hold := o.Judge(full).Hold
	require.NotNil(t, hold)
	require.Equal(t, held.Plan, hold.Plan)
	require.Equal(t, held.Rules, hold.Rules)
	o.Finish(full, messages.ScopeFull)

	o.Join("eng", "carol")
	_, verdict := o.SweepAndJudge()
	require.Equal(t, 1, verdict.Hold.Removals)
	o.Join("eng", "dan")
	_, verdict = o.SweepAndJudge()
	require.Nil(t, verdict.Hold)
}

// What the guard stopped together is not taken person by person, by events or by looks that somebody asks for.
func TestExamineLeavesHeldWhatIsHeld(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit("guard: {adopt: auto, run: {removals: 1}, source: {share: 100%}}")
	o.Leave("eng", "carol", "dan")
	run := o.NewRun()
	o.Sweep(run)
	hold := o.Judge(run).Hold
	require.Equal(t, 2, hold.Removals)
	o.Finish(run, messages.ScopeFull)
	for range 2 {
		look := o.NewRun()
		result := o.Examine(look, "", o.AccountID("carol"))
		require.Zero(t, result.Open)
		require.Equal(t, hold.Plan, result.Hold.Plan)
		line := o.Lines(look.Run)["remove carol@example.com from group:builders"]
		require.Equal(t, access.Held, line.State)
		require.Contains(t, line.HeldBy, "run-removals")
		o.Finish(look, messages.ScopePeople)
	}
}

func TestConfirmReadsAgainBeforeWriting(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol", "dan", "eve")
	run := o.NewRun()
	o.Sweep(run)
	require.Equal(t, 3, o.Judge(run).Open)
	o.Join("eng", "dan") // is back
	o.Send(http.MethodPost, "/_sim/people/eve@example.com", map[string]any{"remove": true})
	result := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Standing)
	require.Equal(t, 2, result.Superseded)
	lines := o.Lines(run.Run)
	require.Contains(t, lines["remove dan@example.com from group:builders"].Answer, "no longer asks for it")
	require.Contains(t, lines["remove eve@example.com from group:builders"].Answer, "could not be read")
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(o.Write(run)))

	again := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Zero(t, again.Superseded)
}

func TestConfirmAsksTheGroupSearchToo(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol")
	run := o.NewRun()
	o.Sweep(run)
	require.Equal(t, 1, o.Judge(run).Open)
	o.Join("eng", "carol")
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
		Params: cloud.FaultParams{Share: 1}})
	result := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
	require.Contains(t, o.Lines(run.Run)["remove carol@example.com from group:builders"].Answer,
		apply.Contradiction)
}

// Two lists lie; the group's own members do not.
func TestConfirmLooksAmongTheMembersToo(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol", "dan")
	run, verdict := o.SweepAndJudge()
	require.Equal(t, 2, verdict.Open)
	o.Join("eng", "carol")
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
		Params: cloud.FaultParams{Share: 1}})
	o.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage, Count: 1,
		Params: cloud.FaultParams{Next: "drop"}})
	result := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
	require.Contains(t, o.Lines(run.Run)["remove carol@example.com from group:builders"].Answer,
		apply.Contradiction)
	require.Equal(t, map[string]access.ChangeState{"remove dan@example.com from group:builders": access.Done},
		activitytest.States(o.Write(run)))
}

// A search that shows no group at all is broken; its silence about somebody is no word against their membership.
func TestConfirmWithAGroupSearchThatShowsNothing(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol")
	run, verdict := o.SweepAndJudge()
	require.Equal(t, 1, verdict.Open)
	o.Join("eng", "carol")
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
		Params: cloud.FaultParams{Share: 1}})
	o.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage,
		Params: cloud.FaultParams{Next: "drop"}})
	result := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, 1, result.Superseded)
}

// What was held for a bad read of the groups is not written on it, even when it is approved.
func TestConfirmComparesAnApprovedPlanWithTheCurrentGroups(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	run := o.NewRun()
	o.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultTruncatedPage, Seed: 1, Count: 1,
		Params: cloud.FaultParams{Share: 0.5}})
	o.Sweep(run)
	hold := o.Judge(run).Hold
	require.Positive(t, hold.Removals)
	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"}})
	own := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Zero(t, own.Standing+own.Superseded)
	require.Empty(t, o.WriteSome(run, false), "the run that held it, if it is still under way, does not write it")
	result := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}, Fresh: true})
	require.Equal(t, hold.Removals, result.Superseded)
	require.Zero(t, result.Standing)
}
