package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

func TestNoRuleTakesTheLastAdmin(t *testing.T) {
	t.Parallel()
	w := start(t, company)
	state := w.settled(consenting +
		rulesOf(`{name: no admins, owner: carol@example.com, mode: enforce, when: '"atlassian/org-admin" in roles', suspend: true}`))
	require.NotEqual(t, w.person("ana").Suspended, w.person("bo").Suspended, "one is suspended, the other stays")
	stays := "ana"
	if w.person("ana").Suspended {
		stays = "bo"
	}
	require.True(t, w.person(stays).OrgAdmin)
	require.Equal(t, 1, state.LastFull.Counts.Refused)
	lines := w.starter("plan", "--run", state.LastFull.Run, "--state", "refused", org)
	require.Regexp(t, `(remove|suspend) +`+stays+`@example\.com +directory +refused +.*rule no admins`, lines)
	require.Contains(t, lines, "0 active holders would remain and the policy wants at least 1")
	require.NotEmpty(t, finding(state, "refused", ""), "%v", state.Findings)

	t.Log("again and again")
	before := w.last()
	w.cli("workflow", "signal", "--workflow-id", loop, "--name", "sync-now", "--input", `{"by":"carol@example.com"}`)
	w.until(func(s messages.OrgSyncState) bool { return stack.Idle(s) && s.LastFull.Run > before })
	require.False(t, w.person(stays).Suspended)
	out := w.starter("explain", org, stays+"@example.com")
	require.Contains(t, out, "a floor would refuse it: ")
	require.Contains(t, strings.ToLower(out), "suspend "+stays+"@example.com")
}
