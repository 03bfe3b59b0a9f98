package review

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Assignment gives items out to reviewers: to the one with the fewest, and to nobody more than Most as long as others
// have room.
type Assignment struct {
	All  bool // each item goes to each of its reviewers
	Most int
	At   time.Time
	Load map[string]int // items by reviewer

	Tasks    []access.Task
	Crowded  bool // somebody has more than Most
	Nobody   int  // items for which there is nobody
	FellBack int  // items whose reviewers are all gone, or the person themselves
}

// Candidates are the active people, by account id, who may be asked about one item.
type Candidates struct {
	N         int
	Reviewers func() []string
	Fallback  func() []string
	Owner     func() []string // the campaign's
}

// Give gives one item out: to the reviewers, to the fallback where all of them are gone or full, and to the campaign's
// owner where these are gone too.
func (a *Assignment) Give(c Candidates) {
	first := c.Reviewers()
	if a.All && len(first) > 0 {
		for _, name := range first {
			a.task(c, name, access.TaskReviewer)
		}
		return
	}
	name, full := a.least(first)
	if name != "" && !full {
		a.task(c, name, access.TaskReviewer)
		return
	}
	if a.fallback(c, name != "") {
		return
	}
	if name != "" { // there is nobody else
		a.task(c, name, access.TaskReviewer)
		return
	}
	a.FellBack++
	if !a.owner(c) {
		a.Nobody++
	}
}

// AskOthers gives an item that nobody decided to others than those asked: where nobody of these is there, where
// reviewers were silent for long enough (silent), and to the campaign's owner where the stage is about to end
// (escalate). It reports whether it found somebody.
func (a *Assignment) AskOthers(c Candidates, asked []string, silent, escalate bool) bool {
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

// fallback gives an item to the fallback with the fewest items. With room, only as long as that one has room.
func (a *Assignment) fallback(c Candidates, room bool) bool {
	name, full := a.least(c.Fallback())
	if name == "" || room && full {
		return false
	}
	if !room {
		a.FellBack++
	}
	a.task(c, name, access.TaskFallback)
	return true
}

func (a *Assignment) owner(c Candidates) bool {
	names := c.Owner()
	if len(names) > 0 {
		a.task(c, names[0], access.TaskOwner)
	}
	return len(names) > 0
}

// least is whoever of these has the fewest items; full says that even they have as many as the campaign allows.
func (a *Assignment) least(names []string) (name string, full bool) {
	for _, one := range names {
		if name == "" || a.Load[one] < a.Load[name] {
			name = one
		}
	}
	return name, a.Load[name] >= a.Most
}

func (a *Assignment) task(c Candidates, name string, role access.TaskRole) {
	a.Load[name]++
	a.Crowded = a.Crowded || a.Load[name] > a.Most
	a.Tasks = append(a.Tasks, access.Task{N: c.N, Reviewer: name, Role: role, Since: a.At})
}
