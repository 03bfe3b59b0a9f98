package sync_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// many is how many changes are under way when something is killed, and killAfter how many are done by then.
const (
	many      = 500
	killAfter = 100
)

// underWay starts an organization whose first plan is being written.
func underWay(w *world) {
	w.t.Helper()
	w.apply(policyFile{mappings: everybody})
	state := w.until(held)
	require.Equal(w.t, many, state.Hold.Adds)
	require.NoError(w.t, w.Decide(w.t.Context(), org, messages.ApprovePlan, state.Hold.Plan))
	w.until(func(messages.OrgSyncState) bool { return w.stats().Operations["memberships.add"] >= killAfter })
}

// requireFinished waits until all is in place and checks how it got there: nothing is written again of which an answer
// had come, and the ledger has an answer for every line.
func (w *world) requireFinished() {
	w.t.Helper()
	w.until(stack.Idle)
	w.requireInStep(everybody, nil)
	stats := w.stats()
	require.Empty(w.t, repeated(stats.WritesByMembership))
	require.Less(w.t, w.secondTries(stats), killAfter, "only what was in flight may have been tried twice")

	runs, err := w.Ask(w.t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportRuns})
	require.NoError(w.t, err)
	done := 0
	for _, run := range runs.Runs {
		done += run.Counts.Done + run.Counts.Already
		require.Zero(w.t, run.Counts.Failed)
	}
	require.Equal(w.t, many, done, "the ledger knows every change as done, once")
	lines, err := w.Ask(w.t.Context(),
		messages.ReportInput{Org: org, Kind: messages.ReportPlan, Run: runs.Runs[len(runs.Runs)-1].Run,
			States: []string{string(access.Done)}, Limit: 2000})
	require.NoError(w.t, err)
	require.Len(w.t, lines.Plan.Lines, many)
	ledger, err := w.Ask(w.t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportLedger})
	require.NoError(w.t, err)
	require.True(w.t, ledger.Ledger.Whole, ledger.Message)
}

// secondTries counts the memberships that were written more than once, and tells them.
func (w *world) secondTries(stats cloud.Stats) int {
	w.t.Helper()
	tries := map[string][]string{}
	for _, write := range stats.WritesByMembership {
		key := write.Group + " " + write.Account
		tries[key] = append(tries[key], write.Status)
	}
	n := 0
	for key, statuses := range tries {
		if len(statuses) > 1 {
			n++
			w.t.Logf("%s: %v", key, statuses)
		}
	}
	w.t.Logf("%d of %d memberships were tried more than once", n, many)
	return n
}

func TestKilledWorkerGoesOn(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, oneGroup(many)), "--latency", "20ms")
	underWay(w)
	w.Worker.Kill()
	require.Less(t, w.stats().Operations["memberships.add"], many, "the worker was killed too late")
	require.NoError(t, w.StartWorker())
	w.requireFinished()
}

func TestKilledServerGoesOn(t *testing.T) {
	t.Parallel()
	s, err := stack.Start(t.Context(), t.TempDir(), suite.Programs, false, "--org", suite.OrgFile(t, oneGroup(many)),
		"--latency", "20ms")
	require.NoError(t, err)
	suite.Watch(t, s)
	w := live(t, s)
	underWay(w)
	w.Temporal.Kill()
	require.Less(t, w.stats().Operations["memberships.add"], many, "the server was killed too late")
	require.NoError(t, w.Temporal.Restart(t.Context()))
	w.requireFinished()
}
