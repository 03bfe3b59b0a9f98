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
func (w *world) stop(worker *stack.Worker) {
	w.t.Helper()
	begun := time.Now()
	require.True(w.t, worker.Stop(stopsWithin), "the worker did not end by itself:\n%s", worker.Output())
	w.t.Logf("the worker stopped within %.2f s", time.Since(begun).Seconds())
}

// restart starts the worker anew, with more settings.
func (w *world) restart(env ...string) {
	w.t.Helper()
	w.Worker.Kill()
	require.NoError(w.t, w.StartWorker(env...))
}

func TestStoppedWorkerHandsItsWatchOver(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.restart(endless)
	w.settled(shopPolicy())
	w.eventually(func() error {
		events := w.stats().Operations["events.stream"]
		if events < 3 {
			return fmt.Errorf("the feed was polled %d times", events)
		}
		return nil
	})
	w.stop(w.Worker)

	require.NoError(t, w.StartWorker())
	w.join("ops", "p060")
	w.until(func(s messages.OrgSyncState) bool { return stack.Idle(s) && inStep(t, w.state(), shop, nil) == nil })
}

// What reads for long does not keep a worker either: another goes on with it.
func TestStoppedWorkerHandsItsReadingOver(t *testing.T) {
	t.Parallel()
	file := shopFile()
	file.People = append(crowd(1500), "boss")
	w := start(t, "--org", suite.OrgFile(t, file))
	w.restart(endless)
	w.settled(shopPolicy())
	// Fifteen pages take longer than the worker may.
	require.NoError(t, w.Simulator.Fault(t.Context(), cloud.Fault{
		Operations: []string{"users.search"}, Kind: cloud.FaultLatency,
		Params: cloud.FaultParams{Delay: cloud.Duration(stopsWithin / 8)},
	}))
	w.resetStats()
	w.askForSync()
	w.eventually(func() error {
		if w.stats().Operations["users.search"] == 0 {
			return errors.New("no page was read yet")
		}
		return nil
	})
	w.stop(w.Worker)
	require.NoError(t, w.Simulator.ClearFaults(t.Context()))
	require.NoError(t, w.StartWorker())
	require.Equal(t, messages.RunDone, w.syncNow().LastFull.State)
}

func TestStoppedWorkerFinishesItsWrites(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, oneGroup(many)), "--latency", "20ms")
	w.restart(endless)
	underWay(w)
	w.stop(w.Worker)
	require.Less(t, w.stats().Operations["memberships.add"], many, "the worker was stopped too late")
	require.NoError(t, w.StartWorker())
	w.requireFinished()
	require.Zero(t, w.secondTries(w.stats()), "what was being written was finished")
}

// Three workers have one ledger and one namespace; one is killed, one is told to stop, and the third goes on.
func TestWorkersShareTheirWork(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, oneGroup(many)), "--latency", "20ms")
	more := func() *stack.Worker {
		worker, err := stack.StartWorker(w.Bin, w.Dir, w.LedgerURL, w.Temporal.Address, w.Simulator.URL,
			append(w.Temporal.Env(), endless)...)
		require.NoError(t, err)
		t.Cleanup(func() { worker.Stop(stopsWithin) })
		return worker
	}
	second := more()
	more()
	underWay(w)
	w.Worker.Kill()
	w.stop(second)
	require.Less(t, w.stats().Operations["memberships.add"], many, "they were stopped too late")
	w.requireFinished()
}

// A worker that says it is ready has registered the search attributes, however new its namespace is.
func TestReadyWorkersCanShowTheirState(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			namespace := fmt.Sprintf("%s-fresh-%d", w.Temporal.Namespace, i)
			_, err := w.Temporal.Client.WorkflowService().RegisterNamespace(t.Context(),
				&workflowservice.RegisterNamespaceRequest{
					Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
				})
			require.NoError(t, err)
			address := freeAddress(t)
			worker, err := stack.StartWorker(w.Bin, t.TempDir(), "", w.Temporal.Address, w.Simulator.URL,
				"TEMPORAL_NAMESPACE="+namespace, "CASTELLAN_LISTEN="+address)
			require.NoError(t, err)
			t.Cleanup(func() { worker.Stop(stopsWithin) })
			require.NoError(t, stack.Eventually(t.Context(), patience, func() error { return ready(t, address) }),
				worker.Output())
			_, err = w.Temporal.Client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
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
func TestOldWorkerMakesWayForANewerOne(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.settled(shopPolicy())
	w.exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	select {
	case <-w.Worker.Done():
	case <-time.After(patience):
		t.Fatal("the worker goes on")
	}
	require.Contains(t, w.Worker.Output(), "a newer Castellan has brought the ledger's tables up to date")
	out, err := w.worker(w.ledger())
	require.Error(t, err)
	require.True(t, strings.Contains(out, "run the newer one"), out)
}
