package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible writes characters that cannot be seen, or that turn the text around them, by their number: two names that
// differ must not look the same, and none may pass for another. Line breaks stay, and joiners, which names need.
func visible(text string) string {
	if strings.IndexFunc(text, invisible) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, "\ufffd") {
		if invisible(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func invisible(r rune) bool {
	switch r {
	case '\n', '\t', '\u200c', '\u200d':
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// shorten cuts text to so many bytes, at a whole character, and says so with an ellipsis.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	most -= len("…")
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// grouped writes 10000 as 10,000.
func grouped(n int) string {
	if n < 0 {
		return "−" + grouped(-n)
	}
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// some writes "1 row" and "2 rows".
func some(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}
