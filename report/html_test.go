package report_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/report"
)

// Values as somebody might name a person or a group to harm who reads of it.
var attacks = []string{
	`<script>alert(1)</script>`, `</td></table><img src=x onerror=alert(1)>`, `"onmouseover="alert(1)`,
	`' style='display:none`,
	`</style><script>alert(1)</script>`, `javascript:alert(1)`, `{{.Title}}`, `-->`, `]]>`, `&lt;b&gt;`,
	`=HYPERLINK("https://evil.example")`,
	"ana\u202Egro.emca@", "a\u200bna", "two\nlines", "nul\x00", "bell\a", "not\xffutf8",
	`a"; } body { display: none } "`, `\"; color: red; --x:"`,
	strings.Repeat("x", 5000), "💥👩‍💻", "שלום", "",
}

// hostile returns a report with an attack in every place that takes text.
func hostile() report.Report {
	r := report.Report{At: monday}
	for i, a := range attacks {
		r.Facts = append(r.Facts, report.Fact{Name: a, Value: a})
		s := report.Section{
			Key: fmt.Sprintf("s-%d", i), Title: a, About: a, Severity: report.Act, Columns: []string{a, "x" + a},
			Rows: [][]string{{a, a}}, Count: 1,
		}
		if i%3 == 1 {
			s.Incomplete = a
		}
		// What no JSON can hold is tested for the page alone.
		r.Sections = append(r.Sections, s)
	}
	r.Title, r.Org, r.ID, r.Policy = attacks[0], attacks[1], attacks[2], attacks[3]
	for i := range r.Sections {
		if strings.Contains(r.Sections[i].Title, "\xff") {
			r.Sections = append(r.Sections[:i], r.Sections[i+1:]...)
			r.Facts = append(r.Facts[:i], r.Facts[i+1:]...)
			break
		}
	}
	return r
}

func TestHTMLEscapesEveryText(t *testing.T) {
	tame := hostile()
	for i := range tame.Sections {
		s := &tame.Sections[i]
		s.Title, s.About, s.Columns, s.Rows = "t", orNone(s.About), []string{"c", "d"}, [][]string{{"r", "s"}}
		s.Incomplete = orNone(s.Incomplete)
	}
	for i := range tame.Facts {
		tame.Facts[i] = report.Fact{Name: "n", Value: "v"}
	}
	tame.Title, tame.Org, tame.ID, tame.Policy = "t", "o", "i", "p"
	want, _ := read(t, tame)
	got, text := read(t, hostile())
	require.Equal(t, shape(want), shape(got), "hostile values make no element and no attribute")
	requireNotContains(t, text, "ZgotmplZ")
	require.Equal(t, -1, strings.IndexAny(text, "\u202a\u202e\u2066\u2069\u200b\u200e\u200f\a\x00"))
	requireContains(t, got.words, "ana⟨U+202E⟩gro.emca@")
	requireContains(t, got.words, "nul⟨U+0000⟩")
	requireContains(t, text, "💥👩‍💻")
	requireContains(t, text, strings.Repeat("x", 1997)+"…<")
	require.NotContains(t, text, strings.Repeat("x", 2001))
	require.Equal(t, attacks[0], got.part(t, "s-0").all("td")[0].words, "what is shown is the value")
	require.Equal(t, attacks[9], got.part(t, "s-9").all("td")[0].words, "not decoded twice")
}

func TestHTMLShowsInvalidUTF8(t *testing.T) {
	_, text := read(t, with("not\xffutf8"))
	requireContains(t, text, "not\ufffdutf8")
}

// TestHTMLStylesAreEscaped: the one attribute that is not escaped by the template holds names and sides only.
func TestHTMLStylesAreEscaped(t *testing.T) {
	page, _ := read(t, hostile())
	closed := regexp.MustCompile(`^(--name\d+:"([a-zA-Z0-9]|\\[0-9a-f]+ )*";(--side\d+:end;--room\d+:2\.5rem;)?)+$`)
	tables := 0
	for _, table := range page.all("table")[1:] {
		require.Regexp(t, closed, table.attrs["style"])
		tables++
	}
	require.Equal(t, len(hostile().Sections), tables)
}

func orNone(text string) string {
	if text == "" {
		return ""
	}
	return "words"
}

// shape returns the page's elements with the names of their attributes.
func shape(n *node) []string {
	var lines []string
	for _, e := range n.all("") {
		attrs := 0
		for name, value := range e.attrs {
			attrs++
			if strings.HasPrefix(name, "on") {
				lines = append(lines, name+"="+value)
			}
		}
		lines = append(lines, fmt.Sprintf("%s/%s %d", strings.Join(e.depth, "/"), e.name, attrs))
	}
	return lines
}

func TestHTMLLoadsNothing(t *testing.T) {
	page, text := read(t, sample(t, 8))
	for _, e := range page.all("") {
		require.NotContains(t, []string{"script", "link", "img", "iframe", "object", "embed", "base", "form", "input",
			"use", "image", "video", "audio"}, e.name)
		for _, name := range []string{"src", "srcset", "action", "background", "data", "poster"} {
			require.NotContains(t, e.attrs, name)
		}
		if href, ok := e.attrs["href"]; ok {
			require.True(t, strings.HasPrefix(href, "#"), href)
		}
	}
	style := page.all("style")[0].words
	requireNotContains(t, style, "url(")
	requireNotContains(t, style, "@import")
	requireNotContains(t, style, "@font-face")
	requireNotContains(t, style, "ZgotmplZ")
	requireContains(t, text, `content="default-src 'none';`)
}

func TestHTMLIsAccessible(t *testing.T) {
	page, _ := read(t, sample(t, 8))
	require.Equal(t, "en", page.all("html")[0].attrs["lang"])
	require.Len(t, page.all("h1"), 1)
	require.Len(t, page.all("h2"), 13)
	require.Len(t, page.all("main"), 1)
	ids := map[string]bool{}
	for _, e := range page.all("") {
		if id, ok := e.attrs["id"]; ok {
			require.False(t, ids[id], "id %s is there twice", id)
			ids[id] = true
		}
	}
	for _, e := range page.all("") {
		if href, ok := e.attrs["href"]; ok {
			require.True(t, ids[href[1:]], "%s leads nowhere", href)
		}
		if label, ok := e.attrs["aria-labelledby"]; ok {
			require.True(t, ids[label], "%s names nothing", label)
		}
	}
	for _, table := range page.all("table") {
		require.Equal(t, "caption", table.kids[0].name)
		require.NotEmpty(t, strings.TrimSpace(table.kids[0].words))
		columns := len(table.all("thead")[0].all("th"))
		for _, row := range table.all("tbody")[0].all("tr") {
			require.Len(t, row.kids, columns)
			require.Equal(t, "th", row.kids[0].name, "the row's identity heads it")
		}
	}
	for _, th := range page.all("th") {
		require.Contains(t, []string{"row", "col"}, th.attrs["scope"])
	}
	for _, svg := range page.all("svg") {
		require.Equal(t, "img", svg.attrs["role"])
		require.NotEmpty(t, svg.attrs["aria-label"])
	}
	for _, badge := range page.all("span") {
		if strings.HasPrefix(badge.attrs["class"], "badge") {
			require.Contains(t, []string{"Act", "Look", "Know"}, badge.words)
		}
	}
}

// TestHTMLContrast holds the colours of text to 4.5 : 1 on every ground they stand on, by day and by night (WCAG 2.2,
// AA).
func TestHTMLContrast(t *testing.T) {
	page, _ := read(t, report.Report{})
	roots := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(page.all("style")[0].words, -1)
	require.Len(t, roots, 2)
	for i, root := range roots {
		colours := map[string]string{}
		for _, c := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6})`).FindAllStringSubmatch(root[1], -1) {
			colours[c[1]] = c[2]
		}
		for _, pair := range [][2]string{
			{"ink", "paper"}, {"soft", "paper"}, {"link", "paper"}, {"ink", "look-paper"},
			{"act", "act-paper"}, {"look", "look-paper"}, {"know", "know-paper"}, {"act", "paper"}, {"look", "paper"},
			{"know", "paper"},
		} {
			require.GreaterOrEqual(t, contrast(t, colours[pair[0]], colours[pair[1]]), 4.5, "%d: %s on %s", i,
				pair[0], pair[1])
		}
	}
	require.InDelta(t, 21, contrast(t, "#000000", "#ffffff"), 0.01)
	require.InDelta(t, 4.54, contrast(t, "#767676", "#ffffff"), 0.01)
}

func contrast(t *testing.T, one, two string) float64 {
	t.Helper()
	light := func(colour string) float64 {
		require.Len(t, colour, 7)
		sum := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			part, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
			require.NoError(t, err)
			c := float64(part) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	a, b := light(one), light(two)
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

func TestHTMLOfAnEmptyReport(t *testing.T) {
	page, text := read(t, report.Report{Title: "Access", At: monday})
	requireContains(t, text, "nothing was looked at")
	require.Empty(t, page.all("table"))
	require.Equal(t, "Access", page.all("title")[0].words)
}

func TestHTMLOfASectionWithoutRows(t *testing.T) {
	page, text := read(t, with())
	requireContains(t, text, "Nothing to act on or to look at.")
	requireContains(t, page.part(t, "k").words, "Nothing found.")
	require.Empty(t, page.part(t, "k").all("table"))
	require.Equal(t, []string{"", "Look", "0"}, page.summary(t, "k"))
}

func TestHTMLOfAnIncompleteSection(t *testing.T) {
	earlier, r := with("a"), with()
	r.Sections[0].Incomplete = "HTTP 403"
	r.Compare(&earlier)
	page, _ := read(t, r)
	requireNotContains(t, page.part(t, "k").words, "Nothing found")
	requireContains(t, page.part(t, "k").words, "This could not be read, and what is there is not known: HTTP 403")
	require.Equal(t, []string{"", "Look", "not read", "not known", "not known"}, page.summary(t, "k"))
	require.Empty(t, page.all("svg"))
	requireContains(t, page.words, "1 section could not be read")
	requireNotContains(t, page.words, "to look at.\n1")
}

func TestHTMLFoldsRows(t *testing.T) {
	for rows, want := range map[int][]int{1: {1}, 15: {15}, 16: {10, 6}, 400: {10, 390}} {
		r := with(make([]string, rows)...)
		page, _ := read(t, r)
		var got []int
		for _, body := range page.part(t, "k").all("tbody") {
			got = append(got, len(body.kids))
		}
		require.Equal(t, want, got, "%d rows", rows)
		require.Len(t, page.all("details"), len(want)-1)
	}
}

func TestHTMLTellsThatRowsWereCut(t *testing.T) {
	r := with("a", "b")
	r.Sections[0].Count = 1203
	page, _ := read(t, r)
	requireContains(t, page.part(t, "k").words, "This report holds 2 of 1,203 rows; 1,201 are left out.")
	require.Equal(t, "1,203", page.summary(t, "k")[2])
}

func TestHTMLShowsChanges(t *testing.T) {
	earlier := with("a", "b")
	for want, now := range map[string]report.Report{
		"no change": with("b", "a"), "1 new": with("a", "b", "c"), "1 gone": with("a"), "2 new, 2 gone": with("c", "d"),
	} {
		now.Compare(&earlier)
		page, _ := read(t, now)
		require.Equal(t, want, page.summary(t, "k")[3])
		requireContains(t, page.part(t, "k").words, "Since the last report: "+want)
	}
	for want, count := range map[string]int{"1 fewer": 1, "as many": 2, "1,000 more": 1002} {
		now := with("a", "b", "c")
		now.Sections[0].Rows, now.Sections[0].Count = now.Sections[0].Rows[:1], count
		earlier.Sections[0].Rows = earlier.Sections[0].Rows[:1] // cut
		now.Compare(&earlier)
		page, _ := read(t, now)
		require.Equal(t, want, page.summary(t, "k")[3])
	}
	never := with("a", "b", "c") // New and Gone are zero
	never.Past = []report.Past{{Counts: map[string]int{"k": 2}}}
	page, _ := read(t, never)
	require.Equal(t, "1 more", page.summary(t, "k")[3])
}

func TestHTMLTrends(t *testing.T) {
	past := func(counts ...int) (past []report.Past) {
		for _, n := range counts {
			p := report.Past{At: monday, Counts: map[string]int{"k": n}}
			if n < 0 {
				p.Counts = nil
			}
			past = append(past, p)
		}
		return past
	}
	fifty := make([]int, 50)
	for i := range fifty {
		fifty[i] = 100 - i
	}
	for name, c := range map[string]struct {
		past        []report.Past
		path, words string
	}{
		"one": {past(4), "M4.0 4.0h0L108.0 14.0h0",
			"Over 2 reports: first 4, now 2; lowest 2, highest 4."},
		"two": {past(0, 4), "M4.0 24.0h0L56.0 4.0h0L108.0 14.0h0",
			"Over 3 reports: first 0, now 2; lowest 0, highest 4."},
		"with a gap": {past(2, -1), "M4.0 4.0h0M108.0 4.0h0",
			"Over 2 reports: first 2, now 2; lowest 2, highest 2."},
		"begins later": {past(-1, -1, 1), "M4.0 14.0h0L108.0 4.0h0",
			"Over 2 reports: first 1, now 2; lowest 1, highest 2."},
		"nothing known":    {past(-1), "", ""},
		"no report before": {nil, "", ""},
		"fifty": {past(fifty...), "M4.0 4.0h0L6.1 4.2h0",
			"Over 51 reports: first 100, now 2; lowest 2, highest 100."},
	} {
		r := with("a", "b")
		r.Past = c.past
		page, _ := read(t, r)
		drawings := page.all("svg")
		if c.path == "" {
			require.Empty(t, drawings, name)
			continue
		}
		require.Len(t, drawings, 1, name)
		require.Equal(t, c.words, drawings[0].attrs["aria-label"], name)
		require.True(t, strings.HasPrefix(drawings[0].all("path")[1].attrs["d"], c.path), "%s: %s", name,
			drawings[0].all("path")[1].attrs["d"])
		for _, at := range regexp.MustCompile(`[0-9.]+ [0-9.]+`).FindAllString(drawings[0].all("path")[1].attrs["d"],
			-1) {
			var x, y float64
			_, err := fmt.Sscan(at, &x, &y)
			require.NoError(t, err)
			require.True(t, x >= 4 && x <= 108 && y >= 4 && y <= 24, "%s: %s is outside", name, at)
		}
	}
}

func TestHTMLTrendOfZeros(t *testing.T) {
	r := with()
	r.Past = []report.Past{{Counts: map[string]int{"k": 0}}}
	page, _ := read(t, r)
	require.Equal(t, "M4.0 24.0h0L108.0 24.0h0", page.all("svg")[0].all("path")[1].attrs["d"])
}

func TestHTMLAlignsNumbersRight(t *testing.T) {
	r := with("a", "b")
	r.Sections[0].Columns = []string{"7", "Days"}
	r.Sections[0].Rows = [][]string{{"1", "1,200"}, {"2", ""}}
	page, _ := read(t, r)
	require.Equal(t, `--name1:"7";--name2:"Days";--side2:end;--room2:2.5rem;`, page.all("table")[1].attrs["style"])
	r.Sections[0].Rows[1][1] = "2026-01-02"
	page, _ = read(t, r)
	require.NotContains(t, page.all("table")[1].attrs["style"], "side")
}

// TestHTMLNarrowsTheWidestColumn: a column of dates keeps the room that its dates need.
func TestHTMLNarrowsTheWidestColumn(t *testing.T) {
	r := with("a")
	r.Sections[0].Columns = []string{"Person", "Since", "Why"}
	r.Sections[0].Rows = [][]string{{"ana.almeida@acme.example", "2026-01-02", strings.Repeat("because ", 300)}}
	page, _ := read(t, r)
	var widths []string
	for _, col := range page.part(t, "k").all("col") {
		widths = append(widths, col.attrs["style"])
	}
	require.Equal(t, []string{"width:27%", "width:12%", "width:59%"}, widths)
}

func TestHTMLOfTenThousandRows(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, large().HTML(&out))
	require.Equal(t, 10_000, strings.Count(out.String(), `<th scope="row">`)-1)
	require.Less(t, out.Len(), 2<<20, "bytes")
}

func large() report.Report {
	r := with()
	r.Sections[0].Columns = []string{"Person", "Group", "Product", "Days"}
	r.Sections[0].Rows = people(0, 10_000, "site-engineering-users", "Confluence", "391")
	r.Sections[0].Count = 10_000
	return r
}

func BenchmarkTenThousandRows(b *testing.B) {
	r := large()
	for form, write := range formats(r) {
		b.Run(form, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, write(io.Discard))
			}
		})
	}
}
