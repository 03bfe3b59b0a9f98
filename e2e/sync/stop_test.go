package sync_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// A worker that is told to stop may take endless to let what it writes finish, and ends all the same within
// stopsWithin: nothing else keeps it.
const (
	endless     = "CASTELLAN_DRAIN_TIMEOUT=10m"
	stopsWithin = time.Minute
)

// stop has the worker stop, and tells how long that took.
func (o *testOrg) stop(worker *stack.Worker) {
	o.t.Helper()
	begun := time.Now()
	require.True(o.t, worker.Stop(stopsWithin), "the worker did not end by itself:\n%s", worker.Output())
	o.t.Logf("the worker stopped within %.2f s", time.Since(begun).Seconds())
}

// restart starts the worker anew, with more settings.
func (o *testOrg) restart(env ...string) {
	o.t.Helper()
	o.Worker.Kill()
	require.NoError(o.t, o.StartWorker(env...))
}

func TestStoppedWorkerHandsItsWatchOver(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.restart(endless)
	o.settled(shopPolicy())
	o.eventually(func() error {
		events := o.stats().Operations["events.stream"]
		if events < 3 {
			return fmt.Errorf("the feed was polled %d times", events)
		}
		return nil
	})
	o.stop(o.Worker)

	require.NoError(t, o.StartWorker())
	o.join("ops", "p060")
	o.until(func(s messages.OrgSyncState) bool { return stack.Idle(s) && inStep(t, o.state(), shop, nil) == nil })
}

// What reads for long does not keep a worker either: another goes on with it.
func TestStoppedWorkerHandsItsReadingOver(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	file := shopFile()
	file.People = append(crowd(1500), "boss")
	o := start(t, "--org", suite.OrgFile(t, file))
	o.restart(endless)
	o.settled(shopPolicy())
	// Fifteen pages take longer than the worker may.
	require.NoError(t, o.Simulator.Fault(t.Context(), cloud.Fault{
		Operations: []string{"users.search"}, Kind: cloud.FaultLatency,
		Params: cloud.FaultParams{Delay: cloud.Duration(stopsWithin / 8)},
	}))
	o.resetStats()
	o.askForSync()
	o.eventually(func() error {
		if o.stats().Operations["users.search"] == 0 {
			return errors.New("no page was read yet")
		}
		return nil
	})
	o.stop(o.Worker)
	require.NoError(t, o.Simulator.ClearFaults(t.Context()))
	require.NoError(t, o.StartWorker())
	require.Equal(t, messages.RunDone, o.syncNow().LastFull.State)
}

func TestStoppedWorkerFinishesItsWrites(t *testing.T) {
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, oneGroup(many)), "--latency", slow)
	o.restart(endless)
	underWay(o)
	o.stop(o.Worker)
	require.Less(t, o.stats().Operations["memberships.add"], many, "the worker was stopped too late")
	require.NoError(t, o.StartWorker())
	o.requireFinished()
	require.Zero(t, o.secondTries(o.stats()), "what was being written was finished")
}

// Three workers have one ledger and one namespace; one is killed, one is told to stop, and the third goes on.
func TestWorkersShareTheirWork(t *testing.T) {
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, oneGroup(many)), "--latency", slow)
	more := func() *stack.Worker {
		worker, err := stack.StartWorker(o.Bin, o.Dir, o.LedgerURL, o.Temporal.Address, o.Simulator.URL,
			append(o.Temporal.Env(), endless)...)
		require.NoError(t, err)
		t.Cleanup(func() { worker.Stop(stopsWithin) })
		return worker
	}
	second := more()
	more()
	underWay(o)
	o.Worker.Kill()
	o.stop(second)
	require.Less(t, o.stats().Operations["memberships.add"], many, "they were stopped too late")
	o.requireFinished()
}

// A worker that says it is ready has registered the search attributes, however new its namespace is.
func TestReadyWorkersCanShowTheirState(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			namespace := fmt.Sprintf("%s-fresh-%d", o.Temporal.Namespace, i)
			_, err := o.Temporal.Client.WorkflowService().RegisterNamespace(t.Context(),
				&workflowservice.RegisterNamespaceRequest{
					Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
				})
			require.NoError(t, err)
			address := freeAddress(t)
			worker, err := stack.StartWorker(o.Bin, t.TempDir(), "", o.Temporal.Address, o.Simulator.URL,
				"TEMPORAL_NAMESPACE="+namespace, "CASTELLAN_LISTEN="+address)
			require.NoError(t, err)
			t.Cleanup(func() { worker.Stop(stopsWithin) })
			require.NoError(t, stack.Eventually(t.Context(), patience, func() error { return ready(t, address) }),
				worker.Output())
			_, err = o.Temporal.Client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
				Namespace: namespace, Query: `CastellanOrg = "acme" AND CastellanState = "held" AND CastellanUntil > "2026-01-01T00:00:00Z"`,
			})
			require.NoError(t, err)
		})
	}
}

func ready(t *testing.T, address string) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz says %s", answer.Status)
	}
	return nil
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// A worker whose ledger a newer one has brought up to date stops, and says so.
func TestOldWorkerYieldsToANewerOne(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	o.exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	select {
	case <-o.Worker.Done():
	case <-time.After(patience):
		t.Fatal("the worker goes on")
	}
	require.Contains(t, o.Worker.Output(), "a newer Castellan has brought the ledger's tables up to date")
	out, err := o.worker(o.ledger())
	require.Error(t, err)
	require.True(t, strings.Contains(out, "run the newer one"), out)
}
