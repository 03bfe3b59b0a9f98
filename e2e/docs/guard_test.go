package docs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// TestGuardsWorkedExample: what docs/policy.md computes by hand is what the guard says.
func TestGuardsWorkedExample(t *testing.T) {
	example := chapter(t, string(read(t, "docs/policy.md")), "guard")
	stats := plan.Stats{Adopted: true, Window: 150, LastAccess: map[string]int{"jira-software/acme": 30},
		Targets: map[access.Entitlement]plan.Tally{
			"group:jira":        {Members: 400, Window: 60, Removals: 50},
			"group:confluence":  {Members: 900, Window: 90, Removals: 4},
			"group:jira-admins": {Members: 8, Removals: 1},
		}}
	judged := func() (rules []string) {
		for _, v := range plan.Judge(&policy.Policy{Guard: policy.DefaultGuard()}, &policy.Bound{}, stats) {
			rules = append(rules, v.Rule)
		}
		return rules
	}
	require.Equal(t, []string{plan.RuleLastAccess, plan.RuleWindow, plan.RuleWindow}, judged())
	for _, sum := range []string{"*W* = 150", "*R* = 55", "*M* = 1,308", "55 / 1,308 = 4.2%", "50 / 400 = 12.5%",
		"150 + 55 = 205", "(60 + 50) / (400 + 60) = 23.9%"} {
		require.Contains(t, example, sum)
	}
	stats.LastAccess = nil
	stats.Targets["group:confluence"] = plan.Tally{Members: 900, Window: 90}
	stats.Targets["group:jira-admins"] = plan.Tally{Members: 8}
	require.Equal(t, []string{plan.RuleWindow}, judged(), "200 is on the limit")

	source := policy.DefaultGuard().Source.Share
	require.False(t, source.Exceeded(40-28, 40))
	require.True(t, source.Exceeded(40-27, 40))
}
