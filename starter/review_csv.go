package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// The columns that import reads. Their names decide, not their places; whatever else stands in a file is for its reader.
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
	"risk", "person", "name", "external", "sponsor", "target", "opens", "why held", "since", "made by", "last use", "peers",
	"recommended", "because", "risks", "decided before", "said by others", "account id", columnOrg,
}

const byteOrderMark = "\ufeff"

// sheetWriter writes items as lines that a reviewer fills in with a spreadsheet: UTF-8 with the mark that has Excel see it.
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
		strconv.Itoa(i.Risk), personOf(i), i.Name, externalOf(i), i.Sponsor, string(i.Target), strings.Join(i.Opens, ", "), whyHeld(i),
		heldSince(i), madeBy(i), lastUse(i), peersOf(i), string(i.Recommend), i.Because, strings.Join(i.Risks, ", "), earlier(i),
		saidOf(i, w.mine), i.Person, w.review.org,
	}
	for n, cell := range row {
		if sheetHead[n] != columnComment { // what it says is read back: it stays as it is
			cell = visible(cell)
		}
		row[n] = shorten(armless(cell), mostCell)
	}
	return w.out.Write(row)
}

func (w sheetWriter) close() error {
	w.out.Flush()
	return w.out.Error()
}

// mostCell is less than the 32,767 UTF-16 units that Excel takes: it moves the rest to a line of its own.
const mostCell = 32_000

// A cell begins, for a spreadsheet, also after what some split at. Apostrophes count as blanks, so that what stood in a cell can be
// told from what armless put there.
var (
	formula = regexp.MustCompile(`(^|[;\t\r\n])([ \f\v"'\x{a0}\x{ad}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}]*[=+\-@＝＋－＠])`)
	blank   = regexp.MustCompile(`^'*[\t\r\n]`)
	armed   = regexp.MustCompile(strings.Replace(formula.String(), `)([`, `)'([`, 1))
	blanked = regexp.MustCompile(`^''*[\t\r\n]`)
)

// armless is a cell as no spreadsheet takes it for a formula.
func armless(cell string) string {
	cell = formula.ReplaceAllString(cell, "$1'$2")
	return blank.ReplaceAllString(cell, "'$0")
}

// disarmed is the cell that armless was given.
func disarmed(cell string) string {
	if blanked.MatchString(cell) {
		cell = cell[1:]
	}
	return armed.ReplaceAllString(cell, "$1$2")
}

// sheet is what a reviewer filled in.
type sheet struct {
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

// readSheet reads what spreadsheets write: with or without a mark, with commas, semicolons or tabs, columns in any order.
func readSheet(from io.Reader) (sheet, error) {
	data, err := io.ReadAll(io.LimitReader(from, mostSheet+1))
	switch {
	case err != nil:
		return sheet{}, err
	case len(data) > mostSheet:
		return sheet{}, fmt.Errorf("it is larger than %d MiB", mostSheet>>20)
	case !utf8.Valid(data):
		return sheet{}, errors.New("it is not in UTF-8: save it as \"CSV UTF-8\"")
	}
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	separator, columns, err := headOf(data)
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
				return disarmed(cells[at])
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

// headOf finds the separator by which the first line has the columns that are needed, and where they are.
func headOf(data []byte) (separator rune, columns map[string]int, err error) {
	for _, separator := range ",;\t" {
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
	return 0, nil, fmt.Errorf("line 1: it does not name the columns %s and %s, as the file of starter review export does", columnItem, columnVerdict)
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
	n, err := strconv.Atoi(trimmed(columnItem))
	if err != nil || n < 1 {
		refuse(0, "item %q is no item's number", trimmed(columnItem))
		return
	}
	is := sheetLine{line: line, org: trimmed(columnOrg), review: trimmed(columnReview), DecideLine: messages.DecideLine{Item: n, Comment: comment}}
	var ok bool
	if is.Verdict, ok = verdictOf(cell(columnVerdict)); !ok {
		refuse(n, "%q is no verdict: write keep or remove, or nothing", trimmed(columnVerdict))
		return
	}
	if written := trimmed(columnVersion); written != "" {
		version, err := strconv.Atoi(written)
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
			s.refused = append(s.refused, refusedLine{line.line, line.Item, fmt.Sprintf("line %d says something else of the same item", all[other].line)})
		case all[0].line == line.line:
			fit = append(fit, line)
		}
	}
	return fit
}

// named is the review that the file is of, as its first line that says so does.
func (s *sheet) named() (org, review string) {
	for _, line := range s.lines {
		if line.review != "" {
			return line.org, line.review
		}
	}
	return "", ""
}
