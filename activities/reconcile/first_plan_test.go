package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const team = "mappings:\n  - {name: team, from: [support], to: [\"group:team-support\"], create: true}\n"

// unasked is a simulated organization whose first plan waits for consent, and which is to create a group.
func unasked(t *testing.T, more string) *activitytest.SimulatedOrg {
	t.Helper()
	o := activitytest.New(t)
	text := strings.Replace(o.PolicyText("guard: {adopt: ask, run: {removals: 1000, share: 100%}}\n"+more),
		"mappings:\n", team, 1)
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Policy
	return o
}

func TestStandingIsTheHoldAndTheAdoptionInTheLedger(t *testing.T) {
	t.Parallel()
	o := unasked(t, "")
	standing := func() reconcile.StandingResult {
		return activitytest.Must[reconcile.StandingResult](o, o.Acts.Reconcile.Standing,
			reconcile.StandingInput{Org: activitytest.Org})
	}
	require.Equal(t, reconcile.StandingResult{}, standing())
	_, verdict := o.SweepAndJudge()
	require.Equal(t, verdict.Hold.Plan, standing().Hold.Plan)
	require.Equal(t, verdict.Hold.Run, standing().Hold.Run)
	require.Equal(t, verdict.Hold.Rules, standing().Hold.Rules)
	require.False(t, standing().Adopted)
	o.DecideHold(ledger.Approve, verdict.Hold)
	require.Equal(t, reconcile.StandingResult{Adopted: true}, standing())
}

func TestStandingIsWhatARunNoticed(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol")
	o.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultCountsDisagree})
	run, _ := o.SweepAndJudge()
	found := activitytest.Must[reconcile.StandingResult](o, o.Acts.Reconcile.Standing,
		reconcile.StandingInput{Org: activitytest.Org, Run: run.Run})
	require.Contains(t, strings.Join(found.Findings, "\n"), "source-suspect")
	require.GreaterOrEqual(t, found.Reported, 1)
}

// A run that goes on after another policy came into force makes none of its changes.
func TestApplyMakesNoChangeOfAPolicyThatIsNotInForce(t *testing.T) {
	t.Parallel()
	o := unasked(t, "")
	run, verdict := o.SweepAndJudge()
	o.DecideHold(ledger.Approve, verdict.Hold)
	text := strings.Replace(o.PolicyText("guard: {adopt: ask}\n"), "mappings:\n", team, 1)
	require.NotEqual(t, run.Policy,
		activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Policy)
	results := o.Write(run)
	require.NotEmpty(t, results)
	for label, result := range results {
		require.Equal(t, access.Superseded, result.State, label)
		require.Contains(t, result.Answer, "another policy")
	}
}

func TestJudgeShowsWhoWillBeInGroupsToBeCreated(t *testing.T) {
	t.Parallel()
	o := unasked(t, "")
	run, verdict := o.SweepAndJudge()
	coming := 0
	for _, line := range o.Lines(run.Run) {
		if line.Target == "group:team-support" {
			require.Equal(t, access.Add, line.Action)
			require.Empty(t, line.GroupID)
			coming++
		}
	}
	require.Equal(t, 3, coming, "finn, hana and lea")
	o.Join("support", "jo")
	_, another := o.SweepAndJudge()
	require.NotEqual(t, verdict.Hold.Plan, another.Hold.Plan, "they are part of what is consented to")
	require.Equal(t, verdict.Hold.Adds+2, another.Hold.Adds, "jo is to be a helper, and in the new group")

	held := another.Hold
	o.DecideHold(ledger.Approve, held)
	approved := session.RunInput{Org: activitytest.Org, Run: held.Run, Policy: o.Policy}
	activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: approved, Actions: []access.Action{access.Add, access.Adopt}, Fresh: true})
	for label, result := range o.Write(approved) {
		require.NotEqual(t, access.Refused, result.State, "%s: %s", label, result.Answer)
	}
	o.VerifyEverybody()
	require.Equal(t, "finn hana jo lea", o.Members("team-support"),
		"the verification that follows makes the group and fills it")
}

func TestJudgeShowsGroupsToBeCreatedInPreviews(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	text := strings.Replace(o.PolicyText(activitytest.OpenGuard), "mappings:\n", team, 1)
	shown := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
		reconcile.AdmitInput{Org: activitytest.Org, Policy: o.AdmitIn(text).Policy, Preview: true})
	run := o.NewRun()
	run.Policy, run.Preview = shown.Policy, true
	o.Sweep(run)
	require.Equal(t, 3, o.Judge(run).Counts.Adds)
	require.Contains(t, fmt.Sprint(o.Lines(run.Run)), "group:team-support")
	require.NotContains(t, fmt.Sprint(o.Sim.State().Groups), "team-support", "a preview makes no group")
}

func TestJudgeDoesNotProposeARejectedFirstPlanAgain(t *testing.T) {
	t.Parallel()
	o := unasked(t, "")
	_, first := o.SweepAndJudge()
	o.DecideHold(ledger.Reject, first.Hold)
	o.Advance(time.Minute)
	_, again := o.SweepAndJudge()
	require.Nil(t, again.Hold)
	require.Zero(t, again.Open)
	require.False(t, again.Adopted, "that nothing is held is no consent")
	require.Contains(t, fmt.Sprint(again.Findings), "first-plan-rejected "+first.Hold.Plan)
	require.Contains(t, fmt.Sprint(again.Findings), "carol@example.com rejected")
	known, err := o.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Zero(t, known.AdoptedAt)

	o.Join("support", "jo")
	_, changed := o.SweepAndJudge()
	require.NotNil(t, changed.Hold, "other facts are another plan")
	o.Leave("support", "jo")
	_, back := o.SweepAndJudge()
	require.Nil(t, back.Hold, "and the first is rejected still")
	text := strings.Replace(o.PolicyText("guard: {adopt: ask}\n"), "mappings:\n", team, 1)
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Policy
	_, other := o.SweepAndJudge()
	require.NotNil(t, other.Hold, "another policy is another question")
	require.Equal(t, first.Hold.Plan, other.Hold.Plan)
}

func TestJudgeDoesNotProposeRejectedGroupsAgain(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(fmt.Sprintf(
		"version: 1\norganization: {name: acme, id: %s, key: \"env:KEY\"}\nmappings: [{name: m, from: [nobody-yet], to: [\"group:new\"], create: true}]\nignore: ['*']\n", o.Sim.Info().OrgID))).Policy
	_, first := o.SweepAndJudge()
	o.DecideHold(ledger.Reject, first.Hold)
	_, again := o.SweepAndJudge()
	require.Nil(t, again.Hold)
	require.False(t, again.Adopted)
}

// TestAFirstPlanWaitsForItsSources: before its sources have been read, an organization's plan is empty, and nobody has
// consented to what they will give.
func TestAFirstPlanWaitsForItsSources(t *testing.T) {
	t.Parallel()
	o := &followed{activitytest.NewOf(t, cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss", "ana"},
		Admins: []string{"boss"}}), map[string]sourceGroup{}}
	o.admitWith("ask", `- {name: teams, from: ["hr:team-*"], create: true}`)
	_, verdict := o.SweepAndJudge()
	require.False(t, verdict.Adopted)
	require.Nil(t, verdict.Hold)
	require.Contains(t, fmt.Sprint(verdict.Findings), "first-plan-waits source hr: it has never been read completely")
	o.Advance(time.Minute)
	o.groups["g1"] = sourceGroup{"team-web", []string{"ana"}}
	o.read()
	_, verdict = o.SweepAndJudge()
	require.False(t, verdict.Adopted)
	require.NotNil(t, verdict.Hold)
	require.Contains(t, fmt.Sprint(verdict.Hold.Rules), "the first run needs consent")
	require.NotContains(t, fmt.Sprint(verdict.Findings), "first-plan-waits")
}
