package plan_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// guarded manages target-0 (40 members), target-1 (40), target-2 (40) and the admin role (unknown members).
const guarded = `
- {name: a, from: [source-0], to: ["group:target-0"]}
- {name: b, from: [source-0, source-1], to: ["default:confluence/acme/user", "group:target-2", "role:org-admin"]}
`

// lines makes n changes of one action, each of another person.
func lines(action access.Action, target access.Entitlement, n int, loses ...string) []access.Change {
	out := make([]access.Change, n)
	for i := range out {
		out[i] = access.Change{Person: fmt.Sprint(target, "-", i), Target: target, Action: action, Loses: loses}
	}
	return out
}

func TestJudge(t *testing.T) {
	const t0, t1, t2 = access.Entitlement("group:target-0"), access.Entitlement("group:target-1"),
		access.Entitlement("group:target-2")
	type counts struct {
		changes  []access.Change
		past     map[access.Entitlement]int
		suspects []plan.Suspect
		moved    []plan.MovedDefault
		fresh    bool // not adopted
	}
	tests := map[string]struct {
		guard  string
		counts counts
		rules  []string
		detail string
		holds  map[string][]string // a change, as action and target, to the rules that stop it
	}{
		"nothing to do": {"", counts{fresh: true}, nil, "", nil},
		"first run": {"", counts{changes: lines(access.Add, t0, 3), fresh: true}, []string{"adopt"},
			"would add 3, remove 0 and adopt 0",
			map[string][]string{"add group:target-0": {"adopt"}, "adopt group:target-1": {"adopt"},
				"remove group:target-1": {"adopt"}}},
		"first run without asking": {"adopt: auto", counts{changes: lines(access.Add, t0, 3), fresh: true},
			nil, "", nil},
		"on the run's limit": {"run: {removals: 8}", counts{changes: lines(access.Remove, t0, 8)}, nil, "", nil},
		"over the run's limit": {"run: {removals: 7}", counts{changes: lines(access.Remove, t0, 8)},
			[]string{"run-removals"}, "would remove 8 memberships; the limit is 7",
			map[string][]string{"remove group:target-2": {"run-removals"}, "add group:target-0": nil,
				"adopt group:target-0": nil}},
		"on the run's share": {"run: {share: 5%}", counts{changes: lines(access.Remove, t0, 6)}, nil, "", nil},
		"over the run's share": {"run: {share: 5%}", counts{changes: lines(access.Remove, t0, 7)},
			[]string{"run-share"}, "would remove 7 of 120 memberships; the limit is 5%",
			map[string][]string{"remove group:target-1": {"run-share"}}},
		"too few for the run's share": {"run: {share: 1%, atLeast: 7}", counts{changes: lines(access.Remove, t0, 7)},
			nil, "", nil},
		"over a target's limit": {"target: {removals: 2}",
			counts{changes: append(lines(access.Remove, t0, 3), lines(access.Remove, t1, 2)...)},
			[]string{"target-removals"}, "would remove 3 people from group:target-0; the limit is 2",
			map[string][]string{"remove group:target-0": {"target-removals"}, "remove group:target-1": nil,
				"add group:target-0": nil}},
		"on a target's share": {"", counts{changes: lines(access.Remove, t0, 8)}, nil, "", nil},
		"over a target's share": {"window: {share: 100%}", counts{changes: lines(access.Remove, t0, 9)},
			[]string{"target-share"}, "would remove 9 of 40 people from group:target-0; the limit is 20%",
			map[string][]string{"remove group:target-0": {"target-share"}, "remove group:target-2": nil}},
		"a small target's share": {"target: {minimum: 41}", counts{changes: lines(access.Remove, t0, 12)},
			nil, "", nil},
		"unknown members have no share": {"", counts{changes: lines(access.Remove, access.OrgAdmin, 5)}, nil, "", nil},
		"last access": {"lastAccess: {people: 2}", counts{changes: lines(access.Remove, t0, 3, "jira-software/acme")},
			[]string{"last-access"}, "3 people would lose their last access to jira-software/acme; the limit is 2",
			map[string][]string{"remove group:target-0": nil,
				"remove group:target-0 jira-software/acme": {"last-access"},
				"remove group:target-1 confluence/acme":    nil}},
		"window": {"", counts{changes: lines(access.Remove, t0, 1),
			past: map[access.Entitlement]int{"group:forgotten": 200}}, []string{"window"},
			"200 memberships were removed over 7 days and the run would remove 1 more; the limit is 200",
			map[string][]string{"remove group:target-2": {"window"}, "add group:target-2": nil}},
		"window without removals now": {"",
			counts{changes: lines(access.Add, t0, 1), past: map[access.Entitlement]int{t0: 300}}, nil, "", nil},
		"window of a target on its share": {"",
			counts{changes: lines(access.Remove, t0, 4), past: map[access.Entitlement]int{t0: 5}}, nil, "", nil},
		"window of a target": {"", counts{changes: lines(access.Remove, t0, 3),
			past: map[access.Entitlement]int{t0: 8}}, []string{"window"},
			"of the 48 people in group:target-0, 8 were removed over 7 days and the run would remove 3 more",
			map[string][]string{"remove group:target-0": {"window"}, "remove group:target-1": nil}},
		"suspect source": {"", counts{changes: lines(access.Remove, t1, 1),
			suspects: []plan.Suspect{{GroupID: "s1", Name: "source-1", Why: "it shrank"}}}, []string{"source-suspect"},
			"source-1 is suspect: it shrank; 1 removals",
			map[string][]string{"remove group:target-1": {"source-suspect"},
				"remove group:target-2": {"source-suspect"}, "remove default:confluence/acme/user": {"source-suspect"},
				"remove group:target-0": nil, "add group:target-1": nil}},
		"suspect source that is gone": {"",
			counts{changes: lines(access.Remove, t0, 1),
				suspects: []plan.Suspect{{GroupID: "old-id", Name: "Source-0", Why: "gone"}}},
			[]string{"source-suspect"}, "gone",
			map[string][]string{"remove group:target-0": {"source-suspect"},
				"remove role:org-admin": {"source-suspect"}}},
		"suspect source without removals": {"",
			counts{changes: lines(access.Add, t1, 1), suspects: []plan.Suspect{{GroupID: "s1", Name: "source-1"}}},
			nil, "", nil},
		"default moved": {"", counts{changes: lines(access.Add, t1, 1),
			moved: []plan.MovedDefault{{Entitlement: "default:confluence/acme/user", Old: []string{"target-2"},
				New: []string{"target-1"}}}}, []string{"default-moved"},
			"default:confluence/acme/user stood for target-2 and now stands for target-1; 1 changes wait",
			map[string][]string{"add group:target-1": {"default-moved"}, "remove group:target-2": {"default-moved"},
				"add group:target-0": nil}},
		"several rules": {"run: {removals: 1}\n  target: {removals: 1}",
			counts{changes: lines(access.Remove, t2, 2), fresh: true},
			[]string{"adopt", "run-removals", "target-removals"}, "",
			map[string][]string{"remove group:target-2": {"adopt", "run-removals", "target-removals"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, b := bind(t, guarded+"guard:\n  lastAccess: {people: 1000}\n")
			if tt.guard != "" {
				p, b = bind(t, guarded+"guard:\n  "+tt.guard+"\n")
			}
			s := plan.NewStats(b)
			s.Adopted, s.Suspects, s.Moved = !tt.counts.fresh, tt.counts.suspects, tt.counts.moved
			for _, c := range tt.counts.changes {
				s.Add([]access.Change{c})
			}
			for target, n := range tt.counts.past {
				s.AddPast(target, n)
			}
			verdicts := plan.Judge(p, b, s)
			var rules []string
			for _, v := range verdicts {
				rules = append(rules, v.Rule)
			}
			require.Equal(t, tt.rules, rules)
			if tt.detail != "" {
				require.Contains(t, verdicts[0].Detail, tt.detail)
			}
			for text, want := range tt.holds {
				word := strings.Fields(text)
				c := access.Change{Action: access.Action(word[0]), Target: access.Entitlement(word[1]), Loses: word[2:]}
				require.Equal(t, want, plan.HeldBy(verdicts, b, c), text)
			}
			text, err := json.Marshal(verdicts) // verdicts travel in messages
			require.NoError(t, err)
			var travelled []plan.Verdict
			require.NoError(t, json.Unmarshal(text, &travelled))
			require.Equal(t, verdicts, travelled)
		})
	}
}

func TestStatsAddUpInAnyBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, b := bind(t, guarded)
		whole, parts := plan.NewStats(b), plan.NewStats(b)
		for range rapid.IntRange(0, 5).Draw(t, "blocks") {
			var block plan.Stats
			for range rapid.IntRange(0, 5).Draw(t, "people") {
				var changes []access.Change
				for _, target := range b.Targets {
					changes = append(changes, access.Change{Target: target.Entitlement, Loses: target.Apps,
						Action: rapid.SampledFrom([]access.Action{access.Add, access.Remove, access.Adopt}).Draw(t,
							"action")})
				}
				whole.Add(changes)
				block.Add(changes)
			}
			parts.Merge(block)
		}
		require.Equal(t, whole, parts)
	})
}

func TestJudgePersonLosesAnAppOnce(t *testing.T) {
	var s plan.Stats
	s.Add(append(lines(access.Remove, "group:a", 1, "jira-software/acme"),
		lines(access.Remove, "group:b", 1, "jira-software/acme", "confluence/acme")...))
	require.Equal(t, map[string]int{"jira-software/acme": 1, "confluence/acme": 1}, s.LastAccess)
}

// Whatever the guard stops, every line of a plan is either held or released, and never an addition because of removals.
func TestJudgeHeldAndReleasedAreAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, b := bind(t, drawMappings(t)+
			"guard: {adopt: auto, run: {removals: 1}, target: {removals: 0}, lastAccess: {people: 0}}\n")
		s := plan.NewStats(b)
		var all []access.Change
		for i := range rapid.IntRange(1, 6).Draw(t, "people") {
			p := drawSimulatedPerson(t, b)
			p.person.ID = fmt.Sprint("person-", i)
			changes := plan.Decide(b, p.person, p.state(), run, now).Changes
			s.Add(changes)
			all = append(all, changes...)
		}
		verdicts := plan.Judge(p, b, s)
		var held, released []access.Change
		for _, c := range all {
			rules := plan.HeldBy(verdicts, b, c)
			if len(rules) > 0 {
				held = append(held, c)
				require.Equal(t, access.Remove, c.Action, rules)
			} else {
				released = append(released, c)
				require.NotEqual(t, access.Remove, c.Action, "a limit of 0 removals from a target holds each")
			}
		}
		require.Equal(t, plan.Hash(all), plan.Hash(append(held, released...)))
	})
}

func TestJudgeMoves(t *testing.T) {
	_, b := bind(t, guarded)
	const e = access.Entitlement("default:confluence/acme/user")
	require.Empty(t, plan.MovedDefaults(nil, b))
	require.Empty(t, plan.MovedDefaults(b.Defaults(), b))
	require.Equal(t, []plan.MovedDefault{{Entitlement: e, Old: []string{"target-3"}, New: []string{"target-1"}}},
		plan.MovedDefaults(map[access.Entitlement][]string{e: {"target-3"}, "default:jira/gone/user": {"x"}}, b))
}

func TestSuspects(t *testing.T) {
	p, b := bind(t, guarded)
	before := map[string]plan.Count{"s0": {Name: "source-0", Users: 100}, "s1": {Name: "source-1", Users: 4},
		"s5": {Name: "source-5", Users: 50}}
	tests := map[string]struct {
		before    map[string]plan.Count
		now, seen map[string]int
		want      map[string]string // group id to a part of why
	}{
		"all well":            {before, map[string]int{"s0": 100, "s1": 4}, nil, nil},
		"shrunk on the limit": {before, map[string]int{"s0": 70, "s1": 4}, nil, nil},
		"shrunk": {before, map[string]int{"s0": 69, "s1": 4}, nil,
			map[string]string{"s0": "from 100 to 69 members since the last good run; the limit is 30%"}},
		"a small group may": {before, map[string]int{"s0": 100, "s1": 0}, nil, nil},
		"grown":             {before, map[string]int{"s0": 1000, "s1": 4}, nil, nil},
		"gone": {before, map[string]int{"s1": 4}, nil,
			map[string]string{"s0": "had 100 members, is gone or no longer synced"}},
		"made anew": {map[string]plan.Count{"old": {Name: "SOURCE-1", Users: 9}},
			map[string]int{"s0": 1, "s1": 9}, nil, nil},
		"made anew, smaller": {map[string]plan.Count{"old": {Name: "SOURCE-1", Users: 9}},
			map[string]int{"s0": 1, "s1": 6}, nil, map[string]string{"old": "3 of the 9 people it had are missing"}},
		"made anew, not met": {map[string]plan.Count{"old": {Name: "source-1", Users: 9}},
			map[string]int{"s0": 1, "s1": 9}, map[string]int{"s0": 1},
			map[string]string{"old": "sweep met 0", "s1": "sweep met 0"}},
		"made anew, not counted": {map[string]plan.Count{"old": {Name: "source-1", Users: 9}},
			map[string]int{"s0": 1, "s1": -1}, nil, map[string]string{"old": "does not count"}},
		"made anew long ago": {map[string]plan.Count{"old": {Name: "source-1", Users: 9},
			"s1": {Name: "source-1", Users: 0}}, map[string]int{"s0": 1, "s1": 9}, nil, nil},
		"another took its name": {map[string]plan.Count{"old": {Name: "source-1", Users: 9},
			"s1": {Name: "source-7", Users: 9}}, map[string]int{"s0": 1, "s1": 9}, nil,
			map[string]string{"old": "gone"}},
		"renamed": {map[string]plan.Count{"s1": {Name: "source-0", Users: 9}},
			map[string]int{"s0": 1, "s1": 9}, nil,
			map[string]string{"s1": "has the name source-1 now, and the policy names it source-0"}},
		"renamed, not mapped": {map[string]plan.Count{"s1": {Name: "source-7", Users: 9}},
			map[string]int{"s0": 1, "s1": 9}, nil, nil},
		"renamed away, swept": {map[string]plan.Count{"s4": {Name: "source-0", Users: 9}},
			map[string]int{"s0": 1, "s4": 9}, map[string]int{"s0": 1}, map[string]string{"s4": "has the name"}},
		"counts disagree": {before, map[string]int{"s0": 100, "s1": 4}, map[string]int{"s0": 99, "s1": 4},
			map[string]string{"s0": "counts 100 members, the sweep met 99"}},
		"nobody met": {nil, map[string]int{"s0": 3, "s1": 0}, map[string]int{},
			map[string]string{"s0": "met 0"}},
		"no count, shrunk": {before, map[string]int{"s0": -1, "s1": -1}, map[string]int{"s0": 10, "s1": 4},
			map[string]string{"s0": "from 100 to 10"}},
		"no count, not swept": {before, map[string]int{"s0": -1, "s1": -1}, nil, nil},
		"first run":           {nil, map[string]int{"s0": 5, "s1": 5}, nil, nil},
		"groups of no mapping": {map[string]plan.Count{"s5": {Name: "source-5", Users: 50},
			"x": {Name: "x", Users: 9}}, map[string]int{"s0": 1, "s1": 1, "s4": 1}, nil, nil},
		"a forged count": {map[string]plan.Count{"s0": {Name: "source-0", Users: 1, Unexplained: true}},
			map[string]int{"s0": 1}, nil, map[string]string{"s0": "chain does not explain"}},
		"several, sorted by name": {before, map[string]int{}, nil, map[string]string{"s0": "gone", "s1": "gone"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := plan.Suspects(p, b, tt.before, tt.now, tt.seen, nil)
			require.Len(t, got, len(tt.want))
			for i, s := range got {
				require.Contains(t, tt.want, s.GroupID)
				require.Contains(t, s.Why, tt.want[s.GroupID])
				require.NotEmpty(t, s.Name)
				if i > 0 {
					require.LessOrEqual(t, got[i-1].Name, s.Name)
				}
			}
		})
	}
}

// A group that was made anew with as many members is no use when they are others.
func TestSuspectsCountWhoWouldLoseByAGroupMadeAnew(t *testing.T) {
	p, b := bind(t, guarded)
	before, now := map[string]plan.Count{"old": {Name: "source-0", Users: 10}}, map[string]int{"s0": 10, "s1": 1}
	suspects, recreated := plan.Suspects(p, b, before, now, nil, map[string]int{"source-0": 3})
	require.Empty(t, suspects)
	require.Equal(t, []plan.RecreatedGroup{{Name: "source-0", Was: "old", ID: "s0", Had: 10, Users: 10}}, recreated)
	suspects, recreated = plan.Suspects(p, b, before, now, nil, map[string]int{"source-0": 4})
	require.Empty(t, recreated)
	require.Len(t, suspects, 1)
	require.Contains(t, suspects[0].Why, "4 of the 10 people it had are missing")
}

// The defaults stop a source that vanished from emptying its target.
func TestJudgeVanishedSourceRemovesNobody(t *testing.T) {
	o := outline()
	p := parse(t, owning)
	before := map[string]plan.Count{"s0": {Name: "source-0", Users: 10}}
	o.Groups = o.Groups[1:]
	b, _ := policy.BindSince(p, o, policy.Last{Sources: []string{"source-0"}})
	s := plan.NewStats(b)
	s.Adopted = true
	d := plan.Decide(b, access.Person{ID: ana, GroupIDs: []string{"t0"}},
		plan.State{Holdings: []access.Holding{holding(true, why)}}, run, now)
	require.Len(t, d.Changes, 1)
	s.Add(d.Changes)
	s.Suspects, _ = plan.Suspects(p, b, before, map[string]int{}, nil, nil)
	require.Equal(t, []string{plan.RuleSourceSuspect}, plan.HeldBy(plan.Judge(p, b, s), b, d.Changes[0]))
}

// When another group becomes the default, people are moved over together: nothing happens until somebody agrees, and no
// one loses the app on the way.
func TestJudgeMovedDefaultWaitsAndThenMovesPeople(t *testing.T) {
	p := parse(t, "- {name: m, from: [source-0], to: ['default:jira/acme/user']}\n")
	last := policy.Last{Defaults: map[access.Entitlement][]string{"default:jira-software/acme/user": {"target-2"}}}
	b, _ := policy.BindSince(p, outline(), last)
	s := plan.NewStats(b)
	s.Adopted, s.Moved = true, plan.MovedDefaults(last.Defaults, b)
	h := access.Holding{Person: ana, Target: "group:target-2", GroupID: "t2", Owned: true, Reasons: why}
	d := plan.Decide(b, access.Person{ID: ana, GroupIDs: []string{"s0", "t2"}},
		plan.State{Holdings: []access.Holding{h}}, run, now)
	s.Add(d.Changes)
	verdicts := plan.Judge(p, b, s)
	var labels []string
	for _, c := range d.Changes {
		labels = append(labels, c.Label())
		require.Equal(t, []string{plan.RuleDefaultMoved}, plan.HeldBy(verdicts, b, c))
		require.Empty(t, c.Loses)
	}
	require.Equal(t, []string{"add ana-account to group:target-0", "remove ana-account from group:target-2"}, labels)
}
