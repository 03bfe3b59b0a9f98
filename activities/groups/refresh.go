package groups

import (
	"context"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
)

// Refresh reads one group with its roles and members, and keeps that as its record: whoever deletes a group calls it
// just before. An error means that the record is not what the group is now, so nothing may be deleted. Members that the
// read does not show, and that are too many to be believed, stay members. A repeat reads again.
//
// Calls: three, and one for a hundred members.
func Refresh(ctx context.Context, s *session.Session, run, id string) error {
	what := "read group " + id + " of organization " + s.Org
	g, err := s.API.Group(ctx, s.Directory, id)
	if err != nil {
		return session.WrapAPIError(what, err)
	}
	roles, err := s.GroupRoles(ctx, []string{id})
	if err != nil {
		return err
	}
	members, err := membersOf(ctx, s, id)
	if err != nil {
		return err
	}
	at := s.Now()
	seen := ledger.GroupSeen{ID: id, Name: g.Name, Synced: g.ExternalSynced || g.ManagedBy == "external",
		Resources: g.Resources, RolesRead: true}
	for _, r := range roles {
		seen.Roles = append(seen.Roles, ledger.GroupRole{Resource: r.Resource, Role: r.Role, Default: r.Default})
	}
	sortRoles(seen.Roles)
	if err := s.Ledger.SaveGroups(ctx, s.Org, run, []ledger.GroupSeen{seen}, at); err != nil {
		return err
	}
	if err := s.Ledger.SaveGroupMembers(ctx, s.Org, id, session.SortedKeys(members), at); err != nil {
		return err
	}
	return s.Ledger.SealGroup(ctx, s.Org, id, at, func(c ledger.GroupChange) bool {
		return doubts(s, map[string]int{id: g.Users}, c)
	})
}

// membersOf reads who is in a group, by account id.
//
// Calls: one for a hundred members.
func membersOf(ctx context.Context, s *session.Session, id string) (map[string]access.Person, error) {
	members := map[string]access.Person{}
	q := organization.UserQuery{GroupIDs: []string{id}, Limit: session.PageSize, Expand: session.ExpandPeople}
	err := s.EachPerson(ctx, "read the members of group "+id+" of organization "+s.Org, q,
		func(page []organization.User) (bool, error) {
			people, err := s.People(ctx, page)
			for _, p := range people {
				members[p.ID] = p
			}
			return true, err
		})
	return members, err
}
