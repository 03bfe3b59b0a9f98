package workflows_test

import (
	"net/http"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// playRestores restores a group that its identity provider deleted, renewed while the preview waits, and rejects the
// restore of another.
func playRestores(r *recordedOrg) {
	r.start("adopt: auto")
	r.until(func(s messages.OrgSyncState) bool { return s.Adopted && idle(s) })
	lost := map[string]string{}
	for _, g := range r.sim.State().Groups {
		if g.Synced {
			lost[g.Name] = g.ID
			r.send(http.MethodDelete, "/scim/directory/"+r.sim.Info().SCIMDirectoryID+"/Groups/"+g.SCIMGroupID)
		}
	}
	r.update(messages.SyncNow, messages.SyncNowInput{By: "carol"})
	r.until(idle)
	start := func(group string) messages.RestoreState {
		r.t.Helper()
		id := messages.RestoreID(org, lost[group])
		_, err := r.client.ExecuteWorkflow(r.t.Context(), client.StartWorkflowOptions{ID: id,
			TaskQueue: messages.QueueWorkflows}, messages.GroupRestore, messages.RestoreInput{By: "carol"})
		require.NoError(r.t, err)
		return statusOf(r, id, func(s messages.RestoreState) bool { return s.Hold != nil })
	}
	decide := func(s messages.RestoreState, decision, end string) {
		r.t.Helper()
		r.updateOf(s.Workflow, decision, messages.DecisionInput{Plan: s.Hold.Plan, By: "carol"})
		require.NoError(r.t, r.client.GetWorkflow(r.t.Context(), s.Workflow, "").Get(r.t.Context(), &s))
		require.Equal(r.t, end, s.State, "%+v", s)
	}
	rejected := start("support")
	decide(rejected, messages.RejectPlan, messages.RestoreRejected)
	r.save("restore-rejected", rejected.Workflow)
	eng := start("eng")
	r.renew("restore-waiting", eng.Workflow)
	decide(eng, messages.ApprovePlan, messages.RestoreDone)
	r.save("restore-done", eng.Workflow)
	r.save("reconcile-restore", messages.ReconcileID(org, eng.Run)+":approved")
	r.end("restores")
}

// send makes a call of an identity provider.
func (r *recordedOrg) send(method, path string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, nil)
	require.NoError(r.t, err)
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultSCIMKey)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	require.NoError(r.t, answer.Body.Close())
	require.Less(r.t, answer.StatusCode, 300)
}
