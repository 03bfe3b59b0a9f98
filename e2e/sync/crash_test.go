package sync_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// many is how many changes are under way when something is killed, and killAfter how many are done by then. Calls are
// so slow that the others take some seconds more.
const (
	many      = 100
	killAfter = 20
	slow      = "400ms"
)

// underWay starts an organization whose first plan is being written.
func underWay(o *testOrg) {
	o.t.Helper()
	o.apply(policyFile{mappings: everybody})
	state := o.until(held)
	require.Equal(o.t, many, state.Hold.Adds)
	require.NoError(o.t, o.Decide(o.t.Context(), org, messages.ApprovePlan, state.Hold.Plan))
	o.added(killAfter)
}

// added waits until so many additions were made.
func (o *testOrg) added(n int) {
	o.t.Helper()
	o.eventually(func() error {
		if added := o.stats().Operations["memberships.add"]; added < n {
			return fmt.Errorf("%d additions were made", added)
		}
		return nil
	})
}

// requireFinished waits until all is in place and checks how it got there: nothing is written again of which an answer
// had come, and the ledger has an answer for every line.
func (o *testOrg) requireFinished() {
	o.t.Helper()
	o.until(stack.Idle)
	o.requireInStep(everybody, nil)
	stats := o.stats()
	require.Empty(o.t, repeated(stats.WritesByMembership))
	require.Less(o.t, o.secondTries(stats), killAfter, "only what was in flight may have been tried twice")

	runs, err := o.Ask(o.t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportRuns})
	require.NoError(o.t, err)
	done := 0
	for _, run := range runs.Runs {
		done += run.Counts.Done + run.Counts.Already
		require.Zero(o.t, run.Counts.Failed)
	}
	require.Equal(o.t, many, done, "the ledger knows every change as done, once")
	lines, err := o.Ask(o.t.Context(),
		messages.ReportInput{Org: org, Kind: messages.ReportPlan, Run: runs.Runs[len(runs.Runs)-1].Run,
			States: []string{string(access.Done)}, Limit: 2000})
	require.NoError(o.t, err)
	require.Len(o.t, lines.Plan.Lines, many)
	ledger, err := o.Ask(o.t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportLedger})
	require.NoError(o.t, err)
	require.True(o.t, ledger.Ledger.Whole, ledger.Message)
}

// secondTries counts the memberships that were written more than once, and tells them.
func (o *testOrg) secondTries(stats cloud.Stats) int {
	o.t.Helper()
	tries := map[string][]string{}
	for _, write := range stats.WritesByMembership {
		key := write.Group + " " + write.Account
		tries[key] = append(tries[key], write.Status)
	}
	n := 0
	for key, statuses := range tries {
		if len(statuses) > 1 {
			n++
			o.t.Logf("%s: %v", key, statuses)
		}
	}
	o.t.Logf("%d of %d memberships were tried more than once", n, many)
	return n
}

func TestKilledWorkerGoesOn(t *testing.T) {
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, oneGroup(many)), "--latency", slow)
	underWay(o)
	o.Worker.Kill()
	require.Less(t, o.stats().Operations["memberships.add"], many, "the worker was killed too late")
	require.NoError(t, o.StartWorker())
	o.requireFinished()
}

func TestKilledServerGoesOn(t *testing.T) {
	t.Parallel()
	s, err := stack.Start(t.Context(), t.TempDir(), suite.Programs, false, "--org", suite.OrgFile(t, oneGroup(many)),
		"--latency", slow)
	require.NoError(t, err)
	suite.Watch(t, s)
	o := live(t, s)
	underWay(o)
	o.Temporal.Kill()
	require.Less(t, o.stats().Operations["memberships.add"], many, "the server was killed too late")
	require.NoError(t, o.Temporal.Restart(t.Context()))
	o.requireFinished()
}
