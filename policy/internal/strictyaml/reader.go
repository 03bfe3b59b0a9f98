package strictyaml

import (
	"encoding"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
)

// The bounds of every file.
const (
	MaxProblems = 200  // problems reported at once
	MaxText     = 1000 // characters of a free text
)

// Reader walks the tree of a file and collects every problem on the way.
type Reader struct {
	file     string
	lines    [][]rune // of the file
	problems Errors
	dropped  int                   // problems beyond the bound
	at       map[string]*yaml.Node // where each path stands
}

// Field reads one value of the file into its place.
type Field func(n *yaml.Node, path string)

// Fields are the keys of a YAML mapping.
type Fields map[string]Field

// At returns the value that was read at a path, nil if there is none.
func (r *Reader) At(path string) *yaml.Node { return r.at[path] }

// Count returns how many problems were found so far.
func (r *Reader) Count() int { return len(r.problems) + r.dropped }

// Err returns every problem found, in the order of the file, as Errors; nil if there is none.
func (r *Reader) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	problems := r.problems.sorted()
	if r.dropped > 0 {
		problems = append(problems, Problem{File: r.file,
			Message: fmt.Sprintf("%d more problems are not shown; mend these first", r.dropped)})
	}
	return problems
}

// Fail records a problem at a node.
func (r *Reader) Fail(n *yaml.Node, path, format string, args ...any) {
	if len(r.problems) == MaxProblems {
		r.dropped++
		return
	}
	r.problems = append(r.problems,
		Problem{File: r.file, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// FailAt records a problem at a path that was read.
func (r *Reader) FailAt(path, format string, args ...any) {
	r.Fail(r.at[path], path, format, args...)
}

// plain refuses what a policy file has no use for: anchors, aliases and tags.
func (r *Reader) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.Fail(n, path, "aliases are not allowed; write the value out, in quotes if it begins with *")
	case n.Anchor != "":
		r.Fail(n, path, "anchors are not allowed; write the value out, in quotes if it begins with &")
	case n.Style&yaml.TaggedStyle != 0:
		r.Fail(n, path, "tags are not allowed; take %s away", strconv.Quote(n.Tag))
	default:
		return true
	}
	return false
}

// Object reads a YAML mapping with the given keys, of which the required ones must be there.
func (r *Reader) Object(n *yaml.Node, path string, fields Fields, required ...string) {
	if !r.plain(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.Fail(n, path, "%s; write keys and values: %s", wrong(n), known(fields))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		where := strings.TrimPrefix(path+"."+Shown(key.Value), ".")
		read, knows := fields[key.Value]
		switch {
		case !r.plain(key, where):
		case key.Kind != yaml.ScalarNode || !knows:
			r.Fail(key, where, "unknown key; the keys here are %s", known(fields))
		case seen[key.Value]:
			r.Fail(key, where, "the key stands twice; keep one")
		default:
			r.at[where] = value
			if r.plain(value, where) {
				read(value, where)
			}
		}
		seen[key.Value] = true
	}
	for _, key := range required {
		if !seen[key] {
			r.Fail(n, path, "%s is missing; add it", key)
		}
	}
}

func known(fields Fields) string {
	return strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

// List reads a YAML sequence of at least one and at most limit entries. Every entry is read, so that places in the file
// and in the policy stay the same.
func (r *Reader) List(limit int, read Field) Field {
	return func(n *yaml.Node, path string) {
		switch {
		case n.Kind != yaml.SequenceNode:
			r.Fail(n, path, "%s; write a list", wrong(n))
		case len(n.Content) == 0:
			r.Fail(n, path, "the list is empty; add an entry or leave the key out")
		case len(n.Content) > limit:
			r.Fail(n, path, "the list has %d entries; at most %d are allowed", len(n.Content), limit)
		default:
			for i, item := range n.Content {
				where := fmt.Sprintf("%s[%d]", path, i)
				r.at[where] = item
				read(item, where)
			}
		}
	}
}

// Set reads a list of strings that differ, each brought to its final form by read. Case does not make a difference.
func Set[T ~string](r *Reader, into *[]T, limit int, read func(string) (T, error)) Field {
	return func(n *yaml.Node, path string) {
		first := map[string]string{}
		r.List(limit, func(n *yaml.Node, path string) {
			s, ok := r.Scalar(n, path)
			if !ok {
				return
			}
			value, err := read(s)
			if err != nil {
				r.Fail(n, path, "%s", err)
				return
			}
			key := access.Fold(string(value))
			if before, twice := first[key]; twice {
				r.Fail(n, path, "%q stands already in %s; keep one", string(value), before)
				return
			}
			first[key] = path
			*into = append(*into, value)
		})(n, path)
	}
}

// Scalar reads a string.
func (r *Reader) Scalar(n *yaml.Node, path string) (string, bool) {
	if !r.plain(n, path) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		r.Fail(n, path, "%s; write a text", wrong(n))
		return "", false
	}
	if tag := n.ShortTag(); tag != "!!str" {
		r.Fail(n, path, "YAML reads this as %s; write it in quotes", strings.TrimPrefix(tag, "!!"))
		return "", false
	}
	for _, c := range n.Value {
		if unicode.IsControl(c) && c != '\n' && c != '\t' || c == '\uFEFF' || c == '\uFFFE' || c == '\uFFFF' {
			r.Fail(n, path, "the text holds the control character %U; take it away", c)
			return "", false
		}
	}
	return n.Value, true
}

// Text reads a free text.
func (r *Reader) Text(into *string) Field {
	return r.Checked(into, func(s string) error {
		if n := utf8.RuneCountInString(s); n > MaxText {
			return fmt.Errorf("the text has %d characters; at most %d are allowed", n, MaxText)
		}
		return nil
	})
}

// Checked reads a string that must pass a check.
func (r *Reader) Checked(into *string, check func(string) error) Field {
	return Parsed(r, into, Kept(check))
}

// Kept returns a function that takes a string as it is if it passes a check.
func Kept(check func(string) error) func(string) (string, error) {
	return func(s string) (string, error) { return s, check(s) }
}

// Parsed reads a string, which parse brings to its final form.
func Parsed[T any](r *Reader, into *T, parse func(string) (T, error)) Field {
	return func(n *yaml.Node, path string) {
		if s, ok := r.Scalar(n, path); ok {
			value, err := parse(s)
			if err != nil {
				r.Fail(n, path, "%s", err)
				return
			}
			*into = value
		}
	}
}

// OneOf reads one of a few words.
func OneOf[T ~string](r *Reader, into *T, words ...T) Field { return Parsed(r, into, Word(words...)) }

// Word returns a function that takes one of a few words.
func Word[T ~string](words ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		if !slices.Contains(words, T(s)) {
			return "", fmt.Errorf("%q is unknown; write one of %s", Shown(s), joined(words))
		}
		return T(s), nil
	}
}

func joined[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

// Section reads a part of the file that may be missing.
func Section[T any](into **T, read func(n *yaml.Node, path string) T) Field {
	return func(n *yaml.Node, path string) {
		value := read(n, path)
		*into = &value
	}
}

// Flag reads true or false.
func (r *Reader) Flag(into *bool) Field {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(into) != nil {
			r.Fail(n, path, "%s; write true or false", wrong(n))
		}
	}
}

// Number reads a whole number between two bounds.
func (r *Reader) Number(into *int, least, most int) Field {
	return func(n *yaml.Node, path string) {
		i, err := strconv.Atoi(n.Value)
		switch {
		case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil:
			r.Fail(n, path, "%s; write a whole number", wrong(n))
		case i < least || i > most:
			r.Fail(n, path, "%d is out of bounds; write a number from %d to %d", i, least, most)
		default:
			*into = i
		}
	}
}

// Tristate reads what is true, false, or, when it is left out, not known.
func (r *Reader) Tristate(into **bool) Field {
	return func(n *yaml.Node, path string) {
		var is bool
		before := r.Count()
		if r.Flag(&is)(n, path); r.Count() == before {
			*into = &is
		}
	}
}

// Instant reads an RFC 3339 instant.
func (r *Reader) Instant(into *time.Time) Field {
	return func(n *yaml.Node, path string) {
		t, err := time.Parse(time.RFC3339, n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || t.Year() < 2000 {
			r.Fail(n, path, "%q is not an instant; write one with its zone, for example 2026-12-01T00:00:00+01:00",
				Shown(n.Value))
			return
		}
		*into = t.UTC()
	}
}

// Value reads what has a text form of its own.
func (r *Reader) Value(into encoding.TextUnmarshaler) Field {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode {
			r.Fail(n, path, "%s; write one value", wrong(n))
		} else if err := into.UnmarshalText([]byte(n.Value)); err != nil {
			r.Fail(n, path, "%q does not fit: %s", Shown(n.Value), err)
		}
	}
}

// Names reads a YAML mapping of at most limit entries whose keys are names: each once, whatever its case.
func (r *Reader) Names(limit int, read func(key string, n, value *yaml.Node, path string)) Field {
	return func(n *yaml.Node, path string) {
		switch {
		case n.Kind != yaml.MappingNode:
			r.Fail(n, path, "%s; write names, each with its value", wrong(n))
			return
		case len(n.Content)/2 > limit:
			r.Fail(n, path, "there are %d entries; at most %d are allowed", len(n.Content)/2, limit)
			return
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			where := path + "." + Shown(key.Value)
			name, ok := r.Scalar(key, where)
			if !ok || !r.plain(value, where) {
				continue
			}
			folded := access.Fold(name)
			if seen[folded] {
				r.Fail(key, where, "the name stands twice; keep one")
				continue
			}
			seen[folded] = true
			read(name, key, value, where)
		}
	}
}

// wrong returns what stands where something else should.
func wrong(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values do not belong here"
	case n.Kind == yaml.SequenceNode:
		return "a list does not belong here"
	case n.ShortTag() == "!!null":
		return "there is no value"
	default:
		return fmt.Sprintf("%q does not fit", Shown(n.Value))
	}
}

// Shown cuts a value to what an error should repeat of it.
func Shown(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
