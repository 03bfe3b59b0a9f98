package display

import (
	"regexp"
	"strings"
)

// mostCell is less than the 32,767 UTF-16 units that Excel takes: it moves the rest to a line of its own.
const mostCell = 32_000

// Cell is a text as a cell of a table for spreadsheets: no formula, nothing invisible, and no longer than they take.
func Cell(text string) string { return Shorten(Visible(EscapeFormula(text)), mostCell) }

// ExactCell is Cell for what is read back (UnescapeFormula): it leaves invisible characters as they are.
func ExactCell(text string) string { return Shorten(EscapeFormula(text), mostCell) }

// A cell begins, for a spreadsheet, also after what some split at: those set to a comma as the decimal sign split at
// semicolons, and then take quotes for text. Apostrophes count as blanks, so that what stood in a cell can be told from
// what EscapeFormula put there.
var (
	formula = regexp.MustCompile(`(^|[;\t\r\n])([ \f\v"'\x{a0}\x{ad}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}]*[=+\-@＝＋－＠])`)
	blank   = regexp.MustCompile(`^'*[\t\r\n]`)
	escape  = regexp.MustCompile(strings.Replace(formula.String(), `)([`, `)'([`, 1))
	blanked = regexp.MustCompile(`^''*[\t\r\n]`)
)

// EscapeFormula is a text as no spreadsheet takes it for a formula: an apostrophe stands in front of what would begin
// one. Most cells begin with a letter or a digit and have nothing at which they could be split: those are not looked
// through twice.
func EscapeFormula(cell string) string {
	if cell == "" || plain(cell[0]) && !strings.ContainsAny(cell, ";\t\r\n") {
		return cell
	}
	cell = formula.ReplaceAllString(cell, "$1'$2")
	return blank.ReplaceAllString(cell, "'$0")
}

// UnescapeFormula is the text that EscapeFormula was given.
func UnescapeFormula(cell string) string {
	if blanked.MatchString(cell) {
		cell = cell[1:]
	}
	return escape.ReplaceAllString(cell, "$1$2")
}

func plain(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}
