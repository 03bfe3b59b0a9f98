package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// outright lets everything through, rules that are new too.
var outright = strings.Replace(activitytest.OpenGuard, "{adopt: auto", "{adopt: auto, rules: auto", 1)

func TestFinishCountsWhatThePolicyLooksAt(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(outright + `
rules:
  - {name: apart, mode: enforce, owner: lea@example.com, when: in("builders"), deny: ["group:other"]}
`)
	o.VerifyEverybody()
	o.Join("eng", "jo") // who holds other, by hand
	began := o.Clock()
	run, sum := o.VerifyEverybody()
	require.Equal(t, 1, sum.Due, "jo is in a group now that a rule asks for")
	require.Contains(t, o.Members("other"), "jo")
	next, verdict, sum := o.FollowUp(run, began)
	require.Empty(t, verdict.Circles)
	require.NotContains(t, o.Members("other"), "jo")
	require.Zero(t, sum.Due, "no rule asks for what was taken")
	require.NotEqual(t, run.Run, next.Run)
}

func TestFinishFollowsWhoIsRestored(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(outright + `
rules:
  - {name: away, mode: enforce, owner: lea@example.com, when: in("unused"), suspend: true}
  - {name: back, mode: enforce, when: '!in("unused")', restore: true}
`)
	_, sum := o.VerifyEverybody()
	require.Contains(t, o.Suspended(), "jo")
	require.Equal(t, 1, sum.Due, "rules may ask who is suspended; of what mappings gave the other nine nothing asks")
	o.Join("eng", "jo")
	o.Leave("unused", "jo")
	began := o.Clock()
	run, sum := o.VerifyEverybody()
	require.NotContains(t, o.Suspended(), "jo")
	require.NotContains(t, o.Members("builders"), "jo", "who is suspended is given nothing")
	require.Equal(t, 1, sum.Due)
	o.FollowUp(run, began)
	require.Contains(t, o.Members("builders"), "jo")
}

func TestExamineEndsACircleOfRules(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, cloud.OrgFile{
		People: activitytest.People.People, Admins: activitytest.People.Admins,
		Groups: []cloud.OrgGroup{{Name: "eng", Members: []string{"kim"}}, {Name: "support"}, {Name: "unused"}},
		Local:  activitytest.People.Local,
	})
	o.Admit(outright + `
rules:
  - {name: one, mode: enforce, when: in("eng") && !in("helpers"), give: ["group:other"]}
  - {name: two, mode: enforce, when: in("other"), give: ["group:helpers"]}
`)
	began := o.Clock()
	run, sum := o.VerifyEverybody()
	require.Equal(t, 2, sum.Counts.Done, "builders and other")
	rounds := 0
	var verdict reconcile.JudgeResult
	for ; sum.Due > 0; rounds++ {
		require.Less(t, rounds, 5)
		run, verdict, sum = o.FollowUp(run, began)
	}
	require.Equal(t, 4, rounds)
	require.Len(t, verdict.Circles, 1)
	require.Contains(t, verdict.Circles[0], "rules-circle group:other")
	require.Contains(t, verdict.Circles[0], "rule one, rule two")
	known, err := o.Ledger.Run(t.Context(), activitytest.Org, run.Run)
	require.NoError(t, err)
	require.Equal(t, messages.RunDone, known.State)
	require.Equal(t, "rules-circle", known.Findings[0].Rule, "the run that found it says so")
}

func TestAttendAsksForALookWhereRulesAskForGrants(t *testing.T) {
	t.Parallel()
	for rule, look := range map[string]bool{`'!granted("group:other")'`: true, `'sponsor == "bo@example.com"'`: true,
		`'in("eng")'`: false} {
		o := activitytest.WithGrants(t,
			activitytest.Lendable+"rules: [{name: r, mode: enforce, owner: lea@example.com, when: "+rule+
				", deny: ['group:helpers']}]\n")
		g := o.Grant("kim", activitytest.Other, time.Hour)
		result := activitytest.Must[reconcile.AttendResult](o, o.Acts.Reconcile.Attend,
			reconcile.AttendInput{RunInput: o.NewRun(), Asks: []messages.ReconcileGrantSignal{o.SignalOf(g)}})
		require.Equal(t, look, result.Look, rule)
		require.Equal(t, 1, result.Open)
	}
}
