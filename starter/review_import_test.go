package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/messages"
)

// commandArgs splits a command line; R stands for a review.
func commandArgs(typed string) []string {
	return strings.Fields(strings.ReplaceAll(typed, "R", quarterly.id))
}

// fakeReview records bo's decisions, and refuses some.
type fakeReview struct {
	refuses map[int]string
	said    map[int]messages.DecideLine
	sent    []int // lines, by update
}

func (d *fakeReview) update(lines []messages.DecideLine) (messages.ReviewAnswer, error) {
	d.sent = append(d.sent, len(lines))
	var a messages.ReviewAnswer
	for _, line := range lines {
		switch before, known := d.said[line.Item]; {
		case d.refuses[line.Item] != "":
			if a.Declined++; len(a.Refused) < messages.MostRefusedItems {
				a.Refused = append(a.Refused, messages.RefusedItem{Item: line.Item, Why: d.refuses[line.Item]})
			}
		case known && before.Verdict == line.Verdict && before.Comment == line.Comment:
			a.Repeated++
		default:
			d.said[line.Item] = line
			a.Applied++
		}
	}
	a.Left = 1000 - len(d.said)
	return a, nil
}

// filled returns a sheet with items 1 to n, all keep.
func filled(n int) *sheet {
	var s sheet
	for i := range n {
		s.lines = append(s.lines, sheetLine{line: i + 2, review: quarterly.id,
			DecideLine: messages.DecideLine{Item: i + 1, Verdict: access.VerdictKeep}})
	}
	return &s
}

func TestSendSheetReportsEveryRefusedLine(t *testing.T) {
	d := &fakeReview{refuses: map[int]string{}, said: map[int]messages.DecideLine{}}
	for n := 1; n <= 120; n++ {
		d.refuses[n*5] = "it was decided or commented on since"
	}
	s := filled(700)
	s.refused = []refusedLine{{Line: 900, Why: "unreadable"}}
	sum, err := sendSheet(s, quarterly, d.update)
	require.NoError(t, err)
	require.Equal(t, 701, sum.Lines)
	require.Equal(t, 580, sum.Applied)
	require.Zero(t, sum.Repeated)
	require.Zero(t, sum.Unconfirmed)
	require.Len(t, sum.Refused, 121)
	for n, r := range sum.Refused[:120] {
		require.Equal(t, refusedLine{(n+1)*5 + 1, (n + 1) * 5, "it was decided or commented on since"}, r,
			"in the order of the file")
	}
	require.Equal(t, []int{500, 450, 200}, d.sent, "what one answer cannot name is asked for again")
	require.Equal(t, 420, *sum.Left)

	again, err := sendSheet(filled(700), quarterly, d.update)
	require.NoError(t, err)
	require.Zero(t, again.Applied, "the same file again changes nothing")
	require.Equal(t, 580, again.Repeated)
	require.Len(t, again.Refused, 120)
}

func TestSendSheetTellsHowFarItGot(t *testing.T) {
	d := &fakeReview{said: map[int]messages.DecideLine{}}
	sum, err := sendSheet(filled(1200), quarterly, func(lines []messages.DecideLine) (messages.ReviewAnswer, error) {
		if len(d.sent) == 2 {
			return messages.ReviewAnswer{}, temporal.NewApplicationError("deciding is over", "Refused")
		}
		return d.update(lines)
	})
	require.Equal(t, "stopped at line 1002: deciding is over\nthe lines before it were applied; importing the same file again continues from there", errorText(err))
	require.Equal(t, 1000, sum.Applied)
	require.Equal(t, 200, sum.Unconfirmed)
}

func TestBatchesAreBounded(t *testing.T) {
	s := filled(1001)
	for n := range s.lines[:10] {
		s.lines[n].Comment = strings.Repeat("x", 100_000)
	}
	var sizes []int
	for _, batch := range batches(s.lines) {
		sizes = append(sizes, len(batch))
	}
	require.Equal(t, []int{2, 2, 2, 2, 500, 493}, sizes)
	require.Empty(t, batches(nil))
}

func TestReviewImportReportsEachLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.csv")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join([]string{
		"\ufeffreview;item;version;verdict;comment",
		"quarterly:2026-03-02;1;0;keep;",
		"quarterly:2026-03-02;2;0;remove;left",
		"quarterly:2026-03-02;3;0;maybe;",
		"quarterly:2026-03-02;4;0;keep;",
		"quarterly:2026-03-02;5;0;;hm",
		"quarterly:2026-03-02;6;0;;",
		"quarterly:2026-03-02;7;0;keep;",
	}, "\r\n")), 0o600))
	d := &fakeReview{
		refuses: map[int]string{4: "it was decided or commented on since this was exported; look at it again"},
		said:    map[int]messages.DecideLine{7: {Item: 7, Verdict: access.VerdictKeep}},
	}
	f := &fakeTemporal{update: func(_ int, _ string, body any) (any,
		error) {
		return d.update(body.(messages.DecideInput).Lines)
	}}
	s, out, _ := f.session()
	s.code = config.NewSecret("abcd-efgh")
	err := f.run(t, s, "", "import", file)
	require.EqualError(t, err, "2 lines were refused; all others are applied")
	require.Equal(t, `line 4: item 3: "maybe" is not a verdict: write keep or remove, or nothing
line 5: item 4: it was decided or commented on since this was exported; look at it again
`+file+`, review quarterly:2026-03-02: 5 lines with a verdict: 2 applied, 1 recorded before, 2 refused; 2 without a verdict
1 line has a comment but no verdict, and was ignored: use starter review comment
997 items left to decide
`, out.String())
	require.Len(t, f.heard, 1)
	body := f.heard[0].Args[0].(messages.DecideInput)
	require.Equal(t, messages.Proof(messages.CodeHash("ABCDEFGH"), quarterly.workflow(), messages.DecideItems, body),
		body.Proof)
	require.Equal(t, []messages.DecideLine{
		{Item: 1, Verdict: access.VerdictKeep, Version: versioned(0)},
		{Item: 2, Verdict: access.VerdictRemove, Comment: "left", Version: versioned(0)},
		{Item: 4, Verdict: access.VerdictKeep, Version: versioned(0)},
		{Item: 7, Verdict: access.VerdictKeep, Version: versioned(0)},
	}, body.Lines)

	out.Reset()
	s.json = true
	require.Error(t, f.run(t, s, "", "import", file, quarterly.id))
	var answer importAnswer
	require.NoError(t, json.Unmarshal(out.Bytes(), &answer))
	require.Zero(t, answer.Applied)
	require.Equal(t, 3, answer.Repeated)

	require.ErrorContains(t, f.run(t, s, "", "import", file, "quarterly:2026-01-01"), "5 lines were refused")
	require.Len(t, f.heard, 2, "nothing is sent of another review's file")
}

func TestReviewImportOfOnlyUnreadableLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.csv")
	for text, want := range map[string]string{
		"quarterly:2026-03-02,1,keep," +
			strings.Repeat("x", 1001): "line 2: item 1: the comment has 1001 characters; at most 1000 are allowed\n" +
			file + ", review quarterly:2026-03-02: 1 line",
		"quarterly:2026-03-02,one,keep,": "line 2: item \"one\" is not an item's number\n" +
			file + ", review quarterly:2026-03-02: 1 line",
		",0,keep,": "line 2: item \"0\" is not an item's number\n" + file +
			": 1 line",
	} {
		require.NoError(t, os.WriteFile(file, []byte("review,item,verdict,comment\n"+text+"\n"), 0o600))
		f := &fakeTemporal{}
		s, out, _ := f.session()
		require.EqualError(t, f.run(t, s, "", "import", file),
			"1 line was refused; nothing was applied")
		require.Contains(t, out.String(), want)
		require.Empty(t, f.heard)
	}

	require.NoError(t, os.WriteFile(file, []byte("review,item,verdict\nquarterly:2026-03-02,x,keep\n,2,keep\n"), 0o600))
	f := &fakeTemporal{update: func(int, string, any) (any, error) {
		return messages.ReviewAnswer{Applied: 1, Left: 2},
			nil
	}}
	s, _, _ := f.session()
	require.EqualError(t, f.run(t, s, "", "import", file), "1 line was refused; all others are applied",
		"the line that cannot be read names the review")
}

func TestReviewImportNeedsAReview(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.csv")
	require.NoError(t, os.WriteFile(file, []byte("item,verdict\n1,keep\n"), 0o600))
	f := &fakeTemporal{update: func(int, string, any) (any, error) {
		return messages.ReviewAnswer{Applied: 1, Left: 2},
			nil
	}}
	s, out, _ := f.session()
	require.ErrorContains(t, f.run(t, s, "", "import", file), "give it after the file")
	require.NoError(t, f.run(t, s, "", "import", file, quarterly.id))
	require.Contains(t, out.String(), "1 line with a verdict: 1 applied")
	require.ErrorContains(t, f.run(t, s, "", "import", file+"x"), "no such file")
}

func TestReviewExportReadsEveryPage(t *testing.T) {
	var items []access.Item
	for n := range 3 {
		i := fullItem()
		i.N = n + 1
		items = append(items, i)
	}
	items[2].Said[0].Stage = 7 // said in another stage
	f := &fakeTemporal{answer: func(in messages.ReportInput) (messages.ReportAnswer, error) {
		if in.Kind == messages.ReportWhy {
			return messages.ReportAnswer{Why: &messages.Why{Person: access.Person{ID: "bo@acme.example",
				Email: "bo.lee@acme.example"}}}, nil
		}
		after, _ := strconv.Atoi(in.After)
		answer := messages.ReportAnswer{Items: items[after : after+1],
			Review: &messages.ReviewStatus{Review: listed("2026-03-02", access.ReviewOpen).Review}}
		if after < 2 {
			answer.Next = fmt.Sprint(after + 1)
		}
		return answer, nil
	}}
	file := filepath.Join(t.TempDir(), "mine.csv")
	s, out, _ := f.session()
	s.givenBy = "712020:5b1c-77"
	require.NoError(t, f.run(t, s, "", "export", quarterly.id, "--mine", "--semicolons", "--out", file))
	require.Equal(t, file+": 3 items of review quarterly:2026-03-02 of acme\nfill in verdict and comment, then: starter review import "+file+"\n", out.String())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	require.True(t, strings.HasPrefix(lines[0], "\ufeffreview;item;version;verdict;comment;risk;"), lines[0])
	require.True(t, strings.HasPrefix(lines[1], "quarterly:2026-03-02;1;2;keep;;85;"), lines[1])
	filled, err := openSheet(file)
	require.NoError(t, err)
	require.Len(t, filled.lines, 2, "what was said in another stage is not said in this one")
	require.Equal(t, "acme", filled.lines[0].org)
	for _, in := range f.asked {
		if in.Kind == messages.ReportReview {
			require.Equal(t, messages.MostItems, in.Limit)
			require.Equal(t, "712020:5b1c-77", in.By)
		}
	}
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing is left beside it")

	s, out, _ = f.session()
	require.NoError(t, f.run(t, s, "", "export", quarterly.id))
	require.True(t, strings.HasPrefix(out.String(), "\ufeffreview,item,"), "to standard output, and nothing else")
	require.Equal(t, 3, strings.Count(out.String(), "quarterly:2026-03-02,"))
}

func TestWriteAtomically(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.csv")
	require.NoError(t, os.WriteFile(file, []byte("before"), 0o600))
	f := &fakeTemporal{answer: func(in messages.ReportInput) (messages.ReportAnswer, error) {
		if in.After == "" {
			return messages.ReportAnswer{Items: []access.Item{fullItem()}, Next: "1"}, nil
		}
		return messages.ReportAnswer{}, errors.New("the worker is gone")
	}}
	s, _, _ := f.session()
	require.ErrorContains(t, f.run(t, s, "", "export", quarterly.id, "--out", file), "the worker is gone")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "before", string(text))
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1)
}
