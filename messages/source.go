package messages

import "time"

// SourceStatus is how an identity source stands.
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
	// Suspect is why its last read is not believed: nothing that it lacks counts until somebody accepts it.
	Suspect string `json:"suspect,omitempty"`
	// Lacks identifies, of a read that is not believed, all that it lacks: accept-source names it.
	Lacks string `json:"lacks,omitempty"`
	// LacksOther: what it lacks has changed since it began not to be believed.
	LacksOther bool  `json:"lacksOther,omitempty"`
	Change     int64 `json:"change,omitempty"` // number of the last change whose people are known
}

// The states of a source, as shown in CastellanSource.
const (
	SourceOK        = "ok"
	SourceNeverRead = "never-read" // not read completely yet
	SourceFailing   = "failing"    // it cannot be read
	SourceSuspect   = "suspect"    // what its last read lacks is not believed
)

// State returns the source's state; what keeps it from being read comes first.
func (s SourceStatus) State() string {
	switch {
	case s.Problem != "":
		return SourceFailing
	case s.Suspect != "":
		return SourceSuspect
	case s.Read.IsZero():
		return SourceNeverRead
	}
	return SourceOK
}

// SourceKeyword is an entry of CastellanSource: "corp:ok".
func SourceKeyword(source, state string) string { return source + ":" + state }

// SourceSetting is what the loop needs to know of a source of the policy.
type SourceSetting struct {
	Name string `json:"name"`
}

// AcceptSourceInput is the body of accept-source: what a suspect read lacks counts as missing from then on, as if the
// source had always been read so.
type AcceptSourceInput struct {
	Source string `json:"source"`
	// Lacks is what the status shows of the read: nothing else is accepted. It may be left out as long as the source
	// lacks what it lacked when it began to be suspect.
	Lacks string `json:"lacks,omitempty"`
	By    string `json:"by"`
	Note  string `json:"note,omitempty"`
}

// ProvisionSetting is what the loop needs to know of a provision of the policy.
type ProvisionSetting struct {
	Name string   `json:"name"`
	From []string `json:"from"` // sources
}

// ProvisionStatus is how a provision stands.
type ProvisionStatus struct {
	Name     string       `json:"name"`
	Run      string       `json:"run"`              // the last one
	Done     time.Time    `json:"done,omitzero"`    // when it last went well
	States   []StateCount `json:"states,omitempty"` // how many people are in which state
	Gap      int          `json:"gap"`              // active managed accounts without a record
	Findings []string     `json:"findings,omitempty"`
	Reported int          `json:"reported,omitempty"`
	Problem  *Problem     `json:"problem,omitempty"`
	// Unfinished is what the last run over everybody, or later ones, left to be tried again.
	Unfinished *Problem `json:"unfinished,omitempty"`
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
	// Approved is what is left of a plan that somebody approved: it is written, whatever else is due.
	Approved *Scope `json:"approved,omitempty"`
	By       string `json:"by,omitempty"` // who approved it
	// NotBefore is when what a run left is tried again; what else is due does not wait for that.
	NotBefore time.Time `json:"notBefore,omitzero"`
}
