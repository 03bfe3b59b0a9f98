package display

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Command is a command to paste into a shell. Each of its words is one word there, whatever it contains.
type Command struct {
	words   []string   // quoted
	options [][]string // each quoted, a name and perhaps its value
}

// Starter returns a command of starter; its arguments are what it is about (an organization, a request, a person).
func Starter(name string, args ...string) Command {
	c := Command{words: append([]string{"starter"}, strings.Fields(name)...)}
	if slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-") }) {
		c.words = append(c.words, "--") // it would be taken for an option
	}
	for _, arg := range args {
		c.words = append(c.words, Quote(arg))
	}
	return c
}

// Update sends an update to a workflow and waits for the answer, as JSON: in a text answer, the CLI would show line
// ends as they are.
func Update(workflow, name string, input Input) Command {
	return temporal("update execute", workflow).With("--name", name).With("--input", input.String()).With("--output",
		"json")
}

// Signal sends a signal to a workflow, without an answer.
func Signal(workflow, name string, input Input) Command {
	return temporal("signal", workflow).With("--name", name).With("--input", input.String())
}

// Query queries a workflow.
func Query(workflow, name string) Command {
	return temporal("query", workflow).With("--type", name).With("--output", "json")
}

// List lists the workflows whose search attributes have these values: names and values in turn.
func List(pairs ...string) Command { return workflowCommand("list", pairs) }

// Terminate terminates them.
func Terminate(pairs ...string) Command { return workflowCommand("terminate", pairs) }

// MakeNamespace creates a namespace.
func MakeNamespace(name string) Command {
	return Command{words: []string{"temporal", "operator", "namespace", "create"}}.With("--namespace", name)
}

// RegisterAttributes registers search attributes in a namespace: their types by name.
func RegisterAttributes(namespace string, types map[string]string) Command {
	c := Command{words: []string{"temporal", "operator", "search-attribute", "create"}}.With("--namespace", namespace)
	for _, name := range slices.Sorted(maps.Keys(types)) {
		c = c.With("--name", name).With("--type", types[name])
	}
	return c
}

func workflowCommand(verb string, pairs []string) Command {
	var terms []string
	for i := 0; i+1 < len(pairs); i += 2 {
		terms = append(terms, pairs[i]+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(pairs[i+1])+`"`)
	}
	return Command{words: []string{"temporal", "workflow", verb}}.With("--query", strings.Join(terms, " AND "))
}

func temporal(verb, workflow string) Command {
	return Command{words: append([]string{"temporal", "workflow"}, strings.Fields(verb)...)}.With("--workflow-id",
		workflow)
}

// With adds an option with a value.
func (c Command) With(option, value string) Command {
	return c.with(option, Quote(value))
}

// Flag adds an option without a value.
func (c Command) Flag(option string) Command { return c.with(option) }

func (c Command) with(option ...string) Command {
	c.options = append(c.options[:len(c.options):len(c.options)], option)
	return c
}

// String returns the command in one line. If an argument begins with a dash, options come before it.
func (c Command) String() string {
	words, options := c.words, []string(nil)
	for _, option := range c.options {
		options = append(options, option...)
	}
	if i := slices.Index(words, "--"); i >= 0 {
		return strings.Join(slices.Concat(words[:i], options, words[i:]), " ")
	}
	return strings.Join(slices.Concat(words, options), " ")
}

// block returns the command as a code block in Markdown, with each option in a line of its own: the panel of the Web UI
// is narrow.
func (c Command) block() string {
	if len(c.options) < 2 || slices.Contains(c.words, "--") {
		return "    " + c.String() + "\n"
	}
	lines := []string{strings.Join(c.words, " ")}
	for _, option := range c.options {
		lines = append(lines, "  "+strings.Join(option, " "))
	}
	return "    " + strings.Join(lines, " \\\n    ") + "\n"
}

// Input is the JSON object that a command sends: keys with their texts, in order.
type Input [][2]string

func (in Input) String() string {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, pair := range in {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(jsonText(pair[0]) + ":" + jsonText(pair[1]))
	}
	b.WriteByte('}')
	return b.String()
}

func jsonText(text string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a text always encodes
	return escaped(strings.TrimSuffix(b.String(), "\n"))
}

// Quote returns a word of a command as a POSIX shell reads it as that one word: as it is if it has no special
// characters, in single quotes otherwise. Invisible characters are written as their numbers: such a command does
// nothing, and shows why.
func Quote(word string) string {
	if harmless.MatchString(word) {
		return word
	}
	return "'" + unquotable.Replace(Visible(word)) + "'"
}

// unquotable are characters that would end the quotation, or the line.
var unquotable = strings.NewReplacer("'", `'\''`, "\n", "⟨U+000A⟩", "\t", "⟨U+0009⟩")

var harmless = regexp.MustCompile(`^[A-Za-z0-9_@:./-]+$`)
