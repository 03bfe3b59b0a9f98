package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/castellan-io/castellan/access"
)

// GrantInput is the body of grant: one person is to hold one target for a while.
type GrantInput struct {
	Person      string             `json:"person"` // e-mail address or account id
	Target      access.Entitlement `json:"target"`
	Duration    Duration           `json:"duration,omitempty"` // empty: the policy's default
	Start       time.Time          `json:"start,omitzero"`     // empty: at once
	Reason      string             `json:"reason,omitempty"`
	Ticket      string             `json:"ticket,omitempty"`
	RequestedBy string             `json:"requestedBy"`
	// RequestID makes repeats of the request harmless: the same ID changes nothing the second time. Empty: one is made.
	RequestID  string `json:"requestID,omitempty"`
	BreakGlass bool   `json:"breakGlass,omitempty"` // at once, without approval, to be reviewed afterwards
}

// RevokeInput is the body of revoke: what a person holds by grants ends now. On a grant's own workflow, person and
// target are known and may be left out.
type RevokeInput struct {
	Person      string             `json:"person,omitempty"`
	Target      access.Entitlement `json:"target,omitempty"`
	Request     string             `json:"request,omitempty"` // only this one; empty: all that are open
	Reason      string             `json:"reason,omitempty"`
	RequestedBy string             `json:"requestedBy"`
}

// ApprovalInput is the body of approve and deny, on an organization's loop or a grant's workflow.
type ApprovalInput struct {
	Request    string `json:"request,omitempty"` // on a grant's workflow it may be left out while only one waits
	By         string `json:"by"`                // e-mail address or account id
	Note       string `json:"note,omitempty"`
	Credential        // where the policy demands a code
}

// ExtendInput is the body of extend: a grant that continues another. An organization's loop has to be told which; on a
// grant's workflow the default is the one that ends last.
type ExtendInput struct {
	Request     string   `json:"request,omitempty"` // the one to extend; empty: the one that ends last
	Duration    Duration `json:"duration"`          // beyond its end
	Reason      string   `json:"reason,omitempty"`
	Ticket      string   `json:"ticket,omitempty"`
	RequestedBy string   `json:"requestedBy"`
	RequestID   string   `json:"requestID,omitempty"` // of the extension; empty: one is made
}

// GrantAnswer is the result of a request.
type GrantAnswer struct {
	Message  string         `json:"message"`
	Grants   []access.Grant `json:"grants,omitempty"` // those concerned, as they are now
	Workflow string         `json:"workflow"`         // the grant's workflow
	// Unreached: the grant's workflow could not be woken, so the organization's loop takes care of the grant itself.
	Unreached bool `json:"unreached,omitempty"`
}

// TemporaryGrantInput starts the workflow for what one person holds of one target by grants. Only OrgSync should start
// it.
type TemporaryGrantInput struct {
	Org    string             `json:"org"`
	Target access.Entitlement `json:"target"`
	// the account ID; for somebody without one, the e-mail address in lower case
	Key   string       `json:"key"`
	Email string       `json:"email,omitempty"` // for people, where the key is an account id
	Told  []string     `json:"told,omitempty"`  // as GrantState.Told
	Sent  []SentNotice `json:"sent,omitempty"`  // notices already sent by the workflow that hands over its grants
	State *GrantState  `json:"state,omitempty"` // carried by continue-as-new; leave it out
}

// SentNotice is a notice that was sent of a grant.
type SentNotice struct {
	Kind  string    `json:"kind"`
	Grant string    `json:"grant,omitempty"` // empty: it was about the workflow
	For   time.Time `json:"for,omitzero"`    // the instant that it was due, where it is sent again and again
}

// SentNotices adds to notices those that were carried as texts.
func SentNotices(sent []SentNotice, told []string) []SentNotice {
	for _, text := range told {
		n := SentNotice{}
		n.Kind, n.Grant, _ = strings.Cut(text, " ")
		if at, err := time.Parse(time.RFC3339, n.Grant); err == nil {
			n.Grant, n.For = "", at
		}
		sent = append(sent, n)
	}
	return sent
}

// GrantState is the state of a grant's workflow, and the answer of its status query. The grants themselves are in the
// ledger.
type GrantState struct {
	Workflow string           `json:"workflow,omitempty"` // the workflow whose state it is
	State    string           `json:"state"`
	Grants   []access.Grant   `json:"grants,omitempty"`
	Asked    *LoopRequest     `json:"asked,omitempty"`   // the request to the organization's loop
	Blocked  *Blocked         `json:"blocked,omitempty"` // why that could not be done
	Sent     []SentNotice     `json:"sent,omitempty"`    // notices
	Told     []string         `json:"told,omitempty"`    // in place of Sent, in old histories: "<kind> <request>"
	Untold   string           `json:"untold,omitempty"`  // why the last notice could not be sent
	Refused  []RefusedMessage `json:"refused,omitempty"` // the last signals that were not accepted, and why
	// Cancelled: all grants were ended because the workflow was cancelled in Temporal.
	Cancelled bool `json:"cancelled,omitempty"`
	Turn      int  `json:"turn,omitempty"` // numbers the requests to the organization's loop
}

// The states of a grant's workflow, as shown in CastellanState.
const (
	GrantStarting  = "starting"
	GrantWaiting   = "waiting"   // for approval
	GrantScheduled = "scheduled" // granted, to begin later
	GrantGiving    = "giving"
	GrantActive    = "active"
	GrantTaking    = "taking back"
	GrantBlocked   = "blocked" // something keeps it from being given or removed; it is tried again
	GrantOver      = "over"
)

// LoopRequest is a request to the organization's loop, until it is answered.
type LoopRequest struct {
	Turn int       `json:"turn"`
	For  string    `json:"for"` // what has to be put right, to notice when that changes
	At   time.Time `json:"at"`
}

// Blocked is why access could not be given or removed yet.
type Blocked struct {
	For   string    `json:"for"`
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
	Retry time.Time `json:"retry"` // when the next attempt is made
	Tries int       `json:"tries"`
}

// ReconcileGrantSignal asks OrgSync to bring what one person holds of one target in line with the grants in force.
type ReconcileGrantSignal struct {
	Workflow string `json:"workflow"` // the sender
	// the person's key there; those from before IDs were encoded leave it out
	Key string `json:"key,omitempty"`
	// account ID, or the e-mail address of somebody who is to be invited
	Person string             `json:"person"`
	Email  string             `json:"email,omitempty"`
	Target access.Entitlement `json:"target"`
	Turn   int                `json:"turn"`
}

// GrantReconciledSignal answers it, once the change has been read back.
type GrantReconciledSignal struct {
	Turn  int    `json:"turn"`
	Run   string `json:"run,omitempty"`
	Right bool   `json:"right"`          // the person holds what the grants give, and nothing beyond that by grants
	Why   string `json:"why,omitempty"`  // why not
	Soon  bool   `json:"soon,omitempty"` // not a refusal: the next attempt may well succeed
}

// FoldCode returns a code in the form in which codes are compared: its letters and digits, upper case, without
// formatting. 0 and 1 are in no code; they are read as the letters that they are mistaken for.
func FoldCode(code string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			return -1
		case r == '0':
			return 'O'
		case r == '1':
			return 'I'
		}
		return r
	}, strings.ToUpper(norm.NFKC.String(code)))
}

// CodeHash returns what is stored of an approval code: only its approver has the code itself. Only letters and digits
// matter. "" for no code.
func CodeHash(code string) string {
	code = FoldCode(code)
	if code == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}
