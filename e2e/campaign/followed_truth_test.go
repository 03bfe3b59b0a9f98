package campaign

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// roster is who is in a group from an instant on, until the next one, by account.
type roster struct {
	from time.Time
	in   map[string]bool
}

// timeline is who was in a group when.
type timeline []roster

// now returns who is in it.
func (t timeline) now() map[string]bool {
	if len(t) == 0 {
		return nil
	}
	return t[len(t)-1].in
}

// set has somebody in it from an instant on, or no longer.
func (t *timeline) set(at time.Time, in bool, accounts ...string) {
	next := maps.Clone(t.now())
	if next == nil {
		next = map[string]bool{}
	}
	for _, a := range accounts {
		if in {
			next[a] = true
		} else {
			delete(next, a)
		}
	}
	*t = append(*t, roster{at, next})
}

// until returns when the i-th roster ended; the end, for the last one.
func (t timeline) until(i int, end time.Time) time.Time {
	if i+1 < len(t) && (end.IsZero() || t[i+1].from.Before(end)) {
		return t[i+1].from
	}
	return end
}

// lately reports whether somebody was in it, or was not, within reach of an instant. A group that ended, at end, had
// nobody in it and nobody outside of it afterwards.
func (t timeline) lately(account string, in bool, at, end time.Time) bool {
	for i, r := range t {
		until := t.until(i, end)
		if r.in[account] == in && !r.from.After(at) && (until.IsZero() || until.After(at.Add(-reach))) {
			return true
		}
	}
	return false
}

// team is a group of the identity provider.
type team struct {
	key, name string
	names     []string // all that it ever had
	people    timeline
	gone      time.Time // when it was deleted; zero: it is there
	settled   bool      // everything was right of it once
}

func (t *team) there() bool { return t.gone.IsZero() }

// had reports whether somebody was in the team within reach of an instant; lacked, whether somebody was not while it
// was there.
func (t *team) had(account string, at time.Time) bool {
	return t.people.lately(account, true, at, t.gone)
}

func (t *team) lacked(account string, at time.Time) bool {
	return t.people.lately(account, false, at, t.gone)
}

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
