package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// The rules of the guard.
const (
	RuleAdopt           = "adopt"            // the first run after set-up waits for consent
	RuleRunRemovals     = "run-removals"     // too many removals in the run
	RuleRunShare        = "run-share"        // too large a share of all memberships
	RuleTargetRemovals  = "target-removals"  // too many removals from one target
	RuleTargetShare     = "target-share"     // too large a share of one target
	RuleLastAccess      = "last-access"      // too many people lose an app
	RuleWindow          = "window"           // too many removals over the past days
	RuleSourceSuspect   = "source-suspect"   // the evidence is doubted
	RuleIdentitySuspect = "identity-suspect" // an identity source proves nothing about who is missing
	RuleDefaultMoved    = "default-moved"    // other groups are default now
	RuleGrantLost       = "grant-lost"       // a grant is over and its workflow did not take it back
	RuleRuleNew         = "rule-new"         // a rule is enforced for the first time since it says what it says
	RuleFlapping        = "flapping"         // a change was made and taken back several times
	RuleGroupDelete     = "group-delete"     // a group is gone from the identity source that another one follows
	RuleGroupRestore    = "group-restore"    // a lost group is made again only if somebody wants it
)

// Verdict is one limit that a run exceeds.
type Verdict struct {
	Rule   string `json:"rule"`
	Scope  Scope  `json:"scope"`
	Detail string `json:"detail"` // a sentence with the numbers and the limit
}

// Scope determines which changes a verdict holds: removals, unless Everything is set; of all targets, unless Targets is
// set; of everybody, unless App is set. Removals at the end of a grant are held only by a verdict on Lapses.
type Scope struct {
	Lapses     bool                 `json:"lapses,omitempty"`
	Everything bool                 `json:"everything,omitempty"` // adds and adoptions too
	Targets    []access.Entitlement `json:"targets,omitempty"`
	Source     string               `json:"source,omitempty"` // name of the suspect source group that gives the targets
	App        string               `json:"app,omitempty"`    // only removals that take this app/site from the person
	Rule       string               `json:"rule,omitempty"`   // only what this rule asks for
	Rules      []string             `json:"rules,omitempty"`  // and no rules but these
	Pairs      []Pair               `json:"pairs,omitempty"`  // only these people in these targets
}

// Pair is a person and a target.
type Pair struct {
	Person string             `json:"person"`
	Target access.Entitlement `json:"target"`
}

// Judge compares a run with the policy's limits. It returns only verdicts that hold something, in a fixed order.
func Judge(p *policy.Policy, b *policy.Bound, s Stats) []Verdict {
	j := judge{guard: p.Guard, bound: b, stats: s, total: s.Total()}
	j.adopt()
	j.run()
	j.targets()
	j.lastAccess()
	j.window()
	j.gone()
	j.suspects()
	j.doubted()
	j.moved()
	j.lapses()
	j.fresh()
	j.flaps()
	return j.verdicts
}

// HeldBy returns the sorted names of the guard rules that hold a change. adopt, default-moved, rule-new and flapping
// hold everything, the others only removals.
func HeldBy(vs []Verdict, b *policy.Bound, c access.Change) []string {
	var rules []string
	for _, v := range vs {
		if v.Scope.holds(b, c) {
			rules = append(rules, v.Rule)
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

func (s Scope) holds(b *policy.Bound, c access.Change) bool {
	if s.Lapses != c.Lapse() || !s.Everything && c.Action != access.Remove {
		return false
	}
	switch {
	case s.Source != "" && onlyConflicts(c.Reasons): // a person saw everybody by name and decided
		return false
	case s.App != "" && !slices.Contains(c.Loses, s.App):
		return false
	case s.Rule != "" && !askedOnlyByRules(c, s.Rule, s.Rules):
		return false
	case s.Pairs != nil && !slices.Contains(s.Pairs, Pair{c.Person, c.Target}):
		return false
	}
	return s.Targets == nil || slices.ContainsFunc(s.Targets, func(e access.Entitlement) bool {
		if same(e, c.Target) {
			return true
		}
		t, managed := b.Target(c.Target) // the change may name the target as the policy does
		return managed && b.Targets[t].Entitlement == e
	})
}

func onlyConflicts(reasons []access.Reason) bool {
	return len(reasons) > 0 && !slices.ContainsFunc(reasons,
		func(r access.Reason) bool { return r.Kind != access.ReasonConflict })
}

// judge collects verdicts.
type judge struct {
	guard    policy.Guard
	bound    *policy.Bound // nil: of groups in a SCIM directory
	stats    Stats
	total    Tally
	verdicts []Verdict
}

func (j *judge) hold(rule string, scope Scope, format string, args ...any) {
	j.verdicts = append(j.verdicts, Verdict{Rule: rule, Scope: scope, Detail: fmt.Sprintf(format, args...)})
}

func (j *judge) adopt() {
	if t := j.total; j.guard.Adopt == policy.AdoptAsk && !j.stats.Adopted && t.Adds+t.Removals+t.Adopts > 0 {
		j.hold(RuleAdopt, Scope{Everything: true},
			"the first run needs consent: it would add %d, remove %d and adopt %d memberships (guard.adopt is ask)",
			t.Adds, t.Removals, t.Adopts)
	}
}

func (j *judge) run() {
	limit, t := j.guard.Run, j.total
	if t.Removals > limit.Removals {
		j.hold(RuleRunRemovals, Scope{}, "the run would remove %d memberships; the limit is %d (guard.run.removals)",
			t.Removals, limit.Removals)
	}
	for _, t := range []Tally{t, j.unreviewed()} {
		if t.Removals > limit.AtLeast && limit.Share.Exceeded(t.Removals, t.Members) {
			j.hold(RuleRunShare, Scope{}, "the run would remove %d of %d memberships; the limit is %s (guard.run.share)",
				t.Removals, t.Members, limit.Share)
			return
		}
	}
}

// unreviewed returns the sums without targets that only reviews name. A campaign may name so many that all other shares
// look small.
func (j *judge) unreviewed() Tally {
	if j.bound == nil { // no review is about groups of a SCIM directory
		return j.total
	}
	return j.stats.sum(func(e access.Entitlement) bool {
		i, managed := j.bound.Target(e)
		return !managed || !j.bound.Targets[i].Reviewed
	})
}

func (j *judge) targets() {
	limit := j.guard.Target
	for e, t := range j.removing() {
		scope := Scope{Targets: []access.Entitlement{e}}
		if t.Removals > limit.Removals {
			j.hold(RuleTargetRemovals, scope,
				"the run would remove %d people from %s; the limit is %d (guard.target.removals)", t.Removals, e,
				limit.Removals)
		}
		if t.Members >= limit.Minimum && limit.Share.Exceeded(t.Removals, t.Members) {
			j.hold(RuleTargetShare, scope,
				"the run would remove %d of %d people from %s; the limit is %s (guard.target.share)", t.Removals,
				t.Members, e, limit.Share)
		}
	}
}

func (j *judge) lastAccess() {
	limit := j.guard.LastAccess.People
	for _, app := range slices.Sorted(maps.Keys(j.stats.LastAccess)) {
		if people := j.stats.LastAccess[app]; people > limit {
			j.hold(RuleLastAccess, Scope{App: app},
				"%d people would lose their last access to %s; the limit is %d (guard.lastAccess.people)", people,
				app, limit)
		}
	}
}

func (j *judge) window() {
	limit, t := j.guard.Window, j.total
	if sum := t.Window + t.Removals; t.Removals > 0 && sum > limit.Removals {
		j.hold(RuleWindow, Scope{}, "%d memberships were removed over %d days and the run would remove %d more; the limit is %d (guard.window.removals)",
			t.Window, limit.Days, t.Removals, limit.Removals)
	}
	for e, t := range j.removing() {
		had := t.Members + t.Window
		if t.Members >= 0 && had >= j.guard.Target.Minimum && limit.Share.Exceeded(t.Window+t.Removals, had) {
			j.hold(RuleWindow, Scope{Targets: []access.Entitlement{e}},
				"of the %d people in %s, %d were removed over %d days and the run would remove %d more; the limit is %s (guard.window.share)",
				had, e, t.Window, limit.Days, t.Removals, limit.Share)
		}
	}
}

// gone holds what becomes of groups whose group in the identity source is no longer there, however few their members.
func (j *judge) gone() {
	for _, g := range j.bound.GoneGroups() {
		targets, removals := j.removalsFrom([]int{g.Target})
		if removals == 0 {
			continue
		}
		opens := "nothing that is known"
		if apps := j.bound.Targets[g.Target].Apps; len(apps) > 0 {
			opens = strings.Join(apps, ", ")
		}
		j.hold(RuleGroupDelete, Scope{Targets: targets, Source: g.Name},
			"%s is no longer in its source: all %d people whom it put into %s would be removed, and the group opens %s",
			g.Name, removals, targets[0].Group(), opens)
	}
}

func (j *judge) suspects() {
	for _, s := range j.stats.Suspects {
		if slices.ContainsFunc(j.bound.GoneGroups(), func(g policy.GoneGroup) bool {
			return access.SameName(g.Name, s.Name)
		}) {
			continue // they are held as a whole
		}
		if targets, removals := j.removalsFrom(j.bound.TargetsFedBy(s.Name)); removals > 0 {
			j.hold(RuleSourceSuspect, Scope{Targets: targets, Source: s.Name},
				"source group %s is suspect: %s; %d removals based on it wait", s.Name, s.Why, removals)
		}
	}
}

// doubted holds what is based on identity sources that prove nothing about who is missing.
func (j *judge) doubted() {
	for _, s := range j.stats.Doubted {
		if targets, removals := j.removalsFrom(j.bound.FedBySource(s.Name)); removals > 0 {
			j.hold(RuleIdentitySuspect, Scope{Targets: targets, Source: s.Name},
				"source %s cannot prove who is missing: %s; %d removals based on it wait", s.Name, s.Why, removals)
		}
	}
}

// removalsFrom returns the entitlements of some targets of the policy, and how many removals the run has from them.
func (j *judge) removalsFrom(positions []int) (targets []access.Entitlement, removals int) {
	for _, i := range positions {
		target := j.bound.Targets[i].Entitlement
		targets = append(targets, target)
		removals += j.stats.Targets[target].Removals
	}
	return targets, removals
}

func (j *judge) moved() {
	for _, m := range j.stats.Moved {
		var targets []access.Entitlement
		changes := 0
		for _, e := range append(groups(m.New), groups(m.Old)...) {
			if i, managed := j.bound.Target(e); managed && !slices.Contains(targets, j.bound.Targets[i].Entitlement) {
				live := j.bound.Targets[i].Entitlement
				t := j.stats.Targets[live]
				targets = append(targets, live)
				changes += t.Adds + t.Removals + t.Adopts
			}
		}
		if changes > 0 {
			slices.SortFunc(targets, compareTargets)
			j.hold(RuleDefaultMoved, Scope{Everything: true, Targets: targets},
				"%s stood for %s and now stands for %s; %d changes wait",
				m.Entitlement, listed(m.Old), listed(m.New), changes)
		}
	}
}

// lapses holds leftovers of grants, if the policy wants a person to decide.
func (j *judge) lapses() {
	for _, t := range j.bound.Targets {
		if n := j.stats.Targets[t.Entitlement].Lapses; n > 0 && t.Lost == policy.LostHold {
			j.hold(RuleGrantLost, Scope{Lapses: true, Targets: []access.Entitlement{t.Entitlement}},
				"%d people hold %s by grants that have ended and were not revoked (grants.lost is hold)", n,
				t.Entitlement)
		}
	}
}

// fresh holds the changes of rules that are enforced for the first time, unless the policy agrees to exactly these.
func (j *judge) fresh() {
	var names []string
	for _, r := range j.stats.Fresh {
		names = append(names, r.Name)
	}
	for _, r := range j.stats.Fresh {
		detail := fmt.Sprintf("rule %s is enforced for the first time; its changes: %d, %s", r.Name, r.Lines, r.Plan)
		switch {
		case r.Agreed != "" && r.Agreed != r.Plan:
			detail += fmt.Sprintf(", which is not what the policy agreed to (shown: %s)", r.Agreed)
		case r.Seen == r.Plan:
			detail += ", which is exactly what it was last shown to do"
		case r.Seen != "":
			detail += ", which is not what it was last shown to do, " + r.Seen
		}
		if r.Grace != "" && r.Grace != "0s" {
			detail += fmt.Sprintf(". If you approve it, notices are sent first: nobody loses anything before theirs was sent, and %s after that", r.Grace)
		}
		j.hold(RuleRuleNew, Scope{Everything: true, Rule: r.Name, Rules: names}, "%s", detail)
	}
}

// askedOnlyByRules reports whether the rule asks for the change, and nothing but the rules in among does.
func askedOnlyByRules(c access.Change, rule string, among []string) bool {
	return access.OnlyRules(c.Reasons) &&
		slices.ContainsFunc(c.Reasons, func(r access.Reason) bool { return r.Name == rule }) &&
		!slices.ContainsFunc(c.Reasons, func(r access.Reason) bool { return !slices.Contains(among, r.Name) })
}

// flaps holds changes that were made and reversed again and again.
func (j *judge) flaps() {
	for _, f := range j.stats.Flaps {
		j.hold(RuleFlapping, Scope{Everything: true, Pairs: []Pair{{f.Person, f.Target}}},
			"%s in %s was changed %d times within %d days, last by %s; the next change would be: %s. Two sides disagree: decide which is right, then approve or reject",
			f.Label, f.Target, f.Times, j.guard.Window.Days, f.Last, f.Now)
	}
}

// removing iterates over the targets with removals, in order.
func (j *judge) removing() func(yield func(access.Entitlement, Tally) bool) {
	return func(yield func(access.Entitlement, Tally) bool) {
		for _, e := range slices.SortedFunc(maps.Keys(j.stats.Targets), compareTargets) {
			if t := j.stats.Targets[e]; t.Removals > 0 && !yield(e, t) {
				return
			}
		}
	}
}

func groups(names []string) []access.Entitlement {
	es := make([]access.Entitlement, len(names))
	for i, name := range names {
		es[i] = access.GroupEntitlement(name)
	}
	return es
}

func listed(names []string) string {
	if len(names) == 0 {
		return "no group"
	}
	return strings.Join(names, ", ")
}

func compareTargets(a, b access.Entitlement) int { return strings.Compare(string(a), string(b)) }
