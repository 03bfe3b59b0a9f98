package session

import (
	"context"
	"errors"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// AmongMembers reports whether one of these people, ten at most, is a member of one of the groups. Whether they are in
// an identity source's, the ledger's replica tells.
func (s *Session) AmongMembers(ctx context.Context, people, groups []string) (bool, error) {
	groups = slices.Clone(groups)
	if slices.ContainsFunc(groups, access.IsSourceGroup) {
		if among, err := s.amongSourceMembers(ctx, people, groups); among || err != nil {
			return among, err
		}
		groups = slices.DeleteFunc(groups, access.IsSourceGroup)
	}
	for _, some := range Chunks(groups, MostGroupIDs) {
		q := organization.UserQuery{AccountIDs: people, GroupIDs: some, Limit: PageSize, Expand: ExpandPeople}
		found := false
		err := s.EachPerson(ctx, "read the members of groups of organization "+s.Org, q,
			func(page []organization.User) (bool, error) {
				found = len(page) > 0 // whatever their own lists say
				return !found, nil
			})
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// AmongUsers reports whether one of these people, ten at most, has access to one of the apps on sites.
func (s *Session) AmongUsers(ctx context.Context, people, apps []string) (bool, error) {
	for _, some := range Chunks(apps, mostResources) {
		q := organization.UserQuery{AccountIDs: people, ResourceIDs: some, Limit: PageSize}
		found := false
		err := s.EachPerson(ctx, "read who has access to apps of organization "+s.Org, q,
			func(page []organization.User) (bool, error) {
				found = len(page) > 0
				return !found, nil
			})
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// SearchedGroups returns the groups of a person, or of ten at most together, according to the group search; nil if it
// shows no groups, which proves nothing.
func (s *Session) SearchedGroups(ctx context.Context, people ...string) ([]string, error) {
	groups, err := s.ReadGroups(ctx, organization.GroupQuery{AccountIDs: people, Limit: PageSize})
	if err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		if any, err := s.ShowsGroups(ctx); err != nil || !any {
			return nil, err
		}
	}
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	return ids, nil
}

// SearchedGroupsOf is SearchedGroups of one person, with the groups of identity sources that the person is in.
func (s *Session) SearchedGroupsOf(ctx context.Context, p access.Person) ([]string, error) {
	ids, err := s.SearchedGroups(ctx, p.ID)
	if err != nil || ids == nil {
		return nil, err
	}
	return append(ids, slices.DeleteFunc(slices.Clone(p.GroupIDs),
		func(id string) bool { return !access.IsSourceGroup(id) })...), nil
}

// ShowsGroups reports whether the group search shows any group.
func (s *Session) ShowsGroups(ctx context.Context) (bool, error) {
	any, err := s.API.SearchGroups(ctx, s.Directory, organization.GroupQuery{Limit: 1})
	if err != nil {
		return false, WrapAPIError("read a group of organization "+s.Org, err)
	}
	return len(any.Items) > 0, nil
}

// ReadAppRoles reads the app roles of those people who hold one according to the ledger: no read of many people shows
// them.
//
// Calls: one for each app role that the policy names, for each of those people.
func (s *Session) ReadAppRoles(ctx context.Context, b *policy.Bound, ps []access.Person,
	states map[string]ledger.PersonState) error {
	for i := range ps {
		if !holdsAppRole(states[ps[i].ID].Holdings) {
			continue
		}
		roles := []access.Entitlement{}
		for _, t := range b.Targets {
			if t.Resource == "" {
				continue
			}
			p, err := s.AppRoles(ctx, ps[i], t)
			if err != nil {
				return err
			}
			if p.ID == "" { // the directory does not know the account: its roles are unknown
				roles = nil
				break
			}
			roles = append(roles, p.AppRoles...)
		}
		ps[i].AppRoles = roles
	}
	return nil
}

func holdsAppRole(holdings []access.Holding) bool {
	for _, h := range holdings {
		if h.Target != access.OrgAdmin && h.Target.Kind() == access.KindRole {
			return true
		}
	}
	return false
}

// AppRoles adds the target's role to a person who holds it directly. If the API does not tell how a role was given it
// counts as direct: what existed before a grant is then never removed.
func (s *Session) AppRoles(ctx context.Context, p access.Person, target policy.Target) (access.Person, error) {
	p.AppRoles = []access.Entitlement{}
	page, err := s.API.UserRoleAssignments(ctx, s.Directory, p.ID,
		organization.RoleFilter{ResourceIDs: []string{target.Resource}, RoleIDs: []string{target.Role}}, "")
	if errors.Is(err, organization.ErrNotFound) {
		return access.Person{}, nil
	}
	if err != nil {
		return p, WrapAPIError("read the roles of "+p.Label(), err)
	}
	for _, r := range page.Items {
		if r.MembershipStatus != "" {
			p.MembershipStatus = r.MembershipStatus
		}
		direct := r.Methods == nil || slices.Contains(r.Methods[target.Role], organization.MethodDirect)
		if r.ResourceID == target.Resource && slices.Contains(r.Roles, target.Role) && direct {
			p.AppRoles = append(p.AppRoles, target.Entitlement)
		}
	}
	return p, nil
}
