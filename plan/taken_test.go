package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
)

// What somebody else took, as the event feed says, and the read shows all the same, was given since: it is not taken.
func TestDecideLeavesWhatWasTakenAndGivenAgain(t *testing.T) {
	taken := &access.OutOfBandRemoval{At: now.Add(-time.Minute), Action: "user_removed_from_group"}
	for name, tt := range map[string]struct {
		policy  string
		groups  []string
		owned   bool
		ended   bool
		actions []access.Action
		foreign int
	}{
		"not wanted, shown": {owning, []string{"t0"}, true, true, nil, 1},
		"wanted, shown":     {owning, []string{"s0", "t0"}, true, true, nil, 0},
		"wanted, to adopt": {adopting, []string{"s0", "t0"}, true, true,
			[]access.Action{access.Adopt}, 0},
		"not wanted, whoever gave it":           {all, []string{"t0"}, true, true, []access.Action{access.Remove}, 1},
		"not wanted, not shown":                 {owning, nil, true, false, []access.Action{access.Remove}, 0},
		"wanted, not shown":                     {owning, []string{"s0"}, true, false, []access.Action{access.Add}, 0},
		"somebody else's all along, not wanted": {owning, []string{"t0"}, false, false, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, b := bind(t, tt.policy)
			h := holding(tt.owned, why)
			h.Taken = taken
			state := plan.State{Holdings: []access.Holding{h}}
			if tt.ended { // a write of Castellan's own before that is no truth any more
				state.Recent = []access.Change{done(access.Add, 70)}
			}
			d := plan.Decide(b, access.Person{ID: ana, GroupIDs: tt.groups}, state, run, now)
			var actions []access.Action
			for _, c := range d.Changes {
				actions = append(actions, c.Action)
			}
			require.Equal(t, tt.actions, actions)
			require.Equal(t, tt.foreign, d.Foreign)
			if !tt.ended {
				require.Empty(t, d.Ended)
				return
			}
			h.Until = taken.At
			require.Equal(t, []access.Holding{h}, d.Ended)
			require.Len(t, d.Open, 1)
			require.False(t, d.Open[0].Owned)
			state.Holdings = d.Open
			again := plan.Decide(b, access.Person{ID: ana, GroupIDs: tt.groups}, state, "run-3", now.Add(time.Second))
			require.Equal(t, d.Changes, again.Changes, "nor is it at the next look")
			require.Empty(t, again.Open)
			require.Empty(t, d.Close)
		})
	}
}
