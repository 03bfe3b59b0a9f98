package identity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// GroupID is the id of a group in a SCIM directory. It is not that of the organization's group that Atlassian makes of
// it.
type GroupID string

// WantedGroup is a group of an identity source that the policy wants in a SCIM directory.
type WantedGroup struct {
	Ref               // of the source's group
	SourceName string // its name there: "corp:eng-web"
	Name       string // that it is to have
	Entry      string // of the policy's groups
	Create     bool   // make it if it is not there
	// Former: the policy knows the source's group by its former name alone; it keeps the name that it has.
	Former  bool
	Doubted bool // the source proves nothing about who is missing now
}

// GroupBinding is a group of a source, and the group of the directory that follows it, as the ledger has it.
type GroupBinding struct {
	Ref
	SourceName string
	Group      GroupID
	Name       string
	Since      time.Time
	Former     GroupID // the group that it replaces and that is not deleted yet; empty: none
	FormerName string
	// InSource: the source still has its group. It has lost it only once two complete reads agree.
	InSource    bool
	Doubted     bool // as in WantedGroup
	Unexplained bool // the ledger's chain does not explain the binding
}

// OrganizationGroup is a group of the organization, which people see.
type OrganizationGroup struct {
	Synced  bool                 // an identity provider owns it
	Default []access.Entitlement // what it is the default group for; a default group cannot be synced
	Users   int                  // -1: not known
}

// GroupFacts is all that is known of the groups of a directory, the memberships aside.
type GroupFacts struct {
	Wanted    []WantedGroup
	Bound     []GroupBinding
	Directory map[GroupID]string // names of the groups that are there
	// Organization returns the organization's group of a name, as of when it was Read.
	Organization func(name string) (OrganizationGroup, bool)
	Read         time.Time
	Adopted      bool // the provision's first plan was approved
}

// GroupAction is what becomes of a group of a directory as a whole.
type GroupAction string

// The actions on groups.
const (
	KeepGroup   GroupAction = "" // there is nothing to do, but for its members
	CreateGroup GroupAction = "create"
	TakeGroup   GroupAction = "take over" // one that another identity provider made follows from now on
	DeleteGroup GroupAction = "delete"
)

// GroupDecision is what becomes of one group of a directory, and why.
type GroupDecision struct {
	Ref        // of the source's group
	SourceName string
	Entry      string
	Name       string
	Group      GroupID // empty: it is not there yet
	Action     GroupAction
	Holds      []Hold
	Notes      []Note
	// Joins and Leaves: members of the source's group join it, and others leave it.
	Joins, Leaves bool
	Successor     string // the name of the group that replaces it
	Waits         bool   // Atlassian shows a local group of its name, until a person accepts it there
	Doubted       bool   // as in WantedGroup: nobody leaves
}

// appearsWithin is how long Atlassian may take to show a new group.
const appearsWithin = 2 * time.Minute

// builtInGroups are names that Atlassian reserves for groups of its own: a SCIM group of such a name is accepted, and
// never appears.
var builtInGroups = []string{"org-admins", "site-admins", "system-administrators", "administrators",
	"atlassian-addons-admin"}

// ResolveGroups decides what becomes of the groups of a provision's directory: those that follow groups of sources, and
// those that are to. Others are left alone.
func (p Provision) ResolveGroups(facts GroupFacts) []GroupDecision {
	r := groupResolver{Provision: p, facts: facts, taken: map[string]string{}, byName: map[string]GroupID{},
		bound: map[Ref]GroupBinding{}}
	for id, name := range facts.Directory {
		r.byName[access.Fold(name)] = id
	}
	wanted := map[Ref]bool{}
	for _, b := range facts.Bound {
		r.bound[b.Ref] = b
		for _, of := range []struct {
			id   GroupID
			name string
		}{{b.Group, b.Name}, {b.Former, b.FormerName}} {
			if r.there(of.id) {
				r.taken[access.Fold(of.name)] = b.SourceName
			}
		}
	}
	for _, w := range facts.Wanted {
		wanted[w.Ref] = true
		r.want(w)
	}
	for _, b := range facts.Bound {
		if !wanted[b.Ref] && !b.Unexplained {
			r.former(b)
		}
	}
	slices.SortStableFunc(r.all, func(a, b GroupDecision) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Key, b.Key))
	})
	return r.all
}

type groupResolver struct {
	Provision
	facts  GroupFacts
	taken  map[string]string // what has a name, folded: the name of the source's group
	byName map[string]GroupID
	bound  map[Ref]GroupBinding
	all    []GroupDecision
}

// there reports whether the directory has a group.
func (r *groupResolver) there(id GroupID) bool {
	_, there := r.facts.Directory[id]
	return there && id != ""
}

// want decides about a group that the policy wants.
func (r *groupResolver) want(w WantedGroup) {
	b, bound := r.bound[w.Ref]
	there := r.there(b.Group)
	d := GroupDecision{Ref: w.Ref, SourceName: w.SourceName, Entry: w.Entry, Name: w.Name, Doubted: w.Doubted}
	switch {
	case bound && b.Unexplained:
		d.note(FindUnexplained, "which group of the directory follows "+w.SourceName+
			" was changed in the ledger, and not by Castellan")
		r.all = append(r.all, d)
	case bound && there && w.Former:
		d.note(FindGroupRenamed, fmt.Sprintf("the source calls the group %s now, which the policy does not name; the group %s still follows it. Write an entry of groups for the new name",
			w.SourceName, b.Name))
		r.follow(d, b)
	case bound && there && access.SameName(b.Name, w.Name):
		r.follow(d, b)
	case bound && there:
		r.replace(d, b, w)
	case w.Former:
	default:
		r.start(d, b, w)
	}
}

// start begins a group that is not there, or not any more. One that it should have replaced is still deleted, or takes
// its name again.
func (r *groupResolver) start(d GroupDecision, b GroupBinding, w WantedGroup) {
	if b.Group != "" { // it is made anew
		d.hold(HoldRebind)
	}
	former := r.there(b.Former)
	if former && access.SameName(b.FormerName, w.Name) {
		r.all = append(r.all, takeBack(d, b))
		return
	}
	d = r.begin(d, w.Create)
	r.all = append(r.all, d)
	if former && d.Action != KeepGroup {
		r.retire(d, b, d.Name)
	}
}

// takeBack decides that a group which was replaced, and is still there, follows again.
func takeBack(d GroupDecision, b GroupBinding) GroupDecision {
	d.Name, d.Group, d.Action, d.Joins, d.Leaves = b.FormerName, b.Former, TakeGroup, true, true
	return d
}

// retire decides that the group which another one replaces is deleted.
func (r *groupResolver) retire(d GroupDecision, b GroupBinding, successor string) {
	r.all = append(r.all, GroupDecision{Ref: d.Ref, SourceName: d.SourceName, Entry: d.Entry, Name: b.FormerName,
		Group: b.Former, Action: DeleteGroup, Holds: []Hold{HoldGroupReplace}, Leaves: true, Successor: successor,
		Doubted: d.Doubted})
}

// follow goes on with a group that is there.
func (r *groupResolver) follow(d GroupDecision, b GroupBinding) {
	d.Name, d.Group, d.Joins, d.Leaves = b.Name, b.Group, true, true
	r.look(&d, b)
	r.all = append(r.all, d)
	if r.there(b.Former) {
		r.retire(d, b, b.Name)
	}
}

// replace has a group of the new name take the place of the one that is there: a group cannot be renamed. Both are
// followed until the former one is deleted, last of all. The next replacement begins after that, unless it takes the
// former one back.
func (r *groupResolver) replace(d GroupDecision, b GroupBinding, w WantedGroup) {
	next := d
	next.Holds = []Hold{HoldGroupReplace}
	switch former := r.there(b.Former); {
	case former && access.SameName(b.FormerName, w.Name):
		next = takeBack(next, b)
		b.Former = ""
	case former:
		d.note(FindGroupRenamed, fmt.Sprintf("the source calls the group %s now; it is replaced once the group %s is deleted, which %s replaces",
			d.SourceName, b.FormerName, b.Name))
		r.follow(d, b)
		return
	default:
		next = r.begin(next, true)
	}
	r.follow(d, b)
	at := slices.IndexFunc(r.all, func(o GroupDecision) bool { return o.Group == b.Group })
	if next.Action == KeepGroup {
		r.all[at].Notes = append(r.all[at].Notes, next.Notes...)
		return
	}
	r.all[at].Action, r.all[at].Holds, r.all[at].Successor = DeleteGroup, []Hold{HoldGroupReplace}, w.Name
	r.all = append(r.all, next)
}

// begin decides about a group that is not followed yet: it is made, or taken over.
func (r *groupResolver) begin(d GroupDecision, create bool) GroupDecision {
	name := access.Fold(d.Name)
	if other, taken := r.taken[name]; taken {
		text := fmt.Sprintf("%s is to be the group %s, which follows %s already; give one of them another name by to, or exclude it by except",
			d.SourceName, d.Name, other)
		if other == d.SourceName {
			text = fmt.Sprintf("%s is to be the group %s, which still follows the group of the source that had this name before; give one of the two a name in the source that is free",
				d.SourceName, d.Name)
		}
		d.note(FindGroupTaken, text)
		return d
	}
	r.taken[name] = d.SourceName
	group, known := r.facts.Organization(d.Name)
	id, there := r.byName[name]
	switch {
	case slices.Contains(builtInGroups, name) || known && len(group.Default) > 0:
		d.note(FindGroupDropped, dropped(d, group))
	case there:
		d.Action, d.Group, d.Joins, d.Leaves = TakeGroup, id, true, true
		if r.facts.Adopted {
			d.hold(HoldGroupTakeover)
		}
	case !create:
		d.note(FindGroupMissing, fmt.Sprintf("the directory has no group %s, so the members of %s are in none; set create: true in the entry %s",
			d.Name, d.SourceName, d.Entry))
	case known && group.Synced:
		d.note(FindGroupConflict, fmt.Sprintf("another directory has the group %s already: choose another name by to, or have it deleted there",
			d.Name))
	default:
		d.Action, d.Joins, d.Leaves = CreateGroup, true, true
		if known {
			d.hold(HoldGroupConflict)
		}
	}
	return d
}

// former decides about a group that follows one which the policy no longer wants, or which is gone from its source.
func (r *groupResolver) former(b GroupBinding) {
	if b.Doubted {
		return
	}
	d := GroupDecision{Ref: b.Ref, SourceName: b.SourceName, Name: b.Name, Group: b.Group}
	if !b.InSource {
		for _, id := range []GroupID{b.Group, b.Former} {
			if r.there(id) {
				d.Name, d.Group, d.Action, d.Holds = r.facts.Directory[id], id, DeleteGroup, []Hold{HoldGroupDelete}
				r.all = append(r.all, d)
			}
		}
		return
	}
	if r.there(b.Group) {
		d.note(FindGroupUnwanted, fmt.Sprintf("no entry of groups is about %s any more, and the group %s stays as it is: nobody joins or leaves it. Write an entry for it, or delete it at the identity provider",
			b.SourceName, b.Name))
		r.all = append(r.all, d)
	}
}

// look sees what the organization makes of a group that is there.
func (r *groupResolver) look(d *GroupDecision, b GroupBinding) {
	group, known := r.facts.Organization(b.Name)
	switch late := r.facts.Read.Sub(b.Since) > appearsWithin; {
	case known && group.Synced, !late:
	case !known || len(group.Default) > 0:
		d.note(FindGroupDropped, dropped(*d, group))
		d.Action, d.Joins, d.Leaves = DeleteGroup, false, false
		d.hold(HoldGroupDropped)
	default:
		d.Waits = true
		d.note(FindGroupConflict, fmt.Sprintf("Atlassian holds the group %s back, since it has one of its own of that name, with %d members: accept it in admin.atlassian.com (Directory, Groups, conflicts), and the members of %s replace those; or write as: local",
			b.Name, group.Users, d.SourceName))
	}
}

// dropped returns what is said of a group that Atlassian accepts and never shows, with what to write instead.
func dropped(d GroupDecision, group OrganizationGroup) string {
	text := fmt.Sprintf("Atlassian accepts a synced group of the name %s and never shows it, since a default or built-in group has that name. ",
		d.Name)
	if len(group.Default) > 0 {
		return text + fmt.Sprintf("Write a mapping from [%q] to [%q], or an entry of groups with as: local, from: [%q] and to: %q",
			d.SourceName, group.Default[0], d.SourceName, d.Name)
	}
	return text + fmt.Sprintf("Write an entry of groups with as: local, from: [%q] and to: %q, or give it another name by to",
		d.SourceName, d.Name)
}

func (d *GroupDecision) hold(h Hold) { d.Holds = append(d.Holds, h) }

func (d *GroupDecision) note(f Finding, detail string) { d.Notes = append(d.Notes, Note{f, detail}) }

// GroupSet is what was decided about the groups of a directory, to decide about people.
type GroupSet struct {
	All      []GroupDecision
	bySource map[Ref][]int
	byGroup  map[GroupID]int
}

// NewGroupSet indexes decisions.
func NewGroupSet(all []GroupDecision) *GroupSet {
	s := &GroupSet{All: all, bySource: map[Ref][]int{}, byGroup: map[GroupID]int{}}
	for n, d := range all {
		s.bySource[d.Ref] = append(s.bySource[d.Ref], n)
		if d.Group != "" {
			s.byGroup[d.Group] = n
		}
	}
	return s
}

// Named returns the decision about the group of a name; nil: there is none. Of several sources' groups of a name it is
// about the one that has it.
func (s *GroupSet) Named(name string) (found *GroupDecision) {
	for n := range s.All {
		d := &s.All[n]
		if strings.EqualFold(d.Name, name) && (found == nil || found.Group == "" && found.Action == KeepGroup) {
			found = d
		}
	}
	return found
}
