package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
)

// Last is what the last good run was based on. Binding with it keeps managing what the policy no longer covers because
// the organization changed, so that people can still be removed from it.
type Last struct {
	Sources  []string                        `json:"sources,omitempty"`  // names of the source groups
	Defaults map[access.Entitlement][]string `json:"defaults,omitempty"` // Bound.Defaults
	Granted  []access.Entitlement            `json:"granted,omitempty"`  // targets of grants that are not over and done
	Domains  []string                        `json:"domains,omitempty"`  // Bound.Domains
	Groups   []GroupLink                     `json:"groups,omitempty"`   // groups that follow those of sources
}

// Bind resolves a policy against the organization's groups. Globs match source groups only. A target that cannot be
// managed is left alone entirely, and its finding Blocks. Targets of grants and reviews are managed even if no mapping
// gives them; they never change what a mapping says.
//
// The organization-admin role, if it is a target, never loses its last holder, even if the policy does not protect it.
func Bind(p *Policy, o access.Outline) (*Bound, []access.Finding) { return BindSince(p, o, Last{}) }

// BindSince is Bind after a good run. Starred targets of source groups that are gone stay managed. So do groups that
// are no longer default for a role the policy names, but only owned memberships are removed from them.
func BindSince(p *Policy, o access.Outline, last Last) (*Bound, []access.Finding) {
	w := newBinder(p, o, last)
	for _, g := range w.sources {
		w.bindSource(g)
	}
	w.bindLiterals()
	w.keepFormerSources(last.Sources)
	w.bindGroups()
	w.bindGrants()
	w.keepFormerGrants(last.Granted)
	w.bindRules()
	w.keepFormerDefaults(last.Defaults)
	w.bindReviews()
	w.reportMissing()
	w.reportUncovered()
	b := w.bound()
	b.domains = w.ownDomains(last.Domains)
	w.reportUnasked(b)
	w.unblockStars()
	return b, w.sorted()
}

// binder is the state of Bind. It has targets by pointer until their order is known.
type binder struct {
	policy     *Policy
	outline    access.Outline
	routes     []route
	declared   namespaces                // identity sources of the policy
	sources    []source                  // synced groups, and those of identity sources, by name
	byID       map[string]access.Group   // all groups
	byName     map[string][]access.Group // Atlassian's own groups, by folded name
	ofSources  map[string][]access.Group // groups of identity sources, by folded name
	hidden     map[string]bool           // groups that are not to be told by their names, by id
	opens      map[string][]string       // app/site by group id
	targets    map[string]*Target        // by folded live entitlement
	resolved   map[string][]*Target      // by folded name of the policy
	defaults   map[access.Entitlement][]string
	covered    map[string]bool               // source groups that a mapping takes
	statements map[string][]pendingStatement // by source group id
	boundSoFar []ruleInProgress              // the rules
	asked      map[string]bool               // groups that rules' conditions ask for, by id
	missing    map[string]*missingGroup      // target groups that do not exist, by folded name
	syncs      groupSyncs
	pairs      []GroupPair
	// syncedPairs are those whose group at Atlassian is synced already
	syncedPairs []GroupPair
	gone        []goneGroup
	following   map[string]source            // source groups that groups to be created follow, by folded entitlement
	modes       map[*Target]modeBy           // what the first entry that gives a target says of removals
	findings    map[[2]string]access.Finding // by rule and subject

	filling bool                            // the target at hand is a starred one, filled in
	literal map[string]bool                 // folded entitlements that the policy names in full
	fills   map[string][]access.Entitlement // starred targets of the policy by what they are filled in to, folded
	served  map[access.Entitlement]bool     // starred targets of which one could be managed, or will be made
}

// modeBy is a mode and the entry that says it.
type modeBy struct {
	mode Mode
	by   string
}

// source is a source group with its name readied.
type source struct {
	access.Group
	groupName
}

// pendingStatement is a statement whose target has no index yet.
type pendingStatement struct {
	target *Target
	reason access.Reason
	adopt  bool
}

// missingGroup is a target group that does not exist.
type missingGroup struct {
	name   string
	create bool
}

func newBinder(p *Policy, o access.Outline, last Last) *binder {
	w := &binder{
		policy: p, outline: o, declared: namesOfSources(p),
		ofSources: map[string][]access.Group{}, hidden: map[string]bool{},
		byID: map[string]access.Group{}, byName: map[string][]access.Group{}, opens: map[string][]string{},
		targets: map[string]*Target{}, resolved: map[string][]*Target{}, defaults: map[access.Entitlement][]string{},
		covered: map[string]bool{}, statements: map[string][]pendingStatement{}, missing: map[string]*missingGroup{},
		asked: map[string]bool{},
		modes: map[*Target]modeBy{}, findings: map[[2]string]access.Finding{},
		following: map[string]source{},
		literal:   map[string]bool{}, fills: map[string][]access.Entitlement{}, served: map[access.Entitlement]bool{},
	}
	w.syncs = newGroupSyncs(p, w.declared, last.Groups)
	for i := range p.Mappings {
		w.routes = append(w.routes, newRoute(&p.Mappings[i], w.declared))
	}
	for _, g := range o.Groups {
		w.byID[g.ID] = g
		called, folded := w.byName, access.Fold(g.Name)
		if g.Source != "" {
			called = w.ofSources
		}
		called[folded] = append(called[folded], g)
		switch {
		case w.foreign(g):
			w.hidden[g.ID] = true
		case g.Synced:
			w.sources = append(w.sources, source{g, w.declared.ready(g.Name)})
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

// bindSource notes what every mapping gives the members of one source group.
func (w *binder) bindSource(g source) {
	for i := range w.routes {
		r := &w.routes[i]
		seen := map[pendingStatement]bool{}
		for _, f := range r.gives(g.groupName) {
			w.covered[g.ID] = true
			for _, t := range w.manageFilled(f, r.Mapping) {
				reason := access.Reason{Kind: access.ReasonMapping, Name: r.Name, Source: g.Name}
				if fold(f.written) != fold(t.Entitlement) {
					reason.Via = f.written
				}
				if one := (pendingStatement{t, reason, r.Adopt}); !seen[one] {
					seen[one] = true
					w.statements[g.ID] = append(w.statements[g.ID], one)
				}
				t.Sources = append(t.Sources, g.ID)
			}
		}
	}
}

// bindLiterals manages the targets that mappings name in full even while no source group gives them, and reports from
// entries that match nothing.
func (w *binder) bindLiterals() {
	for i := range w.routes {
		r := &w.routes[i]
		for _, to := range r.To {
			if stars(to) == 0 {
				w.manageMapped(to, r.Mapping, true)
			}
		}
		for j, p := range r.from {
			w.reportUnmatched(r, r.From[j], p)
		}
	}
}

// keepFormerSources keeps the targets of source groups that are gone.
func (w *binder) keepFormerSources(names []string) {
	for _, name := range names {
		ready := w.declared.ready(name)
		for i := range w.routes {
			for _, f := range w.routes[i].gives(ready) {
				w.filling = stars(f.written) > 0
				w.manageMapped(f.full, w.routes[i].Mapping, false)
				w.filling = false
			}
		}
	}
}

// keepFormerDefaults keeps the groups that stood behind a default of the policy, once others stand there: a default
// that no group stands for now may just have been read badly, and is left alone.
func (w *binder) keepFormerDefaults(last map[access.Entitlement][]string) {
	for e := range w.defaults {
		if len(w.resolved[fold(e)]) == 0 {
			continue
		}
		for _, name := range last[e] {
			live := access.GroupEntitlement(name)
			groups := w.byName[access.Fold(name)]
			if w.targets[fold(live)] == nil && len(groups) == 1 && groups[0].Modifiable && !groups[0].Synced {
				t := w.manage(access.GroupEntitlement(groups[0].Name), groups[0])
				t.Removals, t.Additive = moreCareful(w.mode(e), RemoveOwned), w.additive(e)
			}
		}
	}
}

// mode returns the most careful mode of the mappings and rules that give a target.
func (w *binder) mode(e access.Entitlement) Mode {
	mode := RemoveAll
	for _, r := range w.routes {
		if among(r.To, e) {
			mode = moreCareful(mode, r.Removals)
		}
	}
	for i := range w.policy.Rules {
		if x := &w.policy.Rules[i]; among(x.Give, e) {
			mode = moreCareful(mode, x.Removals)
		}
	}
	return mode
}

// additive reports whether a mapping that gives a target says removals: never.
func (w *binder) additive(e access.Entitlement) bool {
	return slices.ContainsFunc(w.routes, func(r route) bool { return r.Removals == RemoveNever && among(r.To, e) })
}

// bound sorts the targets and builds the result.
func (w *binder) bound() *Bound {
	w.nameDefaults()
	w.applyFloors()
	b := &Bound{
		Owner: w.policy.Organization.KeyOwner, routes: w.routes, statements: map[string][]statement{},
		targetByGroup: map[string]int{}, orgAdmin: -1,
		named: map[string][]int{}, synced: map[string]string{}, names: map[string]string{}, there: map[string]bool{},
		sites: map[string]access.Site{}, opens: w.opens, defaults: w.defaults, declared: w.declared, hidden: w.hidden,
		pairOf: map[string][]int{},
	}
	b.syncs, b.pairs, b.syncedPairs, b.following = w.syncs, w.pairs, w.syncedPairs, w.following
	index := w.orderTargets(b)
	for _, g := range w.gone {
		b.gone = append(b.gone, GoneGroup{g.name, index[g.target]})
	}
	w.nameTargets(b, index)
	for id, gifts := range w.statements {
		for _, g := range gifts {
			b.statements[id] = append(b.statements[id],
				statement{target: index[g.target], reason: g.reason, adopt: g.adopt})
		}
	}
	w.indexOutline(b)
	b.rules, b.asked, b.verified = w.boundRules(index), w.asked, w.outline.Domains
	b.constants = condition.ConstantsOf(conditionsOf(b.rules))
	b.needs = needsOfRules(b.rules)
	for _, l := range w.missing {
		if l.create && form.CheckGroup(l.name) == nil {
			b.Create = append(b.Create, l.name)
		}
	}
	slices.Sort(b.Create)
	return b
}

// orderTargets puts the targets in order, and returns the place of each.
func (w *binder) orderTargets(b *Bound) map[*Target]int {
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
		switch {
		case t.GroupID != "":
			b.targetByGroup[t.GroupID] = i
		case t.Entitlement == access.OrgAdmin:
			b.orgAdmin = i
		}
	}
	return index
}

// nameTargets indexes targets by their own names and by those in the policy.
func (w *binder) nameTargets(b *Bound, index map[*Target]int) {
	for t, i := range index {
		b.named[fold(t.Entitlement)] = []int{i}
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
}

// indexOutline indexes groups and sites by their ids and names.
func (w *binder) indexOutline(b *Bound) {
	for _, g := range w.sources {
		b.synced[g.ID] = g.Name
	}
	for id, g := range w.byID {
		b.names[id] = g.Name
	}
	for _, called := range []map[string][]access.Group{w.byName, w.ofSources} {
		for name, groups := range called {
			b.there[name] = slices.ContainsFunc(groups, func(g access.Group) bool { return !w.hidden[g.ID] })
		}
	}
	for _, site := range w.outline.Sites {
		b.sites[site.Resource] = site
	}
	b.groups = slices.Sorted(maps.Keys(w.byID))
	for n, p := range b.pairs {
		b.pairOf[p.Source], b.pairOf[p.Group] = append(b.pairOf[p.Source], n), append(b.pairOf[p.Group], n)
	}
}

// nameDefaults resolves every default role to its managed groups, also those that no entry names: floors, conditions
// and requests may.
func (w *binder) nameDefaults() {
	for _, s := range w.outline.Sites {
		for _, r := range w.outline.Roles {
			if !r.Default || r.Resource != s.Resource {
				continue
			}
			e := access.Entitlement(fmt.Sprintf("%s:%s/%s/%s", access.KindDefault, access.AppKey(s.App), s.Site,
				strings.TrimPrefix(r.Role, "atlassian/")))
			if _, resolved := w.resolved[fold(e)]; !resolved {
				w.resolved[fold(e)] = w.managedBehind(e)
			}
		}
	}
}

// applyFloors merges the protected entries of every target.
func (w *binder) applyFloors() {
	for _, entry := range w.policy.Protected {
		found := w.resolved[fold(entry.Target)]
		if t := w.targets[fold(entry.Target)]; t != nil {
			found = []*Target{t}
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
	for _, t := range w.targets {
		if p := t.Protected; p != nil && p.Maximum > 0 && p.Maximum < p.Minimum {
			w.find("protected-contradicts", string(t.Entitlement), false,
				"two entries name it in different ways, with a minimum of %d and a maximum of %d; the minimum applies. Make one entry of both", p.Minimum, p.Maximum)
		}
	}
	if t := w.targets[string(access.OrgAdmin)]; t != nil && t.Protected == nil {
		t.Protected = &Protected{Target: access.OrgAdmin, Minimum: 1}
	}
}

// BindWithPlannedGroups is BindSince as if the groups that mappings are to create were there already, without members:
// for plans that are only shown, or wait for consent, before the groups are made.
func BindWithPlannedGroups(p *Policy, o access.Outline, last Last) (*Bound, []access.Finding) {
	b, findings := BindSince(p, o, last)
	if len(b.Create) == 0 {
		return b, findings
	}
	ids := map[string]bool{}
	o.Groups = slices.Clone(o.Groups)
	for _, name := range b.Create {
		id := comingGroup + name
		ids[id] = true
		o.Groups = append(o.Groups, access.Group{ID: id, Name: name, Modifiable: true})
	}
	coming, _ := BindSince(p, o, last)
	for i := range coming.Targets {
		coming.Targets[i].Coming = ids[coming.Targets[i].GroupID]
	}
	coming.Create, coming.following = b.Create, b.following
	return coming, findings
}
