// Package messages is all that ops, workflows and commands say to each other: the names of workflows, signals, updates,
// queries, task queues and search attributes, and the JSON objects that travel with them.
//
// Durations are written "2h30m", instants as RFC 3339. Every input is one JSON object; unknown fields are refused.
package messages

import (
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
)

// Task queues: workflow tasks on one, what calls Atlassian or the ledger on another, so that workflow tasks are never
// held back by a rate limit. Watches have a queue of their own: each holds a place for as long as its organization is
// watched, and however many there are, they take none from the calls.
const (
	QueueWorkflows = "castellan"
	QueueAtlassian = "castellan-atlassian"
	QueueWatches   = "castellan-watches"
)

// You stands in printed commands for whoever types them. Nobody decides by it, unless the directory knows it.
const You = "you@example.com"

// TaskTimeout is after how long a step of a workflow is done again by another worker, when the one that had it died.
const TaskTimeout = 5 * time.Second

// PriorityOfSync puts the steps of OrgSync ahead of those of grants, which are 3 unless somebody says otherwise.
const PriorityOfSync = 1

// Workflow types.
const (
	OrgSync        = "OrgSync"
	Reconcile      = "Reconcile"
	Report         = "Report"
	TemporaryGrant = "TemporaryGrant"
	AccessReview   = "AccessReview"
	Ledger         = "Ledger"
)

// What OrgSync listens to. Each is an update (validated, answered) and a signal of the same name and body (recorded,
// shown in the status).
const (
	ApplyPolicy = "apply-policy"
	ApprovePlan = "approve-plan"
	RejectPlan  = "reject-plan"
	SyncNow     = "sync-now"
	Pause       = "pause"
	Resume      = "resume"
	Undo        = "undo"
	Grant       = "grant"
	Revoke      = "revoke"
)

// What OrgSync listens to, by request, and TemporaryGrant, in the same way; and Revoke.
const (
	Approve = "approve"
	Deny    = "deny"
	Extend  = "extend"
)

// What AccessReview listens to, in the same way; and Extend.
const (
	DecideItems   = "decide"
	DelegateItems = "delegate"
	CommentItem   = "comment"
	ReopenItems   = "reopen"
	Remind        = "remind"
	RevokeLinks   = "revoke-links"
	CloseReview   = "close"
	CancelReview  = "cancel"
)

// ForceContinueAsNew is a signal of OrgSync, TemporaryGrant and AccessReview without a body: the repair tool that
// starts a fresh history now.
const ForceContinueAsNew = "force-continue-as-new"

// Status is the query of OrgSync, Reconcile, TemporaryGrant and AccessReview.
const Status = "status"

// Between OrgSync and its Reconcile.
const (
	Gate         = "gate"     // OrgSync to Reconcile: may it write? (GateSignal)
	RunProgress  = "progress" // Reconcile to OrgSync: how far it is (RunSummary)
	WritesPaused = "aside"    // Reconcile to OrgSync: it stands aside, nothing of it is in flight (WritesPausedSignal)
)

// Between OrgSync and TemporaryGrant, and from activities to TemporaryGrant.
const (
	Look            = "look"     // to a grant or a review: something about it changed in the ledger, read it (no body)
	ReconcileGrant  = "attend"   // to OrgSync: put this person right (ReconcileGrantSignal)
	GrantReconciled = "attended" // to a grant: what came of it (GrantReconciledSignal)
)

// LookAt is a signal from AccessReview to OrgSync: verdicts came into force, look at these people (LookAtSignal).
const LookAt = "look-at"

// Search attributes, registered by `starter apply`. All are keywords but CastellanUntil, an instant.
var (
	AttributeOrg    = temporal.NewSearchAttributeKeyKeyword("CastellanOrg")
	AttributeState  = temporal.NewSearchAttributeKeyKeyword("CastellanState")
	AttributeTarget = temporal.NewSearchAttributeKeyKeyword("CastellanTarget")
	AttributePerson = temporal.NewSearchAttributeKeyKeyword("CastellanPerson")
	AttributeUntil  = temporal.NewSearchAttributeKeyTime("CastellanUntil")

	AttributeCampaign = temporal.NewSearchAttributeKeyKeyword("CastellanCampaign")
)

// Attributes are all search attributes with their types, for registering them.
func Attributes() map[string]enumspb.IndexedValueType {
	all := map[string]enumspb.IndexedValueType{}
	for _, key := range []temporal.SearchAttributeKey{AttributeOrg, AttributeState, AttributeTarget, AttributePerson,
		AttributeUntil, AttributeCampaign} {
		all[key.GetName()] = key.GetValueType()
	}
	return all
}

const orgSyncPrefix = "org-sync:"

// OrgSyncID is the workflow ID of an organization's sync loop.
func OrgSyncID(org string) string { return orgSyncPrefix + org }

// OrgOf is the organization's short name in an OrgSync workflow ID; ok is false for any other ID.
func OrgOf(workflowID string) (org string, ok bool) {
	org, ok = strings.CutPrefix(workflowID, orgSyncPrefix)
	return org, ok && org != ""
}

// ReconcileID is the workflow ID of one run.
func ReconcileID(org, run string) string { return "reconcile:" + org + ":" + run }

const reviewPrefix = "access-review:"

// ReviewID is the workflow ID of one review; review is its campaign and its date.
func ReviewID(org, review string) string { return reviewPrefix + org + ":" + review }

// ReviewOf is the review in the workflow ID of one of the organization's; ok is false for any other ID.
func ReviewOf(org, workflowID string) (review string, ok bool) {
	review, ok = strings.CutPrefix(workflowID, reviewPrefix+org+":")
	return review, ok && review != ""
}

// ReportID is the workflow ID of one question.
func ReportID(org, kind, id string) string { return "report:" + org + ":" + kind + ":" + id }
