package access

import (
	"cmp"
	"time"
)

// Verdict is a reviewer's decision on an item of a review.
type Verdict string

// The verdicts. "" stands for none.
const (
	VerdictKeep   Verdict = "keep"
	VerdictRemove Verdict = "remove"
)

// Stricter returns the verdict that counts where people disagree in one stage: a removal wins, since whoever wrongly
// loses access complains, and whoever wrongly keeps it does not.
func Stricter(a, b Verdict) Verdict {
	if a == VerdictRemove || b == VerdictRemove {
		return VerdictRemove
	}
	if a == VerdictKeep {
		return a
	}
	return b
}

// ReviewState is the state of a review.
type ReviewState string

// The states of a review. The last three are final.
const (
	ReviewOpening   ReviewState = "opening"   // its items are being collected
	ReviewOpen      ReviewState = "open"      // reviewers decide
	ReviewClosing   ReviewState = "closing"   // what was decided is being carried out
	ReviewDone      ReviewState = "done"      // carried out, and the evidence is made
	ReviewSkipped   ReviewState = "skipped"   // there was nothing to review
	ReviewCancelled ReviewState = "cancelled" // somebody stopped it; what was decided is not carried out
)

// Final reports whether nothing more happens to the review.
func (s ReviewState) Final() bool {
	return s == ReviewDone || s == ReviewSkipped || s == ReviewCancelled
}

// Review is one campaign from its opening to its end, without its items.
type Review struct {
	ID       string `json:"id"` // the part of its workflow's ID after access-review:<org>:
	Campaign string `json:"campaign"`
	// hash of the policy under which it began, and which it follows to its end
	Policy string `json:"policy"`
	// first run ID of its workflow: another workflow of the same ID is another review
	Run       string      `json:"run"`
	By        string      `json:"by,omitempty"`    // who started it; empty: the schedule
	Owner     string      `json:"owner,omitempty"` // who answers for it
	State     ReviewState `json:"state"`
	Opened    time.Time   `json:"opened"`
	Stage     int         `json:"stage"`           // from 1; 0 while opening
	Stages    int         `json:"stages"`          // how many there are
	Due       time.Time   `json:"due,omitzero"`    // when the stage ends
	Closed    time.Time   `json:"closed,omitzero"` // when deciding ended
	Ended     time.Time   `json:"ended,omitzero"`  // when its state became final
	ClosedBy  string      `json:"closedBy,omitempty"`
	ClosedWhy string      `json:"closedWhy,omitempty"`
	Items     int         `json:"items"`
	Codes     bool        `json:"codes,omitempty"`   // a decision needs the reviewer's code
	Skipped   int         `json:"skipped,omitempty"` // items that did not change since they were last decided
	Findings  []string    `json:"findings,omitempty"`

	// Rows of the review that the ledger's chain did not explain when its evidence was made: something other than
	// Castellan wrote them.
	Unexplained []string `json:"unexplained,omitempty"`

	Holders map[Entitlement]int `json:"holders,omitempty"` // how many people hold each target, whether reviewed or not
	Head    string              `json:"head,omitempty"`    // hash of the last line of its evidence
	Lines   int                 `json:"lines,omitempty"`   // of its evidence
}

// Item is one question of a review: should this person go on holding this target? The facts for the reviewer are those
// of the review's opening.
type Item struct {
	N        int    `json:"item"` // from 1, the riskiest first
	Person   string `json:"person"`
	Email    string `json:"email,omitempty"`
	Name     string `json:"name,omitempty"`
	Status   string `json:"status,omitempty"`   // of the membership: active, suspended
	External *bool  `json:"external,omitempty"` // nil: not known
	Sponsor  string `json:"sponsor,omitempty"`  // account ID of whoever answers for somebody external
	// SponsorEmail is the sponsor's address when the review opened, for display and never compared.
	SponsorEmail string        `json:"sponsorEmail,omitempty"`
	Sources      []string      `json:"sources,omitempty"` // names of the person's source groups
	Target       Entitlement   `json:"target"`            // the live name
	GroupID      string        `json:"groupId,omitempty"`
	Opens        []string      `json:"opens,omitempty"`   // app/site that the target opens
	Reasons      []Reason      `json:"reasons,omitempty"` // why it is held; none: nothing in the policy explains it
	Owned        bool          `json:"owned"`             // Castellan made it; otherwise somebody else did
	Since        time.Time     `json:"since,omitzero"`    // since when it is known to be held; zero: not known
	Uses         []Use         `json:"uses,omitempty"`    // of the apps that the target opens; nil: not known
	Peers        *Peers        `json:"peers,omitempty"`   // nil: the person has none
	Recommend    Verdict       `json:"recommend,omitempty"`
	Because      string        `json:"because,omitempty"` // of the recommendation
	Risk         int           `json:"risk"`              // 0 to 100; the highest is looked at first
	Risks        []string      `json:"risks,omitempty"`   // the reasons for it
	Before       *PastDecision `json:"before,omitempty"`  // the decision of an earlier review of the campaign

	// The outcome.
	Stage   int            `json:"stage"`             // the last that it reached
	Version int            `json:"version"`           // counts its decisions: one on an older version is stale
	Said    []ItemDecision `json:"said,omitempty"`    // the decisions that count, by stage, then by reviewer
	Verdict Verdict        `json:"verdict,omitempty"` // what they come to so far; "": nobody has decided
	// at the close: nobody decided, so the campaign's rule for silence did
	Silent  bool      `json:"silent,omitempty"`
	Outcome Outcome   `json:"outcome,omitempty"`
	Why     string    `json:"why,omitempty"`    // the reason for the outcome, in words, or the API's answer
	Plan    string    `json:"plan,omitempty"`   // the plan that the guard held
	Run     string    `json:"run,omitempty"`    // the run that wrote it
	Until   time.Time `json:"until,omitzero"`   // the end of a temporary outcome
	Settled time.Time `json:"settled,omitzero"` // when the outcome was reached
}

// Label returns the item in one line.
func (i Item) Label() string {
	return Person{ID: i.Person, Email: i.Email}.Label() + ", " + string(i.Target)
}

// Use is a person's use of one app that a target opens, as known when the review opened. With neither an instant nor
// Never, it is unknown.
type Use struct {
	App   string    `json:"app"` // app/site
	Last  time.Time `json:"last,omitzero"`
	Never bool      `json:"never,omitempty"`
}

// Peers are the people who share a source group with a person, and how many of them also hold the target.
type Peers struct {
	Group string `json:"group"` // the person's smallest source group with others in it
	Of    int    `json:"of"`    // others in it
	Hold  int    `json:"hold"`  // others who hold the target
}

// PastDecision is the outcome of an earlier review of the same campaign for the same person and target.
type PastDecision struct {
	Review  string    `json:"review"`
	Verdict Verdict   `json:"verdict"`
	By      string    `json:"by,omitempty"`      // account ID; empty: nobody decided, the rule for silence applied
	ByEmail string    `json:"byEmail,omitempty"` // for display, never compared
	At      time.Time `json:"at"`
}

// ItemDecision is one reviewer's decision on one item in one stage; the last one counts. By is an account ID; in a
// review from before reviewers were accounts it may be an address.
type ItemDecision struct {
	Stage   int       `json:"stage"`
	By      string    `json:"by"`
	Email   string    `json:"email,omitempty"` // the reviewer's address then, for display and never compared
	Verdict Verdict   `json:"verdict"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
}

// Who returns the reviewer's name for display.
func (s ItemDecision) Who() string { return cmp.Or(s.Email, s.By) }

// Outcome is the outcome of an item.
type Outcome string

// The outcomes. "" means none yet, OutcomeOpen that it is in progress; all others but OutcomeHeld are final.
const (
	OutcomeOpen Outcome = "open" // a removal in progress
	// a removal that the guard holds until somebody decides on the plan
	OutcomeHeld    Outcome = "held"
	OutcomeKept    Outcome = "kept"    // as decided, or by the rule for silence
	OutcomeRemoved Outcome = "removed" // written, and read back
	OutcomeGone    Outcome = "gone"    // it was no longer held when it was to be written
	OutcomeSource  Outcome = "source"  // a mapping or rule gives it: the source must change
	// removed and read back, and denied until a date, since its source still gives it
	OutcomeDenied Outcome = "denied"
	// nobody decided, and the rule for silence leaves it to a person
	OutcomeUndecided Outcome = "undecided"
	OutcomeSpared    Outcome = "spared"   // the rule for silence would have removed the target's last holders
	OutcomeRejected  Outcome = "rejected" // the guard held the removal and somebody rejected it
	OutcomeRefused   Outcome = "refused"  // a floor or the API refused it
	OutcomeLate      Outcome = "late"     // it could not be carried out in time
	OutcomeDropped   Outcome = "dropped"  // the review was cancelled
)

// Final reports whether the outcome no longer changes.
func (o Outcome) Final() bool { return o != "" && o != OutcomeOpen && o != OutcomeHeld }

// Exception reports whether a final outcome is not what was decided, so that somebody has to look into it.
func (o Outcome) Exception() bool {
	switch o {
	case OutcomeSource, OutcomeDenied, OutcomeUndecided, OutcomeSpared, OutcomeRejected, OutcomeRefused, OutcomeLate:
		return true
	}
	return false
}

// Ruling is a review's verdict while it affects what a person should hold. A removal denies the target until it is
// carried out, or until a date; a keep is a reason until a date.
type Ruling struct {
	Review  string      `json:"review"`
	Person  string      `json:"person"` // account id
	Target  Entitlement `json:"target"`
	Verdict Verdict     `json:"verdict"`
	At      time.Time   `json:"at"`
	Until   time.Time   `json:"until,omitzero"` // zero: until it is carried out
}

// InForce reports whether the ruling affects what the person should hold at the instant.
func (r Ruling) InForce(at time.Time) bool { return r.Until.IsZero() || at.Before(r.Until) }

// RulingReason returns the ruling as a reason, for or against.
func (r Ruling) RulingReason() Reason { return Reason{Kind: ReasonReview, Name: r.Review} }

// TaskRole is why somebody is asked about an item.
type TaskRole string

// The roles.
const (
	TaskReviewer TaskRole = "reviewer"
	TaskDelegate TaskRole = "delegate" // another reviewer delegated it
	TaskFallback TaskRole = "fallback" // the reviewer is gone or did not answer
	TaskOwner    TaskRole = "owner"    // of the campaign, when the stage is about to end
)

// Task is one item that one reviewer is asked about in one stage.
type Task struct {
	N        int       `json:"item"`
	Reviewer string    `json:"reviewer"` // account id
	Role     TaskRole  `json:"role"`
	Since    time.Time `json:"since"`
}

// ReviewEvent is one entry of a review's log: everything that anybody did, in order.
type ReviewEvent struct {
	Seq     int       `json:"seq"` // from 1 within the review
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`         // one of Event…
	By      string    `json:"by,omitempty"` // account ID of a reviewer; the name that ops typed; empty: the clock
	ByEmail string    `json:"byEmail,omitempty"`
	Via     string    `json:"via,omitempty"`  // page, update, signal or import
	Item    int       `json:"item,omitempty"` // 0: the review as a whole
	Stage   int       `json:"stage,omitempty"`
	Verdict Verdict   `json:"verdict,omitempty"`
	Bulk    int       `json:"bulk,omitempty"` // decided together with so many, in one click or command
	To      string    `json:"to,omitempty"`   // account ID of a delegate or of a notice's addressee
	ToEmail string    `json:"toEmail,omitempty"`
	Text    string    `json:"text,omitempty"` // the comment, or what happened
}

// The kinds of event.
const (
	EventOpened    = "opened" // the review began
	EventStage     = "stage"  // a stage began
	EventSeen      = "seen"   // a reviewer opened their page or list
	EventDecided   = "decided"
	EventCommented = "commented"
	EventDelegated = "delegated"
	EventReopened  = "reopened"
	EventReminded  = "reminded"
	EventFallback  = "fallback"  // the fallback reviewers were asked
	EventEscalated = "escalated" // the owner was asked
	EventExtended  = "extended"
	EventClosed    = "closed" // deciding was over
	EventCancelled = "cancelled"
	EventEnded     = "ended"
)
