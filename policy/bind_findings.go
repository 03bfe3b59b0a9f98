package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/internal/form"
)

// maxUncovered bounds how many uncovered groups are reported one by one.
const maxUncovered = 100

// find notes a finding, once for each subject.
func (w *binder) find(rule, subject string, blocks bool, format string, args ...any) {
	key := [2]string{rule, subject}
	if _, known := w.findings[key]; !known {
		w.findings[key] = access.Finding{Rule: rule, Subject: subject, Detail: fmt.Sprintf(format, args...),
			Blocks: blocks}
	}
}

// sorted returns all findings in a fixed order.
func (w *binder) sorted() []access.Finding {
	return slices.SortedFunc(maps.Values(w.findings), func(a, b access.Finding) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Subject, b.Subject))
	})
}

// reportUnmatched reports a from entry that gives nobody anything.
func (w *binder) reportUnmatched(r *route, entry string, p groupGlob) {
	matched := false
	for _, g := range w.sources {
		if p.matches(g.groupName) {
			if !matchAny(r.except, g.groupName) {
				return
			}
			matched = true
		}
	}
	local := w.byName[access.Fold(entry)]
	switch {
	case matched:
		w.find("source-unmatched", entry, false, "mapping %s: except removes every group that this matches",
			r.Name)
	case p.source == "" && !p.Glob() && len(local) > 0:
		w.find("source-is-local", entry, false,
			"mapping %s: the group exists, but no identity provider owns it, so it is not a source group; sync it or name another", r.Name)
	case p.source != "":
		w.find("source-unmatched", entry, false,
			"mapping %s: no group of the source %s has this name; correct it, include the group in the source's groups.names, or wait until the source has been read", r.Name, p.source)
	default:
		w.find("source-unmatched", entry, false,
			"mapping %s: no synced group has this name; correct it, or wait until the identity provider has sent the group%s", r.Name, w.instead(entry))
	}
}

// reportMissing reports the target groups that do not exist and that no mapping may create.
func (w *binder) reportMissing() {
	for _, l := range w.missing {
		subject := string(access.GroupEntitlement(l.name))
		if err := form.CheckGroup(l.name); err != nil {
			w.find("target-name", subject, false,
				"a group cannot have this name: %s; rename the source group, or exclude it by except", err)
		} else if !l.create {
			w.find("target-missing", subject, true,
				"there is no such group; create it, correct the name, or set create: true in a mapping that gives it")
		}
	}
}

// reportUncovered reports the synced groups that no mapping takes and that the policy does not ignore. Groups of
// identity sources are there for whoever asks for them.
func (w *binder) reportUncovered() {
	ignored := w.declared.compile(w.policy.Ignore)
	reported, more := 0, 0
	own := w.syncs.syncedNames(w.outline.Groups)
	for _, g := range w.sources {
		if w.covered[g.ID] || g.Source != "" || matchAny(ignored, g.groupName) || own[access.Fold(g.Name)] {
			continue
		}
		if reported++; reported > maxUncovered {
			more++
			continue
		}
		w.find("uncovered-group", g.Name, false, "no mapping uses this synced group; map it, or list it under ignore")
	}
	if more > 0 {
		w.find("uncovered-group", fmt.Sprintf("%d more", more), false,
			"no mapping uses these synced groups; map them, or list them under ignore")
	}
}

// reportUnknownSite reports an entitlement on an app or site that is not there.
func (w *binder) reportUnknownSite(e access.Entitlement) {
	w.find("site-unknown", string(e), true, "the organization has no such app on such a site; it has %s", w.siteList())
}

// siteList returns the names of the apps on sites that the organization has, for an error.
func (w *binder) siteList() string {
	const most = 20
	var names []string
	for _, s := range w.outline.Sites {
		names = append(names, s.App+"/"+s.Site)
	}
	slices.Sort(names)
	switch names = slices.Compact(names); {
	case len(names) == 0:
		return "none that the key may see"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	default:
		return strings.Join(names, ", ")
	}
}
