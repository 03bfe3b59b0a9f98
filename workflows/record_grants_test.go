package workflows_test

import (
	"net/http"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	vault  = access.Entitlement("group:vault")
	free   = "grants:\n  - {name: vault, targets: [\"group:vault\"], duration: {max: 1h}}"
	strict = "grants:\n  - {name: vault, targets: [\"group:vault\"], duration: {max: 1h}, approval: {by: [carol@example.com]}, extend: {max: 4h}}"
)

// borrow asks for a grant of the vault, and returns its workflow.
func (r *recordedOrg) borrow(person string, d time.Duration) string {
	r.t.Helper()
	r.update(messages.Grant, messages.GrantInput{
		Person: person + "@example.com", Target: vault, Duration: messages.Duration(d), Reason: "INC-1",
		RequestedBy: "ana@example.com",
	})
	return messages.GrantID(org, vault, person+"@example.com")
}

// stands waits for a grant's workflow to be in a state.
func (r *recordedOrg) stands(workflowID, state string) messages.GrantState {
	r.t.Helper()
	return statusOf(r, workflowID, func(s messages.GrantState) bool { return s.State == state })
}

// over waits for a grant's workflow to have ended.
func (r *recordedOrg) over(workflowID string) {
	r.t.Helper()
	require.NoError(r.t, r.client.GetWorkflow(r.t.Context(), workflowID, "").Get(r.t.Context(), nil))
}

// lent waits for the end of a run of grants after another run.
func (r *recordedOrg) lent(after string) messages.RunSummary {
	r.t.Helper()
	state := r.until(func(s messages.OrgSyncState) bool {
		return s.LastRun != nil && s.LastRun.Scope == messages.ScopeGrants && s.LastRun.Run > after
	})
	return *state.LastRun
}

// A grant is given and taken back, and another one while the organization is paused.
func playGrant(r *recordedOrg) {
	r.grants = free
	r.adopt()
	id := r.borrow("ivo", 5*time.Second)
	given := r.lent("")
	r.save("reconcile-lent", messages.ReconcileID(org, given.Run))
	r.over(id)
	taken := r.lent(given.Run)
	r.save("reconcile-taken-back", messages.ReconcileID(org, taken.Run))
	r.save("grant-plain", id)
	r.update(messages.Pause, messages.PauseInput{By: "ana", Reason: "audit"})
	paused := r.borrow("jo", 5*time.Second)
	r.over(paused)
	r.save("grant-while-paused", paused)
	r.update(messages.Resume, messages.ResumeInput{By: "ana"})
	r.until(idle)
	r.end("grants")
}

// A grant is approved, prolonged, and ended early; another one is denied.
func playDecidedGrant(r *recordedOrg) {
	r.grants = strict
	r.adopt()
	id := r.borrow("ivo", 10*time.Minute)
	r.stands(id, messages.GrantWaiting)
	r.updateOf(id, messages.Approve, messages.ApprovalInput{By: "carol@example.com", Note: "CHG-1"})
	r.stands(id, messages.GrantActive)
	r.updateOf(id, messages.Extend,
		messages.ExtendInput{Duration: messages.Duration(time.Hour), RequestedBy: "ivo@example.com",
			Reason: "not done"})
	statusOf(r, id, func(s messages.GrantState) bool { return len(s.Grants) == 2 })
	require.NoError(r.t, r.client.SignalWorkflow(r.t.Context(), id, "", "revok", nil))
	statusOf(r, id, func(s messages.GrantState) bool { return len(s.Refused) == 1 })
	r.updateOf(id, messages.Revoke, messages.RevokeInput{RequestedBy: "ivo@example.com", Reason: "done"})
	r.over(id)
	r.save("grant-decided", id)

	denied := r.borrow("jo", 10*time.Minute)
	r.stands(denied, messages.GrantWaiting)
	require.NoError(r.t, r.client.SignalWorkflow(r.t.Context(), denied, "", messages.Deny,
		messages.ApprovalInput{By: "carol@example.com"}))
	r.over(denied)
	r.save("grant-denied", denied)

	cancelled := r.borrow("gil", 10*time.Minute)
	r.stands(cancelled, messages.GrantWaiting)
	r.updateOf(cancelled, messages.Approve, messages.ApprovalInput{By: "carol@example.com"})
	r.stands(cancelled, messages.GrantActive)
	require.NoError(r.t, r.client.CancelWorkflow(r.t.Context(), cancelled, ""))
	require.Error(r.t, r.client.GetWorkflow(r.t.Context(), cancelled, "").Get(r.t.Context(), nil))
	r.save("grant-cancelled", cancelled)
	r.end("decided-grants")
}

// A grant cannot be taken back for a while, and starts a fresh history meanwhile.
func playBlockedGrant(r *recordedOrg) {
	r.grants = free
	r.adopt()
	id := r.borrow("ivo", 5*time.Second)
	r.stands(id, messages.GrantActive)
	_, err := r.sim.Inject(cloud.Fault{
		Operations: []string{"memberships.remove"}, Kind: cloud.FaultStatus,
		Params: cloud.FaultParams{Status: http.StatusForbidden},
	})
	require.NoError(r.t, err)
	r.stands(id, messages.GrantBlocked)
	r.renew("grant-blocked", id)
	r.sim.ClearFaults("")
	r.over(id)
	r.save("grant-carried", id)
	r.end("blocked-grant")
}

// A signal comes with the very first task: it is none that nobody listens to.
func playSignalled(r *recordedOrg) {
	_, err := r.client.SignalWithStartWorkflow(r.t.Context(), messages.OrgSyncID(org), messages.Revoke,
		messages.RevokeInput{Request: "g1", RequestedBy: "ana@example.com"}, client.StartWorkflowOptions{
			ID: messages.OrgSyncID(org), TaskQueue: messages.QueueWorkflows,
			WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		}, messages.OrgSync, messages.OrgSyncInput{Policy: r.policy("adopt: auto"), By: "ana"})
	require.NoError(r.t, err)
	state := r.until(func(s messages.OrgSyncState) bool { return len(s.Refused) == 1 && idle(s) })
	require.Contains(r.t, state.Refused[0].Why, "request g1 is not known", "the ledger was not asked")
	r.end("signalled")
}
