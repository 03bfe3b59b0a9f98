package evidence

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

// timeline is a cumulative plot of decisions over time, keep below remove. Horizontal positions are in percent, so that
// the plot fits a phone without shrinking its text.
type timeline struct {
	Kept, All   string // SVG paths, in units of plotWidth by plotHeight
	Grid        []tick
	Stages      []mark
	Notices     []mark // reviewers were asked or reminded
	Begin, End  string
	Description string // text alternative
}

// tick is a line of the grid; Y is in pixels from the plot's top.
type tick struct {
	Y     float64
	Label string
}

// mark is an instant on the plot.
type mark struct {
	X     string
	Label string
	Late  bool // near the right edge: words go to its left
	Row   int  // of its words, so that neighbours do not write over each other
}

// The drawing's size, and the number of horizontal steps: more than a screen shows would only make the page larger.
const (
	plotWidth, plotHeight = 1000, 180
	plotSteps             = 500
)

// newTimeline returns nil if nobody decided anything.
func newTimeline(r access.Review, events []access.ReviewEvent) *timeline {
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
	s := interval{from: r.Opened, to: r.Closed}
	if first := decided[0].At; s.from.IsZero() || first.Before(s.from) {
		s.from = first
	}
	if last := decided[len(decided)-1].At; last.After(s.to) {
		s.to = last
	}
	t := &timeline{Grid: grid(len(decided)), Begin: formatMinute(s.from), End: formatMinute(s.to)}
	t.Kept, t.All = areas(decided, s)
	t.addMarks(events, r, s)
	t.Description = describeTimeline(decided, t, s)
	return t
}

// interval is the time that a plot covers.
type interval struct{ from, to time.Time }

// position returns where in the interval an instant is, from 0 to 1.
func (s interval) position(t time.Time) float64 {
	length := float64(s.to.Unix() - s.from.Unix())
	if length <= 0 {
		return 1
	}
	return min(max(float64(t.Unix()-s.from.Unix())/length, 0), 1)
}

// areas returns the areas under the curves of keep decisions and of all decisions.
func areas(decided []access.ReviewEvent, s interval) (kept, all string) {
	var keptPath, allPath strings.Builder
	height := func(n int) float64 { return plotHeight * (1 - float64(n)/float64(len(decided))) }
	step := func(path *strings.Builder, x, n int) {
		fmt.Fprintf(path, "H%dV%.1f", x*plotWidth/plotSteps, height(n))
	}
	keptPath.WriteString("M0 180")
	allPath.WriteString("M0 180")
	keeps := 0
	for n := 0; n < len(decided); {
		x := int(s.position(decided[n].At) * plotSteps)
		for ; n < len(decided) && int(s.position(decided[n].At)*plotSteps) <= x; n++ {
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

// grid returns up to four lines at round numbers.
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
		ticks = append(ticks, tick{plotHeight * (1 - float64(n)/float64(most)), display.Number(n)})
	}
	return ticks
}

func (t *timeline) addMarks(events []access.ReviewEvent, r access.Review, s interval) {
	notices := make(map[int]int)
	for _, e := range events {
		switch e.Kind {
		case access.EventStage:
			t.addStage(e.At, fmt.Sprintf("stage %d", e.Stage), s)
		case access.EventExtended:
			t.addStage(e.At, "extended", s)
		case access.EventReminded:
			notices[int(s.position(e.At)*plotSteps)]++
		}
	}
	if !r.Closed.IsZero() {
		t.addStage(r.Closed, "closed", s)
	}
	for x := range plotSteps + 1 {
		if n := notices[x]; n > 0 {
			t.Notices = append(t.Notices, mark{X: cssPercent(float64(x) / plotSteps),
				Label: display.Count(n, "notice to a reviewer", "notices to reviewers")})
		}
	}
}

// maxStages is how many vertical lines fit; only the first are shown.
const maxStages = 24

func (t *timeline) addStage(at time.Time, words string, s interval) {
	if len(t.Stages) < maxStages {
		x := s.position(at)
		t.Stages = append(t.Stages, mark{X: cssPercent(x), Label: words, Late: x > 0.8, Row: len(t.Stages) % 2})
	}
}

func cssPercent(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }

func describeTimeline(decided []access.ReviewEvent, t *timeline, s interval) string {
	n := len(decided)
	kept := 0
	for _, e := range decided {
		if e.Verdict == access.VerdictKeep {
			kept++
		}
	}
	text := fmt.Sprintf("%s from %s to %s, %s to keep and %s to remove. Half were made by %s, nine in ten by %s, the last on %s.",
		display.Count(n, "decision", "decisions"), formatMinute(s.from), formatMinute(s.to), display.Number(kept), display.Number(n-kept),
		formatMinute(decided[(n-1)/2].At), formatMinute(decided[(n*9+9)/10-1].At), formatMinute(decided[n-1].At))
	if n := len(t.Notices); n > 0 {
		text += " Reviewers were asked or reminded " + cmp.Or(map[int]string{1: "once", 2: "twice"}[n],
			display.Number(n)+" times") + "."
	}
	return text
}
