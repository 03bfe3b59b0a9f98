package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
)

// beginGroup takes over the group, if that is asked for, or returns the line that asks for its creation. One that an
// earlier attempt made is found.
func (c *groupChange) beginGroup(ctx context.Context) (create *access.Change, err error) {
	target := access.SCIMGroupExists(c.in.Provision, c.in.Group)
	for _, action := range []access.Action{access.Adopt, access.Add} {
		lines, err := c.begin(ctx, target, action, "", 1)
		c.result.After, c.result.More = "", false
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			if why := c.moot(); why != "" {
				return nil, c.end(ctx, lines, access.Superseded, why)
			}
			if line.State == access.Sent && action == access.Add {
				if err := c.find(ctx); err != nil {
					return nil, session.WrapSCIMError("find group "+c.in.Group+" after a lost answer", err)
				}
			}
			switch g := c.group; {
			case g == nil, !consented(without(g.Holds, identity.HoldGroupTakeover), line):
				return nil, c.end(ctx, lines, access.Superseded, decidedOtherwise)
			case g.Action == identity.TakeGroup && (action == access.Adopt && line.GroupID == string(g.Group) ||
				line.State == access.Sent):
				answer := "follows " + g.SourceName + " from now on; nothing is written to Atlassian"
				if action == access.Add {
					answer = "made by an earlier attempt, found on reading back"
				}
				return nil, c.bound(ctx, line, string(g.Group), answer)
			case g.Action == identity.CreateGroup && action == access.Add:
				return &line, nil
			}
			return nil, c.end(ctx, lines, access.Superseded, decidedOtherwise)
		}
	}
	return nil, nil
}

func without(holds []identity.Hold, one identity.Hold) []identity.Hold {
	return slices.DeleteFunc(slices.Clone(holds), func(h identity.Hold) bool { return h == one })
}

// find looks for the group by its name, and decides again.
func (c *groupChange) find(ctx context.Context) error {
	page, err := c.SCIM.Groups(ctx, scim.GroupQuery{DisplayName: c.in.Group})
	if err != nil {
		return err
	}
	for _, g := range page.Items {
		if err := c.KeepGroup(ctx, g); err != nil {
			return err
		}
	}
	return c.decide(ctx)
}

// create makes the group with its first members.
func (c *groupChange) create(ctx context.Context, line access.Change, first []groupMember) error {
	g, err := scim.NewWriter(c.SCIM).CreateGroup(ctx, scim.Group{DisplayName: c.group.Name, ExternalID: c.group.Key,
		MemberIDs: recordsOf(first)})
	switch {
	case errors.Is(err, scim.ErrNameTaken):
		return c.taken(ctx, line, changesOf(first), err)
	case tooMany(err) && len(first) > 0: // make it empty, and add them in smaller numbers
		if err := c.create(ctx, line, nil); err != nil {
			return err
		}
		return c.write(ctx, first)
	case errors.Is(err, scim.ErrInvalid), errors.Is(err, scim.ErrConflict):
		return errors.Join(c.end(ctx, []access.Change{line}, access.Refused, session.ErrorText(err)),
			c.end(ctx, changesOf(first), access.Superseded, "the group could not be made; it is decided again"))
	case outcomeUnknown(err):
		return c.settle(ctx, []access.Change{line}, err) // all lines stay Sent
	case err != nil:
		return c.unsent(ctx, changesOf(first), c.settle(ctx, []access.Change{line}, err))
	}
	if err := c.KeepGroup(ctx, g); err != nil {
		return err
	}
	if err := c.bound(ctx, line, g.ID, "accepted"); err != nil {
		return err
	}
	return c.record(ctx, first, g)
}

// bound records that the group follows its source from now on, in place of one that it replaces, and ends the line.
func (c *groupChange) bound(ctx context.Context, line access.Change, id, answer string) error {
	var former, formerName string
	for _, d := range c.groups.All {
		if d.Ref == c.group.Ref && d.Action == identity.DeleteGroup && d.Successor == c.group.Name {
			former, formerName = string(d.Group), d.Name
		}
	}
	by := "provision " + c.Spec.Name
	if err := c.BindGroup(ctx, c.group, id, former, formerName, by, c.Now()); err != nil {
		return err
	}
	if err := c.end(ctx, []access.Change{line}, access.Done, answer); err != nil {
		return err
	}
	return c.decide(ctx)
}

// taken finds out which group has the name that was refused: one of the directory's is taken over by a later run, and
// any other stands in the way.
func (c *groupChange) taken(ctx context.Context, line access.Change, first []access.Change, refusal error) error {
	if err := c.find(ctx); err != nil {
		return session.WrapSCIMError("find out who has the name of group "+c.in.Group, err)
	}
	all := append(slices.Clone(first), line)
	if c.group != nil && c.group.Group != "" {
		return c.end(ctx, all, access.Superseded, "a group of that name is there by now; it is decided again")
	}
	return errors.Join(c.end(ctx, []access.Change{line}, access.Refused,
		"the directory says that the name is taken, and has no such group: another group of the organization stands in the way; rename or delete that one, or write as: local. "+session.ErrorText(refusal)),
		c.end(ctx, first, access.Superseded, "the group could not be made; it is decided again"))
}

// delete deletes the group, and ends the lines of everybody who was in it, if it is as somebody approved.
func (c *groupChange) delete(ctx context.Context) error {
	lines, err := c.begin(ctx, access.SCIMGroupExists(c.in.Provision, c.in.Group), access.Remove, "", 1)
	c.result.After, c.result.More = "", false
	if err != nil || len(lines) == 0 {
		return err
	}
	members, err := c.withGroup(ctx)
	if err != nil {
		return c.unsent(ctx, lines, err)
	}
	all := append(slices.Clone(members), lines...)
	if why := c.moot(); why != "" {
		return c.end(ctx, all, access.Superseded, why)
	}
	line := lines[0]
	if line.State == access.Sent && c.group == nil { // an earlier attempt deleted it
		return c.deleted(ctx, all, line.GroupID)
	}
	if c.group == nil || c.group.Action != identity.DeleteGroup || string(c.group.Group) != line.GroupID ||
		!consented(c.group.Holds, line) {
		return c.end(ctx, all, access.Superseded, decidedOtherwise)
	}
	why, gone, err := c.differs(ctx, members)
	switch {
	case err != nil:
		return c.unsent(ctx, lines, session.WrapSCIMError("read group "+c.in.Group+" before it is deleted", err))
	case gone:
		return c.deleted(ctx, all, line.GroupID)
	case why != "":
		return c.end(ctx, all, access.Superseded, why)
	}
	if err := scim.NewWriter(c.SCIM).DeleteGroup(ctx, line.GroupID); err != nil && !errors.Is(err, scim.ErrNotFound) {
		return c.settle(ctx, lines, err)
	}
	return c.deleted(ctx, all, line.GroupID)
}

// withGroup returns the open lines of those who leave the group by its deletion.
func (c *groupChange) withGroup(ctx context.Context) (members []access.Change, err error) {
	of := ledger.GroupWork{Target: access.SCIMGroupTarget(c.in.Provision, c.in.Group), Action: access.Remove}
	for after := ""; ; {
		lines, err := c.Ledger.GroupLines(ctx, c.Org, c.in.Run, of, c.in.Approved, after, session.LinesAtOnce)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			if access.LeavesWithGroup(line) {
				members = append(members, line)
			}
			after = line.Person
		}
		if len(lines) < session.LinesAtOnce {
			return members, nil
		}
	}
}

// differs reads the group and returns why it may not be deleted as somebody approved it; "" if it may. gone: it is not
// there any more.
func (c *groupChange) differs(ctx context.Context, approved []access.Change) (why string, gone bool, err error) {
	id := string(c.group.Group)
	g, err := c.SCIM.Group(ctx, id)
	if errors.Is(err, scim.ErrNotFound) {
		return "", true, nil
	}
	if err != nil {
		return "", false, err
	}
	if err := c.KeepGroup(ctx, g); err != nil {
		return "", false, err
	}
	shown := map[string]bool{}
	for _, line := range approved {
		if len(line.Sources) > 0 {
			shown[session.RecordOfSource(line.Sources[0])] = true
		}
	}
	if !slices.Contains(c.group.Holds, identity.HoldGroupDropped) {
		for _, record := range g.MemberIDs {
			if !shown[record] {
				return "somebody is in the group who was not in the plan; it is decided again", false, nil
			}
		}
	}
	if c.group.Successor == "" {
		return "", false, nil
	}
	why, err = c.unready(ctx, g)
	return why, false, err
}

// unready returns why nobody may lose a group that is replaced yet; "" once its successor has its people and opens all
// that it opens.
func (c *groupChange) unready(ctx context.Context, former scim.Group) (string, error) {
	next := c.groups.Named(c.group.Successor)
	if next == nil || next.Group == "" {
		return "its successor " + c.group.Successor + " is not there yet; it is decided again", nil
	}
	g, err := c.SCIM.Group(ctx, string(next.Group))
	if err != nil {
		return "", err
	}
	strays, err := c.Ledger.StrayMembers(ctx, c.Org, c.Spec.Name, "", c.Spec.Directory.ID, former.ID, 0)
	if err != nil {
		return "", err
	}
	for _, record := range former.MemberIDs {
		nobodys := slices.ContainsFunc(strays, func(r ledger.Record) bool { return r.ID == record })
		if !nobodys && !slices.Contains(g.MemberIDs, record) {
			return "its successor " + next.Name + " does not have everybody of it yet; it is decided again", nil
		}
	}
	lacks, err := c.LacksRoles(ctx, former.DisplayName, next.Name)
	if err != nil || lacks == "" {
		return "", err
	}
	return fmt.Sprintf("%s: give it to %s in admin.atlassian.com, and this is asked for again", lacks, next.Name), nil
}

// deleted records that the group is gone, and everybody with it.
func (c *groupChange) deleted(ctx context.Context, lines []access.Change, id string) error {
	if err := c.Ledger.DirectoryGroupGone(ctx, c.Org, c.Spec.Directory.ID, id); err != nil {
		return err
	}
	if err := c.Ledger.UnbindGroup(ctx, c.Org, c.Spec.Name, id, "provision "+c.Spec.Name, c.Now()); err != nil {
		return err
	}
	return c.end(ctx, lines, access.Done, "accepted")
}
