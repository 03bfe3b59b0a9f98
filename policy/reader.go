package policy

import (
	"encoding"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
)

// reader walks the tree of a policy file, fills in a Policy and collects every problem on the way.
type reader struct {
	file       string
	lines      [][]rune // of the file
	problems   Errors
	dropped    int                             // problems beyond the bound
	entries    int                             // entries of mapping lists read so far
	at         map[string]*yaml.Node           // where each path stands
	conditions map[string]*condition.Condition // compiled so far, by text
	words      int                             // characters of all conditions so far
	loops      int                             // conditions that go through lists so far
	patterns   int                             // steps of regular expressions so far
}

// field reads one value of the file into its place in the policy.
type field func(n *yaml.Node, path string)

// fail records a problem at a node.
func (r *reader) fail(n *yaml.Node, path, format string, args ...any) {
	if len(r.problems) == MaxProblems {
		r.dropped++
		return
	}
	r.problems = append(r.problems,
		Problem{File: r.file, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// failAt records a problem at a path that was read.
func (r *reader) failAt(path, format string, args ...any) {
	r.fail(r.at[path], path, format, args...)
}

// plain refuses what a policy file has no use for: anchors, aliases and tags.
func (r *reader) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.fail(n, path, "aliases are not allowed; write the value out, in quotes if it begins with *")
	case n.Anchor != "":
		r.fail(n, path, "anchors are not allowed; write the value out, in quotes if it begins with &")
	case n.Style&yaml.TaggedStyle != 0:
		r.fail(n, path, "tags are not allowed; take %s away", strconv.Quote(n.Tag))
	default:
		return true
	}
	return false
}

// object reads a YAML mapping with the given keys, of which the required ones must be there.
func (r *reader) object(n *yaml.Node, path string, fields map[string]field, required ...string) {
	if !r.plain(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, path, "%s; write keys and values: %s", wrong(n), known(fields))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		where := strings.TrimPrefix(path+"."+shown(key.Value), ".")
		read, knows := fields[key.Value]
		switch {
		case !r.plain(key, where):
		case key.Kind != yaml.ScalarNode || !knows:
			r.fail(key, where, "unknown key; the keys here are %s", known(fields))
		case seen[key.Value]:
			r.fail(key, where, "the key stands twice; keep one")
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
			r.fail(n, path, "%s is missing; add it", key)
		}
	}
}

func known(fields map[string]field) string {
	return strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

// list reads a YAML sequence of at least one and at most limit entries. Every entry is read, so that places in the file
// and in the policy stay the same.
func (r *reader) list(limit int, read field) field {
	return func(n *yaml.Node, path string) {
		switch {
		case n.Kind != yaml.SequenceNode:
			r.fail(n, path, "%s; write a list", wrong(n))
		case len(n.Content) == 0:
			r.fail(n, path, "the list is empty; add an entry or leave the key out")
		case len(n.Content) > limit:
			r.fail(n, path, "the list has %d entries; at most %d are allowed", len(n.Content), limit)
		default:
			for i, item := range n.Content {
				where := fmt.Sprintf("%s[%d]", path, i)
				r.at[where] = item
				read(item, where)
			}
		}
	}
}

// set reads a list of strings that differ, each brought to its final form by read. Case does not make a difference.
func set[T ~string](r *reader, into *[]T, limit int, read func(string) (T, error)) field {
	return func(n *yaml.Node, path string) {
		first := map[string]string{}
		r.list(limit, func(n *yaml.Node, path string) {
			s, ok := r.scalar(n, path)
			if !ok {
				return
			}
			value, err := read(s)
			if err != nil {
				r.fail(n, path, "%s", err)
				return
			}
			key := access.Fold(string(value))
			if before, twice := first[key]; twice {
				r.fail(n, path, "%q stands already in %s; keep one", string(value), before)
				return
			}
			first[key] = path
			*into = append(*into, value)
		})(n, path)
	}
}

// scalar reads a string.
func (r *reader) scalar(n *yaml.Node, path string) (string, bool) {
	if !r.plain(n, path) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		r.fail(n, path, "%s; write a text", wrong(n))
		return "", false
	}
	if tag := n.ShortTag(); tag != "!!str" {
		r.fail(n, path, "YAML reads this as %s; write it in quotes", strings.TrimPrefix(tag, "!!"))
		return "", false
	}
	for _, c := range n.Value {
		if unicode.IsControl(c) && c != '\n' && c != '\t' || c == '\uFEFF' || c == '\uFFFE' || c == '\uFFFF' {
			r.fail(n, path, "the text holds the control character %U; take it away", c)
			return "", false
		}
	}
	return n.Value, true
}

// text reads a free text.
func (r *reader) text(into *string) field {
	return r.checked(into, func(s string) error {
		if n := utf8.RuneCountInString(s); n > maxText {
			return fmt.Errorf("the text has %d characters; at most %d are allowed", n, maxText)
		}
		return nil
	})
}

// checked reads a string that must pass a check.
func (r *reader) checked(into *string, check func(string) error) field {
	return func(n *yaml.Node, path string) {
		if s, ok := r.scalar(n, path); ok {
			if err := check(s); err != nil {
				r.fail(n, path, "%s", err)
				return
			}
			*into = s
		}
	}
}

// oneOf reads one of a few words.
func oneOf[T ~string](r *reader, into *T, words ...T) field {
	return func(n *yaml.Node, path string) {
		s, ok := r.scalar(n, path)
		if !ok {
			return
		}
		if !slices.Contains(words, T(s)) {
			r.fail(n, path, "%q is unknown; write one of %s", shown(s), joined(words))
			return
		}
		*into = T(s)
	}
}

func joined[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

// flag reads true or false.
func (r *reader) flag(into *bool) field {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(into) != nil {
			r.fail(n, path, "%s; write true or false", wrong(n))
		}
	}
}

// number reads a whole number between two bounds.
func (r *reader) number(into *int, least, most int) field {
	return func(n *yaml.Node, path string) {
		i, err := strconv.Atoi(n.Value)
		switch {
		case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil:
			r.fail(n, path, "%s; write a whole number", wrong(n))
		case i < least || i > most:
			r.fail(n, path, "%d is out of bounds; write a number from %d to %d", i, least, most)
		default:
			*into = i
		}
	}
}

// value reads a share or a date.
func (r *reader) value(into encoding.TextUnmarshaler) field {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode {
			r.fail(n, path, "%s; write one value", wrong(n))
		} else if err := into.UnmarshalText([]byte(n.Value)); err != nil {
			r.fail(n, path, "%q does not fit: %s", shown(n.Value), err)
		}
	}
}

// duration reads a duration between two bounds.
func (r *reader) duration(into *Duration, least, most Duration) field {
	return func(n *yaml.Node, path string) {
		d := *into
		before := len(r.problems)
		r.value(&d)(n, path)
		switch {
		case len(r.problems) > before:
		case d < least || d > most:
			r.fail(n, path, "%s is out of bounds; write a duration from %s to %s", d, least, most)
		default:
			*into = d
		}
	}
}

// wrong says what stands where something else should.
func wrong(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values do not belong here"
	case n.Kind == yaml.SequenceNode:
		return "a list does not belong here"
	case n.ShortTag() == "!!null":
		return "there is no value"
	default:
		return fmt.Sprintf("%q does not fit", shown(n.Value))
	}
}

// shown cuts a value to what an error should repeat of it.
func shown(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
