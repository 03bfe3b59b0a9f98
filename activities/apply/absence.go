package apply

import (
	"context"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// Doubted returns the people of absences that the other searches do not confirm.
//
// Calls: two for ten people, and two for each person in doubt after that; one more if rules use roles, apps, or more
// than ten groups.
func (s *Session) Doubted(ctx context.Context, b *policy.Bound, all []plan.Absence) (map[string]bool, error) {
	doubted := map[string]bool{}
	// who has the same apps is asked about together
	if slices.ContainsFunc(all, func(one plan.Absence) bool { return one.Apps }) {
		all = slices.Clone(all)
		slices.SortStableFunc(all, func(a, c plan.Absence) int {
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
// in, too, and whether none of them is among the members of a group that matters and that their own list lacks. A
// search that shows no groups at all proves nothing, nor does one that shows an unknown group.
func (s *Session) confirmed(ctx context.Context, b *policy.Bound, some []plan.Absence) (bool, error) {
	var people, missing []string
	for _, one := range some {
		people = append(people, one.Person.ID)
		missing = append(missing, slices.DeleteFunc(slices.Clone(one.Groups), one.Person.InGroup)...)
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
		if !one.Follows(p) {
			return false, nil
		}
	}
	if unlisted, err := s.unlistedAdmin(ctx, some, people); err != nil || unlisted {
		return false, err
	}
	var apps []string
	for _, one := range some {
		if one.Apps {
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
func (s *Session) unlistedAdmin(ctx context.Context, some []plan.Absence, people []string) (bool, error) {
	if !slices.ContainsFunc(some, func(one plan.Absence) bool { return one.Roles }) {
		return false, nil
	}
	admins, err := s.Search(ctx, organization.UserQuery{AccountIDs: people, RoleIDs: []string{access.RoleOrgAdmin},
		Limit: session.PageSize, Expand: session.ExpandPeople})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(some, func(one plan.Absence) bool {
		return !one.Person.HasRole(access.RoleOrgAdmin) &&
			slices.ContainsFunc(admins, func(p access.Person) bool { return p.ID == one.Person.ID })
	}), nil
}

// DoubtfulAbsence is why somebody is not given what depends on such an absence.
const DoubtfulAbsence = "it depends on the person not being in a group, and another search disagrees; try again in a moment, or look at their groups in admin.atlassian.com"

// EligibleByAbsence reports whether the person may receive the target only because they are not in some group.
func (s *Session) EligibleByAbsence(ctx context.Context, terms *policy.Policy, p access.Person,
	target access.Entitlement) (plan.Absence, bool, error) {
	if p.ID == "" || !terms.Conditional(target) {
		return plan.Absence{Person: p}, false, nil
	}
	outline, _, err := s.LatestOutline(ctx)
	if err != nil {
		return plan.Absence{}, false, err
	}
	states, err := s.Ledger.States(ctx, s.Org, []string{p.ID}, s.Now())
	if err != nil {
		return plan.Absence{}, false, err
	}
	now := s.Now()
	known := policy.Known{Grants: access.InForce(states[p.ID].Grants, now), Held: states[p.ID].Holdings, Now: now}
	one, hangs := plan.EligibleByAbsence(s.Bound(outline), terms, p, target, known)
	return one, hangs, nil
}
