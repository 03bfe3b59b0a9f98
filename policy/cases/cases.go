package cases

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

// Table is a table of made-up people and what a policy should decide of each, as its author expects it.
type Table struct {
	Version int
	Now     time.Time // of every case that has no instant of its own
	Domains []string  // verified domains of the organization, beside the policy's own
	Cases   []*Case
}

// Case is one of them.
type Case struct {
	Name      string
	Line      int       // in the file, from 1
	At        time.Time // when it is
	As        Mode
	Person    access.Person      // without groups and activity
	Groups    []string           // names; what the policy takes from or asks for is synced, unless it is a target
	Local     []string           // names of groups that no identity provider owns
	Apps      []condition.AppUse // nil: not known
	Grants    []access.Grant     // in force
	Suspended bool               // by Castellan
	Holding   map[string]time.Time
	Told      map[string]time.Time
	Expect    Expect
}

// Mode says how the modes of rules count.
type Mode string

// The modes. A table is written before a rule is enforced: so that its rows say the same before and after, every rule
// counts as enforced unless a case asks for the modes as they are.
const (
	ModeEnforced Mode = "enforced" // every rule acts (the default)
	ModeNow      Mode = "now"      // rules that observe do not
)

// Expect is what should come of a case. What is left out is not checked.
//
// A target is held when something gives it, no rule denies it, and none may deny it that cannot be answered. Presence
// has a word of its own: holds says nothing of directory unless it lists it.
type Expect struct {
	Holds    []access.Entitlement // exactly these; empty and not nil: nothing
	Gives    []access.Entitlement // at least these
	Denies   []access.Entitlement // at least these are denied
	Unknown  []access.Entitlement // at least these stay as they are, since a rule cannot be answered
	Presence Presence             // "": not checked
	Rules    []RuleVerdict
}

// RuleVerdict is what a rule should say.
type RuleVerdict struct {
	Rule    string
	Verdict policy.Verdict
}

// Presence is what becomes of a person's being there.
type Presence string

// What can become of it. Suspended and removed say what should be, also of somebody who is suspended or gone already.
const (
	PresenceSuspended Presence = "suspended"
	PresenceRemoved   Presence = "removed"
	PresenceRestored  Presence = "restored" // only somebody suspended is; by a rule, only whom Castellan suspended
	PresenceUntouched Presence = "untouched"
)

// Result is what came of a case.
type Result struct {
	Name  string   `json:"name"`
	Line  int      `json:"line"`
	OK    bool     `json:"ok"`
	Wrong []string `json:"wrong,omitempty"` // what was expected and what came, each in one line
}

// Try puts every case of a table that Read read to the policy, in order. It binds the policy to a made-up organization
// in which all is there that the policy or a case names, and resolves each person as a run would. Limits, floors,
// consent and what is held already are for runs, not for cases.
func Try(p *policy.Policy, c *Table) []Result {
	t := newTrial(p, c)
	results := make([]Result, 0, len(c.Cases))
	for _, one := range c.Cases {
		j := t.judge(one)
		results = append(results, Result{Name: one.Name, Line: one.Line, OK: len(j.wrong) == 0, Wrong: j.wrong})
	}
	return results
}

// trial is a policy bound to the made-up organization.
type trial struct {
	policy   *policy.Policy
	org      *organization
	asIs     *policy.Bound
	enforced *policy.Bound
	blocked  map[string]string           // what keeps a target from being managed, by its folded name
	parts    map[string][]condition.Part // of conditions, by their text
}

func newTrial(p *policy.Policy, c *Table) *trial {
	t := &trial{policy: p, org: newOrganization(p, c), blocked: map[string]string{},
		parts: map[string][]condition.Part{}}
	asIs, _ := policy.Bind(p, t.org.outline)
	t.asIs = asIs.WithSources(sourcesKnown)
	all := *p
	all.Rules = slices.Clone(p.Rules)
	for i := range all.Rules {
		all.Rules[i].Mode = policy.RuleEnforce
	}
	enforced, findings := policy.Bind(&all, t.org.outline)
	t.enforced = enforced.WithSources(sourcesKnown)
	for _, f := range findings {
		if f.Blocks {
			t.blocked[access.Fold(f.Subject)] = f.Detail
		}
	}
	return t
}
