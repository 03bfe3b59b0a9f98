package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/provision"
)

// GroupLink is a group of an identity source and the group at Atlassian that follows it, by their ids: whatever the
// source calls its group later, and whoever is given a name, the two belong together.
type GroupLink struct {
	Source string `json:"source"` // id of the source's group: see access.SourceGroupID
	Name   string `json:"name"`   // of the source's group when they were linked, as "corp:Dev users"
	Group  string `json:"group"`  // id of the group at Atlassian
}

// GroupPair is a group of an identity source and the group at Atlassian that follows it, or would by its name.
type GroupPair struct {
	Source     string              `json:"source"` // id of the source's group
	SourceName string              `json:"sourceName"`
	Group      string              `json:"group"` // id of the group at Atlassian
	GroupName  string              `json:"groupName"`
	Entry      string              `json:"entry,omitempty"` // of the policy's groups; empty: they just have one name
	As         provision.GroupKind `json:"as,omitempty"`    // what the entry wants the group to be
	// Linked: the group follows. Until then nobody is added to it or removed from it because of the source's group.
	Linked bool `json:"linked,omitempty"`
	// Fit: the group can follow, once it is linked: it is Atlassian's own, and its members may be changed.
	Fit bool `json:"fit,omitempty"`
}

// GoneGroup is a group at Atlassian whose group in the identity source is no longer there.
type GoneGroup struct {
	Name   string // of the source's group
	Target int    // index in Bound.Targets
}

// groupSync is an entry of the policy's groups with its globs compiled.
type groupSync struct {
	*provision.GroupSync
	from, except []groupGlob
}

// target returns the name at Atlassian of a group of a source, if the entry is about it.
func (g *groupSync) target(name groupName) (target string, is bool) {
	if matchAny(g.except, name) {
		return "", false
	}
	for _, glob := range g.from {
		if !glob.matches(name) {
			continue
		}
		if g.To != "" {
			return strings.Replace(g.To, "*", glob.Capture(name.text), 1), true
		}
		_, own, _ := strings.Cut(name.text, ":")
		return own, true
	}
	return "", false
}

// groupSyncs are the entries of the policy's groups, and the groups that are linked.
type groupSyncs struct {
	declared namespaces
	entries  []groupSync
	links    map[string]GroupLink // by the source group's id
}

func newGroupSyncs(p *Policy, declared namespaces, links []GroupLink) groupSyncs {
	s := groupSyncs{declared: declared, links: map[string]GroupLink{}}
	for i := range p.Groups {
		g := &p.Groups[i]
		s.entries = append(s.entries, groupSync{g, declared.compile(g.From), declared.compile(g.Except)})
	}
	for _, l := range links {
		s.links[l.Source] = l
	}
	return s
}

// entry returns the entry that is about a group of a source, and the name that the group is to have at Atlassian; nil:
// none is. The first one counts.
func (s *groupSyncs) entry(name string) (*groupSync, string) {
	ready := s.declared.ready(name)
	for i := range s.entries {
		if target, is := s.entries[i].target(ready); is {
			return &s.entries[i], target
		}
	}
	return nil, ""
}

// linkedEntry is entry for a group of a source that a local group is linked to. An entry that knows the group by its
// former name alone gives it no name. nil: no entry has it followed any more.
func (s *groupSyncs) linkedEntry(name string, link GroupLink) (*groupSync, string) {
	entry, target := s.entry(name)
	if entry == nil {
		entry, _ = s.entry(link.Name)
	}
	if entry == nil || entry.As != provision.Local {
		return nil, ""
	}
	return entry, target
}

// bindGroups has groups at Atlassian follow groups of identity sources, as the policy's groups say.
func (w *binder) bindGroups() {
	taken := map[string]string{} // groups at Atlassian by the source group that they follow: by id, or by folded name
	for _, l := range w.syncs.links {
		g, there := w.byID[l.Source]
		if entry, _ := w.syncs.linkedEntry(g.Name, l); there && entry != nil {
			taken[l.Group] = l.Source
		}
	}
	for _, g := range w.sources {
		if g.Source == "" {
			continue
		}
		if link, linked := w.syncs.links[g.ID]; linked && w.followLinked(g, link) {
			continue
		}
		entry, name := w.syncs.entry(g.Name)
		_, own, _ := strings.Cut(g.Name, ":")
		pair := GroupPair{Source: g.ID, SourceName: g.Name}
		if entry != nil {
			own, pair.Entry, pair.As = name, entry.Name, entry.As
			w.covered[g.ID] = true
		}
		w.bindUnlinked(g, pair, own, entry, taken)
	}
	w.keepFormerGroups()
	w.reportUnmatchedGroups()
}

// followLinked has a group follow the source's group that it is linked to; false: the group at Atlassian, or the entry,
// is not there any more.
func (w *binder) followLinked(g source, link GroupLink) bool {
	at, there := w.byID[link.Group]
	entry, name := w.syncs.linkedEntry(g.Name, link)
	if entry == nil || !there {
		return false
	}
	w.covered[g.ID] = true
	if !access.SameName(name, at.Name) && !access.SameName(g.Name, link.Name) {
		w.find("group-renamed", g.Name, false,
			"the source calls the group %s now; the group at Atlassian, which no API can rename, is still %s and still follows it. Rename it back, or write an entry of groups with from: [%q] and to: %q",
			g.Name, at.Name, g.Name, at.Name)
	}
	fit := w.fit(g, at)
	w.pair(GroupPair{Source: g.ID, SourceName: g.Name, Group: at.ID, GroupName: at.Name, Entry: entry.Name,
		As: entry.As, Linked: true, Fit: fit})
	if fit {
		w.follow(g, at, entry)
	}
	return true
}

// follow gives the members of a source's group the group at Atlassian.
func (w *binder) follow(g source, at access.Group, entry *groupSync) {
	t := w.manageFollowing(at, entry)
	w.statements[g.ID] = append(w.statements[g.ID], pendingStatement{t,
		access.Reason{Kind: access.ReasonMapping, Name: entry.Name, Source: g.Name}, true})
	t.Sources = append(t.Sources, g.ID)
}

// manageFollowing manages a group that follows one of a source.
func (w *binder) manageFollowing(at access.Group, entry *groupSync) *Target {
	e := access.GroupEntitlement(at.Name)
	found := w.manageMapped(e, &Mapping{Name: entry.Name, Removals: RemoveOwned}, false)
	return found[0] // it is writable
}

// bindUnlinked looks for the group at Atlassian that a source's group would have follow it, by its name. One that is
// there follows once it is linked; one that is not is made, if the entry says so.
func (w *binder) bindUnlinked(g source, pair GroupPair, name string, entry *groupSync, taken map[string]string) {
	e := access.GroupEntitlement(name)
	there := slices.DeleteFunc(slices.Clone(w.byName[access.Fold(name)]),
		func(at access.Group) bool { return w.hidden[at.ID] })
	if len(there) == 0 {
		if entry != nil && entry.As == provision.Local {
			w.bindMissing(g, e, entry, taken)
		}
		return
	}
	at := there[0]
	pair.Group, pair.GroupName = at.ID, at.Name
	other, following := taken[at.ID]
	following = following && other != g.ID
	switch {
	case entry == nil:
	case following:
		w.find("group-taken", g.Name, false,
			"the group %s at Atlassian already follows %s of the source; give one of them another name by to, or exclude it by except",
			at.Name, w.byID[other].Name)
	case entry.As == provision.Local && strings.HasPrefix(at.ID, comingGroup):
		taken[at.ID] = g.ID
		w.follow(g, at, entry)
		return
	case entry.As == provision.Local:
		taken[at.ID] = g.ID
		pair.Fit = w.fit(g, at)
	case at.Synced:
		pair.Linked = true // it is what the provision makes of the source's group
		w.syncedPairs = append(w.syncedPairs, pair)
		return
	}
	if !following {
		w.pair(pair)
	}
}

// bindMissing has a group made that is not there yet.
func (w *binder) bindMissing(g source, e access.Entitlement, entry *groupSync, taken map[string]string) {
	key := fold(e)
	if other, following := taken[key]; following && other != g.ID {
		w.find("group-taken", g.Name, false,
			"%s of the source is to be the group %s at Atlassian too; give one of them another name by to, or exclude it by except",
			w.byID[other].Name, e.Group())
		return
	}
	taken[key] = g.ID
	if !entry.Create {
		w.find("group-missing", e.Group(), false,
			"there is no such group at Atlassian, so the members of %s of the source are in none; create it, or set create: true in %s",
			g.Name, entry.Name)
		return
	}
	w.noteMissing(e, true)
	w.following[key] = g
}

// pair notes two groups to compare.
func (w *binder) pair(p GroupPair) { w.pairs = append(w.pairs, p) }

// keepFormerGroups keeps managing groups whose group in the source is gone: what becomes of their members is decided by
// a person.
func (w *binder) keepFormerGroups() {
	for _, id := range slices.Sorted(maps.Keys(w.syncs.links)) {
		link := w.syncs.links[id]
		entry, _ := w.syncs.entry(link.Name)
		at, there := w.byID[link.Group]
		if _, shown := w.byID[id]; shown || !there || entry == nil || entry.As != provision.Local {
			continue
		}
		if w.unfit(at) != "" {
			continue
		}
		w.gone = append(w.gone, goneGroup{link.Name, w.manageFollowing(at, entry)})
	}
}

// goneGroup is a GoneGroup whose target has no index yet.
type goneGroup struct {
	name   string
	target *Target
}

// reportUnmatchedGroups reports from entries of groups that match nothing.
func (w *binder) reportUnmatchedGroups() {
	for i := range w.syncs.entries {
		entry := &w.syncs.entries[i]
		for j, glob := range entry.from {
			matched := slices.ContainsFunc(w.sources, func(g source) bool { return glob.matches(g.groupName) })
			for _, l := range w.syncs.links {
				matched = matched || glob.matches(w.declared.ready(l.Name))
			}
			if !matched {
				w.find("source-unmatched", entry.From[j], false,
					"groups entry %s: no group of the source %s has this name; correct it, include the group in the source's groups.names, or wait until the source has been read",
					entry.Name, glob.source)
			}
		}
	}
}

// fit reports whether a group can follow one of a source, and adds a finding if not. The others follow all the same.
func (w *binder) fit(g source, at access.Group) bool {
	why := w.unfit(at)
	if why != "" {
		w.find("group-unfit", at.Name, false, "it cannot follow %s of the source: %s", g.Name, why)
	}
	return why == ""
}

// comingGroup begins the ids of groups that are to be created: no group of Atlassian's has such an id.
const comingGroup = "to be created: "

// Pairs lists the groups of identity sources that have a counterpart at Atlassian, by the source's id.
func (b *Bound) Pairs() []GroupPair { return b.pairs }

// Following returns the source group that a group which is to be created follows, by the group's name.
func (b *Bound) Following(created string) (sourceID, sourceName string, is bool) {
	g, is := b.following[fold(access.GroupEntitlement(created))]
	return g.ID, g.Name, is
}

// SyncedPairs lists the groups of identity sources that are to be synced groups, and whose name a synced group at
// Atlassian has.
func (b *Bound) SyncedPairs() []GroupPair { return b.syncedPairs }

// GoneGroups lists the groups that follow one of a source that is no longer there.
func (b *Bound) GoneGroups() []GoneGroup { return b.gone }

// PairMember is a person who is in a group of a pair.
type PairMember struct {
	Pair int // index in Pairs
	Is   Pairing
}

// Pairing is how a person is in the groups of a pair.
type Pairing string

// The pairings.
const (
	PairCommon  Pairing = "common"  // in both
	PairMissing Pairing = "missing" // in the source's group and not at Atlassian
	PairExtra   Pairing = "extra"   // the other way round
	PairUnsure  Pairing = "unsure"  // in one; of the other it is not known
)

// Compare lists how somebody is in the groups of pairs, as a read showed it. unexplained are the managed targets that
// the person holds, that somebody else gave, and that nothing explains; leaving those that a plan removes, or would if
// nobody had rejected that: what is held otherwise is explained, whatever the source's group says. Of a group that
// follows already, its plan shows who is missing and who leaves. Nobody is missing who cannot be added. Where a synced
// group is to take the place of Atlassian's own, whatever is held is lost to all but the members of the source's group.
func (b *Bound) Compare(p access.Person, unexplained, leaving []access.Entitlement) (all []PairMember) {
	if p.IsApp() || len(b.pairs) == 0 {
		return nil
	}
	met := map[int]bool{}
	for _, id := range p.GroupIDs {
		for _, n := range b.pairOf[id] {
			met[n] = true
		}
	}
	for n := range met {
		pair := &b.pairs[n]
		in, at := p.InGroup(pair.Source), p.InGroup(pair.Group)
		source, _ := access.SourceGroupRef(pair.Source)
		unsure := slices.Contains(p.UnsureGroups, pair.Source) || slices.Contains(p.UnsureSources, source)
		t, managed := b.targetByGroup[pair.Group]
		extra := !managed || slices.Contains(unexplained, b.Targets[t].Entitlement) ||
			!pair.Linked && slices.Contains(leaving, b.Targets[t].Entitlement) || pair.As == provision.Synced
		switch {
		case in && at:
			all = append(all, PairMember{n, PairCommon})
		case unsure:
			all = append(all, PairMember{n, PairUnsure})
		case in && !pair.Linked && p.CanReceive():
			all = append(all, PairMember{n, PairMissing})
		case at && extra:
			all = append(all, PairMember{n, PairExtra})
		}
	}
	slices.SortFunc(all, func(a, b PairMember) int { return cmp.Compare(a.Pair, b.Pair) })
	return all
}

// gives lists the groups at Atlassian that follow, or would follow, a source's group of this name.
func (s *groupSyncs) gives(name string, groupName func(id string) string) (all []access.Entitlement) {
	if entry, target := s.entry(name); entry != nil && entry.As == provision.Local {
		all = append(all, access.GroupEntitlement(target))
	}
	for _, l := range s.links {
		if access.SameName(l.Name, name) && groupName(l.Group) != "" {
			all = append(all, access.GroupEntitlement(groupName(l.Group)))
		}
	}
	return all
}

// followingSource lists the targets that follow groups of an identity source.
func (b *Bound) followingSource(source string) (fed []int) {
	for t := range b.Targets {
		if slices.ContainsFunc(b.Targets[t].Sources, func(id string) bool {
			return strings.HasPrefix(id, access.SourceGroupID(source, ""))
		}) {
			fed = append(fed, t)
		}
	}
	for _, g := range b.gone {
		if b.declared.of(g.Name) == source {
			fed = append(fed, g.Target)
		}
	}
	return fed
}

// SyncedGroup is a group of an identity source that the policy wants in the SCIM directory of a provision.
type SyncedGroup struct {
	Source string // id of the source's group
	Name   string // that it is to have at Atlassian
	Entry  string // of the policy's groups
	Create bool   // make the group if it is not there
	Former bool   // the policy knows the source's group by its former name alone, and Name is of no account
}

// SyncedGroups lists which of some groups of identity sources the policy wants in the SCIM directory of a provision.
// former are the names by which groups were bound, by the source group's id: an entry may know one by that alone.
func (b *Bound) SyncedGroups(name string, groups []access.Group, former map[string]string) (all []SyncedGroup) {
	for _, g := range groups {
		if g.Source == "" {
			continue
		}
		entry, target := b.syncs.entry(g.Name)
		renamed := entry == nil
		if renamed {
			entry, target = b.syncs.entry(former[g.ID])
		}
		if entry != nil && entry.As == provision.Synced && entry.Provision == name {
			all = append(all, SyncedGroup{Source: g.ID, Name: target, Entry: entry.Name, Create: entry.Create,
				Former: renamed})
		}
	}
	return all
}

// SyncedNames returns the names, folded, that groups of identity sources have in SCIM directories by the policy.
func (b *Bound) SyncedNames(groups []access.Group) map[string]bool {
	return b.syncs.syncedNames(groups)
}

func (s *groupSyncs) syncedNames(groups []access.Group) map[string]bool {
	names := map[string]bool{}
	for _, g := range groups {
		if g.Source == "" {
			continue
		}
		if entry, target := s.entry(g.Name); entry != nil && entry.As == provision.Synced {
			names[access.Fold(target)] = true
		}
	}
	return names
}
