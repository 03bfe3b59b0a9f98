package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// sheetOf writes items as bo exports them.
func sheetOf(t require.TestingT, separator rune, items ...access.Item) string {
	var out bytes.Buffer
	w, err := newSheetWriter(&out, quarterly, separator, func(s access.ItemDecision) bool { return s.By == "bo@acme.example" })
	require.NoError(t, err)
	for _, i := range items {
		require.NoError(t, w.item(i))
	}
	require.NoError(t, w.close())
	return out.String()
}

func versioned(n int) *int { return &n }

func TestSheetWriter(t *testing.T) {
	text := sheetOf(t, ',', fullItem(), bareItem())
	require.True(t, strings.HasPrefix(text, "\ufeffreview,item,version,verdict,comment,risk,person,name,"), text)
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	require.Equal(t, []string{
		"quarterly:2026-03-02", "1", "2", "keep", "", "85", "ana@partner.example", "Ana Ray", "yes", "cy@acme.example",
		"group:jira-admins",
		"jira/acme, confluence/acme", "mapping admins (source group it); grant g1", "2026-01-02", "Castellan",
		"jira/acme 2026-02-27, confluence/acme never, jsm/acme not known", "2 of 14 others in it hold it", "remove",
		"2 of 14 peers hold it",
		"protected, few peers", "keep by dan@acme.example on 2025-12-02", "remove by cy@acme.example: left\nthe team",
		"712020:ana", "acme",
	}, rows[1])
	require.Equal(t, []string{
		"quarterly:2026-03-02", "12", "0", "", "", "3", "712020:x", "", "not known", "", "role:org-admin", "",
		"nothing in the policy explains it",
		"not known", "someone else", "not known", "nobody to compare with", "", "", "", "", "", "712020:x", "acme",
	}, rows[2])
}

var dangerous = regexp.MustCompile(`(^|[;\t\r\n])[\s"]*[=+\-@＝＋－＠]`)

func TestSheetWriterEscapesFormulas(t *testing.T) {
	for _, hostile := range []string{
		`=HYPERLINK("http://evil")`, "+1", "-1", "@SUM(1)", " =1", "\t=1", "\r=1", "\n=1", `"=1`, "'=1", "''=1", "＝1",
		"a;=1", "a\n=1", "a\t+1",
		"\u200b=1", "\tx", "\rx", "\nx", "'\nx", "x;'=1", ";=;=", "--", "=", "\"\n\"=1",
	} {
		i := bareItem()
		i.Name, i.Because, i.Risks = hostile, hostile, []string{hostile}
		i.Said = []access.ItemDecision{{By: "bo@acme.example", Verdict: access.VerdictKeep, Comment: hostile},
			{By: "cy@acme.example", Verdict: access.VerdictKeep, Comment: hostile}}
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(sheetOf(t, ',', i), "\ufeff"))).ReadAll()
		require.NoError(t, err)
		for n, cell := range rows[1] {
			require.NotRegexp(t, dangerous, cell, "%q in %s", hostile, sheetColumns[n])
			require.NotRegexp(t, `^[\t\r\n]`, cell)
		}
		require.Equal(t, hostile, display.UnescapeFormula(display.EscapeFormula(hostile)),
			"%q is read back as it was", hostile)
	}
}

func TestReadSheetUnescapesFormulas(t *testing.T) {
	cell := rapid.StringOf(rapid.SampledFrom([]rune("ab'\"= +-@;\t\n\r\u200bü＝")))
	rapid.Check(t, func(t *rapid.T) {
		text := cell.Draw(t, "cell")
		guarded := display.EscapeFormula(text)
		require.NotRegexp(t, dangerous, guarded)
		require.Equal(t, text, display.UnescapeFormula(guarded))
	})
}

func TestReadSheetReadsWhatSheetWriterWrote(t *testing.T) {
	comment := rapid.OneOf(rapid.Just(""), rapid.StringOf(rapid.SampledFrom([]rune("ab,;'\"= +-@\n\tü―\u200b😀"))),
		rapid.StringN(0, 200, -1).Filter(func(s string) bool { return !strings.Contains(s, "\r") }))
	verdict := rapid.SampledFrom([]access.Verdict{"", access.VerdictKeep, access.VerdictRemove})
	rapid.Check(t, func(t *rapid.T) {
		var items []access.Item
		var want []messages.DecideLine
		for n := range rapid.IntRange(0, 8).Draw(t, "items") {
			i := bareItem()
			i.N, i.Version, i.Name, i.Because = n+1, rapid.IntRange(0, 9).Draw(t, "version"), comment.Draw(t, "name"),
				comment.Draw(t, "because")
			if v := verdict.Draw(t, "verdict"); v != "" {
				i.Said = []access.ItemDecision{{By: "bo@acme.example", Verdict: v, Comment: comment.Draw(t, "comment")}}
				want = append(want, messages.DecideLine{Item: i.N, Verdict: v, Comment: i.Said[0].Comment,
					Version: versioned(i.Version)})
			}
			items = append(items, i)
		}
		text := sheetOf(t, rapid.SampledFrom([]rune(",;\t")).Draw(t, "separator"), items...)
		if rapid.Bool().Draw(t, "without a mark") {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if rapid.Bool().Draw(t, "CRLF") {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		filled, err := readSheet(strings.NewReader(text))
		require.NoError(t, err)
		var got []messages.DecideLine
		for _, line := range filled.linesFor(quarterly) {
			got = append(got, line.DecideLine)
		}
		require.Empty(t, filled.refused)
		require.Equal(t, want, got)
		require.Equal(t, len(items)-len(want), filled.empty)
	})
}

func TestReadSheetAcceptsWhatSpreadsheetsWrite(t *testing.T) {
	want := []sheetLine{
		{line: 2, review: quarterly.id,
			DecideLine: messages.DecideLine{Item: 1, Verdict: access.VerdictKeep, Comment: "nötig; noch",
				Version: versioned(2)}},
		{line: 4, review: quarterly.id,
			DecideLine: messages.DecideLine{Item: 3, Verdict: access.VerdictRemove, Version: versioned(0)}},
	}
	for name, text := range map[string]string{
		"German Excel":  "\ufeffreview;item;version;verdict;comment\r\nquarterly:2026-03-02;1;2;Keep;\"nötig; noch\"\r\nquarterly:2026-03-02;2;0;;\r\nquarterly:2026-03-02;3;0;REMOVE;\r\n;;;;\r\n",
		"commas":        "review,item,version,verdict,comment\nquarterly:2026-03-02,1,2,keep,nötig; noch\nquarterly:2026-03-02,2,0,,\nquarterly:2026-03-02,3,0, remove ,\n,,,,\n",
		"tabs":          "review\titem\tversion\tverdict\tcomment\nquarterly:2026-03-02\t1\t2\tkeep\tnötig; noch\nquarterly:2026-03-02\t2\t0\t\t\nquarterly:2026-03-02\t3\t0\tremove\t\n\t\t\t\t\n",
		"another order": "Comment, VERDICT ,mine,version,Item,Review\nnötig; noch,keep,,2,1,quarterly:2026-03-02\n,,,0,2,quarterly:2026-03-02\n,remove,x,0,3,quarterly:2026-03-02\n,,,,,\n",
		"cut lines":     "review,item,version,verdict,comment\nquarterly:2026-03-02,1,2,keep,nötig; noch\nquarterly:2026-03-02,2\nquarterly:2026-03-02,3,0,remove\n,\n",
	} {
		for end, saved := range map[string]string{"": text,
			"bare CR": strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r")} {
			filled, err := readSheet(strings.NewReader(saved))
			require.NoError(t, err, "%s %s", name, end)
			require.Equal(t, sheet{review: quarterly.id, lines: want, empty: 2}, filled, "%s %s", name, end)
			for _, order := range []unicode.Endianness{unicode.LittleEndian, unicode.BigEndian} {
				wide, err := unicode.UTF16(order,
					unicode.UseBOM).NewEncoder().String(strings.TrimPrefix(saved, byteOrderMark))
				require.NoError(t, err)
				filled, err = readSheet(strings.NewReader(wide))
				require.NoError(t, err, "%s %s", name, end)
				require.Equal(t, sheet{review: quarterly.id, lines: want, empty: 2}, filled, "%s %s", name, end)
			}
		}
	}
}

func TestReadSheetHonoursASeparatorLine(t *testing.T) {
	want := []sheetLine{{line: 3, review: quarterly.id,
		DecideLine: messages.DecideLine{Item: 1, Verdict: access.VerdictKeep, Comment: "a, b"}}}
	for _, text := range []string{
		"sep=;\r\nreview;item;verdict;comment\r\nquarterly:2026-03-02;1;keep;a, b\r\n",
		"\ufeff\"sep=;\";;;\rreview;item;verdict;comment\rquarterly:2026-03-02;1;keep;a, b\r",
		"SEP=|\nreview|item|verdict|comment\nquarterly:2026-03-02|1|keep|a, b\n",
		"sep=\t\nreview\titem\tverdict\tcomment\nquarterly:2026-03-02\t1\tkeep\ta, b\n",
	} {
		filled, err := readSheet(strings.NewReader(text))
		require.NoError(t, err, text)
		require.Equal(t, sheet{review: quarterly.id, lines: want}, filled, text)
	}
	_, err := readSheet(strings.NewReader("sep=;\nreview,item,verdict\nr,1,keep\n"))
	require.ErrorContains(t, err, "are missing")
}

func TestOpenSheetRefusesOneWithoutAVerdict(t *testing.T) {
	for text, want := range map[string]string{"item,verdict\r": "0 lines without one",
		"item,verdict\r1,\r2,\r": "2 lines without one"} {
		file := filepath.Join(t.TempDir(), "mine.csv")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := openSheet(file)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, file)
	}
}

func TestReadSheetErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "line 1: the columns item and verdict are missing",
		"a,b\n1,keep\n":                          "starter review export writes them",
		"item,verdict,Item\n1,keep,1\n":          "line 1: it has two columns named item",
		"item,verdict\n1,\"keep\n":               `line 2, column 9: extraneous or missing " in quoted-field`,
		"item,verdict,comment\n1,keep,gr\xfcn\n": `it is not in UTF-8: save it as UTF-8 (Excel: "CSV UTF-8")`,
		"\xff\xfei\x00t\x00e\x00m\x00":           "line 1: the columns",
		"i\x00t\x00e\x00m\x00":                   "it is not in UTF-8",
	} {
		_, err := readSheet(strings.NewReader(text))
		require.ErrorContains(t, err, want, "%q", text)
	}
}

func TestReadPolicyDoesNotMentionSpreadsheets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acme.yaml")
	require.NoError(t, os.WriteFile(file, []byte("version: 1 # gr\xfcn\n"), 0o600))
	_, _, err := readPolicy(file)
	require.EqualError(t, err, file+": it is not in UTF-8: save it as UTF-8")
}

func TestReadSheetAcceptsDecimals(t *testing.T) {
	filled, err := readSheet(strings.NewReader(
		"\ufeff\ufeffreview;item;version;verdict\nr;3.0;2.00;keep\nr;4,0;0,0;keep\nr;1.000;0;keep\nr;1.5;0;keep\n"))
	require.NoError(t, err)
	require.Equal(t, []refusedLine{{4, 0, `item "1.000" is not an item's number`},
		{5, 0, `item "1.5" is not an item's number`}}, filled.refused)
	require.Len(t, filled.lines, 2)
	require.Equal(t, messages.DecideLine{Item: 3, Verdict: access.VerdictKeep, Version: versioned(2)},
		filled.lines[0].DecideLine)
	require.Equal(t, messages.DecideLine{Item: 4, Verdict: access.VerdictKeep, Version: versioned(0)},
		filled.lines[1].DecideLine)
}

func TestReadSheetRefusesLineByLine(t *testing.T) {
	filled, err := readSheet(strings.NewReader(strings.Join([]string{
		"org,review,item,version,verdict,comment",
		",quarterly:2026-03-02,1,0,keep,", // 2
		",,2,,remove,typed by hand",       // 3: no review, no version
		",quarterly:2026-03-02,3,0,yes,",
		",quarterly:2026-03-02,x,0,keep,",
		",quarterly:2026-03-02,0,0,keep,",
		",quarterly:2026-03-02,6,v1,keep,",
		",quarterly:2026-01-01,7,0,keep,", // 8
		"beta,quarterly:2026-03-02,7,0,keep,",
		",quarterly:2026-03-02,8,0,keep,a", // 10: twice, and not alike
		",quarterly:2026-03-02,9,0,keep,same",
		",quarterly:2026-03-02,8,0,remove,a",
		",quarterly:2026-03-02,9,0,Keep,same", // 13: twice, alike
		",quarterly:2026-03-02,10,0,,talk",
		",quarterly:2026-03-02,11,0,keep," + strings.Repeat("x", 1001),
	}, "\n")))
	require.NoError(t, err)
	org, review := filled.org, filled.review
	require.Empty(t, org)
	require.Equal(t, quarterly.id, review)
	var lines []int
	for _, line := range filled.linesFor(quarterly) {
		lines = append(lines, line.line)
	}
	require.Equal(t, []int{2, 3, 11}, lines)
	require.ElementsMatch(t, []refusedLine{
		{4, 3, `"yes" is not a verdict: write keep or remove, or nothing`},
		{5, 0, `item "x" is not an item's number`},
		{6, 0, `item "0" is not an item's number`},
		{7, 6, `version "v1" is not a number: leave it as it was exported`},
		{8, 7, "it belongs to another review: quarterly:2026-01-01"},
		{9, 7, "it belongs to another review: quarterly:2026-03-02 of beta"},
		{10, 8, "line 12 decides the same item differently"},
		{12, 8, "line 10 decides the same item differently"},
		{15, 11, "the comment has 1001 characters; at most 1000 are allowed"},
	}, filled.refused)
	require.Equal(t, 1, filled.empty)
	require.Equal(t, 1, filled.commentOnly)
}
