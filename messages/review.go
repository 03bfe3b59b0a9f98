package messages

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// AccessReviewInput starts a review of one of the policy's campaigns. Its workflow ID is
// access-review:<org>:<campaign>:<date>; a schedule appends the instant by itself.
type AccessReviewInput struct {
	Org      string       `json:"org"`
	Campaign string       `json:"campaign"`
	By       string       `json:"by,omitempty"`    // who starts it; empty: the schedule
	State    *ReviewState `json:"state,omitempty"` // carried by continue-as-new; leave it out
}

// DecideInput is the body of decide on a review's workflow: a reviewer's decision on one item, on several, or on all of
// theirs that match. Exactly one of items, all and lines is set.
type DecideInput struct {
	By      string         `json:"by"` // e-mail address or account id
	Verdict access.Verdict `json:"verdict,omitempty"`
	Comment string         `json:"comment,omitempty"`
	Items   []int          `json:"items,omitempty"`
	All     *ItemFilter    `json:"all,omitempty"`
	Lines   []DecideLine   `json:"lines,omitempty"` // each with a verdict of its own
	Credential
}

// ItemFilter selects among a reviewer's items; fields left out match everything.
type ItemFilter struct {
	Person    string             `json:"person,omitempty"` // e-mail address or account id
	Target    access.Entitlement `json:"target,omitempty"`
	Recommend access.Verdict     `json:"recommend,omitempty"`
	// only those that the reviewer has not decided in this stage
	Undecided bool `json:"undecided,omitempty"`
}

// DecideLine is one line of an import.
type DecideLine struct {
	Item    int            `json:"item"`
	Verdict access.Verdict `json:"verdict"`
	Comment string         `json:"comment,omitempty"`
	// as exported: if the item was decided since, the line is stale
	Version *int `json:"version,omitempty"`
}

// DelegateInput is the body of delegate: the reviewer hands items to somebody else.
type DelegateInput struct {
	By      string      `json:"by"`
	To      string      `json:"to"` // e-mail address or account id
	Items   []int       `json:"items,omitempty"`
	All     *ItemFilter `json:"all,omitempty"` // with neither: everything undecided
	Comment string      `json:"comment,omitempty"`
	Credential
}

// CommentInput is the body of comment: a remark on an item that decides nothing.
type CommentInput struct {
	By      string `json:"by"`
	Item    int    `json:"item"`
	Comment string `json:"comment"`
	Credential
}

// ReopenInput is the body of reopen: the reviewer withdraws their decision, while the stage lasts.
type ReopenInput struct {
	By      string      `json:"by"`
	Items   []int       `json:"items,omitempty"`
	All     *ItemFilter `json:"all,omitempty"`
	Comment string      `json:"comment,omitempty"`
	Credential
}

// Credential proves who a reviewer or an approver is, if codes are required.
type Credential struct {
	// Code is the code that they were sent. It is then in the history, so it is valid for this one message at most,
	// even if the message is refused; another code is sent.
	Code string `json:"code,omitempty"`
	// Proof is made of the code and of all else in the body by starter, which sends no code itself.
	Proof string `json:"proof,omitempty"`
	// Nonce makes proofs of equal bodies differ.
	Nonce string `json:"nonce,omitempty"`
}

// WithCredential is a body with a Credential.
type WithCredential interface {
	DecideInput | DelegateInput | CommentInput | ReopenInput | ApprovalInput
}

// Proof proves knowledge of a code to whoever knows its hash (CodeHash), for one body on one workflow; it does not
// cover the body's own code and proof. For a grant, the workflow is always its organization's loop, wherever the
// message is sent.
func Proof[B WithCredential](codeHash, workflow, name string, body B) string {
	switch b := any(&body).(type) {
	case *DecideInput:
		b.Code, b.Proof = "", ""
	case *DelegateInput:
		b.Code, b.Proof = "", ""
	case *CommentInput:
		b.Code, b.Proof = "", ""
	case *ReopenInput:
		b.Code, b.Proof = "", ""
	case *ApprovalInput:
		b.Code, b.Proof = "", ""
	}
	text, _ := json.Marshal(body) // plain data always encodes
	mac := hmac.New(sha256.New, []byte(codeHash))
	for _, part := range []string{workflow, name, string(text)} {
		sum := sha256.Sum256([]byte(part))
		mac.Write(sum[:])
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// LookAtSignal asks OrgSync to look at people on whom a review has decided something.
type LookAtSignal struct {
	Review    string   `json:"review"`
	People    []string `json:"people,omitempty"` // account ids
	Everybody bool     `json:"everybody,omitempty"`
	Clock     bool     `json:"clock,omitempty"` // some of it ends at a set time: ask when; nobody has to be named for that
}

// ReviewAnswer is the result of a reviewer's message.
type ReviewAnswer struct {
	Message  string        `json:"message"`
	Applied  int           `json:"applied"`            // items changed
	Repeated int           `json:"repeated,omitempty"` // items with that decision already
	Refused  []RefusedItem `json:"refused,omitempty"`  // the first MostRefusedItems of them
	Declined int           `json:"declined,omitempty"` // how many were refused
	Left     int           `json:"left"`               // items that the reviewer still has to decide
}

// RefusedItem is an item that was not changed, and why.
type RefusedItem struct {
	Item int    `json:"item"`
	Why  string `json:"why"`
}

// Renewing is the type of the error for an update while the history is about to end: nothing was done, and the sender
// tries again in a moment, when the next history accepts it.
const Renewing = "Renewing"

// Limits of one message of a reviewer, and of the answer.
const (
	MostItems        = 500
	MostRefusedItems = 50
)

// RemindInput is the body of remind: reviewers are notified again, with a new link and code.
type RemindInput struct {
	By       string `json:"by"`
	Reviewer string `json:"reviewer,omitempty"` // empty: everybody who has something left to decide
}

// RevokeLinksInput is the body of revoke-links: all links sent so far become invalid.
type RevokeLinksInput struct {
	By       string `json:"by"`
	Reviewer string `json:"reviewer,omitempty"` // empty: everybody's
	Reason   string `json:"reason,omitempty"`
}

// ExtendReviewInput is the body of extend on a review's workflow: the current stage ends later.
type ExtendReviewInput struct {
	By       string   `json:"by"`
	Duration Duration `json:"duration"` // added to the stage's end
	Reason   string   `json:"reason,omitempty"`
}

// EndReviewInput is the body of close (deciding ends now, and the decisions are carried out) and of cancel (nothing
// more is carried out).
type EndReviewInput struct {
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// ReviewNotice is a notice that was sent in a review: of a stage (start, middle or last), or of a plan that the guard
// holds.
type ReviewNotice struct {
	When  string `json:"when,omitempty"`
	Stage int    `json:"stage,omitempty"`
	Plan  string `json:"plan,omitempty"`
}

// ReviewNotices returns notices that were carried as texts.
func ReviewNotices(told []string) []ReviewNotice {
	var sent []ReviewNotice
	for _, text := range told {
		when, of, _ := strings.Cut(text, " ")
		if stage, err := strconv.Atoi(of); err == nil {
			sent = append(sent, ReviewNotice{When: when, Stage: stage})
		} else {
			sent = append(sent, ReviewNotice{Plan: of})
		}
	}
	return sent
}

// ReviewState is what a review's workflow carries from one history to the next. Items and decisions are in the ledger.
type ReviewState struct {
	Workflow string           `json:"workflow,omitempty"` // the workflow whose state it is
	Phase    string           `json:"phase"`
	Cursor   string           `json:"cursor,omitempty"` // of the sweep that collects the items
	Block    int              `json:"block,omitempty"`
	People   int              `json:"people,omitempty"`
	Review   access.Review    `json:"review"`
	Settings ReviewSettings   `json:"settings"`
	Status   ReviewProgress   `json:"status"`
	Sent     []ReviewNotice   `json:"sent,omitempty"` // notices
	Told     []string         `json:"told,omitempty"` // in place of Sent, in old histories: "<when> <stage>", "held <plan>"
	Stage    StageState       `json:"stage"`
	Carried  Remediation      `json:"carried"`
	Problem  *Problem         `json:"problem,omitempty"` // what keeps it from continuing; it is tried again
	Untold   string           `json:"untold,omitempty"`  // why the last notice could not be sent
	Refused  []RefusedMessage `json:"refused,omitempty"` // the last signals that were not accepted
	End      *EndReviewInput  `json:"end,omitempty"`     // deciding was ended by hand
	Cancel   *EndReviewInput  `json:"cancel,omitempty"`
}

// Remediation is the progress of removals.
type Remediation struct {
	Tries int       `json:"tries,omitempty"`
	Next  time.Time `json:"next,omitzero"`  // when they are looked at again
	Asked time.Time `json:"asked,omitzero"` // when the organization's loop was last asked to look
	Until time.Time `json:"until,omitzero"` // the end of the wait for them
	Open  int       `json:"open,omitempty"`
	Held  int       `json:"held,omitempty"`
	Plan  string    `json:"plan,omitempty"` // held by the guard
}

// StageState are the instants of the current stage.
type StageState struct {
	Began     time.Time `json:"began,omitzero"`
	Due       time.Time `json:"due,omitzero"`
	Fallback  time.Time `json:"fallback,omitzero"`
	Escalate  time.Time `json:"escalate,omitzero"`
	FellBack  bool      `json:"fellBack,omitempty"`
	Escalated bool      `json:"escalated,omitempty"`
	Checked   time.Time `json:"checked,omitzero"` // when the reviewers were last looked up
}

// ReviewSettings are the policy's settings of a campaign that its workflow needs.
type ReviewSettings struct {
	Stages   []StageSettings `json:"stages"`
	Remind   []string        `json:"remind,omitempty"` // start, middle, last
	AtOnce   bool            `json:"atOnce,omitempty"` // removals are carried out as they are decided
	Pages    int             `json:"pages"`            // of people in one block of the sweep
	Patience Duration        `json:"patience"`         // how long removals may take after deciding has ended
}

// StageSettings are one stage of a campaign.
type StageSettings struct {
	Length        Duration `json:"length"`
	FallbackAfter Duration `json:"fallbackAfter,omitempty"` // 0: there is no fallback
	Escalate      Duration `json:"escalate,omitempty"`      // before the end; 0: the owner is not asked
}

// ReviewProgress is the progress of a review in numbers.
type ReviewProgress struct {
	Items     int                    `json:"items"`   // of the review
	Asked     int                    `json:"asked"`   // of the stage
	Decided   int                    `json:"decided"` // of the stage's items, those with a decision
	Keep      int                    `json:"keep"`
	Remove    int                    `json:"remove"`
	Complete  bool                   `json:"complete"` // nobody has anything left to decide in this stage
	Outcomes  map[access.Outcome]int `json:"outcomes,omitempty"`
	Reviewers []ReviewerProgress     `json:"reviewers,omitempty"` // those with the most left first
	Plan      string                 `json:"plan,omitempty"`      // held by the guard, with removals of this review
	Carry     int                    `json:"carry,omitempty"`     // removals decided and not begun
}

// ReviewerProgress is the progress of one reviewer in the stage.
type ReviewerProgress struct {
	Reviewer string          `json:"reviewer"`        // account id
	Email    string          `json:"email,omitempty"` // the last known, for display
	Role     access.TaskRole `json:"role"`
	Items    int             `json:"items"`
	Decided  int             `json:"decided"`
	Gone     bool            `json:"gone,omitempty"` // the directory shows them inactive, or not at all
}

// Who returns the reviewer's name for display.
func (p ReviewerProgress) Who() string { return cmp.Or(p.Email, p.Reviewer) }

// ReviewStatus is the answer of the query status of a review's workflow.
type ReviewStatus struct {
	Review   access.Review    `json:"review"`
	Phase    string           `json:"phase"`
	Progress ReviewProgress   `json:"progress"`
	Next     string           `json:"next,omitempty"` // what the clock does next
	NextAt   time.Time        `json:"nextAt,omitzero"`
	Problem  *Problem         `json:"problem,omitempty"`
	Untold   string           `json:"untold,omitempty"`
	Refused  []RefusedMessage `json:"refused,omitempty"`
}

// The phases of a review's workflow, as shown in CastellanState.
const (
	ReviewTaking    = "opening"      // items are being collected
	ReviewDeciding  = "deciding"     // reviewers decide
	ReviewCarrying  = "carrying out" // removals are being written and read back
	ReviewHeld      = "held"         // the guard holds removals: somebody must decide on the plan
	ReviewProving   = "evidence"     // the pack is being made
	ReviewOver      = "done"
	ReviewSkipped   = "skipped"
	ReviewCancelled = "cancelled"
)

// Evidence is where a review's evidence is, and what proves it.
type Evidence struct {
	Review string `json:"review"`
	Lines  int    `json:"lines"`
	Head   string `json:"head"` // hash of the last line
	// Document is a piece of the evidence pack, compressed with gzip. Next of the answer is the next piece.
	Document []byte `json:"document,omitempty"`
}

// ListedReview is a review in a list.
type ListedReview struct {
	access.Review
	Decided  int                    `json:"decided"` // items with a verdict
	Outcomes map[access.Outcome]int `json:"outcomes,omitempty"`
}
