package sources

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// DecideConflictInput is a decision about the difference between a group of a source and its counterpart at Atlassian.
type DecideConflictInput struct {
	Org    string `json:"org"`
	Accept bool   `json:"accept"` // otherwise it is rejected
	messages.ConflictInput
}

// DecideConflict records that a person accepts or rejects a difference between two groups, and returns the group's name
// at Atlassian. A repeat changes nothing. It is refused if the people have changed, or if it cannot be accepted.
func (a *Activities) DecideConflict(ctx context.Context, in DecideConflictInput) (group string, err error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.OpenInForce(ctx, in.Org)
	if err != nil {
		return "", err
	}
	all, err := s.Ledger.Conflicts(ctx, in.Org)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(c ledger.GroupConflict) bool { return c.Hash == in.Conflict })
	switch {
	case i < 0:
		return "", session.NotFoundf("no difference between groups has the hash %s: it has changed, or is over; %s lists what there is",
			in.Conflict, display.Starter("conflicts", in.Org))
	case !in.Accept && all[i].Decision == ledger.DecisionAccepted:
		return "", session.NotFoundf("%s has accepted it at %s, so group %s follows %s: to end that, leave the group out by except in the entry %s",
			all[i].By, session.Timestamp(all[i].Decided), all[i].GroupName, all[i].SourceName, all[i].Entry)
	case in.Accept && all[i].Entry == "":
		return "", session.NotFoundf("the policy does not want group %s to follow %s: the two only have the same name; add an entry to groups first",
			all[i].GroupName, all[i].SourceName)
	case in.Accept && all[i].Synced() && all[i].Linked:
		return "", session.NotFoundf("group %s was accepted at Atlassian already, and is otherwise than was shown: correct it in the source %s or by the identity provider, or reject to leave it as it is",
			all[i].GroupName, all[i].Source)
	case in.Accept && all[i].Synced():
		return "", session.NotFoundf("group %s is Atlassian's own, and the synced group of that name is accepted in admin.atlassian.com, where the source's members replace those of it: approve the provision's hold group-conflict first; or write as: local in the entry %s to have it follow",
			all[i].GroupName, all[i].Entry)
	case in.Accept && !all[i].Fit:
		return "", session.NotFoundf("group %s cannot follow %s, whatever is decided: the finding group-unfit says why",
			all[i].GroupName, all[i].SourceName)
	}
	if !in.Accept {
		c, err := s.Ledger.RejectConflict(ctx, in.Org, in.Conflict, in.By, in.Note, s.Now())
		return c.GroupName, conflictError(err)
	}
	outline, known, err := s.LatestOutline(ctx)
	if err != nil {
		return "", err
	}
	if known {
		if outline.Groups, err = s.WithSourceGroups(ctx, outline.Groups); err != nil {
			return "", err
		}
	}
	gone := session.UnfollowedGroups(s.Bound(outline), outline.Last)
	c, err := s.Ledger.AcceptConflict(ctx, in.Org, in.Conflict, gone, in.By, in.Note, s.Now())
	return c.GroupName, conflictError(err)
}

// conflictError tells what can be done about a decision that was not recorded.
func conflictError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrNotOpen):
		return session.NonRetryable(session.ErrNotOpen,
			fmt.Errorf("the difference has changed meanwhile: look at it again before you decide: %w", err))
	case errors.Is(err, ledger.ErrGroupTaken):
		return session.NonRetryable(session.ErrRefused, err)
	}
	return err
}
