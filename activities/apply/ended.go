package apply

import (
	"context"
	"fmt"
	"slices"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// EndedResult counts what reads proved to be over.
type EndedResult struct {
	Holdings int `json:"holdings"` // ended in the ledger
	Grants   int `json:"grants"`   // ended, since their access was removed by hand
	Calls    int `json:"calls"`
}

// EndedMemberships ends memberships that reads did not show, once they are proved to be over.
type EndedMemberships struct {
	Session *Session
	Binding *policy.Bound
	Run     string
	admins  map[string]bool // holders of the organization-admin role, once read
	Result  EndedResult
	ByHand  []session.OutOfBandGrant // grants that ended
}

// Close ends those that no read shows, and the grants whose access was removed by hand with them. It returns the people
// of those that are too recent to tell.
func (e *EndedMemberships) Close(ctx context.Context, unseen []access.MissingHolding) (young []string, err error) {
	for _, u := range unseen {
		over, tooYoung, err := e.over(ctx, u)
		if err != nil {
			return nil, err
		}
		if tooYoung {
			young = append(young, u.Person)
		}
		if !over {
			continue
		}
		why := "the directory does not show the membership any more"
		if len(u.Grants) > 0 {
			why = "its access was taken by hand: the directory does not show it any more"
		}
		// The grants end first: access that is not in the ledger would be given again while they last.
		for _, id := range u.Grants {
			if err := e.EndGrant(ctx, id, why); err != nil {
				return nil, err
			}
		}
		n, err := e.Session.Ledger.EndHoldings(ctx, e.Session.Org, e.Run, []access.Holding{u.Holding}, why,
			e.Session.Now())
		if err != nil {
			return nil, err
		}
		e.Result.Holdings += n
		activity.RecordHeartbeat(ctx, e.Result)
	}
	return young, nil
}

// over reports whether every read shows that the membership is over: the person's own list, the group search, the
// members of the group; for a role, also the list of its holders, or the search for them. The absence or suspension of
// a person proves nothing.
func (e *EndedMemberships) over(ctx context.Context, u access.MissingHolding) (over, young bool, err error) {
	states, err := e.Session.Ledger.States(ctx, e.Session.Org, []string{u.Person}, e.Session.Now().Add(-plan.OldEnough))
	if err != nil {
		return false, false, err
	}
	stands := slices.ContainsFunc(states[u.Person].Holdings,
		func(h access.Holding) bool { return h.Target == u.Target && h.From.Equal(u.From) })
	written := slices.ContainsFunc(states[u.Person].Recent, func(c access.Change) bool { return c.Target == u.Target })
	if !stands {
		return false, false, nil // it was settled meanwhile
	}
	if written || e.Session.Now().Sub(u.From) < plan.OldEnough {
		return false, true, nil
	}
	found, err := e.Session.Search(ctx,
		organization.UserQuery{AccountIDs: []string{u.Person}, Limit: 1, Expand: session.ExpandPeople})
	if err != nil || len(found) != 1 {
		return false, false, err
	}
	p := found[0]
	if u.Target != access.Directory && !p.CanReceive() {
		return false, false, nil
	}
	switch {
	case u.Target == access.Directory:
		one, err := e.Session.API.User(ctx, e.Session.Directory, u.Person)
		if err != nil {
			return false, false, session.WrapAPIError("read the person "+p.Label(), err)
		}
		return p.MembershipStatus == "suspended" && one.MembershipStatus == "suspended", false, nil
	case u.Target == access.OrgAdmin:
		admin, err := e.admin(ctx, u.Person)
		return err == nil && !p.HasRole(access.RoleOrgAdmin) && !admin, false, err
	case u.GroupID != "":
		over, err = e.notIn(ctx, p, u.GroupID)
		return over, false, err
	}
	i, known := e.Binding.Target(u.Target)
	if !known || e.Binding.Targets[i].Resource == "" {
		return false, false, nil
	}
	p, err = e.Session.AppRoles(ctx, p, e.Binding.Targets[i])
	if err != nil || p.ID == "" {
		return false, false, err
	}
	if held, _ := e.Binding.Holds(p, i); held {
		return false, false, nil
	}
	t := e.Binding.Targets[i] // whoever also has it by a group still has it
	also, err := e.Session.Search(ctx,
		organization.UserQuery{AccountIDs: []string{p.ID}, ResourceIDs: []string{t.Resource}, RoleIDs: []string{t.Role},
			Limit: 1, Expand: session.ExpandPeople})
	return err == nil && len(also) == 0, false, err
}

// notIn reports whether no read shows the person in the group.
func (e *EndedMemberships) notIn(ctx context.Context, p access.Person, group string) (bool, error) {
	if p.InGroup(group) {
		return false, nil
	}
	groups, err := e.Session.SearchedGroups(ctx, p.ID)
	if err != nil || groups == nil || slices.Contains(groups, group) {
		return false, err
	}
	among, err := e.Session.AmongMembers(ctx, []string{p.ID}, []string{group})
	return !among, err
}

// admin reports whether the person is on the list of all organization admins. An empty list proves nothing, so the
// result is then true.
func (e *EndedMemberships) admin(ctx context.Context, person string) (bool, error) {
	if e.admins == nil {
		admins, err := e.Session.Search(ctx,
			organization.UserQuery{RoleIDs: []string{access.RoleOrgAdmin}, Limit: session.PageSize,
				Expand: session.ExpandPeople})
		if err != nil {
			return false, err
		}
		e.admins = map[string]bool{}
		for _, p := range admins {
			e.admins[p.ID] = true
		}
	}
	return len(e.admins) == 0 || e.admins[person], nil
}

// EndGrant ends a grant in force, with the extensions that were to follow it, and wakes its workflow, which removes
// what is left of it.
func (e *EndedMemberships) EndGrant(ctx context.Context, id, why string) error {
	g, err := e.Session.Ledger.EndGrantByHand(ctx, e.Session.Org, id, why, e.Session.Now())
	if err != nil {
		return err
	}
	if g.RemovedByHand {
		e.Result.Grants++
		e.ByHand = append(e.ByHand, session.OutOfBandGrant{Grant: g.ID,
			Workflow: messages.GrantID(e.Session.Org, g.Target, g.Key), Told: true, Text: fmt.Sprintf(
				"grant %s of %s for %s ended: %s", g.ID, g.Target, session.PersonOf(g), why)})
	}
	others, err := e.Session.Ledger.GrantsOf(ctx, e.Session.Org, g.Key, g.Target)
	if err != nil {
		return err
	}
	for renewed := []string{id}; len(renewed) > 0; {
		var next []string
		for _, other := range others {
			if other.State != access.GrantGranted || !slices.Contains(renewed, other.Renews) {
				continue
			}
			if _, err := e.Session.Ledger.EndGrantByHand(ctx, e.Session.Org, other.ID, why,
				e.Session.Now()); err != nil {
				return err
			}
			next = append(next, other.ID)
		}
		renewed = next
	}
	return e.Session.WakeGrant(ctx, e.Session.Org, g)
}
