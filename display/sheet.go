package display

import (
	"regexp"
	"strings"
)

// mostCell is less than the 32,767 UTF-16 units that Excel takes in a cell: it moves the rest to a line of its own.
const mostCell = 32_000

// Cell returns a text as a cell for spreadsheets: no formula, nothing invisible, and not too long.
func Cell(text string) string { return Shorten(Visible(EscapeFormula(text)), mostCell) }

// ExactCell is Cell for texts that are read back (UnescapeFormula): it keeps invisible characters.
func ExactCell(text string) string { return Shorten(EscapeFormula(text), mostCell) }

// A spreadsheet may also split a cell: one with the comma as its decimal sign splits at semicolons, and then removes
// quotes. Apostrophes count as blanks, so that those of the original can be told from those that EscapeFormula added.
var (
	formula = regexp.MustCompile(`(^|[;\t\r\n])([ \f\v"'\x{a0}\x{ad}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}]*[=+\-@＝＋－＠])`)
	blank   = regexp.MustCompile(`^'*[\t\r\n]`)
	escape  = regexp.MustCompile(strings.Replace(formula.String(), `)([`, `)'([`, 1))
	blanked = regexp.MustCompile(`^''*[\t\r\n]`)
)

// EscapeFormula puts an apostrophe in front of whatever a spreadsheet would take for the beginning of a formula. Most
// cells begin with a letter or a digit and contain no separator: those are searched only once.
func EscapeFormula(cell string) string {
	if cell == "" || plain(cell[0]) && !strings.ContainsAny(cell, ";\t\r\n") {
		return cell
	}
	cell = formula.ReplaceAllString(cell, "$1'$2")
	return blank.ReplaceAllString(cell, "'$0")
}

// UnescapeFormula returns the text that EscapeFormula was given.
func UnescapeFormula(cell string) string {
	if blanked.MatchString(cell) {
		cell = cell[1:]
	}
	return escape.ReplaceAllString(cell, "$1$2")
}

func plain(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}
