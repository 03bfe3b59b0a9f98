package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/provision"
)

// Count is what the last good run saw of a source group.
type Count struct {
	Name  string `json:"name"`
	Users int    `json:"users"`
	// Judged means that a full verification has found the group suspect since.
	Judged bool `json:"judged,omitempty"`
	// Unexplained means that the ledger's chain does not explain the count: Castellan did not write it.
	Unexplained bool `json:"unexplained,omitempty"`
}

// Suspect is a source group whose members cannot be believed. Removals based on it wait; additions do not.
type Suspect struct {
	GroupID string `json:"groupId"`
	Name    string `json:"name"`
	Why     string `json:"why"`
}

// DoubtedSource is an identity source that proves nothing about who is missing from it. Removals based on it wait;
// additions do not.
type DoubtedSource struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	// Stale: it was not read for so long that what it last said of somebody may not hold any more.
	Stale bool `json:"stale,omitempty"`
}

// RecreatedGroup is a source group that was deleted and recreated with the same name and another id. Its members are
// within the limit, so it counts as the same group.
type RecreatedGroup struct {
	Name  string `json:"name"`
	Was   string `json:"was"` // its former id
	ID    string `json:"id"`
	Had   int    `json:"had"` // members at the last good run
	Users int    `json:"users"`
}

// Suspects returns the source groups that are gone, renamed, no longer synced, shrank beyond the policy's limit, or
// have other member counts in the directory than in the sweep. before has the last good run's counts by group id; now
// has the directory's member counts of synced groups (-1: unknown); seen has the members met in this sweep, nil without
// one. Groups that no mapping uses are left out.
//
// losing has, by the name of a source group that is gone, how many people would lose what it gave. Recreated groups are
// not suspect, unless they lack more people than the limit allows, by their counts or by losing.
func Suspects(p *policy.Policy, b *policy.Bound, before map[string]Count, now, seen,
	losing map[string]int) (suspects []Suspect, recreated []RecreatedGroup) {
	ids := map[string]bool{}
	for id, was := range before {
		ids[id] = b.Source(id) || b.UsesSourceGroup(was.Name)
	}
	for id := range now {
		ids[id] = ids[id] || b.Source(id)
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if !ids[id] {
			continue
		}
		was, known := before[id]
		name := cmp.Or(b.SourceName(id), was.Name)
		why := whyDoubted(p, b, was, known, id, now, seen)
		if _, there := now[id]; known && !there {
			again, lacks := findRecreated(p.Guard.Source, b, before, id, now, seen, losing)
			if again != nil {
				recreated = append(recreated, *again)
				continue
			}
			why = cmp.Or(lacks, why)
		}
		if known && why == "" && losesByRename(b, was.Name, id) {
			name, why = was.Name, fmt.Sprintf("the group has the name %s now, and the policy names it %s",
				b.SourceName(id), was.Name)
		}
		if why != "" {
			suspects = append(suspects, Suspect{GroupID: id, Name: name, Why: why})
		}
	}
	slices.SortStableFunc(suspects, func(a, b Suspect) int { return strings.Compare(a.Name, b.Name) })
	return suspects, recreated
}

// findRecreated returns the group that replaced one that is gone: synced, of the same name, and not known before by
// another. If it lacks more members than the limit allows, lacks says so. Unlike for a group that shrank, the limit
// also applies to small groups: it may still be filling.
func findRecreated(limit policy.SourceLimit, b *policy.Bound, before map[string]Count, gone string, now, seen,
	losing map[string]int) (again *RecreatedGroup, lacks string) {
	was := before[gone]
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if known, met := before[id]; !access.SameName(b.SourceName(id), was.Name) ||
			met && !access.SameName(known.Name, was.Name) {
			continue
		}
		users := now[id]
		met, swept := MembersSeen(b, seen, id)
		switch {
		case users < 0 && !swept:
			return nil, fmt.Sprintf("the group was created again with another id (%s), and the directory does not count its members", id)
		case users < 0:
			users = met
		case swept && users != met && !access.IsSourceGroup(id):
			return nil, fmt.Sprintf("the group was created again with another id (%s); the directory counts %d members, the sweep met %d", id, users, met)
		}
		lost := max(was.Users-users, losing[was.Name])
		if limit.Share.Exceeded(lost, was.Users) {
			return nil, fmt.Sprintf("the group was created again with another id (%s), and %d of the %d people it had are missing; the limit is %s (guard.source.share)", id, lost, was.Users, limit.Share)
		}
		return &RecreatedGroup{Name: was.Name, Was: gone, ID: id, Had: was.Users, Users: users}, ""
	}
	return nil, ""
}

// losesByRename reports whether a source group was renamed and no longer gives all that it gave. What follows it by its
// id, it still gives.
func losesByRename(b *policy.Bound, was, id string) bool {
	is := b.SourceName(id)
	if is == "" || access.SameName(was, is) {
		return false
	}
	gives := b.TargetsFedBy(is)
	return slices.ContainsFunc(b.TargetsFedBy(was), func(t int) bool {
		return !slices.Contains(gives, t) && !slices.Contains(b.Targets[t].Sources, id)
	})
}

// MembersSeen returns how many members of a group the sweep met; swept is false if there was no sweep, or if it did not
// count them: it counts only groups that give something now, not renamed ones or those whose target cannot be created.
func MembersSeen(b *policy.Bound, seen map[string]int, id string) (met int, swept bool) {
	return seen[id], seen != nil && b.Source(id)
}

// pushed reports whether a source group is one of a source that posts.
func pushed(p *policy.Policy, id string) bool {
	return slices.ContainsFunc(p.Sources, func(s provision.Source) bool {
		return s.Kind.Pushed() && strings.HasPrefix(id, access.SourceGroupID(s.Name, ""))
	})
}

// whyDoubted returns why a source group is suspect; "" if it is not.
func whyDoubted(p *policy.Policy, b *policy.Bound, was Count, known bool, id string, now,
	seen map[string]int) string {
	counted, there := now[id]
	met, swept := MembersSeen(b, seen, id)
	if !there {
		return fmt.Sprintf("the group, which had %d members, is gone or no longer synced", was.Users)
	}
	if was.Unexplained {
		return "the ledger's chain does not explain how many members it had at the last good run: that row was not written by Castellan (starter verify-ledger)"
	}
	// a source's group has members who are no accounts
	if counted >= 0 && swept && counted != met && !access.IsSourceGroup(id) {
		return fmt.Sprintf("the directory counts %d members, the sweep met %d", counted, met)
	}
	if counted < 0 {
		if !swept {
			return ""
		}
		counted = met
	}
	if pushed(p, id) { // each of those who left it did so by a statement of its own, which the guard judges
		return ""
	}
	limit := p.Guard.Source
	if lost := was.Users - counted; known && was.Users >= limit.Minimum && limit.Share.Exceeded(lost, was.Users) {
		return fmt.Sprintf("the group went from %d to %d members since the last good run; the limit is %s (guard.source.share)", was.Users, counted, limit.Share)
	}
	return ""
}
