package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// Count is what the last good run saw of a source group.
type Count struct {
	Name  string `json:"name"`
	Users int    `json:"users"`
	// Judged says that a full verification has found the group suspect since.
	Judged bool `json:"judged,omitempty"`
	// Unexplained says that the ledger's chain does not explain the count: somebody wrote it past Castellan.
	Unexplained bool `json:"unexplained,omitempty"`
}

// Suspect is a source group whose evidence is doubted. Removals that stand on it wait; additions go on.
type Suspect struct {
	GroupID string `json:"groupId"`
	Name    string `json:"name"`
	Why     string `json:"why"`
}

// RecreatedGroup is a source group that was deleted and made anew under its name: the identity provider gave it another
// id. Its members are within the limit, so it is taken for the same group.
type RecreatedGroup struct {
	Name  string `json:"name"`
	Was   string `json:"was"` // its former id
	ID    string `json:"id"`
	Had   int    `json:"had"` // members at the last good run
	Users int    `json:"users"`
}

// Suspects finds the source groups that are gone, go by another name, are no longer synced, shrank beyond the policy's
// limit, or of which the directory counts other members than the sweep saw. before is the last good run's counts by
// group id; now is the members that the directory counts for each synced group (-1: it did not say), without those that
// are gone or no longer synced; seen is the members met in this sweep, nil when there was none. Groups that no mapping
// takes from are left out.
//
// losing is, by the name of a source group that is gone, how many people would lose what it gave them. Groups that were
// made anew are recreated and not suspect, unless they lack more people than the limit allows, by their counts or by
// losing.
func Suspects(p *policy.Policy, b *policy.Bound, before map[string]Count, now, seen,
	losing map[string]int) (suspects []Suspect, recreated []RecreatedGroup) {
	ids := map[string]bool{}
	for id, was := range before {
		ids[id] = b.Source(id) || b.Takes(was.Name)
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
		why := whyDoubted(p.Guard.Source, b, was, known, id, now, seen)
		if _, there := now[id]; known && !there {
			again, lacks := findRecreated(p.Guard.Source, b, before, id, now, seen, losing)
			if again != nil {
				recreated = append(recreated, *again)
				continue
			}
			why = cmp.Or(lacks, why)
		}
		if known && why == "" && losesByRename(b, was.Name, id) {
			name, why = was.Name, fmt.Sprintf("the group goes by the name %s now, and the policy names it %s",
				b.SourceName(id), was.Name)
		}
		if why != "" {
			suspects = append(suspects, Suspect{GroupID: id, Name: name, Why: why})
		}
	}
	slices.SortStableFunc(suspects, func(a, b Suspect) int { return strings.Compare(a.Name, b.Name) })
	return suspects, recreated
}

// findRecreated finds the group that took the place of one that is gone: synced, of the same name, and not known before
// by another. Where it lacks more members than the limit allows, lacks says so. Unlike a group that shrinks, it may
// lack nobody beyond the limit however small it was: it may still be being filled.
func findRecreated(limit policy.SourceLimit, b *policy.Bound, before map[string]Count, gone string, now, seen,
	losing map[string]int) (again *RecreatedGroup, lacks string) {
	was := before[gone]
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if known, met := before[id]; !access.SameName(b.SourceName(id), was.Name) ||
			met && !access.SameName(known.Name, was.Name) {
			continue
		}
		users := now[id]
		met, swept := MembersMet(b, seen, id)
		switch {
		case users < 0 && !swept:
			return nil, fmt.Sprintf("the group was made anew under another id (%s), and the directory does not count its members", id)
		case users < 0:
			users = met
		case swept && users != met:
			return nil, fmt.Sprintf("the group was made anew under another id (%s); the directory counts %d members, the sweep met %d", id, users, met)
		}
		lost := max(was.Users-users, losing[was.Name])
		if limit.Share.Exceeded(lost, was.Users) {
			return nil, fmt.Sprintf("the group was made anew under another id (%s) and lacks %d of the %d people it had; the limit is %s (guard.source.share)", id, lost, was.Users, limit.Share)
		}
		return &RecreatedGroup{Name: was.Name, Was: gone, ID: id, Had: was.Users, Users: users}, ""
	}
	return nil, ""
}

// losesByRename reports whether a source group goes by another name now, under which it does not give all that it gave.
func losesByRename(b *policy.Bound, was, id string) bool {
	is := b.SourceName(id)
	if is == "" || access.SameName(was, is) {
		return false
	}
	gives := b.Feeds(is)
	return slices.ContainsFunc(b.Feeds(was), func(t int) bool { return !slices.Contains(gives, t) })
}

// MembersMet is how many members of a group the sweep met; swept is false when there was none, or when it did not count
// them: it counts those of groups that give something now, and neither of a group that goes by another name nor of one
// whose target cannot be made.
func MembersMet(b *policy.Bound, seen map[string]int, id string) (met int, swept bool) {
	return seen[id], seen != nil && b.Source(id)
}

// whyDoubted says what speaks against a source group, "" when nothing does.
func whyDoubted(limit policy.SourceLimit, b *policy.Bound, was Count, known bool, id string, now,
	seen map[string]int) string {
	counted, there := now[id]
	met, swept := MembersMet(b, seen, id)
	if !there {
		return fmt.Sprintf("the group, which had %d members, is gone or no longer synced", was.Users)
	}
	if was.Unexplained {
		return "the ledger's chain does not explain how many members it had at the last good run: somebody wrote that past Castellan (starter verify-ledger)"
	}
	if counted >= 0 && swept && counted != met {
		return fmt.Sprintf("the directory counts %d members, the sweep met %d", counted, met)
	}
	if counted < 0 {
		if !swept {
			return ""
		}
		counted = met
	}
	if lost := was.Users - counted; known && was.Users >= limit.Minimum && limit.Share.Exceeded(lost, was.Users) {
		return fmt.Sprintf("the group went from %d to %d members since the last good run; the limit is %s (guard.source.share)", was.Users, counted, limit.Share)
	}
	return ""
}
