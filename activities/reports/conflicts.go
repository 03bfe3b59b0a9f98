package reports

import (
	"context"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// conflicts lists where groups of identity sources differ from their counterparts at Atlassian, as of the last full
// verification; of one group, with the people.
func (a *Activities) conflicts(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	all, err := a.env.Ledger.Conflicts(ctx, in.Org)
	if err != nil {
		return err
	}
	named := slices.DeleteFunc(slices.Clone(all), func(c ledger.GroupConflict) bool {
		return in.ID != "" && !access.SameName(c.GroupName, in.ID) && !access.SameName(c.SourceName, in.ID)
	})
	if in.ID != "" && len(named) == 0 {
		return session.NotFoundf("the last full verification found no difference between group %s and one of an identity source", in.ID)
	}
	open := 0
	for _, c := range named {
		if c.Open() {
			open++
		}
		if len(answer.Conflicts) < in.Limit {
			answer.Conflicts = append(answer.Conflicts, messages.GroupConflict{Group: c.GroupName, GroupID: c.GroupID,
				Source: c.SourceName, Key: c.Key, Entry: c.Entry, As: c.Kind, Missing: c.Missing, Extra: c.Extra,
				Opens: c.Opens, Follows: c.Linked, Fit: c.Fit, Conflict: c.Hash, Decision: c.Decision, By: c.By,
				Note: c.Note, Decided: c.Decided, Since: c.At})
		}
	}
	answer.Message = fmt.Sprintf("%d groups of identity sources differ from the groups at Atlassian; %d wait for a decision",
		len(named), open)
	if in.ID == "" {
		return nil
	}
	return a.conflicted(ctx, in, named[0], answer)
}

// conflicted lists the people of a conflict.
func (a *Activities) conflicted(ctx context.Context, in messages.ReportInput, c ledger.GroupConflict,
	answer *messages.ReportAnswer) error {
	after, err := session.ReadKey(in.After)
	if err != nil {
		return session.NonRetryable(session.ErrUnknown, err)
	}
	from := ledger.GroupDifference{Person: after.Person, Missing: after.Target != "", Lost: after.Action != ""}
	people, err := a.env.Ledger.DifferencesOf(ctx, in.Org, c, from, in.Limit+1)
	if err != nil {
		return err
	}
	if len(people) > in.Limit {
		people = people[:in.Limit]
		last := people[in.Limit-1]
		key := access.Change{Person: last.Person}
		if last.Missing {
			key.Target = access.GroupEntitlement(c.GroupName)
		}
		if last.Lost {
			key.Action = access.Remove
		}
		answer.Next = session.WriteKey(key)
	}
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.Person
	}
	answer.Conflicted = []messages.ConflictPerson{}
	emails, err := a.env.Ledger.KnownEmails(ctx, in.Org, ids)
	for _, p := range people {
		answer.Conflicted = append(answer.Conflicted,
			messages.ConflictPerson{Account: p.Person, Email: emails[p.Person], Missing: p.Missing, Lost: p.Lost})
	}
	return err
}
