package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
)

// Grantable is one entry of the grants section: who may hold some targets for a while, and on what terms. Several
// entries may name one target; then all of them apply, and the strictest says what holds.
type Grantable struct {
	Name        string               `json:"name"`
	Description string               `json:"description,omitempty"`
	Targets     []access.Entitlement `json:"targets"`            // in full, no stars: group:, role: and directory
	Eligible    string               `json:"eligible,omitempty"` // condition on the person; empty: everybody
	Duration    GrantDuration        `json:"duration"`
	Approval    *Approval            `json:"approval,omitempty"` // none: nobody is asked
	Reason      bool                 `json:"reason"`             // a reason must be given (the default)
	// pattern that the ticket must match as a whole; empty: no ticket needed
	Ticket string `json:"ticket,omitempty"`
	// how far ahead a start may be asked for; 0: only at once
	Ahead  Duration   `json:"ahead"`
	Extend *Extension `json:"extend,omitempty"` // none: a grant cannot be extended
	// how long before the end the person is reminded; 0: not
	Remind Duration `json:"remind"`
	// rest between the end of one grant and the start of the next
	Cooldown   Duration    `json:"cooldown"`
	BreakGlass *BreakGlass `json:"breakGlass,omitempty"` // none: nobody may go round the approval
	// what becomes of access whose grant workflow was lost
	Lost LostMode `json:"lost"`
	// how presence in the organization ends; for the target directory
	End EndMode `json:"end"`
	// what becomes of a grant whose access somebody takes by hand
	HandTaken HandTakenMode `json:"handTaken,omitzero"`
}

// GrantDuration bounds how long a grant lasts.
type GrantDuration struct {
	Default Duration `json:"default"` // when the request names none
	Max     Duration `json:"max"`
}

// Approval says whose consent a grant needs. Nobody approves for themselves, nor what they asked for.
type Approval struct {
	Count  int      `json:"count"`            // approvals needed, each by another person
	By     []string `json:"by,omitempty"`     // people who may approve: e-mail addresses or account ids
	Groups []string `json:"groups,omitempty"` // groups whose members may approve, by name
	Wait   Duration `json:"wait"`             // how long a request waits for them
	Codes  bool     `json:"codes"`            // an approval needs the one-time code that only its approver was sent
}

// Extension says how a grant may be prolonged while it runs.
type Extension struct {
	Max      Duration `json:"max"`      // from the first start to the last end
	Times    int      `json:"times"`    // how often
	Approval bool     `json:"approval"` // each extension needs the same approvals as a grant
}

// BreakGlass says who may take the target at once, without approval; it is told to everybody concerned and reviewed
// after.
type BreakGlass struct {
	People []string `json:"people"` // e-mail addresses or account ids
	Max    Duration `json:"max"`
}

// LostMode says what a verification does with access whose grant is over while nobody took it back: its workflow was
// lost.
type LostMode string

// The modes.
const (
	LostRemove LostMode = "remove" // take it back (the default)
	LostHold   LostMode = "hold"   // hold the removal until a person decides
	LostReport LostMode = "report" // say so and change nothing
)

// EndMode says how presence in the organization ends.
type EndMode string

// The modes.
const (
	EndSuspend EndMode = "suspend" // memberships and roles are kept (the default)
	EndRemove  EndMode = "remove"  // the person leaves the organization
)

// HandTakenMode says what becomes of a running grant when somebody takes by hand what it gave.
type HandTakenMode string

// The modes.
const (
	HandTakenEnd     HandTakenMode = "end"     // the grant ends (the default)
	HandTakenRestore HandTakenMode = "restore" // it is given back, and reported
)

// IsZero reports whether the mode is the default. The canonical form leaves that out: policies keep the hash that they
// had before there was a choice.
func (m HandTakenMode) IsZero() bool { return m == "" || m == HandTakenEnd }

// Grantable returns the target as an entry writes it; ok is false where none lets it be granted.
func (p *Policy) Grantable(target access.Entitlement) (written access.Entitlement, ok bool) {
	key := condition.Canonical(target)
	for i := range p.Grants {
		for _, e := range p.Grants[i].Targets {
			if fold(e) == key {
				return e, true
			}
		}
	}
	return "", false
}

// BoundTo returns the policy with the targets of its grants compared as they are bound: an entry speaks of a request
// whenever both mean some group or role in common, by whatever names. Without it, only equal names are the same target.
func (p *Policy) BoundTo(b *Bound) *Policy {
	within := *p
	within.alike = b.Overlap
	return &within
}

// SameTarget reports whether two names of targets mean something in common, so that a grant of the one counts for the
// limits of the other.
func (p *Policy) SameTarget(a, b access.Entitlement) bool {
	return condition.Canonical(a) == condition.Canonical(b) || p.alike != nil && p.alike(a, b)
}

// GrantTargets lists every target that can be granted, as the policy writes it, sorted.
func (p *Policy) GrantTargets() []access.Entitlement {
	var all []access.Entitlement
	for _, entry := range p.Grants {
		all = append(all, entry.Targets...)
	}
	slices.SortFunc(all, func(a, b access.Entitlement) int { return strings.Compare(fold(a), fold(b)) })
	return slices.CompactFunc(all, func(a, b access.Entitlement) bool { return fold(a) == fold(b) })
}

// ApproverGroups returns the names of the groups whose members may approve a grant of the target, sorted: whoever
// judges a request has to read them first.
func (p *Policy) ApproverGroups(target access.Entitlement) []string {
	var names []string
	for _, entry := range p.GrantEntries(target) {
		if entry.Approval != nil {
			names = append(names, entry.Approval.Groups...)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return slices.Compare(form.Fold(a), form.Fold(b)) })
	return slices.CompactFunc(names, access.SameName)
}

// ApproversNamed lists the account ids of those whom the entries for a target name one by one, sorted: whoever judges a
// request has to read them first. It asks a policy with accounts in place of names; who has none is left out.
func (p *Policy) ApproversNamed(target access.Entitlement) []string {
	var all []string
	for _, entry := range p.GrantEntries(target) {
		if entry.Approval != nil {
			all = append(all, entry.Approval.By...)
		}
	}
	all = slices.DeleteFunc(all, access.IsAddress)
	slices.Sort(all)
	return slices.Compact(all)
}

// LostMode returns what becomes of the target's access whose grant workflow was lost; LostRemove where no entry names
// it.
func (p *Policy) LostMode(target access.Entitlement) LostMode {
	var lost LostMode
	for i, entry := range p.GrantEntries(target) {
		if i == 0 {
			lost = entry.Lost
		}
		lost = moreCarefulLost(lost, entry.Lost)
	}
	return cmp.Or(lost, LostRemove)
}

// HandTakenMode returns what becomes of a running grant of the target when its access is taken by hand; HandTakenEnd
// where no entry names it.
func (p *Policy) HandTakenMode(target access.Entitlement) HandTakenMode {
	var mode HandTakenMode
	for i, entry := range p.GrantEntries(target) {
		if i == 0 {
			mode = entry.HandTaken
		}
		mode = moreCarefulHandTaken(mode, entry.HandTaken)
	}
	return cmp.Or(mode, HandTakenEnd)
}

// EndMode returns how presence in the organization ends when a grant of the target does; EndSuspend where no entry
// names it.
func (p *Policy) EndMode(target access.Entitlement) EndMode {
	for _, entry := range p.GrantEntries(target) {
		return entry.End
	}
	return EndSuspend
}

// GrantEntries returns all entries of the grants section that name a target, in the order of the file.
func (p *Policy) GrantEntries(target access.Entitlement) []*Grantable {
	var found []*Grantable
	for i := range p.Grants {
		names := func(e access.Entitlement) bool { return p.SameTarget(e, target) }
		if slices.ContainsFunc(p.Grants[i].Targets, names) {
			found = append(found, &p.Grants[i])
		}
	}
	return found
}

// Eligible says by an error why the conditions of the entries that name a target do not let this person receive it: one
// does not hold, or it cannot be answered. Time passes between a request and its start, so it is asked again then.
func (p *Policy) Eligible(target access.Entitlement, f condition.Facts, now time.Time) error {
	for _, entry := range p.GrantEntries(target) {
		if entry.Eligible == "" {
			continue
		}
		condition, err := p.Condition(entry.Eligible)
		if err != nil {
			return fmt.Errorf("the condition of entry %s cannot be read: %w", entry.Name, err)
		}
		switch holds, err := condition.Holds(f, now); {
		case err != nil:
			return fmt.Errorf("entry %s: %w", entry.Name, err)
		case !holds:
			return fmt.Errorf("entry %s is only for people of whom this is true: %s", entry.Name, condition)
		}
	}
	return nil
}

// EligibleGroups returns the names of the groups that the conditions on who may receive the target ask for; every says
// that one looks at the whole list, and roles that one asks for platform roles.
func (p *Policy) EligibleGroups(target access.Entitlement) (names []string, every, roles bool) {
	for _, entry := range p.GrantEntries(target) {
		if entry.Eligible == "" {
			continue
		}
		if condition, err := p.Condition(entry.Eligible); err == nil {
			needs := condition.Needs
			names, every, roles = append(names, needs.Groups...), every || needs.AnyGroup, roles || needs.Roles
		}
	}
	return names, every, roles
}

// Conditional reports whether who receives the target is subject to a condition, so that Eligible needs the person's
// facts.
func (p *Policy) Conditional(target access.Entitlement) bool {
	return slices.ContainsFunc(p.GrantEntries(target), func(entry *Grantable) bool { return entry.Eligible != "" })
}

// Condition returns one of the policy's conditions, compiled. A policy that was not parsed has none at hand.
func (p *Policy) Condition(text string) (*condition.Condition, error) {
	if c := p.conditions[text]; c != nil {
		return c, nil
	}
	return condition.Compile(text)
}
