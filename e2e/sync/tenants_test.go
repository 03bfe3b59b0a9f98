package sync_test

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// worker runs the worker's program with flags until it ends by itself.
func (w *world) worker(ledger string, flags ...string) (string, error) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.Bin, "worker"), flags...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CASTELLAN_") }),
		append(w.Temporal.Env(), "CASTELLAN_LEDGER="+ledger, "CASTELLAN_LISTEN=off",
			"CASTELLAN_ATLASSIAN_URL="+w.Simulator.URL)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ledger is where the world's ledger is.
func (w *world) ledger() string {
	w.t.Helper()
	at, err := stack.LedgerIn(w.t.Context(), w.Dir)
	require.NoError(w.t, err)
	return at
}

// exec runs a statement on the ledger's database, as a newer worker could.
func (w *world) exec(statement string) {
	w.t.Helper()
	driver, at := "sqlite", w.ledger()
	if strings.HasPrefix(at, "postgres://") {
		driver = "pgx"
	} else {
		at += "?_pragma=busy_timeout(30000)"
	}
	pool, err := sql.Open(driver, at)
	require.NoError(w.t, err)
	_, err = pool.ExecContext(w.t.Context(), statement)
	require.NoError(w.t, err)
	require.NoError(w.t, pool.Close())
}

func TestALedgerAndANamespaceBelongTogether(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.settled(shopPolicy())
	other := "file:" + filepath.Join(t.TempDir(), "other.db")
	out, err := w.worker(other)
	require.Error(t, err, "an empty ledger")
	require.Contains(t, out, "the ledger and the Temporal namespace do not belong together: namespace "+
		w.Temporal.Namespace+" belongs to the ledger ")
	require.Contains(t, out, "worker --move-ledger")

	own := w.ledger()
	here := *w
	stackElsewhere := *w.Stack
	stackElsewhere.Temporal = suite.Namespace(t)
	here.Stack = &stackElsewhere
	out, err = here.worker(own)
	require.Error(t, err, "the ledger of another namespace")
	require.Contains(t, out, "belongs to namespace "+w.Temporal.Namespace)

	w.Worker.Kill()
	out, err = w.worker(other, "--move-ledger")
	require.NoError(t, err, out)
	out, err = w.worker(own)
	require.Error(t, err, "it was moved, once")
	require.Contains(t, out, "do not belong together")
	out, err = w.worker(own, "--move-ledger")
	require.NoError(t, err, "and back", out)
	require.NoError(t, w.StartWorker())
	require.Contains(t, w.starter("verify-ledger", org), "is whole")
}

func TestAnOrganizationsKeyAndIDAreItsOwn(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.settled(shopPolicy())
	evil := func(key string) error {
		policy := strings.Replace(strings.Replace(shopPolicy().text(w), `"name": "acme"`, `"name": "evil"`, 1),
			"env:"+stack.KeyVariable, key, 1)
		_, err := w.Apply(t.Context(), "evil", policy)
		return err
	}
	require.ErrorContains(t, evil("env:CASTELLAN_KEY_EVIL"), `is served as "acme" already`)
	w.Worker.Kill()
	out, err := w.worker(w.ledger(), "--retire", org)
	require.NoError(t, err, out)
	require.Contains(t, out, "is retired")
	require.NoError(t, w.StartWorker())
	require.ErrorContains(t, evil("env:"+stack.KeyVariable), "the organization may not use it",
		"nor may it use the key")
}

// A run that is reset in Temporal does nothing: it would write while the organization is paused, beside whatever its
// loop has started since.
func TestAResetRunWritesNothing(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.settled(shopPolicy())
	id := messages.ReconcileID(org, w.status().LastFull.Run)
	_, err := w.update(messages.Pause, `{"by":"carol@example.com"}`)
	require.NoError(t, err)
	w.join("ops", "p055")
	w.resetStats()
	w.cli("workflow", "reset", "--workflow-id", id, "--type", "FirstWorkflowTask", "--reason", "again")
	w.eventually(func() error {
		out, err := w.CLI(t.Context(), "workflow", "result", "--workflow-id", id)
		if err == nil || !strings.Contains(out, "was reset") {
			return fmt.Errorf("the result is %q, %w", out, err)
		}
		return nil
	})
	require.Zero(t, w.stats().Writes)
	require.Equal(t, messages.StatePaused, w.status().State)
}
