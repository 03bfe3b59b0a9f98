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

// unasked is a world whose first plan waits for consent, and which is to create a group.
func unasked(t *testing.T, more string) *activitytest.SimulatedOrg {
	t.Helper()
	w := activitytest.New(t)
	text := strings.Replace(w.Text("guard: {adopt: ask, run: {removals: 1000, share: 100%}}\n"+more),
		"mappings:\n", team, 1)
	w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(text)).Policy
	return w
}

func TestStandingIsTheHoldAndTheAdoptionInTheLedger(t *testing.T) {
	t.Parallel()
	w := unasked(t, "")
	standing := func() reconcile.StandingResult {
		return activitytest.Must[reconcile.StandingResult](w, w.Acts.Reconcile.Standing,
			reconcile.StandingInput{Org: activitytest.Org})
	}
	require.Equal(t, reconcile.StandingResult{}, standing())
	_, verdict := w.Planned()
	require.Equal(t, verdict.Hold.Plan, standing().Hold.Plan)
	require.Equal(t, verdict.Hold.Run, standing().Hold.Run)
	require.Equal(t, verdict.Hold.Rules, standing().Hold.Rules)
	require.False(t, standing().Adopted)
	w.Decided(ledger.Approve, verdict.Hold)
	require.Equal(t, reconcile.StandingResult{Adopted: true}, standing())
}

func TestStandingIsWhatARunNoticed(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol")
	w.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultCountsDisagree})
	run, _ := w.Planned()
	found := activitytest.Must[reconcile.StandingResult](w, w.Acts.Reconcile.Standing,
		reconcile.StandingInput{Org: activitytest.Org, Run: run.Run})
	require.Contains(t, strings.Join(found.Findings, "\n"), "source-suspect")
	require.GreaterOrEqual(t, found.Reported, 1)
}

// A run that goes on after another policy came into force makes none of its changes.
func TestApplyMakesNoChangeOfAPolicyThatIsNotInForce(t *testing.T) {
	t.Parallel()
	w := unasked(t, "")
	run, verdict := w.Planned()
	w.Decided(ledger.Approve, verdict.Hold)
	text := strings.Replace(w.Text("guard: {adopt: ask}\n"), "mappings:\n", team, 1)
	require.NotEqual(t, run.Policy,
		activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(text)).Policy)
	results := w.Write(run)
	require.NotEmpty(t, results)
	for label, result := range results {
		require.Equal(t, access.Superseded, result.State, label)
		require.Contains(t, result.Answer, "another policy")
	}
}

func TestJudgeShowsWhoWillBeInGroupsToBeCreated(t *testing.T) {
	t.Parallel()
	w := unasked(t, "")
	run, verdict := w.Planned()
	coming := 0
	for _, line := range w.Lines(run.Run) {
		if line.Target == "group:team-support" {
			require.Equal(t, access.Add, line.Action)
			require.Empty(t, line.GroupID)
			coming++
		}
	}
	require.Equal(t, 3, coming, "finn, hana and lea")
	w.Join("support", "jo")
	_, another := w.Planned()
	require.NotEqual(t, verdict.Hold.Plan, another.Hold.Plan, "they are part of what is consented to")
	require.Equal(t, verdict.Hold.Adds+2, another.Hold.Adds, "jo is to be a helper, and in the new group")

	held := another.Hold
	w.Decided(ledger.Approve, held)
	approved := session.RunInput{Org: activitytest.Org, Run: held.Run, Policy: w.Policy}
	activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: approved, Actions: []access.Action{access.Add, access.Adopt}, Fresh: true})
	for label, result := range w.Write(approved) {
		require.NotEqual(t, access.Refused, result.State, "%s: %s", label, result.Answer)
	}
	w.Full()
	require.Equal(t, "finn hana jo lea", w.Members("team-support"),
		"the verification that follows makes the group and fills it")
}

func TestJudgeShowsGroupsToBeCreatedInPreviews(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	text := strings.Replace(w.Text(activitytest.OpenGuard), "mappings:\n", team, 1)
	shown := activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit,
		reconcile.AdmitInput{Org: activitytest.Org, Policy: w.AdmitIn(text).Policy, Preview: true})
	run := w.NewRun()
	run.Policy, run.Preview = shown.Policy, true
	w.Sweep(run)
	require.Equal(t, 3, w.Judge(run).Counts.Adds)
	require.Contains(t, fmt.Sprint(w.Lines(run.Run)), "group:team-support")
	require.NotContains(t, fmt.Sprint(w.Sim.State().Groups), "team-support", "a preview makes no group")
}

func TestJudgeDoesNotProposeARejectedFirstPlanAgain(t *testing.T) {
	t.Parallel()
	w := unasked(t, "")
	_, first := w.Planned()
	w.Decided(ledger.Reject, first.Hold)
	w.Pass(time.Minute)
	_, again := w.Planned()
	require.Nil(t, again.Hold)
	require.Zero(t, again.Open)
	require.False(t, again.Adopted, "that nothing is held is no consent")
	require.Contains(t, fmt.Sprint(again.Findings), "first-plan-rejected "+first.Hold.Plan)
	require.Contains(t, fmt.Sprint(again.Findings), "carol@example.com rejected")
	known, err := w.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Zero(t, known.AdoptedAt)

	w.Join("support", "jo")
	_, changed := w.Planned()
	require.NotNil(t, changed.Hold, "other facts are another plan")
	w.Leave("support", "jo")
	_, back := w.Planned()
	require.Nil(t, back.Hold, "and the first is rejected still")
	text := strings.Replace(w.Text("guard: {adopt: ask}\n"), "mappings:\n", team, 1)
	w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(text)).Policy
	_, other := w.Planned()
	require.NotNil(t, other.Hold, "another policy is another question")
	require.Equal(t, first.Hold.Plan, other.Hold.Plan)
}

func TestJudgeDoesNotProposeRejectedGroupsAgain(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(fmt.Sprintf(
		"version: 1\norganization: {name: acme, id: %s, key: \"env:KEY\"}\nmappings: [{name: m, from: [nobody-yet], to: [\"group:new\"], create: true}]\nignore: ['*']\n", w.Sim.Info().OrgID))).Policy
	_, first := w.Planned()
	w.Decided(ledger.Reject, first.Hold)
	_, again := w.Planned()
	require.Nil(t, again.Hold)
	require.False(t, again.Adopted)
}
