package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// campaign reviews every group of the outline that no identity provider owns, and presence, beside a policy.
const campaign = "reviews: [{name: all, owner: o@acme.example, scope: {targets: ['group:*', directory]}, stages: [{reviewers: [owner]}]}]\n"

// verdict returns what review q1 says of a target, in force until something else is known.
func verdict(v access.Verdict, target access.Entitlement) access.Ruling {
	return access.Ruling{Review: "q1", Person: ana, Target: target, Verdict: v, At: now.Add(-time.Hour)}
}

func keeps(target access.Entitlement) []access.Ruling {
	return []access.Ruling{verdict(access.VerdictKeep, target)}
}

func takes(target access.Entitlement) []access.Ruling {
	return []access.Ruling{verdict(access.VerdictRemove, target)}
}

var reviewed = []access.Reason{{Kind: access.ReasonReview, Name: "q1"}}

func TestDecideOnReviews(t *testing.T) {
	both := []access.Reason{why[0], reviewed[0]}
	lent := []access.Reason{{Kind: access.ReasonGrant, Name: "g1"}}
	over := func(rs []access.Ruling) []access.Ruling { rs[0].Until = now; return rs }
	remove, add := []access.Action{access.Remove}, []access.Action{access.Add}
	just := func(action access.Action) []access.Change { return []access.Change{done(action, 1)} }
	tests := map[string]struct {
		policy  string
		groups  []string
		holding *access.Holding
		state   plan.State
		actions []access.Action
		reasons []access.Reason // of the change
		opens   []access.Reason // of the holding that begins; nil: none does
		closes  int
		foreign int
	}{
		"keep, not held": {policy: owning, state: plan.State{Rulings: keeps(group)}},
		"keep, not held, on the books": {policy: owning, holding: foreign(why),
			state: plan.State{Rulings: keeps(group)}, closes: 1},
		"keep, ours and not seen": {policy: owning, holding: owned(why),
			state: plan.State{Rulings: keeps(group)}},
		"keep, lent by us and not seen": {policy: lendable(owning, "remove"), holding: owned(lent),
			state: plan.State{Rulings: keeps(group)}},
		"keep, just removed": {policy: owning, groups: []string{"t0"},
			state: plan.State{Rulings: keeps(group), Recent: just(access.Remove)}},
		"keep, given and not held": {policy: owning, groups: []string{"s0"},
			state: plan.State{Rulings: keeps(group)}, actions: add, reasons: why},
		"keep, given, ours and not seen": {policy: owning, groups: []string{"s0"}, holding: owned(both),
			state: plan.State{Rulings: keeps(group)}, actions: add, reasons: why},
		"keep, ours": {policy: owning, groups: []string{"t0"}, holding: owned(why),
			state: plan.State{Rulings: keeps(group)}, opens: reviewed, closes: 1},
		"keep, ours and known": {policy: owning, groups: []string{"t0"}, holding: owned(reviewed),
			state: plan.State{Rulings: keeps(group)}},
		"keep, somebody else's": {policy: all, groups: []string{"t0"}, holding: foreign(nil),
			state: plan.State{Rulings: keeps(group)}, opens: reviewed, closes: 1},
		"keep, somebody else's, to adopt": {policy: adopting, groups: []string{"t0"}, holding: foreign(reviewed),
			state: plan.State{Rulings: keeps(group)}},
		"keep beside a mapping": {policy: owning, groups: []string{"s0", "t0"}, holding: owned(why),
			state: plan.State{Rulings: keeps(group)}, opens: both, closes: 1},
		"keep of what was lent": {policy: lendable(owning, "remove"), groups: []string{"t0"},
			holding: owned(lent), state: plan.State{Rulings: keeps(group)}, opens: reviewed, closes: 1},
		"keep that is over": {policy: owning, groups: []string{"t0"}, holding: owned(reviewed),
			state: plan.State{Rulings: over(keeps(group))}, actions: remove, reasons: reviewed},
		"remove, ours": {policy: owning, groups: []string{"t0"}, holding: owned(why),
			state: plan.State{Rulings: takes(group)}, actions: remove, reasons: reviewed},
		"remove, somebody else's": {policy: owning, groups: []string{"t0"}, holding: foreign(nil),
			state: plan.State{Rulings: takes(group)}, actions: remove, reasons: reviewed},
		"remove, whatever the mode": {policy: never, groups: []string{"t0"}, holding: foreign(nil),
			state: plan.State{Rulings: takes(group)}, actions: remove, reasons: reviewed},
		"remove, whatever gives it": {policy: owning, groups: []string{"s0", "t0"}, holding: owned(why),
			state: plan.State{Rulings: takes(group)}, actions: remove, reasons: reviewed},
		"remove, whatever lends it": {policy: lendable(owning, "remove"), groups: []string{"t0"},
			holding: owned(lent), state: plan.State{Rulings: takes(group),
				Grants: []access.Grant{lease("g1", time.Hour)}}, actions: remove, reasons: reviewed},
		"remove, whatever else lets it be kept": {policy: owning, groups: []string{"t0"}, holding: foreign(nil),
			state: plan.State{Rulings: append(keeps(group), takes(group)...)}, actions: remove, reasons: reviewed},
		"remove, ours and not seen": {policy: owning, holding: owned(why),
			state: plan.State{Rulings: takes(group)}, actions: remove, reasons: reviewed},
		"removed, and still given": {policy: owning, groups: []string{"s0"},
			state: plan.State{Rulings: takes(group)}},
		"removed, and the read lags": {policy: owning, groups: []string{"s0", "t0"},
			state: plan.State{Rulings: takes(group), Recent: just(access.Remove)}},
		"remove that is over": {policy: owning, groups: []string{"t0"}, holding: foreign(nil),
			state: plan.State{Rulings: over(takes(group))}, foreign: 1},
		"remove that is over, and given": {policy: owning, groups: []string{"s0"},
			state: plan.State{Rulings: over(takes(group))}, actions: add, reasons: why},
		"remove that a person rejected": {policy: owning, groups: []string{"t0"}, holding: foreign(nil),
			state: plan.State{Rulings: takes(group),
				Rejected: []access.Change{{Person: ana, Target: group, Action: access.Remove}}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, b := bind(t, tt.policy)
			if tt.holding != nil {
				tt.state.Holdings = []access.Holding{*tt.holding}
			}
			d := plan.Decide(b, access.Person{ID: ana, GroupIDs: tt.groups}, tt.state, run, now)
			var actions []access.Action
			for _, c := range d.Changes {
				actions = append(actions, c.Action)
				require.Equal(t, tt.reasons, c.Reasons)
				require.False(t, c.Lapse(), "it counts against every limit")
			}
			require.Equal(t, tt.actions, actions)
			require.Len(t, d.Close, tt.closes)
			require.Equal(t, tt.foreign, d.Foreign)
			require.Empty(t, d.Conflicts)
			if tt.opens == nil {
				require.Empty(t, d.Open)
				return
			}
			require.Len(t, d.Open, 1)
			require.Equal(t, tt.opens, d.Open[0].Reasons)
			require.Equal(t, tt.holding.Owned, d.Open[0].Owned, "a keep never adopts")
		})
	}
}

// A removal of presence suspends; whether somebody is restored is not a review's to say.
func TestDecideReviewsOfPresence(t *testing.T) {
	_, b := bind(t, rules+"grants: [{name: g, targets: [directory], duration: {max: 8h}}]\n"+campaign)
	active, suspended := somebody("acme.example", "t0"), somebody("acme.example", "t0")
	suspended.MembershipStatus = "suspended"
	ours := &access.Suspension{Person: ana}
	presence := func(owned bool) []access.Holding {
		return []access.Holding{{Person: ana, Target: access.Directory, Owned: owned,
			Reasons: []access.Reason{{Kind: access.ReasonGrant, Name: "g1"}}}}
	}
	present := lease("g1", time.Hour)
	present.Target = access.Directory
	for name, tt := range map[string]struct {
		person access.Person
		state  plan.State
		want   []string // labels
	}{
		"kept": {active, plan.State{Rulings: keeps(access.Directory)}, nil},
		"kept, and suspended by us": {somebodySuspended("in.example"),
			plan.State{Rulings: keeps(access.Directory), Suspension: ours}, nil},
		"kept, and suspended by others": {suspended, plan.State{Rulings: keeps(access.Directory)}, nil},
		"kept, and a rule restores": {suspended, plan.State{Rulings: keeps(access.Directory), Suspension: ours},
			[]string{"restore ana@acme.example"}},
		"kept, and a grant was over": {somebodySuspended("in.example"),
			plan.State{Rulings: keeps(access.Directory), Holdings: presence(true)}, nil},
		"taken": {active, plan.State{Rulings: takes(access.Directory)},
			[]string{"suspend ana@acme.example"}},
		"taken, whatever lends it": {active,
			plan.State{Rulings: takes(access.Directory), Holdings: presence(true), Grants: []access.Grant{present}},
			[]string{"suspend ana@acme.example"}},
		"taken already": {suspended, plan.State{Rulings: takes(access.Directory), Suspension: ours},
			nil},
		"over": {suspended,
			plan.State{Rulings: []access.Ruling{{Target: access.Directory, Verdict: access.VerdictRemove, Until: now}}},
			nil},
		"over, of whom a rule may restore": {suspended,
			plan.State{Rulings: []access.Ruling{{Target: access.Directory, Verdict: access.VerdictRemove, Until: now}},
				Suspension: ours},
			[]string{"restore ana@acme.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := plan.Decide(b, tt.person, tt.state, run, now)
			var got []string
			for _, c := range d.Changes {
				got = append(got, c.Label())
				require.NotEqual(t, access.Add == c.Action, slices.Contains(c.Reasons, reviewed[0]),
					"a review takes and never gives")
			}
			require.Equal(t, tt.want, got)
			for _, h := range append(d.Open, d.Close...) {
				require.False(t, h.Target.Presence(), "that somebody is there is on nobody's books")
			}
		})
	}
	lost := plan.Decide(b, active, plan.State{Rulings: takes(access.Directory)}, run, now).Changes
	require.Equal(t, []string{"jira-software/acme"}, lost[0].Loses, "who is suspended loses every app")
}

func somebodySuspended(domain string) access.Person {
	p := somebody(domain)
	p.MembershipStatus = "suspended"
	return p
}

// A rule that gives and a review that takes do not fight: that is what a review is for.
func TestDecideReviewsAndRulesDoNotConflict(t *testing.T) {
	_, b := bind(t, rules)
	d := plan.Decide(b, somebody("acme.example", "s1", "t2"), plan.State{Rulings: takes("group:target-2")}, run, now)
	require.Equal(t, []string{"remove group:target-2"}, labels(d.Changes))
	require.Equal(t, reviewed, d.Changes[0].Reasons)
	require.Empty(t, d.Conflicts)

	_, b = bind(t, rules+"- {name: fan, mode: enforce, when: managed, give: ['group:target-0']}\n")
	d = plan.Decide(b, somebody("out.example", "t0"), plan.State{Rulings: takes(group)}, run, now)
	require.Equal(t, []access.Reason{reviewed[0], {Kind: access.ReasonRule, Name: "outside"}}, d.Changes[0].Reasons)
	require.Equal(t, []plan.Conflict{{Target: group, Gives: access.Reason{Kind: access.ReasonRule, Name: "fan"},
		Denies: "outside"}}, d.Conflicts)
}

// What a rule gives for the first time waits for consent, also where a review lets it be kept.
func TestDecideReviewsKeepTakesNothingFromTheGuard(t *testing.T) {
	p, b := bind(t, rules+"guard: {adopt: auto}\n")
	d := plan.Decide(b, somebody("acme.example", "s1"), plan.State{Rulings: keeps("group:target-2")}, run, now)
	require.Equal(t, []string{"add group:target-2"}, labels(d.Changes))
	s := plan.NewStats(b)
	s.Fresh = []plan.FreshRule{{Name: "extra", Lines: 1, Plan: "sha256:a"}}
	require.Equal(t, []string{plan.RuleRuleNew}, plan.HeldBy(plan.Judge(p, b, s), b, d.Changes[0]))
}

// However many groups a campaign names, the share of all else that a run may take stays what it was; and what a review
// takes counts as every removal does.
func TestDecideReviewsWeakenNoLimit(t *testing.T) {
	share := func(more string, changes ...access.Change) []plan.Verdict {
		p, b := bind(t, owning+more+"guard: {adopt: auto, run: {share: 10%, atLeast: 1}, target: {share: 100%}, window: {share: 100%}}\n")
		s := plan.NewStats(b)
		s.Add(changes)
		return plan.Judge(p, b, s)
	}
	five := lines(access.Remove, group, 5)
	before, after := share("", five...), share(campaign, five...)
	require.Equal(t, "the run would remove 5 of 40 memberships; the limit is 10% (guard.run.share)", before[0].Detail)
	require.Equal(t, before, after, "four more groups of 40 stand beside it")
	other := lines(access.Remove, "group:target-1", 21)
	require.Equal(t, "the run would remove 21 of 200 memberships; the limit is 10% (guard.run.share)",
		share(campaign, other...)[0].Detail)
	require.Empty(t, share(campaign, other[:20]...),
		"a campaign that takes little is not measured by what it does not take from")
	require.Len(t, share(campaign, append(five, other...)...), 1, "a limit is named once")
}

// drawReviewed returns a policy of mappings, rules and grants that are reviewed, bound.
func drawReviewed(t *rapid.T) *policy.Bound {
	text := drawMappings(t)
	if rapid.Bool().Draw(t, "lend") {
		text += "grants: [{name: g, targets: ['group:target-0', 'group:target-3', directory], duration: {max: 8h}}]\n"
	}
	if rapid.Bool().Draw(t, "rule") {
		text += "rules:\n- {name: r, mode: enforce, when: 'in(\"source-3\")', give: ['group:target-3']}\n- {name: s, mode: enforce, when: 'in(\"source-3\")', restore: true}\n"
	}
	_, b := bind(t, text+campaign)
	return b
}

// drawLife returns what is known of a person of whom reviews may have decided, and of what may have been lent and been
// written.
func drawLife(t *rapid.T, b *policy.Bound) (*simulatedPerson, plan.State) {
	p := drawSimulatedPerson(t, b)
	for i := range p.holdings {
		p.holdings[i].Reasons = rapid.SampledFrom([][]access.Reason{nil, why, reviewed,
			{{Kind: access.ReasonGrant, Name: "g1"}}}).Draw(t, "held for")
	}
	s := p.state()
	if rapid.Bool().Draw(t, "suspended by us") {
		s.Suspension = &access.Suspension{Person: ana}
	}
	for _, target := range b.Targets {
		if rapid.IntRange(0, 3).Draw(t, "lease") == 0 {
			g := lease("g1", time.Duration(rapid.IntRange(-2, 2).Draw(t, "hours"))*time.Hour+1)
			g.Target = target.Entitlement
			s.Grants = append(s.Grants, g)
		}
		if rapid.IntRange(0, 3).Draw(t, "write") == 0 {
			s.Recent = append(s.Recent, access.Change{
				Person: ana, Target: target.Entitlement, GroupID: target.GroupID, State: access.Done, At: now,
				Action: rapid.SampledFrom([]access.Action{access.Add, access.Remove}).Draw(t, "written"),
			})
		}
	}
	return p, s
}

// drawRulings returns what reviews said of some targets, by a name that each goes by.
func drawRulings(t *rapid.T, b *policy.Bound, verdicts ...access.Verdict) []access.Ruling {
	var all []access.Ruling
	for _, target := range b.Targets {
		if !rapid.Bool().Draw(t, "ruled") {
			continue
		}
		all = append(all, access.Ruling{
			Review: fmt.Sprint("q", rapid.IntRange(1, 2).Draw(t, "review")), Person: ana,
			Verdict: rapid.SampledFrom(verdicts).Draw(t, "verdict"),
			Target: rapid.SampledFrom(append([]access.Entitlement{target.Entitlement}, target.Names...)).Draw(t,
				"name"),
			Until: rapid.SampledFrom([]time.Time{{}, now.Add(1), now.Add(time.Hour)}).Draw(t, "until"),
		})
	}
	return all
}

// Whatever else is known of a person: that they may keep something adds nothing and takes nothing. It only spares.
func TestDecideReviewsKeepNeverAdds(t *testing.T) {
	spared := 0
	one := func(t *rapid.T) {
		b := drawReviewed(t)
		p, s := drawLife(t, b)
		given := map[access.Entitlement][]access.Reason{}
		inForce := slices.DeleteFunc(slices.Clone(s.Grants), func(g access.Grant) bool { return !g.InForce(now) })
		for _, want := range b.Resolve(p.person, policy.Known{Grants: inForce, Now: now}).Wants {
			given[b.Targets[want.Target].Entitlement] = want.Reasons
		}
		without := plan.Decide(b, p.person, s, run, now).Changes
		s.Rulings = drawRulings(t, b, access.VerdictKeep)
		kept := map[int]bool{}
		for _, r := range s.Rulings {
			for _, i := range b.AllTargets(r.Target) {
				kept[i] = true
			}
		}
		for _, c := range plan.Decide(b, p.person, s, run, now).Changes {
			i, _ := b.Target(c.Target)
			switch c.Action {
			case access.Add:
				require.NotEmpty(t, c.Reasons)
				require.Subset(t, given[c.Target], c.Reasons, "it is given by others alone")
			case access.Remove:
				require.False(t, kept[i], c.Label())
				require.Contains(t, labels(without), string(c.Action)+" "+string(c.Target))
			}
		}
		for _, c := range without {
			if i, _ := b.Target(c.Target); c.Action == access.Remove && kept[i] {
				spared++
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 20 { // the keep that spares somebody is rare
			one(t)
		}
	})
	require.Positive(t, spared)
}

// Whatever gives it, whoever made it: nobody ends up holding what a review in force takes.
func TestDecideReviewsNobodyHoldsWhatAReviewTakes(t *testing.T) {
	removed := 0
	rapid.Check(t, func(t *rapid.T) {
		b := drawReviewed(t)
		p, s := drawLife(t, b)
		s.Rejected, s.Recent, p.rejected = nil, nil, nil
		s.Rulings = drawRulings(t, b, access.VerdictRemove, access.VerdictRemove, access.VerdictKeep)
		denied := map[int]bool{}
		for _, r := range s.Rulings {
			for _, i := range b.AllTargets(r.Target) {
				denied[i] = denied[i] || r.Verdict == access.VerdictRemove
			}
		}
		d := plan.Decide(b, p.person, s, run, now)
		for _, c := range d.Changes {
			if i, _ := b.Target(c.Target); denied[i] {
				require.Equal(t, access.Remove, c.Action, c.Label())
				require.Equal(t, access.ReasonReview, c.Reasons[0].Kind)
				removed++
			}
		}
		if p.person.IsApp() {
			require.Empty(t, d.Changes)
			return
		}
		for i, is := range denied {
			held, known := b.Holds(p.person, i)
			asked := slices.ContainsFunc(d.Changes,
				func(c access.Change) bool { return c.Target == b.Targets[i].Entitlement })
			require.False(t, is && held && known && !asked, b.Targets[i].Entitlement)
		}
		p.apply(t, d)
		if slices.ContainsFunc(d.Changes,
			func(c access.Change) bool { return c.Target == access.Directory && c.Action == access.Remove }) {
			p.person.MembershipStatus = "suspended"
		}
		for i, is := range denied {
			held, _ := b.Holds(p.person, i)
			require.False(t, is && held, b.Targets[i].Entitlement)
		}
	})
	require.Positive(t, removed)
}

// What is over is as if it had never been said.
func TestDecideReviewsRulingsThatAreOverChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawReviewed(t)
		p, s := drawLife(t, b)
		without := plan.Decide(b, p.person, s, run, now)
		s.Rulings = drawRulings(t, b, access.VerdictKeep, access.VerdictRemove)
		for i := range s.Rulings {
			s.Rulings[i].Until = now.Add(-time.Duration(rapid.IntRange(0, 5).Draw(t, "ago")))
		}
		require.Equal(t, without, plan.Decide(b, p.person, s, run, now))
	})
}

// What only reviews name changes by a ruling alone, whatever the books say of it.
func TestDecideReviewsWhatOnlyReviewsNameStaysAsItIs(t *testing.T) {
	only := 0
	rapid.Check(t, func(t *rapid.T) {
		b := drawReviewed(t)
		p, s := drawLife(t, b)
		// of what was lent, the ledger says so at Bind
		s.Grants = slices.DeleteFunc(s.Grants, func(g access.Grant) bool {
			i, _ := b.Target(g.Target)
			return b.Targets[i].Reviewed
		})
		for _, c := range plan.Decide(b, p.person, s, run, now).Changes {
			i, _ := b.Target(c.Target)
			require.False(t, b.Targets[i].Reviewed, c.Label())
		}
		for i := range b.Targets {
			if b.Targets[i].Reviewed {
				only++
			}
		}
	})
	require.Positive(t, only)
}

// Once what a review asks for is done, nothing is left to do.
func TestDecideReviewsRulingsAreCarriedOutOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawReviewed(t)
		p := drawSimulatedPerson(t, b)
		p.person.MembershipStatus = "active" // these tests are about groups: nobody comes or goes
		p.holdings = slices.DeleteFunc(p.holdings, func(h access.Holding) bool { return h.Target == access.Directory })
		s := p.state()
		s.Rulings = slices.DeleteFunc(drawRulings(t, b, access.VerdictKeep, access.VerdictRemove),
			func(r access.Ruling) bool {
				return r.Target == access.Directory
			})
		p.apply(t, plan.Decide(b, p.person, s, run, now))
		again := p.state()
		again.Rulings = s.Rulings
		require.Empty(t, plan.Decide(b, p.person, again, run, now).Changes)
	})
}
