package cases

import (
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// organization is one made up for a table: every group that the policy or a case names, every app on a site, and one
// group behind each default role.
type organization struct {
	policy  *policy.Policy
	outline access.Outline
	empty   *policy.Bound   // to an organization without groups: what matters is what mappings and rules say of names
	sources map[string]bool // whether a mapping takes from a group, or a rule asks for it, by folded name
	targets map[string]bool // groups that the policy names in full as targets, folded
	made    map[string]bool // ids of groups
	names   map[string]bool // of groups, folded
	sites   map[string]bool
}

func newOrganization(p *policy.Policy, c *Table) *organization {
	o := &organization{policy: p, sources: map[string]bool{}, targets: map[string]bool{}, made: map[string]bool{},
		names: map[string]bool{}, sites: map[string]bool{}}
	o.empty, _ = policy.Bind(p, access.Outline{})
	o.outline.Domains = c.Domains
	var names []string
	for _, m := range p.Mappings {
		for _, from := range m.From {
			if !strings.ContainsAny(from, "*?") {
				names = append(names, from)
			}
		}
	}
	for i := range p.Rules {
		names = append(names, o.asks(p, p.Rules[i].When)...)
		names = append(names, o.asks(p, p.Rules[i].Release)...)
	}
	defaults := o.targetsOf(p)
	for _, one := range c.Cases {
		names = append(names, one.Groups...)
		for _, name := range one.Local {
			o.group(name, true)
		}
		for _, use := range one.Apps {
			o.site(use.App, use.Site)
		}
	}
	var filled []string // targets that a mapping names with a star
	for _, name := range names {
		if _, synced := o.group(name, false); synced {
			for _, e := range o.empty.TargetsGivenBy(name) {
				filled = append(filled, e.Group())
			}
		}
	}
	for _, name := range filled {
		if folded := access.Fold(name); !o.names[folded] {
			o.targets[folded] = true
			o.group(name, true)
		}
	}
	for _, e := range defaults {
		o.roleDefault(e)
	}
	return o
}

// asks makes the apps that a condition asks for, and lists the groups.
func (o *organization) asks(p *policy.Policy, text string) []string {
	condition, err := p.Condition(text)
	if text == "" || err != nil { // Bind says so
		return nil
	}
	for _, name := range condition.Needs.Apps {
		if app, site, ok := appOnSite(name); ok {
			o.site(app, site)
		}
	}
	return condition.Needs.Groups
}

// targetsOf makes what the policy names in full as targets, and lists those that are default roles.
func (o *organization) targetsOf(p *policy.Policy) (defaults []access.Entitlement) {
	for _, e := range p.TargetsNamed() {
		if e.Kind() == access.KindGroup {
			o.targets[access.Fold(e.Group())] = true
			o.group(e.Group(), true)
		}
		if app, site, _, is := e.AppSiteRole(); is {
			o.site(app, site)
			if e.Kind() == access.KindDefault {
				defaults = append(defaults, e)
			}
		}
	}
	return defaults
}

// group returns the id of a group, which is made if it is not there, and whether an identity provider owns it. One name
// may stand for a synced group of one person and a local one of another; a target is always one.
func (o *organization) group(name string, local bool) (id string, synced bool) {
	folded := access.Fold(name)
	source := ""
	if !local {
		source = o.policy.SourceOf(name)
	}
	synced = source != "" || !local && !o.targets[folded] && o.source(name, folded)
	id = map[bool]string{true: "synced:", false: "local:"}[synced] + folded
	if !o.made[id] && name != "" {
		o.made[id], o.names[folded] = true, true
		o.outline.Groups = append(o.outline.Groups,
			access.Group{ID: id, Name: name, Synced: synced, Modifiable: !synced, Users: -1, Source: source})
	}
	return id, synced
}

// source reports whether a mapping takes from a group of this name, or a rule asks for it.
func (o *organization) source(name, folded string) bool {
	is, known := o.sources[folded]
	if !known {
		is = o.empty.UsesSourceGroup(name)
		o.sources[folded] = is
	}
	return is
}

// madeUpSite returns the identifier of an app on a site.
func madeUpSite(app, site string) string { return "ari:cloud:" + app + "::site/" + site }

func (o *organization) site(app, site string) {
	if resource := madeUpSite(app, site); !o.sites[resource] {
		o.sites[resource] = true
		o.outline.Sites = append(o.outline.Sites, access.Site{App: app, Site: site, Resource: resource})
	}
}

// roleDefault makes the group behind a default role.
func (o *organization) roleDefault(e access.Entitlement) {
	app, site, role, _ := e.AppSiteRole()
	assignment := access.RoleAssignment{Resource: madeUpSite(app, site), Role: "atlassian/" + role, Default: true}
	name := "default of " + app + "/" + site + "/" + role
	for o.names[access.Fold(name)] {
		if slices.ContainsFunc(o.outline.Roles, func(r access.RoleAssignment) bool {
			return r.Resource == assignment.Resource && r.Role == assignment.Role
		}) {
			return
		}
		name += "'"
	}
	assignment.GroupID, _ = o.group(name, true)
	o.outline.Roles = append(o.outline.Roles, assignment)
}
