package messages

import (
	"encoding/json"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Kinds of report.
const (
	ReportWhy        = "why"           // why a person holds something, now or at any past instant
	ReportRuns       = "runs"          // the last runs
	ReportPlan       = "plan"          // the lines of a run or of the open hold
	ReportPreview    = "preview"       // what a policy would do, without writing
	ReportForeign    = "foreign"       // memberships that nothing in the policy explains
	ReportGrants     = "grants"        // temporary grants, the newest first
	ReportHours      = "grant-hours"   // hours of privilege held by grants, per month, person and target
	ReportGovernance = "governance"    // examine the whole organization, and store the findings
	ReportFindings   = "findings"      // a stored governance report, in one of its formats
	ReportExplain    = "explain"       // the whole decision for one person, now or under assumptions
	ReportReviews    = "reviews"       // access reviews, the newest first
	ReportReview     = "review"        // the items of one review
	ReportEvidence   = "evidence"      // the evidence of one review that has ended
	ReportIdentities = "identities"    // the people of identity sources, with their accounts, records and states
	ReportLinks      = "links"         // the people of a batch of links, and what became of them
	ReportConflicts  = "conflicts"     // groups of identity sources that differ from those at Atlassian
	ReportGroups     = "groups"        // the records of groups, or who is in one by its record
	ReportLedger     = "verify-ledger" // recompute the ledger's hash chain, and compare the tables with it
)

// LaneIdentity is the lane of what is held of records in SCIM directories.
const LaneIdentity = "identity"

// ReportInput is a read-only question; the answer is the workflow's result.
type ReportInput struct {
	Org    string             `json:"org"`
	Kind   string             `json:"kind"`
	Person string             `json:"person,omitempty"` // why, explain, grants: e-mail address or account id
	If     []string           `json:"if,omitempty"`     // explain: assumptions, for example groups+=it-ops
	Target access.Entitlement `json:"target,omitempty"` // why, foreign, grants: only this one
	Grant  string             `json:"grant,omitempty"`  // grants: only this request
	// grants: only those that are not over; review: only what nobody has decided
	Open   bool      `json:"open,omitempty"`
	Since  time.Time `json:"since,omitzero"`   // grant-hours: from here on; default twelve months
	At     time.Time `json:"at,omitzero"`      // why: this instant instead of now
	Run    string    `json:"run,omitempty"`    // plan: the run; empty for the open hold
	States []string  `json:"states,omitempty"` // plan: only lines in these states
	// plan, without a run: identity for what is held of records; otherwise what is held of access, or else of records
	Lane string `json:"lane,omitempty"`
	// identities: only people of this provision, of this source, in this state
	Provision string          `json:"provision,omitempty"`
	Source    string          `json:"source,omitempty"`
	State     string          `json:"state,omitempty"`
	Policy    json.RawMessage `json:"policy,omitempty"` // preview: as in OrgSyncInput; empty for the one in force
	// findings: which report, by default the newest; review, evidence: which review; links: which batch; conflicts: the
	// group whose people are listed; groups: the members of this group, by its id or name
	ID       string `json:"id,omitempty"`
	Campaign string `json:"campaign,omitempty"` // reviews: only of this one
	By       string `json:"by,omitempty"`       // review: only the items of this reviewer
	// governance: a schedule started it, so the people named by the policy are notified
	Scheduled bool   `json:"scheduled,omitempty"`
	Format    string `json:"format,omitempty"` // findings: summary, json, csv or html
	// verify-ledger: N:HASH, an entry's number and hash, kept elsewhere
	Head  string `json:"head,omitempty"`
	Lost  bool   `json:"lost,omitempty"`  // groups: only those that are lost
	Limit int    `json:"limit,omitempty"` // rows at most; default 200, maximum 2,000
	After string `json:"after,omitempty"` // the page after this one: next of the last answer
}

// ReportAnswer answers a ReportInput; only the fields of its kind are set.
type ReportAnswer struct {
	Org      string           `json:"org"`
	Kind     string           `json:"kind"`
	Message  string           `json:"message"` // the answer in words
	Why      *Why             `json:"why,omitempty"`
	Explain  *Explanation     `json:"explain,omitempty"`
	Report   *Governance      `json:"report,omitempty"`
	Runs     []RunSummary     `json:"runs,omitempty"`
	Plan     *PlanPage        `json:"plan,omitempty"`
	Foreign  []access.Holding `json:"foreign,omitempty"`
	Grants   []access.Grant   `json:"grants,omitempty"`
	Hours    []Privilege      `json:"hours,omitempty"`
	Reviews  []ListedReview   `json:"reviews,omitempty"`
	Review   *ReviewStatus    `json:"review,omitempty"`
	Items    []access.Item    `json:"items,omitempty"`
	Evidence *Evidence        `json:"evidence,omitempty"`
	Ledger   *LedgerCheck     `json:"ledger,omitempty"`
	People   []PersonState    `json:"people,omitempty"`
	States   []PeopleCount    `json:"states,omitempty"` // with the first page of people
	Links    []LinkPerson     `json:"links,omitempty"`
	// Conflicts are all of them, or those of one group; Conflicted are the people of the latter.
	Conflicts  []GroupConflict  `json:"conflicts,omitempty"`
	Conflicted []ConflictPerson `json:"conflicted,omitzero"`
	Groups     []RecordedGroup  `json:"groups,omitempty"`
	Members    []RecordedMember `json:"members,omitempty"`
	Next       string           `json:"next,omitempty"` // pass as after for more
}

// Why explains what one person holds.
type Why struct {
	Person access.Person `json:"person"`
	At     time.Time     `json:"at"`
	// Missing is since when reads have not shown the person; zero while they do.
	Missing  time.Time        `json:"missing,omitzero"`
	Holdings []access.Holding `json:"holdings"`
	History  []LedgerEntry    `json:"history,omitempty"` // the newest first
}

// Governance is a governance report: its summary and, if requested, a piece of its document.
type Governance struct {
	ID       string           `json:"id"`
	At       time.Time        `json:"at"`
	Sections []SectionSummary `json:"sections,omitempty"`
	// Document is a piece of the report in the requested format, compressed with gzip. Next of the answer is the next
	// piece; the pieces together are the file.
	Document []byte `json:"document,omitempty"`
}

// SectionSummary is one section of a governance report in numbers.
type SectionSummary struct {
	Key        string `json:"key"`
	Title      string `json:"title"`
	Severity   string `json:"severity"`
	Count      int    `json:"count"`
	New        int    `json:"new"`  // since the report before; -1: unknown
	Gone       int    `json:"gone"` // likewise
	Incomplete string `json:"incomplete,omitempty"`
}

// Explanation is the whole decision for one person.
type Explanation struct {
	Person   access.Person     `json:"person"`
	At       time.Time         `json:"at"`
	Supposed []string          `json:"supposed,omitempty"` // the assumptions that are not so in fact
	Facts    []Fact            `json:"facts"`
	Mappings []Statement       `json:"mappings"`
	Rules    []Statement       `json:"rules,omitempty"`
	Grants   []Statement       `json:"grants,omitempty"`
	Reviews  []Statement       `json:"reviews,omitempty"` // decisions that affect what the person should hold
	Targets  []ExplainedTarget `json:"targets"`           // those that are held or that something gives or denies
	Others   int               `json:"others"`            // the number of all other targets
	Changes  []access.Change   `json:"changes"`           // what would be done; heldBy is what the guard stops
	Guard    []string          `json:"guard,omitempty"`
	Rejected []access.Change   `json:"rejected,omitempty"` // what would be done if somebody had not rejected it
	// Identities are what the person is in identity sources, Records what provisions make of that. Of somebody without
	// an account there is nothing else.
	Identities []ExplainedIdentity `json:"identities,omitempty"`
	Records    []ExplainedRecord   `json:"records,omitempty"`
}

// The states of people of sources that nothing provisions. Those of a provision are package identity's.
const (
	PersonLinked    = "linked"
	PersonNoAccount = "no account"
)

// PersonState is how somebody of an identity source stands to their account and their record.
type PersonState struct {
	Identity  string    `json:"identity,omitempty"`  // "source:key"; "": a record of nobody's
	Provision string    `json:"provision,omitempty"` // "": nothing provisions the source
	Address   string    `json:"address,omitempty"`
	State     string    `json:"state"`
	Account   string    `json:"account,omitempty"` // id
	Record    string    `json:"record,omitempty"`  // id
	Detail    string    `json:"detail,omitempty"`  // what was found, or why there is no account
	Stated    time.Time `json:"stated,omitzero"`   // when a source that posts stated last what it knows of the person
}

// PeopleCount counts people in a state.
type PeopleCount struct {
	Of    string `json:"of"` // "provision staff", "source corp"
	State string `json:"state"`
	Count int    `json:"count"`
}

// ExplainedIdentity is what an identity source says of a person.
type ExplainedIdentity struct {
	Identity string    `json:"identity"` // "source:key"
	Address  string    `json:"address,omitempty"`
	State    string    `json:"state"` // in the source: present, missing, gone, outOfScope, and disabled
	Since    time.Time `json:"since"`
	// Stated is when a source that posts stated this, and Lapsed that it does not count any more; see sources.valid.
	Stated  time.Time `json:"stated,omitzero"`
	Lapsed  bool      `json:"lapsed,omitempty"`
	Account string    `json:"account,omitempty"` // id of the account that it is
	// Linked is since when it is that account, and LinkedBy who decided that, or the address that did.
	Linked   time.Time `json:"linked,omitzero"`
	LinkedBy string    `json:"linkedBy,omitempty"`
	// Attributes are the values for records, by attribute and expression.
	Attributes []Fact           `json:"attributes,omitempty"`
	Groups     []ExplainedGroup `json:"groups,omitempty"` // that give something, or will
	Others     int              `json:"others,omitempty"` // the number of all other groups
}

// ExplainedGroup is a group of an identity source, and what it gives.
type ExplainedGroup struct {
	Group string               `json:"group"`
	Gives []access.Entitlement `json:"gives"`
	// Waits is the group at Atlassian that follows it once somebody has decided how the two differ.
	Waits string `json:"waits,omitempty"`
}

// ExplainedRecord is what a provision decides about a person's record.
type ExplainedRecord struct {
	Provision string        `json:"provision"`
	State     string        `json:"state"`
	Record    string        `json:"record,omitempty"`  // id
	Account   string        `json:"account,omitempty"` // id of the account that the record is linked to
	Found     string        `json:"found,omitempty"`   // how: binding, externalId or email
	Bound     time.Time     `json:"bound,omitzero"`    // since when the identity is bound to the record
	BoundBy   string        `json:"boundBy,omitempty"`
	Action    string        `json:"action"`          // of the next run: keep, create, update, deactivate or reactivate
	Edits     []access.Edit `json:"edits,omitempty"` // what it would write; from is what it would overwrite
	HeldBy    []string      `json:"heldBy,omitempty"`
	Due       time.Time     `json:"due,omitzero"` // a leaver's record is deactivated then
	Notes     []string      `json:"notes,omitempty"`
	// Groups are those of the directory that the person is in, joins or leaves.
	Groups []ExplainedMembership `json:"groups,omitempty"`
}

// ExplainedMembership is somebody's membership in a group of a SCIM directory, and why.
type ExplainedMembership struct {
	Group    string   `json:"group"`           // its name in the directory
	Source   string   `json:"source"`          // the source's group that it follows
	Entry    string   `json:"entry,omitempty"` // of the policy's groups
	Standing string   `json:"standing"`        // member, joins or leaves: in the next run
	HeldBy   []string `json:"heldBy,omitempty"`
}

// Fact is one fact of a person as conditions see it.
type Fact struct {
	Name    string `json:"name"`
	Value   string `json:"value,omitempty"`
	Unknown string `json:"unknown,omitempty"` // why it is unknown
}

// Statement is the effect of one mapping, rule, grant or review on a person.
type Statement struct {
	Name    string    `json:"name"`
	Verdict string    `json:"verdict"`
	Why     string    `json:"why,omitempty"`
	Until   time.Time `json:"until,omitzero"` // when it changes by itself
}

// ExplainedTarget is one target in relation to a person.
type ExplainedTarget struct {
	Target  access.Entitlement `json:"target"`
	Held    string             `json:"held"` // yes, no or unknown
	Owned   bool               `json:"owned,omitempty"`
	Since   time.Time          `json:"since,omitzero"`
	Reasons []access.Reason    `json:"reasons,omitempty"` // to hold it
	Denied  []access.Reason    `json:"denied,omitempty"`  // not to hold it
	Unsure  []access.Reason    `json:"unsure,omitempty"`  // may give it, or deny it: unknown
}

// Privilege is how long one person held one target by grants in one month.
type Privilege struct {
	Month  string             `json:"month"` // 2026-11, in UTC
	Person string             `json:"person"`
	Target access.Entitlement `json:"target"`
	Held   Duration           `json:"held"` // from the write that gave it to the one that removed it
	Grants int                `json:"grants"`
}

// PlanPage is a page of a run's plan.
type PlanPage struct {
	Run      RunSummary       `json:"run"`
	Held     string           `json:"held,omitempty"` // the hash by which what is held is approved; only of an open hold
	Lines    []access.Change  `json:"lines"`
	Findings []access.Finding `json:"findings,omitempty"` // the first of them
	Noticed  []string         `json:"noticed,omitempty"`  // all of them in words, equal ones in one line
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

// LedgerCheck is whether the ledger's chain is intact, and explains the rows of the ledger.
type LedgerCheck struct {
	Whole   bool   `json:"whole"`
	Entries int64  `json:"entries"`
	Head    string `json:"head"` // hash of the last entry: keep it elsewhere to notice a truncated ledger
	Broken  string `json:"broken,omitempty"`

	Rows int64 `json:"rows"` // of the ledger that match the chain
	// of these, from before the ledger recorded rows: the chain tells only how they were then
	Before      int64    `json:"before,omitempty"`
	Unexplained int64    `json:"unexplained,omitempty"` // rows that do not match the chain, or are missing
	Named       []string `json:"named,omitempty"`       // the first 100 of them
}
