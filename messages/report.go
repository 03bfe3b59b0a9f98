package messages

import (
	"encoding/json"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Kinds of question.
const (
	ReportWhy     = "why"           // why a person holds something, now or at any past instant
	ReportRuns    = "runs"          // the last runs
	ReportPlan    = "plan"          // the lines of a run or of the open hold
	ReportPreview = "preview"       // what a policy would do, nothing written
	ReportForeign = "foreign"       // memberships that nothing in the policy explains
	ReportGrants  = "grants"        // temporary grants, the newest first
	ReportHours   = "grant-hours"   // hours of privilege held by grants, per month, person and target
	ReportLedger  = "verify-ledger" // recompute the ledger's hash chain
)

// ReportInput is a read-only question; the answer is the workflow's result.
type ReportInput struct {
	Org    string             `json:"org"`
	Kind   string             `json:"kind"`
	Person string             `json:"person,omitempty"` // why, grants: e-mail address or account id
	Target access.Entitlement `json:"target,omitempty"` // why, foreign, grants: only this one
	Grant  string             `json:"grant,omitempty"`  // grants: only this request
	Open   bool               `json:"open,omitempty"`   // grants: only those that are not over and done
	Since  time.Time          `json:"since,omitzero"`   // grant-hours: from here on; twelve months when left out
	At     time.Time          `json:"at,omitzero"`      // why: this instant instead of now
	Run    string             `json:"run,omitempty"`    // plan: the run; empty for the open hold
	States []string           `json:"states,omitempty"` // plan: only lines in these states
	Policy json.RawMessage    `json:"policy,omitempty"` // preview: as in OrgSyncInput; empty for the one in force
	Limit  int                `json:"limit,omitempty"`  // rows at most; 200 when left out, 2,000 at most
	After  string             `json:"after,omitempty"`  // the page after this one: next of the last answer
}

// ReportAnswer answers a ReportInput; only the fields of its kind are set.
type ReportAnswer struct {
	Org     string           `json:"org"`
	Kind    string           `json:"kind"`
	Message string           `json:"message"` // the answer in words
	Why     *Why             `json:"why,omitempty"`
	Runs    []RunSummary     `json:"runs,omitempty"`
	Plan    *PlanPage        `json:"plan,omitempty"`
	Foreign []access.Holding `json:"foreign,omitempty"`
	Grants  []access.Grant   `json:"grants,omitempty"`
	Hours   []Privilege      `json:"hours,omitempty"`
	Ledger  *LedgerCheck     `json:"ledger,omitempty"`
	Next    string           `json:"next,omitempty"` // pass as after for more
}

// Why explains what one person holds.
type Why struct {
	Person   access.Person    `json:"person"`
	At       time.Time        `json:"at"`
	Holdings []access.Holding `json:"holdings"`
	History  []LedgerEntry    `json:"history,omitempty"` // the newest first
}

// Privilege is how long one person held one target by grants in one month.
type Privilege struct {
	Month  string             `json:"month"` // 2026-11, in UTC
	Person string             `json:"person"`
	Target access.Entitlement `json:"target"`
	Held   Duration           `json:"held"` // really held: from the write that gave it to the one that took it
	Grants int                `json:"grants"`
}

// PlanPage is a page of a run's plan.
type PlanPage struct {
	Run      RunSummary       `json:"run"`
	Lines    []access.Change  `json:"lines"`
	Findings []access.Finding `json:"findings,omitempty"`
}

// LedgerEntry is one link of the ledger's chain.
type LedgerEntry struct {
	Seq    int64              `json:"seq"`
	At     time.Time          `json:"at"`
	Kind   string             `json:"kind"`
	Run    string             `json:"run,omitempty"`
	Person string             `json:"person,omitempty"`
	Target access.Entitlement `json:"target,omitempty"`
	Body   json.RawMessage    `json:"body,omitempty"`
	Hash   string             `json:"hash"`
}

// LedgerCheck says whether the ledger's chain is whole.
type LedgerCheck struct {
	Whole   bool   `json:"whole"`
	Entries int64  `json:"entries"`
	Head    string `json:"head"` // hash of the last entry: keep it elsewhere to notice a ledger cut short
	Broken  string `json:"broken,omitempty"`
}
