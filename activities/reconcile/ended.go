package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// mostMissing is how many people who are no longer shown are searched for in one run.
const mostMissing = 500

// CloseEnded ends holdings in the ledger that neither a full verification nor other reads some time later show: those
// of people who left the organization, memberships of groups that are gone, memberships that somebody else removed.
// Whatever exists later was made by somebody else. A grant whose access was removed by hand ends. A repeat finds it
// done.
//
// Calls: two for ten people who are not shown, and one more for each; three for each who is, but without what they
// held; two for each group that is gone; one or two for all.
func (a *Activities) CloseEnded(ctx context.Context, in session.RunInput) (apply.EndedResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return apply.EndedResult{}, err
	}
	b, err := s.BoundOf(ctx, in.Run)
	if err != nil {
		return apply.EndedResult{}, err
	}
	found, err := s.notShown(ctx, in.Run)
	if err != nil {
		return apply.EndedResult{}, err
	}
	if err := s.Ledger.NoteMissing(ctx, s.Org, found.people, s.Now()); err != nil {
		return apply.EndedResult{}, err
	}
	e := s.missing(b, in.Run)
	if _, err := e.people(ctx, found.people); err != nil {
		return apply.EndedResult{}, err
	}
	if err := e.groups(ctx, found.groups); err != nil {
		return apply.EndedResult{}, err
	}
	if err := e.roles(ctx, found.roles); err != nil {
		return apply.EndedResult{}, err
	}
	if _, err := e.Close(ctx, found.unseen); err != nil {
		return apply.EndedResult{}, err
	}
	e.Result.Calls = s.CallsMade()
	return e.Result, nil
}

// examineEnded is CloseEnded for the people of a partial run. After the first look they are looked at again; what other
// reads do not show at the second look either, ends.
func (s *task) examineEnded(ctx context.Context, b *policy.Bound, in ExamineInput, found []string,
	result *JudgeResult) error {
	if in.Preview || in.DryRun {
		return nil
	}
	var missing []string
	named := slices.DeleteFunc(slices.Clone(in.Scope.People),
		func(name string) bool { return session.IsEmail(name) || slices.Contains(found, name) })
	states, err := s.Ledger.States(ctx, s.Org, named, s.Now())
	if err != nil {
		return err
	}
	for _, id := range named {
		if len(states[id].Holdings) > 0 {
			missing = append(missing, id)
		}
	}
	if len(missing)+len(s.unseen) == 0 {
		return nil
	}
	if err := s.Ledger.NoteMissing(ctx, s.Org, missing, s.Now()); err != nil {
		return err
	}
	again := missing
	if in.First == "" {
		for _, u := range s.unseen {
			again = append(again, u.Person)
		}
	} else {
		e := s.missing(b, in.Run)
		if again, err = e.people(ctx, missing[:min(len(missing), mostMissing)]); err != nil {
			return err
		}
		young, err := e.Close(ctx, s.unseen)
		if err != nil {
			return err
		}
		again = append(again, young...)
		s.outOfBand = append(s.outOfBand, e.ByHand...)
	}
	result.Settling = session.EachOnce(append(result.Settling, again...))
	return nil
}

// notShown is what the ledger has and a full verification did not show.
type notShown struct {
	people []string // account ids
	groups map[string]access.Entitlement
	roles  []access.Holding // of apps on sites that are not shown
	unseen []access.MissingHolding
}

func (n notShown) count() int { return len(n.people) + len(n.groups) + len(n.roles) + len(n.unseen) }

func (s *task) notShown(ctx context.Context, run string) (n notShown, err error) {
	began, err := s.Ledger.OutlineTime(ctx, s.Org, run)
	if err != nil {
		return n, err
	}
	if n.people, err = s.Ledger.Missing(ctx, s.Org, began, mostMissing); err != nil {
		return n, err
	}
	if n.unseen, err = s.Ledger.Unseen(ctx, s.Org, run); err != nil {
		return n, err
	}
	o, err := s.OutlineOf(ctx, run)
	if err != nil {
		return n, err
	}
	if n.groups, err = s.Ledger.HeldGroups(ctx, s.Org); err != nil {
		return n, err
	}
	for _, g := range o.Groups {
		delete(n.groups, g.ID)
	}
	roles, err := s.Ledger.AppRoleHoldings(ctx, s.Org)
	n.roles = slices.DeleteFunc(roles, func(h access.Holding) bool { return !siteGone(o.Sites, h.Target) })
	return n, err
}

// absenceProver proves that people, groups and sites that reads did not show are gone, and ends the holdings that went
// with them.
type absenceProver struct {
	*task
	*apply.EndedMemberships
}

func (s *task) missing(b *policy.Bound, run string) *absenceProver {
	return &absenceProver{task: s, EndedMemberships: &apply.EndedMemberships{Session: s.Session, Binding: b, Run: run}}
}

// people ends all holdings of people who are gone: no search by account ID shows them, the group search shows them in
// no group, and the directory does not know the account. It returns those who are not proved to be gone only because
// their holdings are too recent.
func (e *absenceProver) people(ctx context.Context, ids []string) (young []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if any, err := e.API.SearchUsers(ctx, e.Directory, organization.UserQuery{Limit: 1}); err != nil ||
		len(any.Items) == 0 {
		// a search that shows nobody proves nothing
		return nil, session.WrapAPIError("read a person of organization "+e.Org, err)
	}
	var failed error
	for _, some := range session.Chunks(ids, session.MostAccountIDs) {
		gone, err := e.gone(ctx, some)
		if err != nil {
			return nil, err
		}
		states, err := e.Ledger.States(ctx, e.Org, gone, e.Now().Add(-plan.OldEnough))
		if err != nil {
			return nil, err
		}
		for _, id := range gone {
			if len(states[id].Recent) > 0 ||
				slices.ContainsFunc(states[id].Holdings,
					func(h access.Holding) bool { return e.Now().Sub(h.From) < plan.OldEnough }) {
				young = append(young, id)
				continue
			}
			if err := e.left(ctx, id, states[id].Holdings, states[id].Grants,
				"the person is not in the organization any more"); err != nil {
				if failed == nil { // the others' are closed all the same
					failed = err
				}
			}
		}
		activity.RecordHeartbeat(ctx, e.Result)
	}
	return young, failed
}

// left ends all holdings of somebody who is gone.
func (e *absenceProver) left(ctx context.Context, id string, holdings []access.Holding, grants []access.Grant,
	why string) error {
	said := e.Policy.BoundTo(e.Binding)
	for _, g := range grants { // first: the holdings are what makes a repeat come here again
		if !g.InForce(e.Now()) || g.ProvisionedAt.IsZero() || said.HandTakenMode(g.Target) != policy.HandTakenEnd {
			continue
		}
		if err := e.EndGrant(ctx, g.ID, why); err != nil {
			return err
		}
	}
	n, err := e.Ledger.EndHoldings(ctx, e.Org, e.Run, holdings, why, e.Now())
	e.Result.Holdings += n
	return err
}

// leftBy ends all holdings of somebody whom a run of Castellan's removed from the organization, if the read after it
// does not show them there.
func (s *task) leftBy(ctx context.Context, run, id string) error {
	states, err := s.Ledger.States(ctx, s.Org, []string{id}, s.Now())
	if err != nil {
		return err
	}
	b, err := s.BoundOf(ctx, run)
	if err != nil {
		return err
	}
	return s.missing(b, run).left(ctx, id, states[id].Holdings, states[id].Grants,
		"run "+run+" removed the person from the organization")
}

// gone returns those of these people, ten at most, whom no read shows in the organization.
func (e *absenceProver) gone(ctx context.Context, ids []string) ([]string, error) {
	there := map[string]bool{}
	q := organization.UserQuery{AccountIDs: ids, Limit: session.PageSize}
	err := e.EachPerson(ctx, "read people of organization "+e.Org, q, func(page []organization.User) (bool, error) {
		for _, u := range page {
			there[u.AccountID] = there[u.AccountID] || u.MembershipStatus != "no_membership"
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return there[id] })
	if len(ids) == 0 {
		return nil, nil
	}
	inNone, err := e.SearchedGroups(ctx, ids...)
	if err != nil || inNone == nil {
		return nil, err
	}
	var gone []string
	for _, id := range ids {
		if len(inNone) > 0 {
			if groups, err := e.SearchedGroups(ctx, id); err != nil || groups == nil || len(groups) > 0 {
				if err != nil {
					return nil, err
				}
				continue
			}
		}
		u, err := e.API.User(ctx, e.Directory, id)
		switch {
		case errors.Is(err, organization.ErrNotFound), err == nil && u.MembershipStatus == "no_membership":
			gone = append(gone, id)
		case err != nil:
			return nil, session.WrapAPIError("read the person "+id+" of organization "+e.Org, err)
		}
	}
	return gone, nil
}

// groups ends the memberships of groups that are gone: neither the search by ID nor the directory knows them. Their
// people lost them with the group.
func (e *absenceProver) groups(ctx context.Context, ids map[string]access.Entitlement) error {
	if len(ids) == 0 {
		return nil
	}
	if any, err := e.ShowsGroups(ctx); err != nil || !any {
		return err
	}
	for _, some := range session.Chunks(session.SortedKeys(ids), session.MostGroupIDs) {
		shown, err := e.ReadGroups(ctx, organization.GroupQuery{GroupIDs: some, Limit: session.PageSize})
		if err != nil {
			return err
		}
		for _, id := range some {
			if slices.ContainsFunc(shown, func(g access.Group) bool { return g.ID == id }) {
				continue
			}
			if _, err := e.API.Group(ctx, e.Directory, id); !errors.Is(err, organization.ErrNotFound) {
				if err != nil {
					return session.WrapAPIError("read group "+id+" of organization "+e.Org, err)
				}
				continue
			}
			if err := e.endGroup(ctx, id, ids[id]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *absenceProver) endGroup(ctx context.Context, id string, target access.Entitlement) error {
	for {
		held, err := e.Ledger.HoldingsOf(ctx, e.Org, target, id, session.LinesAtOnce)
		if err != nil {
			return err
		}
		n, err := e.Ledger.EndHoldings(ctx, e.Org, e.Run, held, "the group is not there any more", e.Now())
		if err != nil {
			return err
		}
		e.Result.Holdings += n
		activity.RecordHeartbeat(ctx, e.Result)
		if n < session.LinesAtOnce {
			return nil
		}
	}
}

// roles ends what people held of apps on sites that are gone.
func (e *absenceProver) roles(ctx context.Context, held []access.Holding) error {
	if len(held) == 0 {
		return nil
	}
	sites, err := e.ReadSites(ctx)
	if err != nil {
		return err
	}
	var over []access.Holding
	for _, h := range held {
		if !siteGone(sites, h.Target) {
			continue
		}
		hidden, err := e.hasElsewhere(ctx, h, sites)
		if err != nil {
			return err
		}
		if !hidden {
			over = append(over, h)
		}
		activity.RecordHeartbeat(ctx, e.Result)
	}
	n, err := e.Ledger.EndHoldings(ctx, e.Org, e.Run, over,
		"the organization does not show the app on the site any more", e.Now())
	e.Result.Holdings += n
	return err
}

// hasElsewhere reports whether the person has a role of the app on a site that no read of the sites shows: then that
// read is incomplete.
func (e *absenceProver) hasElsewhere(ctx context.Context, h access.Holding, sites []access.Site) (has bool, err error) {
	app, _, _, _ := h.Target.AppSiteRole()
	what := "read the roles of " + h.Person
	err = session.EveryPage(ctx, what, session.BoundRoles,
		func(cursor string) (organization.Page[organization.UserRoles], error) {
			page, err := e.API.UserRoleAssignments(ctx, e.Directory, h.Person, organization.RoleFilter{}, cursor)
			if errors.Is(err, organization.ErrNotFound) {
				return organization.Page[organization.UserRoles]{}, nil
			}
			return page, session.WrapAPIError(what, err)
		}, func(roles []organization.UserRoles) (bool, error) {
			has = slices.ContainsFunc(roles, func(r organization.UserRoles) bool {
				return access.AppOf(r.ResourceID) == app &&
					!slices.ContainsFunc(sites, func(s access.Site) bool { return s.Resource == r.ResourceID })
			})
			return !has, nil
		})
	return has, err
}

// siteGone reports whether a read that showed some sites did not show the app on its site.
func siteGone(sites []access.Site, role access.Entitlement) bool {
	app, site, _, ok := role.AppSiteRole()
	return ok && len(sites) > 0 &&
		!slices.ContainsFunc(sites, func(s access.Site) bool { return s.App == app && strings.EqualFold(s.Site, site) })
}
