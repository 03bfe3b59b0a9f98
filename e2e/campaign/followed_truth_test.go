package campaign

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// follower is a group at Atlassian that follows a team, or several, one after the other.
type follower struct {
	name   string
	people timeline
	// Which teams it may follow, by key, since when. A team that it surely follows leaves no room for another while it
	// is there.
	teams map[string]time.Time
	sure  map[string]bool
}

// free reports whether no team that the group surely follows was there at an instant.
func (w *followedOrg) free(f *follower, at time.Time) bool {
	for key := range f.sure {
		if t := w.teams[key]; t.there() || t.gone.After(at) {
			return false
		}
	}
	return true
}

// meet finds teams of a group's name that have had the same members: it may follow them from then on.
func (w *followedOrg) meet(f *follower) {
	for _, t := range w.teams {
		if _, known := f.teams[t.key]; known || !slices.Contains(t.names, f.name) {
			continue
		}
		for i, a := range t.people {
			for j, b := range f.people {
				at := b.from
				if a.from.After(at) {
					at = a.from
				}
				untilA, untilB := t.people.until(i, t.gone), f.people.until(j, time.Time{})
				apart := over(untilA, at) || over(untilB, at)
				if _, known := f.teams[t.key]; !known && !apart && maps.Equal(a.in, b.in) && w.free(f, at) {
					f.teams[t.key] = at
				}
			}
		}
	}
}

// over reports whether what ended at until was over a while before an instant.
func over(until, at time.Time) bool { return !until.IsZero() && until.Add(reach).Before(at) }

// appear takes note of a group at Atlassian that was not there before: it follows a team of its name.
func (w *followedOrg) appear(name string) {
	f := &follower{name: name, teams: map[string]time.Time{}, sure: map[string]bool{}}
	f.people.set(time.Time{}, true)
	w.followers[name] = f
	var alone []string
	for _, key := range slices.Sorted(maps.Keys(w.teams)) {
		t := w.teams[key]
		if !slices.Contains(t.names, name) || !t.there() && time.Since(t.gone) > 2*reach {
			continue
		}
		f.teams[key] = time.Time{}
		alone = append(alone, key)
	}
	if len(alone) == 0 {
		w.doubled = append(w.doubled, w.failure("group %s follows no team", name))
		return
	}
	var taken []string
	for _, key := range alone {
		for _, other := range w.followers {
			if other != f && other.sure[key] {
				taken = append(taken, fmt.Sprintf("%s %v has %s (may follow %v)", key, w.teams[key].names, other.name,
					other.teams))
				break
			}
		}
	}
	if len(taken) == len(alone) {
		w.doubled = append(w.doubled, w.failure("group %s came at %s: %v", name, stamp(time.Now()), taken))
	}
	if len(alone) == 1 {
		f.sure[alone[0]] = true
	}
}

// membership is somebody in a group at Atlassian.
type membership struct{ group, account string }

// judge holds one change of Castellan's against what the identity provider said, and what people decided.
func (w *followedOrg) judge(at time.Time, m membership, holds bool) {
	f := w.followers[m.group]
	if holds {
		w.additions++
		if !w.any(f, at, func(t *team) bool { return t.had(m.account, at) }) {
			w.strangers = append(w.strangers, w.failure("%s was added to %s at %s, and was in none of %v", w.who(m.account),
				m.group, stamp(at), f.teams))
		}
		return
	}
	w.removals++
	_, approved := w.approved[m]
	delete(w.approved, m)
	switch {
	case approved:
		w.decided++
	case w.hand[m]:
		w.accused = append(w.accused, m)
		w.wrongful = append(w.wrongful, w.failure("%s was removed from %s at %s, where somebody else put them",
			w.who(m.account), m.group, stamp(at)))
	case !w.any(f, at, func(t *team) bool { return t.lacked(m.account, at) }):
		w.accused = append(w.accused, m)
		w.wrongful = append(w.wrongful, w.failure("%s was removed from %s at %s, which may follow %s", w.who(m.account),
			m.group, stamp(at), w.describe(f, m.account)))
	}
}

// any reports whether something is so of a team that a group may have followed at an instant.
func (w *followedOrg) any(f *follower, at time.Time, is func(*team) bool) bool {
	for key, since := range f.teams {
		if !since.After(at.Add(time.Second)) && is(w.teams[key]) {
			return true
		}
	}
	return false
}
