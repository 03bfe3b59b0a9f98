package sync_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestTargetsFollowTheirSourcesNames(t *testing.T) {
	t.Parallel()
	// a new group cannot be found at once, not even at the look that its event brings
	w := start(t, "--org", suite.OrgFile(t, shopFile()), "--lag", "4900ms")
	starred := []mapping{{Name: "mirror", From: []string{"eng-*"}, To: []string{"group:*-members"}, Create: true}}
	written := []mapping{ // what the star stands for, in full
		{From: []string{"eng-core"}, To: []string{"group:core-members"}},
		{From: []string{"eng-web"}, To: []string{"group:web-members"}},
		{From: []string{"eng-alumni"}, To: []string{"group:alumni-members"}},
	}
	w.settled(policyFile{mappings: starred, guard: wide})
	w.requireInStep(written, nil)
	require.Equal(t, 3, created(w.stats()))

	t.Log("a new source group brings its own target")
	w.newSource("eng-data", "p050", "p051")
	written = append(written, mapping{From: []string{"eng-data"}, To: []string{"group:data-members"}})
	w.eventually(func() error {
		for _, g := range w.state().Groups {
			if g.Name == "data-members" {
				return inStep(t, w.state(), written, nil)
			}
		}
		return fmt.Errorf("group data-members is not there yet")
	})
	w.until(over)
	require.Equal(t, 4, created(w.stats()))
	w.requireClean(written)
}

// created counts the groups that were made: while a new group cannot be found yet, making it again is refused with 409.
func created(stats cloud.Stats) (n int) {
	for status, calls := range stats.ByOperation["groups.create"] {
		if status != "409" {
			n += calls
		}
	}
	return n
}

func TestForcedRenewalKeepsWhatIsOpen(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.settled(shopPolicy())
	w.leave("sales", sellers()...)
	before := w.until(func(s messages.OrgSyncState) bool { return s.Hold != nil && over(s) })
	id := messages.OrgSyncID(org)
	history := func() string {
		d, err := w.Temporal.Client.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	}
	first := history()
	require.NoError(t, w.Temporal.Client.SignalWorkflow(t.Context(), id, "", messages.ForceContinueAsNew, nil))
	w.until(func(messages.OrgSyncState) bool { return history() != first })
	after := w.until(held)
	require.Equal(t, before.Hold, after.Hold)
	require.Equal(t, before.Policy, after.Policy)
	require.Equal(t, before.LastFull, after.LastFull)

	t.Log("the fresh history goes on: the hold can be decided, events are seen, everybody is verified")
	require.NoError(t, w.Decide(t.Context(), org, messages.ApprovePlan, after.Hold.Plan))
	w.until(notHeld)
	w.join("ops", "p055")
	w.eventually(func() error { return inStep(t, w.state(), shop, nil) })
	w.syncNow()
	w.requireInStep(shop, nil)
	w.requireClean(shop)
}

func TestWithoutAnEventFeed(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()), "--guard=false")
	w.settled(shopPolicy())
	w.join("ops", "p055")
	w.leave("eng-core", "p006")
	w.eventually(func() error { return inStep(t, w.state(), shop, nil) }) // the counts of groups are read once a minute
	state := w.until(stack.Idle)
	require.Equal(t, "counts", state.Feed.Mode)
	require.Empty(t, state.Feed.Problem)
	w.requireClean(shop)
}
