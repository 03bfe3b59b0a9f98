package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/window"
)

// Rule gives and takes by a condition on the person. What any rule denies nobody holds, whatever gives it; whoever is
// suspended is so whatever gives presence.
type Rule struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Owner       string   `json:"owner,omitempty"` // who answers for it: e-mail address or account id
	Mode        RuleMode `json:"mode"`
	// hash of what the rule was last shown to do: just that is done without asking again
	Shown   string               `json:"shown,omitempty"`
	When    string               `json:"when"`           // condition on the person
	Give    []access.Entitlement `json:"give,omitempty"` // targets in full, no stars
	Deny    []access.Entitlement `json:"deny,omitempty"`
	Suspend bool                 `json:"suspend,omitempty"`
	Restore bool                 `json:"restore,omitempty"` // whom Castellan suspended
	Remove  bool                 `json:"remove,omitempty"`  // from the organization
	// who is told when it begins to hold for somebody: owner, person, or e-mail addresses
	Notify []string `json:"notify,omitempty"`
	// which memberships of what it gives may be taken when nothing gives them
	Removals Mode           `json:"removals"`
	During   *window.Window `json:"during,omitempty"` // none: always
	After    Duration       `json:"after"`            // how long the condition must have held
	// condition: while it is true the rule does not hold; else, once it holds, it holds on
	Release string   `json:"release,omitempty"`
	Grace   Duration `json:"grace"` // how long before harm whom it concerns is told
}

// RuleMode says whether a rule's changes are made.
type RuleMode string

// The modes.
const (
	RuleObserve RuleMode = "observe" // reported, never made (the default)
	RuleEnforce RuleMode = "enforce"
)

// The words in a rule's notify list that stand for people.
const (
	NotifyOwner  = "owner"
	NotifyPerson = "person"
)

// Restricts reports whether the rule takes something from people.
func (r *Rule) Restricts() bool { return len(r.Deny) > 0 || r.Suspend || r.Remove }

// Timed reports whether time matters to the rule, or that somebody is to be told when it holds.
func (r *Rule) Timed() bool {
	return r.After > 0 || r.Grace > 0 || r.Release != "" || len(r.Notify) > 0 || r.During != nil
}

// Acts reports whether the rule changes anything, rather than only telling of it.
func (r *Rule) Acts() bool { return r.Restricts() || r.Restore || len(r.Give) > 0 }

// Key tells the rule from others and from what it was before it said something else. How it is described, whom it
// tells, and whether it is enforced make no difference.
func (r *Rule) Key() string {
	said := Rule{
		When: r.When, Give: r.Give, Deny: r.Deny, Suspend: r.Suspend, Restore: r.Restore, Remove: r.Remove,
		Removals: r.Removals,
		During:   r.During, After: r.After, Grace: r.Grace, Release: r.Release,
	}
	text, err := json.Marshal(said)
	if err != nil {
		panic("policy: a rule is plain data and always encodes: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return strings.ToLower(r.Name) + "#" + hex.EncodeToString(sum[:6])
}

// Targets returns what the rule gives and denies, presence included.
func (r *Rule) Targets() (give, deny []access.Entitlement) {
	give, deny = slices.Clone(r.Give), slices.Clone(r.Deny)
	if r.Restore {
		give = append(give, access.Directory)
	}
	if r.Suspend {
		deny = append(deny, access.Directory)
	}
	if r.Remove {
		deny = append(deny, access.Organization)
	}
	return give, deny
}

// Verdict is what a rule says of a person.
type Verdict string

// The verdicts.
const (
	VerdictNo      Verdict = "no"      // the condition does not hold
	VerdictClosed  Verdict = "closed"  // the rule is not in force at this time
	VerdictUnknown Verdict = "unknown" // the condition cannot be answered: what the rule gives and takes stays as it is
	VerdictWaits   Verdict = "waits"   // the condition holds, but not for long enough
	VerdictGrace   Verdict = "grace"   // it gives, but does not take yet
	VerdictHolds   Verdict = "holds"
)

// RuleAnswer is a rule's verdict on one person.
type RuleAnswer struct {
	Rule     int       `json:"-"` // index in Policy.Rules
	Name     string    `json:"name"`
	Key      string    `json:"-"`
	Verdict  Verdict   `json:"verdict"`
	Why      string    `json:"why,omitempty"`  // it cannot be answered
	Since    time.Time `json:"since,omitzero"` // since when the condition holds, as runs saw it
	Due      time.Time `json:"due,omitzero"`   // when the verdict changes by itself
	Tell     bool      `json:"tell,omitempty"` // somebody is to be told that it holds
	Acting   bool      `json:"acting"`         // its changes are made
	tooEarly bool      // it cannot be answered, and could not take anything yet if it held
	AsksUse  bool      `json:"-"` // it cannot be answered since it is not known when apps were used
}
