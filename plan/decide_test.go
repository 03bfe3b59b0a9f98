package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

var (
	why      = []access.Reason{{Kind: access.ReasonMapping, Name: "m", Source: "source-0"}}
	adopting = "- {name: m, from: [source-0], to: ['group:target-0'], adopt: true}\n"
	owning   = "- {name: m, from: [source-0], to: ['group:target-0']}\n"
	all      = "- {name: m, from: [source-0], to: ['group:target-0'], removals: all}\n"
	never    = "- {name: m, from: [source-0], to: ['group:target-0'], removals: never}\n"
)

// stays returns a protected section under which somebody always holds the target.
func stays(name string) string {
	return "protected: [{target: 'group:target-0', minimum: 1, always: ['" + name + "']}]\n"
}

func holding(owned bool, reasons []access.Reason) access.Holding {
	return access.Holding{Person: ana, Target: group, GroupID: "t0", Owned: owned, Reasons: reasons, Run: "run-1"}
}

// done returns a write some seconds ago.
func done(action access.Action, seconds int) access.Change {
	return access.Change{Person: ana, Target: group, GroupID: "t0", Action: action, State: access.Done,
		At: now.Add(-time.Duration(seconds) * time.Second)}
}

func TestDecide(t *testing.T) {
	type state = plan.State
	one := func(h access.Holding) []access.Holding { return []access.Holding{h} }
	tests := map[string]struct {
		policy  string
		groups  []string
		state   state
		actions []access.Action
		opens   []access.Holding
		closes  int
		foreign int
	}{
		"wanted, not held": {owning, []string{"s0"}, state{}, []access.Action{access.Add},
			nil, 0, 0},
		"wanted and held, new to us": {owning, []string{"s0", "t0"}, state{}, nil,
			one(holding(false, why)), 0, 0},
		"wanted and held, known": {owning, []string{"s0", "t0"},
			state{Holdings: one(holding(true, why))}, nil, nil, 0, 0},
		"wanted and held, foreign, to adopt": {adopting, []string{"s0", "t0"},
			state{Holdings: one(holding(false, why))}, []access.Action{access.Adopt}, nil, 0, 0},
		"wanted and held, owned, to adopt": {adopting, []string{"s0", "t0"},
			state{Holdings: one(holding(true, why))}, nil, nil, 0, 0},
		"not wanted, owned": {owning, []string{"t0"}, state{Holdings: one(holding(true, why))},
			[]access.Action{access.Remove}, nil, 0, 0},
		"not wanted, a protected name is nobody": {owning + stays("glas@acme.example"), []string{"t0"},
			state{Holdings: one(holding(true, why))}, nil, nil, 0, 0},
		"not wanted, somebody else stays": {owning + stays("id-glass-1"), []string{"t0"},
			state{Holdings: one(holding(true, why))}, []access.Action{access.Remove}, nil, 0, 0},
		"not wanted, foreign": {owning, []string{"t0"}, state{Holdings: one(holding(false, nil))},
			nil, nil, 0, 1},
		"not wanted, unknown": {owning, []string{"t0"}, state{}, nil,
			one(holding(false, nil)), 0, 1},
		"not wanted, foreign, all": {all, []string{"t0"}, state{Holdings: one(holding(false, nil))},
			[]access.Action{access.Remove}, nil, 0, 1},
		"not wanted, owned, never": {never, []string{"t0"}, state{Holdings: one(holding(true, why))}, nil,
			one(holding(true, nil)), 1, 0},
		"foreign loses its reason": {owning, []string{"t0"}, state{Holdings: one(holding(false, why))},
			nil, one(holding(false, nil)), 1, 1},
		"another reason": {owning, []string{"s0", "t0"},
			state{Holdings: one(holding(true, nil))}, nil, one(holding(true, why)), 1, 0},
		"ours and not seen: made sure of": {owning, nil, state{Holdings: one(holding(true, why))},
			[]access.Action{access.Remove}, nil, 0, 0},
		"ours, wanted and not seen": {owning, []string{"s0"}, state{Holdings: one(holding(true, why))},
			[]access.Action{access.Add}, nil, 0, 0},
		"somebody else's and gone": {owning, nil, state{Holdings: one(holding(false, why))}, nil,
			nil, 1, 0},
		"just added, read lags": {owning, []string{"s0"},
			state{Holdings: one(holding(true, why)), Recent: []access.Change{done(access.Add, 1)}}, nil, nil, 0, 0},
		"just added, ledger lags": {owning, []string{"s0"},
			state{Recent: []access.Change{done(access.Add, 1)}}, nil, one(holding(true, why)), 0, 0},
		"just added, no longer wanted": {owning, nil,
			state{Holdings: one(holding(true, why)), Recent: []access.Change{done(access.Add, 1)}},
			[]access.Action{access.Remove}, nil, 0, 0},
		"just removed, read lags": {owning, []string{"t0"},
			state{Recent: []access.Change{done(access.Remove, 1)}}, nil, nil, 0, 0},
		"just removed, wanted again": {owning, []string{"s0", "t0"},
			state{Recent: []access.Change{done(access.Remove, 1)}}, []access.Action{access.Add}, nil, 0, 0},
		"just adopted": {adopting, []string{"s0", "t0"},
			state{Holdings: one(holding(false, why)), Recent: []access.Change{done(access.Adopt, 1)}}, nil,
			one(holding(true, why)), 1, 0},
		"just adopted by an old copy, not there": {adopting, []string{"s0"},
			state{Holdings: one(holding(true, why)), Recent: []access.Change{done(access.Adopt, 1)}},
			[]access.Action{access.Add}, nil, 0, 0},
		"added, then adopted: the write counts, whatever an old copy shows": {adopting, []string{"s0"},
			state{Holdings: one(holding(true, why)),
				Recent: []access.Change{done(access.Add, 9), done(access.Adopt, 1)}}, nil, nil, 0, 0},
		"just adopted, no longer wanted": {adopting, []string{"t0"},
			state{Holdings: one(holding(true, why)), Recent: []access.Change{done(access.Adopt, 1)}},
			[]access.Action{access.Remove}, nil, 0, 0},
		"the later of two writes counts": {owning, []string{"s0"},
			state{Recent: []access.Change{done(access.Add, 1), done(access.Remove, 9)},
				Holdings: one(holding(true, why))}, nil, nil, 0, 0},
		"a write of unknown outcome is no truth": {owning, []string{"s0"},
			state{Recent: []access.Change{{Person: ana, Target: group, Action: access.Add, State: access.Sent}}},
			[]access.Action{access.Add}, nil, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, b := bind(t, tt.policy)
			d := plan.Decide(b, access.Person{ID: ana, GroupIDs: tt.groups}, tt.state, run, now)
			var actions []access.Action
			for _, c := range d.Changes {
				actions = append(actions, c.Action)
				require.Equal(t, []string{"s0"}, c.Sources)
				require.Equal(t, access.Planned, c.State)
				require.Equal(t, "t0", c.GroupID)
			}
			require.Equal(t, tt.actions, actions)
			for i := range tt.opens {
				tt.opens[i].Run, tt.opens[i].From = run, now
			}
			require.Equal(t, tt.opens, d.Open)
			require.Len(t, d.Close, tt.closes)
			for _, h := range d.Close {
				require.Equal(t, now, h.Until)
			}
			require.Equal(t, tt.foreign, d.Foreign)
		})
	}
}

// TestDecideWhereItIsNotKnownWhetherAMappingGives: what the mapping gave stays, what it did not give is not given, and
// what somebody else gave is not taken.
func TestDecideWhereItIsNotKnownWhetherAMappingGives(t *testing.T) {
	owned := []access.Holding{holding(true, why)}
	for name, tt := range map[string]struct {
		policy  string
		holds   bool
		books   []access.Holding
		actions []access.Action // where the person is known not to be in the group
	}{
		"not held":               {policy: owning},
		"given by it":            {owning, true, owned, []access.Action{access.Remove}},
		"given by it, not shown": {owning, false, owned, []access.Action{access.Remove}},
		"given by another mapping": {owning, true, []access.Holding{holding(true, []access.Reason{{
			Kind: access.ReasonMapping, Name: "former", Source: "source-9"}})}, []access.Action{access.Remove}},
		"somebody else's":        {owning, true, []access.Holding{holding(false, nil)}, nil},
		"somebody else's, all":   {all, true, []access.Holding{holding(false, nil)}, []access.Action{access.Remove}},
		"somebody else's, new":   {all, true, nil, []access.Action{access.Remove}},
		"to be adopted if it is": {adopting, true, []access.Holding{holding(false, nil)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, b := bind(t, tt.policy)
			p := access.Person{ID: ana, UnsureGroups: []string{"s0"}}
			if tt.holds {
				p.GroupIDs = []string{"t0"}
			}
			for _, c := range plan.Decide(b, p, plan.State{Holdings: tt.books}, run, now).Changes {
				require.Equal(t, access.Add, c.Action, "adding what is held already does no harm")
				require.NotEmpty(t, tt.books)
			}
			p.UnsureGroups = nil
			var actions []access.Action
			for _, c := range plan.Decide(b, p, plan.State{Holdings: tt.books}, run, now).Changes {
				actions = append(actions, c.Action)
			}
			require.Equal(t, tt.actions, actions)
		})
	}
}

func TestRemovalTellsTheReasonThatEnded(t *testing.T) {
	_, b := bind(t, owning)
	d := plan.Decide(b, access.Person{ID: ana, Email: "ana@acme.example", GroupIDs: []string{"t0"}},
		plan.State{Holdings: []access.Holding{holding(true, why)}}, run, now)
	require.Equal(t, []access.Change{{
		Person: ana, Email: "ana@acme.example", Target: group, GroupID: "t0", Action: access.Remove, Reasons: why,
		Sources: []string{"s0"}, Loses: []string{"jira-software/acme"}, State: access.Planned,
	}}, d.Changes)
	require.Empty(t, d.Open, "the holding keeps its reasons until the removal is written")
	require.Empty(t, d.Close)
}

func TestDecideSuspendedPeopleAreNotAddedButAreRemoved(t *testing.T) {
	_, b := bind(t, owning)
	p := access.Person{ID: ana, MembershipStatus: "suspended", GroupIDs: []string{"s0"}}
	require.Empty(t, plan.Decide(b, p, plan.State{}, run, now).Changes)
	p.GroupIDs = []string{"t0"}
	require.Len(t, plan.Decide(b, p, plan.State{Holdings: []access.Holding{holding(true, why)}}, run, now).Changes, 1)
}

func TestDecideRejectedChangesStayAwayWhileTheyAreTheSame(t *testing.T) {
	_, b := bind(t, owning)
	no := access.Change{Person: ana, Target: "group:TARGET-0", Action: access.Remove}
	s := plan.State{Holdings: []access.Holding{holding(true, why)}, Rejected: []access.Change{no}}
	p := access.Person{ID: ana, GroupIDs: []string{"t0"}}
	d := plan.Decide(b, p, s, run, now)
	require.Empty(t, d.Changes)
	require.Equal(t, 1, d.Suppressed)
	require.Empty(t, d.Lift)

	p.GroupIDs = []string{"t0", "s0"} // the reason is back: the removal is no longer asked for
	d = plan.Decide(b, p, s, run, now)
	require.Zero(t, d.Suppressed)
	require.Equal(t, []access.Change{no}, d.Lift)

	s.Rejected[0].Target = "group:not-managed-now"
	require.Empty(t, plan.Decide(b, p, s, run, now).Lift, "what is left alone keeps its rejection")
}

func TestDecideLosesOnlyTheLastAccess(t *testing.T) {
	_, b := bind(t, "- {name: m, from: [source-0], to: ['group:target-0', 'group:target-1', 'group:target-2']}\n- {name: n, from: [source-1], to: ['group:target-2']}\n")
	owned := func(ids ...string) (hs []access.Holding) {
		for _, id := range ids {
			hs = append(hs, access.Holding{Person: ana, Target: access.Entitlement("group:target-" + id[1:]),
				GroupID: id, Owned: true, Reasons: why})
		}
		return hs
	}
	loses := func(groups []string, s plan.State) map[string][]string {
		out := map[string][]string{}
		for _, c := range plan.Decide(b, access.Person{ID: ana, GroupIDs: groups}, s, run, now).Changes {
			if c.Action == access.Remove {
				out[c.GroupID] = c.Loses
			}
		}
		return out
	}
	jira, confluence := []string{"jira-software/acme"}, []string{"confluence/acme"}
	three := plan.State{Holdings: owned("t0", "t1", "t2")}
	require.Equal(t, map[string][]string{"t0": jira, "t1": confluence, "t2": jira},
		loses([]string{"t0", "t1", "t2"}, three))
	require.Equal(t, map[string][]string{"t0": nil, "t1": confluence}, loses([]string{"t0", "t1", "t2", "s1"}, three),
		"another target opens jira")
	require.Equal(t, map[string][]string{"t0": nil}, loses([]string{"t0", "s1"}, plan.State{Holdings: owned("t0")}),
		"an add opens jira")
	require.Equal(t, map[string][]string{"t0": jira, "t1": nil},
		loses([]string{"t0", "t1", "other"}, plan.State{Holdings: owned("t0", "t1")}),
		"a group outside the policy opens confluence")
	lagging := plan.State{Holdings: owned("t0"),
		Recent: []access.Change{{Person: ana, Target: "group:target-2", GroupID: "t2", Action: access.Remove,
			State: access.Done, At: now}}}
	require.Equal(t, map[string][]string{"t0": jira}, loses([]string{"t0", "t2"}, lagging),
		"the read still shows a membership that is gone")
}

func TestDecideWhatWasFoundToBeSoIsNotOwned(t *testing.T) {
	_, b := bind(t, owning)
	found := done(access.Add, 1)
	found.State = access.Already
	d := plan.Decide(b, access.Person{ID: ana, GroupIDs: []string{"s0"}}, plan.State{Recent: []access.Change{found}},
		run, now)
	require.Empty(t, d.Changes)
	require.Len(t, d.Open, 1)
	require.False(t, d.Open[0].Owned)
}

func TestDecideHoldingsOutsideThePolicyEndWithTheMembership(t *testing.T) {
	_, b := bind(t, owning)
	stray := access.Holding{Person: ana, Target: "group:other", GroupID: "other", Owned: true}
	s := plan.State{Holdings: []access.Holding{stray}}
	require.Empty(t, plan.Decide(b, access.Person{ID: ana, GroupIDs: []string{"other"}}, s, run, now).Close)
	s.Recent = []access.Change{{Person: ana, Target: "group:OTHER", GroupID: "other", Action: access.Add,
		State: access.Done, At: now}}
	require.Empty(t, plan.Decide(b, access.Person{ID: ana}, s, run, now).Close, "the read lags behind the write")
	s.Recent = nil
	d := plan.Decide(b, access.Person{ID: ana}, s, run, now)
	require.Empty(t, d.Close, "one read may lie")
	require.Equal(t, []access.MissingHolding{{Holding: stray}}, d.Unseen)
	require.Empty(t, plan.Decide(b, access.Person{ID: ana, MembershipStatus: "suspended"}, s, run, now).Unseen,
		"who is suspended may come back with it")
	s.Holdings[0].GroupID = "hidden"
	require.Empty(t, plan.Decide(b, access.Person{ID: ana}, s, run, now).Unseen, "the read does not show the group")
	s.Holdings[0] = access.Holding{Person: ana, Target: "role:bitbucket/acme/admin", Owned: true}
	d = plan.Decide(b, access.Person{ID: ana}, s, run, now)
	require.Empty(t, d.Close, "no read of many people shows an app role")
	require.Empty(t, d.Unseen)
	stray.Owned, stray.Until = false, time.Time{}
	s.Holdings[0] = stray
	stray.Until = now
	require.Equal(t, []access.Holding{stray}, plan.Decide(b, access.Person{ID: ana}, s, run, now).Close,
		"what somebody else made")
}

func TestDecideGroupMadeAnewIsNotTheOneOfItsName(t *testing.T) {
	_, b := bind(t, owning)
	was := holding(true, why)
	was.GroupID = "gone"
	d := plan.Decide(b, access.Person{ID: ana, GroupIDs: []string{"t0"}}, plan.State{Holdings: []access.Holding{was}},
		run, now)
	require.Empty(t, d.Changes, "who is in it was put there by somebody else")
	was.Until = now
	require.Equal(t, []access.Holding{was}, d.Close)
	require.Len(t, d.Open, 1)
	require.False(t, d.Open[0].Owned)
}

// What must hold of every decision, whatever the policy, the person and the ledger's memory.
func TestDecideDecisionsAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, b := bind(t, drawMappings(t))
		p := drawSimulatedPerson(t, b)
		d := plan.Decide(b, p.person, p.state(), run, now)
		wanted := map[access.Entitlement][]access.Reason{}
		for _, want := range b.Resolve(p.person, policy.Known{}).Wants {
			wanted[b.Targets[want.Target].Entitlement] = want.Reasons
		}
		owned := map[access.Entitlement]bool{}
		for _, h := range p.holdings {
			owned[h.Target] = h.Owned
		}
		for i, c := range d.Changes {
			if i > 0 {
				require.Less(t, d.Changes[i-1].Target, c.Target, "one line for each target, sorted")
			}
			require.False(t, p.person.IsApp(), "apps are never touched")
			target, managed := b.Target(c.Target)
			require.True(t, managed)
			mode := b.Targets[target].Removals
			switch c.Action {
			case access.Remove:
				require.NotContains(t, wanted, c.Target, "no removal while a reason stands")
				require.NotEqual(t, policy.RemoveNever, mode, "additive mode never removes")
				require.True(t, mode == policy.RemoveAll || owned[c.Target],
					"a foreign membership is not removed in owned mode")
			case access.Add:
				require.True(t, p.person.CanReceive())
				require.Equal(t, wanted[c.Target], c.Reasons, "all reasons, not the first")
			case access.Adopt:
				require.False(t, owned[c.Target])
				require.Equal(t, wanted[c.Target], c.Reasons)
			}
		}
	})
}

func TestDecideApplyThenDecideAgainIsEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, b := bind(t, drawMappings(t))
		p := drawSimulatedPerson(t, b)
		p.apply(t, plan.Decide(b, p.person, p.state(), run, now))
		again := plan.Decide(b, p.person, p.state(), run, now)
		require.Empty(t, again.Changes)
		require.Empty(t, again.Open)
		require.Empty(t, again.Close)
		require.Empty(t, again.Lift)
	})
}

// A read that still shows the world before the writes must not undo or repeat them.
func TestDecideRecentWriteOutweighsALaggingRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, b := bind(t, drawMappings(t))
		p := drawSimulatedPerson(t, b)
		before := p.person
		before.GroupIDs = append([]string(nil), p.person.GroupIDs...)
		d := plan.Decide(b, p.person, p.state(), run, now)
		p.apply(t, d)
		s := p.state()
		for _, c := range d.Changes {
			c.State, c.At = access.Done, now
			s.Recent = append(s.Recent, c)
		}
		require.Empty(t, plan.Decide(b, before, s, run, now).Changes)
	})
}

// The reasons of a person in several source groups are the union of the reasons of each alone.
func TestDecideReasonsAreAUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, b := bind(t, drawMappings(t))
		p := drawPerson(t)
		together, apart := map[int]map[access.Reason]bool{}, map[int]map[access.Reason]bool{}
		collect := func(into map[int]map[access.Reason]bool, wants []policy.Want) {
			for _, w := range wants {
				if into[w.Target] == nil {
					into[w.Target] = map[access.Reason]bool{}
				}
				for _, r := range w.Reasons {
					into[w.Target][r] = true
				}
			}
		}
		collect(together, b.Resolve(p, policy.Known{}).Wants)
		for _, id := range p.GroupIDs {
			one := p
			one.GroupIDs = []string{id}
			collect(apart, b.Resolve(one, policy.Known{}).Wants)
		}
		require.Equal(t, apart, together)
	})
}
