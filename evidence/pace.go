package evidence

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// From where on Paces remarks on how somebody decided. A remark is a reason to ask, and no finding of fault: most
// access is rightly kept, and who knows their people decides fast. So each says what was measured and where its line
// is.
const (
	// ManyKeeps in a row are remarked on: in as many rows, somebody who looks usually finds one to take away.
	ManyKeeps = 20
	// AllKept is how many decisions it takes to remark that all of them were to keep.
	AllKept = 10
	// ManyAtOnce items decided by one click, command or file are remarked on: few read as many before it.
	ManyAtOnce = 20
	// QuickMedian is the time for one decision under which half of somebody's decisions are remarked on: a row has a
	// person, a target, its use and its reasons, and to read it aloud takes longer.
	QuickMedian = 3 * time.Second
	// QuickOver is how many timed decisions it takes to speak of their median.
	QuickOver = 10
)

// Pace is how one reviewer went about their decisions.
type Pace struct {
	Reviewer  string
	Decisions int           // words said, a change of mind as one more
	Kept      int           // of them to keep
	Timed     int           // of them it is known how long they took at the most
	Median    time.Duration // of one timed decision; of an even number, the shorter of the middle two
	Fast      time.Duration // one timed decision in ten took no longer
	Run       int           // most decisions to keep in a row
	Bulk      int           // most items decided in one act
	Flags     []string      // what to ask about, in words, each with its rule
}

// Paces measures how reviewers decided, from a review's log in its order, and returns them by account. They are named
// by the address that they had last.
//
// The time of a decision is what passed since the same person's decision before, or, of the first, since they last
// opened their page or list. Time spent elsewhere counts too, which speaks for the reviewer. Where neither is known, or
// clocks went backwards, the decision is not timed. Items that were decided together, by one click, command or file,
// are one act: its time is shared among them.
func Paces(events iter.Seq[access.ReviewEvent]) []Pace {
	all := make(map[string]*pacing)
	of := func(reviewer string) *pacing {
		if all[reviewer] == nil {
			all[reviewer] = &pacing{}
		}
		return all[reviewer]
	}
	called := map[string]string{}
	for e := range events {
		if called[e.By] = cmp.Or(e.ByEmail, called[e.By], e.By); e.By == "" {
			continue
		}
		switch {
		case e.Kind == access.EventSeen:
			of(e.By).seen = e.At
		case e.Kind == access.EventDecided:
			of(e.By).decided(e)
		}
	}
	var paces []Pace
	for _, reviewer := range slices.Sorted(maps.Keys(all)) {
		if p := all[reviewer]; p.decisions > 0 {
			paces = append(paces, p.pace(called[reviewer]))
		}
	}
	return paces
}

// pacing is what is known of a reviewer so far.
type pacing struct {
	seen            time.Time // zero: their page was not opened yet
	decisions, kept int
	keeps, run      int // in a row up to now, and at most
	act             act
	most            act // by its items
	times           []time.Duration
}

// act is what a reviewer decided at once.
type act struct {
	at    time.Time
	items int
	bulk  bool
	via   string
	gap   time.Duration // since the act before; negative: not known
}

func (p *pacing) decided(e access.ReviewEvent) {
	if bulk := e.Bulk > 1; !bulk || !p.act.bulk || !p.act.at.Equal(e.At) {
		before := p.act.at
		if p.act.items == 0 {
			before = p.seen
		}
		p.over()
		p.act = act{at: e.At, bulk: bulk, via: e.Via, gap: -1}
		if !before.IsZero() {
			p.act.gap = e.At.Sub(before)
		}
	}
	p.act.items++
	p.decisions++
	if e.Verdict == access.VerdictKeep {
		p.kept++
		p.keeps++
		p.run = max(p.run, p.keeps)
	} else {
		p.keeps = 0
	}
}

// over takes the act that has ended into account.
func (p *pacing) over() {
	if p.act.items > p.most.items {
		p.most = p.act
	}
	if p.act.gap < 0 {
		return
	}
	for range p.act.items {
		p.times = append(p.times, p.act.gap/time.Duration(p.act.items))
	}
}

func (p *pacing) pace(reviewer string) Pace {
	p.over()
	slices.Sort(p.times)
	pace := Pace{Reviewer: reviewer, Decisions: p.decisions, Kept: p.kept, Timed: len(p.times), Run: p.run,
		Bulk: p.most.items}
	if n := len(p.times); n > 0 {
		pace.Median, pace.Fast = p.times[(n-1)/2], p.times[(n-1)/10]
	}
	pace.Flags = pace.flags(p.most.via)
	return pace
}

func (p Pace) flags(via string) []string {
	var flags []string
	flag := func(text string, values ...any) { flags = append(flags, fmt.Sprintf(text, values...)) }
	if p.Timed >= QuickOver && p.Median < QuickMedian {
		flag("median %s per decision over %s (remarked on under %s over %d or more)", lasting(p.Median),
			grouped(p.Timed), lasting(QuickMedian), QuickOver)
	}
	if p.Bulk >= ManyAtOnce {
		flag("%s items %s (remarked on from %d)", grouped(p.Bulk), means(via), ManyAtOnce)
	}
	if p.Decisions >= AllKept && p.Kept == p.Decisions {
		flag("kept everything, %s of %s (remarked on from %d)", grouped(p.Kept), grouped(p.Decisions), AllKept)
	}
	if p.Run >= ManyKeeps {
		flag("%s keeps in a row (remarked on from %d)", grouped(p.Run), ManyKeeps)
	}
	return flags
}

// means is how somebody decided many items at once. On the page that may be one click for all of them, or rows chosen
// one by one and saved together: the log does not tell.
func means(via string) string {
	switch via {
	case "page":
		return "saved at once"
	case "import":
		return "by one file"
	}
	return "by one command or file"
}
