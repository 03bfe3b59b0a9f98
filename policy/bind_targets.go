package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/internal/form"
)

// manageMapped manages what stands behind an entitlement as a mapping says. needed says that a missing one matters.
func (w *binder) manageMapped(e access.Entitlement, m *Mapping, needed bool) []*Target {
	found := w.manageTarget(e)
	if needed {
		w.noteMissing(e, m.Create)
	}
	for _, t := range found {
		t.Removals = moreCareful(t.Removals, m.Removals)
		t.Additive = t.Additive || m.Removals == RemoveNever
		if needed {
			w.noteMode(t, m.Removals, "mapping "+m.Name)
		}
	}
	return found
}

// noteMode reports if two entries that name one target differently have different removals. With the same name, the
// file is refused.
func (w *binder) noteMode(t *Target, mode Mode, by string) {
	first, said := w.modes[t]
	switch {
	case !said:
		w.modes[t] = modeBy{mode, by}
	case first.mode != mode:
		w.find("removals-differ", string(t.Entitlement), false,
			"%s says removals: %s and %s says removals: %s, under two names of one target; the more careful one applies. Write the same in both", first.by, first.mode, by, mode)
	}
}

// manageTarget finds the groups or the role behind an entitlement and manages them.
func (w *binder) manageTarget(e access.Entitlement) []*Target {
	key := fold(e)
	w.literal[key] = w.literal[key] || !w.filling
	found, known := w.resolved[key]
	if !known {
		switch {
		case e.Kind() == access.KindGroup:
			found = w.manageGroup(e)
		case e.Kind() == access.KindDefault:
			found = w.manageDefault(e)
		case e.Kind() == access.KindRole && e != access.OrgAdmin:
			found = w.manageAppRole(e)
		default:
			found = []*Target{w.manage(e, access.Group{Users: -1})}
		}
		w.resolved[key] = found
	}
	for _, t := range found {
		if !slices.Contains(t.Names, e) {
			t.Names = append(t.Names, e)
		}
	}
	return found
}

// noteMissing notes a target group that does not exist.
func (w *binder) noteMissing(e access.Entitlement, create bool) {
	if e.Kind() != access.KindGroup || len(w.byName[access.Fold(e.Group())]) > 0 || w.declared.of(e.Group()) != "" {
		return
	}
	l := w.missing[fold(e)]
	if l == nil {
		l = &missingGroup{name: e.Group()}
		w.missing[fold(e)] = l
	}
	l.create = l.create || create
}

// manageGroup finds the group that a group:… target names.
func (w *binder) manageGroup(e access.Entitlement) []*Target {
	if source := w.declared.of(e.Group()); source != "" {
		w.find("target-synced", string(e), true,
			"it is a group of the source %s, which is only read; name one of Atlassian's own groups", source)
		return nil
	}
	groups := w.byName[access.Fold(e.Group())]
	if len(groups) == 0 || !w.writable(groups[0]) {
		return nil
	}
	return []*Target{w.manage(access.GroupEntitlement(groups[0].Name), groups[0])}
}

// manageDefault finds the groups that a default:… target stands for now.
func (w *binder) manageDefault(e access.Entitlement) []*Target {
	groups, known := w.behind(e)
	if !known {
		w.reportUnknownSite(e)
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
		w.find("default-missing", string(e), true,
			"no group is default for this role; make one the default in admin.atlassian.com, or name a group")
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
			if exists && r.Default && r.Resource == s.Resource && strings.EqualFold(r.Role, "atlassian/"+role) &&
				!slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	slices.SortFunc(groups, byGroupName)
	return groups, known
}

// managedBehind lists the groups that are default for a role now as far as they are managed, and manages none.
func (w *binder) managedBehind(e access.Entitlement) []*Target {
	groups, _ := w.behind(e)
	var found []*Target
	for _, g := range groups {
		if t := w.targets[fold(access.GroupEntitlement(g.Name))]; t != nil {
			found = append(found, t)
		}
	}
	return found
}

// manageAppRole finds the app on the site whose role is given directly.
func (w *binder) manageAppRole(e access.Entitlement) []*Target {
	app, site, role, _ := e.AppSiteRole()
	var resources []string
	for _, s := range w.outline.Sites {
		if access.AppKey(s.App) == app && strings.EqualFold(s.Site, site) {
			resources = append(resources, s.Resource)
		}
	}
	if len(resources) == 0 {
		w.reportUnknownSite(e)
		return nil
	}
	t := w.manage(e, access.Group{Users: -1})
	t.Resource, t.Role = slices.Min(resources), "atlassian/"+role
	return []*Target{t}
}

func byGroupName(a, b access.Group) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
}

// writable reports whether the key may change the group's members, and adds a finding if not.
func (w *binder) writable(g access.Group) bool {
	subject, why := string(access.GroupEntitlement(g.Name)), w.unfit(g)
	switch {
	case why == "":
		return true
	case len(w.byName[access.Fold(g.Name)]) > 1:
		w.find("target-ambiguous", subject, true, "%s", why)
	case g.Synced:
		w.find("target-synced", subject, true, "%s", why)
	default:
		w.find("target-locked", subject, true, "%s", why)
	}
	return false
}

// unfit returns why the key may not change the group's members; empty if it may.
func (w *binder) unfit(g access.Group) string {
	switch same := len(w.byName[access.Fold(g.Name)]); {
	case same > 1:
		return fmt.Sprintf("%d groups have this name; delete all but one", same)
	case g.Synced:
		return "an identity provider owns the group, so Atlassian refuses other writes; name one of Atlassian's own groups"
	case !g.Modifiable:
		return "Atlassian does not allow changes to the group's members; name another group"
	}
	return ""
}

// manage makes a target of a group or role, once.
func (w *binder) manage(live access.Entitlement, g access.Group) *Target {
	key := fold(live)
	t := w.targets[key]
	if t == nil {
		t = &Target{Entitlement: live, GroupID: g.ID, Removals: RemoveAll, Apps: w.opens[g.ID], Members: g.Users,
			isNew: true}
		w.targets[key] = t
	}
	return t
}

// manageFilled is manageMapped for a target of one source group.
func (w *binder) manageFilled(f filled, m *Mapping) []*Target {
	if stars(f.written) == 0 {
		return w.manageMapped(f.full, m, true)
	}
	w.filling = true
	found := w.manageMapped(f.full, m, true)
	w.filling = false
	key := fold(f.full)
	w.fills[key] = append(w.fills[key], f.written)
	l := w.missing[key]
	w.served[f.written] = w.served[f.written] || len(found) > 0 ||
		l != nil && l.create && form.CheckGroup(l.name) == nil
	return found
}

// targetOfAnotherKind are the findings on a group that is there and cannot be a target.
var targetOfAnotherKind = []string{"target-ambiguous", "target-synced", "target-locked"}

// unblockStars keeps a single source group with an unusable name from blocking a policy: a finding about a starred
// target blocks only if none of the star's targets can be managed, or if the policy names the target in full. A group
// that is just missing is the policy's to settle.
func (w *binder) unblockStars() {
	for key, f := range w.findings {
		subject := fold(access.Entitlement(f.Subject))
		written := w.fills[subject]
		if len(written) == 0 || w.literal[subject] || !slices.Contains(targetOfAnotherKind, f.Rule) {
			continue
		}
		f.Blocks = f.Blocks && slices.ContainsFunc(written,
			func(star access.Entitlement) bool { return !w.served[star] })
		w.findings[key] = f
	}
}

// route is a mapping with its globs compiled.
type route struct {
	*Mapping
	from, except []groupGlob
}

// newRoute compiles a mapping of a parsed policy that declares some identity sources.
func newRoute(m *Mapping, declared namespaces) route {
	return route{Mapping: m, from: declared.compile(m.From), except: declared.compile(m.Except)}
}

// filled is a target of a mapping for one source group.
type filled struct {
	written access.Entitlement // as it stands in the policy
	full    access.Entitlement // with the star filled in
}

// gives lists the targets that the mapping gives the members of a source group: none when it does not take the group.
func (r *route) gives(name groupName) []filled {
	if matchAny(r.except, name) {
		return nil
	}
	var out []filled
	for _, p := range r.from {
		if !p.matches(name) {
			continue
		}
		for _, to := range r.To {
			if stars(to) > 0 {
				full := strings.Replace(string(to), "*", p.Capture(name.text), 1)
				out = append(out, filled{to, access.Entitlement(full)})
			}
		}
		if len(out) == 0 { // no stars: one match is as good as many
			break
		}
	}
	if out == nil && !matchAny(r.from, name) {
		return nil
	}
	for _, to := range r.To {
		if stars(to) == 0 {
			out = append(out, filled{to, to})
		}
	}
	return out
}
