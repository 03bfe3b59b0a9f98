package plan_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
)

// TestJudgeRecordsOfMemberships: who leaves groups of a SCIM directory is judged like who leaves local ones, and what
// holds them holds no records.
func TestJudgeRecordsOfMemberships(t *testing.T) {
	eng, ops := access.SCIMGroupTarget("staff", "eng"), access.SCIMGroupTarget("staff", "ops")
	gone := lines(access.Remove, ops, 30)
	for n := range gone {
		gone[n].Edits = []access.Edit{{Attribute: access.GroupAttribute, From: "s1"}}
	}
	tests := map[string]struct {
		guard   string
		changes []access.Change
		past    int // removals from eng
		rules   []string
		holds   []access.Entitlement // whose removals wait
	}{
		"additions have no limit": {changes: lines(access.Add, eng, 500)},
		"over the run's limit": {guard: "run: {removals: 7}", changes: lines(access.Remove, eng, 8),
			rules: []string{"run-removals"}, holds: []access.Entitlement{eng, ops}},
		"over the run's share": {guard: "run: {share: 5%}, target: {share: 100%}, window: {share: 100%}",
			changes: lines(access.Remove, eng, 9), rules: []string{"run-share"}, holds: []access.Entitlement{eng, ops}},
		"over a target's limit": {guard: "target: {removals: 2}",
			changes: slices.Concat(lines(access.Remove, eng, 3), lines(access.Remove, ops, 2)),
			rules:   []string{"target-removals"}, holds: []access.Entitlement{eng}},
		"over a target's share": {guard: "run: {share: 100%}, window: {share: 100%}",
			changes: lines(access.Remove, eng, 9), rules: []string{"target-share"}, holds: []access.Entitlement{eng}},
		"over the window": {guard: "run: {share: 100%}", changes: lines(access.Remove, eng, 5), past: 10,
			rules: []string{"window"}, holds: []access.Entitlement{eng}},
		"last access": {guard: "lastAccess: {people: 1}", changes: lines(access.Remove, eng, 2, "jira-software/acme"),
			rules: []string{"last-access"}, holds: nil},
		"with a group that is deleted": {changes: gone},
		"too many leavers stay in their groups": {guard: "deactivations: {people: 1}",
			changes: slices.Concat(lines(access.Remove, access.RecordTarget("staff"), 2), lines(access.Remove, eng, 2)),
			rules:   []string{"deactivations"}, holds: []access.Entitlement{access.RecordTarget("staff"), eng, ops}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := plan.RecordStats{Provision: "staff", Adopted: true, Active: 100}
			s.Memberships.Targets = map[access.Entitlement]plan.Tally{eng: {Members: 40}, ops: {Members: 120}}
			s.Memberships.AddPast(eng, tt.past)
			for _, c := range tt.changes {
				s.Add(c)
			}
			verdicts := plan.JudgeRecords(parse(t, "- {name: a, from: [x], to: [\"group:x\"]}\nguard: {"+tt.guard+"}"), s)
			var rules []string
			var holds []access.Entitlement
			for _, v := range verdicts {
				rules = append(rules, v.Rule)
				require.False(t, v.Holds(access.Change{Action: access.Add, Target: eng}))
				require.False(t, v.Holds(gone[0]) && v.Rule != "deactivations", "it waits for its group")
			}
			for _, target := range []access.Entitlement{access.RecordTarget("staff"), eng, ops} {
				removal := access.Change{Action: access.Remove, Target: target}
				if slices.ContainsFunc(verdicts, func(v plan.Verdict) bool { return v.Holds(removal) }) {
					holds = append(holds, target)
				}
			}
			require.Equal(t, tt.rules, rules)
			require.Equal(t, tt.holds, holds)
		})
	}
}
