package messages

import (
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// The scopes of a run.
const (
	ScopeFull   = "full"   // everybody
	ScopePeople = "people" // the people named by account id or e-mail
	ScopeGroups = "groups" // the members of the groups named by ID, and of the targets they give
	ScopeHold   = "hold"   // the lines of an approved hold
	ScopeUndo   = "undo"   // the inverse of an earlier run
	ScopeGrants = "grants" // what grants that began give, and what those that ended gave

	ScopeProvision = "provision" // the records of a SCIM directory
	ScopeRestore   = "restore"   // a lost group, with its roles and members
)

// Scope is what a run looks at.
type Scope struct {
	Kind   string   `json:"kind"`
	People []string `json:"people,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Recount are groups whose member counts are read again as evidence, without reading their members.
	Recount []string `json:"recount,omitempty"`
	Run     string   `json:"run,omitempty"`  // of a hold or an undo
	Plan    string   `json:"plan,omitempty"` // of a hold: its hash
	Undo    bool     `json:"undo,omitempty"` // of a hold: it undoes a run, even while paused
	// Provision is that of the policy whose records the run, or the hold, is about.
	Provision string `json:"provision,omitempty"`
	// Identities are those that the run is about, as "source:key"; none: everybody.
	Identities []string `json:"identities,omitempty"`
	// Batch is that of links whose lines, of these Identities, an approved hold writes.
	Batch string `json:"batch,omitempty"`
	// Restore is the id of the lost group whose restore an approved hold writes.
	Restore string `json:"restore,omitempty"`
}

// ReconcileInput starts one run. Only OrgSync should start it.
type ReconcileInput struct {
	Org      string    `json:"org"`
	Run      string    `json:"run"`
	Policy   string    `json:"policy"`
	Trigger  string    `json:"trigger"` // why it runs, for people
	By       string    `json:"by,omitempty"`
	Scope    Scope     `json:"scope"`
	Settings Settings  `json:"settings"`
	DryRun   bool      `json:"dryRun,omitempty"`
	Parent   string    `json:"parent"`             // workflow ID of the OrgSync
	Progress *Progress `json:"progress,omitempty"` // carried by continue-as-new; leave it out
	// Asks are the grants that a run of scope grants serves, and whose workflows it answers at its end.
	Asks []ReconcileGrantSignal `json:"asks,omitempty"`
	// Round and Since are those of the run: see RunSummary.
	Round int       `json:"round,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// Progress is the progress of a run.
type Progress struct {
	Workflow string     `json:"workflow,omitempty"` // the workflow whose state it is
	Phase    string     `json:"phase"`
	Cursor   string     `json:"cursor,omitempty"` // of the sweep
	Block    int        `json:"block,omitempty"`
	Since    time.Time  `json:"since"` // when the plan was judged: the waiting time of removals begins here
	Run      RunSummary `json:"run"`
	// Exhausted are the targets that accept no more changes of a kind in this run.
	Exhausted []Exhausted `json:"exhausted,omitempty"`
	Short     []string    `json:"short,omitempty"` // in place of Exhausted, in old histories: "add group:x"
	Gate      GateSignal  `json:"gate"`
	// Stale: the run was paused for long, so what is left to write is read again first.
	Stale bool `json:"stale,omitempty"`
	// Settled: the removals have been confirmed by a second look.
	Settled bool `json:"settled,omitempty"`
	// Unseen is how many holdings of the ledger the read did not show: other reads tell whether they are gone.
	Unseen int `json:"unseen,omitempty"`
	// Slow: a role was changed, which may take half a minute to show.
	Slow bool `json:"slow,omitempty"`
	// Groups: lines of groups of a SCIM directory are to be written after those of its records.
	Groups bool `json:"groups,omitempty"`
}

// Exhausted is a target that accepts no more changes of one kind. One without licences left still lets people go.
type Exhausted struct {
	Action access.Action      `json:"action"`
	Target access.Entitlement `json:"target"`
}

func (e Exhausted) String() string { return string(e.Action) + " " + string(e.Target) }

// ExhaustedTargets returns targets that were carried as texts.
func ExhaustedTargets(short []string) []Exhausted {
	var all []Exhausted
	for _, text := range short {
		action, target, _ := strings.Cut(text, " ")
		all = append(all, Exhausted{access.Action(action), access.Entitlement(target)})
	}
	return all
}

// RunSummary is the result of a run in numbers.
type RunSummary struct {
	Run     string    `json:"run"`
	Trigger string    `json:"trigger"`
	Scope   string    `json:"scope"`
	By      string    `json:"by,omitempty"`
	State   string    `json:"state"` // RunReading, …
	Plan    string    `json:"plan,omitempty"`
	DryRun  bool      `json:"dryRun,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Counts  Counts    `json:"counts"`
	Hold    *Hold     `json:"hold,omitempty"` // the hold open after this run, whichever run opened it
	Problem *Problem  `json:"problem,omitempty"`
	// Findings are the first 20 in words, Reported their total number.
	Findings []string `json:"findings,omitempty"`
	Reported int      `json:"reported,omitempty"`
	Adopted  bool     `json:"adopted,omitempty"` // the first plan was empty: there was nothing to approve
	// Provision is that of a run over records, and States how many people are in which state after it.
	Provision string       `json:"provision,omitempty"`
	States    []StateCount `json:"states,omitempty"`
	Gap       int          `json:"gap,omitempty"`      // likewise, active managed accounts without a record
	Groups    *GroupCounts `json:"groups,omitempty"`   // likewise, groups of the directory
	Doubtful  bool         `json:"doubtful,omitempty"` // the read was incomplete: everybody is looked at again soon
	// Due is how many of its changes affect facts that the policy uses: their people are decided again. Round counts
	// consecutive runs caused by such changes, and Since is when the first of them began.
	Due     int              `json:"due,omitempty"`
	Round   int              `json:"round,omitempty"`
	Since   time.Time        `json:"since,omitzero"`
	Refused []RefusedMessage `json:"refused,omitempty"` // signals to the run that were not accepted
}

// The states of a run.
const (
	RunReading   = "reading"
	RunApplying  = "applying"
	RunWaiting   = "standing aside"
	RunVerifying = "verifying"
	RunDone      = "done"
	RunStopped   = "stopped" // early, for whatever reason; the next verification does what was not reached
)

// Counts are the numbers of a run.
type Counts struct {
	People     int `json:"people"`
	Calls      int `json:"calls"` // calls to Atlassian
	Adds       int `json:"adds"`  // planned
	Removals   int `json:"removals"`
	Adopts     int `json:"adopts,omitempty"`
	Updates    int `json:"updates,omitempty"` // of records
	Held       int `json:"held,omitempty"`
	Suppressed int `json:"suppressed,omitempty"` // not planned again, since somebody rejected them
	Foreign    int `json:"foreign,omitempty"`    // memberships that nothing explains and Castellan did not make
	Done       int `json:"done"`
	Already    int `json:"already,omitempty"`
	Shortage   int `json:"shortage,omitempty"`
	Refused    int `json:"refused,omitempty"`
	Superseded int `json:"superseded,omitempty"`
	Failed     int `json:"failed,omitempty"`
	Verified   int `json:"verified"`
	Unverified int `json:"unverified,omitempty"`
}

// The messages between the loop and its runs name the sender's execution. Anybody who may signal a workflow could send
// them, but has to know that execution: a signal typed by hand opens no gate and frees no slot.

// GateSignal tells a run whether it may write.
type GateSignal struct {
	Closed bool   `json:"closed"`
	Why    string `json:"why,omitempty"`
	// numbers the signals, to tell an answer from an older one
	Turn      int    `json:"turn"`
	Execution string `json:"execution,omitempty"` // of the loop
	// the loop's execution since it was reset: runs that it started before know the other
	Reset string `json:"reset,omitempty"`
}

// WritesPausedSignal answers a closed gate: the run has no write in flight.
type WritesPausedSignal struct {
	Run       string `json:"run"`
	Turn      int    `json:"turn"`
	Execution string `json:"execution,omitempty"` // of the run, in the first of its histories
}

// ProgressSignal tells OrgSync the progress of a run.
type ProgressSignal struct {
	Run RunSummary `json:"run"`
	// the guard has just judged: Run.Hold is the organization's open hold now
	Judged    bool   `json:"judged,omitempty"`
	Execution string `json:"execution,omitempty"` // as in WritesPausedSignal
}
