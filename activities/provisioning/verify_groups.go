package provisioning

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
)

// groupLines are the lines of one group that were done and not seen so since.
type groupLines struct {
	made, deleted []access.Change
	joined, left  []access.Change
}

// verifyGroups reads the directory's groups that the run changed once more, and compares them with its lines. A new
// group must also be shown by the organization: Atlassian accepts some names and never shows their groups.
//
// Calls: those of a read of all groups, and one for a hundred new ones.
func (v *verification) verifyGroups(ctx context.Context) ([]access.Finding, error) {
	changed, err := v.changedGroups(ctx)
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	there := map[string]scim.Group{}
	if err := v.EachDirectoryGroup(ctx, func(page []scim.Group) error {
		for _, g := range page {
			if changed[access.Fold(g.DisplayName)] == nil {
				continue
			}
			there[access.Fold(g.DisplayName)] = g
			if err := v.KeepGroup(ctx, g); err != nil {
				return err
			}
		}
		activity.RecordHeartbeat(ctx, v.result)
		return nil
	}); err != nil {
		return nil, session.WrapSCIMError("read back groups of SCIM directory "+v.Spec.Directory.ID, err)
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		g, is := there[name]
		if err := v.compareGroup(ctx, changed[name], g, is); err != nil {
			return nil, err
		}
	}
	return v.shownGroups(ctx, changed)
}

// changedGroups returns the lines of groups that were done and not seen so since, by folded name of the group.
func (v *verification) changedGroups(ctx context.Context) (map[string]*groupLines, error) {
	changed := map[string]*groupLines{}
	err := v.EachLine(ctx, v.run, []access.ChangeState{access.Done}, func(c access.Change) error {
		provision, group := access.SCIMGroupOf(c.Target)
		if provision != v.Spec.Name {
			return nil
		}
		if c.Verified {
			v.result.Verified++
			return nil
		}
		name := access.Fold(group)
		if changed[name] == nil {
			changed[name] = &groupLines{}
		}
		switch l := changed[name]; {
		case c.Target.Kind() == access.KindSCIMGroupExists && c.Action == access.Remove:
			l.deleted = append(l.deleted, c)
		case c.Target.Kind() == access.KindSCIMGroupExists:
			l.made = append(l.made, c)
		case c.Action == access.Add:
			l.joined = append(l.joined, c)
		default:
			l.left = append(l.left, c)
		}
		return nil
	})
	return changed, err
}

// compareGroup compares a group, as it was just read, with what its lines say.
func (v *verification) compareGroup(ctx context.Context, l *groupLines, g scim.Group, there bool) error {
	var verified []access.Change
	if !there {
		verified = slices.Concat(l.deleted, l.left)
		v.result.Unverified += len(l.joined)
	} else {
		v.result.Unverified += len(l.deleted)
		lines := append(slices.Clone(l.joined), l.left...)
		records, err := v.recordsOf(ctx, lines)
		if err != nil {
			return err
		}
		for n, line := range lines {
			if records[n] != "" && slices.Contains(g.MemberIDs, records[n]) == (line.Action == access.Add) {
				verified = append(verified, line)
			} else {
				v.result.Unverified++
			}
		}
	}
	v.result.Verified += len(verified)
	return v.Ledger.Verified(ctx, v.Org, v.run, verified)
}

// recordsOf returns the records that lines of members are about; "" where there is none.
func (v *verification) recordsOf(ctx context.Context, lines []access.Change) ([]string, error) {
	records := make([]string, len(lines))
	for n, some := range session.Chunks(lines, session.LinesAtOnce) {
		var refs []ledger.Ref
		for _, line := range some {
			refs = append(refs, ledger.ReadRef(line.Sources[0]))
		}
		bound, err := v.Ledger.Bindings(ctx, v.Org, v.Spec.Name, refs)
		if err != nil {
			return nil, err
		}
		for i, ref := range refs {
			at := n*session.LinesAtOnce + i
			if records[at] = session.RecordOfSource(some[i].Sources[0]); records[at] == "" {
				records[at] = bound[ref].Record
			}
		}
	}
	return records, nil
}

// shownGroups sees which of the new groups the organization shows.
func (v *verification) shownGroups(ctx context.Context, changed map[string]*groupLines) (findings []access.Finding,
	err error) {
	var names []string
	for _, l := range changed {
		for _, line := range l.made {
			_, group := access.SCIMGroupOf(line.Target)
			names = append(names, group)
		}
	}
	slices.Sort(names)
	shown := map[string]access.Group{}
	for _, some := range session.Chunks(names, session.MostEmails) {
		groups, err := v.ReadGroups(ctx, organization.GroupQuery{Names: some, Limit: session.PageSize,
			Expand: []string{"counts.users"}})
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			shown[access.Fold(g.Name)] = g
		}
	}
	var verified []access.Change
	for _, name := range names {
		g, known := shown[access.Fold(name)]
		switch {
		case known && g.Synced:
			verified = append(verified, changed[access.Fold(name)].made...)
			continue
		case known:
			findings = append(findings, access.Finding{Rule: string(identity.FindGroupConflict), Subject: name,
				Detail: fmt.Sprintf("Atlassian shows a group of its own of that name, with %d members: if it is a default group, the synced one never appears; otherwise it waits until a person accepts it in admin.atlassian.com",
					g.Users)})
		default:
			findings = append(findings, access.Finding{Rule: string(identity.FindGroupDropped), Subject: name,
				Detail: "Atlassian accepted the group and does not show it: at times it takes a few minutes; the names of default and built-in groups never appear. The next run tells"})
		}
		v.result.Unverified++
	}
	v.result.Verified += len(verified)
	return findings, v.Ledger.Verified(ctx, v.Org, v.run, verified)
}
