// Package display makes text that people typed safe to show, paste and open: one function for each medium, so that no
// text can pass for anything but the text that it is.
//
//   - a terminal: [Terminal], [Lines], and [Fprintf], which does it to every argument; [JSON] for answers as JSON
//   - answers of workflows, which people read with Temporal's CLI: [Answer]
//   - the pages and summaries of Temporal's Web UI: [Markdown], [Code], and [Page], which does it to every argument
//   - chat, in Slack's mrkdwn: [Mrkdwn], [MrkdwnBlock]
//   - mail: [Subject]; its body is [Lines]
//   - HTML: [Visible], under html/template, which does the rest
//   - spreadsheets: [Cell]
//   - commands to paste into a shell: [Command] and [Quote]
package display

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The maximum length of a text that is shown, in bytes.
const (
	mostLine  = 2_000
	mostLines = 64_000
)

// Visible replaces invisible characters, and those that change the direction of text or control a terminal, by their
// numbers: two names that differ must not look the same. Line ends, tabs, and joiners, which names need, stay.
func Visible(text string) string {
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
	if ' ' <= r && r <= '~' {
		return false // most text, without a look at the tables
	}
	switch r {
	case '\n', '\t', '\u200c', '\u200d':
		return false
	// letters and marks without a shape
	case '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u2800', '\u3164', '\uffa0':
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Line returns a text in one line, whatever line ends it has: nobody's text begins a line of its own.
func Line(text string) string {
	text = strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\r', '\t', '\v', '\f', '\u0085', '\u2028', '\u2029':
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	return strings.Join(strings.Fields(Visible(text)), " ")
}

// Terminal returns a text for a terminal: in one line, and bounded.
func Terminal(text string) string { return Shorten(Line(text), mostLine) }

// Lines returns a text of several lines for a terminal or a mail. Use Line for what people typed before it becomes a
// part of such a text.
func Lines(text string) string {
	text = strings.ReplaceAll(Shorten(text, mostLines), "\r\n", "\n")
	return strings.ReplaceAll(Visible(text), "\t", "    ")
}

// Shorten cuts a text to so many bytes, at a whole character, and ends it with an ellipsis if it was longer.
func Shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	most = max(0, most-len("…"))
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// Subject returns a text as the subject of a mail: one line, so that it cannot add headers, and nothing in it is read
// as an encoded word.
func Subject(text string) string { return strings.ReplaceAll(Terminal(text), "=?", "= ?") }

// Number writes a number with thousands separators: 10,000.
func Number(n int) string {
	if n < 0 {
		return "−" + Number(-n)
	}
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Count writes "1 item" or "2 items".
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}
