package rules_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

// asking lets the first plan through and asks for each rule.
const asking = "guard: {adopt: auto, settle: 0s}\n"

var (
	hashForm = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	runForm  = regexp.MustCompile("--run ([^\\s`]+)")
)

// outside returns a rule that takes two memberships, in the mode given.
func outside(mode string) string {
	return `{name: outside, owner: ana@example.com, when: external, deny: ["group:internal-wiki", "group:partner-wiki"], ` + mode + `}`
}

func TestRuleIsShownThenEnforced(t *testing.T) {
	t.Parallel()
	o := start(t, company)

	t.Log("observed: nothing changes, and it is reported with its hash")
	out := o.apply(asking + rulesOf(outside("mode: observe")))
	require.Contains(t, out, "is in force for acme")
	o.until(stack.Idle)
	require.Equal(t, "pia@partner.example", o.members("internal-wiki"))
	require.Equal(t, "ana bo carol dan eve finn gil", o.members("builders"), "the mapping is not kept waiting")
	status := o.starter("status", org)
	require.Contains(t, status, "rule-observed outside: it holds for 2 people")
	require.Contains(t, status, "Enforced, it would make 2 changes: `starter plan --state observed --run ")
	observed := status[strings.Index(status, "rule-observed outside"):]
	shown, run := hashForm.FindString(observed), runForm.FindStringSubmatch(observed)[1]
	lines := o.starter("plan", "--state", "observed", "--run", run, org)
	require.Regexp(t, `remove +pia@partner\.example +group:internal-wiki +observed +\S* *rule outside`, lines)
	require.Regexp(t, `remove +paul@partner\.example +group:partner-wiki +observed +\S* *rule outside`, lines)
	require.NotContains(t, lines, "builders")
	require.Contains(t, o.starter("explain", org, "pia@partner.example"), "outside  holds (observes)")

	t.Log("enforced as it was shown: just that is done, without asking")
	before := len(o.history())
	state := o.settled(asking + rulesOf(outside("mode: enforce, shown: '"+shown+"'")))
	require.Nil(t, state.Hold)
	require.Equal(t, []string{"paul@partner.example group:partner-wiki false",
		"pia@partner.example group:internal-wiki false"}, o.changed(before))
	for _, r := range answered[messages.ReportAnswer](o, "runs", org).Runs {
		require.Zero(t, r.Counts.Held, "%+v", r)
	}

	t.Log("another, enforced without having been shown: held until somebody consents")
	o.apply(asking + rulesOf(outside("mode: enforce"),
		`{name: labs, mode: enforce, when: department == "IT", give: ["group:lab"]}`))
	hold := o.until(func(s messages.OrgSyncState) bool {
		return s.Hold != nil && s.Running == nil &&
			s.Pending.Full == ""
	}).Hold
	require.Equal(t, 1, hold.Adds)
	require.Zero(t, hold.Removals)
	require.Len(t, hold.Rules, 1)
	require.Contains(t, hold.Rules[0], "rule-new: rule labs is enforced for the first time; its changes: 1")
	require.Empty(t, o.members("lab"))
	require.Regexp(t, `add +dan@example\.com +group:lab +held +rule-new`, o.starter("plan", "--held", org))
	require.Contains(t, o.starter("status", org), `--name approve-plan --input '{"plan":"`+hold.Plan)
	out = o.cli("workflow", "update", "execute", "--workflow-id", loop, "--name", "approve-plan", "--input",
		fmt.Sprintf(`{"plan":"%s","by":"bo@example.com","note":"CHG-7"}`, hold.Plan))
	require.Contains(t, out, "released: 1 adds")
	o.until(stack.Idle)
	require.Equal(t, "dan", o.members("lab"))
	require.Contains(t, o.starter("why", org, "dan@example.com"), "rule labs")

	t.Log("once consented to, it acts without asking; words for people make it no other rule")
	require.NoError(t, o.Simulator.Person(t.Context(), "finn", map[string]any{"department": "IT"}))
	o.apply(asking + rulesOf(outside("mode: enforce"),
		`{name: labs, mode: enforce, description: the same, when: department == "IT", give: ["group:lab"]}`))
	o.until(stack.Idle)
	require.Equal(t, "dan finn", o.members("lab"))
}
