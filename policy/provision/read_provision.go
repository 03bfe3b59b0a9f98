package provision

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/window"
)

// ReadProvisions reads the section provision. Check completes what depends on the sources.
func ReadProvisions(r *strictyaml.Reader, into *[]Provision) strictyaml.Field {
	return r.List(MaxProvisions, func(n *yaml.Node, path string) { *into = append(*into, readProvision(r, n, path)) })
}

func readProvision(r *strictyaml.Reader, n *yaml.Node, path string) Provision {
	p := Provision{
		External: External{Link: Ask, Update: Never},
		Leavers:  Leavers{Disabled: Deactivate, Gone: Deactivate, OutOfScope: HoldLeave},
	}
	r.Object(n, path, strictyaml.Fields{
		"name":       r.Checked(&p.Name, form.CheckShort),
		"from":       strictyaml.Set(r, &p.From, MaxSources, strictyaml.Kept(form.CheckShort)),
		"directory":  readDirectory(r, &p.Directory),
		"match":      strictyaml.Set(r, &p.Match, 2, strictyaml.Word(ByExternalID, ByEmail)),
		"attributes": readAttributes(r, &p.Attributes),
		"external":   readExternal(r, &p.External),
		"leavers":    readLeavers(r, &p.Leavers),
	}, "name", "from", "directory")
	if p.Match == nil {
		p.Match = []Means{ByExternalID, ByEmail}
	}
	return p
}

func readDirectory(r *strictyaml.Reader, d *Directory) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		d.Mode = Write
		r.Object(n, path, strictyaml.Fields{
			"id":         r.Checked(&d.ID, form.CheckVendorID),
			"key":        form.Secret(r, &d.Key),
			"keyExpires": r.Value(&d.KeyExpires),
			"mode":       strictyaml.OneOf(r, &d.Mode, Write, Observe),
		}, "id", "key")
	}
}

func readExternal(r *strictyaml.Reader, e *External) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		r.Object(n, path, strictyaml.Fields{
			"link":   strictyaml.OneOf(r, &e.Link, Never, Ask, Auto),
			"update": strictyaml.OneOf(r, &e.Update, Never, Ask, Auto),
		})
	}
}

func readLeavers(r *strictyaml.Reader, l *Leavers) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		leave := func(into *Leave) strictyaml.Field {
			return strictyaml.OneOf(r, into, Deactivate, HoldLeave, ReportOnly)
		}
		r.Object(n, path, strictyaml.Fields{
			"disabled":   leave(&l.Disabled),
			"gone":       leave(&l.Gone),
			"outOfScope": leave(&l.OutOfScope),
			"after":      form.Duration(r, &l.After, 0, window.Duration(365*window.Day)),
		})
	}
}

// readAttributes reads what is provisioned: an expression for each attribute, of which one is an address.
func readAttributes(r *strictyaml.Reader, into *map[Attribute]string) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		all := map[Attribute]string{}
		before := r.Count()
		r.Names(len(Attributes()), func(key string, n, value *yaml.Node, path string) {
			if !slices.Contains(Attributes(), Attribute(key)) {
				r.Fail(n, path, "%s", unknownAttribute(key))
				return
			}
			var written string
			expression(r, &written, attribute.CompileValue)(value, path)
			all[Attribute(key)] = written
		})(n, path)
		if all[UserName] == "" && all[Email] == "" && r.Count() == before {
			r.Fail(n, path, "nobody would have an address; add emails or userName")
		}
		*into = all
	}
}

func unknownAttribute(name string) string {
	var all []string
	for _, a := range Attributes() {
		all = append(all, string(a))
	}
	message := fmt.Sprintf("%q is no attribute that is provisioned; write one of %s", strictyaml.Shown(name),
		strings.Join(all, ", "))
	if nearest := access.Nearest(name, all...); nearest != "" {
		message = fmt.Sprintf("%q is no attribute that is provisioned; did you mean %s? There are %s",
			strictyaml.Shown(name), nearest, strings.Join(all, ", "))
	}
	return message
}

// Check finds what is wrong between the entries of both sections, which stand in the file at the paths sources and
// provision, and completes the provisions with the attributes that their sources have.
func Check(r *strictyaml.Reader, sources []Source, provisions []Provision) {
	names := checkNames(r, sources, provisions)
	directories := map[string]int{}
	for i := range provisions {
		p, path := &provisions[i], fmt.Sprintf("provision[%d]", i)
		for j, from := range p.From {
			if !slices.Contains(names, from) {
				r.FailAt(fmt.Sprintf("%s.from[%d]", path, j), "%s", UnknownSource(from, names))
			}
		}
		if before, twice := directories[p.Directory.ID]; twice && p.Directory.ID != "" {
			r.FailAt(path+".directory.id",
				"provision[%d] writes to this directory already, and only one may; make one entry of both, with both from lists",
				before)
		} else {
			directories[p.Directory.ID] = i
		}
		if p.Attributes == nil {
			p.Attributes = defaultAttributes(sources, p.From)
			checkDefaults(r, *p, path)
		}
	}
}

// checkDefaults refuses to guess where many sources say one attribute in many ways.
func checkDefaults(r *strictyaml.Reader, p Provision, path string) {
	for _, name := range Attributes() {
		written := p.Attributes[name]
		if written == "" {
			continue
		}
		if _, err := attribute.CompileValue(written); err != nil || checkText(written) != nil {
			r.Fail(r.At(path), path, "the sources say %s in too many ways to try all of them; write attributes", name)
			return
		}
	}
}

// checkNames refuses a name that two sources or two provisions have, and returns those of the sources.
func checkNames(r *strictyaml.Reader, sources []Source, provisions []Provision) (names []string) {
	first := map[string]string{}
	unique := func(name, path string) {
		if before, twice := first[name]; twice && name != "" {
			r.FailAt(path+".name", "the name %q is taken by %s; give each its own", name, before)
			return
		}
		first[name] = path
	}
	for i, s := range sources {
		unique(s.Name, fmt.Sprintf("sources[%d]", i))
		names = append(names, s.Name)
	}
	clear(first)
	for i, p := range provisions {
		unique(p.Name, fmt.Sprintf("provision[%d]", i))
	}
	return names
}

// UnknownSource says that a file which declares sources of these names has none of that name, and what may be meant.
func UnknownSource(name string, names []string) string {
	switch nearest := access.Nearest(name, names...); {
	case len(names) == 0:
		return fmt.Sprintf("the file declares no sources, and so none called %q; add it to the section sources", name)
	case nearest != "":
		return fmt.Sprintf("no source is called %q; did you mean %s?", name, nearest)
	default:
		return fmt.Sprintf("no source is called %q; write one of %s", name, strings.Join(names, ", "))
	}
}
