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
func (o *testOrg) worker(ledger string, flags ...string) (string, error) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), filepath.Join(o.Bin, "worker"), flags...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CASTELLAN_") }),
		append(o.Temporal.Env(), "CASTELLAN_LEDGER="+ledger, "CASTELLAN_LISTEN=off",
			"CASTELLAN_ATLASSIAN_URL="+o.Simulator.URL)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ledger returns where the organization's ledger is.
func (o *testOrg) ledger() string {
	o.t.Helper()
	at, err := stack.LedgerIn(o.t.Context(), o.Dir)
	require.NoError(o.t, err)
	return at
}

// exec runs a statement on the ledger's database, as a newer worker could.
func (o *testOrg) exec(statement string) {
	o.t.Helper()
	driver, at := "sqlite", o.ledger()
	if strings.HasPrefix(at, "postgres://") {
		driver = "pgx"
	} else {
		at += "?_pragma=busy_timeout(30000)"
	}
	pool, err := sql.Open(driver, at)
	require.NoError(o.t, err)
	_, err = pool.ExecContext(o.t.Context(), statement)
	require.NoError(o.t, err)
	require.NoError(o.t, pool.Close())
}

func TestLedgerAndNamespaceBelongTogether(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	other := "file:" + filepath.Join(t.TempDir(), "other.db")
	out, err := o.worker(other)
	require.Error(t, err, "an empty ledger")
	require.Contains(t, out, "the ledger and the Temporal namespace do not belong together: namespace "+
		o.Temporal.Namespace+" belongs to the ledger ")
	require.Contains(t, out, "worker --move-ledger")

	own := o.ledger()
	here := *o
	stackElsewhere := *o.Stack
	stackElsewhere.Temporal = suite.Namespace(t)
	here.Stack = &stackElsewhere
	out, err = here.worker(own)
	require.Error(t, err, "the ledger of another namespace")
	require.Contains(t, out, "belongs to namespace "+o.Temporal.Namespace)

	o.Worker.Kill()
	out, err = o.worker(other, "--move-ledger")
	require.NoError(t, err, out)
	out, err = o.worker(own)
	require.Error(t, err, "it was moved, once")
	require.Contains(t, out, "do not belong together")
	out, err = o.worker(own, "--move-ledger")
	require.NoError(t, err, "and back", out)
	require.NoError(t, o.StartWorker())
	require.Contains(t, o.starter("verify-ledger", org), "is whole")
}

func TestOrganizationKeyAndIDAreItsOwn(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	evil := func(key string) error {
		policy := strings.Replace(strings.Replace(shopPolicy().text(o), `"name": "acme"`, `"name": "evil"`, 1),
			"env:"+stack.KeyVariable, key, 1)
		_, err := o.Apply(t.Context(), "evil", policy)
		return err
	}
	require.ErrorContains(t, evil("env:CASTELLAN_KEY_EVIL"), `is served as "acme" already`)
	o.Worker.Kill()
	out, err := o.worker(o.ledger(), "--retire", org)
	require.NoError(t, err, out)
	require.Contains(t, out, "is retired")
	require.NoError(t, o.StartWorker())
	require.ErrorContains(t, evil("env:"+stack.KeyVariable), "the organization may not use it",
		"nor may it use the key")
}

// A run that is reset in Temporal does nothing: it would write while the organization is paused, beside whatever its
// loop has started since.
func TestRunThatWasResetWritesNothing(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	id := messages.ReconcileID(org, o.status().LastFull.Run)
	_, err := o.update(messages.Pause, `{"by":"carol@example.com"}`)
	require.NoError(t, err)
	o.join("ops", "p055")
	o.resetStats()
	o.cli("workflow", "reset", "--workflow-id", id, "--type", "FirstWorkflowTask", "--reason", "again")
	o.eventually(func() error {
		out, err := o.CLI(t.Context(), "workflow", "result", "--workflow-id", id)
		if err == nil || !strings.Contains(out, "was reset") {
			return fmt.Errorf("the result is %q, %w", out, err)
		}
		return nil
	})
	require.Zero(t, o.stats().Writes)
	require.Equal(t, messages.StatePaused, o.status().State)
}
