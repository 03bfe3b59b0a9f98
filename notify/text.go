package notify

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// The maximum length of each part of a notice, in bytes. Longer ones are cut and end in "…".
const (
	maxLine    = 300 // also more than the 254 of an e-mail address
	maxText    = 4000
	maxCommand = 2000
)

// tidy bounds every text of the notice, replaces invisible characters by their numbers, and puts each text but Text on
// one line. An ID that cannot stay as it is becomes its hash, so that two different ones stay different.
func tidy(n messages.Notice) messages.Notice {
	if n.ID != display.Shorten(display.Line(n.ID), maxLine) {
		n.ID = fmt.Sprintf("%x", sha256.Sum256([]byte(n.ID)))
	}
	for _, s := range shortTexts(&n) {
		*s = display.Shorten(display.Line(*s), maxLine)
	}
	n.Command = display.Shorten(display.Line(n.Command), maxCommand)
	n.Link = display.Line(n.Link)
	n.Text = strings.TrimRight(display.Shorten(strings.Trim(display.Lines(n.Text), "\n"), maxText), "\n ")
	return n
}

// withoutSecrets removes code and link, even where they are repeated in a text by mistake.
func withoutSecrets(n messages.Notice) messages.Notice {
	for secret, instead := range map[*string]string{&n.Code: "[code]", &n.Link: "[link]"} {
		is := *secret
		*secret = ""
		if is == "" {
			continue
		}
		for _, s := range append(shortTexts(&n), &n.Text, &n.Command) {
			*s = strings.ReplaceAll(*s, is, instead)
		}
	}
	return n
}

// shortTexts returns all texts of the notice but Text and Command.
func shortTexts(n *messages.Notice) []*string {
	return []*string{&n.ID, &n.Kind, &n.Org, &n.To, &n.Subject, &n.Code, &n.Workflow, &n.Grant, &n.Review, &n.Person,
		(*string)(&n.Target)}
}

// subject returns the notice's headline.
func subject(n messages.Notice) string {
	if n.Org == "" {
		return n.Subject
	}
	return "[" + n.Org + "] " + n.Subject
}

// markup is how a channel formats text.
type markup struct {
	escape func(string) string // of all content of the notice
	block  func(string) string // formats a command as a block
}

// plain is for text without markup.
var plain = markup{
	escape: func(s string) string { return s },
	block:  func(command string) string { return "    " + command },
}

// body returns what a channel sends below the headline: the text, the command, the code if there is one, and where to
// look.
func body(n messages.Notice, m markup) string {
	parts := []string{m.escape(n.Text)}
	if n.Link != "" {
		parts = append(parts, "Open your page:\n"+n.Link+"\nThe link is for "+m.escape(n.To)+
			" alone: do not pass it on.")
	}
	if n.Command != "" {
		parts = append(parts, "To type:", m.block(n.Command))
	}
	if n.Code != "" {
		what := "One-time code: "
		if n.Review != "" {
			what = "Your code: "
		}
		parts = append(parts, what+m.escape(n.Code)+"\nIt is for "+m.escape(n.To)+" alone: do not pass it on.")
	}
	var where []string
	if n.Workflow != "" {
		where = append(where, "Workflow: "+m.escape(n.Workflow))
	}
	if !n.At.IsZero() {
		where = append(where, "Time: "+n.At.UTC().Format(time.RFC3339))
	}
	if len(where) > 0 {
		parts = append(parts, strings.Join(where, "\n"))
	}
	return strings.Join(parts, "\n\n")
}
