package access

import (
	"cmp"
	"time"
)

// Verdict is what somebody says of an item of a review.
type Verdict string

// The verdicts. "" stands for none.
const (
	VerdictKeep   Verdict = "keep"
	VerdictRemove Verdict = "remove"
)

// Stricter is the verdict of two that stands where people disagree in one stage: a removal wins, since whoever wrongly
// loses access is heard of, and whoever wrongly keeps it is not.
func Stricter(a, b Verdict) Verdict {
	if a == VerdictRemove || b == VerdictRemove {
		return VerdictRemove
	}
	if a == VerdictKeep {
		return a
	}
	return b
}

// ReviewState is where a review stands.
type ReviewState string

// The states of a review. The last three are final.
const (
	ReviewOpening   ReviewState = "opening"   // its items are being taken
	ReviewOpen      ReviewState = "open"      // reviewers decide
	ReviewClosing   ReviewState = "closing"   // what was decided is being carried out
	ReviewDone      ReviewState = "done"      // carried out, and the evidence is made
	ReviewSkipped   ReviewState = "skipped"   // there was nothing to review
	ReviewCancelled ReviewState = "cancelled" // somebody stopped it; what was decided is not carried out
)

// Final says that nothing more happens to the review.
func (s ReviewState) Final() bool {
	return s == ReviewDone || s == ReviewSkipped || s == ReviewCancelled
}

// Review is one campaign from its opening to its end. Its items are kept apart.
type Review struct {
	ID       string `json:"id"` // what follows access-review:<org>: in its workflow's ID
	Campaign string `json:"campaign"`
	// hash of the policy that it began under, which it follows to its end
	Policy string `json:"policy"`
	// first run id of its workflow: a second workflow of the same ID is another
	Run       string      `json:"run"`
	By        string      `json:"by,omitempty"`    // who started it; empty: the schedule
	Owner     string      `json:"owner,omitempty"` // who answers for it
	State     ReviewState `json:"state"`
	Opened    time.Time   `json:"opened"`
	Stage     int         `json:"stage"`           // from 1; 0 while opening
	Stages    int         `json:"stages"`          // how many there are
	Due       time.Time   `json:"due,omitzero"`    // when the stage ends
	Closed    time.Time   `json:"closed,omitzero"` // when deciding was over
	Ended     time.Time   `json:"ended,omitzero"`  // when its state became final
	ClosedBy  string      `json:"closedBy,omitempty"`
	ClosedWhy string      `json:"closedWhy,omitempty"`
	Items     int         `json:"items"`
	Codes     bool        `json:"codes,omitempty"`   // a decision needs the reviewer's code
	Skipped   int         `json:"skipped,omitempty"` // items that did not change since they were last decided
	Findings  []string    `json:"findings,omitempty"`

	// Rows of the review that the ledger's chain did not explain when its evidence was made: they were written past
	// Castellan.
	Unexplained []string `json:"unexplained,omitempty"`

	Holders map[Entitlement]int `json:"holders,omitempty"` // how many people hold each target, whether reviewed or not
	Head    string              `json:"head,omitempty"`    // hash of the last line of its evidence
	Lines   int                 `json:"lines,omitempty"`   // of its evidence
}

// Item is one question of a review: should this person go on holding this target? What a reviewer needs to know stands
// as it was when the review opened.
type Item struct {
	N        int    `json:"item"` // from 1, the riskiest first
	Person   string `json:"person"`
	Email    string `json:"email,omitempty"`
	Name     string `json:"name,omitempty"`
	Status   string `json:"status,omitempty"`   // of the membership: active, suspended
	External *bool  `json:"external,omitempty"` // nil: not known
	Sponsor  string `json:"sponsor,omitempty"`  // account id of who answers for somebody from outside
	// SponsorEmail is the sponsor's address when the review opened, to be read and never compared.
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
	Risk         int           `json:"risk"`              // the higher, the sooner it is to be looked at; 0 to 100
	Risks        []string      `json:"risks,omitempty"`   // what makes it so
	Before       *PastDecision `json:"before,omitempty"`  // the decision of an earlier review of the campaign

	// What became of it.
	Stage   int     `json:"stage"`             // the last that it came to
	Version int     `json:"version"`           // counts what was said of it: a decision on an older one is stale
	Said    []Said  `json:"said,omitempty"`    // what counts, by stage, then by reviewer
	Verdict Verdict `json:"verdict,omitempty"` // what that comes to so far; "": nobody has decided
	// at the close: nobody decided, and the campaign's rule for silence did
	Silent  bool      `json:"silent,omitempty"`
	Outcome Outcome   `json:"outcome,omitempty"`
	Why     string    `json:"why,omitempty"`    // of the outcome, in words; the API's answer
	Plan    string    `json:"plan,omitempty"`   // of the plan that the guard held
	Run     string    `json:"run,omitempty"`    // that wrote it
	Until   time.Time `json:"until,omitzero"`   // of an outcome that is so for a while
	Settled time.Time `json:"settled,omitzero"` // when the outcome was reached
}

// Label names the item in one line.
func (i Item) Label() string {
	return Person{ID: i.Person, Email: i.Email}.Label() + ", " + string(i.Target)
}

// Use is a person's use of one app that a target opens, as known when the review opened. With neither an instant nor
// Never, it is not known.
type Use struct {
	App   string    `json:"app"` // app/site
	Last  time.Time `json:"last,omitzero"`
	Never bool      `json:"never,omitempty"`
}

// Peers are the people who share a source group with a person: of those, how many hold the target too.
type Peers struct {
	Group string `json:"group"` // the person's smallest source group with others in it
	Of    int    `json:"of"`    // others in it
	Hold  int    `json:"hold"`  // others who hold the target
}

// PastDecision is how an earlier review of the same campaign ended for the same person and target.
type PastDecision struct {
	Review  string    `json:"review"`
	Verdict Verdict   `json:"verdict"`
	By      string    `json:"by,omitempty"`      // account id; empty: nobody, by the rule for silence
	ByEmail string    `json:"byEmail,omitempty"` // to be read, never compared
	At      time.Time `json:"at"`
}

// Said is what one reviewer said of one item in one stage; the last word counts. By is an account id; in a review from
// before reviewers were accounts it may be an address.
type Said struct {
	Stage   int       `json:"stage"`
	By      string    `json:"by"`
	Email   string    `json:"email,omitempty"` // the reviewer's address then, to be read and never compared
	Verdict Verdict   `json:"verdict"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
}

// Who names the reviewer to a reader.
func (s Said) Who() string { return cmp.Or(s.Email, s.By) }

// Outcome is what became of an item.
type Outcome string

// The outcomes. "" stands for none yet, OutcomeOpen for one that is being brought about; all others are final.
const (
	OutcomeOpen Outcome = "open" // a removal, being carried out
	// a removal that the guard holds, waiting for a person's decision on the plan
	OutcomeHeld    Outcome = "held"
	OutcomeKept    Outcome = "kept"    // as decided, or by the rule for silence
	OutcomeRemoved Outcome = "removed" // written, and read back
	OutcomeGone    Outcome = "gone"    // it was held no more before anything was written
	OutcomeSource  Outcome = "source"  // a mapping or rule gives it: the source must change
	// removed and read back, and denied until a date, since its source still gives it
	OutcomeDenied Outcome = "denied"
	// nobody decided, and the rule for silence leaves it as it is for a person to settle
	OutcomeUndecided Outcome = "undecided"
	OutcomeSpared    Outcome = "spared"   // silence would have taken the target's last holders
	OutcomeRejected  Outcome = "rejected" // the guard held the removal and a person said no to it
	OutcomeRefused   Outcome = "refused"  // a floor or the API refused it
	OutcomeLate      Outcome = "late"     // it could not be carried out in time
	OutcomeDropped   Outcome = "dropped"  // the review was cancelled
)

// Final says that the outcome stays.
func (o Outcome) Final() bool { return o != "" && o != OutcomeOpen && o != OutcomeHeld }

// Exception says that a final outcome is not what was decided, so that somebody has to look.
func (o Outcome) Exception() bool {
	switch o {
	case OutcomeSource, OutcomeDenied, OutcomeUndecided, OutcomeSpared, OutcomeRejected, OutcomeRefused, OutcomeLate:
		return true
	}
	return false
}

// Ruling is a review's verdict while it bears on what a person should hold. A removal denies the target until it is
// carried out, or until a date; a keep is a reason until a date.
type Ruling struct {
	Review  string      `json:"review"`
	Person  string      `json:"person"` // account id
	Target  Entitlement `json:"target"`
	Verdict Verdict     `json:"verdict"`
	At      time.Time   `json:"at"`
	Until   time.Time   `json:"until,omitzero"` // zero: until it is carried out
}

// InForce says that the ruling bears on what the person should hold at the instant.
func (r Ruling) InForce(at time.Time) bool { return r.Until.IsZero() || at.Before(r.Until) }

// RulingReason is the reason that the ruling gives, for or against.
func (r Ruling) RulingReason() Reason { return Reason{Kind: ReasonReview, Name: r.Review} }

// TaskRole is why somebody is asked about an item.
type TaskRole string

// The roles.
const (
	TaskReviewer TaskRole = "reviewer"
	TaskDelegate TaskRole = "delegate" // another reviewer handed it on
	TaskFallback TaskRole = "fallback" // the reviewer was gone or silent
	TaskOwner    TaskRole = "owner"    // of the campaign, when the stage is about to end
)

// Task is one item that one reviewer is asked about in one stage.
type Task struct {
	N        int       `json:"item"`
	Reviewer string    `json:"reviewer"` // account id
	Role     TaskRole  `json:"role"`
	Since    time.Time `json:"since"`
}

// ReviewEvent is one entry of a review's log: everything that anybody said or did, in order.
type ReviewEvent struct {
	Seq     int       `json:"seq"` // from 1 within the review
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`         // one of Event…
	By      string    `json:"by,omitempty"` // account id of a reviewer, or who typed it of ops; empty: the clock
	ByEmail string    `json:"byEmail,omitempty"`
	Via     string    `json:"via,omitempty"`  // page, update, signal or import
	Item    int       `json:"item,omitempty"` // 0: the review as a whole
	Stage   int       `json:"stage,omitempty"`
	Verdict Verdict   `json:"verdict,omitempty"`
	Bulk    int       `json:"bulk,omitempty"` // decided together with so many, by one click or command
	To      string    `json:"to,omitempty"`   // account id, of a delegation or a notice
	ToEmail string    `json:"toEmail,omitempty"`
	Text    string    `json:"text,omitempty"` // comment, or what happened
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
