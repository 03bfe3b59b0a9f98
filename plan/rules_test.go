package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

const rules = `- {name: m, from: [source-0], to: ['group:target-0']}
rules:
- {name: outside, mode: enforce, owner: o@acme.example, when: 'domain == "out.example"', deny: ['group:target-0', 'role:org-admin']}
- {name: evil, mode: enforce, owner: o@acme.example, when: 'domain == "evil.example"', suspend: true}
- {name: gone, mode: enforce, owner: o@acme.example, when: 'domain == "gone.example"', remove: true}
- {name: back, mode: enforce, when: 'domain == "acme.example"', restore: true}
- {name: extra, mode: enforce, when: 'in("source-1") && !mfa', give: ['group:target-2']}
- {name: idea, owner: o@acme.example, when: 'in("source-2")', deny: ['group:target-0'], give: ['group:target-3']}
`

func somebody(domain string, groups ...string) access.Person {
	no := false
	return access.Person{ID: ana, Email: "ana@" + domain, ClaimStatus: "managed", MembershipStatus: "active",
		AccountStatus: "active", MFA: &no, GroupIDs: append([]string{}, groups...)}
}

func labels(changes []access.Change) []string {
	var all []string
	for _, c := range changes {
		all = append(all, string(c.Action)+" "+string(c.Target))
	}
	return all
}

func TestDecideTakesNothingFromAnAdditiveTargetByRules(t *testing.T) {
	_, b := bind(t, `- {name: m, from: [source-0], to: ['group:target-0'], removals: never}
rules:
- {name: outside, mode: enforce, owner: o@acme.example, when: 'domain == "out.example"', deny: ['default:jira/acme/user']}
`)
	for name, holdings := range map[string][]access.Holding{"foreign": nil, "Castellan's own": {holding(true, why)}} {
		d := plan.Decide(b, somebody("out.example", "t0"), plan.State{Holdings: holdings}, run, now)
		require.Empty(t, d.Changes, name)
		require.Empty(t, d.Close, "%s: the books stay as they are", name)
	}
	require.Empty(t, plan.Decide(b, somebody("out.example", "s0"), plan.State{}, run, now).Changes,
		"nor is it given to whom it is denied")
	ruling := access.Ruling{Review: "r", Target: "group:target-0", Verdict: access.VerdictRemove,
		At: now.Add(-time.Hour)}
	d := plan.Decide(b, somebody("out.example", "t0"), plan.State{Rulings: []access.Ruling{ruling}}, run, now)
	require.Equal(t, []string{"remove group:target-0"}, labels(d.Changes), "a review takes it, whatever removals says")
}

func TestDecideRulesTurnsCountsWhatIsTurnedRound(t *testing.T) {
	write := func(action access.Action, state access.ChangeState) access.Change {
		return access.Change{Target: "group:target-0", Action: action, State: state}
	}
	added, removed := write(access.Add, access.Done), write(access.Remove, access.Done)
	elsewhere := access.Change{Target: "group:target-1", Action: access.Remove, State: access.Done}
	for want, writes := range map[int][][]access.Change{
		0: {nil, {added}, {added, added}, {elsewhere}, {write(access.Remove, access.Refused)},
			{write(access.Remove, access.Sent)}},
		1: {{removed}, {elsewhere, removed}},
		2: {{added, removed}, {added, elsewhere, removed}},
	} {
		for _, w := range writes {
			require.Equal(t, want, plan.Reversals(w,
				access.Change{Target: "group:TARGET-0", Action: access.Add, State: access.Planned}), "%v", w)
		}
	}
}

func TestDecideByRules(t *testing.T) {
	_, b := bind(t, rules)
	suspended := func(p access.Person) access.Person { p.MembershipStatus = "suspended"; return p }
	unknown := func(p access.Person) access.Person { p.MFA = nil; return p }
	rule := func(name string) []access.Reason { return []access.Reason{{Kind: access.ReasonRule, Name: name}} }
	extra := access.Holding{Person: ana, Target: "group:target-2", GroupID: "t2", Owned: true, Reasons: rule("extra")}
	ours := &access.Suspension{Person: ana}
	for name, tt := range map[string]struct {
		person access.Person
		state  plan.State
		want   []string
	}{
		"a mapping gives": {somebody("acme.example", "s0"), plan.State{},
			[]string{"add group:target-0"}},
		"a rule denies it": {somebody("out.example", "s0"), plan.State{}, nil},
		"a rule takes it from whoever holds it": {somebody("out.example", "s0", "t0"), plan.State{},
			[]string{"remove group:target-0"}},
		"whoever made it": {somebody("out.example", "t0"),
			plan.State{Holdings: []access.Holding{holding(false, nil)}}, []string{"remove group:target-0"}},
		"and makes sure": {somebody("out.example"),
			plan.State{Holdings: []access.Holding{holding(true, why)}}, []string{"remove group:target-0"}},
		"suspension beats gives": {somebody("evil.example", "s0", "s1"), plan.State{},
			[]string{"remove directory"}},
		"suspended already": {suspended(somebody("evil.example", "s0")), plan.State{}, nil},
		"who leaves keeps nothing to be taken": {somebody("gone.example", "s0", "s1", "t2"),
			plan.State{Holdings: []access.Holding{extra}}, []string{"remove organization"}},
		"gone already": {access.Person{ID: ana, Email: "a@gone.example",
			ClaimStatus: "managed", MembershipStatus: "no_membership"}, plan.State{}, nil},
		"restored, since we suspended": {suspended(somebody("acme.example")), plan.State{Suspension: ours},
			[]string{"add directory"}},
		"not restored, since somebody else did": {suspended(somebody("acme.example")), plan.State{}, nil},
		"a rule gives": {somebody("acme.example", "s1"), plan.State{},
			[]string{"add group:target-2"}},
		"and takes back": {somebody("acme.example", "t2"),
			plan.State{Holdings: []access.Holding{extra}}, []string{"remove group:target-2"}},
		"not while it cannot be told": {unknown(somebody("acme.example", "s1", "t2")),
			plan.State{Holdings: []access.Holding{extra}}, nil},
		"which is no reason for anything new": {unknown(somebody("acme.example", "s1")), plan.State{}, nil},
		"what it did not give it does not keep": {unknown(somebody("acme.example", "s1", "t2")),
			plan.State{Holdings: []access.Holding{{Person: ana, Target: "group:target-2", GroupID: "t2", Owned: true}}},
			[]string{"remove group:target-2"}},
		"a rule that observes does nothing": {somebody("acme.example", "s0", "s2", "t0"),
			plan.State{Holdings: []access.Holding{holding(true, why)}}, nil},
		"an address that is not shown": {access.Person{ID: ana, GroupIDs: []string{"s0"},
			ClaimStatus: "managed"}, plan.State{}, nil},
		"and what is held stays": {access.Person{ID: ana, GroupIDs: []string{"s0", "t0"},
			ClaimStatus: "managed", MembershipStatus: "active"},
			plan.State{Holdings: []access.Holding{holding(true, why)}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := plan.Decide(b, tt.person, tt.state, run, now)
			require.Equal(t, tt.want, labels(d.Changes))
			for _, h := range append(d.Open, d.Close...) {
				require.False(t, h.Target.Presence(), "that somebody is there is on nobody's books")
			}
		})
	}
	lost := plan.Decide(b, somebody("evil.example", "t0", "t1", "other"), plan.State{}, run, now).Changes
	require.Equal(t, []string{"confluence/acme", "jira-software/acme"}, lost[0].Loses,
		"whoever is suspended loses every app")
	require.Empty(t, plan.Decide(b, somebody("out.example", "s0"), plan.State{}, run, now).Conflicts,
		"that is what a rule is for")
	_, b = bind(t, rules+"- {name: fan, mode: enforce, when: managed, give: ['group:target-0']}\n")
	fights := plan.Decide(b, somebody("out.example"), plan.State{}, run, now).Conflicts
	require.Equal(t, []plan.Conflict{{Target: group, Gives: rule("fan")[0], Denies: "outside"}}, fights)
}

func TestDecideRulesWhatObservesIsShown(t *testing.T) {
	_, b := bind(t, rules)
	p := somebody("acme.example", "s0", "s2", "t0")
	s := plan.State{Holdings: []access.Holding{holding(true, why)}}
	is := plan.Decide(b, p, s, run, now)
	s.Would = true
	shown := plan.ObservedChanges(is, plan.Decide(b, p, s, run, now))
	require.Equal(t, []string{"remove group:target-0", "add group:target-3"}, labels(shown))
	require.Equal(t, access.Observed, shown[0].State)
	require.Empty(t, plan.ObservedChanges(is, is))
}

func TestDecideRulesMarksFollowTheRules(t *testing.T) {
	_, b := bind(t, strings.Replace(rules, "suspend: true}", "suspend: true, after: 1d}", 1))
	evil := somebody("evil.example")
	d := plan.Decide(b, evil, plan.State{}, run, now)
	require.Len(t, d.Mark, 1)
	require.Equal(t, now, d.Mark[0].Since)
	require.Empty(t, d.Changes)
	later := now.Add(24 * time.Hour)
	d = plan.Decide(b, evil, plan.State{Marks: d.Mark}, run, later)
	require.Empty(t, d.Mark, "it stands already")
	require.Equal(t, []string{"remove directory"}, labels(d.Changes))
	marks := []access.RuleMatch{{Person: ana, Rule: d.Rules[0].Key, Since: now}}
	evil.Email = ""
	require.Empty(t, plan.Decide(b, evil, plan.State{Marks: marks}, run, later).Unmark,
		"what cannot be told keeps its time")
	d = plan.Decide(b, somebody("acme.example"),
		plan.State{Marks: append(marks, access.RuleMatch{Person: ana, Rule: "a rule of old"})}, run, later)
	require.Equal(t, []string{marks[0].Rule, "a rule of old"}, d.Unmark)
}

func TestDecideRulesSuspensionsEndWhenSomebodyElseRestores(t *testing.T) {
	_, b := bind(t, rules)
	ours := &access.Suspension{Person: ana}
	require.True(t, plan.Decide(b, somebody("acme.example"), plan.State{Suspension: ours}, run, now).Unsuspend)
	just := plan.State{Suspension: ours,
		Recent: []access.Change{{Person: ana, Target: access.Directory, Action: access.Remove,
			State: access.Done, At: now}}}
	d := plan.Decide(b, somebody("evil.example"), just, run, now)
	require.False(t, d.Unsuspend, "the read lags")
	require.Empty(t, d.Changes)
}

func TestGuardHoldsRulesThatAreNew(t *testing.T) {
	p, b := bind(t, rules+"guard: {adopt: auto}\n")
	byRule := func(names ...string) access.Change {
		c := access.Change{Person: ana, Target: access.Directory, Action: access.Remove}
		for _, name := range names {
			c.Reasons = append(c.Reasons, access.Reason{Kind: access.ReasonRule, Name: name})
		}
		return c
	}
	s := plan.NewStats(b)
	s.Fresh = []plan.FreshRule{{Name: "evil", Lines: 3, Plan: "sha256:a", Seen: "sha256:a"},
		{Name: "gone", Lines: 1, Plan: "sha256:b", Agreed: "sha256:c"}}
	vs := plan.Judge(p, b, s)
	require.Contains(t, vs[0].Detail,
		"rule evil is enforced for the first time; its changes: 3, sha256:a, which is exactly what it was last shown to do")
	require.Contains(t, vs[1].Detail, "which is not what the policy agreed to (shown: sha256:c)")
	fresh := []string{plan.RuleRuleNew}
	require.Equal(t, fresh, plan.HeldBy(vs, b, byRule("evil")))
	require.Equal(t, fresh, plan.HeldBy(vs, b, byRule("evil", "gone")))
	require.Empty(t, plan.HeldBy(vs, b, byRule("evil", "outside")), "a rule that was consented to asks for it too")
	require.Empty(t, plan.HeldBy(vs, b, byRule("outside")))
	given := byRule("evil")
	given.Action, given.Reasons = access.Add, append(given.Reasons, why...)
	require.Empty(t, plan.HeldBy(vs, b, given), "a mapping gives it too")
}

func TestGuardHoldsWhatFlaps(t *testing.T) {
	p, b := bind(t, owning+"guard: {adopt: auto}\n")
	s := plan.NewStats(b)
	s.Flaps = []plan.Flap{{Person: ana, Label: "ana@acme.example", Target: group, Times: 4, Last: "mapping m",
		Now: "remove, by rule outside"}}
	vs := plan.Judge(p, b, s)
	require.Contains(t, vs[0].Detail,
		"ana@acme.example in group:target-0 was changed 4 times within 7 days, last by mapping m; the next change would be: remove, by rule outside")
	for _, action := range []access.Action{access.Add, access.Remove} {
		require.Equal(t, []string{plan.RuleFlapping},
			plan.HeldBy(vs, b, access.Change{Person: ana, Target: group, Action: action}))
		require.Empty(t, plan.HeldBy(vs, b, access.Change{Person: "bo", Target: group, Action: action}))
	}
}

// Whatever the rules: what a plan does needs no second plan, nobody is given what is denied, nobody loses presence but
// by a rule, and what cannot be told takes nothing.
func TestDecideRulesRulesAlwaysHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawRules(t)
		p := drawSimulatedPerson(t, b)
		p.person.MembershipStatus, p.person.AccountStatus = "active", "active"
		if rapid.Bool().Draw(t, "hidden") {
			p.person.Email = ""
		}
		state := p.state()
		d := plan.Decide(b, p.person, state, run, now)
		denied, unsure := map[access.Entitlement]bool{}, map[access.Entitlement]bool{}
		for _, want := range b.Resolve(p.person, policy.Known{Now: now}).Wants {
			denied[b.Targets[want.Target].Entitlement] = len(want.Denied) > 0
			unsure[b.Targets[want.Target].Entitlement] = len(want.Denied) == 0 && len(want.Barred) > 0
		}
		for _, c := range d.Changes {
			switch {
			case c.Action == access.Add:
				require.False(t, denied[c.Target] || unsure[c.Target], c.Label())
			case c.Target.Presence():
				require.True(t, denied[c.Target], c.Label())
				require.True(t, access.OnlyRules(c.Reasons))
			case denied[c.Target]:
				require.True(t, access.OnlyRules(c.Reasons))
			}
		}
		if slices.ContainsFunc(d.Changes, func(c access.Change) bool { return c.Target.Presence() }) {
			return // whoever leaves is no longer shown
		}
		p.apply(t, d)
		again := plan.Decide(b, p.person, p.state(), run, now)
		require.Empty(t, again.Changes)
	})
}

func drawRules(t *rapid.T) *policy.Bound {
	var text strings.Builder
	targets := []string{"group:target-0", "group:target-1", "group:target-2", "role:org-admin"}
	conditions := []string{`in("source-0")`, `in("source-1") && managed`, `domain == "acme.example"`, `!in("source-2")`,
		`external`, `emailVerified`, `mfa`}
	for i := range rapid.IntRange(1, 5).Draw(t, "rules") {
		when := rapid.SampledFrom(conditions).Draw(t, "when")
		action := rapid.SampledFrom([]string{"give", "deny", "suspend", "remove"}).Draw(t, "action")
		what := fmt.Sprintf("%s: ['%s']", action, rapid.SampledFrom(targets).Draw(t, "target"))
		if action == "suspend" || action == "remove" {
			what = action + ": true"
		}
		fmt.Fprintf(&text, "- {name: r%d, mode: enforce, owner: o@acme.example, when: '%s', %s}\n", i, when, what)
	}
	_, b := bind(t, "- {name: m0, from: ['source-*'], to: ['group:target-0', 'group:target-3']}\nrules:\n"+
		text.String())
	return b
}
