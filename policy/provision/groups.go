package provision

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// GroupSync has groups of identity sources as groups at Atlassian, each with the same members.
type GroupSync struct {
	Name        string   `json:"name"` // reasons refer to it
	Description string   `json:"description,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	From        []string `json:"from"`             // names or globs over groups of identity sources: corp:atl-*
	Except      []string `json:"except,omitempty"` // globs taken out of From
	// To is the group's name at Atlassian. Its * stands for what the * of the matching From glob matched. Empty: the
	// name that it has in the source.
	To string    `json:"to,omitempty"`
	As GroupKind `json:"as"`
	// Provision is the provision in whose SCIM directory a synced group is.
	Provision string `json:"provision,omitempty"`
	Create    bool   `json:"create"` // make groups that do not exist
}

// GroupKind is what a group at Atlassian is.
type GroupKind string

// The kinds.
const (
	// Local is Atlassian's own group, whose members Castellan adds and removes by the organization API (the default).
	Local GroupKind = "local"
	// Synced is a group of a SCIM directory: nobody else can change it, and it ends with the directory.
	Synced GroupKind = "synced"
)

// MaxGroupSyncs bounds the entries of the section groups.
const MaxGroupSyncs = 500

// ReadGroupSyncs reads the section groups. CheckGroupSyncs completes what depends on sources and provisions.
func ReadGroupSyncs(r *strictyaml.Reader, into *[]GroupSync,
	counted func(strictyaml.Field) strictyaml.Field) strictyaml.Field {
	glob := strictyaml.Kept(checkGlobOf)
	return r.List(MaxGroupSyncs, func(n *yaml.Node, path string) {
		g := GroupSync{As: Local}
		r.Object(n, path, strictyaml.Fields{
			"name":        r.Checked(&g.Name, form.CheckEntry),
			"description": r.Text(&g.Description),
			"owner":       r.Text(&g.Owner),
			"from":        counted(strictyaml.Set(r, &g.From, maxGroupGlobs, glob)),
			"except":      counted(strictyaml.Set(r, &g.Except, maxGroupGlobs, glob)),
			"to":          r.Checked(&g.To, checkGroupName),
			"as":          strictyaml.OneOf(r, &g.As, Local, Synced),
			"provision":   r.Checked(&g.Provision, form.CheckShort),
			"create":      r.Flag(&g.Create),
		}, "name", "from")
		*into = append(*into, g)
	})
}

const maxGroupGlobs = 500 // in one list

func checkGlobOf(s string) error {
	_, err := form.Compile(s)
	return err
}

func checkGroupName(s string) error {
	if strings.Contains(s, "?") || strings.Count(s, "*") > 1 {
		return fmt.Errorf("%q is not the name of a group; write one name, or one with a single *", strictyaml.Shown(s))
	}
	return form.CheckGroup(s)
}

// CheckGroupSyncs finds what is wrong between the entries of groups, which stand in the file at the path groups, and
// the sections sources, provision and mappings, and completes which provision a synced group is in. taken are the names
// of mappings.
func CheckGroupSyncs(r *strictyaml.Reader, groups []GroupSync, sources []Source, provisions []Provision,
	taken []string) {
	var names []string
	for _, s := range sources {
		names = append(names, s.Name)
	}
	first := map[string]string{}
	for i, name := range taken {
		first[access.Fold(name)] = fmt.Sprintf("mappings[%d]", i)
	}
	for i := range groups {
		g, path := &groups[i], fmt.Sprintf("groups[%d]", i)
		if before, twice := first[access.Fold(g.Name)]; twice && g.Name != "" {
			r.FailAt(path+".name", "the name %q is taken by %s; give each entry its own", g.Name, before)
		}
		first[access.Fold(g.Name)] = path
		for key, globs := range map[string][]string{"from": g.From, "except": g.Except} {
			for j, glob := range globs {
				if of, _, found := strings.Cut(glob, ":"); !found || !slices.Contains(names, access.Fold(of)) {
					r.FailAt(fmt.Sprintf("%s.%s[%d]", path, key, j),
						"%q does not begin with the name of a source and a colon; write for example corp:%s. %s",
						strictyaml.Shown(glob), strictyaml.Shown(glob), UnknownSource(of, names))
				}
			}
		}
		checkGroupTo(r, *g, path)
		checkGroupKind(r, g, path, provisions)
	}
}

// checkGroupTo refuses one name for several groups.
func checkGroupTo(r *strictyaml.Reader, g GroupSync, path string) {
	if g.To == "" {
		return
	}
	star := strings.Contains(g.To, "*")
	for _, from := range g.From {
		switch globs := strings.Count(from, "*"); {
		case star && (globs != 1 || strings.Contains(from, "?")):
			r.FailAt(path+".to", "its * has nothing to stand for in %q; write from globs with exactly one * and no ?",
				strictyaml.Shown(from))
		case !star && (len(g.From) > 1 || globs > 0 || strings.Contains(from, "?")):
			r.FailAt(path+".to", "several groups of the source would become the one group %q; name one group in from, or leave to out: each then keeps its name",
				strictyaml.Shown(g.To))
		default:
			continue
		}
		return
	}
}

// checkGroupKind finds the SCIM directory of a synced group. Its members need records there.
func checkGroupKind(r *strictyaml.Reader, g *GroupSync, path string, provisions []Provision) {
	if g.As == Local {
		if g.Provision != "" {
			r.FailAt(path+".provision", "a local group is in no SCIM directory; take this away, or write as: synced")
		}
		return
	}
	if g.Provision == "" && len(provisions) == 1 {
		g.Provision = provisions[0].Name
	}
	i := slices.IndexFunc(provisions, func(p Provision) bool { return p.Name == g.Provision })
	switch {
	case g.Provision == "" && len(provisions) == 0:
		r.FailAt(path+".as", "a synced group needs a SCIM directory; add an entry to provision, or write as: local")
		return
	case g.Provision == "":
		r.Fail(r.At(path), path, "provision is missing; name the one whose SCIM directory gets the groups")
		return
	case i < 0:
		r.FailAt(path+".provision", "no entry of provision is called %q", g.Provision)
		return
	}
	for j, from := range g.From {
		if of, _, found := strings.Cut(from, ":"); found && !slices.Contains(provisions[i].From, access.Fold(of)) {
			r.FailAt(fmt.Sprintf("%s.from[%d]", path, j),
				"provision %s does not take people from the source %s, so the group's members would have no records; add the source to its from",
				g.Provision, access.Fold(of))
		}
	}
}
