package report

import (
	"slices"
	"strings"
)

// Compare fills in New and Gone of each section from the rows of the report before, and makes Past that report's Past
// followed by its own counts, the oldest left out beyond MostPast. Comparing twice is as comparing once.
//
// New and Gone become Unknown where nothing can be said: the section was incomplete or cut on either side, the report
// before did not have it, or its rows had another identity (the first column's name). With nil, or with a report of
// another organization, all are Unknown and Past stays as it was.
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
			s.New, s.Gone = s.cameAndWent(then.Rows)
		}
	}
	past := append(slices.Clone(before.Past), before.asPast())
	r.Past = past[max(0, len(past)-MostPast):]
}

func (s Section) comparable(then Section) bool {
	whole := s.Incomplete == "" && then.Incomplete == "" && !s.cut() && !then.cut()
	// A section without rows may have been made without columns.
	same := len(s.Rows) == 0 || len(then.Rows) == 0 || s.identity(s.Columns) == then.identity(then.Columns)
	return whole && same
}

// cameAndWent counts rows by identity. An identity may stand in several rows: each counts.
func (s Section) cameAndWent(then [][]string) (came, went int) {
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

func (r Report) asPast() Past {
	counts := make(map[string]int, len(r.Sections))
	for _, s := range r.Sections {
		if s.Incomplete == "" {
			counts[s.Key] = s.Count
		}
	}
	return Past{ID: r.ID, At: r.At, Counts: counts}
}

// identity is what makes one of the section's rows the same in another report.
func (s Section) identity(cells []string) string {
	return strings.Join(cells[:min(max(s.Identity, 1), len(cells))], "\x00")
}
