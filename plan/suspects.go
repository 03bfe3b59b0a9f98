package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/policy"
)

// Count is what the last good run saw of a source group.
type Count struct {
	Name  string `json:"name"`
	Users int    `json:"users"`
}

// Suspect is a source group whose evidence is doubted. Removals that stand on it wait; additions go on.
type Suspect struct {
	GroupID string `json:"groupId"`
	Name    string `json:"name"`
	Why     string `json:"why"`
}

// Suspects finds the source groups that are gone, are no longer synced, shrank beyond the policy's limit, or of which the
// directory counts other members than the sweep saw. before is the last good run's counts by group id; now is the members
// that the directory counts for each synced group (-1: it did not say), without those that are gone or no longer synced;
// seen is the members met in this sweep, nil when there was none. Groups that no mapping takes from are left out.
func Suspects(p *policy.Policy, b *policy.Bound, before map[string]Count, now, seen map[string]int) []Suspect {
	ids := map[string]bool{}
	for id, was := range before {
		ids[id] = b.Source(id) || b.Takes(was.Name)
	}
	for id := range now {
		ids[id] = ids[id] || b.Source(id)
	}
	var suspects []Suspect
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if !ids[id] {
			continue
		}
		was, known := before[id]
		name := cmp.Or(b.SourceName(id), was.Name)
		if why := doubt(p.Guard.Source, was, known, id, now, seen); why != "" {
			suspects = append(suspects, Suspect{GroupID: id, Name: name, Why: why})
		}
	}
	slices.SortStableFunc(suspects, func(a, b Suspect) int { return strings.Compare(a.Name, b.Name) })
	return suspects
}

// doubt says what speaks against a source group, "" when nothing does.
func doubt(limit policy.SourceLimit, was Count, known bool, id string, now, seen map[string]int) string {
	counted, there := now[id]
	met := seen[id]
	if !there {
		return fmt.Sprintf("the group, which had %d members, is gone or no longer synced", was.Users)
	}
	if counted >= 0 && seen != nil && counted != met {
		return fmt.Sprintf("the directory counts %d members, the sweep met %d", counted, met)
	}
	if counted < 0 {
		if seen == nil {
			return ""
		}
		counted = met
	}
	if lost := was.Users - counted; known && was.Users >= limit.Minimum && limit.Share.Exceeded(lost, was.Users) {
		return fmt.Sprintf("the group went from %d to %d members since the last good run; the limit is %s (guard.source.share)", was.Users, counted, limit.Share)
	}
	return ""
}
