package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
)

// A holding is its group's, whatever that was called once.
func TestDecideFollowsAGroupThatWasRenamed(t *testing.T) {
	former := access.Entitlement("group:as-it-was-called")
	named := func(owned bool) access.Holding {
		h := holding(owned, why)
		h.Target = former
		return h
	}
	closed := func(h access.Holding) access.Holding { h.Until = now; return h }
	opened := func(owned bool, reasons []access.Reason) access.Holding {
		h := holding(owned, reasons)
		h.Run, h.From = run, now
		return h
	}
	for name, tt := range map[string]struct {
		groups  []string
		held    []access.Holding
		actions []access.Action
		opens   []access.Holding
		closes  []access.Holding
	}{
		"wanted": {[]string{"s0", "t0"}, []access.Holding{named(true)}, nil,
			[]access.Holding{opened(true, why)}, []access.Holding{closed(named(true))}},
		"not wanted": {[]string{"t0"}, []access.Holding{named(true)}, []access.Action{access.Remove},
			[]access.Holding{opened(true, why)}, []access.Holding{closed(named(true))}},
		"not wanted, foreign": {[]string{"t0"}, []access.Holding{named(false)}, nil,
			[]access.Holding{opened(false, nil)}, []access.Holding{closed(named(false))}},
		"not wanted, foreign, gone": {nil, []access.Holding{named(false)}, nil, nil,
			[]access.Holding{closed(named(false))}},
		"for another reason": {[]string{"s1", "t0"}, []access.Holding{named(true)}, nil,
			[]access.Holding{opened(true, []access.Reason{{Kind: access.ReasonMapping, Name: "n",
				Source: "source-1"}})}, []access.Holding{closed(named(true))}},
		"seen by both names": {
			[]string{"s0", "t0"}, []access.Holding{named(true), holding(false, why)}, nil,
			[]access.Holding{opened(true, why)},
			[]access.Holding{closed(named(true)), closed(holding(false, why))},
		},
		"seen by both names, not wanted": {
			[]string{"t0"}, []access.Holding{named(true), holding(false, nil)}, []access.Action{access.Remove},
			[]access.Holding{opened(true, nil)},
			[]access.Holding{closed(named(true)), closed(holding(false, nil))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, b := bind(t, owning+"- {name: n, from: [source-1], to: ['group:target-0']}\n")
			d := plan.Decide(b, access.Person{ID: ana, GroupIDs: tt.groups}, plan.State{Holdings: tt.held}, run, now)
			var actions []access.Action
			for _, c := range d.Changes {
				actions = append(actions, c.Action)
			}
			require.Equal(t, tt.actions, actions)
			require.Equal(t, tt.opens, d.Open)
			require.Equal(t, tt.closes, d.Close)
		})
	}
}
