package report

import (
	"fmt"
	"strings"

	"github.com/castellan-io/castellan/display"
)

// trend is a small chart of a section's counts over the past reports and this one, from zero, so that decreases show.
type trend struct {
	Path        string // of the line; it breaks where a count is not known
	X, Y        string // of this report's dot
	Description string // the same for who does not see it
}

// The drawing's size, and the padding that keeps strokes inside.
const (
	trendWidth, trendHeight = 112, 28
	trendRoom               = 4
)

// newTrend returns nil if the section is incomplete, or fewer than two counts are known.
func newTrend(s Section, past []Past) *trend {
	if s.Incomplete != "" {
		return nil
	}
	type point struct{ at, count int }
	var points []point
	for i, p := range past {
		if count, ok := p.Counts[s.Key]; ok {
			points = append(points, point{i, count})
		}
	}
	points = append(points, point{len(past), s.Count})
	if len(points) < 2 {
		return nil
	}
	least, most := s.Count, s.Count
	for _, p := range points {
		least, most = min(least, p.count), max(most, p.count)
	}
	begin := points[0].at
	place := func(p point) (x, y string) {
		across := float64(p.at-begin) / float64(len(past)-begin)
		up := float64(max(p.count, 0)) / float64(max(most, 1))
		return fmt.Sprintf("%.1f", trendRoom+across*(trendWidth-2*trendRoom)),
			fmt.Sprintf("%.1f", trendHeight-trendRoom-up*(trendHeight-2*trendRoom))
	}
	var t trend
	var path strings.Builder
	for i, p := range points {
		t.X, t.Y = place(p)
		step := "L"
		if i == 0 || points[i-1].at != p.at-1 {
			step = "M"
		}
		// The stroke of length zero shows a count without neighbours as a dot.
		fmt.Fprintf(&path, "%s%s %sh0", step, t.X, t.Y)
	}
	t.Path = path.String()
	t.Description = fmt.Sprintf("Over %d reports: first %s, now %s; lowest %s, highest %s.",
		len(points), display.Number(points[0].count), display.Number(s.Count), display.Number(least),
		display.Number(most))
	return &t
}
