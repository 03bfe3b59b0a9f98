package access

import (
	"strings"
	"unicode"
)

// Nearest returns which of the known names somebody may have meant by what they wrote: one that differs only in case
// and punctuation, else the one that differs in the fewest letters, if these are few, else one that begins or ends with
// what was written, or the other way round (by and requestedBy). It returns "" where none is near.
func Nearest(written string, known ...string) string {
	is := lettersOf(written)
	if len(is) < 2 || len(is) > 100 {
		return ""
	}
	nearest, least := "", len(is)/4+1
	for _, name := range known {
		if d := editDistance(is, lettersOf(name)); d < least {
			nearest, least = name, d
		}
	}
	if nearest != "" {
		return nearest
	}
	for _, name := range known {
		long, short := string(lettersOf(name)), string(is)
		if len(long) < len(short) {
			long, short = short, long
		}
		if len(short) > 1 && (strings.HasPrefix(long, short) || strings.HasSuffix(long, short)) {
			return name
		}
	}
	return ""
}

// lettersOf returns a name as Nearest compares it.
func lettersOf(name string) []rune {
	var out []rune
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			out = append(out, unicode.ToLower(r))
		}
	}
	return out
}

// editDistance returns how many letters have to be inserted, deleted, replaced, or swapped with their neighbour to turn
// one text into the other.
func editDistance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
