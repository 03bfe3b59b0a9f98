// Package messages has all messages between ops, workflows and commands: the names of workflows, signals, updates,
// queries, task queues and search attributes, and their JSON objects.
//
// Durations are written "2h30m", instants as RFC 3339. Every input is one JSON object; unknown fields are refused.
package messages

import (
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
)

// Task queues: workflow tasks on one, calls to Atlassian or the ledger on another, so that a rate limit never delays
// workflow tasks. Watches have a queue of their own: each occupies a slot for as long as its organization is watched,
// and must take none from the calls.
const (
	QueueWorkflows = "castellan"
	QueueAtlassian = "castellan-atlassian"
	QueueWatches   = "castellan-watches"
)

// You stands in printed commands for whoever types them. It decides nothing, unless the directory has that address.
const You = "you@example.com"

// TaskTimeout is how long after a worker died another one repeats its workflow task.
const TaskTimeout = 5 * time.Second

// PriorityOfSync puts OrgSync's tasks ahead of those of grants, whose default is 3.
const PriorityOfSync = 1

// Workflow types.
const (
	OrgSync        = "OrgSync"
	Reconcile      = "Reconcile"
	Report         = "Report"
	TemporaryGrant = "TemporaryGrant"
	AccessReview   = "AccessReview"
	Link           = "Link"
	GroupRestore   = "GroupRestore"
	Ledger         = "Ledger"
)

// What OrgSync accepts. Each is an update (validated, answered) and a signal of the same name and body (recorded, shown
// in the status).
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

	AcceptSource = "accept-source"
	ProvisionNow = "provision-now"

	AcceptConflict = "accept-conflict"
	RejectConflict = "reject-conflict"
)

// What OrgSync, by request, and TemporaryGrant accept in the same way; and Revoke.
const (
	Approve = "approve"
	Deny    = "deny"
	Extend  = "extend"
)

// What AccessReview accepts in the same way; and Extend.
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

// ForceContinueAsNew is a signal to OrgSync, TemporaryGrant, AccessReview, Link and GroupRestore, without a body, that
// starts a new history now, as a repair.
const ForceContinueAsNew = "force-continue-as-new"

// Link and GroupRestore accept ApprovePlan and RejectPlan for their previews.

// Status is the query of OrgSync, Reconcile, TemporaryGrant, AccessReview, Link and GroupRestore.
const Status = "status"

// Between OrgSync and its Reconcile.
const (
	Gate         = "gate"     // OrgSync to Reconcile: whether it may write (GateSignal)
	RunProgress  = "progress" // Reconcile to OrgSync: its progress (RunSummary)
	WritesPaused = "aside"    // Reconcile to OrgSync: it has paused, and no write is in flight (WritesPausedSignal)
)

// Between OrgSync and TemporaryGrant, and from activities to TemporaryGrant.
const (
	Look            = "look"     // to a grant, a review, a batch of links, a restore: read the ledger (no body)
	ReconcileGrant  = "attend"   // to OrgSync: reconcile this person (ReconcileGrantSignal)
	GrantReconciled = "attended" // to a grant: the result (GrantReconciledSignal)
)

// LinkWave is a signal from Link to OrgSync: write these people's lines of an approved batch (LinkWaveSignal). Look
// answers it at the run's end.
const LinkWave = "link-wave"

// RestoreGroup is a signal from GroupRestore to OrgSync: write the approved lines of a restore (RestoreGroupSignal).
// Look answers it at the run's end.
const RestoreGroup = "restore-group"

// LookAt is a signal from AccessReview to OrgSync: verdicts came into force, so look at these people (LookAtSignal).
const LookAt = "look-at"

// Search attributes, registered by `starter apply`. All are keywords but CastellanUntil, an instant, and
// CastellanSource, a list of keywords: see SourceKeyword.
var (
	AttributeOrg    = temporal.NewSearchAttributeKeyKeyword("CastellanOrg")
	AttributeState  = temporal.NewSearchAttributeKeyKeyword("CastellanState")
	AttributeTarget = temporal.NewSearchAttributeKeyKeyword("CastellanTarget")
	AttributePerson = temporal.NewSearchAttributeKeyKeyword("CastellanPerson")
	AttributeUntil  = temporal.NewSearchAttributeKeyTime("CastellanUntil")

	AttributeCampaign = temporal.NewSearchAttributeKeyKeyword("CastellanCampaign")
	AttributeSource   = temporal.NewSearchAttributeKeyKeywordList("CastellanSource")
)

// Attributes returns all search attributes with their types, to register them.
func Attributes() map[string]enumspb.IndexedValueType {
	all := map[string]enumspb.IndexedValueType{}
	for _, key := range []temporal.SearchAttributeKey{AttributeOrg, AttributeState, AttributeTarget, AttributePerson,
		AttributeUntil, AttributeCampaign, AttributeSource} {
		all[key.GetName()] = key.GetValueType()
	}
	return all
}

const orgSyncPrefix = "org-sync:"

// OrgSyncID returns the workflow ID of an organization's sync loop.
func OrgSyncID(org string) string { return orgSyncPrefix + org }

// OrgOf returns the organization's short name in an OrgSync workflow ID; ok is false for any other ID.
func OrgOf(workflowID string) (org string, ok bool) {
	org, ok = strings.CutPrefix(workflowID, orgSyncPrefix)
	return org, ok && org != ""
}

// ReconcileID returns the workflow ID of one run.
func ReconcileID(org, run string) string { return "reconcile:" + org + ":" + run }

const reviewPrefix = "access-review:"

// ReviewID returns the workflow ID of one review; review is its campaign and its date.
func ReviewID(org, review string) string { return reviewPrefix + org + ":" + review }

// ReviewOf returns the review in the workflow ID of one of the organization's; ok is false for any other ID.
func ReviewOf(org, workflowID string) (review string, ok bool) {
	review, ok = strings.CutPrefix(workflowID, reviewPrefix+org+":")
	return review, ok && review != ""
}

// ReportID returns the workflow ID of one question.
func ReportID(org, kind, id string) string { return "report:" + org + ":" + kind + ":" + id }
