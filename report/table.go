package report

import (
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/display"
)

// A section with more rows than mostOpen has those after the first firstOpen folded: folding a few would help nobody.
const (
	maxOpenRows = 15
	openRows    = 10
)

// table is some rows of a section.
type table struct {
	Rows    [][]string
	Caption string // which rows these are
	Columns []string
	Widths  []int        // in percent, one for each column
	Style   template.CSS // column properties for the style sheet
	Fold    string       // summary of the folded table
}

// newTables returns the section's open table and its folded one, nil if they have no rows. Their columns have the same
// widths, so that they read as one.
func newTables(s Section) (open, folded *table) {
	if len(s.Rows) == 0 {
		return nil, nil
	}
	widths, style := columnWidths(s), columnStyle(s)
	part := func(from, to int) *table {
		caption := display.Count(len(s.Rows), "row", "rows")
		if to-from < len(s.Rows) {
			caption = fmt.Sprintf("Rows %s to %s of %s", display.Number(from+1), display.Number(to), display.Number(len(s.Rows)))
		}
		return &table{Rows: s.Rows[from:to], Caption: caption, Columns: s.Columns, Widths: widths, Style: style}
	}
	if len(s.Rows) <= maxOpenRows {
		return part(0, len(s.Rows)), nil
	}
	open, folded = part(0, openRows), part(openRows, len(s.Rows))
	folded.Fold = display.Count(len(s.Rows)-openRows, "more row", "more rows")
	return open, folded
}

// Widths in characters: of all columns together, and each column's padding.
const (
	lineWidth   = 112
	columnSpace = 4
	numberSpace = 6
)

// columnWidths returns the columns' widths in percent. If the texts do not fit, the widest columns shrink, so that
// dates stay on one line beside long names.
func columnWidths(s Section) []int {
	widths := make([]int, len(s.Columns))
	sum := 0
	for i, name := range s.Columns {
		widths[i] = usualLength(s.Rows, i)
		for word := range strings.FieldsSeq(name) {
			widths[i] = max(widths[i], utf8.RuneCountInString(word))
		}
		space := columnSpace
		switch {
		case i == 0:
			widths[i] += widths[i] / 7 // the identity is bold
		case numeric(s.Rows, i):
			space = numberSpace
		}
		widths[i] = min(widths[i], lineWidth) + space
		sum += widths[i]
	}
	for sum > lineWidth {
		widest := 0
		for i, width := range widths {
			if width > widths[widest] {
				widest = i
			}
		}
		if widths[widest] == 1 {
			break
		}
		widths[widest]--
		sum--
	}
	for i := range widths {
		widths[i] = max(1, widths[i]*100/sum)
	}
	return widths
}

// usualLength returns the 90th percentile of a column's text lengths: a few long names may wrap.
func usualLength(rows [][]string, column int) int {
	lengths := make([]int, len(rows))
	for i, row := range rows {
		lengths[i] = utf8.RuneCountInString(row[column])
	}
	slices.Sort(lengths)
	return lengths[len(lengths)*9/10]
}

var number = regexp.MustCompile(`^[-+−]?[0-9][0-9,.]*( ?%)?$`)

// columnStyle gives the style sheet each column's name, which phones show beside the cell, and the alignment of
// numbers: once per table, since an attribute of each cell would double the page's size.
func columnStyle(s Section) template.CSS {
	var b strings.Builder
	for i, name := range s.Columns {
		fmt.Fprintf(&b, "--name%d:%s;", i+1, cssString(display.Shorten(display.Visible(name), maxShownText)))
		if i > 0 && numeric(s.Rows, i) {
			fmt.Fprintf(&b, "--side%d:end;--room%d:2.5rem;", i+1, i+1)
		}
	}
	return template.CSS(b.String())
}

func numeric(rows [][]string, column int) bool {
	found := false
	for _, row := range rows {
		if row[column] == "" {
			continue
		}
		if !number.MatchString(row[column]) {
			return false
		}
		found = true
	}
	return found
}

// cssString escapes all but ASCII letters and digits, so that nothing ends the string.
func cssString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\%x `, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
