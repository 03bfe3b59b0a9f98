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

// The columns that import reads, found by name in any order. All others are for the reviewer.
const (
	columnOrg     = "org"
	columnReview  = "review"
	columnItem    = "item"
	columnVersion = "version"
	columnVerdict = "verdict"
	columnComment = "comment"
)

var sheetColumns = []string{
	columnReview, columnItem, columnVersion, columnVerdict, columnComment,
	"risk", "person", "name", "external", "sponsor", "target", "opens", "why held", "since", "made by",
	"last use", "peers",
	"recommended", "because", "risks", "decided before", "said by others", "account id", columnOrg,
}

const byteOrderMark = "\ufeff"

// sheetWriter writes items as CSV lines for a reviewer to fill in: UTF-8 with the byte order mark that Excel needs. A
// cell that a spreadsheet might evaluate as a formula gets an apostrophe in front, which readSheet removes.
type sheetWriter struct {
	out    *csv.Writer
	review reviewRef
	mine   func(access.ItemDecision) bool // whether it is the exporting reviewer's decision of the current stage
}

func newSheetWriter(w io.Writer, r reviewRef, separator rune,
	mine func(access.ItemDecision) bool) (sheetWriter, error) {
	if _, err := io.WriteString(w, byteOrderMark); err != nil {
		return sheetWriter{}, err
	}
	out := csv.NewWriter(w)
	out.Comma = separator
	return sheetWriter{out, r, mine}, out.Write(sheetColumns)
}

func (w sheetWriter) item(i access.Item) error {
	var own access.ItemDecision
	if at := slices.IndexFunc(i.Said, w.mine); at >= 0 {
		own = i.Said[at]
	}
	row := []string{
		w.review.id, strconv.Itoa(i.N), strconv.Itoa(i.Version), string(own.Verdict), own.Comment,
		strconv.Itoa(i.Risk), personOf(i), i.Name, externalOf(i), cmp.Or(i.SponsorEmail, i.Sponsor), string(i.Target),
		strings.Join(i.Opens, ", "), whyHeld(i),
		heldSince(i), madeBy(i), lastUse(i), peersOf(i), string(i.Recommend), i.Because, strings.Join(i.Risks, ", "),
		previousDecision(i),
		decisionsText(i, w.mine), i.Person, w.review.org,
	}
	for n, cell := range row {
		if row[n] = display.Cell(cell); sheetColumns[n] == columnComment { // it is read back exactly
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
	org, review string // of the first line that has a verdict and names its review

	lines       []sheetLine
	refused     []refusedLine // that cannot be read
	empty       int           // lines without a verdict
	commentOnly int           // of those, with a comment
}

// sheetLine is one line with a verdict.
type sheetLine struct {
	line        int    // of the file, from 1
	org, review string // "" if the line names none
	messages.DecideLine
}

// refusedLine is a line of a sheet that was not applied.
type refusedLine struct {
	Line int    `json:"line"`
	Item int    `json:"item,omitempty"`
	Why  string `json:"why"`
}

const maxSheetBytes = 64 << 20

// readSheet reads what spreadsheets write: UTF-8 or UTF-16, any line ending, columns in any order, separated by commas,
// semicolons, tabs or the separator that a first line sep= sets.
func readSheet(from io.Reader) (sheet, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxSheetBytes+1))
	switch {
	case err != nil:
		return sheet{}, err
	case len(data) > maxSheetBytes:
		return sheet{}, fmt.Errorf("it is larger than %d MiB", maxSheetBytes>>20)
	}
	if data, err = textfile.Decode(data); errors.Is(err, textfile.ErrEncoding) {
		return sheet{}, fmt.Errorf("%w (Excel: \"CSV UTF-8\")", err)
	} else if err != nil {
		return sheet{}, err
	}
	separators := ",;\t"
	if match := separatorLine.FindSubmatch(data); match != nil {
		separators = string(match[1])
		data = data[len(match[0])-1:] // an empty line remains, so that lines keep their numbers
	}
	separator, columns, err := findColumns(data, separators)
	if err != nil {
		return sheet{}, err
	}
	var s sheet
	lines := csvReader(data, separator)
	_, _ = lines.Read() // the header
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

func csvReader(data []byte, separator rune) *csv.Reader {
	lines := csv.NewReader(bytes.NewReader(data))
	lines.Comma, lines.FieldsPerRecord, lines.ReuseRecord = separator, -1, true
	return lines
}

// separatorLine matches a first line sep=; which sets Excel's separator.
var separatorLine = regexp.MustCompile(`^(?i:"?sep=([^"\n])"?)[^\pL\pN\n]*\n`)

// findColumns finds the separator with which the first line has the required columns, and their positions.
func findColumns(data []byte, separators string) (separator rune, columns map[string]int, err error) {
	for _, separator := range separators {
		cells, err := csvReader(data, separator).Read()
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

// add adds a line, to refused if it cannot be read.
func (s *sheet) add(line int, cell func(column string) string) {
	trimmed := func(column string) string { return strings.TrimSpace(cell(column)) }
	comment := cell(columnComment)
	if trimmed(columnVerdict) == "" {
		s.empty++
		if strings.TrimSpace(comment) != "" {
			s.commentOnly++
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
		refuse(0, "item %q is not an item's number", trimmed(columnItem))
		return
	}
	parsed := sheetLine{line: line, org: trimmed(columnOrg), review: trimmed(columnReview),
		DecideLine: messages.DecideLine{Item: n, Comment: comment}}
	var ok bool
	if parsed.Verdict, ok = verdictOf(cell(columnVerdict)); !ok {
		refuse(n, "%q is not a verdict: write keep or remove, or nothing", trimmed(columnVerdict))
		return
	}
	if written := trimmed(columnVersion); written != "" {
		version, err := wholeNumber(written)
		if err != nil {
			refuse(n, "version %q is not a number: leave it as it was exported", written)
			return
		}
		parsed.Version = &version
	}
	if err := checkComment(comment); err != nil {
		refuse(n, "%s", err)
		return
	}
	s.lines = append(s.lines, parsed)
}

// linesFor returns the lines to send to the review, each item once, in the order of the file, and refuses the others.
func (s *sheet) linesFor(r reviewRef) []sheetLine {
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
				fmt.Sprintf("line %d decides the same item differently", all[other].line)})
		case all[0].line == line.line:
			fit = append(fit, line)
		}
	}
	return fit
}

// wholeNumber parses an integer as spreadsheets write it, perhaps as 7.0 or 7,00. Three zeros are refused: they may be
// thousands.
func wholeNumber(written string) (int, error) {
	return strconv.Atoi(noDecimals.ReplaceAllString(written, "$1"))
}

var noDecimals = regexp.MustCompile(`^([0-9]+)[.,]0{1,2}$`)
