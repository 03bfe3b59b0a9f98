package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
)

// lendable lets target-0 be granted, beside what its mapping says.
func lendable(mapping, lost string) string {
	return mapping + "grants:\n- {name: g, targets: ['group:target-0'], duration: {max: 8h}, lost: " + lost + "}\n"
}

// lease returns a grant that began an hour ago and is over at an instant from now.
func lease(id string, over time.Duration) access.Grant {
	return access.Grant{ID: id, Person: ana, Target: group, State: access.GrantGranted, From: now.Add(-time.Hour),
		Until: now.Add(over)}
}

func TestDecideOnGrants(t *testing.T) {
	lent := []access.Reason{{Kind: access.ReasonGrant, Name: "g1"}}
	both := []access.Reason{lent[0], why[0]}
	waiting, ended, ahead := lease("g1", time.Hour), lease("g1", -plan.GrantGrace), lease("g2", 2*time.Hour)
	waiting.State, waiting.From, waiting.Until = access.GrantWaiting, time.Time{}, time.Time{}
	ended.State = access.GrantEnded
	ahead.From = now.Add(time.Hour)
	justOver, over := lease("g1", -plan.GrantGrace+1), lease("g1", -plan.GrantGrace)
	remove, add := []access.Action{access.Remove}, []access.Action{access.Add}
	tests := map[string]struct {
		policy  string
		person  access.Person
		holding *access.Holding
		grants  []access.Grant
		actions []access.Action
		reasons []access.Reason // of the change
		opens   []access.Reason // of the holding that begins; nil: none does
		closes  int
		foreign int
	}{
		"in force": {policy: lendable(owning, "remove"), grants: []access.Grant{lease("g1", 1)},
			actions: add, reasons: lent},
		"in force, and held by it": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{lease("g1", 1)}},
		"in force, held, and given by hand": {policy: lendable(owning, "remove"), person: in("t0"),
			holding: foreign(nil), grants: []access.Grant{lease("g1", 1)},
			opens: lent, closes: 1},
		"in force beside a mapping": {policy: lendable(owning, "remove"), person: in("s0"),
			grants: []access.Grant{lease("g1", 1)}, actions: add, reasons: both},
		"in force, of somebody suspended": {policy: lendable(owning, "remove"),
			person: access.Person{ID: ana, MembershipStatus: "suspended"}, grants: []access.Grant{lease("g1", 1)}},
		"in force, whatever the mode": {policy: lendable(never, "remove"), grants: []access.Grant{lease("g1", 1)},
			actions: add, reasons: lent},
		"two in force": {policy: lendable(owning, "remove"),
			grants: []access.Grant{lease("g1", 1), lease("g2", 1)}, actions: add,
			reasons: []access.Reason{lent[0], {Kind: access.ReasonGrant, Name: "g2"}}},
		"waiting":        {policy: lendable(owning, "remove"), grants: []access.Grant{waiting}},
		"to begin later": {policy: lendable(owning, "remove"), grants: []access.Grant{ahead}},
		"just over": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{justOver}},
		"just over and not seen": {policy: lendable(owning, "remove"), holding: owned(lent),
			grants: []access.Grant{justOver}},
		"over": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{over}, actions: remove, reasons: lent},
		"over, ended early": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{ended}, actions: remove, reasons: lent},
		"over and not seen": {policy: lendable(owning, "remove"), holding: owned(lent),
			grants: []access.Grant{over}, actions: remove, reasons: lent},
		"over and settled by mistake": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(lent),
			actions: remove, reasons: lent},
		"over, another begins later": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{over, ahead}, actions: remove, reasons: lent},
		"over, another in force": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{over, lease("g2", 1)},
			opens:  []access.Reason{{Kind: access.ReasonGrant, Name: "g2"}}, closes: 1},
		"over, to hold": {policy: lendable(owning, "hold"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{over}, actions: remove, reasons: lent},
		"over, to report": {policy: lendable(owning, "report"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{over}},
		"over, whatever the mode": {policy: lendable(never, "remove"), person: in("t0"), holding: owned(lent),
			grants: []access.Grant{over}, actions: remove, reasons: lent},
		"over, given by hand": {policy: lendable(owning, "remove"), person: in("t0"),
			holding: foreign(lent), grants: []access.Grant{over}, opens: []access.Reason{}, closes: 1, foreign: 1},
		"over, and a mapping stands": {policy: lendable(owning, "remove"), person: in("s0", "t0"),
			holding: owned(both), grants: []access.Grant{over}, opens: why, closes: 1},
		"over, and a mapping ended too": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(both),
			grants: []access.Grant{over}, actions: remove, reasons: both},
		"over, and a mapping, never mode": {policy: lendable(never, "remove"), person: in("t0"), holding: owned(both),
			grants: []access.Grant{over}, opens: []access.Reason{}, closes: 1},
		"an app is not touched": {policy: lendable(owning, "remove"),
			person: access.Person{ID: ana, AccountType: "app", GroupIDs: []string{"t0"}}, holding: owned(lent),
			grants: []access.Grant{over}},
		"over, and the policy forgot it": {policy: owning, person: in("t0"), holding: owned(lent),
			grants: []access.Grant{over}, actions: remove, reasons: lent},
		"just over, and a mapping is over": {policy: lendable(owning, "remove"), person: in("t0"), holding: owned(both),
			grants: []access.Grant{justOver}, actions: remove, reasons: both},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, b := bind(t, tt.policy)
			tt.person.ID = ana
			s := plan.State{Grants: tt.grants}
			if tt.holding != nil {
				s.Holdings = []access.Holding{*tt.holding}
			}
			d := plan.Decide(b, tt.person, s, run, now)
			var actions []access.Action
			for _, c := range d.Changes {
				actions = append(actions, c.Action)
				require.Equal(t, tt.reasons, c.Reasons)
				require.Equal(t, c.Action == access.Remove && len(tt.reasons) == 1, c.Lapse())
			}
			require.Equal(t, tt.actions, actions)
			require.Len(t, d.Close, tt.closes)
			require.Equal(t, tt.foreign, d.Foreign)
			if tt.opens == nil {
				require.Empty(t, d.Open)
				return
			}
			require.Len(t, d.Open, 1)
			require.ElementsMatch(t, tt.opens, d.Open[0].Reasons)
			require.Equal(t, tt.holding.Owned, d.Open[0].Owned)
		})
	}
}

func in(groups ...string) access.Person { return access.Person{GroupIDs: groups} }

func owned(reasons []access.Reason) *access.Holding {
	h := holding(true, reasons)
	return &h
}

func foreign(reasons []access.Reason) *access.Holding {
	h := holding(false, reasons)
	return &h
}

func TestDecideEndOfAGrantIsHeldByNothingButItsOwnRule(t *testing.T) {
	const t0, t2 = access.Entitlement("group:target-0"), access.Entitlement("group:target-2")
	lent := []access.Reason{{Kind: access.ReasonGrant, Name: "g1"}}
	lapse := func(target access.Entitlement) access.Change {
		return access.Change{Person: ana, Target: target, Action: access.Remove, Reasons: lent,
			Loses: []string{"jira-software/acme"}}
	}
	loss := func(target access.Entitlement) access.Change {
		return access.Change{Person: ana, Target: target, Action: access.Remove, Reasons: why,
			Loses: []string{"jira-software/acme"}}
	}
	strict := "guard: {run: {removals: 0}, target: {removals: 0}, lastAccess: {people: 0}, window: {removals: 1}}\n"
	tests := map[string]struct {
		lost    string
		lapses  int
		losses  int
		fresh   bool // not adopted
		rules   []string
		ofLapse []string
		ofLoss  []string
	}{
		"many ends":           {"remove", 101, 0, false, nil, nil, nil},
		"ends in a first run": {"remove", 3, 0, true, nil, nil, nil},
		"ends to be held": {"hold", 101, 0, false, []string{plan.RuleGrantLost},
			[]string{plan.RuleGrantLost}, nil},
		"none to be held": {"hold", 0, 0, false, nil, nil, nil},
		"a removal beside": {"remove", 101, 1, false,
			[]string{"run-removals", "target-removals", "last-access", "source-suspect", "window"}, nil,
			[]string{"last-access", "run-removals", "source-suspect", "target-removals", "window"}},
		"both, in a first run": {"hold", 1, 1, true,
			[]string{"adopt", "run-removals", "target-removals", "last-access", "source-suspect", "window",
				plan.RuleGrantLost}, []string{plan.RuleGrantLost},
			[]string{"adopt", "last-access", "run-removals", "source-suspect", "target-removals", "window"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, b := bind(t, lendable(owning, tt.lost)+strict)
			s := plan.NewStats(b)
			s.Adopted = !tt.fresh
			s.Suspects = []plan.Suspect{{GroupID: "s0", Name: "source-0", Why: "it shrank"}}
			s.AddPast(t0, 1)
			for range tt.lapses {
				s.Add([]access.Change{lapse(t0)})
			}
			for range tt.losses {
				s.Add([]access.Change{loss(t0)})
			}
			require.Equal(t, tt.lapses, s.Total().Lapses)
			require.Equal(t, tt.losses, s.Total().Removals)
			verdicts := plan.Judge(p, b, s)
			var rules []string
			for _, v := range verdicts {
				rules = append(rules, v.Rule)
			}
			require.ElementsMatch(t, tt.rules, rules)
			require.Equal(t, tt.ofLapse, plan.HeldBy(verdicts, b, lapse(t0)))
			require.Equal(t, tt.ofLoss, plan.HeldBy(verdicts, b, loss(t0)))
			require.Empty(t, plan.HeldBy(verdicts, b, lapse(t2)), "another target's is another matter")
		})
	}
}

func TestDecideLapsesAddUpInAnyBlocks(t *testing.T) {
	_, b := bind(t, lendable(owning, "remove"))
	lapse := access.Change{Person: ana, Target: group, Action: access.Remove,
		Reasons: []access.Reason{{Kind: access.ReasonGrant, Name: "g1"}}}
	whole, parts := plan.NewStats(b), plan.NewStats(b)
	for range 3 {
		var block plan.Stats
		block.Add([]access.Change{lapse})
		whole.Add([]access.Change{lapse})
		parts.Merge(block)
	}
	require.Equal(t, whole, parts)
	require.Equal(t, 3, whole.Targets[group].Lapses)
	require.Zero(t, whole.Total().Removals)
}

// A rule restores only whom a rule suspended: of a suspension by somebody else it is no reason to give presence back,
// whatever else gives it or did.
func TestDecideLeavesSuspendedWhomARuleMayNotRestore(t *testing.T) {
	const lends = "grants:\n- {name: g, targets: [directory], duration: {max: 8h}%s}\n"
	lent, rule := access.Reason{Kind: access.ReasonGrant, Name: "g1"},
		access.Reason{Kind: access.ReasonRule, Name: "back"}
	running := lease("g1", time.Hour)
	running.Target = access.Directory
	over := lease("g1", -plan.GrantGrace)
	over.Target = access.Directory
	person := somebody("acme.example")
	person.MembershipStatus = "suspended"
	held := func(reasons ...access.Reason) []access.Holding {
		return []access.Holding{{Person: ana, Target: access.Directory, Owned: true, Reasons: reasons}}
	}
	for name, tt := range map[string]struct {
		mode     string
		state    plan.State
		actions  []string
		grants   []string // taken by hand
		unseen   bool
		restored int
	}{
		"a grant runs": {state: plan.State{Holdings: held(lent, rule), Grants: []access.Grant{running}},
			grants: []string{"g1"}, unseen: true},
		"a grant runs, seen before": {state: plan.State{Holdings: held(lent), Grants: []access.Grant{running}},
			grants: []string{"g1"}, unseen: true},
		"to be given back": {mode: ", handTaken: restore",
			state:   plan.State{Holdings: held(lent, rule), Grants: []access.Grant{running}},
			actions: []string{"add directory"}, restored: 1},
		"a grant is to begin": {state: plan.State{Grants: []access.Grant{running}},
			actions: []string{"add directory"}},
		"a grant is over": {state: plan.State{Holdings: held(lent), Grants: []access.Grant{over}},
			unseen: true},
		"the rule alone": {state: plan.State{Holdings: held(rule)}, unseen: true},
		"nothing":        {},
		"Castellan did, and no grant": {state: plan.State{Suspension: &access.Suspension{Person: ana}},
			actions: []string{"add directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, b := bind(t, rules+fmt.Sprintf(lends, tt.mode))
			d := plan.Decide(b, person, tt.state, run, now)
			require.Equal(t, tt.actions, labels(d.Changes))
			for _, c := range d.Changes {
				require.False(t, c.Action == access.Add && tt.state.Suspension == nil &&
					access.HasKind(c.Reasons, access.ReasonRule))
			}
			var grants []string
			for _, u := range d.Unseen {
				grants = append(grants, u.Grants...)
			}
			require.Equal(t, tt.grants, grants)
			require.Equal(t, tt.unseen, len(d.Unseen) == 1)
			require.Len(t, d.Restored, tt.restored)
		})
	}
}

// A grant that is asked for after the access of another was taken by hand does not hide that from whoever looks.
func TestDecideTellsAnEarlierGrantTakenFromOneToBegin(t *testing.T) {
	_, b := bind(t, lendable(owning, "remove"))
	lent := []access.Reason{{Kind: access.ReasonGrant, Name: "g1"}}
	earlier, later := lease("g1", time.Hour), lease("g2", 20*time.Second)
	person := access.Person{ID: ana, MembershipStatus: "active"}
	d := plan.Decide(b, person, plan.State{Holdings: []access.Holding{holding(true, lent)},
		Grants: []access.Grant{earlier, later}}, run, now)
	require.Empty(t, d.Changes, "not given back before that is proven")
	require.Len(t, d.Unseen, 1)
	require.Equal(t, []string{"g1"}, d.Unseen[0].Grants)
	d = plan.Decide(b, person, plan.State{Grants: []access.Grant{later}}, run, now)
	require.Equal(t, []string{"add group:target-0"}, labels(d.Changes), "then the other stands alone")
}

// An extension gives nothing back that somebody took by hand while the grant before it was in force.
func TestDecideEndsAnExtensionOfWhatWasTakenByHand(t *testing.T) {
	_, b := bind(t, lendable(owning, "remove"))
	before, extension := lease("g1", -time.Second), lease("g2", time.Hour)
	extension.From, extension.Renews = before.Until, "g1"
	held := holding(true, []access.Reason{{Kind: access.ReasonGrant, Name: "g1"}})
	for name, grants := range map[string][]access.Grant{"not settled": {before, extension}, "settled": {extension}} {
		d := plan.Decide(b, access.Person{ID: ana}, plan.State{Holdings: []access.Holding{held}, Grants: grants}, run,
			now)
		require.Empty(t, d.Changes, name)
		require.Equal(t, []access.MissingHolding{{Holding: held, Grants: []string{"g2"}}}, d.Unseen, name)
	}
	another := extension
	another.Renews = ""
	d := plan.Decide(b, access.Person{ID: ana},
		plan.State{Holdings: []access.Holding{held}, Grants: []access.Grant{before, another}}, run, now)
	require.Equal(t, access.Add, d.Changes[0].Action, "a grant of its own gives it anew")
}
