package plan

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// What is given because somebody is *not* in a group depends on what a read lacks, just as a removal does: a truncated
// list could give a key to a vault. So it needs the same second witness.

// Absence is what depends on somebody's not being in a group, or not having a role or an app.
type Absence struct {
	Person  access.Person
	Lines   []access.Change            // additions
	Groups  []string                   // ids of the groups that conditions ask for
	Roles   bool                       // conditions ask for platform roles
	Apps    bool                       // conditions ask for apps
	Follows func(p access.Person) bool // whether the additions also follow for the person as given
}

// DependsOnAbsence returns the additions of a decision that follow only if the person's lists are complete.
func DependsOnAbsence(b *policy.Bound, p access.Person, known State, changes []access.Change,
	now time.Time) (Absence, bool) {
	adds := func(c access.Change) bool { return c.Action == access.Add }
	if !slices.ContainsFunc(changes, adds) || !b.NeedsLists() {
		return Absence{}, false
	}
	known.ListsCut = true
	sure := Decide(b, p, known, "", now).Changes
	known.ListsCut = false
	one := Absence{Person: p, Roles: b.NeedsRoles()}
	for _, c := range changes {
		if !adds(c) || ContainsChange(sure, c) {
			continue
		}
		one.Lines = append(one.Lines, c)
		if i, managed := b.Target(c.Target); managed {
			one.Groups, one.Apps = append(one.Groups, b.GroupsNeeded(i)...), one.Apps || b.NeedsApps(i)
		}
	}
	if len(one.Lines) == 0 {
		return one, false
	}
	one.Follows = func(p access.Person) bool {
		again := Decide(b, p, known, "", now).Changes
		return !slices.ContainsFunc(one.Lines, func(c access.Change) bool { return !ContainsChange(again, c) })
	}
	if b.NeedsEveryGroup() {
		one.Groups = append(one.Groups, one.decisive(b.Groups())...)
	}
	return one, true
}

// mostTried is how many groups are tried for one person where a rule looks at the whole list.
const mostTried = 500

// decisive returns the groups whose membership would make the addition wrong.
func (a Absence) decisive(groups []string) (ids []string) {
	for _, id := range groups[:min(len(groups), mostTried)] {
		p := a.Person
		if p.InGroup(id) {
			continue
		}
		if p.GroupIDs = append(slices.Clone(p.GroupIDs), id); !a.Follows(p) {
			ids = append(ids, id)
		}
	}
	return ids
}

// ContainsChange reports whether changes contains c.
func ContainsChange(changes []access.Change, c access.Change) bool {
	return slices.ContainsFunc(changes, func(o access.Change) bool {
		return o.Action == c.Action && o.Person == c.Person && o.Target == c.Target
	})
}

// EligibleByAbsence reports whether a person is eligible for grants of a target only because they are not in some
// group.
func EligibleByAbsence(b *policy.Bound, terms *policy.Policy, p access.Person, target access.Entitlement,
	known policy.Known) (Absence, bool) {
	names, every, roles := terms.EligibleGroups(target)
	one := Absence{Person: p, Groups: b.GroupsNamed(names), Roles: roles}
	one.Follows = func(p access.Person) bool { return terms.Eligible(target, b.Facts(p, known), known.Now) == nil }
	hangs := terms.Eligible(target, b.Facts(p, known).ListsCut(), known.Now) != nil
	if hangs && every {
		one.Groups = append(one.Groups, one.decisive(b.Groups())...)
	}
	return one, hangs
}

// Absence returns the absences that an addition depends on: those of conditions of eligibility (eligible, if hangs),
// and of rules that deny the target.
func (m GrantRecheck) Absence(eligible Absence, hangs bool) (Absence, bool) {
	sure := m.Want(m.Person, true)
	if !hangs && len(sure.Barred)+len(sure.Denied) == 0 {
		return eligible, false
	}
	one, may := eligible, eligible.Follows
	_, index, _ := m.Target()
	one.Groups = append(slices.Clone(one.Groups), m.Bound.GroupsNeeded(index)...)
	one.Roles, one.Apps = one.Roles || m.Bound.NeedsRoles(), m.Bound.NeedsApps(index)
	one.Follows = func(p access.Person) bool {
		said := m.Want(p, false)
		return (may == nil || may(p)) && len(said.Denied)+len(said.Barred) == 0
	}
	return one, true
}
