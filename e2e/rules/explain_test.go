package rules_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

func TestExplainShowsTheWholeDecisionAndWritesNothing(t *testing.T) {
	t.Parallel()
	o := start(t, company)
	o.settled(consenting + rulesOf(
		`{name: labs, mode: enforce, when: department == "IT", give: ["group:lab"]}`,
		`{name: no contractors, owner: ana@example.com, mode: enforce, when: in("contractors"), deny: ["group:builders"], suspend: true}`,
		`{name: controllers, when: title == "Controller", give: ["group:vault"]}`,
	))
	require.NoError(t, o.Simulator.ResetStats(t.Context()))

	out := o.starter("explain", org, "dan@example.com")
	for _, says := range []string{
		`dan@example\.com \(\S+\), as decided for `, `(?m)^facts$`, `department +IT`, `sources +.*staff`,
		`(?m)^mappings$`,
		`builders +gives +synced group staff → builders → group:builders`, `(?m)^rules$`, `labs +holds`,
		`no contractors +no`, `controllers +no \(observes\)`,
		`group:lab +held since .*, made or adopted by Castellan +given by rule labs`, `(?m)^what would be done\n +nothing$`,
	} {
		require.Regexp(t, says, out)
	}

	t.Log("what if")
	out = o.starter("explain", org, "dan@example.com", "--if", "groups+=contractors", "--if", "department=Sales")
	for _, says := range []string{
		`assumed: groups\+=contractors`, `assumed: department=Sales`, `department +Sales`, `no contractors +holds`,
		`labs +no`,
		`denied by rule no contractors`, `remove dan@example\.com from group:builders: rule no contractors`,
		`suspend dan@example\.com: rule no contractors`,
	} {
		require.Regexp(t, says, out)
	}
	x := answered[messages.ReportAnswer](o, "explain", org, "dan@example.com", "--if", "groups+=contractors").Explain
	require.Equal(t, []string{"groups+=contractors"}, x.Supposed)
	i := slices.IndexFunc(x.Changes, func(c access.Change) bool { return c.Target == access.Directory })
	require.GreaterOrEqual(t, i, 0, "%+v", x.Changes)
	require.Equal(t, "no contractors", x.Changes[i].Reasons[0].Name)

	t.Log("what cannot be told")
	require.Contains(t, o.fails("explain", org, "nobody@example.com"),
		"the directory shows nobody named nobody@example.com: check the address, or give the account id")
	require.Contains(t, o.fails("explain", org, "dan@example.com", "--if", "groups+=nowhere"), "nowhere")
	require.Contains(t, o.fails("explain", org, "dan@example.com", "--if", "shoe=42"), "shoe")
	require.Contains(t, o.fails("explain", "other", "dan@example.com"), `organization other has no policy in force`)

	stats, err := o.Simulator.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Writes)
	require.False(t, o.person("dan").Suspended)
}
