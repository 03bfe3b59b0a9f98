package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// carol leaves the organization, comes back by invitation, and is put among the builders by hand: that is nobody's but
// the administrator's who did it.
func TestCloseEndedForgetsWhoLeftTheOrganization(t *testing.T) {
	t.Parallel()
	for name, notice := range map[string]func(*activitytest.SimulatedOrg){
		"a full verification": func(o *activitytest.SimulatedOrg) { o.VerifyFully() },
		"an event and looks":  func(o *activitytest.SimulatedOrg) { o.LookTwice(o.AccountID("carol")) },
	} {
		t.Run(name, func(t *testing.T) {
			o := activitytest.NewInStep(t)
			o.Leave("eng", "carol")
			o.ChangePerson("carol", map[string]any{"remove": true})
			notice(o)
			require.Nil(t, o.Held("carol", activitytest.Builders))
			kind, body := o.Entry("carol", activitytest.Builders)
			require.Equal(t, "holding-ended", kind)
			require.Contains(t, body, "not in the organization any more")

			o.Invite("carol")
			o.ByHand(http.MethodPost, "builders", "carol")
			o.Advance(time.Minute)
			results, _ := o.VerifyFully()
			require.Empty(t, results)
			require.True(t, o.LookTwice(o.AccountID("carol")).Quiet())
			require.Contains(t, o.Members("builders"), "carol")
			require.False(t, o.Held("carol", activitytest.Builders).Owned)
		})
	}
}

// Whatever one read hides, the others still show.
func TestCloseEndedNeedsEveryRead(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]cloud.Fault{
		"pages without half their people": {Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedPage,
			Seed: 1, Params: cloud.FaultParams{Share: 0.5}},
		"a search that shows nobody": {Operations: []string{"users.search"}, Kind: cloud.FaultEmptyPage,
			Params: cloud.FaultParams{Next: "drop"}},
		"lists of groups cut short": {Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
			Params: cloud.FaultParams{Share: 1}},
		"groups that are not listed": {Operations: []string{"groups.search"}, Kind: cloud.FaultTruncatedPage,
			Seed: 1, Params: cloud.FaultParams{Share: 0.5}},
		"no groups at all": {Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage,
			Params: cloud.FaultParams{Next: "drop"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := activitytest.WithGrants(t, activitytest.Lendable)
			g := o.Grant("jo", access.OrgAdmin, 4*time.Hour)
			o.AttendAll(g)
			h := o.Grant("ivo", activitytest.Builders, 4*time.Hour)
			o.AttendAll(h)
			o.VerifyFully()
			o.Advance(time.Hour)
			before := o.OwnedHoldings()
			o.Inject(fault)
			run := o.NewRun()
			o.Sweep(run)
			if verdict, err := activitytest.Call[reconcile.JudgeResult](o, o.Acts.Reconcile.Judge,
				reconcile.JudgeInput{RunInput: run, Scope: messages.ScopeFull, Started: o.Clock()}); err == nil &&
				verdict.Unseen > 0 {
				activitytest.Must[apply.EndedResult](o, o.Acts.Reconcile.CloseEnded, run)
			}
			_, _ = activitytest.Call[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine,
				reconcile.ExamineInput{RunInput: o.NewRun(),
					Scope: activitytest.Named(o.AccountID("jo"), o.AccountID("ivo"), o.AccountID("carol")), First: "run-001"})
			require.Equal(t, before, o.OwnedHoldings())
			require.Equal(t, access.GrantGranted, o.StoredGrant(g).State)
			require.Equal(t, access.GrantGranted, o.StoredGrant(h).State)
		})
	}
}

func TestCloseEndedForgetsAGroupThatIsGone(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Send(http.MethodDelete, "/_sim/groups/builders", nil)
	_, over := o.VerifyFully()
	require.Equal(t, 6, over.Holdings)
	require.Nil(t, o.Held("carol", activitytest.Builders))
	_, body := o.Entry("carol", activitytest.Builders)
	require.Contains(t, body, "the group is not there any more")
}

// Deactivated people keep what they have: when they come back it is still Castellan's to take.
func TestCloseEndedKeepsHoldingsOfDeactivatedPeople(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	for _, change := range []map[string]any{{"inactive": true}, {"suspended": true}} {
		o.ChangePerson("carol", change)
		o.VerifyFully()
		o.LookTwice(o.AccountID("carol"))
		require.True(t, o.Held("carol", activitytest.Builders).Owned)
	}
}

func TestVerifyForgetsWhomCastellanRemoved(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	guard := strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1)
	o.Admit(guard + activitytest.Lendable)
	o.VerifyEverybody()
	g := o.Grant("ivo", activitytest.Builders, 4*time.Hour)
	o.AttendAll(g)
	require.True(t, o.Held("ivo", activitytest.Builders).Owned)
	o.Admit(guard + activitytest.Lendable +
		"\nrules:\n  - {name: out, when: 'email == \"ivo@example.com\"', remove: true, mode: enforce, owner: ana@example.com}\n")
	run, _ := o.SweepAndJudge()
	require.Equal(t, access.Done, o.Write(run)["remove ivo@example.com from the organization"].State, "%v",
		o.Lines(run.Run))
	o.Advance(time.Minute)
	activitytest.Must[reconcile.VerifyResult](o, o.Acts.Reconcile.Verify, run)
	require.Nil(t, o.Held("ivo", activitytest.Builders))
	require.True(t, o.StoredGrant(g).RemovedByHand)
}

// An app that left its site took the roles on it along, once two reads say so.
func TestCloseEndedForgetsRolesOfAnAppThatIsGone(t *testing.T) {
	t.Parallel()
	o, _ := lent(t, activitytest.Lendable, activitytest.Jira)
	gone := access.Entitlement("role:jira-software/gone/admin")
	h := access.Holding{Person: o.AccountID("ivo"), Target: gone, Owned: true, From: o.Clock().Add(-time.Hour)}
	require.NoError(t, o.Ledger.SavePage(t.Context(), activitytest.Org, "run-001",
		ledger.Page{Key: "gone", Open: []access.Holding{h}}, o.Clock()))
	o.Inject(cloud.Fault{Operations: []string{"workspaces"}, Kind: cloud.FaultEmptyPage,
		Params: cloud.FaultParams{Next: "drop"}})
	o.VerifyFully()
	require.NotNil(t, o.Held("ivo", gone), "a read without any site says nothing")
	o.Sim.ClearFaults("")
	o.VerifyFully()
	require.Nil(t, o.Held("ivo", gone))
	require.NotNil(t, o.Held("ivo", activitytest.Jira))
}

// Of one group under two names the more careful holds, whichever of them the grant was asked for by.
func TestCloseEndedEndsTheGrantsOfWhoLeftByTheMoreCarefulName(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, `
grants:
  - {name: one, targets: ["default:jira/acme/admin"], duration: {max: 8h}, reason: false, handTaken: restore}
  - {name: two, targets: ["group:jira-admins-acme"], duration: {max: 8h}, reason: false}
`)
	g := o.Grant("ivo", "default:jira-software/acme/admin", 8*time.Hour)
	o.AttendAll(g)
	o.VerifyFully()
	o.Advance(time.Hour)
	o.ChangePerson("ivo", map[string]any{"remove": true})
	o.VerifyFully()
	require.True(t, o.StoredGrant(g).RemovedByHand)
}
