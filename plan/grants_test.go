package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
)

const byRole = access.Entitlement("default:jira-software/acme/user") // which target-0 is given to by default

// byTwoNames lets target-0 be granted by its own name and by what it opens.
var byTwoNames = owning + "grants:\n- {name: g, targets: ['group:target-0', '" + string(byRole) +
	"'], duration: {max: 8h}}\n"

func grantOf(id string) access.Reason { return access.Reason{Kind: access.ReasonGrant, Name: id} }

func TestGrantRecordPlan(t *testing.T) {
	running, over := lease("g1", time.Hour), lease("g1", -time.Second)
	renewed, other := lease("g2", time.Hour), lease("g2", time.Hour)
	other.Target = byRole
	ahead := running
	ahead.From = now.Add(time.Minute)
	viaRole := access.Reason{Kind: access.ReasonGrant, Name: "g2", Via: byRole}
	held := func(reasons ...access.Reason) []access.Holding { return []access.Holding{holding(true, reasons)} }
	for name, c := range map[string]struct {
		record  plan.GrantRecord
		target  access.Entitlement // asked about; "": group:target-0
		changes []string
		reasons []access.Reason // of the change
		now     []access.Reason // of the holding that goes on without a change
		noted   bool            // it has other reasons than before
	}{
		"begins": {record: plan.GrantRecord{Grants: []access.Grant{running}}, changes: []string{"add group:target-0"},
			reasons: []access.Reason{grantOf("g1")}},
		"by what it opens": {record: plan.GrantRecord{Grants: []access.Grant{other}}, target: byRole,
			changes: []string{"add group:target-0"},
			reasons: []access.Reason{viaRole}},
		"goes on": {record: plan.GrantRecord{Grants: []access.Grant{running}, Holdings: held(grantOf("g1"))}},
		"is over": {record: plan.GrantRecord{Grants: []access.Grant{over}, Holdings: held(grantOf("g1"))},
			changes: []string{"remove group:target-0"}, reasons: []access.Reason{grantOf("g1")}},
		"is to begin": {record: plan.GrantRecord{Grants: []access.Grant{ahead}}},
		"one of two is over": {record: plan.GrantRecord{Grants: []access.Grant{over, renewed},
			Holdings: held(grantOf("g1"), grantOf("g2"))},
			noted: true, now: []access.Reason{grantOf("g2")}},
		"of another name is in force": {record: plan.GrantRecord{Grants: []access.Grant{over},
			All:      []access.Grant{over, other},
			Holdings: held(grantOf("g1"), viaRole)}, noted: true, now: []access.Reason{viaRole}},
		"begins after another": {record: plan.GrantRecord{Grants: []access.Grant{running, renewed},
			Holdings: held(grantOf("g1"))},
			changes: []string{"add group:target-0"}, reasons: []access.Reason{grantOf("g1"), grantOf("g2")}},
		"begins after another, and was seen": {record: plan.GrantRecord{Grants: []access.Grant{running, renewed},
			Holdings: held(grantOf("g1")),
			Seen:     map[access.Entitlement]bool{group: true}}, noted: true,
			now: []access.Reason{grantOf("g1"), grantOf("g2")}},
		"a mapping gives it too": {record: plan.GrantRecord{Grants: []access.Grant{over},
			Holdings: held(append(why, grantOf("g1"))...)},
			noted: true, now: why},
		"somebody else gave it": {record: plan.GrantRecord{Grants: []access.Grant{over},
			Holdings: []access.Holding{holding(false, []access.Reason{grantOf("g1")})}}, noted: true},
		"over, and long settled": {record: plan.GrantRecord{Holdings: held(grantOf("g0"))},
			changes: []string{"remove group:target-0"},
			reasons: []access.Reason{grantOf("g0")}},
		"never answered": {record: plan.GrantRecord{Grants: []access.Grant{over},
			Doubts: map[access.Entitlement]access.Change{group: {
				Action: access.Add, Target: group, Reasons: []access.Reason{grantOf("g1")}}}},
			changes: []string{"remove group:target-0"},
			reasons: []access.Reason{grantOf("g1")}},
		"never answered, of another grant": {record: plan.GrantRecord{Grants: []access.Grant{over},
			Doubts: map[access.Entitlement]access.Change{group: {
				Action: access.Add, Target: group, Reasons: []access.Reason{grantOf("g7")}}}}},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			_, b := bind(t, byTwoNames)
			k := c.record
			k.Person, k.Target, k.At = ana, group, now
			if c.target != "" {
				k.Target = c.target
			}
			if k.All == nil {
				k.All = k.Grants
			}
			p := k.Plan(b, run)
			require.Equal(t, c.changes, labels(p.Changes))
			for _, change := range p.Changes {
				require.Equal(t, c.reasons, change.Reasons)
				require.Equal(t, ana, change.Person)
			}
			require.Equal(t, c.noted, len(p.Holdings) == 1)
			for _, h := range p.Holdings {
				require.Equal(t, c.now, h.Reasons)
				require.Equal(t, now, h.From)
			}
		})
	}
}

// written reports whether a line is written at its moment.
func written(m plan.GrantRecheck) bool {
	if m.Line.Action == access.Remove {
		return m.Remove(nil, "").Answer == nil
	}
	g, answer := m.GrantInForce()
	return answer == nil && m.Add(g, fit) == nil
}

// TestGrantRecordGrantsGiveTheSameToBothPlanners: what is planned of somebody's grants from the ledger alone, and is
// still right at the moment of writing, is what a read of the person lets decide. Once it is written neither asks for
// anything.
func TestGrantRecordGrantsGiveTheSameToBothPlanners(t *testing.T) {
	_, b := bind(t, byTwoNames)
	rapid.Check(t, func(r *rapid.T) {
		w := &simulatedPerson{person: access.Person{ID: ana, GroupIDs: []string{}}}
		var all []access.Grant
		for _, id := range []string{"g1", "g2", "g3"} {
			g := lease(id, time.Duration(rapid.SampledFrom([]int{-120, 60}).Draw(r, "over"))*time.Minute)
			g.From = g.From.Add(-2 * time.Hour)
			g.Target = rapid.SampledFrom([]access.Entitlement{group, byRole}).Draw(r, "target")
			all = append(all, g)
		}
		held := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"g1", "g2", "g3"}),
			rapid.ID[string]).Draw(r, "held by")
		if slices.Sort(held); len(held) > 0 {
			h := holding(true, nil)
			for _, id := range held {
				i := slices.IndexFunc(all, func(g access.Grant) bool { return g.ID == id })
				for _, gift := range b.GrantGives(all[i]) {
					h.Reasons = append(h.Reasons, gift.Reason)
				}
			}
			w.holdings, w.person.GroupIDs = []access.Holding{h}, []string{"t0"}
		}
		asks := func() (from []string) {
			for _, target := range []access.Entitlement{group, byRole} {
				k := plan.GrantRecord{Person: ana, Target: target, All: all, Holdings: w.holdings, At: now,
					Seen: map[access.Entitlement]bool{group: len(w.holdings) > 0}}
				for _, g := range all {
					if g.Target == target {
						k.Grants = append(k.Grants, g)
					}
				}
				for _, c := range k.Plan(b, run).Changes {
					if written(plan.GrantRecheck{Bound: b, Line: c, Person: w.person, Grants: all, At: now}) {
						from = append(from, labels([]access.Change{c})...)
					}
				}
			}
			slices.Sort(from)
			return slices.Compact(from)
		}
		s := w.state()
		s.Grants = all
		d := plan.Decide(b, w.person, s, run, now)
		require.Equal(r, labels(d.Changes), asks())
		w.apply(r, d)
		s.Holdings = w.holdings
		require.Empty(r, plan.Decide(b, w.person, s, run, now).Changes)
		require.Empty(r, asks())
	})
}

func TestGiving(t *testing.T) {
	_, b := bind(t, byTwoNames)
	other, late := lease("g2", time.Hour), lease("g3", -time.Second)
	other.Target = byRole
	target, _ := b.Target(group)
	var ids []string
	for _, g := range plan.GrantsGiving(b, []access.Grant{lease("g1", time.Hour), other, late}, target, now) {
		ids = append(ids, g.ID)
	}
	require.Equal(t, []string{"g1", "g2"}, ids, "by either name, and while it is in force")
}

func TestGave(t *testing.T) {
	first, second, circle := lease("g1", time.Hour), lease("g2", time.Hour), lease("g4", time.Hour)
	second.Renews, circle.Renews = "g1", "g4"
	h := holding(true, []access.Reason{grantOf("g1")})
	all := []access.Grant{first, second, circle}
	require.True(t, plan.HeldByGrant(h, "g1", all))
	require.True(t, plan.HeldByGrant(h, "g2", all), "it extends what gave it")
	require.False(t, plan.HeldByGrant(h, "g3", all))
	require.False(t, plan.HeldByGrant(h, "g4", all), "an extension of itself ends the search")
}

func TestGrantRecordSettle(t *testing.T) {
	seen, taken := lease("g3", time.Hour), lease("g4", -time.Minute)
	seen.ProvisionedAt, taken.RevokedAt = now, now
	k := plan.GrantRecord{Target: group, At: now,
		Grants: []access.Grant{lease("g1", time.Hour), lease("g2", -time.Minute), seen, taken}}
	given, over := k.Finished()
	require.Equal(t, []string{"g1"}, given)
	require.Equal(t, []string{"g2"}, over)
	require.Equal(t, "nothing is left", k.Remaining())
	k.Holdings = []access.Holding{holding(true, why), holding(false, nil)}
	require.Equal(t, "stays, for another reason: mapping m (source group source-0); somebody else gave it before",
		k.Remaining())
}
