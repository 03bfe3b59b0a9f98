package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/textfile"
)

// The columns that import reads. Their names decide, not their places; whatever else stands in a file is for its
// reader.
const (
	columnOrg     = "org"
	columnReview  = "review"
	columnItem    = "item"
	columnVersion = "version"
	columnVerdict = "verdict"
	columnComment = "comment"
)

var sheetHead = []string{
	columnReview, columnItem, columnVersion, columnVerdict, columnComment,
	"risk", "person", "name", "external", "sponsor", "target", "opens", "why held", "since", "made by",
	"last use", "peers",
	"recommended", "because", "risks", "decided before", "said by others", "account id", columnOrg,
}

const byteOrderMark = "\ufeff"

// sheetWriter writes items as lines that a reviewer fills in with a spreadsheet: UTF-8 with the mark that has Excel see
// it.
//
// A cell that a spreadsheet might take for a formula has an apostrophe in front, which reading takes away again.
type sheetWriter struct {
	out    *csv.Writer
	review aReview
	mine   func(access.Said) bool // whether the reviewer who exports said it, in the stage that runs
}

func newSheetWriter(w io.Writer, r aReview, separator rune, mine func(access.Said) bool) (sheetWriter, error) {
	if _, err := io.WriteString(w, byteOrderMark); err != nil {
		return sheetWriter{}, err
	}
	out := csv.NewWriter(w)
	out.Comma = separator
	return sheetWriter{out, r, mine}, out.Write(sheetHead)
}

func (w sheetWriter) item(i access.Item) error {
	var own access.Said
	if at := slices.IndexFunc(i.Said, w.mine); at >= 0 {
		own = i.Said[at]
	}
	row := []string{
		w.review.id, strconv.Itoa(i.N), strconv.Itoa(i.Version), string(own.Verdict), own.Comment,
		strconv.Itoa(i.Risk), personOf(i), i.Name, externalOf(i), cmp.Or(i.SponsorEmail, i.Sponsor), string(i.Target),
		strings.Join(i.Opens, ", "), whyHeld(i),
		heldSince(i), madeBy(i), lastUse(i), peersOf(i), string(i.Recommend), i.Because, strings.Join(i.Risks, ", "),
		earlier(i),
		saidOf(i, w.mine), i.Person, w.review.org,
	}
	for n, cell := range row {
		if row[n] = display.Cell(cell); sheetHead[n] == columnComment { // what it says is read back: it stays as it is
			row[n] = display.ExactCell(cell)
		}
	}
	return w.out.Write(row)
}

func (w sheetWriter) close() error {
	w.out.Flush()
	return w.out.Error()
}

// sheet is what a reviewer filled in.
type sheet struct {
	// as the first line with a verdict says that names its review, whether or not it can be read otherwise
	org, review string

	lines   []sheetLine
	refused []refusedLine // that cannot be read
	empty   int           // lines without a verdict
	talking int           // of those, with a comment
}

// sheetLine is one line with a verdict.
type sheetLine struct {
	line        int    // of the file, from 1
	org, review string // as far as it says
	messages.DecideLine
}

// refusedLine is a line of a file of which nothing was taken, and why.
type refusedLine struct {
	Line int    `json:"line"`
	Item int    `json:"item,omitempty"`
	Why  string `json:"why"`
}

// mostSheet is the largest file that is read, in bytes.
const mostSheet = 64 << 20

// readSheet reads what spreadsheets write: UTF-8 or UTF-16, whatever ends their lines, with commas, semicolons, tabs or
// what a first line sep= says, columns in any order.
func readSheet(from io.Reader) (sheet, error) {
	data, err := io.ReadAll(io.LimitReader(from, mostSheet+1))
	switch {
	case err != nil:
		return sheet{}, err
	case len(data) > mostSheet:
		return sheet{}, fmt.Errorf("it is larger than %d MiB", mostSheet>>20)
	}
	if data, err = textfile.Decode(data); errors.Is(err, textfile.ErrEncoding) {
		return sheet{}, fmt.Errorf("%w (Excel: \"CSV UTF-8\")", err)
	} else if err != nil {
		return sheet{}, err
	}
	separators := ",;\t"
	if said := separatorLine.FindSubmatch(data); said != nil {
		separators = string(said[1])
		data = data[len(said[0])-1:] // an empty line takes its place, so that lines keep their numbers
	}
	separator, columns, err := headOf(data, separators)
	if err != nil {
		return sheet{}, err
	}
	var s sheet
	lines := reader(data, separator)
	_, _ = lines.Read() // the head
	for {
		cells, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return sheet{}, err
		}
		line, _ := lines.FieldPos(0)
		s.add(line, func(column string) string {
			if at, ok := columns[column]; ok && at < len(cells) {
				return display.UnescapeFormula(cells[at])
			}
			return ""
		})
	}
}

func reader(data []byte, separator rune) *csv.Reader {
	lines := csv.NewReader(bytes.NewReader(data))
	lines.Comma, lines.FieldsPerRecord, lines.ReuseRecord = separator, -1, true
	return lines
}

// separatorLine is a first line that tells Excel what separates.
var separatorLine = regexp.MustCompile(`^(?i:"?sep=([^"\n])"?)[^\pL\pN\n]*\n`)

// headOf finds the separator by which the first line has the columns that are needed, and where they are.
func headOf(data []byte, separators string) (separator rune, columns map[string]int, err error) {
	for _, separator := range separators {
		cells, err := reader(data, separator).Read()
		if err != nil {
			continue
		}
		columns := map[string]int{}
		for at, cell := range cells {
			name := strings.ToLower(strings.TrimSpace(cell))
			switch name {
			case columnOrg, columnReview, columnItem, columnVersion, columnVerdict, columnComment:
				if _, twice := columns[name]; twice {
					return 0, nil, fmt.Errorf("line 1: it has two columns named %s", name)
				}
				columns[name] = at
			}
		}
		_, item := columns[columnItem]
		if _, verdict := columns[columnVerdict]; item && verdict {
			return separator, columns, nil
		}
	}
	return 0, nil, fmt.Errorf("line 1: the columns %s and %s are missing; starter review export writes them", columnItem, columnVerdict)
}

// add takes one line, or says why not.
func (s *sheet) add(line int, cell func(column string) string) {
	trimmed := func(column string) string { return strings.TrimSpace(cell(column)) }
	comment := cell(columnComment)
	if trimmed(columnVerdict) == "" {
		s.empty++
		if strings.TrimSpace(comment) != "" {
			s.talking++
		}
		return
	}
	refuse := func(item int, why string, args ...any) {
		s.refused = append(s.refused, refusedLine{line, item, fmt.Sprintf(why, args...)})
	}
	if s.review == "" {
		s.org, s.review = trimmed(columnOrg), trimmed(columnReview)
	}
	n, err := wholeNumber(trimmed(columnItem))
	if err != nil || n < 1 {
		refuse(0, "item %q is no item's number", trimmed(columnItem))
		return
	}
	is := sheetLine{line: line, org: trimmed(columnOrg), review: trimmed(columnReview),
		DecideLine: messages.DecideLine{Item: n, Comment: comment}}
	var ok bool
	if is.Verdict, ok = verdictOf(cell(columnVerdict)); !ok {
		refuse(n, "%q is no verdict: write keep or remove, or nothing", trimmed(columnVerdict))
		return
	}
	if written := trimmed(columnVersion); written != "" {
		version, err := wholeNumber(written)
		if err != nil {
			refuse(n, "version %q is no number: leave it as it was exported", written)
			return
		}
		is.Version = &version
	}
	if err := checkComment(comment); err != nil {
		refuse(n, "%s", err)
		return
	}
	s.lines = append(s.lines, is)
}

// of are the lines that can be sent to the review, each item once, in the order of the file; the others are refused.
func (s *sheet) of(r aReview) []sheetLine {
	same := func(a, b sheetLine) bool { return a.Verdict == b.Verdict && a.Comment == b.Comment }
	byItem := map[int][]sheetLine{}
	var ours, fit []sheetLine
	for _, line := range s.lines {
		if line.review != "" && line.review != r.id || line.org != "" && line.org != r.org {
			of := line.review
			if line.org != "" {
				of += " of " + line.org
			}
			s.refused = append(s.refused, refusedLine{line.line, line.Item, "it belongs to another review: " + of})
			continue
		}
		ours = append(ours, line)
		byItem[line.Item] = append(byItem[line.Item], line)
	}
	for _, line := range ours {
		all := byItem[line.Item]
		switch other := slices.IndexFunc(all, func(l sheetLine) bool { return !same(l, line) }); {
		case other >= 0:
			s.refused = append(s.refused, refusedLine{line.line, line.Item,
				fmt.Sprintf("line %d says something else of the same item", all[other].line)})
		case all[0].line == line.line:
			fit = append(fit, line)
		}
	}
	return fit
}

// wholeNumber reads a number as spreadsheets write it, which may give it decimals. Three are none: they follow a
// thousand's point.
func wholeNumber(written string) (int, error) {
	return strconv.Atoi(noDecimals.ReplaceAllString(written, "$1"))
}

var noDecimals = regexp.MustCompile(`^([0-9]+)[.,]0{1,2}$`)
