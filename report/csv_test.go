package report_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/report"
)

func TestCSVIsOneFlatTable(t *testing.T) {
	r := with("ana@acme.example", "bo, the second")
	r.Title, r.Sections[0].Title = "Access", "People"
	r.Sections[0].Rows[1][1] = ""
	r.Sections = append(r.Sections,
		report.Section{Key: "none", Title: "None", Severity: report.Act},
		report.Section{Key: "cut", Title: "Cut", Severity: report.Know, Columns: []string{"Name"},
			Rows: [][]string{{"x"}}, Count: 1234},
		report.Section{Key: "unseen", Title: "Unseen", Severity: report.Know, Incomplete: "refused"})
	require.Equal(t, "\ufeff"+`section,title,severity,identity,detail 1,detail 2,detail 3
report,Access,know,r,organization: acme,at: 2026-03-09T05:00:00Z,policy: 
k,People,look,ana@acme.example,Seen: 0,,
k,People,look,"bo, the second",,,
none,None,act,,note: nothing found,,
cut,Cut,know,,"note: 1 of 1,234 rows are here",,
cut,Cut,know,x,,,
unseen,Unseen,know,,note: not read: refused,,
`, written(t, r))
}

func TestCSVEscapesFormulas(t *testing.T) {
	for value, want := range map[string]string{
		`=HYPERLINK("https://evil.example")`: `'=HYPERLINK("https://evil.example")`,
		"+1":                                 "'+1",
		"-1":                                 "'-1",
		"@SUM(A1)":                           "'@SUM(A1)",
		"\tx":                                "'\tx",
		"\rx":                                "'⟨U+000D⟩x",
		"\r=1":                               "'⟨U+000D⟩'=1",
		"\nx":                                "'\nx",
		" =1":                                "' =1",
		"\u200b=1":                           "'⟨U+200B⟩=1",
		"\u202e=1":                           "'⟨U+202E⟩=1",
		"\u00a0=1":                           "'\u00a0=1",
		`"=1`:                                `'"=1`,
		"＝1":                                 "'＝1",
		"a;=1":                               "a;'=1",
		"a\n=1":                              "a\n'=1",
		"a\t@x":                              "a\t'@x",
		"ana@acme.example":                   "ana@acme.example",
		"a=b+c-d":                            "a=b+c-d",
		"a; b":                               "a; b",
		"it's":                               "it's",
		"":                                   "",
	} {
		r := with(value)
		r.Sections[0].Columns[1] = value // a detail begins with its column's name
		r.Title, r.Org, r.ID, r.Policy = value, value, value, value
		r.Facts = []report.Fact{{Name: value, Value: "1"}}
		lines := parsed(t, r)
		require.Equal(t, want, lines[2][3], "identity %q", value)
		require.Equal(t, want, lines[1][1], "title %q", value)
		for _, line := range lines {
			for _, cell := range line {
				require.NotRegexp(t, `(?m)(^|;)[\s"]*[=+@-]`, cell)
			}
		}
	}
}

func TestCSVHasEveryRowInOneWidth(t *testing.T) {
	r := sample(t, 2)
	rows, want := 0, 0
	for _, line := range parsed(t, r) { // the reader refuses lines of another width
		if line[0] != "report" && line[3] != "" {
			rows++
		}
	}
	for _, s := range r.Sections {
		want += len(s.Rows)
	}
	require.Equal(t, want, rows-1, "besides the head")
}

func TestCSVShortensLongCells(t *testing.T) {
	cell := parsed(t, with(strings.Repeat("ä", 40_000)))[2][3]
	require.LessOrEqual(t, len(cell), 32_000)
	require.Greater(t, len(cell), 31_990)
	require.True(t, strings.HasSuffix(cell, "ä…"))
}

func written(t *testing.T, r report.Report) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, r.CSV(&out))
	return out.String()
}

func parsed(t *testing.T, r report.Report) [][]string {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(written(t, r), "\ufeff"))).ReadAll()
	require.NoError(t, err)
	return lines
}
