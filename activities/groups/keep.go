package groups

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
)

// Bounds of what a full verification asks for the records alone.
const (
	mostAsked   = 50             // groups whose roles are read, pages of SCIM directories, groups that are looked for
	rolesLast   = 24 * time.Hour // until the roles of a group are read again though the group search shows no change
	recordsRead = 1000           // at a time
)

// Keep refreshes the records of groups from an outline: who they are, and which roles they give. A group that the
// outline, a complete search, does not show is looked for by its id; if there is none, it is lost, and its record stays
// as it is. What cannot be read now stays as it was. A repeat does the same.
//
// Calls: one for each group whose roles are due, and whose roles the outline does not have; one for each group that is
// no longer shown; one for a hundred groups of a SCIM directory whose id there is not known. Each at most 50.
func Keep(ctx context.Context, s *session.Session, run string, o access.Outline) error {
	k := &keeper{Session: s, run: run, outline: o, seen: map[string]access.Group{}}
	for _, g := range o.Groups {
		if !access.IsSourceGroup(g.ID) {
			k.seen[g.ID] = g
		}
	}
	if len(k.seen) == 0 {
		return nil // a search that shows no group says nothing of any
	}
	return k.keep(ctx)
}

// keeper refreshes the records of groups.
type keeper struct {
	*session.Session
	run     string
	outline access.Outline
	seen    map[string]access.Group
	known   map[string]ledger.GroupRecord
}

func (k *keeper) keep(ctx context.Context) error {
	known, err := allRecords(ctx, k.Session)
	if err != nil {
		return err
	}
	k.known = known
	roles, err := k.roles(ctx)
	if err != nil {
		return err
	}
	ids, asked, err := k.scimIDs(ctx)
	if err != nil {
		return err
	}
	var changed []ledger.GroupSeen
	for _, id := range session.SortedKeys(k.seen) {
		g, was := k.seen[id], k.known[id]
		one := ledger.GroupSeen{ID: id, Name: g.Name, Synced: g.Synced, Resources: g.Resources,
			SCIMAsked: g.Synced && asked}
		one.Roles, one.RolesRead = roles[id]
		if g.Synced {
			one.Directory, one.SCIM = ids[g.Name].directory, ids[g.Name].id
		}
		if was.ID == "" || !was.Lost.IsZero() || was.Name != g.Name || was.Synced != g.Synced || one.RolesRead ||
			one.SCIMAsked && was.SCIM == "" {
			changed = append(changed, one)
		}
	}
	if err := k.Ledger.SaveGroups(ctx, k.Org, k.run, changed, k.Now()); err != nil {
		return err
	}
	if err := k.lose(ctx); err != nil {
		return err
	}
	return k.Ledger.RefreshedGroups(ctx, k.Org, k.run, k.Now())
}

// allRecords returns the records of all groups, by id.
func allRecords(ctx context.Context, s *session.Session) (map[string]ledger.GroupRecord, error) {
	all := map[string]ledger.GroupRecord{}
	for after := ""; ; {
		page, err := s.Ledger.GroupRecords(ctx, s.Org, ledger.GroupQuery{After: after, Limit: recordsRead})
		if err != nil {
			return nil, err
		}
		for _, g := range page {
			all[g.ID], after = g, g.ID
		}
		if len(page) < recordsRead {
			return all, nil
		}
	}
}

// roles returns the roles of the groups that the outline has them of, of those that give none by the group search, and
// of those whose turn it is: never read, then changed by the group search, then longest ago.
func (k *keeper) roles(ctx context.Context) (map[string][]ledger.GroupRole, error) {
	roles := map[string][]ledger.GroupRole{}
	add := func(all []access.RoleAssignment) {
		for _, r := range all {
			roles[r.GroupID] = append(roles[r.GroupID],
				ledger.GroupRole{Resource: r.Resource, Role: r.Role, Default: r.Default})
		}
	}
	add(k.outline.Roles)
	var due []string
	for id, g := range k.seen {
		was := k.known[id]
		_, read := roles[id]
		switch {
		case read:
		case g.Resources == 0:
			if was.RolesRead.IsZero() || len(was.Roles) > 0 || was.Resources != 0 {
				roles[id] = nil
			}
		case was.RolesRead.IsZero(), was.Resources != g.Resources, k.Now().Sub(was.RolesRead) >= rolesLast:
			due = append(due, id)
		}
	}
	slices.SortFunc(due, func(a, b string) int {
		rank := func(id string) int64 {
			switch was := k.known[id]; {
			case was.RolesRead.IsZero():
				return 0
			case was.Resources != k.seen[id].Resources:
				return 1
			default:
				return was.RolesRead.UnixMicro()
			}
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	for _, id := range due[:min(len(due), mostAsked)] {
		read, err := k.GroupRoles(ctx, []string{id})
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil { // the records are not worth a verification
			activity.GetLogger(ctx).Warn("the roles of groups could not be read for their records", "group", id,
				"error", err)
			break
		}
		roles[id] = nil
		add(read)
	}
	for id, read := range roles {
		if was := k.known[id]; !was.RolesRead.IsZero() && slices.Equal(sortRoles(read), was.Roles) &&
			was.Resources == k.seen[id].Resources && k.Now().Sub(was.RolesRead) < rolesLast {
			delete(roles, id) // as it is known already
		}
	}
	return roles, nil
}

// sortRoles orders roles as records have them.
func sortRoles(roles []ledger.GroupRole) []ledger.GroupRole {
	slices.SortFunc(roles, func(a, b ledger.GroupRole) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Role, b.Role))
	})
	return roles
}

// scimID is a group in a SCIM directory.
type scimID struct{ directory, id string }

// scimIDs returns the ids that synced groups have in the policy's SCIM directories, by name, if one is not known and
// was not asked for lately. A name that two directories have is left out.
func (k *keeper) scimIDs(ctx context.Context) (ids map[string]scimID, asked bool, err error) {
	for id, g := range k.seen {
		was := k.known[id]
		asked = asked || g.Synced && was.SCIM == "" && k.Now().Sub(was.SCIMAsked) >= rolesLast
	}
	if !asked || len(k.Policy.Provision) == 0 {
		return nil, false, nil
	}
	ids = map[string]scimID{}
	twice := map[string]bool{}
	read := map[string]bool{}
	for _, p := range k.Policy.Provision {
		if read[p.Directory.ID] {
			continue
		}
		read[p.Directory.ID] = true
		client, err := k.SCIMClient(p.Directory)
		if err != nil {
			return nil, false, err
		}
		if err := eachSCIMGroup(ctx, client, func(g scim.Group) {
			_, known := ids[g.DisplayName]
			twice[g.DisplayName] = known
			ids[g.DisplayName] = scimID{p.Directory.ID, g.ID}
		}); err != nil {
			if ctx.Err() != nil {
				return nil, false, err
			}
			activity.GetLogger(ctx).Warn("the groups of a SCIM directory could not be read for the records of groups",
				"directory", p.Directory.ID, "error", err)
			return nil, false, nil
		}
	}
	for name, is := range twice {
		if is {
			delete(ids, name)
		}
	}
	return ids, true, nil
}

func eachSCIMGroup(ctx context.Context, client *scim.Client, visit func(scim.Group)) error {
	for start, page := 1, 0; page < mostAsked; page++ {
		groups, err := client.Groups(ctx, scim.GroupQuery{Start: start})
		if err != nil {
			return session.WrapSCIMError("read the groups of a SCIM directory", err)
		}
		activity.RecordHeartbeat(ctx)
		for _, g := range groups.Items {
			visit(g)
		}
		if start = groups.Next; start == 0 {
			return nil
		}
	}
	return nil
}

// lose finds out which of the groups that the search does not show any more do not exist.
func (k *keeper) lose(ctx context.Context) error {
	asked := 0
	for _, id := range session.SortedKeys(k.known) {
		if _, shown := k.seen[id]; shown || !k.known[id].Lost.IsZero() {
			continue
		}
		if asked++; asked > mostAsked {
			return nil // the next verification goes on
		}
		_, err := k.API.Group(ctx, k.Directory, id)
		activity.RecordHeartbeat(ctx)
		switch {
		case errors.Is(err, organization.ErrNotFound):
			if err := k.Ledger.LoseGroup(ctx, k.Org, id, k.Now()); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return err
		case err != nil:
			activity.GetLogger(ctx).Warn("a group that the search does not show could not be looked for", "group", id,
				"error", err)
		}
	}
	return nil
}

// Members stores the groups that a page of people shows, for a verification of everybody that began at start.
func Members(ctx context.Context, s *session.Session, there map[string]bool, people []access.Person,
	start time.Time) error {
	all := make([]ledger.PersonGroups, len(people))
	for n, p := range people {
		all[n] = ledger.PersonGroups{Account: p.ID, Groups: p.GroupIDs}
	}
	return s.Ledger.SaveMembers(ctx, s.Org, all, there, start)
}

// There returns the ids of the groups that an outline has, without those of identity sources.
func There(o access.Outline) map[string]bool {
	there := make(map[string]bool, len(o.Groups))
	for _, g := range o.Groups {
		if !access.IsSourceGroup(g.ID) {
			there[g.ID] = true
		}
	}
	return there
}

// Seal ends the reading of members by a verification of everybody that began at start: what it shows is believed, or
// the former members stay members. A repeat changes nothing.
func Seal(ctx context.Context, s *session.Session, o access.Outline, start time.Time) error {
	counted := map[string]int{}
	for _, g := range o.Groups {
		counted[g.ID] = g.Users
	}
	return s.Ledger.SealGroups(ctx, s.Org, start, func(c ledger.GroupChange) bool {
		return doubts(s, counted, c)
	}, func() { activity.RecordHeartbeat(ctx) })
}

// doubts reports whether not to believe that members of a group are gone.
func doubts(s *session.Session, counted map[string]int, c ledger.GroupChange) bool {
	n, known := counted[c.ID]
	if !known {
		n = -1
	}
	return !plan.BelievesMembers(s.Policy.Guard.Source, c.Had, c.Kept, c.Users, n)
}
