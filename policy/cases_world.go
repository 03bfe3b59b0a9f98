package policy

import (
	"slices"

	"github.com/castellan-io/castellan/access"
)

// world is an organization made up for a table: every group that the policy or a case names, every app on a site, and
// one group behind each default role.
type world struct {
	outline access.Outline
	routes  []route
	asked   map[string]bool // groups that rules ask for, folded
	any     bool            // some rule asks for all groups
	targets map[string]bool // groups that the policy names in full as targets, folded
	made    map[string]bool // ids of groups
	names   map[string]bool // of groups, folded
	sites   map[string]bool
}

func newWorld(p *Policy, c *Cases) *world {
	w := &world{asked: map[string]bool{}, targets: map[string]bool{}, made: map[string]bool{}, names: map[string]bool{},
		sites: map[string]bool{}}
	w.outline.Domains = c.Domains
	var names []string
	for i := range p.Mappings {
		r := newRoute(&p.Mappings[i])
		w.routes = append(w.routes, r)
		for j, from := range r.from {
			if !from.glob {
				names = append(names, r.From[j])
			}
		}
	}
	for i := range p.Rules {
		names = append(names, w.asks(p, p.Rules[i].When)...)
		names = append(names, w.asks(p, p.Rules[i].Release)...)
	}
	defaults := w.targetsOf(p)
	for _, one := range c.Cases {
		names = append(names, one.Groups...)
		for _, name := range one.Local {
			w.group(name, true)
		}
		for _, use := range one.Apps {
			w.site(use.App, use.Site)
		}
	}
	var filled []string // targets that a mapping names with a star
	for _, name := range names {
		if _, synced := w.group(name, false); synced {
			for i := range w.routes {
				for _, f := range w.routes[i].gives(name, lower(name)) {
					filled = append(filled, f.full.Group())
				}
			}
		}
	}
	for _, name := range filled {
		if folded := string(lower(name)); !w.names[folded] {
			w.targets[folded] = true
			w.group(name, true)
		}
	}
	for _, e := range defaults {
		w.roleDefault(e)
	}
	return w
}

// asks notes what a condition asks for, and lists the groups.
func (w *world) asks(p *Policy, text string) []string {
	condition, err := p.condition(text)
	if text == "" || err != nil { // Bind says so
		return nil
	}
	w.any = w.any || condition.Needs.AnyGroup
	for _, name := range condition.Needs.Groups {
		w.asked[string(lower(name))] = true
	}
	for _, name := range condition.Needs.Apps {
		if app, site, ok := appOnSite(name); ok {
			w.site(app, site)
		}
	}
	return condition.Needs.Groups
}

// targetsOf makes what the policy names in full as targets, and lists those that are default roles.
func (w *world) targetsOf(p *Policy) []access.Entitlement {
	var all, defaults []access.Entitlement
	for i := range p.Mappings {
		all = append(all, p.Mappings[i].To...)
	}
	for i := range p.Rules {
		all = append(append(all, p.Rules[i].Give...), p.Rules[i].Deny...)
	}
	for i := range p.Grants {
		all = append(all, p.Grants[i].Targets...)
	}
	for i := range p.Reviews {
		all = append(all, p.Reviews[i].named()...)
	}
	for _, entry := range p.Protected {
		all = append(all, entry.Target)
	}
	for _, e := range all {
		if e.Kind() == access.KindGroup && stars(e) == 0 {
			w.targets[string(lower(e.Group()))] = true
			w.group(e.Group(), true)
		}
		if app, site, _, is := e.AppSiteRole(); is {
			w.site(app, site)
			if e.Kind() == access.KindDefault {
				defaults = append(defaults, e)
			}
		}
	}
	return defaults
}

// group is the id of a group, which is made if it is not there, and whether an identity provider owns it. One name may
// stand for a synced group of one person and a local one of another; a target is always one.
func (w *world) group(name string, local bool) (id string, synced bool) {
	folded := string(lower(name))
	synced = !local && !w.targets[folded] && w.takes(name, folded)
	id = map[bool]string{true: "synced:", false: "local:"}[synced] + folded
	if !w.made[id] && name != "" {
		w.made[id], w.names[folded] = true, true
		w.outline.Groups = append(w.outline.Groups,
			access.Group{ID: id, Name: name, Synced: synced, Modifiable: !synced, Users: -1})
	}
	return id, synced
}

// takes says that a mapping takes from a group of this name, or that a rule asks for it.
func (w *world) takes(name, folded string) bool {
	return w.any || w.asked[folded] ||
		slices.ContainsFunc(w.routes, func(r route) bool { return len(r.gives(name, []rune(folded))) > 0 })
}

// madeUpSite is the identifier of an app on a site.
func madeUpSite(app, site string) string { return "ari:cloud:" + app + "::site/" + site }

func (w *world) site(app, site string) {
	if resource := madeUpSite(app, site); !w.sites[resource] {
		w.sites[resource] = true
		w.outline.Sites = append(w.outline.Sites, access.Site{App: app, Site: site, Resource: resource})
	}
}

// roleDefault makes the group behind a default role.
func (w *world) roleDefault(e access.Entitlement) {
	app, site, role, _ := e.AppSiteRole()
	assignment := access.RoleAssignment{Resource: madeUpSite(app, site), Role: "atlassian/" + role, Default: true}
	name := "default of " + app + "/" + site + "/" + role
	for w.names[string(lower(name))] {
		if slices.ContainsFunc(w.outline.Roles, func(r access.RoleAssignment) bool {
			return r.Resource == assignment.Resource && r.Role == assignment.Role
		}) {
			return
		}
		name += "'"
	}
	assignment.GroupID, _ = w.group(name, true)
	w.outline.Roles = append(w.outline.Roles, assignment)
}
