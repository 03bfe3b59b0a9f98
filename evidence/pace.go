package evidence

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

// The thresholds of remarks on how somebody decided. A remark is a reason to ask, not an accusation: most access is
// rightly kept, and whoever knows their people decides fast. So each remark gives the measurement and the threshold.
const (
	// ManyKeeps is how many keeps in a row are remarked on: among as many, a careful reviewer usually removes one.
	ManyKeeps = 20
	// AllKept is how many decisions there must be to remark that all of them were keep.
	AllKept = 10
	// ManyAtOnce is how many items decided by one click, command or file are remarked on: few people read that many
	// first.
	ManyAtOnce = 20
	// QuickMedian is the median time per decision below which there is a remark: reading a row aloud, with its person,
	// target, use and reasons, takes longer.
	QuickMedian = 3 * time.Second
	// QuickOver is how many timed decisions a remark on their median needs.
	QuickOver = 10
)

// Pace measures how one reviewer decided.
type Pace struct {
	Reviewer  string
	Decisions int           // a change of mind counts as another
	Kept      int           // of them, keep
	Timed     int           // of them, with a known upper bound of the time taken
	Median    time.Duration // of one timed decision; of an even number, the shorter of the middle two
	Fast      time.Duration // the first decile
	Run       int           // most decisions to keep in a row
	Bulk      int           // most items decided at once
	Flags     []string      // remarks, each with its threshold
}

// Paces measures from a review's log how reviewers decided, ordered by account. Reviewers are named by their latest
// address.
//
// The time of a decision is the time since the same person's previous decision or, for the first, since they last
// opened their page or list. Time spent elsewhere counts too, in the reviewer's favour. If neither is known, or clocks
// went backwards, the decision is not timed. Items decided together, by one click, command or file, share one act's
// time.
func Paces(events iter.Seq[access.ReviewEvent]) []Pace {
	all := make(map[string]*paceTracker)
	tracker := func(reviewer string) *paceTracker {
		if all[reviewer] == nil {
			all[reviewer] = &paceTracker{}
		}
		return all[reviewer]
	}
	names := map[string]string{}
	for e := range events {
		if names[e.By] = cmp.Or(e.ByEmail, names[e.By], e.By); e.By == "" {
			continue
		}
		switch {
		case e.Kind == access.EventSeen:
			tracker(e.By).seen = e.At
		case e.Kind == access.EventDecided:
			tracker(e.By).decided(e)
		}
	}
	var paces []Pace
	for _, reviewer := range slices.Sorted(maps.Keys(all)) {
		if p := all[reviewer]; p.decisions > 0 {
			paces = append(paces, p.pace(names[reviewer]))
		}
	}
	return paces
}

// paceTracker collects one reviewer's decisions.
type paceTracker struct {
	seen            time.Time // zero: not opened yet
	decisions, kept int
	keeps, run      int // in a row: now, and the most so far
	act             act
	largest         act // by number of items
	times           []time.Duration
}

// act is a set of decisions made at once.
type act struct {
	at    time.Time
	items int
	bulk  bool
	via   string
	gap   time.Duration // since the previous act; negative: unknown
}

func (p *paceTracker) decided(e access.ReviewEvent) {
	if bulk := e.Bulk > 1; !bulk || !p.act.bulk || !p.act.at.Equal(e.At) {
		before := p.act.at
		if p.act.items == 0 {
			before = p.seen
		}
		p.finishAct()
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

// finishAct counts the current act.
func (p *paceTracker) finishAct() {
	if p.act.items > p.largest.items {
		p.largest = p.act
	}
	if p.act.gap < 0 {
		return
	}
	for range p.act.items {
		p.times = append(p.times, p.act.gap/time.Duration(p.act.items))
	}
}

func (p *paceTracker) pace(reviewer string) Pace {
	p.finishAct()
	slices.Sort(p.times)
	pace := Pace{Reviewer: reviewer, Decisions: p.decisions, Kept: p.kept, Timed: len(p.times), Run: p.run,
		Bulk: p.largest.items}
	if n := len(p.times); n > 0 {
		pace.Median, pace.Fast = p.times[(n-1)/2], p.times[(n-1)/10]
	}
	pace.Flags = pace.flags(p.largest.via)
	return pace
}

func (p Pace) flags(via string) []string {
	var flags []string
	flag := func(text string, values ...any) { flags = append(flags, fmt.Sprintf(text, values...)) }
	if p.Timed >= QuickOver && p.Median < QuickMedian {
		flag("median %s per decision over %s (remarked on under %s over %d or more)", formatDuration(p.Median),
			display.Number(p.Timed), formatDuration(QuickMedian), QuickOver)
	}
	if p.Bulk >= ManyAtOnce {
		flag("%s items %s (remarked on from %d)", display.Number(p.Bulk), bulkMethod(via), ManyAtOnce)
	}
	if p.Decisions >= AllKept && p.Kept == p.Decisions {
		flag("kept everything, %s of %s (remarked on from %d)", display.Number(p.Kept), display.Number(p.Decisions), AllKept)
	}
	if p.Run >= ManyKeeps {
		flag("%s keeps in a row (remarked on from %d)", display.Number(p.Run), ManyKeeps)
	}
	return flags
}

// bulkMethod describes how somebody decided many items at once. On the page, that may be one click for all, or rows
// chosen one by one and saved together: the log does not tell.
func bulkMethod(via string) string {
	switch via {
	case "page":
		return "saved at once"
	case "import":
		return "by one file"
	}
	return "by one command or file"
}
