package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

func TestRulesLeaveTheLastAdmin(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, company)
	state := o.settled(consenting +
		rulesOf(`{name: no admins, owner: carol@example.com, mode: enforce, when: '"atlassian/org-admin" in roles', suspend: true}`))
	require.NotEqual(t, o.person("ana").Suspended, o.person("bo").Suspended, "one is suspended, the other stays")
	stays := "ana"
	if o.person("ana").Suspended {
		stays = "bo"
	}
	require.True(t, o.person(stays).OrgAdmin)
	require.Equal(t, 1, state.LastFull.Counts.Refused)
	lines := o.starter("plan", "--run", state.LastFull.Run, "--state", "refused", org)
	require.Regexp(t, `(remove|suspend) +`+stays+`@example\.com +directory +refused +.*rule no admins`, lines)
	require.Contains(t, lines, "0 active holders would remain and the policy requires at least 1")
	require.NotEmpty(t, finding(state, "refused", ""), "%v", state.Findings)

	t.Log("again and again")
	before := o.last()
	o.cli("workflow", "signal", "--workflow-id", loop, "--name", "sync-now", "--input", `{"by":"carol@example.com"}`)
	o.until(func(s messages.OrgSyncState) bool { return stack.Idle(s) && s.LastFull.Run > before })
	require.False(t, o.person(stays).Suspended)
	out := o.starter("explain", org, stays+"@example.com")
	require.Contains(t, out, "a floor would refuse it: ")
	require.Contains(t, strings.ToLower(out), "suspend "+stays+"@example.com")
}
