package display

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Page writes a page in Markdown, as Temporal's Web UI shows the details of a workflow.
type Page struct{ text strings.Builder }

// Line writes a line. Its format is Markdown; its arguments are texts (Markdown), commands (Code), or Safe.
func (p *Page) Line(format string, args ...any) {
	safe := make([]any, len(args))
	for i, arg := range args {
		if c, ok := arg.(Command); ok {
			arg = Code(c.String())
		}
		safe[i] = arg
	}
	fmt.Fprintf(&p.text, format+"\n", each(Markdown, safe)...)
}

// Command writes a command as a block of code, to be pasted.
func (p *Page) Command(c Command) { p.text.WriteString("\n" + c.block() + "\n") }

func (p *Page) String() string { return p.text.String() }

// Markdown is a text in one line of Markdown: it begins no heading, list or quotation, ends no line or table cell, and
// is no link, image, code or HTML. Addresses of web pages are set as code, so that they are read and not followed.
func Markdown(text string) string {
	words := strings.Fields(Terminal(text))
	for i, word := range words {
		switch {
		case !strings.ContainsAny(word, ":.\\`*[]<~|&_"): // nothing below is in it
		case address.MatchString(word):
			words[i] = string(Code(word))
		default:
			word = entity.ReplaceAllString(meaning.ReplaceAllString(word, `\$0`), `\&$1`)
			words[i] = replaceOuterUnderscores(word, `\_`)
		}
	}
	if len(words) > 0 {
		words[0] = beginning.ReplaceAllStringFunc(words[0],
			func(s string) string { return s[:len(s)-1] + `\` + s[len(s)-1:] })
	}
	return strings.Join(words, " ")
}

var (
	address   = regexp.MustCompile(`(?i)://|www\.|\b(mailto|xmpp|javascript|vbscript|data):`)
	meaning   = regexp.MustCompile("[\\\\`*\\[\\]<~|]")
	entity    = regexp.MustCompile(`&([#A-Za-z])`)
	beginning = regexp.MustCompile(`^([0-9]+[.)]$|[#+\-=>])`)
)

// replaceOuterUnderscores replaces underscores that could set letters apart: all but those within a word.
func replaceOuterUnderscores(text, by string) string {
	if !strings.Contains(text, "_") {
		return text
	}
	var b strings.Builder
	before := ' '
	for i, r := range text {
		after, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
		if r == '_' && !(letter(before) && letter(after)) {
			b.WriteString(by)
		} else {
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

func letter(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// MarkdownLines is Markdown of a text of several lines, each in a line of its own.
func MarkdownLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = Markdown(line)
	}
	return strings.Join(lines, "\\\n")
}

// mostSummary is below the server's bound of 400 bytes for the summary of a workflow, an activity or a timer.
const mostSummary = 390

// Summary is the one line that Temporal's Web UI shows of a workflow, an activity or a timer.
func Summary(text string) string { return Shorten(Markdown(text), mostSummary) }

// Code is a text as code within a line: whatever it is, it is shown letter by letter, and it ends where it ends. It
// holds in the cells of tables too.
func Code(text string) Safe {
	text = strings.ReplaceAll(Terminal(text), "|", "¦")
	if text == "" {
		return "–"
	}
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return Safe(fence + text + fence)
}
