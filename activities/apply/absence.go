package apply

import (
	"context"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// What is given because somebody is *not* in a group hangs on what a read lacks, just as a removal does: a list that
// was cut short would open a vault. So it needs the same second witness: the group search, and the search among the
// members of the groups that are asked for. Only people whom that concerns are asked about.

// Absence is what hangs on somebody's not being in a group, or not having a role or an app.
type Absence struct {
	Person access.Person
	Lines  []access.Change            // additions
	groups []string                   // ids of the groups that are asked for
	roles  bool                       // platform roles are asked for
	apps   bool                       // apps are asked for
	stands func(p access.Person) bool // it follows for the person with these groups, too
}

// HangsOnAbsence finds the additions of a decision that are not asked for unless the person's lists are whole.
func HangsOnAbsence(b *policy.Bound, p access.Person, known plan.State, changes []access.Change,
	now time.Time) (Absence, bool) {
	adds := func(c access.Change) bool { return c.Action == access.Add }
	if !slices.ContainsFunc(changes, adds) || !b.AsksLists() {
		return Absence{}, false
	}
	known.ListsCut = true
	sure := plan.Decide(b, p, known, "", now).Changes
	known.ListsCut = false
	one := Absence{Person: p, roles: b.AsksRoles()}
	for _, c := range changes {
		if !adds(c) || AsksFor(sure, c) {
			continue
		}
		one.Lines = append(one.Lines, c)
		if i, managed := b.Target(c.Target); managed {
			one.groups, one.apps = append(one.groups, b.AskedFor(i)...), one.apps || b.AsksApps(i)
		}
	}
	if len(one.Lines) == 0 {
		return one, false
	}
	one.stands = func(p access.Person) bool {
		again := plan.Decide(b, p, known, "", now).Changes
		return !slices.ContainsFunc(one.Lines, func(c access.Change) bool { return !AsksFor(again, c) })
	}
	if b.AsksEveryGroup() {
		one.groups = append(one.groups, one.decisive(b.Groups())...)
	}
	one.groups = session.EachOnce(one.groups)
	return one, true
}

// mostTried is how many groups are tried for one person where a rule looks at the whole list.
const mostTried = 500

// decisive are the groups any one of which would make the addition wrong.
func (a Absence) decisive(groups []string) (ids []string) {
	for _, id := range groups[:min(len(groups), mostTried)] {
		p := a.Person
		if p.InGroup(id) {
			continue
		}
		if p.GroupIDs = append(slices.Clone(p.GroupIDs), id); !a.stands(p) {
			ids = append(ids, id)
		}
	}
	return ids
}

// AsksFor reports whether one of the changes is this one.
func AsksFor(changes []access.Change, c access.Change) bool {
	return slices.ContainsFunc(changes, func(o access.Change) bool { return session.KeyOf(o) == session.KeyOf(c) })
}

// Doubted asks the other sides, and says of whom they do not confirm that they are in none of the groups.
//
// Calls: two for ten people, and two for each of them whom that does not clear; one more where rules ask for roles, for
// apps, or for more than ten groups.
func (s *Session) Doubted(ctx context.Context, b *policy.Bound, all []Absence) (map[string]bool, error) {
	doubted := map[string]bool{}
	// who has the same apps is asked about together
	if slices.ContainsFunc(all, func(one Absence) bool { return one.apps }) {
		all = slices.Clone(all)
		slices.SortStableFunc(all, func(a, c Absence) int {
			return slices.Compare(b.HiddenApps(a.Person), b.HiddenApps(c.Person))
		})
	}
	for _, some := range session.Chunks(all, session.MostAccountIDs) {
		if len(some) > 1 {
			if clear, err := s.confirmed(ctx, b, some); err != nil {
				return nil, err
			} else if clear {
				continue
			}
		}
		for i := range some {
			clear, err := s.confirmed(ctx, b, some[i:i+1])
			if err != nil {
				return nil, err
			}
			if !clear {
				doubted[some[i].Person.ID] = true
			}
		}
	}
	return doubted, nil
}

// confirmed reports whether everything follows for these people on all groups that the group search shows any of them
// in, too, and none of them is among the members of a group that is asked for and that their own list lacks. A search
// that shows no group of anybody says nothing, nor does one that names a group of which nothing is known.
func (s *Session) confirmed(ctx context.Context, b *policy.Bound, some []Absence) (bool, error) {
	var people, missing []string
	for _, one := range some {
		people = append(people, one.Person.ID)
		missing = append(missing, slices.DeleteFunc(slices.Clone(one.groups), one.Person.InGroup)...)
	}
	if missing = session.EachOnce(missing); len(missing) > mostAsked {
		if len(some) > 1 {
			return false, nil
		}
		missing = missing[:mostAsked]
	}
	found, err := s.ReadGroups(ctx, organization.GroupQuery{AccountIDs: people, Limit: session.PageSize})
	if err != nil {
		return false, err
	}
	if len(found) == 0 {
		if any, err := s.ShowsGroups(ctx); err != nil || !any {
			return false, err
		}
	}
	var shown []string
	for _, g := range found {
		if !b.Shown(g.ID) {
			return false, nil
		}
		shown = append(shown, g.ID)
	}
	for _, one := range some {
		p := one.Person
		// no groups are not unknown ones
		p.GroupIDs = session.EachOnce(append([]string{}, slices.Concat(p.GroupIDs, shown)...))
		if !one.stands(p) {
			return false, nil
		}
	}
	if unlisted, err := s.unlistedAdmin(ctx, some, people); err != nil || unlisted {
		return false, err
	}
	var apps []string
	for _, one := range some {
		if one.apps {
			apps = append(apps, b.HiddenApps(one.Person)...)
		}
	}
	if uses, err := s.AmongUsers(ctx, people, session.EachOnce(apps)); err != nil || uses {
		return false, err
	}
	among, err := s.AmongMembers(ctx, people, missing)
	return !among, err
}

// unlistedAdmin reports whether the search for organization admins finds one of the people, whose own roles lack it. It
// asks only where a rule asks for roles.
func (s *Session) unlistedAdmin(ctx context.Context, some []Absence, people []string) (bool, error) {
	if !slices.ContainsFunc(some, func(one Absence) bool { return one.roles }) {
		return false, nil
	}
	admins, err := s.Search(ctx, organization.UserQuery{AccountIDs: people, RoleIDs: []string{access.RoleOrgAdmin},
		Limit: session.PageSize, Expand: session.ExpandPeople})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(some, func(one Absence) bool {
		return !one.Person.HasRole(access.RoleOrgAdmin) &&
			slices.ContainsFunc(admins, func(p access.Person) bool { return p.ID == one.Person.ID })
	}), nil
}

// DoubtfulAbsence is why somebody is not given what hangs on such an absence.
const DoubtfulAbsence = "it hangs on the person's not being in some group, and another search does not say the same; try again in a moment, or look at their groups in admin.atlassian.com"

// EligibleByAbsence reports whether the person may receive the target only because they are not in some group.
func (s *Session) EligibleByAbsence(ctx context.Context, terms *policy.Policy, p access.Person,
	target access.Entitlement) (Absence, bool, error) {
	one := Absence{Person: p}
	if p.ID == "" || !terms.Conditional(target) {
		return one, false, nil
	}
	outline, _, err := s.LatestOutline(ctx)
	if err != nil {
		return one, false, err
	}
	b := s.Bound(outline)
	states, err := s.Ledger.States(ctx, s.Org, []string{p.ID}, s.Now())
	if err != nil {
		return one, false, err
	}
	known := policy.Known{Grants: s.InForce(states[p.ID].Grants), Held: states[p.ID].Holdings, Now: s.Now()}
	names, every, roles := terms.EligibleGroups(target)
	one.groups, one.roles = b.GroupsNamed(names), roles
	one.stands = func(p access.Person) bool { return terms.Eligible(target, b.Facts(p, known), known.Now) == nil }
	hangs := terms.Eligible(target, b.Facts(p, known).ListsCut(), known.Now) != nil
	if hangs && every {
		one.groups = append(one.groups, one.decisive(b.Groups())...)
	}
	return one, hangs, nil
}
