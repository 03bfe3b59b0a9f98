package messages

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// LinkInput starts the workflow link:<organization>:<batch>, which links existing accounts, created by a login or an
// invitation, to records in a SCIM directory.
type LinkInput struct {
	Provision string `json:"provision"` // of the policy
	// People are the people to link, by e-mail address, account id or "source:key"; none: everybody who has an account
	// but no record, up to Most.
	People []string `json:"people,omitempty"`
	Most   int      `json:"most,omitempty"` // default 500, maximum MostLinks
	Wave   int      `json:"wave,omitempty"` // people linked at a time: default 50, maximum MostLinkWave
	By     string   `json:"by"`
	Note   string   `json:"note,omitempty"`
	// State is carried by continue-as-new; leave it out.
	State *LinkState `json:"state,omitempty"`
}

// Bounds of a link batch.
const (
	MostLinks    = 4000
	MostLinkWave = 200
)

// The states of a link batch, as shown in CastellanState.
const (
	LinkReading  = "reading"  // the preview is being made
	LinkHeld     = "held"     // the preview waits for approval
	LinkLinking  = "linking"  // waves are being written and read back
	LinkStopped  = "stopped"  // something happened that the preview does not show: no one else is linked
	LinkRejected = "rejected" // nobody was linked
	LinkDone     = "done"
)

// LinkState is the state of a link batch, the answer of its status query, and its result.
type LinkState struct {
	Workflow  string `json:"workflow,omitempty"` // whose state it is
	Org       string `json:"org"`
	Batch     string `json:"batch"`
	Provision string `json:"provision"`
	State     string `json:"state"`
	Run       string `json:"run,omitempty"`    // the run that has the batch's lines
	Policy    string `json:"policy,omitempty"` // hash of the policy under which it was made
	Hold      *Hold  `json:"hold,omitempty"`   // the preview that waits for approval
	By        string `json:"by,omitempty"`     // who approved it
	Plan      string `json:"plan,omitempty"`   // hash of the approved preview
	// Begun is when the preview began: it shows the state at that time.
	Begun time.Time `json:"begun,omitzero"`
	After string    `json:"after,omitempty"` // the last person of the preview so far, "source:key"
	Read  bool      `json:"read,omitempty"`  // everybody was previewed
	// ReadOnly is why nothing of the batch can be written; empty if it can be.
	ReadOnly string `json:"readOnly,omitempty"`
	// Counts are people by outcome: see the Link… constants below.
	Counts []StateCount `json:"counts,omitempty"`
	Gap    int          `json:"gap"` // managed accounts without a record, when last counted
	Wave   int          `json:"wave,omitempty"`
	// Linking are the people of the current wave, as "source:key".
	Linking []string `json:"linking,omitempty"`
	Tries   int      `json:"tries,omitempty"`   // how often the wave was read back, or requested again
	Written bool     `json:"written,omitempty"` // the wave is written, but not all of it was read back as linked
	// Surprise is what stopped the batch.
	Surprise []string         `json:"surprise,omitempty"`
	Problem  *Problem         `json:"problem,omitempty"`
	Refused  []RefusedMessage `json:"refused,omitempty"`
}

// What becomes of a person of a batch.
const (
	LinkPending  = "pending"        // to be linked
	LinkLinked   = "linked"         // by this batch, and read back
	LinkAlready  = "already-linked" // before this batch, or by another run in the meantime
	LinkNot      = "not-linked"     // they cannot be linked this way; Detail says why
	LinkLeft     = "left-out"       // the decision just before writing was a different one
	LinkSurprise = "surprise"       // what was read back differs from the preview
)

// LinkOutcomes returns all of them.
func LinkOutcomes() []string {
	return []string{LinkPending, LinkLinked, LinkAlready, LinkNot, LinkLeft, LinkSurprise}
}

// LinkPerson is a person of a batch: what the preview shows, and what became of it.
type LinkPerson struct {
	Identity string     `json:"identity"` // "source:key"
	Address  string     `json:"address,omitempty"`
	Account  string     `json:"account,omitempty"` // account id
	Record   string     `json:"record,omitempty"`  // record id, once there is one
	Wave     int        `json:"wave,omitempty"`
	Outcome  string     `json:"outcome"`
	Detail   string     `json:"detail,omitempty"`
	Before   LinkBefore `json:"before,omitzero"`
}

// LinkBefore is what the preview shows of an account: linking must change none of it, apart from what is overwritten
// and locked.
type LinkBefore struct {
	// Groups are the ids of the groups that are not synced, Roles the platform roles. They are kept.
	Groups []string `json:"groups,omitempty"`
	Roles  []string `json:"roles,omitempty"`
	// Names are those of the groups, as far as they are known.
	Names []string `json:"names,omitempty"`
	// Overwrites are attributes of the account that the record changes: "title: Engineer → Lead".
	Overwrites []string `json:"overwrites,omitempty"`
	// Locks are attributes that can be changed at Atlassian now, and only through the record afterwards.
	Locks []string `json:"locks,omitempty"`
}

// ProvisionNowInput is the body of provision-now: the records of everybody, or of some people.
type ProvisionNowInput struct {
	Provision string `json:"provision,omitempty"` // empty: every provision of the policy
	// People are the people to decide, by e-mail address, account id or "source:key"; none: everybody.
	People []string `json:"people,omitempty"`
	By     string   `json:"by"`
}

// LinkWaveSignal has OrgSync write lines of an approved link batch.
type LinkWaveSignal struct {
	Batch      string   `json:"batch"`
	Run        string   `json:"run"`
	Plan       string   `json:"plan"`
	Provision  string   `json:"provision"`
	Identities []string `json:"identities"` // whose lines
	By         string   `json:"by"`         // who approved the batch
	Wave       int      `json:"wave"`
}

const linkPrefix = "link:"

// LinkID returns the workflow ID of a batch of links.
func LinkID(org, batch string) string { return linkPrefix + org + ":" + batch }

// LinkOf returns the organization and the batch in a workflow ID; ok is false for any other ID.
func LinkOf(workflowID string) (org, batch string, ok bool) {
	rest, ok := strings.CutPrefix(workflowID, linkPrefix)
	if !ok {
		return "", "", false
	}
	org, batch, ok = strings.Cut(rest, ":")
	return org, batch, ok && org != "" && batch != ""
}

// batchName matches the name of a batch, which is part of a workflow ID and of commands.
var batchName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// CheckBatch returns an error if the text cannot name a batch.
func CheckBatch(name string) error {
	if batchName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%.120q is not a valid name of a batch: use 1 to 100 letters, digits, dots, dashes and underscores", name)
}

// LinkRun returns the id of the run that has a batch's lines.
func LinkRun(batch string, at time.Time) string {
	return "link-" + batch + "-" + at.UTC().Format("20060102-150405.000")
}
