package sync_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// finding returns the first finding of a rule in the status, or "".
func finding(s messages.OrgSyncState, rule string) string {
	for _, f := range s.Findings {
		if strings.HasPrefix(f, rule+" ") {
			return f
		}
	}
	return ""
}

func TestDefaultGroupMoves(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	o.requireInStep(shop, nil)
	o.invite(jira, "p060")

	t.Log("another group becomes the default one: noticed without being asked, and nothing is changed")
	o.resetStats()
	require.NoError(t, o.Simulator.LocalGroup(t.Context(), "jira-newcomers"))
	require.NoError(t, o.Simulator.MoveDefault(t.Context(), "jira", "acme", "user", "jira-newcomers"))
	state := o.until(func(s messages.OrgSyncState) bool {
		return s.Hold != nil && finding(s, "default-moved") != "" && over(s)
	})
	moved := finding(state, "default-moved")
	require.Contains(t, moved, jira)
	require.Contains(t, moved, "jira-newcomers")
	require.Contains(t, strings.Join(state.Hold.Rules, "\n"), "default-moved")
	require.Equal(t, 40, state.Hold.Adds)
	require.Equal(t, 40, state.Hold.Removals)
	require.Zero(t, o.stats().Writes)

	t.Log("changes to other targets go on meanwhile")
	o.join("sales", "p051")
	o.eventually(func() error {
		return inStep(t, o.state(), shop[2:], foreignMembers{confluence: shopFile().Groups[3].Members})
	})
	require.False(t, o.in("jira-newcomers", "p001"))

	t.Log("approved, the people are moved; who was invited stays")
	state = o.until(func(s messages.OrgSyncState) bool { return s.Hold != nil && over(s) })
	require.NoError(t, o.Decide(t.Context(), org, messages.ApprovePlan, state.Hold.Plan))
	o.until(notHeld)
	o.eventually(func() error { return inStep(t, o.state(), shop, nil) })
	require.Len(t, group(t, o.state(), jira).Members, 1)
	require.True(t, o.in(jira, "p060"))
	state = o.syncNow()
	require.Empty(t, finding(state, "default-moved"))
	require.Nil(t, state.Hold)
	o.requireClean(shop)
}

func TestSyncedTargetIsRefused(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	_, err := o.Apply(t.Context(), org,
		policyFile{mappings: []mapping{{Name: "wrong way round", From: []string{"eng-*"},
			To: []string{"group:sales"}}}}.text(o))
	require.ErrorContains(t, err, "target-synced group:sales")
	require.Zero(t, o.stats().Writes)
	require.Empty(t, o.status().Policy, "no policy is in force")

	t.Log("a good policy is taken by the same workflow, and another bad one does not displace it")
	policy := o.apply(shopPolicy()).Policy
	_, err = o.Apply(t.Context(), org,
		policyFile{mappings: append([]mapping{{Name: "wrong way round", From: []string{"eng-*"},
			To: []string{"group:sales"}}}, shop...)}.text(o))
	require.ErrorContains(t, err, "target-synced group:sales")
	require.Equal(t, policy, o.status().Policy)
	_, err = o.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	o.requireInStep(shop, nil)
}

func TestWhatIsNotMappedIsReported(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	p := shopPolicy()
	p.mappings = append([]mapping{{Name: "typing error", From: []string{"engineers", "opps*"},
		To: []string{"default:jira/acme/user"}}}, shop...)
	answer := o.apply(p)
	require.Contains(t, strings.Join(answer.Findings, "\n"), "engineers")
	state, err := o.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	unmatched := finding(state, "source-unmatched")
	require.Contains(t, strings.Join(state.Findings, "\n"), "opps*")
	require.Contains(t, unmatched, "typing error")
	require.Empty(t, finding(state, "uncovered-group"))
	o.requireInStep(p.mappings, nil)

	t.Log("a new synced group that no mapping takes is reported without being asked")
	o.newSource("marketing", "p055")
	state = o.until(func(s messages.OrgSyncState) bool { return finding(s, "uncovered-group") != "" })
	require.Contains(t, finding(state, "uncovered-group"), "marketing")

	t.Log("a new synced group that a mapping takes gives its targets")
	o.newSource("eng-data", "p053", "p054")
	o.eventually(func() error { return inStep(t, o.state(), p.mappings, nil) })
	require.True(t, o.in(jira, "p054"))
}
