package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/castellan-io/castellan/display"
)

// CSV writes all sections as one flat table for a spreadsheet: UTF-8 with the mark that has Excel see it, and as many
// cells in every line.
//
// The columns are section (its key), title, severity, identity (a row's first cell) and then "detail 1" and so on: the
// row's other cells, each as "column: value", since sections have different columns. Filter by section first. The first
// line, of section "report", says which report this is and its facts; and a section has a line without identity, "note:
// …", where it is incomplete, was cut, or nothing was found. A section that is in the report is so never absent here.
//
// A cell that a spreadsheet might take for a formula has an apostrophe in front, also after a line break, a tab or a
// semicolon within it, where some split cells. Invisible characters are written as ⟨U+202E⟩, and a cell ends with …
// after 32,000 bytes, short of what Excel takes. JSON has every value as it is.
func (r Report) CSV(w io.Writer) error {
	if err := r.Check(); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return err
	}
	t := csvTable{out: csv.NewWriter(w), details: r.mostDetails()}
	head := make([]string, t.details)
	for i := range head {
		head[i] = "detail " + strconv.Itoa(i+1)
	}
	t.line("section", "title", "severity", "identity", head)
	t.line(ownKey, r.Title, string(Know), r.ID, r.ownDetails())
	for _, s := range r.Sections {
		t.section(s)
	}
	t.out.Flush()
	return t.out.Error()
}

type csvTable struct {
	out     *csv.Writer
	details int // columns after the identity
}

func (t csvTable) section(s Section) {
	if note := s.note(); note != "" {
		t.line(s.Key, s.Title, string(s.Severity), "", []string{"note: " + note})
	}
	for _, row := range s.Rows {
		details := make([]string, 0, len(row)-1)
		for i, value := range row[1:] {
			if value != "" {
				value = s.Columns[i+1] + ": " + value
			}
			details = append(details, value)
		}
		t.line(s.Key, s.Title, string(s.Severity), row[0], details)
	}
}

// line writes one line, filled up to the table's width. The writer keeps its first error.
func (t csvTable) line(key, title, severity, identity string, details []string) {
	cells := append([]string{key, title, severity, identity}, details...)
	for i, cell := range cells {
		cells[i] = display.Cell(cell)
	}
	_ = t.out.Write(append(cells, make([]string, t.details-len(details))...))
}

func (r Report) ownDetails() []string {
	details := []string{"organization: " + r.Org, "at: " + r.At.UTC().Format(time.RFC3339), "policy: " + r.Policy}
	for _, f := range r.Facts {
		details = append(details, f.Name+": "+f.Value)
	}
	return details
}

func (r Report) mostDetails() int {
	most := len(r.ownDetails())
	for _, s := range r.Sections {
		most = max(most, len(s.Columns)-1)
	}
	return most
}

// note is what must be said of the section besides its rows.
func (s Section) note() string {
	switch {
	case s.Incomplete != "":
		return "not looked at: " + s.Incomplete
	case s.cut():
		return fmt.Sprintf("%s of %s rows are here", grouped(len(s.Rows)), grouped(s.Count))
	case s.Count == 0:
		return "nothing found"
	}
	return ""
}
