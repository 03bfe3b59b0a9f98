package access

import (
	"fmt"
	"time"
)

// ReasonKind is the kind of statement by which a person should hold a target.
type ReasonKind string

// The kinds of reason.
const (
	ReasonMapping ReasonKind = "mapping"
	ReasonRule    ReasonKind = "rule"
	ReasonGrant   ReasonKind = "grant"
	ReasonReview  ReasonKind = "review"
	ReasonUndo    ReasonKind = "undo" // the change undoes one of an earlier run
	// ReasonConflict: a person accepted the difference between a group and that of an identity source
	ReasonConflict ReasonKind = "conflict"
	// ReasonIdentity: what the identity sources say of somebody, by a provision of the policy
	ReasonIdentity ReasonKind = "identity"
	// ReasonRestore: the record of a lost group has it
	ReasonRestore ReasonKind = "restore"
)

// Reason is why a person should hold a target, or, on a removal, the reason that ended.
type Reason struct {
	Kind ReasonKind `json:"kind"`
	Name string     `json:"name"` // the mapping's or rule's name, the grant's ID, or the run that is undone
	// the target as the policy writes it, where that differs from the group
	Via    Entitlement `json:"via,omitempty"`
	Source string      `json:"source,omitempty"` // the source group that gives it
}

// String returns the reason in one line: "mapping engineering (source group eng-all, default:jira-software/acme/user)".
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

// The actions. Adopt writes nothing to Atlassian: it records that Castellan owns, from now on, a membership that
// somebody else made and that the policy explains. Update changes values of what is there; see Change.Edits.
const (
	Add    Action = "add"
	Remove Action = "remove"
	Adopt  Action = "adopt"
	Update Action = "update"
)

// Edit is what a change does to one attribute of a record in a SCIM directory.
type Edit struct {
	Attribute string `json:"attribute"` // its SCIM path
	From      string `json:"from"`
	To        string `json:"to"`
}

// String returns the edit in one line: title: "" → "Lead".
func (e Edit) String() string { return fmt.Sprintf("%s: %q → %q", e.Attribute, e.From, e.To) }

// ChangeState is the state of a change.
type ChangeState string

// The states of a change. Planned, Held and Sent are open; all others are final for the run.
const (
	Planned    ChangeState = "planned"    // released, not yet written
	Held       ChangeState = "held"       // held by the guard until somebody decides
	Rejected   ChangeState = "rejected"   // somebody rejected it
	Sent       ChangeState = "sent"       // a write was begun and its outcome is not known yet
	Done       ChangeState = "done"       // written and acknowledged by the API
	Already    ChangeState = "already"    // was so already: nothing had to be written
	Shortage   ChangeState = "shortage"   // the app's licence limit is reached
	Refused    ChangeState = "refused"    // the API or a floor refused it
	Superseded ChangeState = "superseded" // the state read just before writing no longer asks for it
	Failed     ChangeState = "failed"     // given up in this run; the next verification tries again
	Recorded   ChangeState = "recorded"   // dry run or preview: shown, never written
	Observed   ChangeState = "observed"   // what rules in observe mode would do: shown, never written
)

// Open reports whether the change still waits for something.
func (s ChangeState) Open() bool { return s == Planned || s == Held || s == Sent }

// Change is one line of a plan: one person, one group or role, one action. Its key within a run is (Person, Target).
type Change struct {
	Person  string      `json:"person"`            // account id
	Email   string      `json:"email,omitempty"`   // for people
	Target  Entitlement `json:"target"`            // group:<live name> or role:org-admin: what is written
	GroupID string      `json:"groupId,omitempty"` // empty for a role
	Action  Action      `json:"action"`
	Reasons []Reason    `json:"reasons,omitempty"` // standing reasons of an add, ended reasons of a removal
	Sources []string    `json:"sources,omitempty"` // ids of the source groups that are the evidence for the change
	// apps on sites (app/site) to which a removal takes the person's last known access
	Loses  []string    `json:"loses,omitempty"`
	HeldBy []string    `json:"heldBy,omitempty"` // guard rules that held it
	Edits  []Edit      `json:"edits,omitempty"`  // the values that it writes; none for a membership
	State  ChangeState `json:"state,omitempty"`
	Answer string      `json:"answer,omitempty"` // the API's answer, or why nothing was written
	// Verified: a later read showed the change. Settling: it ended without a write, so that its person is looked at
	// again; whatever is due then is written.
	Verified bool      `json:"verified,omitempty"`
	Settling bool      `json:"settling,omitempty"`
	At       time.Time `json:"at,omitzero"` // when the state was reached
}

// Outcome returns the answer for people, and whether the change was read back.
func (c Change) Outcome() string {
	if c.Verified {
		return c.Answer + "; verified by reading back"
	}
	return c.Answer
}

// Label returns the change in one line: "add ana@acme.example to group:jira-users-acme".
func (c Change) Label() string {
	who := c.Email
	if who == "" {
		who = c.Person
	}
	name, restored := RestoreOf(c.Target)
	role, resource, ofGroup := GroupRoleOf(c.Target)
	_, group := SCIMGroupOf(c.Target)
	switch verb := c.Verb(); {
	case ofGroup:
		return "give the restored group " + role + " on " + resource
	case restored && len(c.Sources) == 1 && c.Sources[0] == c.Person:
		return "make group " + name + " again"
	case restored:
		return "add " + who + " to the restored group " + name
	case c.Target.Kind() == KindSCIMGroupExists:
		return verb + " SCIM group " + group
	case verb == "suspend" || verb == "restore":
		return verb + " " + who
	case c.Target == Organization:
		return "remove " + who + " from the organization"
	case c.Action == Remove:
		return "remove " + who + " from " + string(c.Target)
	case c.Action == Update:
		return "update " + who + " in " + string(c.Target)
	case c.Action == Adopt:
		return "adopt " + who + " in " + string(c.Target)
	}
	return "add " + who + " to " + string(c.Target)
}

// Verb returns what the change does, in a word: suspend or restore where it concerns presence and not a grant.
func (c Change) Verb() string {
	switch {
	case c.Target.Kind() == KindSCIMGroupExists && c.Action == Add:
		return "create"
	case c.Target.Kind() == KindSCIMGroupExists && c.Action == Remove:
		return "delete"
	case c.Target.Kind() == KindSCIMGroupExists:
		return "take over"
	case c.Target != Directory || OnlyGrants(c.Reasons):
		return string(c.Action)
	case c.Action == Remove:
		return "suspend"
	}
	return "restore"
}

// Holding is a person's membership in a target over a span of time, and the reasons for it in that time.
type Holding struct {
	Person  string      `json:"person"`
	Target  Entitlement `json:"target"`
	GroupID string      `json:"groupId,omitempty"`
	Owned   bool        `json:"owned"`             // Castellan made or adopted it; otherwise it is foreign
	Reasons []Reason    `json:"reasons,omitempty"` // none: nothing in the policy explains it
	Run     string      `json:"run"`               // the run that first saw it
	From    time.Time   `json:"from"`
	Until   time.Time   `json:"until,omitzero"` // zero while it lasts
	// Taken is set where the event feed reports that somebody else removed the membership of a holding that still lasts
	// here. If the membership is seen again later, somebody else gave it.
	Taken *OutOfBandRemoval `json:"taken,omitempty"`
}

// AcceptedMembership is a membership in a group at Atlassian that somebody else made, and that a person decided to have
// follow the identity source's group: without a reason, it is removed like one of Castellan's own.
type AcceptedMembership struct {
	GroupID  string `json:"groupId"`
	Conflict string `json:"conflict"` // hash of the difference that was accepted
}

// OutOfBandRemoval is when somebody else removed a membership, and the event feed's name for that.
type OutOfBandRemoval struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`
}

// MissingHolding is a membership in the ledger that a read did not show and that no planned change explains.
type MissingHolding struct {
	Holding
	// Grants are the ones in force that alone give the target: somebody removed it by hand, and they end with it.
	Grants []string `json:"grants,omitempty"`
}

// Lapse reports whether the change removes what grants alone gave: no limit on removals applies to it, only a floor.
func (c Change) Lapse() bool { return c.Action == Remove && OnlyGrants(c.Reasons) }

// OnlyGrants reports whether there are reasons and all of them are grants.
func OnlyGrants(reasons []Reason) bool {
	for _, r := range reasons {
		if r.Kind != ReasonGrant {
			return false
		}
	}
	return len(reasons) > 0
}

// OnlyRules reports whether there are reasons and all of them are rules.
func OnlyRules(reasons []Reason) bool {
	for _, r := range reasons {
		if r.Kind != ReasonRule {
			return false
		}
	}
	return len(reasons) > 0
}

// HasKind reports whether one of the reasons is of the kind.
func HasKind(reasons []Reason, kind ReasonKind) bool {
	for _, r := range reasons {
		if r.Kind == kind {
			return true
		}
	}
	return false
}
