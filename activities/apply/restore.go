package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
)

// applyRestore makes one change of the restore of a lost group: the group itself, one of its app roles, or one of its
// memberships. Each is read just before, and a member decided again: a restore gives nothing that is denied by now. A
// repeat finds what an earlier attempt did.
//
// Calls: one write after one or two reads.
func (s *Session) applyRestore(ctx context.Context, in ChangeInput) (ChangeResult, error) {
	line, err := s.Ledger.BeginChange(ctx, in.Org, in.Run, in.Person, in.Target, s.Now())
	switch {
	case err != nil:
		return ChangeResult{}, err
	case !line.State.Open():
		return ChangeResult{State: line.State, Answer: line.Answer}, nil
	case line.State == access.Held:
		return ChangeResult{}, session.NonRetryable(session.ErrPolicy,
			fmt.Errorf("%s is held; nothing held is ever written", line.Label()))
	}
	run, err := s.Ledger.Run(ctx, in.Org, in.Run)
	if err != nil {
		return ChangeResult{}, s.unsent(ctx, in.Run, line, err)
	}
	if line.State == access.Planned && run.Policy != s.Current {
		return s.end(ctx, in.Run, line, access.Superseded,
			"another policy is in force by now than that of the preview: start the restore again")
	}
	name, _ := access.RestoreOf(in.Target)
	role, resource, ofRole := access.GroupRoleOf(in.Target)
	switch {
	case ofRole:
		return s.restoreRole(ctx, in.Run, line, role, resource)
	case slices.Contains(line.Sources, line.Person):
		return s.restoreGroup(ctx, in.Run, line, name)
	default:
		return s.restoreMember(ctx, in.Run, line, name)
	}
}

// restoreGroup makes the group. The response to a creation has no id, and the name takes a second or two to be found:
// until then the line stays sent.
func (s *Session) restoreGroup(ctx context.Context, run string, line access.Change, name string) (ChangeResult, error) {
	find := func() ([]access.Group, error) {
		return s.ReadGroups(ctx, organization.GroupQuery{Names: []string{name}, Limit: session.PageSize})
	}
	found, err := find()
	if err != nil {
		return ChangeResult{}, s.unsent(ctx, run, line, err)
	}
	if len(found) == 0 {
		if err := s.createGroup(ctx, run, name); err != nil {
			if errors.Is(err, organization.ErrOutcomeUnknown) {
				return ChangeResult{}, err
			}
			return s.settle(ctx, run, line, err)
		}
		if found, err = find(); err != nil {
			return ChangeResult{}, err
		}
	} else if line.State == access.Planned {
		return s.end(ctx, run, line, access.Refused,
			"a group of that name has been made since the preview: start the restore again, to add only what it lacks")
	}
	if len(found) == 0 {
		return ChangeResult{}, session.Benign(2*time.Second,
			fmt.Errorf("organization %s: group %s was just created and is not visible yet; looking again", s.Org, name))
	}
	if err := s.Ledger.GroupMade(ctx, s.Org, run, found[0].ID); err != nil {
		return ChangeResult{}, err
	}
	return s.end(ctx, run, line, access.Done, "made, with id "+found[0].ID)
}

// restoreRole gives the group a role, unless it gives it already.
func (s *Session) restoreRole(ctx context.Context, run string, line access.Change, role, resource string) (ChangeResult,
	error) {
	if line.GroupID == "" {
		return s.end(ctx, run, line, access.Refused, "the group was not made")
	}
	gives := func() (bool, error) {
		roles, err := s.GroupRoles(ctx, []string{line.GroupID})
		return slices.ContainsFunc(roles, func(r access.RoleAssignment) bool {
			return r.Role == role && r.Resource == resource
		}), err
	}
	already := func() (ChangeResult, error) {
		if line.State == access.Sent {
			return s.end(ctx, run, line, access.Done, "done by an earlier attempt, found on reading back")
		}
		return s.end(ctx, run, line, access.Already, "the group gives the role already")
	}
	is, err := gives()
	if err != nil {
		return ChangeResult{}, s.unsent(ctx, run, line, err)
	}
	if is {
		return already()
	}
	err = s.writer().AssignGroupRole(ctx, s.Directory, line.GroupID, role, resource)
	if errors.Is(err, organization.ErrConflict) || errors.Is(err, organization.ErrAlreadyMember) {
		if is, failed := gives(); failed != nil {
			return ChangeResult{}, s.unsent(ctx, run, line, failed)
		} else if is {
			return already()
		}
		return s.end(ctx, run, line, access.Shortage,
			"refused by a conflict, most likely the app's licence limit: "+session.ErrorText(err))
	}
	return s.settle(ctx, run, line, err)
}

// restoreMember adds a person to the group, if nothing speaks against it now.
func (s *Session) restoreMember(ctx context.Context, run string, line access.Change, name string) (ChangeResult,
	error) {
	if line.GroupID == "" {
		return s.end(ctx, run, line, access.Refused, "the group was not made")
	}
	read, err := s.Search(ctx, organization.UserQuery{AccountIDs: []string{line.Person}, Limit: 1, Expand: s.Expand()})
	if err != nil {
		return ChangeResult{}, s.unsent(ctx, run, line, err)
	}
	decided, err := groups.NewReadmissions(ctx, s.Session, name, read)
	if err != nil {
		return ChangeResult{}, s.unsent(ctx, run, line, err)
	}
	var p access.Person
	if len(read) == 1 {
		p = read[0]
	}
	again := decided.Of(p)
	why := again.Refuse()
	switch {
	case p.InGroup(line.GroupID) && line.State == access.Sent:
		return s.end(ctx, run, line, access.Done, "done by an earlier attempt, found on reading back")
	case p.InGroup(line.GroupID):
		return s.end(ctx, run, line, access.Already, "already a member")
	case why != "":
		return s.end(ctx, run, line, access.Refused, why)
	}
	if most := again.AtMost(); most > 0 {
		now, err := s.ReadGroups(ctx, organization.GroupQuery{GroupIDs: []string{line.GroupID}, Limit: 1,
			Expand: []string{organization.ExpandUserCount}})
		switch {
		case err != nil:
			return ChangeResult{}, s.unsent(ctx, run, line, err)
		case len(now) == 1 && now[0].Users >= most:
			return s.end(ctx, run, line, access.Refused,
				fmt.Sprintf("the policy has at most %d in it (protected.maximum)", most))
		}
	}
	return s.settle(ctx, run, line, s.writer().AddMember(ctx, s.Directory, line.GroupID, line.Person))
}
