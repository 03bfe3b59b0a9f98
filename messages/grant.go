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
	// RequestID makes repeats of the request harmless: the same id changes nothing the second time. Empty: one is made.
	RequestID  string `json:"requestID,omitempty"`
	BreakGlass bool   `json:"breakGlass,omitempty"` // at once, without approval, to be reviewed after
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
	Request string `json:"request,omitempty"` // on a grant's workflow it may be left out while only one waits
	By      string `json:"by"`                // e-mail address or account id
	Note    string `json:"note,omitempty"`
	Pass           // where the policy demands a code
}

// ExtendInput is the body of extend: a grant that continues another. An organization's loop has to be told which; on a
// grant's workflow it is the one that ends last otherwise.
type ExtendInput struct {
	Request     string   `json:"request,omitempty"` // the one to prolong; empty: the one that ends last
	Duration    Duration `json:"duration"`          // beyond its end
	Reason      string   `json:"reason,omitempty"`
	Ticket      string   `json:"ticket,omitempty"`
	RequestedBy string   `json:"requestedBy"`
	RequestID   string   `json:"requestID,omitempty"` // of the extension; empty: one is made
}

// GrantAnswer says what came of a request.
type GrantAnswer struct {
	Message  string         `json:"message"`
	Grants   []access.Grant `json:"grants,omitempty"` // those concerned, as they stand now
	Workflow string         `json:"workflow"`         // the grant's workflow
	// Unreached says that the grant's workflow could not be woken: the organization's loop sees to it itself.
	Unreached bool `json:"unreached,omitempty"`
}

// TemporaryGrantInput starts the workflow of what one person holds of one target by grants. OrgSync has it started;
// nobody else should.
type TemporaryGrantInput struct {
	Org    string             `json:"org"`
	Target access.Entitlement `json:"target"`
	// the account id; in lower case the e-mail address of somebody who has none yet
	Key   string      `json:"key"`
	Email string      `json:"email,omitempty"` // for people, where the key is an account id
	Told  []string    `json:"told,omitempty"`  // notices that another workflow sent of the grants it hands over
	State *GrantState `json:"state,omitempty"` // carried by continue-as-new; leave it out
}

// GrantState is all that a grant's workflow remembers, and the answer of its status query. The grants themselves are
// the ledger's.
type GrantState struct {
	Workflow string           `json:"workflow,omitempty"` // whose state it is
	State    string           `json:"state"`
	Grants   []access.Grant   `json:"grants,omitempty"`
	Asked    *LoopRequest     `json:"asked,omitempty"`   // what the organization's loop was asked to do
	Blocked  *Blocked         `json:"blocked,omitempty"` // why it could not be done
	Told     []string         `json:"told,omitempty"`    // notices sent: "<kind> <request>"
	Untold   string           `json:"untold,omitempty"`  // why the last notice could not be sent
	Refused  []RefusedMessage `json:"refused,omitempty"` // the last signals that were not accepted, and why
	// Cancelled says that all grants were ended because the workflow was cancelled in Temporal.
	Cancelled bool `json:"cancelled,omitempty"`
	Turn      int  `json:"turn,omitempty"` // numbers what the organization's loop is asked
}

// The states of a grant's workflow, as shown in CastellanState.
const (
	GrantStarting  = "starting"
	GrantWaiting   = "waiting"   // for approval
	GrantScheduled = "scheduled" // granted, to begin later
	GrantGiving    = "giving"
	GrantActive    = "active"
	GrantTaking    = "taking back"
	GrantBlocked   = "blocked" // something keeps it from being given or taken back; it is tried again
	GrantOver      = "over"
)

// LoopRequest is what the organization's loop was asked, until it answers.
type LoopRequest struct {
	Turn int       `json:"turn"`
	For  string    `json:"for"` // what is to be put right, to notice when that changes
	At   time.Time `json:"at"`
}

// Blocked is why access could not be given or taken back yet.
type Blocked struct {
	For   string    `json:"for"`
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
	Retry time.Time `json:"retry"` // when the next attempt is made
	Tries int       `json:"tries"`
}

// ReconcileGrantSignal asks OrgSync to bring what one person holds of one target in line with the grants that are in
// force.
type ReconcileGrantSignal struct {
	Workflow string `json:"workflow"` // who asks
	// what the person goes by there; those from before IDs were encoded leave it out
	Key string `json:"key,omitempty"`
	// account id, or the e-mail address of somebody who is to be invited
	Person string             `json:"person"`
	Email  string             `json:"email,omitempty"`
	Target access.Entitlement `json:"target"`
	Turn   int                `json:"turn"`
}

// GrantReconciledSignal answers it, once what was done has been read back.
type GrantReconciledSignal struct {
	Turn  int    `json:"turn"`
	Run   string `json:"run,omitempty"`
	Right bool   `json:"right"`          // the person holds what the grants say, and no more by them
	Why   string `json:"why,omitempty"`  // not
	Soon  bool   `json:"soon,omitempty"` // it was no refusal: the next attempt may well succeed
}

// FoldCode is a code in the one form that counts: its letters and digits, upper case, in plain type. 0 and 1 are in no
// code; they are read as what they are mistaken for.
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

// CodeHash is what is kept of an approval code: the code itself is nobody's but its approver's. Only letters and digits
// matter, however they are set and parted. "" for no code.
func CodeHash(code string) string {
	code = FoldCode(code)
	if code == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}
