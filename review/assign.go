package review

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Assignment assigns items to the reviewers with the fewest, at most Most each as long as others have fewer.
type Assignment struct {
	All  bool // assign each item to all of its reviewers
	Most int
	At   time.Time
	Load map[string]int // items by reviewer

	Tasks    []access.Task
	Crowded  bool // somebody has more than Most
	Nobody   int  // items without anybody to ask
	FellBack int  // items whose reviewers have all left, or are the person themselves
}

// Candidates are the active people, by account id, who may decide one item.
type Candidates struct {
	N         int
	Reviewers func() []string
	Fallback  func() []string
	Owner     func() []string // the campaign's
}

// Assign assigns one item: to a reviewer, to the fallback if all reviewers have left or are full, or to the campaign's
// owner if the fallback has left too.
func (a *Assignment) Assign(c Candidates) {
	first := c.Reviewers()
	if a.All && len(first) > 0 {
		for _, name := range first {
			a.addTask(c, name, access.TaskReviewer)
		}
		return
	}
	name, full := a.leastLoaded(first)
	if name != "" && !full {
		a.addTask(c, name, access.TaskReviewer)
		return
	}
	if a.fallback(c, name != "") {
		return
	}
	if name != "" { // nobody else has room either
		a.addTask(c, name, access.TaskReviewer)
		return
	}
	a.FellBack++
	if !a.owner(c) {
		a.Nobody++
	}
}

// Reassign assigns an undecided item to others than those asked: to the fallback if nobody is left of these, or if they
// were silent for too long (silent); and to the campaign's owner if the stage is about to end (escalate). It reports
// whether it found anybody.
func (a *Assignment) Reassign(c Candidates, asked []string, silent, escalate bool) bool {
	before := len(a.Tasks)
	among := func(name string) bool { return slices.Contains(asked, name) }
	switch {
	case len(asked) == 0:
		if !a.fallback(c, false) {
			a.owner(c)
		}
	case silent && !slices.ContainsFunc(c.Fallback(), among):
		a.fallback(c, false)
	}
	if escalate {
		a.owner(c)
	}
	return len(a.Tasks) > before
}

// fallback assigns an item to the fallback with the fewest items; if room is true, only if that one has room.
func (a *Assignment) fallback(c Candidates, room bool) bool {
	name, full := a.leastLoaded(c.Fallback())
	if name == "" || room && full {
		return false
	}
	if !room {
		a.FellBack++
	}
	a.addTask(c, name, access.TaskFallback)
	return true
}

func (a *Assignment) owner(c Candidates) bool {
	names := c.Owner()
	if len(names) > 0 {
		a.addTask(c, names[0], access.TaskOwner)
	}
	return len(names) > 0
}

// leastLoaded returns whoever has the fewest items, and whether even they have as many as the campaign allows.
func (a *Assignment) leastLoaded(names []string) (name string, full bool) {
	for _, one := range names {
		if name == "" || a.Load[one] < a.Load[name] {
			name = one
		}
	}
	return name, a.Load[name] >= a.Most
}

func (a *Assignment) addTask(c Candidates, name string, role access.TaskRole) {
	a.Load[name]++
	a.Crowded = a.Crowded || a.Load[name] > a.Most
	a.Tasks = append(a.Tasks, access.Task{N: c.N, Reviewer: name, Role: role, Since: a.At})
}
