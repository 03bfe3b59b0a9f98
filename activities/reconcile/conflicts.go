package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/provision"
)

// comparePairs adds to a page where somebody is in one group of a pair and not in the other, and counts what else tells
// whether the two are the same group.
func (d *pageDecision) comparePairs(p access.Person, decision plan.Decision) {
	leaving := slices.Clone(decision.Kept)
	for _, c := range decision.Changes {
		if c.Action == access.Remove {
			leaving = append(leaving, c.Target)
		}
	}
	pairs := d.bound.Pairs()
	for _, one := range d.bound.Compare(p, decision.Unexplained, leaving) {
		pair := pairs[one.Pair]
		switch one.Is {
		case policy.PairCommon, policy.PairUnsure:
			if !pair.Linked {
				d.page.Notes.Add(notePair, string(one.Is), pair.Source, pair.Group)
			}
		default:
			source, key := access.SourceGroupRef(pair.Source)
			d.page.Differences = append(d.page.Differences, ledger.GroupDifference{Source: source, Key: key,
				GroupID: pair.Group, Person: p.ID, Missing: one.Is == policy.PairMissing})
		}
	}
}

// conflicts compares the groups of sources with their counterparts at Atlassian, as the sweep saw both. Those whose
// members prove that they are the same follow from now on; the others are conflicts, about which somebody decides. A
// group that the source's reads cannot vouch for is not linked.
func (j *judgement) conflicts(ctx context.Context) error {
	if len(j.Policy.Sources) == 0 {
		return nil
	}
	found, err := j.Ledger.Differences(ctx, j.Org, j.in.Run, j.bound.AppsOpenedBy)
	if err != nil {
		return err
	}
	equal := slices.Concat(j.bound.Pairs(), j.bound.SyncedPairs())
	for n := range found {
		i := slices.IndexFunc(equal, func(p policy.GroupPair) bool {
			return p.Source == access.SourceGroupID(found[n].Source, found[n].Key) && p.Group == found[n].GroupID
		})
		if i < 0 {
			continue // not of this outline
		}
		describe(&found[n], equal[i])
		equal = slices.Delete(equal, i, i+1)
	}
	found = slices.DeleteFunc(found, func(c ledger.GroupConflict) bool { return c.GroupName == "" })
	links, unproven, err := j.toLink(ctx, equal)
	if err != nil {
		return err
	}
	found, accepted, err := j.checkAccepted(ctx, append(found, unproven...))
	if err != nil {
		return err
	}
	if !j.in.Preview {
		gone := session.UnfollowedGroups(j.bound, j.outline.Last)
		if err := j.Ledger.LinkGroups(ctx, j.Org, links, gone, j.Now()); err != nil {
			return err
		}
		if found, err = j.Ledger.KeepConflicts(ctx, j.Org, j.in.Run, found, accepted, j.Now()); err != nil {
			return err
		}
	}
	var open []access.Finding
	for _, c := range found {
		if c.Open() {
			open = append(open, conflictFinding(j.Org, c))
		}
	}
	j.findings = append(j.findings, ofAll(open)...)
	return nil
}

func describe(c *ledger.GroupConflict, p policy.GroupPair) {
	c.SourceName, c.GroupName, c.Entry, c.Kind = p.SourceName, p.GroupName, p.Entry, string(p.As)
	c.Fit, c.Linked = p.Fit, p.Linked
}

// toLink tells apart, among pairs in which nobody differs, those that are linked by themselves, and those that prove
// nothing: a group that opens apps does not follow another just because both are empty, or because nobody knows who is
// in the other.
func (j *judgement) toLink(ctx context.Context, equal []policy.GroupPair) (links []ledger.GroupLink,
	unproven []ledger.GroupConflict, err error) {
	doubted, err := j.DoubtedSources(ctx)
	for _, p := range equal {
		source, key := access.SourceGroupRef(p.Source)
		if p.Entry == "" || p.As != provision.Local || !p.Fit || p.Linked || doubts(doubted, source) {
			continue
		}
		opens := j.bound.AppsOpenedBy(p.Group)
		common := j.notes.Of(notePair, string(policy.PairCommon), p.Source, p.Group)
		unsure := j.notes.Of(notePair, string(policy.PairUnsure), p.Source, p.Group)
		if unsure == 0 && (common > 0 || len(opens) == 0) {
			links = append(links, ledger.GroupLink{Source: source, Key: key, Name: p.SourceName, GroupID: p.Group})
			continue
		}
		c := ledger.UnprovenPair(source, key, p.Group, opens)
		c.Run = j.in.Run
		describe(&c, p)
		unproven = append(unproven, c)
	}
	return links, unproven, err
}

func doubts(doubted []plan.DoubtedSource, source string) bool {
	return slices.ContainsFunc(doubted, func(d plan.DoubtedSource) bool { return d.Name == source })
}

// acceptedPair is a synced group at Atlassian that a person accepted there in place of Atlassian's own, and what was
// shown of it before.
type acceptedPair struct {
	policy.GroupPair
	was     ledger.GroupConflict
	members map[string]ledger.AcceptedMember
}

// acceptedPairs returns the groups of a provision that were accepted at Atlassian since the last full verification, and
// those that it found otherwise than was shown; with what is known of people. What another directory made synced was
// accepted for that one, and is no business of this.
func (s *task) acceptedPairs(ctx context.Context, b *policy.Bound, people []string) (all []acceptedPair, err error) {
	pairs := b.SyncedPairs()
	if len(pairs) == 0 {
		return nil, nil
	}
	shown, err := s.Ledger.Conflicts(ctx, s.Org)
	if err != nil || !slices.ContainsFunc(shown, ledger.GroupConflict.Synced) {
		return nil, err
	}
	bound, err := s.Ledger.SyncedGroups(ctx, s.Org, "")
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		source, key := access.SourceGroupRef(p.Source)
		n := slices.IndexFunc(shown, func(c ledger.GroupConflict) bool {
			return c.Synced() && c.Source == source && c.Key == key && access.SameName(c.GroupName, p.GroupName)
		})
		g := slices.IndexFunc(bound, func(g ledger.SyncedGroup) bool {
			return g.Source == source && g.Key == key && !g.Unexplained && access.SameName(g.Name, p.GroupName)
		})
		if n < 0 || g < 0 {
			continue
		}
		directory := ""
		for _, one := range s.Policy.Provision {
			if one.Name == bound[g].Provision {
				directory = one.Directory.ID
			}
		}
		members, err := s.Ledger.AcceptedMembers(ctx, s.Org, directory, shown[n], people)
		if err != nil {
			return nil, err
		}
		all = append(all, acceptedPair{p, shown[n], members})
	}
	return all, nil
}

// compareAccepted adds to a page who is otherwise in a group that was accepted at Atlassian than was shown before.
func (d *pageDecision) compareAccepted(p access.Person) {
	for _, a := range d.accepted {
		if one, differs := a.differs(p); differs && !p.IsApp() {
			one.Source, one.Key = access.SourceGroupRef(a.Source)
			one.GroupID, one.Person = a.Group, p.ID
			d.page.Differences = append(d.page.Differences, one)
		}
	}
}

// differs compares how somebody is in the group with what was shown: the members of the source's group who have records
// join it, those who were shown as extra leave it, and nothing changes for anybody else. Once that was found otherwise,
// only those in whom it was are looked at: everybody else follows the source.
func (a acceptedPair) differs(p access.Person) (d ledger.GroupDifference, is bool) {
	m := a.members[p.ID]
	extra := m.Shown && !m.Missing && !m.Lost
	source, _ := access.SourceGroupRef(a.Source)
	in, at := p.InGroup(a.Source), p.InGroup(a.Group)
	unsure := slices.Contains(p.UnsureGroups, a.Source) || slices.Contains(p.UnsureSources, source)
	again := a.was.Linked
	switch {
	case unsure:
		return m.GroupDifference, again && m.Shown
	case in && at:
		return d, false
	case at:
		return d, extra || !again && !m.Before && !m.Missing
	case in:
		d.Missing = true
		return d, p.CanReceive() && (again && m.Shown || !again && (m.Before || m.Missing && m.Record))
	}
	d.Lost = true
	return d, m.Lost || !again && m.Removed && !m.Before && !m.Shown
}

// checkAccepted sees what became of groups that were accepted at Atlassian. One whose source cannot tell now stays as
// it was shown, until it can.
func (j *judgement) checkAccepted(ctx context.Context, found []ledger.GroupConflict) ([]ledger.GroupConflict,
	[]ledger.AcceptedGroup, error) {
	pairs, err := j.acceptedPairs(ctx, j.bound, nil)
	if err != nil || len(pairs) == 0 {
		return found, nil, err
	}
	doubted, err := j.DoubtedSources(ctx)
	if err != nil {
		return nil, nil, err
	}
	var accepted []ledger.AcceptedGroup
	for _, a := range pairs {
		n := slices.IndexFunc(found, func(c ledger.GroupConflict) bool {
			return c.Source == a.was.Source && c.Key == a.was.Key && c.GroupID == a.Group
		})
		one := ledger.AcceptedGroup{Shown: a.was}
		switch {
		case doubts(doubted, a.was.Source):
			if n >= 0 {
				found = slices.Delete(found, n, n+1)
			}
			found = append(found, a.was)
			continue
		case n >= 0 && a.was.Linked:
			continue // the chain says so already
		case n >= 0:
			one.Applied, one.Differ = ledger.AppliedOtherwise, found[n].Missing+found[n].Extra
		case a.was.Linked:
			one.Applied = ledger.AppliedCorrected
		default:
			one.Applied = ledger.AppliedAsShown
		}
		accepted = append(accepted, one)
	}
	return found, accepted, nil
}

func conflictFinding(org string, c ledger.GroupConflict) access.Finding {
	look := display.Starter("conflicts", org, c.GroupName)
	if c.Synced() && c.Linked {
		return access.Finding{Rule: "group-accepted-otherwise", Subject: c.GroupName, Detail: fmt.Sprintf(
			"it was accepted in admin.atlassian.com, and is otherwise than was shown before: of %d people, %d are not in it who were to be, or who lost it without having been shown, and %d are in it who were not to be; look at them with %s, which also says how to leave it so",
			c.Missing+c.Extra, c.Missing, c.Extra, look)}
	}
	detail := fmt.Sprintf(
		"it differs from %s of the source: %d people of the source's group are not in it, and %d are in it alone; look at them with %s, then accept or reject",
		c.SourceName, c.Missing, c.Extra, look)
	switch {
	case c.Synced():
		detail = fmt.Sprintf(
			"it is Atlassian's own, and %s of the source is to be a synced group of that name: %d people of the source's group are not in it, and %d are in it alone; look at them with %s before you accept the synced group in admin.atlassian.com, or reject",
			c.SourceName, c.Missing, c.Extra, look)
	case c.Missing+c.Extra == 0:
		detail = fmt.Sprintf(
			"that its members are those of %s of the source is not known, so only its name says that it is the same group; look at what it opens with %s, then accept or reject",
			c.SourceName, look)
	}
	return access.Finding{Rule: "group-conflict", Subject: c.GroupName, Detail: detail}
}

// uncompared reports whether a group of a source appeared that is to be followed by a group which is there already, and
// that no full verification has compared with it yet. A source that is doubted is left alone, since its groups are not
// linked.
func (s *task) uncompared(ctx context.Context, b *policy.Bound) (bool, error) {
	waits := slices.DeleteFunc(slices.Clone(b.Pairs()), func(p policy.GroupPair) bool {
		return p.Entry == "" || p.As != provision.Local || !p.Fit || p.Linked
	})
	if len(waits) == 0 {
		return false, nil
	}
	known, err := s.Ledger.Conflicts(ctx, s.Org)
	if err != nil {
		return false, err
	}
	doubted, err := s.DoubtedSources(ctx)
	return slices.ContainsFunc(waits, func(p policy.GroupPair) bool {
		source, key := access.SourceGroupRef(p.Source)
		return !doubts(doubted, source) && !slices.ContainsFunc(known, func(c ledger.GroupConflict) bool {
			return c.Source == source && c.Key == key && c.GroupID == p.Group
		})
	}), err
}
