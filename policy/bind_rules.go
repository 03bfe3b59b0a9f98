package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/window"
)

// boundRule is a rule with its condition compiled and its targets found.
type boundRule struct {
	*Rule
	key           string
	condition     *condition.Condition
	release       *condition.Condition // nil: it holds as long as its condition does
	window        *window.Compiled
	give, deny    []int    // targets
	names         []string // ids of the groups that it asks for by name
	contradictory []int    // targets that it gives and denies, by two names: nothing follows for them
	acts          bool     // its changes are made
}

// ruleInProgress is a boundRule whose targets have no index yet.
type ruleInProgress struct {
	boundRule
	gives, denies []*Target
	bothWays      []*Target
}

// bindRules manages what rules give and deny. It comes last: what others say of a target stands.
func (w *binder) bindRules() {
	for _, t := range w.targets {
		t.isNew = false
	}
	for i := range w.policy.Rules {
		x := &w.policy.Rules[i]
		when, err := w.policy.Condition(x.When)
		if err != nil {
			w.find("rule-broken", x.Name, true, "its condition cannot be read: %s", err)
			continue
		}
		var release *condition.Condition
		if x.Release != "" {
			if release, err = w.policy.Condition(x.Release); err != nil {
				w.find("rule-broken", x.Name, true, "its release cannot be read: %s", err)
				continue
			}
		}
		times, err := window.Compile(x.Window())
		if err != nil {
			w.find("rule-broken", x.Name, true, "its times cannot be read: %s", err)
			continue
		}
		r := ruleInProgress{boundRule: boundRule{Rule: x, key: x.Key(), condition: when, release: release,
			window: times, acts: x.Mode == RuleEnforce}}
		give, deny := x.Targets()
		r.gives, r.denies = w.manageRuled(give), w.manageRuled(deny)
		for _, t := range r.gives {
			w.addRuleMode(t, x)
			if slices.Contains(r.denies, t) {
				r.bothWays = append(r.bothWays, t)
				w.find("rule-contradicts-itself", x.Name, true, "it gives and denies %s, under two names; keep one",
					t.Entitlement)
			}
			if slices.ContainsFunc(when.Needs.Groups, func(name string) bool {
				return t.GroupID != "" && access.SameName(name, t.Entitlement.Group())
			}) {
				w.find("rule-asks-itself", x.Name, true,
					"whether it gives %s depends on who is in it already; ask about another group", t.Entitlement)
			}
		}
		for _, t := range r.denies {
			if t.Additive {
				w.find("rule-additive", x.Name, true,
					"it denies %s, but a mapping has removals: never for it; write removals: owned there. Until then the rule removes nobody from it", t.Entitlement)
			}
		}
		w.noteEvidence(&r)
		w.boundSoFar = append(w.boundSoFar, r)
	}
}

// Window returns when the rule is in force.
func (r *Rule) Window() window.Window {
	if r.During == nil {
		return window.Window{}
	}
	return *r.During
}

// manageRuled finds the targets of a rule. From one that nothing else manages, only people whom a rule denies it are
// removed.
func (w *binder) manageRuled(all []access.Entitlement) []*Target {
	var found []*Target
	for _, e := range all {
		w.noteMissing(e, false)
		for _, t := range w.manageTarget(e) {
			if t.isNew {
				t.Removals, t.Would, t.rulesOnly, t.isNew = RemoveNever, RemoveNever, true, false
			}
			if !slices.Contains(found, t) {
				found = append(found, t)
			}
		}
	}
	return found
}

// addRuleMode notes what a rule that gives a target lets be taken from it. Where a mapping gives it too, the more
// careful of both holds.
func (w *binder) addRuleMode(t *Target, x *Rule) {
	if t.Entitlement.Presence() {
		return
	}
	w.noteMode(t, x.Removals, "rule "+x.Name)
	if !t.rulesOnly && !t.Granted {
		t.Would = moreCareful(cmp.Or(t.Would, t.Removals), x.Removals)
		if x.Mode == RuleEnforce {
			t.Removals = moreCareful(t.Removals, x.Removals)
		}
		return
	}
	t.Would = firstMode(t.wouldGive, t.Would, x.Removals)
	t.wouldGive = true
	if x.Mode == RuleEnforce {
		t.Removals, t.Granted, t.rulesOnly = firstMode(t.ruleGives, t.Removals, x.Removals), false, true
		t.ruleGives = true
	}
}

// firstMode returns the mode of the first rule that gives a target; then the more careful.
func firstMode(given bool, is, mode Mode) Mode {
	if given {
		return moreCareful(is, mode)
	}
	return mode
}

// noteEvidence records the groups that a rule's conditions ask for.
func (w *binder) noteEvidence(r *ruleInProgress) {
	var ids []string
	asks := r.condition.Needs
	if r.release != nil {
		asks = asks.And(r.release.Needs)
	}
	for _, app := range asks.Apps {
		if !w.hasApp(app) {
			w.find("rule-app-unknown", app, true,
				"rule %s asks about an app that the organization does not have; it has %s", r.Name,
				w.siteList())
		}
	}
	for _, name := range asks.Groups {
		groups := w.groupsCalled(name)
		switch source := w.declared.of(name); {
		case len(groups) > 0:
		case source != "": // it is read only once the policy is in force
			w.find("rule-group-unread", name, false,
				"rule %s asks about a group that no read of the source %s has shown; correct the name, include the group in the source's groups.names, or wait until the source has been read. Until then the rule cannot be evaluated", r.Name, source)
		default:
			w.find("rule-group-unknown", name, true,
				"rule %s asks about a group that does not exist%s; correct the name, or create the group. Until then the rule cannot be evaluated", r.Name, w.instead(name))
		}
		for _, g := range groups {
			ids = append(ids, g.ID)
		}
	}
	r.names = slices.Clone(ids)
	if asks.AnyGroup {
		for _, g := range w.sources {
			ids = append(ids, g.ID)
		}
	}
	for _, id := range ids {
		w.asked[id] = true
	}
	for _, t := range slices.Concat(r.gives, r.denies) {
		t.Ruled = true
		t.Evidence = append(t.Evidence, ids...)
	}
}

// hasApp reports whether the organization has the app (confluence), or has it on the site (confluence/acme).
func (w *binder) hasApp(app string) bool {
	key, site, _ := strings.Cut(app, "/")
	return slices.ContainsFunc(w.outline.Sites, func(s access.Site) bool {
		return access.AppKey(s.App) == access.AppKey(key) && (site == "" || strings.EqualFold(s.Site, site))
	})
}

// boundRules gives the rules their targets' indices.
func (w *binder) boundRules(index map[*Target]int) []boundRule {
	var all []boundRule
	number := func(targets []*Target) []int {
		var numbers []int
		for _, t := range targets {
			numbers = append(numbers, index[t])
		}
		slices.Sort(numbers)
		return numbers
	}
	for _, r := range w.boundSoFar {
		r.give, r.deny, r.contradictory = number(r.gives), number(r.denies), number(r.bothWays)
		all = append(all, r.boundRule)
	}
	return all
}

// conditionsOf returns the conditions of rules.
func conditionsOf(rules []boundRule) []*condition.Condition {
	var all []*condition.Condition
	for i := range rules {
		all = append(all, rules[i].condition)
		if rules[i].release != nil {
			all = append(all, rules[i].release)
		}
	}
	return all
}

// ownDomains is which domains are the organization's own.
type ownDomains struct {
	own      map[string]bool
	doubtful map[string]bool // were own at the last good run, and are not shown any more
}

// ownDomains joins the domains that the policy lists with those that the organization has verified.
func (w *binder) ownDomains(last []string) ownDomains {
	h := ownDomains{own: map[string]bool{}, doubtful: map[string]bool{}}
	for _, d := range slices.Concat(w.policy.Organization.Domains, w.outline.Domains) {
		h.own[access.FoldDomain(d)] = true
	}
	for _, d := range last {
		if folded := access.FoldDomain(d); !h.own[folded] {
			h.doubtful[folded] = true
			w.find("domain-gone", d, false,
				"it was a verified domain of the organization and is no longer shown; whether its people are external is not known until the policy is applied again")
		}
	}
	return h
}

// external reports whether somebody is from outside; nil if that is unknown.
func (h ownDomains) external(p access.Person) *bool {
	yes, no := true, false
	domain := access.DomainOf(p.Email)
	switch {
	case p.ClaimStatus == "managed" || domain != "" && h.own[domain]:
		return &no
	case domain == "" || h.doubtful[domain] || len(h.own) == 0:
		return nil
	}
	return &yes
}

// WithActing returns a copy in which only the enforced rules with these keys act; the others observe.
func (b *Bound) WithActing(keys map[string]bool) *Bound {
	other := *b
	other.rules = slices.Clone(b.rules)
	for i := range other.rules {
		r := &other.rules[i]
		r.acts = r.Mode == RuleEnforce && keys[r.key]
	}
	return &other
}

// EnforcedRuleKeys returns the keys of the rules that are enforced, sorted.
func (b *Bound) EnforcedRuleKeys() []string {
	keys := map[string]bool{}
	for i := range b.rules {
		if r := &b.rules[i]; r.Mode == RuleEnforce && r.Acts() {
			keys[r.key] = true
		}
	}
	return slices.SortedFunc(maps.Keys(keys), cmp.Compare)
}

// HasObservingRules reports whether some rule with effects only observes.
func (b *Bound) HasObservingRules() bool {
	return slices.ContainsFunc(b.rules, func(r boundRule) bool { return !r.acts && r.Acts() })
}

// Domains returns the organization's own e-mail domains as the read showed them: kept beside a good run, they show the
// next one which are gone.
func (b *Bound) Domains() []string { return b.verified }
