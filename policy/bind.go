package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// Last is what the last good run stood on. Binding with it keeps in view what the policy has just let go of because the
// organization changed, so that people can still be released from it.
type Last struct {
	Sources  []string                        `json:"sources,omitempty"`  // names of the source groups
	Defaults map[access.Entitlement][]string `json:"defaults,omitempty"` // Bound.Defaults
	Granted  []access.Entitlement            `json:"granted,omitempty"`  // targets of grants that are not over and done
	Domains  []string                        `json:"domains,omitempty"`  // Bound.Domains
}

// Bind joins a policy with the organization's groups. Globs meet source groups only. A target that cannot be managed is
// left wholly alone, and the finding that says so Blocks. What can be granted or is reviewed is managed even when no mapping
// gives it; it never changes what a mapping says.
//
// The organization-admin role, once it is a target, never loses its last holder, even when the policy protects it in no
// other way.
func Bind(p *Policy, o access.Outline) (*Bound, []access.Finding) { return BindSince(p, o, Last{}) }

// BindSince is Bind after a good run. The starred targets of source groups that are gone stay managed. So do groups that
// are no longer default for a role the policy names, but from those only owned memberships are removed.
func BindSince(p *Policy, o access.Outline, last Last) (*Bound, []access.Finding) {
	w := newBinder(p, o)
	for _, g := range w.sources {
		w.source(g)
	}
	w.literals()
	w.formerSources(last.Sources)
	w.grants()
	w.formerGrants(last.Granted)
	w.rules()
	w.formerDefaults(last.Defaults)
	w.reviews()
	w.missing()
	w.uncovered()
	b := w.bound()
	b.home = w.home(last.Domains)
	w.unasked(b)
	return b, w.sorted()
}

// binder joins step by step. Targets are kept by pointer until their order is known.
type binder struct {
	policy   *Policy
	outline  access.Outline
	routes   []route
	sources  []source                  // synced groups by name
	byID     map[string]access.Group   // all groups
	byName   map[string][]access.Group // all groups, by folded name
	opens    map[string][]string       // app/site by group id
	targets  map[string]*Target        // by folded live entitlement
	resolved map[string][]*Target      // by folded name of the policy
	defaults map[access.Entitlement][]string
	covered  map[string]bool              // source groups that a mapping takes
	gifts    map[string][]gift            // by source group id
	ruledBy  []ruled                      // the rules
	asked    map[string]bool              // groups that rules' conditions ask for, by id
	lacking  map[string]*lack             // target groups that do not exist, by folded name
	findings map[[2]string]access.Finding // by rule and subject
}

// source is a source group with its name folded.
type source struct {
	access.Group
	folded []rune
}

// gift is a voice whose target has no index yet.
type gift struct {
	target *Target
	reason access.Reason
	adopt  bool
}

// lack is a target group that does not exist.
type lack struct {
	name   string
	create bool
}

func newBinder(p *Policy, o access.Outline) *binder {
	w := &binder{
		policy: p, outline: o,
		byID: map[string]access.Group{}, byName: map[string][]access.Group{}, opens: map[string][]string{},
		targets: map[string]*Target{}, resolved: map[string][]*Target{}, defaults: map[access.Entitlement][]string{},
		covered: map[string]bool{}, gifts: map[string][]gift{}, lacking: map[string]*lack{}, asked: map[string]bool{}, findings: map[[2]string]access.Finding{},
	}
	for i := range p.Mappings {
		w.routes = append(w.routes, newRoute(&p.Mappings[i]))
	}
	for _, g := range o.Groups {
		w.byID[g.ID] = g
		w.byName[string(lower(g.Name))] = append(w.byName[string(lower(g.Name))], g)
		if g.Synced {
			w.sources = append(w.sources, source{g, lower(g.Name)})
		}
	}
	slices.SortFunc(w.sources, func(a, b source) int { return byGroupName(a.Group, b.Group) })
	sites := map[string]string{}
	for _, s := range o.Sites {
		sites[s.Resource] = s.App + "/" + s.Site
	}
	for _, r := range o.Roles {
		if app, known := sites[r.Resource]; known && !slices.Contains(w.opens[r.GroupID], app) {
			w.opens[r.GroupID] = append(w.opens[r.GroupID], app)
		}
	}
	for _, apps := range w.opens {
		slices.Sort(apps)
	}
	return w
}

// source notes what every mapping gives the members of one source group.
func (w *binder) source(g source) {
	for i := range w.routes {
		r := &w.routes[i]
		seen := map[gift]bool{}
		for _, f := range r.gives(g.Name, g.folded) {
			w.covered[g.ID] = true
			for _, t := range w.mapped(f.full, r.Mapping, true) {
				reason := access.Reason{Kind: access.ReasonMapping, Name: r.Name, Source: g.Name}
				if fold(f.written) != fold(t.Entitlement) {
					reason.Via = f.written
				}
				if one := (gift{t, reason, r.Adopt}); !seen[one] {
					seen[one] = true
					w.gifts[g.ID] = append(w.gifts[g.ID], one)
				}
				t.Sources = append(t.Sources, g.ID)
			}
		}
	}
}

// literals manages the targets that mappings name in full even while no source group gives them, and reports from
// entries that match nothing.
func (w *binder) literals() {
	for i := range w.routes {
		r := &w.routes[i]
		for _, to := range r.To {
			if stars(to) == 0 {
				w.mapped(to, r.Mapping, true)
			}
		}
		for j, p := range r.from {
			w.unmatched(r, r.From[j], p)
		}
	}
}

// formerSources keeps the targets of source groups that are gone.
func (w *binder) formerSources(names []string) {
	for _, name := range names {
		folded := lower(name)
		for i := range w.routes {
			for _, f := range w.routes[i].gives(name, folded) {
				w.mapped(f.full, w.routes[i].Mapping, false)
			}
		}
	}
}

// formerDefaults keeps the groups that stood behind a default of the policy, once others stand there: a default that no
// group stands for now may just have been read badly, and is left alone.
func (w *binder) formerDefaults(last map[access.Entitlement][]string) {
	for e := range w.defaults {
		if len(w.resolved[fold(e)]) == 0 {
			continue
		}
		for _, name := range last[e] {
			live := access.GroupEntitlement(name)
			groups := w.byName[string(lower(name))]
			if w.targets[fold(live)] == nil && len(groups) == 1 && groups[0].Modifiable && !groups[0].Synced {
				w.manage(access.GroupEntitlement(groups[0].Name), groups[0]).Removals = careful(w.mode(e), RemoveOwned)
			}
		}
	}
}

// mode is the most careful mode of the mappings that give a target.
func (w *binder) mode(e access.Entitlement) Mode {
	mode := RemoveAll
	for _, r := range w.routes {
		if slices.Contains(r.To, e) {
			mode = careful(mode, r.Removals)
		}
	}
	return mode
}

// bound gives the targets their order and everything its final form.
func (w *binder) bound() *Bound {
	w.protect()
	b := &Bound{
		Owner: w.outline.Owner, routes: w.routes, gives: map[string][]voice{}, holds: map[string]int{}, admin: -1,
		named: map[string][]int{}, synced: map[string]string{}, names: map[string]string{}, there: map[string]bool{}, sites: map[string]access.Site{}, opens: w.opens, defaults: w.defaults,
	}
	targets := slices.SortedFunc(maps.Values(w.targets), func(a, b *Target) int {
		return strings.Compare(string(a.Entitlement), string(b.Entitlement))
	})
	index := map[*Target]int{}
	for i, t := range targets {
		slices.Sort(t.Names)
		slices.Sort(t.Sources)
		t.Sources = slices.Compact(t.Sources)
		slices.Sort(t.Evidence)
		t.Evidence = slices.Compact(t.Evidence)
		b.Targets = append(b.Targets, *t)
		index[t] = i
		b.named[fold(t.Entitlement)] = []int{i}
		switch {
		case t.GroupID != "":
			b.holds[t.GroupID] = i
		case t.Entitlement == access.OrgAdmin:
			b.admin = i
		}
	}
	for key, found := range w.resolved {
		var all []int
		for _, t := range found {
			all = append(all, index[t])
		}
		slices.Sort(all)
		if len(all) > 0 {
			b.named[key] = all
		}
	}
	for id, gifts := range w.gifts {
		for _, g := range gifts {
			b.gives[id] = append(b.gives[id], voice{target: index[g.target], reason: g.reason, adopt: g.adopt})
		}
	}
	for _, g := range w.sources {
		b.synced[g.ID] = g.Name
	}
	for id, g := range w.byID {
		b.names[id] = g.Name
	}
	for name := range w.byName {
		b.there[name] = true
	}
	for _, site := range w.outline.Sites {
		b.sites[site.Resource] = site
	}
	b.rules, b.asked, b.verified = w.boundRules(index), w.asked, w.outline.Domains
	b.constants = constantsOf(conditionsOf(b.rules))
	for _, l := range w.lacking {
		if l.create && groupName(l.name) == nil {
			b.Create = append(b.Create, l.name)
		}
	}
	slices.Sort(b.Create)
	return b
}

// protect gives every target the floor of all protected entries that mean it.
func (w *binder) protect() {
	for _, entry := range w.policy.Protected {
		found := w.resolved[fold(entry.Target)]
		if t := w.targets[fold(entry.Target)]; t != nil {
			found = []*Target{t}
		}
		if found == nil && entry.Target.Kind() == access.KindDefault {
			found = w.managedBehind(entry.Target)
		}
		for _, t := range found {
			if t.Protected == nil {
				t.Protected = &Protected{Target: t.Entitlement}
			}
			t.Protected.Minimum = max(t.Protected.Minimum, entry.Minimum)
			if entry.Maximum > 0 && (t.Protected.Maximum == 0 || entry.Maximum < t.Protected.Maximum) {
				t.Protected.Maximum = entry.Maximum
			}
			for _, person := range entry.Always {
				if !slices.Contains(t.Protected.Always, person) {
					t.Protected.Always = append(t.Protected.Always, person)
				}
			}
		}
	}
	if t := w.targets[string(access.OrgAdmin)]; t != nil && t.Protected == nil {
		t.Protected = &Protected{Target: access.OrgAdmin, Minimum: 1}
	}
}
