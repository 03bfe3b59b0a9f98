package report_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/report"
)

// with returns a report of one section with these identities.
func with(identities ...string) report.Report {
	s := report.Section{Key: "k", Severity: report.Look, Columns: []string{"Person", "Seen"}, Count: len(identities)}
	for i, identity := range identities {
		s.Rows = append(s.Rows, []string{identity, fmt.Sprint(i)})
	}
	return report.Report{Org: "acme", ID: "r", At: monday, Sections: []report.Section{s}}
}

func TestCompareCountsNewAndGone(t *testing.T) {
	for name, c := range map[string]struct {
		before, now report.Report
		came, went  int
	}{
		"the same, in another order":   {with("a", "b"), with("b", "a"), 0, 0},
		"one came":                     {with("a"), with("a", "b"), 1, 0},
		"one went":                     {with("a", "b"), with("b"), 0, 1},
		"one for another":              {with("a", "b"), with("b", "c"), 1, 1},
		"the first":                    {with(), with("a", "b"), 2, 0},
		"the last":                     {with("a", "b"), with(), 0, 2},
		"nothing":                      {with(), with(), 0, 0},
		"one of three rows of one":     {with("a", "a", "a"), with("a", "a"), 0, 1},
		"another row of one":           {with("a", "b"), with("a", "a"), 1, 1},
		"case is part of the identity": {with("a"), with("A"), 1, 1},
	} {
		c.now.Compare(&c.before)
		require.Equal(t, c.came, c.now.Sections[0].New, "%s: new", name)
		require.Equal(t, c.went, c.now.Sections[0].Gone, "%s: gone", name)
	}
}

func TestCompareUnknown(t *testing.T) {
	for name, spoil := range map[string]func(before, now *report.Report){
		"incomplete before": func(before, _ *report.Report) { before.Sections[0].Incomplete = "refused" },
		"incomplete now":    func(_, now *report.Report) { now.Sections[0].Incomplete = "refused" },
		"cut before":        func(before, _ *report.Report) { before.Sections[0].Count = 9 },
		"cut now":           func(_, now *report.Report) { now.Sections[0].Count = 9 },
		"a new section":     func(before, _ *report.Report) { before.Sections[0].Key = "other" },
		"another identity": func(before,
			_ *report.Report) {
			before.Sections[0].Columns = []string{"Account", "Seen"}
		},
		"other organization": func(before, _ *report.Report) { before.Org = "other" },
	} {
		before, now := with("a"), with("a", "b")
		spoil(&before, &now)
		now.Compare(&before)
		require.Equal(t, report.Unknown, now.Sections[0].New, "%s: new", name)
		require.Equal(t, report.Unknown, now.Sections[0].Gone, "%s: gone", name)
	}
	alone := with("a")
	alone.Past = []report.Past{{ID: "kept"}}
	alone.Compare(nil)
	require.Equal(t, report.Unknown, alone.Sections[0].New)
	require.Equal(t, report.Unknown, alone.Sections[0].Gone)
	require.Equal(t, []report.Past{{ID: "kept"}}, alone.Past)
}

func TestCompareIgnoresDetailColumns(t *testing.T) {
	before, now := with("a"), with("a", "b")
	before.Sections[0].Columns = []string{"Person", "Last seen"}
	now.Compare(&before)
	require.Equal(t, 1, now.Sections[0].New)
}

func TestCompareAppendsPast(t *testing.T) {
	before, now := with("a"), with("a", "b")
	before.Past = append(make([]report.Past, 0, 9), report.Past{ID: "oldest", Counts: map[string]int{"k": 7}})
	before.ID = "before"
	before.Sections = append(before.Sections,
		report.Section{Key: "unseen", Severity: report.Know, Incomplete: "refused", Count: 4},
		report.Section{Key: "cut", Severity: report.Know, Count: 1200})
	want := []report.Past{{ID: "oldest", Counts: map[string]int{"k": 7}},
		{ID: "before", At: monday, Counts: map[string]int{"k": 1, "cut": 1200}}}
	now.Compare(&before)
	require.Equal(t, want, now.Past)
	now.Compare(&before)
	require.Equal(t, want, now.Past, "comparing again")
	require.Zero(t, before.Past[:2][1], "the report before is left as it was, its spare room too")
}

func TestCompareLimitsPast(t *testing.T) {
	r := with("a")
	for i := range 60 {
		next := with("a")
		next.ID = fmt.Sprint(i)
		next.Compare(&r)
		r = next
	}
	require.Len(t, r.Past, report.MostPast)
	require.Equal(t, "58", r.Past[len(r.Past)-1].ID)
	require.Equal(t, "7", r.Past[0].ID)
}
