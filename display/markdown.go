package display

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Page is a page in Markdown, as Temporal's Web UI shows it in the details of a workflow.
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
	fmt.Fprintf(&p.text, format+"\n", sanitizeArgs(Markdown, safe)...)
}

// Command writes a command as a code block, to be pasted.
func (p *Page) Command(c Command) { p.text.WriteString("\n" + c.block() + "\n") }

func (p *Page) String() string { return p.text.String() }

// Markdown returns a text in one line of Markdown: it begins no heading, list or quotation, ends no line or table cell,
// and is no link, image, code or HTML. Web addresses are shown as code, so that nobody follows them by accident.
func Markdown(text string) string {
	words := strings.Fields(Terminal(text))
	for i, word := range words {
		switch {
		case !strings.ContainsAny(word, ":.\\`*[]<~|&_"): // none of the cases below applies
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

// replaceOuterUnderscores replaces underscores that could format letters: all but those within a word.
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

// MarkdownLines is Markdown for a text of several lines, each in a line of its own.
func MarkdownLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = Markdown(line)
	}
	return strings.Join(lines, "\\\n")
}

// mostSummary is below the server's limit of 400 bytes for the summary of a workflow, an activity or a timer.
const mostSummary = 390

// Summary returns the one line that Temporal's Web UI shows for a workflow, an activity or a timer.
func Summary(text string) string { return Shorten(Markdown(text), mostSummary) }

// Code returns a text as code within a line, shown letter by letter, whatever it contains. It also works in table
// cells.
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
