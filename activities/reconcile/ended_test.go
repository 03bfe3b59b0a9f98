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
		"a full verification": func(w *activitytest.SimulatedOrg) { w.Verified() },
		"an event and looks":  func(w *activitytest.SimulatedOrg) { w.Twice(w.Id("carol")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := activitytest.InStep(t)
			w.Leave("eng", "carol")
			w.Set("carol", map[string]any{"remove": true})
			notice(w)
			require.Nil(t, w.Held("carol", activitytest.Builders))
			kind, body := w.Entry("carol", activitytest.Builders)
			require.Equal(t, "holding-ended", kind)
			require.Contains(t, body, "not in the organization any more")

			w.Invite("carol")
			w.ByHand(http.MethodPost, "builders", "carol")
			w.Pass(time.Minute)
			results, _ := w.Verified()
			require.Empty(t, results)
			require.True(t, w.Twice(w.Id("carol")).Quiet())
			require.Contains(t, w.Members("builders"), "carol")
			require.False(t, w.Held("carol", activitytest.Builders).Owned)
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
			w := activitytest.WithGrants(t, activitytest.Lendable)
			g := w.Grant("jo", access.OrgAdmin, 4*time.Hour)
			w.Right(g)
			h := w.Grant("ivo", activitytest.Builders, 4*time.Hour)
			w.Right(h)
			w.Verified()
			w.Pass(time.Hour)
			before := w.Books()
			w.Inject(fault)
			run := w.NewRun()
			w.Sweep(run)
			if verdict, err := activitytest.Call[reconcile.JudgeResult](w, w.Acts.Reconcile.Judge,
				reconcile.JudgeInput{RunInput: run, Scope: messages.ScopeFull, Started: w.Clock()}); err == nil &&
				verdict.Unseen > 0 {
				activitytest.Must[apply.EndedResult](w, w.Acts.Reconcile.CloseEnded, run)
			}
			_, _ = activitytest.Call[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine,
				reconcile.ExamineInput{RunInput: w.NewRun(),
					Scope: activitytest.Named(w.Id("jo"), w.Id("ivo"), w.Id("carol")), First: "run-001"})
			require.Equal(t, before, w.Books())
			require.Equal(t, access.GrantGranted, w.Stored(g).State)
			require.Equal(t, access.GrantGranted, w.Stored(h).State)
		})
	}
}

func TestCloseEndedForgetsAGroupThatIsGone(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Send(http.MethodDelete, "/_sim/groups/builders", nil)
	_, over := w.Verified()
	require.Equal(t, 6, over.Holdings)
	require.Nil(t, w.Held("carol", activitytest.Builders))
	_, body := w.Entry("carol", activitytest.Builders)
	require.Contains(t, body, "the group is not there any more")
}

// Deactivated people keep what they have: when they come back it is still Castellan's to take.
func TestWhoIsDeactivatedStaysOnTheBooks(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	for _, change := range []map[string]any{{"inactive": true}, {"suspended": true}} {
		w.Set("carol", change)
		w.Verified()
		w.Twice(w.Id("carol"))
		require.True(t, w.Held("carol", activitytest.Builders).Owned)
	}
}

func TestVerifyForgetsWhomCastellanRemoved(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	guard := strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1)
	w.Admit(guard + activitytest.Lendable)
	w.Full()
	g := w.Grant("ivo", activitytest.Builders, 4*time.Hour)
	w.Right(g)
	require.True(t, w.Held("ivo", activitytest.Builders).Owned)
	w.Admit(guard + activitytest.Lendable +
		"\nrules:\n  - {name: out, when: 'email == \"ivo@example.com\"', remove: true, mode: enforce, owner: ana@example.com}\n")
	run, _ := w.Planned()
	require.Equal(t, access.Done, w.Write(run)["remove ivo@example.com from the organization"].State, "%v",
		w.Lines(run.Run))
	w.Pass(time.Minute)
	activitytest.Must[reconcile.VerifyResult](w, w.Acts.Reconcile.Verify, run)
	require.Nil(t, w.Held("ivo", activitytest.Builders))
	require.True(t, w.Stored(g).HandTaken)
}

// An app that left its site took the roles on it along, once two reads say so.
func TestCloseEndedForgetsRolesOfAnAppThatIsGone(t *testing.T) {
	t.Parallel()
	w, _ := lent(t, activitytest.Lendable, activitytest.Jira)
	gone := access.Entitlement("role:jira-software/gone/admin")
	h := access.Holding{Person: w.Id("ivo"), Target: gone, Owned: true, From: w.Clock().Add(-time.Hour)}
	require.NoError(t, w.Ledger.SavePage(t.Context(), activitytest.Org, "run-001",
		ledger.Page{Key: "gone", Open: []access.Holding{h}}, w.Clock()))
	w.Inject(cloud.Fault{Operations: []string{"workspaces"}, Kind: cloud.FaultEmptyPage,
		Params: cloud.FaultParams{Next: "drop"}})
	w.Verified()
	require.NotNil(t, w.Held("ivo", gone), "a read without any site says nothing")
	w.Sim.ClearFaults("")
	w.Verified()
	require.Nil(t, w.Held("ivo", gone))
	require.NotNil(t, w.Held("ivo", activitytest.Jira))
}

// Of one group under two names the more careful holds, whichever of them the grant was asked for by.
func TestCloseEndedEndsTheGrantsOfWhoLeftByTheMoreCarefulName(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, `
grants:
  - {name: one, targets: ["default:jira/acme/admin"], duration: {max: 8h}, reason: false, handTaken: restore}
  - {name: two, targets: ["group:jira-admins-acme"], duration: {max: 8h}, reason: false}
`)
	g := w.Grant("ivo", "default:jira-software/acme/admin", 8*time.Hour)
	w.Right(g)
	w.Verified()
	w.Pass(time.Hour)
	w.Set("ivo", map[string]any{"remove": true})
	w.Verified()
	require.True(t, w.Stored(g).HandTaken)
}
