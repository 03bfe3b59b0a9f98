package report

import (
	"slices"
	"strings"
)

// Compare sets New and Gone of each section by comparing its rows with the previous report's, and Past to that report's
// Past and counts, at most MostPast of them. Calling it again changes nothing.
//
// New and Gone become Unknown if the section was incomplete or cut in either report, if the previous report did not
// have it, or if its rows had another identity (the first column's name). If before is nil or of another organization,
// all are Unknown and Past stays as it was.
func (r *Report) Compare(before *Report) {
	if before == nil || before.Org != r.Org {
		for i := range r.Sections {
			r.Sections[i].New, r.Sections[i].Gone = Unknown, Unknown
		}
		return
	}
	earlier := make(map[string]Section, len(before.Sections))
	for _, s := range before.Sections {
		earlier[s.Key] = s
	}
	for i := range r.Sections {
		s := &r.Sections[i]
		s.New, s.Gone = Unknown, Unknown
		if then, ok := earlier[s.Key]; ok && s.comparable(then) {
			s.New, s.Gone = s.countNewAndGone(then.Rows)
		}
	}
	past := append(slices.Clone(before.Past), before.toPast())
	r.Past = past[max(0, len(past)-MostPast):]
}

func (s Section) comparable(then Section) bool {
	whole := s.Incomplete == "" && then.Incomplete == "" && !s.cut() && !then.cut()
	// A section without rows may have no columns.
	same := len(s.Rows) == 0 || len(then.Rows) == 0 || s.identity(s.Columns) == then.identity(then.Columns)
	return whole && same
}

// countNewAndGone compares rows by identity. Several rows of one identity all count.
func (s Section) countNewAndGone(then [][]string) (came, went int) {
	rows := make(map[string]int, len(then))
	for _, row := range then {
		rows[s.identity(row)]++
	}
	for _, row := range s.Rows {
		if rows[s.identity(row)] > 0 {
			rows[s.identity(row)]--
		} else {
			came++
		}
	}
	return came, len(then) - (len(s.Rows) - came)
}

func (r Report) toPast() Past {
	counts := make(map[string]int, len(r.Sections))
	for _, s := range r.Sections {
		if s.Incomplete == "" {
			counts[s.Key] = s.Count
		}
	}
	return Past{ID: r.ID, At: r.At, Counts: counts}
}

// identity returns what identifies one of the section's rows across reports.
func (s Section) identity(cells []string) string {
	return strings.Join(cells[:min(max(s.Identity, 1), len(cells))], "\x00")
}
