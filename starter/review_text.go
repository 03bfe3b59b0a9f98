package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
)

// How an item is put into words, in lists and in spreadsheets alike. What is not known says so.

const notKnown = "not known"

func personOf(i access.Item) string { return access.Person{ID: i.Person, Email: i.Email}.Label() }

func whyHeld(i access.Item) string {
	if len(i.Reasons) == 0 {
		return "nothing in the policy explains it"
	}
	return reasons(i.Reasons)
}

func heldSince(i access.Item) string {
	if i.Since.IsZero() {
		return notKnown
	}
	return i.Since.UTC().Format(time.DateOnly)
}

func madeBy(i access.Item) string {
	if i.Owned {
		return "Castellan"
	}
	return "somebody else"
}

func lastUse(i access.Item) string {
	if len(i.Uses) == 0 {
		return notKnown
	}
	var uses []string
	for _, u := range i.Uses {
		when := notKnown
		switch {
		case u.Never:
			when = "never"
		case !u.Last.IsZero():
			when = u.Last.UTC().Format(time.DateOnly)
		}
		uses = append(uses, u.App+" "+when)
	}
	return strings.Join(uses, ", ")
}

func peersOf(i access.Item) string {
	if i.Peers == nil {
		return "nobody to compare with"
	}
	return fmt.Sprintf("%d of %d others in %s hold it", i.Peers.Hold, i.Peers.Of, i.Peers.Group)
}

func externalOf(i access.Item) string {
	switch {
	case i.External == nil:
		return notKnown
	case *i.External:
		return "yes"
	}
	return "no"
}

func earlier(i access.Item) string {
	if i.Before == nil {
		return ""
	}
	by := i.Before.By
	if by == "" {
		by = "nobody, by the rule for silence"
	}
	return fmt.Sprintf("%s by %s on %s", i.Before.Verdict, by, i.Before.At.UTC().Format(time.DateOnly))
}

// saidOf is what was said of an item, but for what leave names.
func saidOf(i access.Item, leave func(access.Said) bool) string {
	var said []string
	for _, one := range i.Said {
		if leave != nil && leave(one) {
			continue
		}
		text := fmt.Sprintf("%s by %s", one.Verdict, one.By)
		if one.Comment != "" {
			text += ": " + one.Comment
		}
		said = append(said, text)
	}
	return strings.Join(said, "; ")
}

// plain is a text as a terminal shows it: in one line, and with what cannot be seen, or would steer the terminal, by its number.
func plain(text string) string { return strings.Join(strings.Fields(visible(text)), " ") }

// visible writes characters that cannot be seen, or that turn the text around them, by their number.
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
	case '\n', '\t', '\u200c', '\u200d': // names need joiners
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// shorten cuts a text to so many bytes, at a whole character, and says so with an ellipsis.
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

// counted writes "1 item" and "2 items".
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
