package plan

import (
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// Stats is what the guard needs to know about a run: only sums, so that it fits into a message.
type Stats struct {
	Adopted bool                         `json:"adopted"` // the first run was approved
	Targets map[access.Entitlement]Tally `json:"targets,omitempty"`
	// people who lose their last access, by app/site
	LastAccess map[string]int `json:"lastAccess,omitempty"`
	// removals done within the window, whatever the target
	Window   int       `json:"window"`
	Suspects []Suspect `json:"suspects,omitempty"`
	// Doubted are the identity sources that prove nothing about who is missing.
	Doubted []DoubtedSource `json:"doubted,omitempty"`
	Moved   []MovedDefault  `json:"moved,omitempty"`
	Fresh   []FreshRule     `json:"fresh,omitempty"`
	Flaps   []Flap          `json:"flaps,omitempty"`
}

// FreshRule is an enforced rule whose changes, in its current form, nobody has approved.
type FreshRule struct {
	Name   string `json:"name"`
	Key    string `json:"key"`
	Lines  int    `json:"lines"`            // changes that it asks for
	Plan   string `json:"plan"`             // their hash
	Agreed string `json:"agreed,omitempty"` // hash that the policy consents to
	Grace  string `json:"grace,omitempty"`  // time between notice and removal
	Seen   string `json:"seen,omitempty"`   // hash of its last changes while it was observing
}

// Flap is a change of one person in one target that was made and reversed several times within the guard's window.
type Flap struct {
	Person string             `json:"person"`
	Label  string             `json:"label"`
	Target access.Entitlement `json:"target"`
	Times  int                `json:"times"`
	Last   string             `json:"last"` // what made the last change
	Now    string             `json:"now"`  // the current change and its reason
}

// Tally holds one target's sums.
type Tally struct {
	Adds     int `json:"adds,omitempty"`
	Removals int `json:"removals,omitempty"`
	Adopts   int `json:"adopts,omitempty"`
	Members  int `json:"members,omitempty"` // holders before the run; -1 when unknown, and shares are not judged
	Window   int `json:"window,omitempty"`  // removals done within the window
	Lapses   int `json:"lapses,omitempty"`  // removals at the end of grants: no other limit counts them
}

// MovedDefault is a default:… entitlement whose groups differ from those at the last good run.
type MovedDefault struct {
	Entitlement access.Entitlement `json:"entitlement"`
	Old         []string           `json:"old"` // names of groups
	New         []string           `json:"new"`
}

// NewStats returns empty sums, with the directory's member counts.
func NewStats(b *policy.Bound) Stats {
	s := Stats{Targets: make(map[access.Entitlement]Tally, len(b.Targets)), LastAccess: map[string]int{}}
	for _, t := range b.Targets {
		s.Targets[t.Entitlement] = Tally{Members: t.Members}
	}
	return s
}

// Add counts one person's changes.
func (s *Stats) Add(changes []access.Change) {
	var lost []string
	for _, c := range changes {
		s.tally(c.Target, func(t *Tally) {
			switch {
			case c.Lapse():
				t.Lapses++
			case c.Action == access.Add:
				t.Adds++
			case c.Action == access.Remove:
				t.Removals++
			case c.Action == access.Adopt:
				t.Adopts++
			}
		})
		if c.Action == access.Remove && !c.Lapse() {
			lost = append(lost, c.Loses...)
		}
	}
	slices.Sort(lost)
	for _, app := range slices.Compact(lost) {
		if s.LastAccess == nil {
			s.LastAccess = map[string]int{}
		}
		s.LastAccess[app]++
	}
}

// AddPast adds removals that were done within the window.
func (s *Stats) AddPast(target access.Entitlement, removals int) {
	s.Window += removals
	if _, managed := s.Targets[target]; managed {
		s.tally(target, func(t *Tally) { t.Window += removals })
	}
}

// Merge adds the changes of other people of the same run, for example of another block of pages. The other fields stay.
func (s *Stats) Merge(other Stats) {
	for target, o := range other.Targets {
		s.tally(target, func(t *Tally) {
			t.Adds += o.Adds
			t.Removals += o.Removals
			t.Adopts += o.Adopts
			t.Lapses += o.Lapses
		})
	}
	for app, people := range other.LastAccess {
		if s.LastAccess == nil {
			s.LastAccess = map[string]int{}
		}
		s.LastAccess[app] += people
	}
}

func (s *Stats) tally(target access.Entitlement, count func(*Tally)) {
	if s.Targets == nil {
		s.Targets = map[access.Entitlement]Tally{}
	}
	t, known := s.Targets[target]
	if !known {
		t.Members = -1
	}
	count(&t)
	s.Targets[target] = t
}

// Total returns the sums over all targets; unknown members count as none.
func (s *Stats) Total() Tally { return s.sum(func(access.Entitlement) bool { return true }) }

// sum returns the sums over some targets.
func (s *Stats) sum(counts func(access.Entitlement) bool) Tally {
	var sum Tally
	for e, t := range s.Targets {
		if !counts(e) {
			continue
		}
		sum.Adds += t.Adds
		sum.Removals += t.Removals
		sum.Adopts += t.Adopts
		sum.Lapses += t.Lapses
		if e != access.Organization { // whose members are those of directory
			sum.Members += max(t.Members, 0)
		}
	}
	sum.Window = s.Window
	return sum
}

// MovedDefaults returns the defaults whose groups changed. before is Bound.Defaults of the last good run; a default
// that is not in it has not moved.
func MovedDefaults(before map[access.Entitlement][]string, b *policy.Bound) []MovedDefault {
	var moved []MovedDefault
	for e, names := range b.Defaults() {
		if old, known := before[e]; known && !slices.Equal(old, names) {
			moved = append(moved, MovedDefault{Entitlement: e, Old: old, New: names})
		}
	}
	slices.SortFunc(moved, func(a, b MovedDefault) int { return compareTargets(a.Entitlement, b.Entitlement) })
	return moved
}
