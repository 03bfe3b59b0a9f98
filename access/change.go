package access

import "time"

// ReasonKind says what kind of statement makes a person hold a target.
type ReasonKind string

// The kinds of reason.
const (
	ReasonMapping ReasonKind = "mapping"
	ReasonRule    ReasonKind = "rule"
	ReasonGrant   ReasonKind = "grant"
	ReasonReview  ReasonKind = "review"
	ReasonUndo    ReasonKind = "undo" // the change takes back one of an earlier run
)

// Reason is why a person should hold a target, or, on a removal, the reason that ended.
type Reason struct {
	Kind ReasonKind `json:"kind"`
	Name string     `json:"name"` // the mapping's or rule's name, the grant's id, the run undone
	// the target as the policy writes it, where that differs from the group
	Via    Entitlement `json:"via,omitempty"`
	Source string      `json:"source,omitempty"` // the source group that gives it
}

// String is the reason in one line: "mapping engineering (source group eng-all, default:jira-software/acme/user)".
func (r Reason) String() string {
	s := string(r.Kind) + " " + r.Name
	switch {
	case r.Source != "" && r.Via != "":
		return s + " (source group " + r.Source + ", " + string(r.Via) + ")"
	case r.Source != "":
		return s + " (source group " + r.Source + ")"
	case r.Via != "":
		return s + " (" + string(r.Via) + ")"
	}
	return s
}

// Action is what a change does.
type Action string

// The actions. Adopt writes nothing to Atlassian: it records that a membership which somebody else made, and which the
// policy explains, is Castellan's from now on.
const (
	Add    Action = "add"
	Remove Action = "remove"
	Adopt  Action = "adopt"
)

// ChangeState is where a change stands.
type ChangeState string

// The states of a change. Planned, Held and Sent are open; all others are final for the run.
const (
	Planned    ChangeState = "planned"    // released, not yet written
	Held       ChangeState = "held"       // stopped by the guard, waits for a decision
	Rejected   ChangeState = "rejected"   // a person said no to it
	Sent       ChangeState = "sent"       // a write was begun and its outcome is not known yet
	Done       ChangeState = "done"       // written, and the API said so
	Already    ChangeState = "already"    // found to be so: nothing had to be written
	Shortage   ChangeState = "shortage"   // the app's licence limit is reached
	Refused    ChangeState = "refused"    // the API or a floor refused it
	Superseded ChangeState = "superseded" // the state read just before writing no longer asks for it
	Failed     ChangeState = "failed"     // given up in this run; the next verification tries again
	Recorded   ChangeState = "recorded"   // dry run or preview: shown, never written
	Observed   ChangeState = "observed"   // what rules that only observe would do: shown, never written
)

// Open says that the change still waits for something.
func (s ChangeState) Open() bool { return s == Planned || s == Held || s == Sent }

// Change is one line of a plan: one person, one group or role, one action. Its key within a run is (Person, Target).
type Change struct {
	Person  string      `json:"person"`            // account id
	Email   string      `json:"email,omitempty"`   // for people
	Target  Entitlement `json:"target"`            // group:<live name> or role:org-admin: what is really written
	GroupID string      `json:"groupId,omitempty"` // empty for a role
	Action  Action      `json:"action"`
	Reasons []Reason    `json:"reasons,omitempty"` // standing reasons of an add, ended reasons of a removal
	Sources []string    `json:"sources,omitempty"` // ids of the source groups whose evidence the change stands on
	// apps on sites (app/site) of which a removal takes the person's last known access
	Loses  []string    `json:"loses,omitempty"`
	HeldBy []string    `json:"heldBy,omitempty"` // guard rules that stopped it
	State  ChangeState `json:"state,omitempty"`
	Answer string      `json:"answer,omitempty"` // what the API said, or why nothing was written
	// Verified: a later read showed it. Settling: it ended so that its person is looked at again, and asked for then is
	// written.
	Verified bool      `json:"verified,omitempty"`
	Settling bool      `json:"settling,omitempty"`
	At       time.Time `json:"at,omitzero"` // when the state was reached
}

// Outcome is the answer as people read it, with what was seen afterwards.
func (c Change) Outcome() string {
	if c.Verified {
		return c.Answer + "; verified by reading back"
	}
	return c.Answer
}

// Label names the change in one line: "add ana@acme.example to group:jira-users-acme".
func (c Change) Label() string {
	who := c.Email
	if who == "" {
		who = c.Person
	}
	switch verb := c.Verb(); {
	case verb == "suspend" || verb == "restore":
		return verb + " " + who
	case c.Target == Organization:
		return "remove " + who + " from the organization"
	case c.Action == Remove:
		return "remove " + who + " from " + string(c.Target)
	case c.Action == Adopt:
		return "adopt " + who + " in " + string(c.Target)
	}
	return "add " + who + " to " + string(c.Target)
}

// Verb is what the change does, in a word: suspend and restore, where it is about presence and no grant.
func (c Change) Verb() string {
	switch {
	case c.Target != Directory || OnlyGrants(c.Reasons):
		return string(c.Action)
	case c.Action == Remove:
		return "suspend"
	}
	return "restore"
}

// Holding is a person's membership in a target over a span of time, with the reasons that stood for it then.
type Holding struct {
	Person  string      `json:"person"`
	Target  Entitlement `json:"target"`
	GroupID string      `json:"groupId,omitempty"`
	Owned   bool        `json:"owned"`             // Castellan made or adopted it; otherwise it is foreign
	Reasons []Reason    `json:"reasons,omitempty"` // none: nothing in the policy explains it
	Run     string      `json:"run"`               // the run that first saw it so
	From    time.Time   `json:"from"`
	Until   time.Time   `json:"until,omitzero"` // zero while it stands
	// Taken is what the event feed says of a holding that stands: somebody else took the membership. One that is shown
	// since was given by somebody else.
	Taken *Taken `json:"taken,omitempty"`
}

// Taken is when somebody else took a membership, and how the event feed calls it.
type Taken struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`
}

// Unseen is a membership on the books that a read did not show and that nothing planned will settle.
type Unseen struct {
	Holding
	// Grants are those in force that alone give it: somebody took it by hand. They end with it.
	Grants []string `json:"grants,omitempty"`
}

// Lapse says that the change takes back what grants alone gave: no limit on removals stands against it, only a floor.
func (c Change) Lapse() bool { return c.Action == Remove && OnlyGrants(c.Reasons) }

// OnlyGrants says that the reasons are grants and nothing else.
func OnlyGrants(reasons []Reason) bool {
	for _, r := range reasons {
		if r.Kind != ReasonGrant {
			return false
		}
	}
	return len(reasons) > 0
}

// OnlyRules says that the reasons are rules and nothing else.
func OnlyRules(reasons []Reason) bool {
	for _, r := range reasons {
		if r.Kind != ReasonRule {
			return false
		}
	}
	return len(reasons) > 0
}

// HasKind says that one of the reasons is of a kind.
func HasKind(reasons []Reason, kind ReasonKind) bool {
	for _, r := range reasons {
		if r.Kind == kind {
			return true
		}
	}
	return false
}
