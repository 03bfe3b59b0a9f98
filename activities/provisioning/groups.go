package provisioning

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
)

// readGroups reads all groups of the directory, with their members, into the ledger's replica, if the provision has
// any.
//
// Calls: groups/100, more where they are very large, and one for each group that is missing.
func (r *reader) readGroups(ctx context.Context) error {
	has, err := r.HasGroups(ctx)
	if err != nil || !has {
		return err
	}
	known, err := r.Ledger.DirectoryGroupDigests(ctx, r.Org, r.directory)
	if err != nil {
		return err
	}
	err = r.EachDirectoryGroup(ctx, func(page []scim.Group) error {
		var changed []ledger.DirectoryGroup
		for _, g := range page {
			row := session.DirectoryGroupOf(g)
			if known[row.ID] != row.Digest {
				changed = append(changed, row)
			}
			delete(known, row.ID)
		}
		activity.RecordHeartbeat(ctx, r.records)
		return r.Ledger.SaveDirectoryGroups(ctx, r.Org, r.directory, changed, r.Now())
	})
	if err != nil {
		return err
	}
	for _, id := range session.SortedKeys(known) { // moved to an earlier page during the read, or gone
		g, err := r.SCIM.Group(ctx, id)
		switch {
		case errors.Is(err, scim.ErrNotFound):
			err = r.Ledger.DirectoryGroupGone(ctx, r.Org, r.directory, id)
		case err == nil:
			err = r.KeepGroup(ctx, g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// memberships adds to a page the lines of the groups that its people join and leave, given the decisions about their
// records.
func (d *decider) memberships(ctx context.Context, page *ledger.Page, people []decided,
	known map[string]ledger.PersonState) error {
	if d.groups == nil {
		return nil
	}
	var records []string
	for _, p := range people {
		if p.decision.Record != "" {
			records = append(records, string(p.decision.Record))
		}
	}
	in, err := d.Ledger.DirectoryGroupsOf(ctx, d.Org, d.Spec.Directory.ID, records)
	if err != nil {
		return err
	}
	for _, p := range people {
		m := member{decided: p, account: known[string(p.decision.Account)], unnamed: known[p.person.Lead.String()]}
		for _, id := range in[string(p.decision.Record)] {
			m.in = append(m.in, identity.GroupID(id))
		}
		d.membershipsOf(page, m)
	}
	return nil
}

// decided is somebody and what was decided about their record.
type decided struct {
	person   session.Candidate
	decision identity.Decision
}

// member is somebody and what is known of their memberships in the directory's groups.
type member struct {
	decided
	in               []identity.GroupID
	account, unnamed ledger.PersonState // by the account, and by the identity from before there was one
}

// rejected returns what somebody rejected of the person's changes.
func (m member) rejected() []access.Change {
	return slices.Concat(m.account.Rejected, m.unnamed.Rejected)
}

// membershipsOf adds the lines of one person.
func (d *decider) membershipsOf(page *ledger.Page, m member) {
	own := func(group string) bool {
		_, is := session.OwnMembership(access.SCIMGroupTarget(d.Spec.Name, group), m.account, m.unnamed)
		return is
	}
	decision := d.Decide.Memberships(m.person.Person, m.decision, m.in, own, d.groups.GroupSet)
	lines := map[access.Entitlement]access.Change{}
	for _, j := range decision.Joins {
		line := d.MembershipLine(m.person, m.decision, j, access.Add)
		lines[line.Target] = line
	}
	for _, l := range decision.Leaves {
		line := d.MembershipLine(m.person, m.decision, l, access.Remove)
		if h, is := session.OwnMembership(line.Target, m.account, m.unnamed); is {
			line.Reasons = h.Reasons
		}
		line.Loses = d.groups.Loses(l.Name, staying(m.in, decision.Leaves), m.account.Holdings)
		lines[line.Target] = line
	}
	for _, l := range decision.Doubted {
		page.Notes.Add(noteDoubted, l.Source)
	}
	for _, r := range m.rejected() {
		line, asks := lines[r.Target]
		switch {
		case r.Target.Kind() != access.KindSCIMGroup || access.LeavesWithGroup(r):
		case asks && sameChange(r, line):
			delete(lines, r.Target)
			page.Suppressed++
		case access.ProvisionOf(r.Target) == d.Spec.Name:
			page.Lift = append(page.Lift, r) // nothing asks for it any more
		}
	}
	for _, target := range slices.Sorted(maps.Keys(lines)) {
		line := lines[target]
		if d.Decide.Observe {
			line.State = access.Observed
		}
		page.Changes = append(page.Changes, line)
	}
	if d.adopted && !d.in.Preview && !d.Decide.Observe {
		d.explain(page, m, decision.Stays)
	}
}

// staying returns the groups that somebody stays in.
func staying(in []identity.GroupID, leaves []identity.Membership) []identity.GroupID {
	return slices.DeleteFunc(slices.Clone(in), func(id identity.GroupID) bool {
		return slices.ContainsFunc(leaves, func(l identity.Membership) bool { return l.Group == id })
	})
}

// explain records that somebody is in groups for a reason of the source's: from then on they leave when it ends.
func (d *decider) explain(page *ledger.Page, m member, stays []identity.Membership) {
	for _, s := range stays {
		if s.Action == identity.TakeGroup {
			continue // nothing of it is Castellan's yet
		}
		line := d.MembershipLine(m.person, m.decision, s, access.Add)
		page.Open = append(page.Open, access.Holding{Person: line.Person, Target: line.Target, Owned: true,
			Reasons: line.Reasons, From: d.Now()})
	}
}

// decideGroups adds the lines of groups as a whole: which are made, taken over, and deleted with all their members; and
// those of members who are nobody of the sources. A run about a few identities makes the groups that they join, and
// leaves all else to the next run over everybody.
func (d *decider) decideGroups(ctx context.Context) error {
	if d.groups == nil {
		return nil
	}
	page := ledger.Page{Key: "groups", Notes: ledger.Notes{}, Observe: true}
	few := len(d.in.Identities) > 0
	for n := range d.groups.All {
		g := &d.groups.All[n]
		line, asks := d.GroupLine(g)
		if few && (g.Action != identity.CreateGroup || slices.Contains(g.Holds, identity.HoldGroupReplace)) {
			continue
		}
		if asks {
			if err := d.addGroup(ctx, &page, g, line); err != nil {
				return err
			}
		}
		if !few && !d.in.Preview && g.Leaves {
			if err := d.addStrays(ctx, &page, g); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(page.Changes, func(a, b access.Change) int { return strings.Compare(a.Person, b.Person) })
	return d.Ledger.SavePage(ctx, d.Org, d.in.Run, page, d.Now())
}

// addGroup adds the line of a group, and, if it is to be deleted, those of everybody who is in it.
func (d *decider) addGroup(ctx context.Context, page *ledger.Page, g *identity.GroupDecision,
	line access.Change) error {
	states, err := d.Ledger.States(ctx, d.Org, []string{line.Person}, d.Now())
	if err != nil {
		return err
	}
	if slices.ContainsFunc(states[line.Person].Rejected, func(r access.Change) bool {
		return sameChange(r, line) && r.GroupID == line.GroupID
	}) {
		page.Suppressed++
		return nil
	}
	if d.Decide.Observe {
		line.State = access.Observed
	}
	page.Changes = append(page.Changes, line)
	if g.Action != identity.DeleteGroup || slices.Contains(g.Holds, identity.HoldGroupDropped) {
		return nil // whoever is in a group that is never shown loses nothing
	}
	members, err := d.Ledger.DirectoryMembers(ctx, d.Org, d.Spec.Directory.ID, string(g.Group))
	if err != nil {
		return err
	}
	for _, some := range session.Chunks(members, session.LinesAtOnce) {
		lines, err := d.leavers(ctx, g, some)
		if err != nil {
			return err
		}
		page.Changes = append(page.Changes, lines...)
		activity.RecordHeartbeat(ctx, d.result.People)
	}
	return nil
}

// leavers are the lines of members of a group that is to be deleted.
func (d *decider) leavers(ctx context.Context, g *identity.GroupDecision, members []string) (lines []access.Change,
	err error) {
	records, err := d.Ledger.FindRecords(ctx, d.Org, d.Spec.Directory.ID, ledger.RecordQuery{IDs: members})
	if err != nil {
		return nil, err
	}
	var accounts []string
	for _, r := range records {
		accounts = append(accounts, r.Account)
	}
	states, err := d.Ledger.States(ctx, d.Org, accounts, d.Now())
	if err != nil {
		return nil, err
	}
	in, err := d.Ledger.DirectoryGroupsOf(ctx, d.Org, d.Spec.Directory.ID, members)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		line := session.WithGroup(d.strayLine(g, r), g.Group)
		var stays []identity.GroupID
		for _, id := range in[r.ID] {
			if id != string(g.Group) {
				stays = append(stays, identity.GroupID(id))
			}
		}
		line.HeldBy = session.HeldBy(g.Holds)
		line.Loses = d.groups.Loses(g.Name, stays, states[r.Account].Holdings)
		lines = append(lines, line)
	}
	return lines, nil
}

// strayLine is the change by which a record leaves a group, whoever it belongs to.
func (d *decider) strayLine(g *identity.GroupDecision, r ledger.Record) access.Change {
	line, _ := d.GroupLine(g)
	line.Action, line.Target, line.GroupID = access.Remove, access.SCIMGroupTarget(d.Spec.Name, g.Name), ""
	line.Sources = []string{session.RecordSource(r.ID), access.SourceGroupID(g.Source, g.Key)}
	if line.Person, line.Email = r.Account, r.Address; line.Person == "" {
		line.Person = session.RecordSource(r.ID)
	}
	return line
}

// mostStrays is how many members of a group are reported who are nobody of the sources.
const mostStrays = 1000

// addStrays adds the lines of members of a group whose records are nobody's in the sources: somebody else put them
// there. They always wait for a decision.
func (d *decider) addStrays(ctx context.Context, page *ledger.Page, g *identity.GroupDecision) error {
	if g.Group == "" || g.Action == identity.DeleteGroup || g.Doubted {
		return nil
	}
	records, err := d.Ledger.StrayMembers(ctx, d.Org, d.Spec.Name, d.in.Run, d.Spec.Directory.ID, string(g.Group),
		mostStrays)
	if err != nil {
		return err
	}
	for _, r := range records {
		line := d.strayLine(g, r)
		line.HeldBy = session.HeldBy([]identity.Hold{identity.HoldStrayMember})
		states, err := d.Ledger.States(ctx, d.Org, []string{line.Person}, d.Now())
		if err != nil {
			return err
		}
		if slices.ContainsFunc(states[line.Person].Rejected,
			func(c access.Change) bool { return sameChange(c, line) }) {
			page.Suppressed++
			continue
		}
		line.Loses = d.groups.Loses(g.Name, nil, states[line.Person].Holdings)
		page.Changes = append(page.Changes, line)
	}
	return nil
}

// groupFindings are what was found about groups as a whole.
func groupFindings(groups *session.Groups) (findings []access.Finding) {
	if groups == nil {
		return nil
	}
	for _, g := range groups.All {
		for _, n := range g.Notes {
			findings = append(findings, access.Finding{Rule: string(n.Finding), Subject: g.Name, Detail: n.Detail})
		}
	}
	return findings
}

// groupRules explain what is held of groups as a whole, each by its name.
func groupRules(groups *session.Groups) (all []ledger.HoldRule) {
	if groups == nil {
		return nil
	}
	for _, g := range groups.All {
		for _, h := range g.Holds {
			detail := h.Explain()
			if g.Action == identity.DeleteGroup {
				opens := "it opens no app that is known"
				if apps := groups.Opens(g.Name); len(apps) > 0 {
					opens = "it opens " + strings.Join(apps, ", ")
				}
				detail = fmt.Sprintf("group %s of %s would be deleted with its %d members; %s. %s", g.Name, g.SourceName,
					groups.Counts[g.Group], opens, detail)
			}
			all = append(all, ledger.HoldRule{Rule: string(h), Scope: "group " + g.Name, Detail: detail})
		}
	}
	return all
}
