package grants_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// TestManyOpenGrants measures what CASTELLAN_OPEN_GRANTS open grants cost: asking, listing, looking, ending one,
// memory.
func TestManyOpenGrants(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("CASTELLAN_OPEN_GRANTS"))
	if err != nil {
		t.Skip("skipped: CASTELLAN_OPEN_GRANTS does not say how many grants to open (5000)")
	}
	const holders = 500
	people := staff
	people.People = slices.Clone(staff.People)
	for i := range holders {
		people.People = append(people.People, fmt.Sprintf("p%03d", i))
	}
	var targets []access.Entitlement
	for i := range (n + holders - 1) / holders {
		people.Local = append(slices.Clone(people.Local), cloud.OrgGroup{Name: fmt.Sprintf("vault-%d", i)})
		targets = append(targets, access.GroupEntitlement(fmt.Sprintf("vault-%d", i)))
	}
	o := startWith(t, people, fmt.Sprintf(`
grants:
  - {name: all, targets: [%q], duration: {max: 10h}}
`, targets[0])+more(targets[1:]))
	idle := o.Worker.PeakMemory()
	measured := func(what string, do func()) {
		begin := time.Now()
		do()
		t.Logf("%s: %s", what, time.Since(begin).Round(time.Millisecond))
	}
	measured(fmt.Sprintf("%d grants asked for and given", n), func() {
		for i := range n {
			require.NoError(t, o.Temporal.Client.SignalWorkflow(t.Context(), messages.OrgSyncID(org), "",
				messages.Grant, messages.GrantInput{
					Person: fmt.Sprintf("p%03d@example.com", i%holders), Target: targets[i/holders],
					Duration: messages.Duration(5 * time.Hour),
					Reason:   "many", RequestedBy: "bo@example.com", RequestID: fmt.Sprintf("many-%05d", i),
				}))
		}
		require.NoError(t, stack.Eventually(t.Context(), time.Hour, func() error {
			count, err := o.Temporal.Client.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
				Query: `CastellanOrg = "acme" AND CastellanState = "active"`,
			})
			if err == nil && count.GetCount() < int64(n) {
				err = fmt.Errorf("%d are active", count.GetCount())
			}
			return err
		}))
	})
	t.Logf("the worker's memory at most: %d MB idle, %d MB after that", idle>>20, o.Worker.PeakMemory()>>20)
	measured("list those of one target in Temporal", func() {
		list, err := o.Temporal.Client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf(`CastellanOrg = "acme" AND CastellanTarget = %q AND CastellanState = "active"`,
				targets[0]), PageSize: 1000,
		})
		require.NoError(t, err)
		require.Len(t, list.GetExecutions(), min(n, holders))
	})
	measured("starter grants --open --limit 2000", func() {
		_, err := o.Starter(t.Context(), "grants", org, "--open", "--limit", "2000")
		require.NoError(t, err)
	})
	measured("the status of one grant", func() {
		_, err := o.GrantStatus(t.Context(), messages.GrantID(org, targets[0], o.person("p000").AccountID))
		require.NoError(t, err)
	})
	measured("the status of the organization", func() {
		_, err := o.Status(t.Context(), org)
		require.NoError(t, err)
	})
	measured("end one and see it gone", func() {
		var answer messages.GrantAnswer
		require.NoError(t, o.Update(t.Context(), org, messages.Revoke, messages.RevokeInput{
			Person: "p000@example.com", Target: targets[0], RequestedBy: "bo@example.com",
		}, &answer))
		o.eventually(func() bool { return !o.holds("p000", string(targets[0])) })
	})
	require.NoError(t, o.Simulator.ResetStats(t.Context()))
	measured("a full verification", func() {
		state, err := o.Status(t.Context(), org)
		require.NoError(t, err)
		var answer messages.Answer
		require.NoError(t, o.Update(t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"}, &answer))
		_, err = o.Until(t.Context(), org, patience, func(s messages.OrgSyncState) bool {
			return s.LastFull != nil && s.LastFull.Run != state.LastFull.Run && stack.Idle(s)
		})
		require.NoError(t, err)
	})
	stats, err := o.Simulator.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Writes, "a verification changes nothing of what grants give")
}

// more are further entries of the policy, one for each target.
func more(targets []access.Entitlement) (text string) {
	for i, target := range targets {
		text += fmt.Sprintf("  - {name: more-%d, targets: [%q], duration: {max: 10h}}\n", i, target)
	}
	return text
}
