package sync_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// starter types an ops command.
func (w *world) starter(args ...string) string {
	w.t.Helper()
	out, err := w.Starter(w.t.Context(), args...)
	require.NoError(w.t, err)
	return out
}

// answered types an ops command with --json and reads its answer.
func answered[T any](w *world, args ...string) (answer T) {
	w.t.Helper()
	out := w.starter(append(args, "--json")...)
	require.NoError(w.t, stack.Answer(out, &answer))
	return answer
}

func (w *world) policyFile(p policyFile) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "acme.yaml")
	require.NoError(w.t, os.WriteFile(path, []byte(p.text(w)), 0o600))
	return path
}

func TestOpsCommands(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	file := w.policyFile(shopPolicy())

	t.Log("plan before anything runs: the whole plan, nothing written")
	plan := w.starter("plan", file)
	require.Contains(t, plan, "70 adds, 0 removals")
	require.Contains(t, plan, "p001@example.com")
	require.Contains(t, plan, "mapping engineering (source group eng-core")
	preview := answered[messages.ReportAnswer](w, "plan", file, "--limit", "1000")
	require.Len(t, preview.Plan.Lines, 70)
	require.Zero(t, w.stats().Writes)
	page := answered[messages.ReportAnswer](w, "plan", file, "--limit", "50")
	require.Len(t, page.Plan.Lines, 50)
	require.NotEmpty(t, page.Next)

	t.Log("apply, twice: the second time nothing changes")
	out := w.starter("apply", file)
	require.Contains(t, out, "is in force for acme: 3 mappings, 2 targets")
	require.Contains(t, out, "until you approve it")
	hold := w.until(held).Hold
	out = w.starter("apply", file)
	require.Contains(t, out, "nothing changes")
	require.Equal(t, hold, w.status().Hold)

	t.Log("status tells what waits and what to type")
	out = w.starter("status")
	require.Contains(t, out, "acme is held")
	require.Contains(t, out, "adopt: the first run needs consent")
	require.Contains(t, out, `approve-plan --input '{"plan":"`+hold.Plan)
	require.Equal(t, *hold, *answered[messages.OrgSyncState](w, "status", org).Hold)
	require.Contains(t, w.starter("plan", "--held"), "held")
	before := time.Now().UTC()
	require.NoError(t, w.Decide(t.Context(), org, messages.ApprovePlan, hold.Plan))
	_, err := w.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	w.requireInStep(shop, nil)
	require.Contains(t, w.starter("status", org), "acme is ok")

	t.Log("why: now, for one target, and at a past instant")
	out = w.starter("why", org, "p030@example.com")
	require.Contains(t, out, "holds group:"+jira)
	require.Contains(t, out, "mapping engineering (source group eng-web")
	require.Contains(t, out, "mapping operations (source group ops")
	require.Contains(t, out, "holds group:"+confluence)
	out = w.starter("why", org, "p030@example.com", "default:confluence/acme/user")
	require.NotContains(t, out, "holds group:"+jira)
	require.Contains(t, out, "mapping operations")
	out = w.starter("why", org, "p030@example.com", "--at", before.Format(time.RFC3339))
	require.Contains(t, out, "holds no target")
	require.Contains(t, w.starter("why", org, "p060@example.com"), "holds no target")
	_, err = w.Starter(t.Context(), "why", org, "nobody@example.com")
	require.ErrorContains(t, err, "nobody@example.com")
	_, err = w.Starter(t.Context(), "why", org, "p030@example.com", "jira")
	require.ErrorContains(t, err, "not an entitlement")
	_, err = w.Starter(t.Context(), "why", org, "p030@example.com", "--at", "yesterday")
	require.ErrorContains(t, err, "2026-03-01T09:00:00Z")

	t.Log("runs, the lines of one, and undo")
	runs := answered[messages.ReportAnswer](w, "runs").Runs
	i := slices.IndexFunc(runs, func(r messages.RunSummary) bool { return r.Counts.Done == 70 })
	require.GreaterOrEqual(t, i, 0, "%+v", runs)
	first := runs[i]
	require.Contains(t, w.starter("runs", org), first.Run)
	require.Contains(t, w.starter("plan", "--run", first.Run), "done")
	_, err = w.Starter(t.Context(), "plan", "--run", "nothing", org)
	require.ErrorContains(t, err, `no run "nothing"`)
	w.starter("apply", w.policyFile(policyFile{mappings: shop, guard: wide, more: shopPolicy().more}))
	w.syncNow()
	out = w.starter("undo", first.Run, "--reason", "a rehearsal")
	require.Contains(t, out, "70 changes made")
	require.Contains(t, out, "paused")
	require.Empty(t, group(t, w.state(), jira).Members)
	require.Contains(t, w.starter("status"), "acme is paused")

	t.Log("the ledger is whole")
	require.Contains(t, w.starter("verify-ledger"), "is whole")
	require.True(t, answered[messages.ReportAnswer](w, "verify-ledger", org).Ledger.Whole)
}

func TestOpsCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))

	t.Log("no such organization")
	for _, args := range [][]string{{"status", "other"}, {"undo", "x", "--org", "other"}} {
		_, err := w.Starter(t.Context(), args...)
		require.ErrorContains(t, err, "there is no such workflow", args)
	}
	for _, args := range [][]string{{"runs", "other"}, {"why", "other", "a@example.com"}, {"verify-ledger", "other"},
		{"plan", "--held", "other"}} {
		_, err := w.Starter(t.Context(), args...)
		require.ErrorContains(t, err, `no organization "other"`, args)
	}
	_, err := w.Starter(t.Context(), "status")
	require.ErrorContains(t, err, "starter apply FILE")

	t.Log("a malformed policy: file, line and column")
	file := w.policyFile(shopPolicy())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file,
		[]byte(strings.Replace(string(text), `"default:confluence/acme/user"`, `"confluence"`, 1)), 0o600))
	lines := strings.Split(string(text), "\n")
	for _, command := range []string{"apply", "plan"} {
		_, err = w.Starter(t.Context(), command, file)
		require.ErrorContains(t, err, file+":")
		require.ErrorContains(t, err, "not an entitlement")
		require.ErrorContains(t, err, file+":"+position(lines, `"default:confluence/acme/user"`))
	}
	_, err = w.Starter(t.Context(), "apply", filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorContains(t, err, "no such file")
	_, err = w.Starter(t.Context(), "plan")
	require.ErrorContains(t, err, "name a policy file")
	_, err = w.Starter(t.Context(), "aply", file)
	require.ErrorContains(t, err, `starter has no command "aply"; did you mean apply?`)
	require.Zero(t, w.stats().Calls, "none of this reaches Atlassian")

	t.Log("no server")
	starter := exec.CommandContext(t.Context(), filepath.Join(w.Bin, "starter"), "status")
	starter.Env = append(os.Environ(), "TEMPORAL_ADDRESS=127.0.0.1:1")
	out, err := starter.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "127.0.0.1:1")
	require.Contains(t, string(out), "TEMPORAL_ADDRESS")
}

// position is the line and column of the first line that holds a text, as 12:7.
func position(lines []string, text string) string {
	for i, line := range lines {
		if at := strings.Index(line, text); at >= 0 {
			return fmt.Sprintf("%d:%d", i+1, at+1)
		}
	}
	return "not found"
}
