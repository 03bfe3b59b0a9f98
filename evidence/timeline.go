package evidence

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// timeline is the plot of the decisions over time: how many had been made by each instant, those to keep below those to
// remove. Places across are in percent of its width, so that it fits a phone without its words shrinking.
type timeline struct {
	Kept, All  string // areas, in a drawing of plotWidth by plotHeight
	Grid       []tick
	Stages     []mark
	Notices    []mark // to reviewers: they were asked or reminded
	Begin, End string
	Words      string // the same for who does not see it
}

// tick is a line of the grid; Y is in pixels from the plot's top, where the words stand.
type tick struct {
	Y     float64
	Words string
}

// mark is an instant on the plot.
type mark struct {
	X     string
	Words string
	Late  bool // near the right edge: words go to its left
	Row   int  // of its words, so that neighbours do not write over each other
}

// The drawing's units, and how many steps an area has across: more than a screen shows would only make the page longer.
const (
	plotWidth, plotHeight = 1000, 180
	plotSteps             = 500
)

// timelineOf is nil where nobody decided anything.
func timelineOf(r access.Review, events []access.ReviewEvent) *timeline {
	var decided []access.ReviewEvent
	for _, e := range events {
		if e.Kind == access.EventDecided {
			decided = append(decided, e)
		}
	}
	if len(decided) == 0 {
		return nil
	}
	slices.SortStableFunc(decided, func(a, b access.ReviewEvent) int { return a.At.Compare(b.At) })
	s := span{from: r.Opened, to: r.Closed}
	if first := decided[0].At; s.from.IsZero() || first.Before(s.from) {
		s.from = first
	}
	if last := decided[len(decided)-1].At; last.After(s.to) {
		s.to = last
	}
	t := &timeline{Grid: grid(len(decided)), Begin: minute(s.from), End: minute(s.to)}
	t.Kept, t.All = areas(decided, s)
	t.marks(events, r, s)
	t.Words = words(decided, t, s)
	return t
}

// span is the time that a plot is of.
type span struct{ from, to time.Time }

// at is where in the span an instant is, from 0 to 1.
func (s span) at(t time.Time) float64 {
	length := float64(s.to.Unix() - s.from.Unix())
	if length <= 0 {
		return 1
	}
	return min(max(float64(t.Unix()-s.from.Unix())/length, 0), 1)
}

// areas are what is under the curve of decisions to keep, and under that of all.
func areas(decided []access.ReviewEvent, s span) (kept, all string) {
	var keptPath, allPath strings.Builder
	height := func(n int) float64 { return plotHeight * (1 - float64(n)/float64(len(decided))) }
	step := func(path *strings.Builder, x, n int) {
		fmt.Fprintf(path, "H%dV%.1f", x*plotWidth/plotSteps, height(n))
	}
	keptPath.WriteString("M0 180")
	allPath.WriteString("M0 180")
	keeps := 0
	for n := 0; n < len(decided); {
		x := int(s.at(decided[n].At) * plotSteps)
		for ; n < len(decided) && int(s.at(decided[n].At)*plotSteps) <= x; n++ {
			if decided[n].Verdict == access.VerdictKeep {
				keeps++
			}
		}
		step(&keptPath, x, keeps)
		step(&allPath, x, n)
	}
	for _, path := range []*strings.Builder{&keptPath, &allPath} {
		fmt.Fprintf(path, "H%dV%dZ", plotWidth, plotHeight)
	}
	return keptPath.String(), allPath.String()
}

// grid is up to four lines at round numbers.
func grid(most int) []tick {
	size := math.Pow(10, math.Floor(math.Log10(float64(most))))
	step := 5 * int(size)
	for _, part := range []float64{2.5, 2, 1, 0.5, 0.25} {
		if s := size * part; s == math.Trunc(s) && float64(most) <= 4*s {
			step = int(s)
		}
	}
	var ticks []tick
	for n := step; n <= most; n += step {
		ticks = append(ticks, tick{plotHeight * (1 - float64(n)/float64(most)), grouped(n)})
	}
	return ticks
}

func (t *timeline) marks(events []access.ReviewEvent, r access.Review, s span) {
	notices := make(map[int]int)
	for _, e := range events {
		switch e.Kind {
		case access.EventStage:
			t.stage(e.At, fmt.Sprintf("stage %d", e.Stage), s)
		case access.EventExtended:
			t.stage(e.At, "extended", s)
		case access.EventReminded:
			notices[int(s.at(e.At)*plotSteps)]++
		}
	}
	if !r.Closed.IsZero() {
		t.stage(r.Closed, "closed", s)
	}
	for x := range plotSteps + 1 {
		if n := notices[x]; n > 0 {
			t.Notices = append(t.Notices, mark{X: place(float64(x) / plotSteps),
				Words: some(n, "notice to a reviewer", "notices to reviewers")})
		}
	}
}

// mostStages is how many lines across fit; of more, the first are shown.
const mostStages = 24

func (t *timeline) stage(at time.Time, words string, s span) {
	if len(t.Stages) < mostStages {
		x := s.at(at)
		t.Stages = append(t.Stages, mark{X: place(x), Words: words, Late: x > 0.8, Row: len(t.Stages) % 2})
	}
}

func place(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }

func words(decided []access.ReviewEvent, t *timeline, s span) string {
	n := len(decided)
	kept := 0
	for _, e := range decided {
		if e.Verdict == access.VerdictKeep {
			kept++
		}
	}
	text := fmt.Sprintf("%s from %s to %s, %s to keep and %s to remove. Half were made by %s, nine in ten by %s, the last on %s.",
		some(n, "decision", "decisions"), minute(s.from), minute(s.to), grouped(kept), grouped(n-kept),
		minute(decided[(n-1)/2].At), minute(decided[(n*9+9)/10-1].At), minute(decided[n-1].At))
	if n := len(t.Notices); n > 0 {
		text += " Reviewers were asked or reminded " + cmp.Or(map[int]string{1: "once", 2: "twice"}[n],
			grouped(n)+" times") + "."
	}
	return text
}
