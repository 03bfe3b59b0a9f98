package evidence

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

var csvHeader = []string{
	"item", "person", "e-mail", "name", "external", "target", "opens", "reasons", "since", "owned", "uses", "peers",
	"recommendation", "because", "risk", "decided", "silent", "by", "comments", "decided at",
	"outcome", "why", "plan", "run", "until", "settled",
}

// CSV checks the pack and writes its items as a table for a spreadsheet, one row each: UTF-8 with the byte order mark
// that Excel needs. If the pack does not pass Verify, nothing is written; so the table is built in memory first.
//
// Several values in one cell are separated by a semicolon and a space. Unknown values are "unknown", times are in UTC.
// A cell that a spreadsheet might evaluate as a formula gets an apostrophe in front, also after a line break, a tab or
// a semicolon within it, where some programs split cells. Invisible characters are written as ⟨U+202E⟩, and cells are
// cut after 32,000 bytes, below Excel's limit. The pack has the exact values.
func CSV(r io.Reader, w io.Writer) error {
	var table bytes.Buffer
	table.WriteString("\ufeff")
	out := csv.NewWriter(&table)
	_ = out.Write(csvHeader) // writing to a buffer cannot fail
	if _, err := read(r, visitor{item: func(i access.Item) { _ = out.Write(csvRow(i)) }}); err != nil {
		return err
	}
	out.Flush()
	if _, err := table.WriteTo(w); err != nil {
		return fmt.Errorf("evidence: write the table: %w", err)
	}
	return nil
}

func csvRow(i access.Item) []string {
	row := []string{
		strconv.Itoa(i.N), i.Person, i.Email, i.Name, external(i), string(i.Target), strings.Join(i.Opens, "; "),
		reasons(i), since(i), yesNo(i.Owned), uses(i), peers(i),
		string(i.Recommend), i.Because, strconv.Itoa(i.Risk), string(i.Verdict), yesNo(i.Silent),
		joinTexts(i.Said, func(s access.ItemDecision) string { return s.Who() }),
		joinTexts(i.Said, comment),
		joinTexts(i.Said, func(s access.ItemDecision) string { return s.At.UTC().Format(time.RFC3339) }),
		string(i.Outcome), i.Why, i.Plan, i.Run, formatTime(i.Until), formatTime(i.Settled),
	}
	for n, cell := range row {
		row[n] = display.Cell(cell)
	}
	return row
}

// joinTexts joins the texts that are not empty.
func joinTexts[T any](all []T, text func(T) string) string {
	var texts []string
	for _, one := range all {
		if t := text(one); t != "" {
			texts = append(texts, t)
		}
	}
	return strings.Join(texts, "; ")
}

func comment(s access.ItemDecision) string {
	if s.Comment == "" {
		return ""
	}
	return s.Who() + ": " + s.Comment
}

const unknown = "unknown"

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func external(i access.Item) string {
	if i.External == nil {
		return unknown
	}
	return yesNo(*i.External)
}

func reasons(i access.Item) string {
	if len(i.Reasons) == 0 {
		return "none"
	}
	return access.ReasonsInWords(i.Reasons)
}

func since(i access.Item) string {
	if i.Since.IsZero() {
		return unknown
	}
	return i.Since.UTC().Format(time.DateOnly)
}

func uses(i access.Item) string {
	if len(i.Uses) == 0 {
		return unknown
	}
	return joinTexts(i.Uses, func(u access.Use) string { return u.App + " " + lastUse(u) })
}

func lastUse(u access.Use) string {
	switch {
	case u.Never:
		return "never"
	case u.Last.IsZero():
		return unknown
	}
	return u.Last.UTC().Format(time.DateOnly)
}

func peers(i access.Item) string {
	if i.Peers == nil {
		return "none"
	}
	return fmt.Sprintf("%s of %s in %s", display.Number(i.Peers.Hold), display.Number(i.Peers.Of), i.Peers.Group)
}

// formatTime returns "" for the zero time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
