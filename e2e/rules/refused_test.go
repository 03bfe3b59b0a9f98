package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
)

func TestRulesThatAreBadAreRefused(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, company)
	policy := o.settled(consenting +
		rulesOf(`{name: labs, mode: enforce, when: department == "IT", give: ["group:lab"]}`)).Policy
	require.NoError(t, o.Simulator.ResetStats(t.Context()))

	t.Log("what the file alone shows: where, and why")
	for _, wrong := range []struct{ rule, at, says string }{
		{`{name: typed, when: department > 3, give: ["group:lab"]}`, "> 3", "no matching overload"},
		{`{name: typed, when: departmnt == "IT", give: ["group:lab"]}`, "departmnt", "departmnt"},
		{`{name: typed, when: department, give: ["group:lab"]}`, "department,",
			"the condition is string; write one that is true or false"},
		{`{name: typed, when: inactive("soon"), give: ["group:lab"]}`, `"soon"`, "write a duration"},
		{`{name: typed, when: managed, give: ["lab"]}`, `"lab"`, "not an entitlement"},
		{`{name: typed, when: managed, suspend: true}`, "{name: typed", "owner is missing"},
		{`{name: typed, when: managed, give: ["group:lab"], during: {weekly: [Mon-Fri 8-18]}}`, "{weekly", "8-18"},
	} {
		text := o.policyText(consenting + rulesOf(wrong.rule))
		lines := strings.Split(text, "\n")
		last := len(lines) - 2
		file := o.file(text)
		out := o.fails("apply", file)
		require.Contains(t, out, fmt.Sprintf("%s:%d:%d: rules[0]", file, last+1,
			strings.Index(lines[last], wrong.at)+1), wrong.rule)
		require.Contains(t, out, wrong.says)
	}

	t.Log("what the organization shows")
	for _, wrong := range []struct{ more, says, why string }{
		{rulesOf(`{name: strangers, when: in("nowhere"), give: ["group:lab"]}`),
			"rule-group-unknown nowhere: rule strangers", "rule strangers asks about a group that does not exist"},
		{rulesOf(`{name: orphan, owner: nobody@example.com, when: external, suspend: true}`),
			"rule-owner-unknown orphan", "nobody@example.com is not an active person of the organization"},
		{rulesOf(`{name: backwards, when: managed, give: ["group:staff"]}`), "target-synced group:staff",
			"an identity provider owns the group"},
		{"protected:\n  - {target: \"group:builders\", always: [carol@example.com]}\n" +
			rulesOf(`{name: all out, owner: ana@example.com, when: in("staff"), suspend: true}`),
			"rule-against-floor all out", "from carol@example.com, who always stays in group:builders (protected[0].always)"},
	} {
		out := o.fails("apply", o.file(o.policyText(consenting+wrong.more)))
		require.Contains(t, out, wrong.says)
		require.Contains(t, out, wrong.why)
	}

	state, err := o.Status(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, policy, state.Policy)
	require.Nil(t, state.Problem)
	stats, err := o.Simulator.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Writes)
	require.Contains(t, o.apply(consenting+
		rulesOf(`{name: labs, mode: enforce, when: department == "IT", give: ["group:lab"]}`)), "nothing changes")
}
