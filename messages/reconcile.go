package messages

import "time"

// The scopes of a run.
const (
	ScopeFull   = "full"   // everybody
	ScopePeople = "people" // the people named by account id or e-mail
	ScopeGroups = "groups" // the members of the groups named by id, and of the targets they give
	ScopeHold   = "hold"   // the lines of an approved hold
	ScopeUndo   = "undo"   // the inverse of an earlier run
	ScopeGrants = "grants" // what grants give that began, and take that ended
)

// Scope says what a run looks at.
type Scope struct {
	Kind   string   `json:"kind"`
	People []string `json:"people,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Recount names groups whose member counts are read again as evidence, without looking at their members.
	Recount []string `json:"recount,omitempty"`
	Run     string   `json:"run,omitempty"`  // of a hold or an undo
	Plan    string   `json:"plan,omitempty"` // of a hold: its hash
	Undo    bool     `json:"undo,omitempty"` // of a hold: it takes a run back, also while paused
}

// ReconcileInput is one run. OrgSync starts it; nobody else should.
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
	// Asks are the grants that a run of scope grants serves, and tells at its end.
	Asks []ReconcileGrantSignal `json:"asks,omitempty"`
	// Round and Since are those of the run: see RunSummary.
	Round int       `json:"round,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// Progress is how far a run has come.
type Progress struct {
	Workflow string     `json:"workflow,omitempty"` // whose state it is
	Phase    string     `json:"phase"`
	Cursor   string     `json:"cursor,omitempty"` // of the sweep
	Block    int        `json:"block,omitempty"`
	Since    time.Time  `json:"since"` // when the plan was judged: removals settle from here
	Run      RunSummary `json:"run"`
	Short    []string   `json:"short,omitempty"` // changes that targets take no more of in this run: "add group:x"
	Gate     GateSignal `json:"gate"`
	// Stale says that the run stood aside for long: what is left to write is read again first.
	Stale bool `json:"stale,omitempty"`
	// Settled says that the removals stand on a second look already.
	Settled bool `json:"settled,omitempty"`
	// Unseen is how much is on the books that the read did not show: other reads tell whether it is over.
	Unseen int `json:"unseen,omitempty"`
	// Slow says that a role was changed: it takes up to half a minute to be seen.
	Slow bool `json:"slow,omitempty"`
}

// RunSummary is what a run did, in numbers.
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
	// Findings are the first 20 in words, Reported how many there are.
	Findings []string `json:"findings,omitempty"`
	Reported int      `json:"reported,omitempty"`
	Adopted  bool     `json:"adopted,omitempty"`  // the first plan was empty: there was nothing to consent to
	Doubtful bool     `json:"doubtful,omitempty"` // the read was incomplete: everybody is looked at again soon
	// Due is how many changes it made that the policy looks at: their people are decided again. Round counts the runs
	// in a row that came of such changes, and Since is when the first of them began.
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
	RunStopped   = "stopped" // by a problem; what was not reached is taken up by the next verification
)

// Counts are the numbers of a run.
type Counts struct {
	People     int `json:"people"`
	Calls      int `json:"calls"` // calls to Atlassian
	Adds       int `json:"adds"`  // planned
	Removals   int `json:"removals"`
	Adopts     int `json:"adopts,omitempty"`
	Held       int `json:"held,omitempty"`
	Suppressed int `json:"suppressed,omitempty"` // not raised again, since a person rejected them
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

// What the loop and its runs say to each other names the execution that says it. Whoever may signal a workflow could
// say it, too, and has to know that execution: a signal typed by hand opens no gate and frees no place.

// GateSignal tells a run whether it may write.
type GateSignal struct {
	Closed bool   `json:"closed"`
	Why    string `json:"why,omitempty"`
	// numbers the closings, so that an answer can be told from an older one
	Turn      int    `json:"turn"`
	Execution string `json:"execution,omitempty"` // of the loop
	// of the loop since it was reset: runs that it started before know the other
	Reset string `json:"reset,omitempty"`
}

// WritesPausedSignal answers a closed gate: nothing of the run is in flight.
type WritesPausedSignal struct {
	Run       string `json:"run"`
	Turn      int    `json:"turn"`
	Execution string `json:"execution,omitempty"` // of the run, the first of its histories
}

// ProgressSignal tells OrgSync how far a run is.
type ProgressSignal struct {
	Run RunSummary `json:"run"`
	// the guard has just spoken: Run.Hold is the organization's open hold now
	Judged    bool   `json:"judged,omitempty"`
	Execution string `json:"execution,omitempty"` // as in WritesPausedSignal
}
