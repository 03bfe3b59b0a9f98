package policy

import (
	"cmp"
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
}

// Bind joins a policy with the organization's groups. Globs meet source groups only. A target that cannot be managed is
// left wholly alone, and the finding that says so Blocks.
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
	w.formerDefaults(last.Defaults)
	w.missing()
	w.uncovered()
	return w.bound(), w.sorted()
}

// binder joins step by step. Targets are kept by pointer until their order is known.
type binder struct {
	policy   *Policy
	outline  access.Outline
	rules    []rule
	sources  []source                  // synced groups by name
	byID     map[string]access.Group   // all groups
	byName   map[string][]access.Group // all groups, by folded name
	opens    map[string][]string       // app/site by group id
	targets  map[string]*Target        // by folded live entitlement
	resolved map[string][]*Target      // by folded name of the policy
	defaults map[access.Entitlement][]string
	covered  map[string]bool              // source groups that a mapping takes
	gifts    map[string][]gift            // by source group id
	lacking  map[string]*lack             // target groups that do not exist, by folded name
	findings map[[2]string]access.Finding // by rule and subject
}

// source is a source group with its name folded.
type source struct {
	access.Group
	folded []rune
}

// gift is a given whose target has no index yet.
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
		covered: map[string]bool{}, gifts: map[string][]gift{}, lacking: map[string]*lack{}, findings: map[[2]string]access.Finding{},
	}
	for i := range p.Mappings {
		w.rules = append(w.rules, newRule(&p.Mappings[i]))
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
	for i := range w.rules {
		r := &w.rules[i]
		seen := map[gift]bool{}
		for _, f := range r.gives(g.Name, g.folded) {
			w.covered[g.ID] = true
			for _, t := range w.target(f.full, r.Mapping, true) {
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
	for i := range w.rules {
		r := &w.rules[i]
		for _, to := range r.To {
			if stars(to) == 0 {
				w.target(to, r.Mapping, true)
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
		for i := range w.rules {
			for _, f := range w.rules[i].gives(name, folded) {
				w.target(f.full, w.rules[i].Mapping, false)
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
	for _, r := range w.rules {
		if slices.Contains(r.To, e) {
			mode = careful(mode, r.Removals)
		}
	}
	return mode
}

// target finds the groups or the role behind an entitlement and manages them as the mapping says. needed says that a
// missing one matters.
func (w *binder) target(e access.Entitlement, m *Mapping, needed bool) []*Target {
	key := fold(e)
	found, known := w.resolved[key]
	if !known {
		switch e.Kind() {
		case access.KindGroup:
			found = w.group(e)
		case access.KindDefault:
			found = w.roleDefaults(e)
		default:
			found = []*Target{w.manage(e, access.Group{Users: -1})}
		}
		w.resolved[key] = found
	}
	if len(found) == 0 && e.Kind() == access.KindGroup && needed && len(w.byName[string(lower(e.Group()))]) == 0 {
		l := w.lacking[key]
		if l == nil {
			l = &lack{name: e.Group()}
			w.lacking[key] = l
		}
		l.create = l.create || m.Create
	}
	for _, t := range found {
		if !slices.Contains(t.Names, e) {
			t.Names = append(t.Names, e)
		}
		t.Removals = careful(t.Removals, m.Removals)
	}
	return found
}

// group finds the group that a group:… target names.
func (w *binder) group(e access.Entitlement) []*Target {
	groups := w.byName[string(lower(e.Group()))]
	if len(groups) == 0 || !w.writable(groups[0]) {
		return nil
	}
	return []*Target{w.manage(access.GroupEntitlement(groups[0].Name), groups[0])}
}

// roleDefaults finds the groups that a default:… target stands for now.
func (w *binder) roleDefaults(e access.Entitlement) []*Target {
	groups, known := w.behind(e)
	if !known {
		w.find("site-unknown", string(e), true, "the organization has no such app on such a site; it has %s", w.siteList())
		return nil
	}
	var found []*Target
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
		if w.writable(g) {
			found = append(found, w.manage(access.GroupEntitlement(g.Name), g))
		}
	}
	w.defaults[e] = names
	if len(groups) == 0 {
		w.find("default-missing", string(e), true, "no group is default for this role; make one the default in admin.atlassian.com, or name a group")
	}
	return found
}

// behind lists the groups that are default for a role now, by name; known is false when there is no such app and site.
func (w *binder) behind(e access.Entitlement) (groups []access.Group, known bool) {
	app, site, role, _ := e.AppSiteRole()
	for _, s := range w.outline.Sites {
		if access.AppKey(s.App) != app || !strings.EqualFold(s.Site, site) {
			continue
		}
		known = true
		for _, r := range w.outline.Roles {
			g, exists := w.byID[r.GroupID]
			if exists && r.Default && r.Resource == s.Resource && strings.EqualFold(r.Role, "atlassian/"+role) && !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	slices.SortFunc(groups, byGroupName)
	return groups, known
}

func byGroupName(a, b access.Group) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
}

// writable says whether the key may change the group's members, and reports when not.
func (w *binder) writable(g access.Group) bool {
	subject := string(access.GroupEntitlement(g.Name))
	switch same := len(w.byName[string(lower(g.Name))]); {
	case same > 1:
		w.find("target-ambiguous", subject, true, "%d groups have this name; delete all but one", same)
	case g.Synced:
		w.find("target-synced", subject, true, "an identity provider owns the group, so Atlassian refuses other writes; name a group of Atlassian's own")
	case !g.Modifiable:
		w.find("target-locked", subject, true, "Atlassian does not let the group's members be changed; name another group")
	default:
		return true
	}
	return false
}

// manage makes a target of a group or role, once.
func (w *binder) manage(live access.Entitlement, g access.Group) *Target {
	key := fold(live)
	t := w.targets[key]
	if t == nil {
		t = &Target{Entitlement: live, GroupID: g.ID, Removals: RemoveAll, Apps: w.opens[g.ID], Members: g.Users}
		w.targets[key] = t
	}
	return t
}

// bound gives the targets their order and everything its final form.
func (w *binder) bound() *Bound {
	w.protect()
	b := &Bound{
		Owner: w.outline.Owner, rules: w.rules, gives: map[string][]given{}, holds: map[string]int{}, admin: -1,
		named: map[string][]int{}, synced: map[string]string{}, opens: w.opens, defaults: w.defaults,
	}
	targets := slices.SortedFunc(maps.Values(w.targets), func(a, b *Target) int {
		return strings.Compare(string(a.Entitlement), string(b.Entitlement))
	})
	index := map[*Target]int{}
	for i, t := range targets {
		slices.Sort(t.Names)
		slices.Sort(t.Sources)
		t.Sources = slices.Compact(t.Sources)
		b.Targets = append(b.Targets, *t)
		index[t] = i
		b.named[fold(t.Entitlement)] = []int{i}
		if t.GroupID != "" {
			b.holds[t.GroupID] = i
		} else {
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
			b.gives[id] = append(b.gives[id], given{index[g.target], g.reason, g.adopt})
		}
	}
	for _, g := range w.sources {
		b.synced[g.ID] = g.Name
	}
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
			groups, _ := w.behind(entry.Target)
			for _, g := range groups {
				if t := w.targets[fold(access.GroupEntitlement(g.Name))]; t != nil {
					found = append(found, t)
				}
			}
		}
		for _, t := range found {
			if t.Protected == nil {
				t.Protected = &Protected{Target: t.Entitlement}
			}
			t.Protected.Minimum = max(t.Protected.Minimum, entry.Minimum)
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
