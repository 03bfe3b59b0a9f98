package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// Bound is a policy joined with the groups that one read of the organization showed. It is read-only and safe for
// concurrent use.
type Bound struct {
	Targets []Target // all that the policy manages, each real group or role once, in the byte order of Entitlement
	Create  []string // names of target groups to create, sorted; bind again once they exist
	Owner   string   // account id of the key's owner, "" when the read did not say

	rules    []rule
	gives    map[string][]given // by source group id
	holds    map[string]int     // target by group id
	admin    int                // target that is the organization-admin role, -1 when not managed
	named    map[string][]int   // targets by every name they go by, folded
	synced   map[string]string  // names of all source groups that the read showed, by id
	opens    map[string][]string
	defaults map[access.Entitlement][]string
}

// Target is one real group or role, or presence in the organization, that the policy manages.
type Target struct {
	Entitlement access.Entitlement   `json:"entitlement"`        // group:<live name>, or as the policy writes it: role:… or directory
	GroupID     string               `json:"groupId,omitempty"`  // of a group
	Resource    string               `json:"resource,omitempty"` // of an app role: ARI of the app on its site
	Role        string               `json:"role,omitempty"`     // of an app role: for example atlassian/admin
	Names       []access.Entitlement `json:"names"`              // as the policy writes it, stars filled in
	Granted     bool                 `json:"granted,omitempty"`  // no mapping names it: it is held by grants alone
	Lost        LostMode             `json:"lost,omitempty"`     // what becomes of it when the workflow of a grant was lost; "" when it cannot be granted
	Removals    Mode                 `json:"removals"`
	Apps        []string             `json:"apps,omitempty"`    // app/site that the group opens, as far as roles were read
	Members     int                  `json:"members"`           // as the directory counts them, -1 when unknown
	Sources     []string             `json:"sources,omitempty"` // ids of all source groups mapped to it, sorted
	Protected   *Protected           `json:"protected,omitempty"`
}

// Want is one target that a person should hold, with all reasons for it.
type Want struct {
	Target  int // index in Bound.Targets
	Reasons []access.Reason
	Adopt   bool // one of the reasons makes a membership owned that exists already
}

// given is what one mapping gives the members of one source group.
type given struct {
	target int
	reason access.Reason
	adopt  bool
}

// Resolve answers the one question: which targets should this person hold now, and why? The reasons are the union over
// the person's source groups and the grants given, which are the person's own and in force. The order is fixed: by target,
// then by reason. Apps want nothing. The work is proportional to the groups and grants of the person.
func (b *Bound) Resolve(p access.Person, grants ...access.Grant) []Want {
	if p.IsApp() {
		return nil
	}
	var all []*given
	for _, g := range grants {
		for _, t := range b.All(g.Target) {
			reason := g.GrantReason()
			if fold(g.Target) != fold(b.Targets[t].Entitlement) {
				reason.Via = g.Target
			}
			all = append(all, &given{target: t, reason: reason})
		}
	}
	for _, id := range p.GroupIDs {
		gives := b.gives[id]
		for i := range gives {
			all = append(all, &gives[i])
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *given) int {
		return cmp.Or(cmp.Compare(a.target, b.target), compareReasons(a.reason, b.reason))
	})
	all = slices.CompactFunc(all, func(a, b *given) bool { return *a == *b }) // the read may name a group twice
	wants := make([]Want, 0, min(len(all), len(b.Targets)))
	reasons := make([]access.Reason, 0, len(all))
	for i, start := 0, 0; i < len(all); i++ {
		g := all[i]
		reasons = append(reasons, g.reason)
		if i == start {
			wants = append(wants, Want{Target: g.target})
		}
		want := &wants[len(wants)-1]
		want.Adopt = want.Adopt || g.adopt
		want.Reasons = reasons[start : i+1 : i+1]
		if i+1 < len(all) && all[i+1].target != g.target {
			start = i + 1
		}
	}
	return wants
}

func compareReasons(a, b access.Reason) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name),
		strings.Compare(a.Source, b.Source), strings.Compare(string(a.Via), string(b.Via)))
}

// Held lists the targets that a sweep shows the person in, in order: groups and the organization-admin role. It says nothing
// of app roles, which no sweep reads, and of directory, which everybody would hold.
func (b *Bound) Held(p access.Person) []int {
	var held []int
	for _, id := range p.GroupIDs {
		if t, managed := b.holds[id]; managed {
			held = append(held, t)
		}
	}
	if b.admin >= 0 && p.HasRole(access.RoleOrgAdmin) {
		held = append(held, b.admin)
	}
	slices.Sort(held)
	return slices.Compact(held)
}

// Holds says whether the person holds the target, as far as the read showed; known is false when it did not say.
func (b *Bound) Holds(p access.Person, t int) (held, known bool) {
	switch target := &b.Targets[t]; {
	case target.GroupID != "":
		return p.InGroup(target.GroupID), true
	case target.Entitlement == access.OrgAdmin:
		return p.HasRole(access.RoleOrgAdmin), true
	case target.Entitlement == access.Directory:
		return p.MembershipStatus == "active", p.MembershipStatus != ""
	default:
		return slices.ContainsFunc(p.AppRoles, func(e access.Entitlement) bool { return canonical(e) == fold(target.Entitlement) }), p.AppRoles != nil
	}
}

// Target finds a target by its live name or by a name of the policy, without regard to case. Of several groups that are
// default for one role it finds the first; All finds them all.
func (b *Bound) Target(e access.Entitlement) (int, bool) {
	all := b.All(e)
	if len(all) == 0 {
		return 0, false
	}
	return all[0], true
}

// All finds every target that goes by the name.
func (b *Bound) All(e access.Entitlement) []int {
	if found := b.named[fold(e)]; found != nil {
		return found
	}
	if e.Kind() == access.KindGroup {
		return nil
	}
	full, err := access.ParseEntitlement(string(e)) // jira for jira-software
	if err != nil {
		return nil
	}
	return b.named[fold(full)]
}

// Source says whether the group is a source group that a mapping takes from.
func (b *Bound) Source(groupID string) bool { return b.gives[groupID] != nil }

// SourceName is the name of a source group, mapped or not; "" when the read showed no source group of this id.
func (b *Bound) SourceName(groupID string) string { return b.synced[groupID] }

// Feeds lists the targets that a source group of this name gives or, were it there, would give, in order. It answers for
// groups that are gone.
func (b *Bound) Feeds(name string) []int {
	var fed []int
	folded := lower(name)
	for i := range b.rules {
		for _, e := range b.rules[i].gives(name, folded) {
			fed = append(fed, b.named[fold(e.full)]...)
		}
	}
	slices.Sort(fed)
	return slices.Compact(fed)
}

// Takes says that a mapping takes from a source group of this name, whether or not it or what it gives is there.
func (b *Bound) Takes(name string) bool {
	folded := lower(name)
	return slices.ContainsFunc(b.rules, func(r rule) bool { return len(r.gives(name, folded)) > 0 })
}

// Opens lists the app/site that membership in a group opens, whether or not the group is a target, as far as roles were
// read.
func (b *Bound) Opens(groupID string) []string { return b.opens[groupID] }

// Defaults lists, for every default:… entitlement of the policy, the groups that stand behind it now, sorted. Kept beside
// a good run, it shows the next one which defaults moved.
func (b *Bound) Defaults() map[access.Entitlement][]string { return b.defaults }

// fold is the form in which two writings of an entitlement are equal.
func fold(e access.Entitlement) string { return string(lower(string(e))) }
