package messages

import "time"

// SourceStatus is the state of an identity source.
type SourceStatus struct {
	Name        string    `json:"name"`
	Read        time.Time `json:"read,omitzero"` // when it was last read completely
	People      int       `json:"people"`
	Groups      int       `json:"groups"`
	Memberships int       `json:"memberships"`
	Missing     int       `json:"missing,omitempty"` // people and groups that the last read did not show, not yet proved gone
	// Problem is why it cannot be read, since Failing; empty while it can.
	Problem string    `json:"problem,omitempty"`
	Failing time.Time `json:"failing,omitzero"`
	// Suspect is why its last read is suspect: nothing that is missing from it counts as gone until a person accepts
	// it.
	Suspect string `json:"suspect,omitempty"`
	// Lacks is a digest of everything that is missing from a suspect read: accept-source names it.
	Lacks string `json:"lacks,omitempty"`
	// LacksOther reports whether what is missing has changed since the source became suspect.
	LacksOther bool  `json:"lacksOther,omitempty"`
	Change     int64 `json:"change,omitempty"` // number of the last change whose people are known

	// Of a source that posts, and is never read: when a post was last accepted, whether that is longer ago than the
	// policy has it, how many posts were refused and why the last one was. Its numbers are of everybody it ever stated.
	Posts      bool      `json:"posts,omitempty"`
	Posted     time.Time `json:"posted,omitzero"`
	Quiet      bool      `json:"quiet,omitempty"`
	Refused    int       `json:"refused,omitempty"`
	RefusedAt  time.Time `json:"refusedAt,omitzero"`
	RefusedFor string    `json:"refusedFor,omitempty"`
}

// The states of a source, as shown in CastellanSource.
const (
	SourceOK        = "ok"
	SourceNeverRead = "never-read" // not read completely yet; of one that posts: nothing was posted yet
	SourceFailing   = "failing"    // it cannot be read
	SourceSuspect   = "suspect"    // what is missing from its last read does not count as gone
	SourceQuiet     = "quiet"      // nothing was posted for longer than the policy expects
)

// State returns the source's state. A problem that keeps it from being read comes first.
func (s SourceStatus) State() string {
	switch {
	case s.Problem != "":
		return SourceFailing
	case s.Suspect != "":
		return SourceSuspect
	case s.Posts && s.Quiet:
		return SourceQuiet
	case s.Read.IsZero() && s.Posted.IsZero():
		return SourceNeverRead
	}
	return SourceOK
}

// SourceKeyword is an entry of CastellanSource: "corp:ok".
func SourceKeyword(source, state string) string { return source + ":" + state }

// SourceSetting is what the loop needs to know about a source of the policy.
type SourceSetting struct {
	Name string `json:"name"`
}

// AcceptSourceInput is the body of accept-source: what is missing from a suspect read counts as missing from then on,
// as if the source had never been suspect.
type AcceptSourceInput struct {
	Source string `json:"source"`
	// Lacks is the digest that the status shows of what is missing: nothing else is accepted. It may be left out as
	// long as what is missing has not changed since the source became suspect.
	Lacks string `json:"lacks,omitempty"`
	By    string `json:"by"`
	Note  string `json:"note,omitempty"`
}

// ConflictInput is the body of accept-conflict and reject-conflict: a decision about exactly one difference between a
// group of an identity source and its counterpart at Atlassian.
type ConflictInput struct {
	Conflict string `json:"conflict"` // hash of the difference: sha256:…
	By       string `json:"by"`
	Note     string `json:"note,omitempty"`
}

// GroupConflict is a difference between a group of an identity source and its counterpart at Atlassian.
type GroupConflict struct {
	Group   string   `json:"group"`           // at Atlassian
	GroupID string   `json:"groupId"`         // at Atlassian
	Source  string   `json:"source"`          // the source's group: corp:Dev users
	Key     string   `json:"key"`             // of the source's group
	Entry   string   `json:"entry,omitempty"` // of the policy's groups; empty: the two only have the same name
	As      string   `json:"as,omitempty"`    // what that entry wants the group to be: local or synced
	Missing int      `json:"missing"`         // people of the source's group who are not in it
	Extra   int      `json:"extra"`           // people who are in it and not in the source's group
	Opens   []string `json:"opens,omitempty"` // the apps on sites that membership opens
	// Follows: the group follows the source's already, and somebody else added the extra people. A synced one was
	// accepted at Atlassian, and the people are those in whom it is otherwise than was shown before.
	Follows  bool      `json:"follows,omitempty"`
	Conflict string    `json:"conflict"`           // the hash to accept or reject
	Decision string    `json:"decision,omitempty"` // accepted or rejected; empty: open
	Fit      bool      `json:"fit"`                // whether it can be accepted
	By       string    `json:"by,omitempty"`
	Note     string    `json:"note,omitempty"`
	Decided  time.Time `json:"decided,omitzero"`
	Since    time.Time `json:"since"` // when exactly this difference was found first
}

// ConflictPerson is a person in one of two groups and not in the other.
type ConflictPerson struct {
	Account string `json:"account"` // account id
	Email   string `json:"email,omitempty"`
	Missing bool   `json:"missing,omitempty"` // in the source's group, not at Atlassian; otherwise the other way round
	// Lost: in neither, and was in that at Atlassian until it was accepted there, which nobody was shown.
	Lost bool `json:"lost,omitempty"`
}

// ProvisionSetting is what the loop needs to know about a provision of the policy.
type ProvisionSetting struct {
	Name string   `json:"name"`
	From []string `json:"from"` // sources
}

// ProvisionStatus is the state of a provision.
type ProvisionStatus struct {
	Name     string       `json:"name"`
	Run      string       `json:"run"`              // the last one
	Done     time.Time    `json:"done,omitzero"`    // when a run last succeeded
	States   []StateCount `json:"states,omitempty"` // how many people are in which state
	Gap      int          `json:"gap"`              // active managed accounts without a record
	Groups   *GroupCounts `json:"groups,omitempty"` // of the directory that follow groups of sources; nil: none do
	Findings []string     `json:"findings,omitempty"`
	Reported int          `json:"reported,omitempty"`
	Problem  *Problem     `json:"problem,omitempty"`
	// Unfinished is what the last run over everybody, or later ones, left to be tried again.
	Unfinished *Problem `json:"unfinished,omitempty"`
}

// GroupCounts are how many groups of a SCIM directory follow groups of sources, and how many are in them together.
type GroupCounts struct {
	Groups      int `json:"groups"`
	Memberships int `json:"memberships"`
}

// StateCount counts people in a state, such as linked.
type StateCount struct {
	State string `json:"state"`
	Count int    `json:"count"`
}

// PendingProvision is a provision that is due.
type PendingProvision struct {
	Name       string   `json:"name"`
	Why        string   `json:"why"`
	Identities []string `json:"identities,omitempty"` // "source:key"; none: everybody
	// Approved is what is left of a plan that a person approved: it is written, whatever else is due.
	Approved *Scope `json:"approved,omitempty"`
	By       string `json:"by,omitempty"` // who approved it
	// NotBefore is when what a run left is tried again; what else is due does not wait for that.
	NotBefore time.Time `json:"notBefore,omitzero"`
}
