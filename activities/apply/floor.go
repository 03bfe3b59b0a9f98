package apply

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// lagOfRemovals is how long a read may still show somebody whom Castellan removed.
const lagOfRemovals = 2 * time.Minute

// floor refuses a removal that would break a protected target's minimum or affect a named person; for a suspension or a
// removal from the organization, every protected target that the person holds counts. Holders are read now; whom
// Castellan removed a moment ago does not count, though a read may still show them.
//
// Calls: holders/100 of each protected target concerned, and two more for a suspension or a removal from the
// organization.
func (s *Session) floor(ctx context.Context, run string, line access.Change) (refusal, err error) {
	b, err := s.BoundOf(ctx, run)
	if err != nil {
		return nil, err
	}
	if line.Target.Presence() {
		return s.FloorsOfPresence(ctx, b, line)
	}
	i, known := b.Target(line.Target)
	if !known || b.Targets[i].Protected == nil {
		return nil, nil
	}
	return s.FloorOf(ctx, b.Targets[i], access.Person{ID: line.Person, Email: line.Email})
}

// FloorOf checks a removal from one protected target against its floor. The person is taken from the read if it shows
// them.
func (s *Session) FloorOf(ctx context.Context, target policy.Target, person access.Person) (refusal, err error) {
	q := organization.UserQuery{Limit: session.PageSize, Expand: session.ExpandPeople,
		GroupIDs: []string{target.GroupID}}
	if target.GroupID == "" {
		q.GroupIDs, q.RoleIDs = nil, []string{access.RoleOrgAdmin}
	}
	read, err := s.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	since := s.Now().Add(-lagOfRemovals)
	gone := map[string]bool{}
	for _, e := range []access.Entitlement{target.Entitlement, access.Directory, access.Organization} {
		some, err := s.Ledger.RemovedSince(ctx, s.Org, e, since)
		if err != nil {
			return nil, err
		}
		maps.Copy(gone, some)
	}
	var holders []access.Person
	for _, p := range read {
		if p.ID == person.ID {
			person = p
		}
		if !gone[p.ID] {
			holders = append(holders, p)
		}
	}
	return plan.Floor(target, holders, person, s.Policy.Organization.KeyOwner), nil
}

// FloorsOfPresence checks a suspension or removal from the organization against the floor of every protected target
// that the person holds. So the organization never loses its last admin, even if the policy does not manage that role.
func (s *Session) FloorsOfPresence(ctx context.Context, b *policy.Bound, line access.Change) (refusal, err error) {
	found, err := s.Search(ctx, organization.UserQuery{AccountIDs: []string{line.Person}, Limit: 1,
		Expand: session.ExpandPeople})
	if err != nil {
		return nil, err
	}
	searched, err := s.SearchedGroups(ctx, line.Person) // one list of groups may be incomplete
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].GroupIDs == nil || searched == nil {
		return fmt.Errorf("%s: refused, the directory does not show this person with their groups just now, so it cannot be told which protected targets they hold; the next verification tries again", line.Label()), nil
	}
	p := found[0]
	p.GroupIDs = append(p.GroupIDs, searched...)
	if refusal := plan.KeyOwnerStays(p, s.Policy.Organization.KeyOwner); refusal != nil {
		return refusal, nil
	}
	targets := b.Targets
	if _, managed := b.Target(access.OrgAdmin); !managed {
		targets = append(targets[:len(targets):len(targets)],
			policy.Target{Entitlement: access.OrgAdmin,
				Protected: &policy.Protected{Target: access.OrgAdmin, Minimum: 1}})
	}
	for _, t := range targets {
		held := t.GroupID != "" && p.InGroup(t.GroupID) || t.Entitlement == access.OrgAdmin &&
			p.HasRole(access.RoleOrgAdmin)
		if t.Protected == nil || !held {
			continue
		}
		if refusal, err = s.FloorOf(ctx, t, p); refusal != nil || err != nil {
			return refusal, err
		}
	}
	return nil, nil
}
