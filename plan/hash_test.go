package plan_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
)

// drawPlan returns a plan in order, its strings chosen to confuse a careless hash.
func drawPlan(t *rapid.T, name string) []access.Change {
	text := rapid.SampledFrom([]string{"a", "b", "a|b", `a"`, `a"|"b`, "a\n", "\xff", "\xfe", `\xff`, ""})
	drawn := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) access.Change {
		return access.Change{
			Person: text.Draw(t, "person"), Target: access.Entitlement(text.Draw(t, "target")),
			GroupID: text.Draw(t, "group"),
			Action:  rapid.SampledFrom([]access.Action{access.Add, access.Remove, access.Adopt}).Draw(t, "action"),
		}
	}), 0, 6, func(c access.Change) string { return fmt.Sprintf("%q %q", c.Person, c.Target) }).Draw(t, name)
	slices.SortFunc(drawn, func(a, b access.Change) int {
		if a.Person != b.Person {
			return map[bool]int{true: -1, false: 1}[a.Person < b.Person]
		}
		return map[bool]int{true: -1, false: 1}[a.Target < b.Target]
	})
	return drawn
}

func TestHashIsTheLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := drawPlan(t, "one"), drawPlan(t, "two")
		if rapid.Bool().Draw(t, "again") {
			two = slices.Clone(one)
		}
		gone, added := plan.Compare(one, two)
		require.Equal(t, gone == 0 && added == 0, plan.Hash(one) == plan.Hash(two))
		require.Equal(t, len(two)-len(one), added-gone)

		hasher := plan.NewHasher() // in blocks, or all at once: the same
		for _, c := range one {
			c.Email, c.State, c.Answer = "ana@acme.example", access.Done, "said so"
			require.NoError(t, hasher.Add(c))
		}
		require.Equal(t, plan.Hash(rapid.Permutation(one).Draw(t, "shuffled")), hasher.Sum())
	})
}

func TestHashTellsLookAlikesApart(t *testing.T) {
	line := func(person, target, groupID string) access.Change {
		return access.Change{Person: person, Target: access.Entitlement(target), GroupID: groupID, Action: access.Add}
	}
	seen := map[string]bool{}
	for _, changes := range [][]access.Change{
		nil, {{}}, {line("a|b", "c", "")}, {line("a", "b|c", "")}, {line("a", "b", "|c")}, {line("a", "b", "c")},
		{line("ab", "c", "")},
		{line("\xff", "", "")}, {line("\xfe", "", "")}, {line(`\xff`, "", "")},
		{line("a", "b", "c\n"), line("b", "b", "c")}, {line("a", "b", "c"), line("b", "b", "c")},
	} {
		seen[plan.Hash(changes)] = true
	}
	require.Len(t, seen, 12)
}

func TestHasherRefusesDisorder(t *testing.T) {
	line := func(person, target string) access.Change {
		return access.Change{Person: person, Target: access.Entitlement(target), Action: access.Add}
	}
	for _, second := range []access.Change{line("b", "group:m"), line("b", "group:a"), line("a", "group:z")} {
		h := plan.NewHasher()
		require.NoError(t, h.Add(line("b", "group:m")))
		before := h.Sum()
		require.ErrorContains(t, h.Add(second), "line 2")
		require.Equal(t, before, h.Sum())
		require.NoError(t, h.Add(line("b", "group:n")))
	}
	require.ErrorContains(t, func() error {
		h := plan.NewHasher()
		_ = h.Add(access.Change{})
		return h.Add(access.Change{})
	}(), "twice")
}

func TestCompareCountsWhatChanged(t *testing.T) {
	a, b, c := lines(access.Add, "group:a", 3), lines(access.Remove, "group:a", 3), lines(access.Add, "group:b", 2)
	gone, added := plan.Compare(append(a, c...), append(slices.Clone(a[:2]), b[2], c[0], c[1]))
	require.Equal(t, 1, gone)
	require.Equal(t, 1, added)
	gone, added = plan.Compare(a, nil)
	require.Equal(t, 3, gone)
	require.Zero(t, added)
}

func TestInverse(t *testing.T) {
	add := access.Change{
		Person: ana, Email: "ana@acme.example", Target: group, GroupID: "t0", Action: access.Add, State: access.Done,
		Reasons: why, Sources: []string{"s0"}, Answer: "204", HeldBy: []string{"adopt"}, At: now,
	}
	undo, ok := plan.Inverse(add, "run-1")
	require.True(t, ok)
	require.Equal(t, access.Change{
		Person: ana, Email: "ana@acme.example", Target: group, GroupID: "t0", Action: access.Remove,
		State:   access.Planned,
		Reasons: []access.Reason{{Kind: access.ReasonUndo, Name: "run-1"}},
	}, undo)
	undo.State = access.Done
	redo, ok := plan.Inverse(undo, "run-2")
	require.True(t, ok)
	require.Equal(t, plan.Hash([]access.Change{add}), plan.Hash([]access.Change{redo}),
		"the inverse of the inverse writes what was written")

	for _, state := range []access.ChangeState{access.Planned, access.Held, access.Rejected, access.Sent,
		access.Already, access.Shortage, access.Refused, access.Superseded, access.Failed, access.Recorded} {
		add.State = state
		_, ok := plan.Inverse(add, "run-1")
		require.False(t, ok, state)
	}
	add.State, add.Action = access.Done, access.Adopt
	_, ok = plan.Inverse(add, "run-1")
	require.False(t, ok)
}
