package plan_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
)

// moment returns a line that a running grant g1 adds to somebody active, under a policy that maps source-0 to it as
// well.
func moment(t require.TestingT, policy string, change func(*plan.GrantRecheck)) plan.GrantRecheck {
	_, b := bind(t, policy)
	m := plan.GrantRecheck{
		Bound: b, Person: access.Person{ID: ana, MembershipStatus: "active", GroupIDs: []string{}}, At: now,
		Line: access.Change{Person: ana, Target: group, GroupID: "t0", Action: access.Add,
			Reasons: []access.Reason{grantOf("g1")}, State: access.Planned},
		Grants: []access.Grant{lease("g1", time.Hour)},
	}
	if change != nil {
		change(&m)
	}
	return m
}

// answered returns an answer in one line.
func answered(a *plan.Skip) string {
	if a == nil {
		return ""
	}
	words := string(a.State) + ": " + a.Words
	if a.Unknown {
		words += " (unknown)"
	}
	return words
}

func fit() string { return "" }

func TestMomentGives(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*plan.GrantRecheck)
		want   string
	}{
		"in force": {nil, ""},
		"over": {func(m *plan.GrantRecheck) { m.Grants = []access.Grant{lease("g1", -time.Second)} },
			"superseded: its grant is over"},
		"another's": {func(m *plan.GrantRecheck) { m.Grants = []access.Grant{lease("g2", time.Hour)} },
			"superseded: its grant is over"},
		"over, and perhaps given": {func(m *plan.GrantRecheck) { m.Grants, m.Line.State = nil, access.Sent },
			"superseded: its grant is over (unknown)"},
		"not named any more": {func(m *plan.GrantRecheck) { m.Line.Target = "group:gone" },
			"refused: the policy no longer names it, or the organization does not show it"},
	} {
		g, answer := moment(t, lendable(owning, "remove"), c.change).GrantInForce()
		require.Equal(t, c.want, answered(answer), name)
		if answer == nil {
			require.Equal(t, "g1", g.ID, name)
		}
	}
}

func TestMomentAdd(t *testing.T) {
	denies := "rules:\n- {name: no, owner: bo@acme.example, mode: enforce, when: 'in(\"source-1\")', deny: ['group:target-0']}\n"
	for name, c := range map[string]struct {
		change func(*plan.GrantRecheck)
		unfit  string
		want   string
	}{
		"not held": {want: ""},
		"nobody": {change: func(m *plan.GrantRecheck) { m.Person = access.Person{} },
			want: "refused: the directory does not show the person"},
		"nobody yet, of presence": {change: func(m *plan.GrantRecheck) {
			m.Person, m.Line.Target = access.Person{},
				access.Directory
		}},
		"suspended": {change: func(m *plan.GrantRecheck) { m.Person.MembershipStatus = "suspended" },
			want: "refused: the person's account or membership is not active"},
		"suspended, and perhaps given": {change: func(m *plan.GrantRecheck) {
			m.Person.MembershipStatus, m.Line.State = "suspended", access.Sent
		}, want: "refused: the person's account or membership is not active (unknown)"},
		"not eligible": {unfit: "only for others", want: "refused: only for others"},
		"a rule denies it": {change: func(m *plan.GrantRecheck) { m.Person.GroupIDs = []string{"s1"} },
			want: "refused: rule no denies it"},
		"a review denies it": {change: func(m *plan.GrantRecheck) { m.Rulings = takes(group) },
			want: "refused: review q1 denies it"},
		"found on reading back": {change: func(m *plan.GrantRecheck) {
			m.Person.GroupIDs, m.Line.State = []string{"t0"},
				access.Sent
		},
			want: "done: done by an earlier attempt, found on reading back"},
		"held already": {change: func(m *plan.GrantRecheck) { m.Person.GroupIDs = []string{"t0"} },
			want: "already: held already: what was there before the grant stays when it is over"},
		"held by another grant": {change: func(m *plan.GrantRecheck) {
			m.Person.GroupIDs, m.Held = []string{"t0"}, holding(true, []access.Reason{grantOf("g0")})
		}, want: "already: held already, by grant g0: it is taken back when the last of the person's grants of it is over"},
		"somebody else gave what that gave": {change: func(m *plan.GrantRecheck) {
			m.Person.GroupIDs, m.Held = []string{"t0"}, holding(false, []access.Reason{grantOf("g0")})
		}, want: "already: held already: what was there before the grant stays when it is over"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := moment(t, lendable(owning, "remove")+denies, c.change).Add(lease("g1", time.Hour),
				func() string { return c.unfit })
			require.Equal(t, c.want, answered(answer))
		})
	}
}

func TestMomentMayBeTaken(t *testing.T) {
	given := func(m *plan.GrantRecheck) {
		m.Held = holding(true, []access.Reason{grantOf("g0")})
		m.Held.From = now.Add(-plan.OldEnough)
	}
	for name, c := range map[string]struct {
		lost   string
		change func(*plan.GrantRecheck)
		want   bool
	}{
		"given by a grant, and not shown": {"", nil, true},
		"a moment ago":                    {"", func(m *plan.GrantRecheck) { m.Held.From = now }, false},
		"not on the books":                {"", func(m *plan.GrantRecheck) { m.Held = access.Holding{} }, false},
		"perhaps by an earlier attempt":   {"", func(m *plan.GrantRecheck) { m.Line.State = access.Sent }, false},
		"a mapping gives it back":         {"", func(m *plan.GrantRecheck) { m.Person.GroupIDs = []string{"s0"} }, false},
		"it is given back in any case":    {"remove, handTaken: restore", nil, false},
	} {
		m := moment(t, lendable(owning, cmp.Or(c.lost, "remove")), given)
		if c.change != nil {
			c.change(&m)
		}
		require.Equal(t, c.want, m.MayBeRemovedByHand(), name)
	}
}

func TestMomentRemove(t *testing.T) {
	taken := &access.OutOfBandRemoval{At: now.Add(-time.Hour)}
	for name, c := range map[string]struct {
		more   string
		change func(*plan.GrantRecheck)
		want   string
		keeps  []access.Reason
		ended  bool
	}{
		"over":               {change: func(m *plan.GrantRecheck) {}},
		"not shown":          {change: func(m *plan.GrantRecheck) { m.Person = access.Person{} }},
		"not named any more": {change: func(m *plan.GrantRecheck) { m.Line.Target = "group:gone" }},
		"another grant gives it": {change: func(m *plan.GrantRecheck) { m.Grants = []access.Grant{lease("g2", time.Hour)} },
			want: "superseded: stays: grant g2 gives it", keeps: []access.Reason{grantOf("g2")}},
		"a mapping gives it": {change: func(m *plan.GrantRecheck) { m.Person.GroupIDs = []string{"s0", "t0"} },
			want: "superseded: stays: mapping m (source group source-0) gives it", keeps: why},
		"which a review denies": {change: func(m *plan.GrantRecheck) {
			m.Person.GroupIDs, m.Rulings = []string{"s0", "t0"}, takes(group)
		}},
		"somebody else gave it again": {change: func(m *plan.GrantRecheck) {
			m.Held, m.Person.GroupIDs = holding(true, []access.Reason{grantOf("g1")}), []string{"t0"}
			m.Held.Taken = taken
		}, want: "superseded: stays: someone else removed it and gave it again", ended: true},
		"taken, and not shown": {change: func(m *plan.GrantRecheck) {
			m.Held = holding(true, []access.Reason{grantOf("g1")})
			m.Held.Taken = taken
		}},
		"a floor": {more: "protected: [{target: 'group:target-0', minimum: 1}]\n", change: func(m *plan.GrantRecheck) {
			m.Person.GroupIDs = []string{"t0"}
		}, want: "refused: removing " + ana +
			" from group:target-0: refused, 0 active holders would remain and the policy requires at least 1; add another holder first"},
		"a reason before a floor": {more: "protected: [{target: 'group:target-0', minimum: 1}]\n",
			change: func(m *plan.GrantRecheck) {
				m.Person.GroupIDs = []string{"s0", "t0"}
			}, want: "superseded: stays: mapping m (source group source-0) gives it", keeps: why},
	} {
		t.Run(name, func(t *testing.T) {
			m := moment(t, lendable(owning, "remove")+c.more, func(m *plan.GrantRecheck) {
				m.Line.Action, m.Grants = access.Remove, []access.Grant{lease("g1", -time.Second)}
				c.change(m)
			})
			got := m.Remove(nil, "")
			require.Equal(t, c.want, answered(got.Answer))
			require.Equal(t, c.keeps, got.Keep)
			require.Equal(t, c.ended, got.Ended != nil)
			if c.ended {
				require.Equal(t, taken.At, got.Ended.Until)
			}
		})
	}
}

// TestMomentTakesNothingThatSomethingGives: whatever the read shows, a removal is not written while a reason stands
// that Resolve gives.
func TestMomentTakesNothingThatSomethingGives(t *testing.T) {
	_, b := bind(t, lendable(owning, "remove"))
	rapid.Check(t, func(r *rapid.T) {
		m := plan.GrantRecheck{Bound: b, Person: drawPerson(r), At: now,
			Line: access.Change{Person: ana, Target: group, Action: access.Remove}}
		for _, id := range []string{"g1", "g2"} {
			over := rapid.SampledFrom([]time.Duration{-time.Second, time.Second}).Draw(r, "over")
			m.Grants = append(m.Grants, lease(id, over))
		}
		stands := len(m.Want(m.Person, false).ReasonsToHold(nil)) > 0
		require.Equal(r, stands, m.Remove(nil, "").Answer != nil)
		m.Line.Action, m.Line.Reasons = access.Add, []access.Reason{grantOf("g1")}
		g, answer := m.GrantInForce()
		require.Equal(r, m.Grants[0].InForce(now), answer == nil)
		if answer == nil {
			held, _ := b.Holds(m.Person, 0)
			require.Equal(r, m.Person.CanReceive() && !held, m.Add(g, fit) == nil)
		}
	})
}

func TestOvertaken(t *testing.T) {
	add := access.Change{Person: ana, Target: group, Action: access.Add, Reasons: []access.Reason{grantOf("g1")}}
	mapped := add
	mapped.Reasons = why
	remove := access.Change{Person: ana, Target: group, Action: access.Remove, Reasons: why}
	ruled := remove
	ruled.Reasons = []access.Reason{{Kind: access.ReasonRule, Name: "no"}}
	undone := remove
	undone.Reasons = []access.Reason{{Kind: access.ReasonUndo, Name: "r"}}
	running, over := []access.Grant{lease("g1", time.Hour)}, []access.Grant{lease("g1", -time.Second)}
	for name, c := range map[string]struct {
		line    access.Change
		grants  []access.Grant
		rulings []access.Ruling
		hangs   bool
		want    string
	}{
		"what a grant gives goes on":         {add, running, nil, true, ""},
		"its grant is over":                  {add, over, nil, true, "the grant that gave it is over"},
		"nothing that a grant gave":          {mapped, over, nil, false, ""},
		"a grant gives what is to be taken":  {remove, running, nil, true, "grant g1 gives it now"},
		"a grant that is over gives nothing": {remove, over, nil, true, ""},
		"a review denies it":                 {remove, running, takes(group), true, ""},
		"a rule denies it":                   {ruled, running, nil, true, ""},
		"a person asked for it":              {undone, running, nil, false, ""},
	} {
		p, b := bind(t, lendable(owning, "remove")+
			"rules:\n- {name: no, owner: bo@acme.example, mode: enforce, when: external, deny: ['group:target-0']}\n")
		require.Equal(t, c.hangs, plan.DependsOnGrants(p, c.line), name)
		if c.hangs {
			require.Equal(t, c.want, plan.WhyMoot(b, p, c.line, c.grants, c.rulings, now), name)
		}
	}
}
