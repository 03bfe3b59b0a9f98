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
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// cutLists has searches for people show no group of anybody.
var cutLists = cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
	Params: cloud.FaultParams{Share: 1}}

// offboarded is the company in which everybody of some is also in the group offboarding.
func offboarded(t *testing.T, rules string, some ...string) *activitytest.SimulatedOrg {
	t.Helper()
	file := activitytest.People
	file.Groups = append(append([]cloud.OrgGroup{}, activitytest.People.Groups...),
		cloud.OrgGroup{Name: "offboarding", Members: some}, cloud.OrgGroup{Name: "vault-barred", Members: some})
	w := activitytest.NewOf(t, file)
	w.Admit(strings.Replace(outright, "source: {share: 100%}", "source: {share: 100%}, settle: 0s", 1) + "\n" + rules)
	return w
}

func TestSweepGivesNothingThatHangsOnAnAbsenceInAListCutShort(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]string{
		"a rule that excepts": `{name: vault, mode: enforce, when: 'email.startsWith("jo") && !in("offboarding")', give: ["group:other"]}`,
		"any of a list":       `{name: vault, mode: enforce, when: 'email.startsWith("jo") && !inAny(["vault-barred", "offboarding"])', give: ["group:other"]}`,
		"the whole list":      `{name: vault, mode: enforce, when: 'email.startsWith("jo") && !groups.exists(g, g.startsWith("off"))', give: ["group:other"]}`,
		"a rule that denies": `{name: vault, mode: enforce, when: 'email.startsWith("jo")', give: ["group:other"]}
  - {name: never, mode: enforce, owner: lea@example.com, when: in("offboarding"), deny: ["group:other"]}`,
		"a rule that suspends": `{name: vault, mode: enforce, when: 'email.startsWith("jo")', give: ["group:other"]}
  - {name: never, mode: enforce, owner: lea@example.com, when: in("offboarding"), suspend: true}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := offboarded(t, "rules:\n  - "+rule, "jo")
			w.ByHand("DELETE", "other", "jo")
			w.Inject(cutLists)
			run, verdict := w.Planned()
			for label := range w.Lines(run.Run) {
				require.NotContains(t, label, "group:other")
			}
			require.Contains(t, fmt.Sprint(verdict.Findings), "absence-doubted")
			look := w.NewRun()
			require.Equal(t, []string{w.Id("jo")}, w.Examine(look, "", "jo@example.com").Settling,
				"nor in a look at one person, who is looked at again")
			require.Empty(t, w.Lines(look.Run))
			require.Empty(t, w.Examine(w.NewRun(), look.Run, "jo@example.com").Settling, "once")
		})
	}
}

// The person's own list and the group search are cut short; the group's members are not. What the group search loses is
// chance.
func TestSweepLooksAmongTheMembersOfGroupsThatAreDecisive(t *testing.T) {
	t.Parallel()
	for name, condition := range map[string]string{"named": `!in("offboarding")`,
		"in the whole list": `!groups.exists(g, g.startsWith("off"))`} {
		for seed := range uint64(6) {
			w := offboarded(t, "rules:\n  - "+`{name: vault, mode: enforce, when: 'email.startsWith("jo") && `+
				condition+`', give: ["group:other"]}`+"\n", "jo")
			w.ByHand("DELETE", "other", "jo")
			run := w.NewRun()
			w.Outline(run)
			w.Inject(cutLists)
			w.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultTruncatedPage,
				Params: cloud.FaultParams{Share: 0.6}, Seed: seed})
			activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep,
				reconcile.SweepInput{RunInput: run, Pages: 20})
			for label := range w.Lines(run.Run) {
				require.NotContains(t, label, "group:other", name)
			}
		}
	}
}

func TestSweepRestoresNobodyOnAListCutShort(t *testing.T) {
	t.Parallel()
	w := offboarded(t, `rules:
  - {name: away, mode: enforce, owner: lea@example.com, when: in("offboarding"), suspend: true}
  - {name: back, mode: enforce, when: '!in("offboarding")', restore: true}
`, "jo", "lea")
	w.Full()
	require.Equal(t, "jo lea", w.Suspended())
	w.Inject(cutLists)
	w.Full()
	require.Equal(t, "jo lea", w.Suspended())
	w.Send("DELETE", "/_sim/faults", nil)
	w.Leave("offboarding", "jo")
	w.Full()
	require.Equal(t, "lea", w.Suspended(), "what all searches agree on is done")
}

func TestSweepTakesNoGroupSearchThatShowsNothingForAWitness(t *testing.T) {
	t.Parallel()
	w := offboarded(t, `rules:
  - {name: vault, mode: enforce, when: 'email.startsWith("jo") && !in("offboarding")', give: ["group:other"]}
`)
	w.ByHand("DELETE", "other", "jo")
	run := w.NewRun()
	w.Outline(run)
	w.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage,
		Params: cloud.FaultParams{Next: "drop"}})
	activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep, reconcile.SweepInput{RunInput: run, Pages: 20})
	for label := range w.Lines(run.Run) {
		require.NotContains(t, label, "group:other")
	}
}

func TestExplainSaysWhatHangsOnADoubtedAbsence(t *testing.T) {
	t.Parallel()
	w := offboarded(t, `rules:
  - {name: vault, mode: enforce, when: 'email.startsWith("jo") && !in("offboarding")', give: ["group:other"]}
`)
	w.ByHand("DELETE", "other", "jo")
	w.Full()
	w.ByHand("DELETE", "other", "jo")
	w.Pass(time.Hour)
	explain := func() messages.ReportAnswer {
		return activitytest.Must[messages.ReportAnswer](w, w.Acts.Reports.Explain,
			messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportExplain, Person: "jo@example.com"})
	}
	require.Equal(t, "jo@example.com: add jo@example.com to group:other", explain().Message)
	w.Join("offboarding", "jo")
	w.Inject(cutLists)
	require.Contains(t, explain().Message, "another search does not say the same")
}

func TestConfirmLeavesOutWhatHangsOnADoubtedAbsence(t *testing.T) {
	t.Parallel()
	w := offboarded(t, `rules:
  - {name: vault, mode: enforce, when: 'email.startsWith("jo") && !in("offboarding")', give: ["group:other"]}
`)
	w.ByHand("DELETE", "other", "jo")
	run, _ := w.Planned()
	require.Contains(t, fmt.Sprint(w.Lines(run.Run)), "group:other")
	w.Join("offboarding", "jo")
	w.Inject(cutLists)
	activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Add}})
	for label, line := range w.Lines(run.Run) {
		if strings.Contains(label, "group:other") {
			require.Equal(t, access.Superseded, line.State, line.Answer)
		}
	}
}

func TestSweepAsksOnlyAboutWhomAnAbsenceDecides(t *testing.T) {
	t.Parallel()
	calls := func(rules string) int {
		w := offboarded(t, "rules:\n"+rules)
		run := w.NewRun()
		w.Outline(run)
		return w.Calls(func() {
			activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep,
				reconcile.SweepInput{RunInput: run, Pages: 20})
		})["groups.search"]
	}
	require.Zero(t, calls(`  - {name: vault, mode: enforce, when: 'in("eng") && email != "x@y.z"', give: ["group:other"]}`), "what is there needs no witness")
	require.Equal(t, 1, calls(`  - {name: vault, mode: enforce, when: 'in("eng") && !in("offboarding")', give: ["group:other"]}`), "six people are one question")
}

func TestGrantsNeedAWitnessOfAbsence(t *testing.T) {
	t.Parallel()
	const excepted = `
grants:
  - {name: all, targets: ["group:builders"], eligible: '!in("unused")', duration: {max: 4h}, reason: false}
  - {name: rest, targets: ["group:other"], duration: {max: 4h}, reason: false}
rules:
  - {name: never, mode: enforce, owner: lea@example.com, when: in("support"), deny: ["group:other"]}
`
	w := activitytest.InStep(t)
	w.Admit(outright + excepted)
	w.Full() // the rule is enforced from here on
	w.Inject(cutLists)
	in := w.RequestOf("jo@example.com", activitytest.Builders, time.Hour)
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
		return err
	}, "another search does not say the same")
	g := w.Grant("ana", activitytest.Builders, time.Hour)
	require.NotEmpty(t, g.ID, "the others may have it, for all searches agree on them")
	w.Send("DELETE", "/_sim/faults", nil)

	g = w.Grant("kim", activitytest.Builders, time.Hour)
	w.ByHand("DELETE", "builders", "kim")
	w.Join("unused", "kim")
	w.Inject(cutLists)
	_, answers := w.Attend(g)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, "another search does not say the same")
	require.NotContains(t, w.Members("builders"), "kim")

	w.Send("DELETE", "/_sim/faults", nil)
	g = w.Grant("dan", activitytest.Other, time.Hour)
	w.Join("support", "dan")
	w.Inject(cutLists)
	_, answers = w.Attend(g)
	require.Contains(t, answers[0].Why, "another search does not say the same")
	require.NotContains(t, w.Members("other"), "dan", "a rule denies it, though his own list does not show why")
}
