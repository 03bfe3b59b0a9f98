package messages

import (
	"encoding/json"
	"time"
)

// OrgSyncInput starts an organization's sync loop.
type OrgSyncInput struct {
	// Policy is the policy file: as a JSON object, or as one JSON string that holds the YAML.
	Policy json.RawMessage `json:"policy,omitempty"`
	By     string          `json:"by,omitempty"` // who starts it, for the ledger
	// EndIfRefused: the workflow ends if its first policy is refused, so that a mistake leaves nothing behind.
	EndIfRefused bool `json:"endIfRefused,omitempty"`
	// State is carried by continue-as-new; leave it out.
	State *OrgSyncState `json:"state,omitempty"`
}

// PolicyInput is the body of apply-policy.
type PolicyInput struct {
	Policy json.RawMessage `json:"policy"` // as in OrgSyncInput
	By     string          `json:"by"`
}

// PolicyAnswer is the result of apply-policy.
type PolicyAnswer struct {
	Policy   string   `json:"policy"` // the policy's hash
	Changed  bool     `json:"changed"`
	Mappings int      `json:"mappings"`
	Targets  int      `json:"targets"`
	Findings []string `json:"findings,omitempty"`
	Next     string   `json:"next"` // what happens now
}

// DecisionInput is the body of approve-plan and reject-plan.
type DecisionInput struct {
	Plan string `json:"plan"` // hash of the held plan, "sha256:…"
	By   string `json:"by"`
	Note string `json:"note,omitempty"` // for example a change ticket
}

// SyncNowInput is the body of sync-now: everything, or one person.
type SyncNowInput struct {
	Person string `json:"person,omitempty"` // e-mail address or account id; empty: a full verification
	By     string `json:"by,omitempty"`
	DryRun bool   `json:"dryRun,omitempty"` // plan and record, write nothing
}

// PauseInput is the body of pause.
type PauseInput struct {
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// ResumeInput is the body of resume.
type ResumeInput struct {
	By string `json:"by"`
}

// UndoInput is the body of undo: the changes of a run are reversed, subject to the same guard. It pauses the
// organization, since the policy would make the same changes again.
type UndoInput struct {
	Run    string `json:"run"`
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// Answer is what the other updates return.
type Answer struct {
	Message string      `json:"message"`
	Run     *RunSummary `json:"run,omitempty"`
}

// The states of an organization, as shown in CastellanState.
const (
	StateStarting  = "starting"  // no policy applied yet
	StateOK        = "ok"        // in step, watching
	StateVerifying = "verifying" // a full verification is under way
	StateApplying  = "applying"  // changes are being written
	StateHeld      = "held"      // changes wait for a person's decision
	StatePaused    = "paused"
	StateProblem   = "problem" // something keeps it from working; Problem says what
	StateRetired   = "retired" // retired: nothing is read or written until its policy is applied again
)

// OrgSyncState is the state of an organization's loop, and the answer of its status query.
type OrgSyncState struct {
	Org      string      `json:"org"`
	State    string      `json:"state"`
	Policy   string      `json:"policy,omitempty"` // hash of the policy in force
	Adopted  bool        `json:"adopted"`          // the first plan was approved
	Settings Settings    `json:"settings"`
	Paused   *PauseInput `json:"paused,omitempty"`
	Problem  *Problem    `json:"problem,omitempty"`
	Hold     *Hold       `json:"hold,omitempty"`
	Running  *RunSummary `json:"running,omitempty"`
	LastRun  *RunSummary `json:"lastRun,omitempty"`  // the last run of any scope with something to report
	LastFull *RunSummary `json:"lastFull,omitempty"` // the last full verification
	NextFull time.Time   `json:"nextFull,omitzero"`
	Feed     Feed        `json:"feed"`
	// Sources are the identity sources of the policy that were read, or could not be.
	Sources    []SourceStatus    `json:"sources,omitempty"`
	Provisions []ProvisionStatus `json:"provisions,omitempty"`
	// IdentityHold is what waits of the records of SCIM directories; Hold is about access.
	IdentityHold *Hold   `json:"identityHold,omitempty"`
	Pending      Pending `json:"pending"`
	// the policy the workflow was started with, until it or another is in force
	First *PolicyInput `json:"first,omitempty"`
	// the current findings, the first 20 kinds; the rest through a report
	Findings []string         `json:"findings,omitempty"`
	Reported int              `json:"reported,omitempty"` // how many kinds of findings there are
	Circles  []string         `json:"circles,omitempty"`  // rules that depend on each other in a circle, as seen since the last full verification
	Noticed  []string         `json:"noticed,omitempty"`  // access given by hand after a grant ended, the last ten
	Kept     []KeptMessage    `json:"kept,omitempty"`     // signals for the next history
	Rules    RuleClock        `json:"rules,omitzero"`
	Refused  []RefusedMessage `json:"refused,omitempty"` // the last signals that were not accepted, and why
	Stuck    string           `json:"stuck,omitempty"`   // why the history cannot be renewed, once it is much too long
	LastID   string           `json:"lastId,omitempty"`  // last run id given out
}

// Settings are the parts of the policy that control the loop itself.
type Settings struct {
	Every    Duration `json:"every"`    // between full verifications
	Feed     Duration `json:"feed"`     // between polls of the event feed
	InFlight int      `json:"inFlight"` // concurrent writes
	Pages    int      `json:"pages"`    // pages of people in one block of a sweep
	Settle   Duration `json:"settle"`   // how long a removal must stay due before it is written
	DryRun   bool     `json:"dryRun"`
	// something runs on a schedule, for example the governance report
	Scheduled bool `json:"scheduled,omitempty"`
	// some rule depends on time, or notifies somebody when it applies
	Clocked bool `json:"clocked,omitempty"`
	// the identity sources that are read
	Sources []SourceSetting `json:"sources,omitempty"`
	// the provisions of SCIM directories
	Provisions []ProvisionSetting `json:"provisions,omitempty"`
}

// Problem is something that keeps the loop from working.
type Problem struct {
	Kind    string    `json:"kind"`    // the error type, for example KeyRefused
	Message string    `json:"message"` // what was tried and what to do
	Since   time.Time `json:"since"`
	Retry   time.Time `json:"retry"` // when the next attempt is made
	Tries   int       `json:"tries"`
}

// Hold is a plan that waits for a decision.
type Hold struct {
	Plan     string   `json:"plan"` // the hash to approve or reject
	Run      string   `json:"run"`
	Adds     int      `json:"adds"`
	Removals int      `json:"removals"`
	Adopts   int      `json:"adopts,omitempty"`
	People   int      `json:"people"`
	Rules    []string `json:"rules"`             // each with its numbers
	Undo     bool     `json:"undo,omitempty"`    // it undoes a run
	Updates  int      `json:"updates,omitempty"` // changes of records
	// Provision is that of the policy whose records it is about; "": it is about access.
	Provision string    `json:"provision,omitempty"`
	Changed   string    `json:"changed,omitempty"` // how it differs from the hold it replaced
	Opened    time.Time `json:"opened"`
}

// Feed is how the organization is watched between verifications.
type Feed struct {
	Mode   string    `json:"mode,omitempty"` // events, or counts where the organization has no event feed
	Cursor string    `json:"cursor,omitempty"`
	Seen   time.Time `json:"seen,omitzero"` // when the watch last reported
	// Problem is why the watch does not work now; empty while it does.
	Problem string `json:"problem,omitempty"`
}

// Pending is what waits to be looked at.
type Pending struct {
	Full   string   `json:"full,omitempty"` // why a full verification is due
	FullBy string   `json:"fullBy,omitempty"`
	People []string `json:"people,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Recount are groups that events named together with a person: only their member counts are read, as evidence.
	Recount  []string     `json:"recount,omitempty"`
	Fresh    bool         `json:"fresh,omitempty"` // groups were created, deleted, or changed their role
	Settling []SecondLook `json:"settling,omitempty"`
	// Later are people whom somebody changed just after Castellan did: for a while, its own writes count more than
	// reads.
	Later []SecondLook `json:"later,omitempty"`
	Jobs  []Job        `json:"jobs,omitempty"`
	// Grants are people to be reconciled because a grant of theirs began or ended. They have priority over all else.
	Grants []ReconcileGrantSignal `json:"grants,omitempty"`
	// Provisions are those that are due.
	Provisions []PendingProvision `json:"provisions,omitempty"`
	// Follow are runs whose changes require that their people are decided again.
	Follow []FollowUp `json:"follow,omitempty"`
	// FullRound and FullSince are those of a full verification that is due because of the changes of runs.
	FullRound int       `json:"fullRound,omitempty"`
	FullSince time.Time `json:"fullSince,omitzero"`
}

// MostFollowed is how many changes are followed person by person; if there are more, everybody is looked at.
const MostFollowed = 1000

// FollowUp is a run that changed facts that the policy uses.
type FollowUp struct {
	Run   string    `json:"run"`
	Round int       `json:"round"` // of the run that decides its people again: see RunSummary
	Since time.Time `json:"since"`
}

// SecondLook is who is looked at a second time: people whose removals must stay due until an instant, and all whom
// events named, since an event may be visible before its change is.
type SecondLook struct {
	People []string  `json:"people,omitempty"`
	Groups []string  `json:"groups,omitempty"`
	Fresh  bool      `json:"fresh,omitempty"` // groups were created, deleted, or changed their role
	Due    time.Time `json:"due"`
	First  string    `json:"first"`           // the run of the first look
	By     string    `json:"by,omitempty"`    // who asked for it, if somebody did
	Key    int       `json:"key,omitempty"`   // of the job that somebody waits for
	Round  int       `json:"round,omitempty"` // of the run of the first look, and Since: see RunSummary
	Since  time.Time `json:"since,omitzero"`
}

// Job is something that a person asked for.
type Job struct {
	Scope Scope  `json:"scope"`
	By    string `json:"by,omitempty"`
	Note  string `json:"note,omitempty"`
	Dry   bool   `json:"dry,omitempty"`
	Key   int    `json:"key"` // identifies the update that waits for it
}

// RuleClock is when time matters to the policy's rules.
type RuleClock struct {
	Asked  time.Time `json:"asked,omitzero"`   // when that was last computed
	Next   time.Time `json:"next,omitzero"`    // when something is due next
	Untold string    `json:"untold,omitempty"` // why a notice could not be sent; it is tried again
}

// KeptMessage is a signal that came while a history was ending; the next one handles it.
type KeptMessage struct {
	Name string          `json:"name"`
	Body json.RawMessage `json:"body"`
	// Shown identifies the use of the codes in it, which are spent; "" if there were none.
	Shown string `json:"shown,omitempty"`
}

// RefusedMessage is a signal that was not accepted.
type RefusedMessage struct {
	At   time.Time `json:"at"`
	Name string    `json:"name"`
	Why  string    `json:"why"`
	// who sent it according to its body; the history's event has the sender's identity
	By   string `json:"by,omitempty"`
	Size int    `json:"size,omitempty"` // of its body in bytes, where that is large
}
