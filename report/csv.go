package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/castellan-io/castellan/display"
)

// CSV writes all sections as one flat table for a spreadsheet: UTF-8 with the byte order mark that Excel needs, and
// equally many cells in every line.
//
// The columns are section (its key), title, severity, identity (a row's first cell) and then "detail 1" and so on: the
// row's other cells, each as "column: value", since sections have different columns. Filter by section first. The first
// line, of section "report", identifies the report and has its facts. A section that is incomplete, cut or empty has a
// line without identity, "note: …", so that no section is absent.
//
// A cell that a spreadsheet might evaluate as a formula gets an apostrophe in front, also after a line break, a tab or
// a semicolon within it, where some programs split cells. Invisible characters are written as ⟨U+202E⟩, and cells are
// cut after 32,000 bytes, below Excel's limit. JSON has the exact values.
func (r Report) CSV(w io.Writer) error {
	if err := r.Check(); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return err
	}
	t := csvTable{out: csv.NewWriter(w), details: r.maxDetails()}
	head := make([]string, t.details)
	for i := range head {
		head[i] = "detail " + strconv.Itoa(i+1)
	}
	t.line("section", "title", "severity", "identity", head)
	t.line(reportKey, r.Title, string(Know), r.ID, r.reportDetails())
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

// line writes one line, padded to the table's width. The writer keeps its first error.
func (t csvTable) line(key, title, severity, identity string, details []string) {
	cells := append([]string{key, title, severity, identity}, details...)
	for i, cell := range cells {
		cells[i] = display.Cell(cell)
	}
	_ = t.out.Write(append(cells, make([]string, t.details-len(details))...))
}

func (r Report) reportDetails() []string {
	details := []string{"organization: " + r.Org, "at: " + r.At.UTC().Format(time.RFC3339), "policy: " + r.Policy}
	for _, f := range r.Facts {
		details = append(details, f.Name+": "+f.Value)
	}
	return details
}

func (r Report) maxDetails() int {
	most := len(r.reportDetails())
	for _, s := range r.Sections {
		most = max(most, len(s.Columns)-1)
	}
	return most
}

// note returns what a reader must know about the section besides its rows.
func (s Section) note() string {
	switch {
	case s.Incomplete != "":
		return "not read: " + s.Incomplete
	case s.cut():
		return fmt.Sprintf("%s of %s rows are here", display.Number(len(s.Rows)), display.Number(s.Count))
	case s.Count == 0:
		return "nothing found"
	}
	return ""
}
