package cases

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

// outcome is one case before the policy.
type outcome struct {
	*trial
	*Case
	bound      *policy.Bound
	facts      *condition.Subject
	resolution policy.Resolution
	wants      map[int]*policy.Want // by target
	wrong      []string
}

func (t *trial) judge(c *Case) *outcome {
	j := &outcome{trial: t, Case: c, bound: t.enforced, wants: map[int]*policy.Want{}}
	if c.As == ModeNow {
		j.bound = t.asIs
	}
	person, grants := j.person(), slices.Clone(c.Grants)
	for i := range grants {
		grants[i].From, grants[i].Until = c.At.Add(-time.Hour), c.At.Add(time.Hour)
	}
	known := policy.Known{Grants: grants, Marks: j.marks(), Now: c.At, All: true}
	j.facts = j.bound.Ask(person, known)
	j.resolution = j.bound.Resolve(person, known)
	for i := range j.resolution.Wants {
		j.wants[j.resolution.Wants[i].Target] = &j.resolution.Wants[i]
	}
	j.checkSources()
	j.checkHolds()
	j.expectEach(c.Expect.Gives, "to be held", j.held)
	j.expectEach(c.Expect.Denies, "to be denied", func(t int) bool { w := j.wants[t]; return w != nil && len(w.Denied) > 0 })
	j.expectEach(c.Expect.Unknown, "to stay as it is, since a rule cannot be answered", j.unknown)
	j.checkPresence()
	j.checkRules()
	return j
}

func (j *outcome) fail(format string, args ...any) {
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

// person returns the case's person as a read would show them.
func (j *outcome) person() access.Person {
	p := j.Case.Person
	p.ID = "made up for " + j.Name
	p.GroupIDs = []string{}
	for _, name := range j.Groups {
		id, _ := j.org.group(name, false)
		p.GroupIDs = append(p.GroupIDs, id)
	}
	for _, name := range j.Local {
		id, _ := j.org.group(name, true)
		p.GroupIDs = append(p.GroupIDs, id)
	}
	if j.Apps != nil {
		p.Activity = []access.Activity{}
	}
	for _, use := range j.Apps {
		use.Resource = madeUpSite(use.App, use.Site)
		p.Activity = append(p.Activity, use.Activity)
	}
	return p
}

// marks are since when which rules hold. A name that no rule has is wrong: the case would say nothing.
func (j *outcome) marks() []access.RuleMatch {
	var marks []access.RuleMatch
	for _, name := range slices.Sorted(maps.Keys(j.Holding)) { // whoever is told of a rule is there too
		if r := j.rule(name); r != nil {
			marks = append(marks, access.RuleMatch{Rule: r.Key(), Since: j.Holding[name], Told: j.Told[name]})
		} else {
			j.fail("%s", j.noRule(name))
		}
	}
	return marks
}

func (j *outcome) rule(name string) *policy.Rule {
	i := slices.IndexFunc(j.policy.Rules, func(r policy.Rule) bool { return access.SameName(r.Name, name) })
	if i < 0 {
		return nil
	}
	return &j.policy.Rules[i]
}

func (j *outcome) noRule(name string) string {
	var names []string
	for _, r := range j.policy.Rules {
		names = append(names, r.Name)
	}
	return fmt.Sprintf("the policy has no rule %q%s", name, suggestion(similarNames(name, names)))
}

// held reports whether the person should hold the target, whatever becomes known later.
func (j *outcome) held(t int) bool {
	w := j.wants[t]
	return w != nil && len(w.ReasonsToHold(nil)) > 0 && len(w.Barred) == 0
}

// unknown reports whether nothing can be done about the target now.
func (j *outcome) unknown(t int) bool {
	w := j.wants[t]
	return w != nil && len(w.Denied) == 0 && (len(w.Barred) > 0 || len(w.Unsure) > 0 && len(w.Reasons) == 0)
}

// expectEach checks that something is so of every target.
func (j *outcome) expectEach(all []access.Entitlement, what string, so func(t int) bool) {
	for _, e := range all {
		j.expect(e, what, so)
	}
}

// expect finds the targets behind an entitlement and checks each.
func (j *outcome) expect(e access.Entitlement, what string, so func(t int) bool) []int {
	found := j.bound.AllTargets(e)
	if len(found) == 0 {
		j.fail("expected %s %s; %s", e, what, j.unmanaged(e))
	}
	for _, t := range found {
		if !so(t) {
			j.fail("expected %s %s; %s", e, what, j.about(t))
		}
	}
	return found
}

// unmanaged returns why the policy does not manage what a case names.
func (j *outcome) unmanaged(e access.Entitlement) string {
	if why := j.blocked[access.Fold(string(e))]; why != "" {
		return "the policy cannot manage it: " + why
	}
	var names []string
	for i := range j.bound.Targets {
		for _, name := range j.bound.Targets[i].Names {
			names = append(names, string(name))
		}
	}
	return "the policy gives and denies no such target" + suggestion(similarNames(string(e), names))
}

// checkHolds checks that exactly the targets of the list are held.
func (j *outcome) checkHolds() {
	if j.Expect.Holds == nil {
		return
	}
	listed := map[int]bool{}
	for _, e := range j.Expect.Holds {
		for _, t := range j.expect(e, "to be held", j.held) {
			listed[t] = true
		}
	}
	for i := range j.resolution.Wants {
		t := j.resolution.Wants[i].Target
		if target := &j.bound.Targets[t]; !listed[t] && j.held(t) && !target.Entitlement.Presence() {
			j.fail("expected %s not to be held; %s", target.Names[0], j.about(t))
		}
	}
}

// checkPresence checks what becomes of the person's being there.
func (j *outcome) checkPresence() {
	want := j.Expect.Presence
	if want == "" {
		return
	}
	got := j.presence()
	if got == want {
		return
	}
	about := "no rule and no grant speaks of presence"
	var parts []string
	for _, e := range []access.Entitlement{access.Directory, access.Organization} {
		if t, managed := j.bound.Target(e); managed {
			parts = append(parts, j.about(t))
		}
	}
	if len(parts) > 0 {
		about = strings.Join(slices.Compact(parts), "; ")
	}
	if want == PresenceRestored && !j.Suspended {
		about += "; a rule restores only whom Castellan suspended: suspendedByCastellan: true"
	}
	j.fail("expected presence %s, came %s; %s", want, got, about)
}

// presence returns what becomes of the person's being there, as plan.Decide plans it.
func (j *outcome) presence() Presence {
	want := func(e access.Entitlement) *policy.Want {
		if t, managed := j.bound.Target(e); managed && j.wants[t] != nil {
			return j.wants[t]
		}
		return &policy.Want{}
	}
	there := want(access.Directory)
	reasons := there.ReasonsToHold(nil)
	byRule := access.OnlyRules(reasons)
	switch p := &j.Case.Person; {
	case len(want(access.Organization).Denied) > 0:
		return PresenceRemoved
	case len(there.Denied) > 0:
		return PresenceSuspended
	case len(reasons) == 0 || len(there.Barred) > 0 || p.MembershipStatus == "active":
	case !byRule || j.Suspended && p.MembershipStatus == "suspended" && p.AccountStatus == "active":
		return PresenceRestored
	}
	return PresenceUntouched
}

// checkRules checks what rules say.
func (j *outcome) checkRules() {
	for _, want := range j.Expect.Rules {
		r := j.rule(want.Rule)
		if r == nil {
			j.fail("%s", j.noRule(want.Rule))
			continue
		}
		i := slices.IndexFunc(j.resolution.Rules, func(a policy.RuleAnswer) bool { return a.Name == r.Name })
		switch {
		case i < 0:
			j.fail("expected rule %s to say %s; %s", r.Name, want.Verdict, j.whySilent(r))
		case j.resolution.Rules[i].Verdict != want.Verdict:
			j.fail("expected rule %s to say %s; it says %s%s", r.Name, want.Verdict, j.resolution.Rules[i].Verdict,
				j.because(j.resolution.Rules[i]))
		}
	}
}
