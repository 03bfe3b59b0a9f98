package reports

import (
	"context"
	"errors"
	"fmt"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// groups lists the records of groups; or, with an id or a name, the record of one group and who is in it.
func (a *Activities) groups(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	after, err := session.ReadKey(in.After)
	if err != nil {
		return session.NonRetryable(session.ErrUnknown, err)
	}
	sites, err := a.sites(ctx, in.Org)
	if err != nil {
		return err
	}
	if in.ID != "" {
		return a.group(ctx, in, after.Person, sites, answer)
	}
	found, err := a.env.Ledger.GroupRecords(ctx, in.Org,
		ledger.GroupQuery{Lost: in.Lost, After: after.Person, Limit: in.Limit + 1})
	if err != nil {
		return err
	}
	for i, g := range found {
		if i == in.Limit {
			answer.Next = session.WriteKey(access.Change{Person: found[i-1].ID})
			break
		}
		one, err := a.recorded(ctx, in.Org, g, sites)
		if err != nil {
			return err
		}
		answer.Groups = append(answer.Groups, one)
	}
	what := "groups"
	if in.Lost {
		what = "lost groups"
	}
	answer.Message = fmt.Sprintf("%d %s", len(answer.Groups), what)
	return nil
}

// group shows one group and its members.
func (a *Activities) group(ctx context.Context, in messages.ReportInput, after string, sites []access.Site,
	answer *messages.ReportAnswer) error {
	g, err := a.env.Ledger.GroupRecord(ctx, in.Org, in.ID)
	if errors.Is(err, ledger.ErrNotFound) {
		g, err = a.groupNamed(ctx, in)
	}
	if err != nil {
		return err
	}
	one, err := a.recorded(ctx, in.Org, g, sites)
	if err != nil {
		return err
	}
	one.Unexplained = g.Unexplained
	answer.Groups = []messages.RecordedGroup{one}
	members, err := a.env.Ledger.GroupMembers(ctx, in.Org, g, after, in.Limit+1)
	if err != nil {
		return err
	}
	for i, m := range members {
		if i == in.Limit {
			answer.Next = session.WriteKey(access.Change{Person: members[i-1].Account})
			break
		}
		answer.Members = append(answer.Members,
			messages.RecordedMember{Account: m.Account, Address: m.Email, Since: m.Since, Gone: m.Gone})
	}
	answer.Message = fmt.Sprintf("group %s: %d members", g.Name, one.Members)
	return nil
}

// groupNamed returns the record of the one group of a name; of several, as a lost one and its successor, the lost one.
func (a *Activities) groupNamed(ctx context.Context, in messages.ReportInput) (g ledger.GroupRecord, err error) {
	for _, lost := range []bool{true, false} {
		named, err := a.env.Ledger.GroupRecords(ctx, in.Org, ledger.GroupQuery{Name: in.ID, Lost: lost, Limit: 2})
		switch {
		case err != nil:
			return g, err
		case len(named) == 1:
			return a.env.Ledger.GroupRecord(ctx, in.Org, named[0].ID)
		case len(named) > 1:
			return g, session.NotFoundf("several groups had the name %q: name one by its id, as `starter groups %s --lost` lists them",
				in.ID, in.Org)
		}
	}
	return g, session.NotFoundf("there is no record of a group %q in organization %s; each full verification keeps one of every group",
		in.ID, in.Org)
}

func (a *Activities) recorded(ctx context.Context, org string, g ledger.GroupRecord,
	sites []access.Site) (messages.RecordedGroup, error) {
	n, err := a.env.Ledger.CountGroupMembers(ctx, org, g)
	return messages.RecordedGroup{ID: g.ID, Name: g.Name, Synced: g.Synced, Directory: g.Directory, SCIM: g.SCIM,
		Members: n, Roles: groups.RolesInWords(g.Roles, sites), Defaults: groups.DefaultsInWords(g.Roles, sites),
		RolesRead: g.RolesRead, Refreshed: g.Refreshed, Lost: g.Lost, Outcome: g.Outcome, By: g.By,
		Doubted: g.Doubted}, err
}

// sites returns the sites of the last outline, for the names of apps; none if it has none.
func (a *Activities) sites(ctx context.Context, org string) ([]access.Site, error) {
	s, err := a.env.OpenInForce(ctx, org)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, _, err := s.LatestOutline(ctx)
	if err != nil || len(o.Sites) > 0 {
		return o.Sites, err
	}
	return s.ReadSites(ctx)
}
