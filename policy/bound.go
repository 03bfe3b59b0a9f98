package policy

import (
	"slices"

	"github.com/castellan-io/castellan/access"
)

// Bound is a policy joined with the groups that one read of the organization showed. It is read-only and safe for
// concurrent use.
type Bound struct {
	Targets []Target // all that the policy manages, each real group or role once, in the byte order of Entitlement
	Create  []string // names of target groups to create, sorted; bind again once they exist
	Owner   string   // account id of the key's owner, "" when the read did not say

	routes    []route
	rules     []boundRule
	home      home
	constants constants              // of the rules' conditions
	verified  []string               // domains that the read showed
	gives     map[string][]voice     // by source group id
	asked     map[string]bool        // groups that rules' conditions ask for, by id
	names     map[string]string      // of all groups, by id
	there     map[string]bool        // names of all groups, folded
	sites     map[string]access.Site // by resource
	holds     map[string]int         // target by group id
	admin     int                    // target that is the organization-admin role, -1 when not managed
	named     map[string][]int       // targets by every name they go by, folded
	synced    map[string]string      // names of all source groups that the read showed, by id
	opens     map[string][]string
	defaults  map[access.Entitlement][]string
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
	Reviewed    bool                 `json:"reviewed,omitempty"` // only reviews name it: nobody is given it, and nobody loses it but by a ruling
	Removals    Mode                 `json:"removals"`
	Apps        []string             `json:"apps,omitempty"`     // app/site that the group opens, as far as roles were read
	Members     int                  `json:"members"`            // as the directory counts them, -1 when unknown
	Sources     []string             `json:"sources,omitempty"`  // ids of all source groups mapped to it, sorted
	Evidence    []string             `json:"evidence,omitempty"` // ids of the groups that its rules ask for, sorted
	Ruled       bool                 `json:"ruled,omitempty"`    // some rule gives or denies it
	Would       Mode                 `json:"would,omitempty"`    // of a target that only rules name: Removals, if those that only observe were enforced
	Protected   *Protected           `json:"protected,omitempty"`

	fresh     bool // just found
	byRules   bool // no mapping names it; of grants, rules say more
	ruleGives bool // a rule that is enforced gives it
	wouldGive bool // some rule gives it
}

// Grounds are the ids of all groups on which it stands who holds the target, sorted.
func (t *Target) Grounds() []string {
	if t.Evidence == nil {
		return t.Sources
	}
	all := slices.Concat(t.Sources, t.Evidence)
	slices.Sort(all)
	return slices.Compact(all)
}

// Mode is Removals, or what they would be if the rules that only observe were enforced.
func (t *Target) Mode(would bool) Mode {
	if would && t.Would != "" {
		return t.Would
	}
	return t.Removals
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
	case target.Entitlement == access.Organization:
		return p.MembershipStatus != "no_membership", p.MembershipStatus != ""
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

// Source says whether the group is a source group that a mapping takes from, or that a rule asks for.
func (b *Bound) Source(groupID string) bool {
	return b.gives[groupID] != nil || b.asked[groupID] && b.synced[groupID] != ""
}

// SourceName is the name of a source group, mapped or not; "" when the read showed no source group of this id.
func (b *Bound) SourceName(groupID string) string { return b.synced[groupID] }

// Shown says that the read showed the group.
func (b *Bound) Shown(groupID string) bool { return b.names[groupID] != "" }

// Feeds lists the targets that a source group of this name gives or, were it there, would give, in order. It answers for
// groups that are gone.
func (b *Bound) Feeds(name string) []int {
	var fed []int
	folded := lower(name)
	for i := range b.routes {
		for _, e := range b.routes[i].gives(name, folded) {
			fed = append(fed, b.named[fold(e.full)]...)
		}
	}
	for i := range b.rules {
		if r := &b.rules[i]; r.asks(folded) {
			fed = append(append(fed, r.give...), r.deny...)
		}
	}
	slices.Sort(fed)
	return slices.Compact(fed)
}

// asks says that the rule's answers stand on a group of this name.
func (r *boundRule) asks(folded []rune) bool {
	n := r.condition.needs
	if r.release != nil {
		n = n.and(r.release.needs)
	}
	return n.anyGroup || slices.ContainsFunc(n.groups, func(name string) bool { return slices.Equal(lower(name), folded) })
}

// Takes says that a mapping takes from a source group of this name, or a rule asks for it, whether or not it or what it gives is there.
func (b *Bound) Takes(name string) bool {
	folded := lower(name)
	return slices.ContainsFunc(b.routes, func(r route) bool { return len(r.gives(name, folded)) > 0 }) ||
		slices.ContainsFunc(b.rules, func(r boundRule) bool { return r.asks(folded) })
}

// Opens lists the app/site that membership in a group opens, whether or not the group is a target, as far as roles were
// read.
func (b *Bound) Opens(groupID string) []string { return b.opens[groupID] }

// Defaults lists, for every default:… entitlement of the policy, the groups that stand behind it now, sorted. Kept beside
// a good run, it shows the next one which defaults moved.
func (b *Bound) Defaults() map[access.Entitlement][]string { return b.defaults }

// fold is the form in which two writings of an entitlement are equal.
func fold(e access.Entitlement) string { return string(lower(string(e))) }
