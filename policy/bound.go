package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/window"
)

// Bound is a policy joined with the groups that one read of the organization showed. It is read-only and safe for
// concurrent use.
type Bound struct {
	Targets []Target // all that the policy manages, each real group or role once, in the byte order of Entitlement
	Create  []string // names of target groups to create, sorted; bind again once they exist
	Owner   string   // of Castellan's own key, as organization.keyOwner names them

	routes        []route
	rules         []boundRule
	domains       ownDomains
	constants     condition.Constants    // of the rules' conditions
	needs         condition.Needs        // what the enforced rules ask for, all together
	groups        []string               // ids of all groups, sorted
	verified      []string               // domains that the read showed
	statements    map[string][]statement // by source group id
	asked         map[string]bool        // groups that rules' conditions ask for, by id
	names         map[string]string      // of all groups, by id
	declared      namespaces             // identity sources of the policy
	hidden        map[string]bool        // groups that conditions do not see, by id: see foreign
	there         map[string]bool        // names of all groups, folded
	sites         map[string]access.Site // by resource
	targetByGroup map[string]int         // target by group id
	orgAdmin      int                    // target that is the organization-admin role, -1 when not managed
	named         map[string][]int       // targets by every name they go by, folded
	synced        map[string]string      // names of all source groups that the read showed, by id
	opens         map[string][]string
	defaults      map[access.Entitlement][]string
	syncs         groupSyncs
	pairs         []GroupPair
	pairOf        map[string][]int // pairs by the id of either group
	syncedPairs   []GroupPair
	gone          []GoneGroup
	following     map[string]source         // source groups that groups to be created follow, by folded entitlement
	sourcesKnown  func(source string) error // see condition.Facts
}

// WithSources returns a copy whose conditions ask identity sources: known returns nil for one whose word on people
// counts now, and otherwise says why it does not; see condition.Facts. Without it, what sources say is not known.
func (b *Bound) WithSources(known func(source string) error) *Bound {
	other := *b
	other.sourcesKnown = known
	return &other
}

// Target is one real group or role, or presence in the organization, that the policy manages.
type Target struct {
	// group:<live name>, or as the policy writes it: role:… or directory
	Entitlement access.Entitlement   `json:"entitlement"`
	GroupID     string               `json:"groupId,omitempty"`  // of a group
	Resource    string               `json:"resource,omitempty"` // of an app role: ARI of the app on its site
	Role        string               `json:"role,omitempty"`     // of an app role: for example atlassian/admin
	Names       []access.Entitlement `json:"names"`              // as the policy writes it, stars filled in
	Granted     bool                 `json:"granted,omitempty"`  // no mapping names it: it is held by grants alone
	// what becomes of it when the workflow of a grant was lost; "" when it cannot be granted
	Lost LostMode `json:"lost,omitempty"`
	// what becomes of a grant of it that is taken by hand; "" when it cannot be granted
	HandTaken HandTakenMode `json:"handTaken,omitempty"`
	// only reviews name it: nobody is given it, and nobody loses it but by a ruling
	Reviewed bool `json:"reviewed,omitempty"`
	Removals Mode `json:"removals"`
	// app/site that the group opens, as far as roles were read
	Apps     []string `json:"apps,omitempty"`
	Members  int      `json:"members"`            // as the directory counts them, -1 when unknown
	Sources  []string `json:"sources,omitempty"`  // ids of all source groups mapped to it, sorted
	Evidence []string `json:"evidence,omitempty"` // ids of the groups that its rules ask for, sorted
	Ruled    bool     `json:"ruled,omitempty"`    // some rule gives or denies it
	// of a target that only rules name: Removals, if those that only observe were enforced
	Would Mode `json:"would,omitempty"`
	// the group is to be created: it is not there yet, and its id stands for it
	Coming bool `json:"coming,omitempty"`
	// a mapping says removals: never: no rule takes it from anybody
	Additive  bool       `json:"additive,omitempty"`
	Protected *Protected `json:"protected,omitempty"`

	isNew     bool // just found
	rulesOnly bool // no mapping names it; of grants, rules say more
	ruleGives bool // a rule that is enforced gives it
	wouldGive bool // some rule gives it
}

// DecidingGroups returns the sorted ids of all groups that determine who holds the target.
func (t *Target) DecidingGroups() []string {
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

// TargetsHeld lists the targets that a sweep shows the person in, in order: groups and the organization-admin role. It
// says nothing of app roles, which no sweep reads, and of directory, which everybody would hold.
func (b *Bound) TargetsHeld(p access.Person) []int {
	var held []int
	for _, id := range p.GroupIDs {
		if t, managed := b.targetByGroup[id]; managed {
			held = append(held, t)
		}
	}
	if b.orgAdmin >= 0 && p.HasRole(access.RoleOrgAdmin) {
		held = append(held, b.orgAdmin)
	}
	slices.Sort(held)
	return slices.Compact(held)
}

// Holds reports whether the person holds the target, as far as the read showed; known is false when it did not say.
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
		return slices.ContainsFunc(p.AppRoles,
				func(e access.Entitlement) bool { return condition.Canonical(e) == fold(target.Entitlement) }),
			p.AppRoles != nil
	}
}

// Target finds a target by its live name or by a name of the policy, without regard to case. Of several groups that are
// default for one role it finds the first; All finds them all.
func (b *Bound) Target(e access.Entitlement) (int, bool) {
	all := b.AllTargets(e)
	if len(all) == 0 {
		return 0, false
	}
	return all[0], true
}

// AllTargets finds every target that goes by the name.
func (b *Bound) AllTargets(e access.Entitlement) []int {
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

// TargetOf finds the target that is a group, by its id, whatever its name was once.
func (b *Bound) TargetOf(groupID string) (int, bool) {
	t, managed := b.targetByGroup[groupID]
	return t, managed && groupID != ""
}

// Overlap reports whether two names mean some target in common: as one group of two names does, and a default role with
// each of the groups that stand behind it now.
func (b *Bound) Overlap(one, other access.Entitlement) bool {
	others := b.AllTargets(other)
	return slices.ContainsFunc(b.AllTargets(one), func(t int) bool { return slices.Contains(others, t) })
}

// Source reports whether the group is a source group that a mapping takes from, or that a rule asks for.
func (b *Bound) Source(groupID string) bool {
	return b.statements[groupID] != nil || b.asked[groupID] && b.synced[groupID] != ""
}

// SourceName returns the name of a source group, mapped or not; "" when the read showed no source group of this id.
func (b *Bound) SourceName(groupID string) string { return b.synced[groupID] }

// GroupsNamed returns the ids of the groups of these names, as the read showed them.
func (b *Bound) GroupsNamed(names []string) []string {
	var ids []string
	for id, name := range b.names {
		if !b.hidden[id] && slices.ContainsFunc(names, func(n string) bool { return access.SameName(n, name) }) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// GroupsNeeded returns the ids of the groups whose absence the target may depend on: those that rules about it, or
// about presence, ask for by name, since whoever is to leave is given nothing.
func (b *Bound) GroupsNeeded(t int) []string {
	var ids []string
	for i := range b.rules {
		if r := &b.rules[i]; b.concerns(r, t) {
			ids = append(ids, r.names...)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// concerns reports whether a rule gives or denies a target, or presence.
func (b *Bound) concerns(r *boundRule, t int) bool {
	says := func(i int) bool { return i == t || b.Targets[i].Entitlement.Presence() }
	return slices.ContainsFunc(r.give, says) || slices.ContainsFunc(r.deny, says)
}

// GroupName returns the name of a group; "" when the read did not show it.
func (b *Bound) GroupName(groupID string) string { return b.names[groupID] }

// Shown reports whether the read showed the group.
func (b *Bound) Shown(groupID string) bool { return b.names[groupID] != "" }

// Sites lists the apps on sites that the read showed, by their resources, sorted.
func (b *Bound) Sites() []access.Site {
	return slices.SortedFunc(maps.Values(b.sites),
		func(a, b access.Site) int { return cmp.Compare(a.Resource, b.Resource) })
}

// TargetsFedBy lists the targets that a source group of this name gives or, were it there, would give, in order. It
// answers for groups that are gone.
func (b *Bound) TargetsFedBy(name string) []int {
	var fed []int
	folded := form.Fold(name)
	for _, e := range b.TargetsGivenBy(name) {
		fed = append(fed, b.named[fold(e)]...)
	}
	for i := range b.rules {
		if r := &b.rules[i]; r.asks(folded) {
			fed = append(append(fed, r.give...), r.deny...)
		}
	}
	slices.Sort(fed)
	return slices.Compact(fed)
}

// FedBySource lists the targets that groups of an identity source give, or that rules which ask it are about, in order.
func (b *Bound) FedBySource(source string) []int {
	var fed []int
	of := sourcePrefix(source)
	for i := range b.routes {
		if !slices.ContainsFunc(b.routes[i].From, of) {
			continue
		}
		for _, to := range b.routes[i].To {
			fed = append(fed, b.couldBe(to)...)
		}
	}
	fed = append(fed, b.followingSource(source)...)
	for i := range b.rules {
		r := &b.rules[i]
		n := r.condition.Needs
		if r.release != nil {
			n = n.And(r.release.Needs)
		}
		if _, asks := n.Sources[source]; asks || slices.ContainsFunc(n.Groups, of) {
			fed = append(append(fed, r.give...), r.deny...)
		}
	}
	slices.Sort(fed)
	return slices.Compact(fed)
}

// mappedBy returns what each mapping, and each group that follows, may give by groups of an identity source, whichever
// these are.
func (b *Bound) mappedBy(source string) (all []statement) {
	of := sourcePrefix(source)
	may := func(t int, by string) {
		all = append(all, statement{target: t, effect: effectMayGive,
			reason: access.Reason{Kind: access.ReasonMapping, Name: by, Source: source + ":"}})
	}
	for _, p := range b.pairs {
		if t, managed := b.targetByGroup[p.Group]; managed && p.Linked && of(p.SourceName) {
			may(t, p.Entry)
		}
	}
	for _, g := range b.gone {
		if entry, _ := b.syncs.entry(g.Name); entry != nil && of(g.Name) {
			may(g.Target, entry.Name)
		}
	}
	for i := range b.routes {
		if !slices.ContainsFunc(b.routes[i].From, of) {
			continue
		}
		for _, to := range b.routes[i].To {
			for _, t := range b.couldBe(to) {
				may(t, b.routes[i].Name)
			}
		}
	}
	return all
}

// sourcePrefix returns what reports whether a name or glob is that of groups of an identity source.
func sourcePrefix(source string) func(name string) bool {
	prefix := access.Fold(source) + ":"
	return func(name string) bool { return strings.HasPrefix(access.Fold(name), prefix) }
}

// couldBe lists the targets that a target of a mapping may stand for, whatever its star matches.
func (b *Bound) couldBe(to access.Entitlement) []int {
	if stars(to) == 0 {
		return b.named[fold(to)]
	}
	pattern, err := form.Compile(to.Group())
	if err != nil {
		return nil
	}
	var all []int
	for i := range b.Targets {
		if pattern.Match(form.Fold(b.Targets[i].Entitlement.Group())) {
			all = append(all, i)
		}
	}
	return all
}

// VerifiedDomain reports whether the organization has verified an e-mail domain, folded. One that only the policy
// counts as its own is not.
func (b *Bound) VerifiedDomain(domain string) bool {
	return slices.ContainsFunc(b.verified, func(d string) bool { return access.FoldDomain(d) == domain })
}

// NeverDeactivated reports whether somebody is never deactivated: the owner of the key, and whoever is never removed
// from some target.
func (b *Bound) NeverDeactivated(account string) bool {
	return account != "" && (account == b.Owner || slices.ContainsFunc(b.Targets, func(t Target) bool {
		return t.Protected != nil && slices.Contains(t.Protected.Always, account)
	}))
}

// External reports whether somebody is from outside; nil if that is not known.
func (b *Bound) External(p access.Person) *bool { return b.domains.external(p) }

// TargetsGivenBy lists what mappings and groups give the members of a source group of this name, stars filled in,
// whether or not the group or its targets are there.
func (b *Bound) TargetsGivenBy(name string) []access.Entitlement {
	var all []access.Entitlement
	ready := b.declared.ready(name)
	for i := range b.routes {
		for _, f := range b.routes[i].gives(ready) {
			all = append(all, f.full)
		}
	}
	return append(all, b.syncs.gives(name, b.GroupName)...)
}

// asks reports whether the rule's conditions ask for a group of this name.
func (r *boundRule) asks(folded []rune) bool {
	n := r.condition.Needs
	if r.release != nil {
		n = n.And(r.release.Needs)
	}
	return n.AnyGroup || slices.ContainsFunc(n.Groups,
		func(name string) bool { return slices.Equal(form.Fold(name), folded) })
}

// UsesSourceGroup reports whether a mapping takes from a source group of this name, or a rule asks for it, whether or
// not it or what it gives is there.
func (b *Bound) UsesSourceGroup(name string) bool {
	folded := form.Fold(name)
	return len(b.TargetsGivenBy(name)) > 0 ||
		slices.ContainsFunc(b.rules, func(r boundRule) bool { return r.asks(folded) })
}

// AppsOpenedBy lists the app/site that membership in a group opens, whether or not the group is a target, as far as
// roles were read.
func (b *Bound) AppsOpenedBy(groupID string) []string { return b.opens[groupID] }

// Defaults lists, for every default:… entitlement of the policy, the groups that stand behind it now, sorted. Kept
// beside a good run, it shows the next one which defaults moved.
func (b *Bound) Defaults() map[access.Entitlement][]string { return b.defaults }

// fold returns the form in which two writings of an entitlement are equal.
func fold(e access.Entitlement) string { return access.Fold(string(e)) }

// NextChange returns an instant after k.Now until which every enforced rule that is in force answers its conditions for
// the person as it does now, as long as nothing but the time changes; zero: there is none within a month. Of k, it
// hears Grants, which may hold some that are not in force yet or not any more, and Held.
func (b *Bound) NextChange(p access.Person, k Known) (next time.Time) {
	if p.IsApp() {
		return next
	}
	var asked *condition.Subject
	for i := range b.rules {
		r := &b.rules[i]
		if r.Mode != RuleEnforce || !r.window.Open(k.Now) { // everybody is decided when a rule comes into force
			continue
		}
		for _, c := range []*condition.Condition{r.condition, r.release} {
			if c == nil || !c.Timed() {
				continue
			}
			if asked == nil {
				asked = b.Ask(p, k)
			}
			next = window.Earlier(next, c.NextChangeOf(asked, k.Grants, k.Now))
		}
	}
	return next
}
