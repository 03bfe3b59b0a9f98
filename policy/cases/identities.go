package cases

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/provision"
)

// identities reads who the person is in identity sources, by the source's name. In a source that is not there they are
// nobody; without any of it, that is not known of any source, as of one with the word unknown.
func (r *reader) identities(into *[]access.Identity) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		*into = []access.Identity{}
		r.Names(maxList, func(source string, _, value *yaml.Node, where string) {
			is := access.Identity{Source: source}
			if value.Kind == yaml.ScalarNode {
				var word string
				strictyaml.OneOf(r.Reader, &word, "unknown")(value, where)
			} else {
				is.Key = "made up"
				r.Object(value, where, strictyaml.Fields{
					"enabled":    r.Tristate(&is.Enabled),
					"outOfScope": r.Flag(&is.OutOfScope),
					"attributes": r.attributes(&is.Attributes),
				})
			}
			*into = append(*into, is)
		})(n, path)
	}
}

func (r *reader) attributes(into *map[string]any) strictyaml.Field {
	return func(n *yaml.Node, path string) { *into = r.values(n, path) }
}

func (r *reader) values(n *yaml.Node, path string) map[string]any {
	all := map[string]any{}
	r.Names(maxList, func(name string, _, value *yaml.Node, where string) {
		all[name] = r.value(value, where)
	})(n, path)
	return all
}

// value reads what a source says, as it would come from JSON. How deep it goes, the file's own bounds limit.
func (r *reader) value(n *yaml.Node, path string) any {
	switch {
	case n.Kind == yaml.MappingNode:
		return r.values(n, path)
	case n.Kind == yaml.SequenceNode:
		all := []any{}
		r.List(maxList, func(n *yaml.Node, path string) { all = append(all, r.value(n, path)) })(n, path)
		return all
	case n.ShortTag() == "!!bool":
		var is bool
		r.Flag(&is)(n, path)
		return is
	case n.ShortTag() == "!!int", n.ShortTag() == "!!float":
		number, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			r.Fail(n, path, "%q is no number; write it in quotes", strictyaml.Shown(n.Value))
		}
		return number
	}
	var text string
	r.Text(&text)(n, path)
	return text
}

// checkSources finds identities in sources that the policy does not have: the case would say nothing.
func (j *outcome) checkSources() {
	declared := j.policy.SourceNames()
	for _, is := range j.Case.Person.Identities {
		if !slices.Contains(declared, is.Source) {
			j.fail("%s", provision.UnknownSource(is.Source, declared))
		}
	}
}

// sourcesKnown takes the word of every source of a made-up organization.
func sourcesKnown(string) error { return nil }
