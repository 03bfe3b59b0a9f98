package sync_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// starter types an ops command.
func (o *testOrg) starter(args ...string) string {
	o.t.Helper()
	out, err := o.Starter(o.t.Context(), args...)
	require.NoError(o.t, err)
	return out
}

// answered types an ops command with --json and reads its answer.
func answered[T any](o *testOrg, args ...string) (answer T) {
	o.t.Helper()
	out := o.starter(append(args, "--json")...)
	require.NoError(o.t, json.Unmarshal([]byte(out), &answer))
	return answer
}

func (o *testOrg) policyFile(p policyFile) string {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), "acme.yaml")
	require.NoError(o.t, os.WriteFile(path, []byte(p.text(o)), 0o600))
	return path
}

func TestOpsCommands(t *testing.T) {
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, emptyShop()))
	file := o.policyFile(shopPolicy())

	t.Log("plan before anything runs: the whole plan, nothing written")
	plan := o.starter("plan", file)
	require.Contains(t, plan, "70 adds, 0 removals")
	require.Contains(t, plan, "p001@example.com")
	require.Contains(t, plan, "mapping engineering (source group eng-core")
	preview := answered[messages.ReportAnswer](o, "plan", file, "--limit", "1000")
	require.Len(t, preview.Plan.Lines, 70)
	require.Zero(t, o.stats().Writes)
	page := answered[messages.ReportAnswer](o, "plan", file, "--limit", "50")
	require.Len(t, page.Plan.Lines, 50)
	require.NotEmpty(t, page.Next)

	t.Log("apply, twice: the second time nothing changes")
	out := o.starter("apply", file)
	require.Contains(t, out, "is in force for acme: 3 mappings, 2 targets")
	require.Contains(t, out, "until you approve it")
	hold := o.until(held).Hold
	out = o.starter("apply", file)
	require.Contains(t, out, "nothing changes")
	require.Equal(t, hold, o.status().Hold)

	t.Log("status tells what waits and what to type")
	out = o.starter("status")
	require.Contains(t, out, "acme is held")
	require.Contains(t, out, "adopt: the first run needs consent")
	require.Contains(t, out, `approve-plan --input '{"plan":"`+hold.Plan)
	require.Equal(t, *hold, *answered[messages.OrgSyncState](o, "status", org).Hold)
	require.Contains(t, o.starter("plan", "--held"), "held")
	before := time.Now().UTC()
	require.NoError(t, o.Decide(t.Context(), org, messages.ApprovePlan, hold.Plan))
	_, err := o.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	o.requireInStep(shop, nil)
	require.Contains(t, o.starter("status", org), "acme is ok")

	t.Log("why: now, for one target, and at a past instant")
	out = o.starter("why", org, "p030@example.com")
	require.Contains(t, out, "holds group:"+jira)
	require.Contains(t, out, "mapping engineering (source group eng-web")
	require.Contains(t, out, "mapping operations (source group ops")
	require.Contains(t, out, "holds group:"+confluence)
	out = o.starter("why", org, "p030@example.com", "default:confluence/acme/user")
	require.NotContains(t, out, "holds group:"+jira)
	require.Contains(t, out, "mapping operations")
	out = o.starter("why", org, "p030@example.com", "--at", before.Format(time.RFC3339))
	require.Contains(t, out, "holds no target")
	require.Contains(t, o.starter("why", org, "p060@example.com"), "holds no target")
	_, err = o.Starter(t.Context(), "why", org, "nobody@example.com")
	require.ErrorContains(t, err, "nobody@example.com")
	_, err = o.Starter(t.Context(), "why", org, "p030@example.com", "jira")
	require.ErrorContains(t, err, "not an entitlement")
	_, err = o.Starter(t.Context(), "why", org, "p030@example.com", "--at", "yesterday")
	require.ErrorContains(t, err, "2026-03-01T09:00:00Z")

	t.Log("runs, the lines of one, and undo")
	runs := answered[messages.ReportAnswer](o, "runs").Runs
	i := slices.IndexFunc(runs, func(r messages.RunSummary) bool { return r.Counts.Done == 70 })
	require.GreaterOrEqual(t, i, 0, "%+v", runs)
	first := runs[i]
	require.Contains(t, o.starter("runs", org), first.Run)
	require.Contains(t, o.starter("plan", "--run", first.Run), "done")
	_, err = o.Starter(t.Context(), "plan", "--run", "nothing", org)
	require.ErrorContains(t, err, `no run "nothing"`)
	o.starter("apply", o.policyFile(policyFile{mappings: shop, guard: wide, more: shopPolicy().more}))
	o.syncNow()
	out = o.starter("undo", first.Run, "--reason", "a rehearsal")
	require.Contains(t, out, "70 changes made")
	require.Contains(t, out, "paused")
	require.Empty(t, group(t, o.state(), jira).Members)
	require.Contains(t, o.starter("status"), "acme is paused")

	t.Log("the ledger is whole")
	require.Contains(t, o.starter("verify-ledger"), "is whole")
	require.True(t, answered[messages.ReportAnswer](o, "verify-ledger", org).Ledger.Whole)
}

func TestOpsCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, emptyShop()))

	t.Log("no such organization")
	for _, args := range [][]string{{"status", "other"}, {"undo", "x", "--org", "other"}} {
		_, err := o.Starter(t.Context(), args...)
		require.ErrorContains(t, err, "there is no such workflow", args)
	}
	for _, args := range [][]string{{"runs", "other"}, {"why", "other", "a@example.com"}, {"verify-ledger", "other"},
		{"plan", "--held", "other"}} {
		_, err := o.Starter(t.Context(), args...)
		require.ErrorContains(t, err, `no organization "other"`, args)
	}
	_, err := o.Starter(t.Context(), "status")
	require.ErrorContains(t, err, "starter apply FILE")

	t.Log("a malformed policy: file, line and column")
	file := o.policyFile(shopPolicy())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file,
		[]byte(strings.Replace(string(text), `"default:confluence/acme/user"`, `"confluence"`, 1)), 0o600))
	lines := strings.Split(string(text), "\n")
	for _, command := range []string{"apply", "plan"} {
		_, err = o.Starter(t.Context(), command, file)
		require.ErrorContains(t, err, file+":")
		require.ErrorContains(t, err, "not an entitlement")
		require.ErrorContains(t, err, file+":"+position(lines, `"default:confluence/acme/user"`))
	}
	_, err = o.Starter(t.Context(), "apply", filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorContains(t, err, "no such file")
	_, err = o.Starter(t.Context(), "plan")
	require.ErrorContains(t, err, "name a policy file")
	_, err = o.Starter(t.Context(), "aply", file)
	require.ErrorContains(t, err, `starter has no command "aply"; did you mean apply?`)
	require.Zero(t, o.stats().Calls, "none of this reaches Atlassian")

	t.Log("no server")
	starter := exec.CommandContext(t.Context(), filepath.Join(o.Bin, "starter"), "status")
	starter.Env = append(os.Environ(), "TEMPORAL_ADDRESS=127.0.0.1:1")
	out, err := starter.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "127.0.0.1:1")
	require.Contains(t, string(out), "TEMPORAL_ADDRESS")
}

// position returns the line and column of the first line that holds a text, as 12:7.
func position(lines []string, text string) string {
	for i, line := range lines {
		if at := strings.Index(line, text); at >= 0 {
			return fmt.Sprintf("%d:%d", i+1, at+1)
		}
	}
	return "not found"
}
