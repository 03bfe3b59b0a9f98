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

// differences adds to a page where somebody is in one group of a pair and not in the other.
func (d *pageDecision) differences(p access.Person, decision plan.Decision) {
	leaving := slices.Clone(decision.Kept)
	for _, c := range decision.Changes {
		if c.Action == access.Remove {
			leaving = append(leaving, c.Target)
		}
	}
	pairs := d.bound.Pairs()
	for _, one := range d.bound.Differences(p, decision.Unexplained, leaving) {
		source, key := access.SourceGroupRef(pairs[one.Pair].Source)
		d.page.Differences = append(d.page.Differences, ledger.GroupDifference{Source: source, Key: key,
			GroupID: pairs[one.Pair].Group, Person: p.ID, Missing: one.Missing})
	}
}

// conflicts compares the groups of sources with their counterparts at Atlassian, as the sweep saw both. Those that have
// the same members follow from now on; the others are conflicts, about which somebody decides. A group that the
// source's reads cannot vouch for is not linked.
func (j *judgement) conflicts(ctx context.Context) error {
	if len(j.Policy.Sources) == 0 {
		return nil
	}
	found, err := j.Ledger.Differences(ctx, j.Org, j.in.Run, j.bound.AppsOpenedBy)
	if err != nil {
		return err
	}
	equal := slices.Clone(j.bound.Pairs())
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
	if !j.in.Preview {
		if err := j.link(ctx, equal); err != nil {
			return err
		}
		if found, err = j.Ledger.KeepConflicts(ctx, j.Org, j.in.Run, found, j.Now()); err != nil {
			return err
		}
	}
	var open []access.Finding
	for _, c := range found {
		if c.Entry != "" && c.Decision == "" {
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

// link has groups follow those of sources that have exactly the same members.
func (j *judgement) link(ctx context.Context, equal []policy.GroupPair) error {
	doubted, err := j.DoubtedSources(ctx)
	if err != nil {
		return err
	}
	var links []ledger.GroupLink
	for _, p := range equal {
		source, key := access.SourceGroupRef(p.Source)
		trusted := !slices.ContainsFunc(doubted, func(d plan.DoubtedSource) bool { return d.Name == source })
		if p.Entry != "" && p.As == provision.Local && p.Fit && !p.Linked && trusted {
			links = append(links, ledger.GroupLink{Source: source, Key: key, Name: p.SourceName, GroupID: p.Group})
		}
	}
	return j.Ledger.LinkGroups(ctx, j.Org, links, session.GoneSourceGroups(j.bound, j.outline.Last), j.Now())
}

func conflictFinding(org string, c ledger.GroupConflict) access.Finding {
	return access.Finding{Rule: "group-conflict", Subject: c.GroupName, Detail: fmt.Sprintf(
		"it differs from %s of the source: %d people of the source's group are not in it, and %d are in it alone; look at them with %s, then accept or reject",
		c.SourceName, c.Missing, c.Extra, display.Starter("conflicts", org, c.GroupName))}
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
		return !slices.ContainsFunc(doubted, func(d plan.DoubtedSource) bool { return d.Name == source }) &&
			!slices.ContainsFunc(known, func(c ledger.GroupConflict) bool {
				return c.Source == source && c.Key == key && c.GroupID == p.Group
			})
	}), err
}
