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
	o := activitytest.NewOf(t, file)
	o.Admit(strings.Replace(outright, "source: {share: 100%}", "source: {share: 100%}, settle: 0s", 1) + "\n" + rules)
	return o
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
			o := offboarded(t, "rules:\n  - "+rule, "jo")
			o.ByHand("DELETE", "other", "jo")
			o.Inject(cutLists)
			run, verdict := o.SweepAndJudge()
			for label := range o.Lines(run.Run) {
				require.NotContains(t, label, "group:other")
			}
			require.Contains(t, fmt.Sprint(verdict.Findings), "absence-doubted")
			look := o.NewRun()
			require.Equal(t, []string{o.AccountID("jo")}, o.Examine(look, "", "jo@example.com").Settling,
				"nor in a look at one person, who is looked at again")
			require.Empty(t, o.Lines(look.Run))
			require.Empty(t, o.Examine(o.NewRun(), look.Run, "jo@example.com").Settling, "once")
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
			o := offboarded(t, "rules:\n  - "+`{name: vault, mode: enforce, when: 'email.startsWith("jo") && `+
				condition+`', give: ["group:other"]}`+"\n", "jo")
			o.ByHand("DELETE", "other", "jo")
			run := o.NewRun()
			o.Outline(run)
			o.Inject(cutLists)
			o.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultTruncatedPage,
				Params: cloud.FaultParams{Share: 0.6}, Seed: seed})
			activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep,
				reconcile.SweepInput{RunInput: run, Pages: 20})
			for label := range o.Lines(run.Run) {
				require.NotContains(t, label, "group:other", name)
			}
		}
	}
}

func TestSweepRestoresNobodyOnAListCutShort(t *testing.T) {
	t.Parallel()
	o := offboarded(t, `rules:
  - {name: away, mode: enforce, owner: lea@example.com, when: in("offboarding"), suspend: true}
  - {name: back, mode: enforce, when: '!in("offboarding")', restore: true}
`, "jo", "lea")
	o.VerifyEverybody()
	require.Equal(t, "jo lea", o.Suspended())
	o.Inject(cutLists)
	o.VerifyEverybody()
	require.Equal(t, "jo lea", o.Suspended())
	o.Send("DELETE", "/_sim/faults", nil)
	o.Leave("offboarding", "jo")
	o.VerifyEverybody()
	require.Equal(t, "lea", o.Suspended(), "what all searches agree on is done")
}

func TestSweepTakesNoGroupSearchThatShowsNothingForAWitness(t *testing.T) {
	t.Parallel()
	o := offboarded(t, `rules:
  - {name: vault, mode: enforce, when: 'email.startsWith("jo") && !in("offboarding")', give: ["group:other"]}
`)
	o.ByHand("DELETE", "other", "jo")
	run := o.NewRun()
	o.Outline(run)
	o.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage,
		Params: cloud.FaultParams{Next: "drop"}})
	activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep, reconcile.SweepInput{RunInput: run, Pages: 20})
	for label := range o.Lines(run.Run) {
		require.NotContains(t, label, "group:other")
	}
}

func TestExplainSaysWhatHangsOnADoubtedAbsence(t *testing.T) {
	t.Parallel()
	o := offboarded(t, `rules:
  - {name: vault, mode: enforce, when: 'email.startsWith("jo") && !in("offboarding")', give: ["group:other"]}
`)
	o.ByHand("DELETE", "other", "jo")
	o.VerifyEverybody()
	o.ByHand("DELETE", "other", "jo")
	o.Advance(time.Hour)
	explain := func() messages.ReportAnswer {
		return activitytest.Must[messages.ReportAnswer](o, o.Acts.Reports.Explain,
			messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportExplain, Person: "jo@example.com"})
	}
	require.Equal(t, "jo@example.com: add jo@example.com to group:other", explain().Message)
	o.Join("offboarding", "jo")
	o.Inject(cutLists)
	require.Contains(t, explain().Message, apply.DoubtfulAbsence)
}

func TestConfirmLeavesOutWhatHangsOnADoubtedAbsence(t *testing.T) {
	t.Parallel()
	o := offboarded(t, `rules:
  - {name: vault, mode: enforce, when: 'email.startsWith("jo") && !in("offboarding")', give: ["group:other"]}
`)
	o.ByHand("DELETE", "other", "jo")
	run, _ := o.SweepAndJudge()
	require.Contains(t, fmt.Sprint(o.Lines(run.Run)), "group:other")
	o.Join("offboarding", "jo")
	o.Inject(cutLists)
	activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Add}})
	for label, line := range o.Lines(run.Run) {
		if strings.Contains(label, "group:other") {
			require.Equal(t, access.Superseded, line.State, line.Answer)
		}
	}
}

func TestSweepAsksOnlyAboutWhomAnAbsenceDecides(t *testing.T) {
	t.Parallel()
	calls := func(rules string) int {
		o := offboarded(t, "rules:\n"+rules)
		run := o.NewRun()
		o.Outline(run)
		return o.Calls(func() {
			activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep,
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
	o := activitytest.NewInStep(t)
	o.Admit(outright + excepted)
	o.VerifyEverybody() // the rule is enforced from here on
	o.Inject(cutLists)
	in := o.RequestOf("jo@example.com", activitytest.Builders, time.Hour)
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
		return err
	}, apply.DoubtfulAbsence)
	g := o.Grant("ana", activitytest.Builders, time.Hour)
	require.NotEmpty(t, g.ID, "the others may have it, for all searches agree on them")
	o.Send("DELETE", "/_sim/faults", nil)

	g = o.Grant("kim", activitytest.Builders, time.Hour)
	o.ByHand("DELETE", "builders", "kim")
	o.Join("unused", "kim")
	o.Inject(cutLists)
	_, answers := o.Attend(g)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, apply.DoubtfulAbsence)
	require.NotContains(t, o.Members("builders"), "kim")

	o.Send("DELETE", "/_sim/faults", nil)
	g = o.Grant("dan", activitytest.Other, time.Hour)
	o.Join("support", "dan")
	o.Inject(cutLists)
	_, answers = o.Attend(g)
	require.Contains(t, answers[0].Why, apply.DoubtfulAbsence)
	require.NotContains(t, o.Members("other"), "dan", "a rule denies it, though his own list does not show why")
}
