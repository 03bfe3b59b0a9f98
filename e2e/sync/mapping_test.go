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
	suite.Long(t)
	t.Parallel()
	// a new group cannot be found at once, not even at the look that its event brings
	o := start(t, "--org", suite.OrgFile(t, emptyShop()), "--lag", "4900ms")
	starred := []mapping{{Name: "mirror", From: []string{"eng-*"}, To: []string{"group:*-members"}, Create: true}}
	written := []mapping{ // what the star stands for, in full
		{From: []string{"eng-core"}, To: []string{"group:core-members"}},
		{From: []string{"eng-web"}, To: []string{"group:web-members"}},
		{From: []string{"eng-alumni"}, To: []string{"group:alumni-members"}},
	}
	o.settled(policyFile{mappings: starred, guard: wide})
	o.requireInStep(written, nil)
	require.Equal(t, 3, created(o.stats()))

	t.Log("a new source group brings its own target")
	o.newSource("eng-data", "p050", "p051")
	written = append(written, mapping{From: []string{"eng-data"}, To: []string{"group:data-members"}})
	o.eventually(func() error {
		for _, g := range o.state().Groups {
			if g.Name == "data-members" {
				return inStep(t, o.state(), written, nil)
			}
		}
		return fmt.Errorf("group data-members is not there yet")
	})
	o.until(over)
	require.Equal(t, 4, created(o.stats()))
	o.requireClean(written)
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
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	o.leave("sales", sellers()...)
	before := o.until(func(s messages.OrgSyncState) bool { return s.Hold != nil && over(s) })
	id := messages.OrgSyncID(org)
	history := func() string {
		d, err := o.Temporal.Client.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	}
	first := history()
	require.NoError(t, o.Temporal.Client.SignalWorkflow(t.Context(), id, "", messages.ForceContinueAsNew, nil))
	o.until(func(messages.OrgSyncState) bool { return history() != first })
	after := o.until(held)
	require.Equal(t, before.Hold, after.Hold)
	require.Equal(t, before.Policy, after.Policy)
	require.Equal(t, before.LastFull, after.LastFull)

	t.Log("the fresh history goes on: the hold can be decided, events are seen, everybody is verified")
	require.NoError(t, o.Decide(t.Context(), org, messages.ApprovePlan, after.Hold.Plan))
	o.until(notHeld)
	o.join("ops", "p055")
	o.eventually(func() error { return inStep(t, o.state(), shop, nil) })
	o.syncNow()
	o.requireInStep(shop, nil)
	o.requireClean(shop)
}

func TestWithoutAnEventFeed(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()), "--guard=false")
	o.settled(shopPolicy())
	o.join("ops", "p055")
	o.leave("eng-core", "p006")
	o.eventually(func() error { return inStep(t, o.state(), shop, nil) }) // the counts of groups are read once a minute
	state := o.until(stack.Idle)
	require.Equal(t, "counts", state.Feed.Mode)
	require.Empty(t, state.Feed.Problem)
	o.requireClean(shop)
}
