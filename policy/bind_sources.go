package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/provision"
)

// Source finds an identity source by its name; nil: the policy declares none of that name.
func (p *Policy) Source(name string) *provision.Source {
	s, _ := provision.Find(p.Sources, name)
	return s
}

// SourceOf returns the identity source that a name or glob of groups is about: the part before its first colon, if the
// policy declares a source of that name. Empty: it is about Atlassian's own groups.
func (p *Policy) SourceOf(name string) string { return namesOfSources(p).of(name) }

// SourceNames lists the identity sources that the policy declares, in its order.
func (p *Policy) SourceNames() []string {
	names := make([]string, len(p.Sources))
	for i := range p.Sources {
		names[i] = p.Sources[i].Name
	}
	return names
}

// SourcesNeeded lists the identity sources that conditions ask about people, of whatever section, sorted.
func (p *Policy) SourcesNeeded() []string {
	asked := map[string]bool{}
	for _, c := range p.conditions {
		for name := range c.Needs.Sources {
			asked[name] = true
		}
	}
	return slices.Sorted(maps.Keys(asked))
}

// mention is where a condition of the file asks an identity source.
type mention struct {
	source string
	node   *yaml.Node // the condition's
	path   string
	offset int // characters of the condition before it
}

// checkMentions refuses conditions that ask sources which the file does not declare.
func (r *reader) checkMentions(p *Policy) {
	names := p.SourceNames()
	for _, m := range r.mentions {
		if !slices.Contains(names, m.source) {
			r.FailWithin(m.node, m.path, m.offset, "%s", provision.UnknownSource(m.source, names))
		}
	}
}

// namespaces are the names of the identity sources that the policy declares.
type namespaces map[string]bool

func namesOfSources(p *Policy) namespaces {
	n := make(namespaces, len(p.Sources))
	for i := range p.Sources {
		n[p.Sources[i].Name] = true
	}
	return n
}

func (n namespaces) of(name string) string {
	prefix, _, found := strings.Cut(name, ":")
	if !found || len(n) == 0 {
		return ""
	}
	if prefix = access.Fold(prefix); n[prefix] {
		return prefix
	}
	return ""
}

// groupName is a name of a group, readied for globs.
type groupName struct {
	text   string
	folded []rune
	source string // whose group it is, see Policy.SourceOf
}

func (n namespaces) ready(name string) groupName { return groupName{name, form.Fold(name), n.of(name)} }

// groupGlob is a glob over groups: of one identity source, or of Atlassian's own. A * never stands for a source.
type groupGlob struct {
	form.Pattern
	source string
}

// compile reads globs of a parsed policy, which are known to be right.
func (n namespaces) compile(texts []string) (all []groupGlob) {
	for _, text := range texts {
		if p, err := form.Compile(text); err == nil {
			all = append(all, groupGlob{p, n.of(text)})
		}
	}
	return all
}

// matches reports whether the glob is about the group.
func (g groupGlob) matches(name groupName) bool {
	return g.source == name.source && g.Match(name.folded)
}

func matchAny(globs []groupGlob, name groupName) bool {
	for _, g := range globs {
		if g.matches(name) {
			return true
		}
	}
	return false
}

// foreign reports whether a group cannot be told by its name: one of Atlassian's own that is called like a group of a
// source, which no mapping takes from and no condition sees; or one of a source that the policy does not declare.
func (w *binder) foreign(g access.Group) bool {
	of := w.declared.of(g.Name)
	if g.Source == "" && of != "" {
		w.find("group-shadows-source", g.Name, false,
			"one of Atlassian's own groups has the same name as a group of the source %s: mappings and conditions mean the source's group, never this one. Rename the source, or replace the group", of)
	}
	return g.Source != of
}

// groupsCalled lists the groups that a condition or a list of approvers or reviewers means by a name.
func (w *binder) groupsCalled(name string) []access.Group {
	if w.declared.of(name) != "" {
		return w.ofSources[access.Fold(name)]
	}
	return w.byName[access.Fold(name)]
}

// instead says more of a group that is not there: which source has not shown it, or that there is no such source.
func (w *binder) instead(name string) string {
	prefix, _, found := strings.Cut(name, ":")
	if source := w.declared.of(name); source != "" {
		return fmt.Sprintf(" (the source %s has not shown it: it may not have been read yet, or its groups.names may leave the group out)", source)
	}
	if !found || form.CheckShort(access.Fold(prefix)) != nil {
		return ""
	}
	var names []string
	for _, s := range w.policy.Sources {
		names = append(names, s.Name)
	}
	if nearest := access.Nearest(prefix, names...); nearest != "" {
		return fmt.Sprintf(" (the policy declares no source %s; did you mean %s?)", prefix, nearest)
	}
	return fmt.Sprintf(" (the policy declares no source %s; if one is meant, add it to sources)", prefix)
}
