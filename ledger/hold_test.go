package ledger_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

// stopped saves a run with one planned and one held line, and opens a hold on it.
func stopped(t testing.TB, l *ledger.Ledger, run, rule string, opened time.Time) (ledger.Hold, access.Change) {
	t.Helper()
	line := change(person(2), access.Remove, "dev")
	line.State, line.HeldBy = access.Held, []string{rule}
	plan(t, l, run, change(person(1), access.Add, "dev"), line)
	hold := ledger.Hold{
		Org: org, Plan: "plan-" + run, Run: run, Removals: 1, People: 1, Opened: opened,
		Rules: []ledger.HoldRule{{Rule: rule, Scope: "group:dev", Detail: "1 of 2"}},
	}
	require.NoError(t, l.OpenHold(t.Context(), hold))
	return hold, line
}

func TestDecisionsOnAHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, decision, rule string
		line                 access.ChangeState
		remembered           bool
	}{
		{"approve", ledger.Approve, "share", access.Planned, false},
		{"reject", ledger.Reject, "share", access.Rejected, true},
		{"reject adoption", ledger.Reject, "adopt", access.Rejected, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				hold, line := stopped(t, l, "r1", c.rule, noon)
				current, err := l.CurrentHold(t.Context(), org)
				require.NoError(t, err)
				require.Equal(t, hold, current)
				at := noon.Add(time.Hour)
				hold.Decision, hold.By, hold.Note, hold.Decided = c.decision, "carol", "CHG-12", at
				for range 2 {
					decided, err := l.DecideHold(t.Context(), org, hold.Plan, c.decision, "carol", "CHG-12", at)
					require.NoError(t, err)
					require.Equal(t, hold, decided)
				}
				stored, err := l.Line(t.Context(), org, "r1", line.Person, line.Target)
				require.NoError(t, err)
				line.State, line.At = c.line, at
				require.Equal(t, line, stored)
				states, err := l.States(t.Context(), org, []string{line.Person}, noon)
				require.NoError(t, err)
				require.Equal(t, c.remembered, len(states[line.Person].Rejected) == 1)
				other, err := l.Line(t.Context(), org, "r1", person(1).ID, group("dev"))
				require.NoError(t, err)
				require.Equal(t, access.Planned, other.State)

				_, err = l.CurrentHold(t.Context(), org)
				require.ErrorIs(t, err, ledger.ErrNotFound)
				require.NoError(t, l.OpenHold(t.Context(),
					ledger.Hold{Org: org, Plan: hold.Plan, Run: "r1", Opened: noon}))
				_, err = l.CurrentHold(t.Context(), org)
				require.ErrorIs(t, err, ledger.ErrNotFound, "a late repeat does not open it again")
				opposite := map[string]string{ledger.Approve: ledger.Reject, ledger.Reject: ledger.Approve}[c.decision]
				_, err = l.DecideHold(t.Context(), org, hold.Plan, opposite, "bo", "", at)
				require.ErrorIs(t, err, ledger.ErrNotOpen)
				require.Equal(t, []string{"hold-opened", "hold-decided"}, kinds(t, l))
				sound(t, l)
			})
		})
	}
}

func TestOneHoldIsOpenAtATime(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.DecideHold(t.Context(), org, "plan-r1", ledger.Approve, "carol", "", noon)
		require.ErrorIs(t, err, ledger.ErrNotOpen)
		_, err = l.DecideHold(t.Context(), org, "plan-r1", "maybe", "carol", "", noon)
		require.ErrorContains(t, err, "approve or reject")
		require.NoError(t, l.CloseHold(t.Context(), org, "nothing is there to close"))

		first, _ := stopped(t, l, "r1", "share", noon)
		again := first
		again.Run, again.Opened, again.Changed = "r2", noon.Add(time.Hour), "read again"
		require.NoError(t, l.OpenHold(t.Context(), again))
		current, err := l.CurrentHold(t.Context(), org)
		require.NoError(t, err)
		again.Opened = noon
		require.Equal(t, again, current, "the same plan has waited since it was first held")

		second, _ := stopped(t, l, "r3", "share", noon.Add(2*time.Hour))
		_, err = l.DecideHold(t.Context(), org, first.Plan, ledger.Approve, "carol", "", noon)
		require.ErrorIs(t, err, ledger.ErrNotOpen)
		require.ErrorContains(t, err, second.Plan, "the refusal names the plan that waits")
		require.NoError(t, l.CloseHold(t.Context(), org, "all clear"))
		require.NoError(t, l.CloseHold(t.Context(), org, "again"))
		_, err = l.DecideHold(t.Context(), org, second.Plan, ledger.Approve, "carol", "", noon)
		require.ErrorIs(t, err, ledger.ErrNotOpen)
		require.NoError(t, l.OpenHold(t.Context(), second), "what was closed by itself may come back")

		holds, err := l.Holds(t.Context(), org, 0)
		require.NoError(t, err)
		var decisions []string
		for _, h := range holds {
			decisions = append(decisions, h.Plan+" "+h.Decision)
		}
		require.Equal(t, []string{"plan-r3 ", "plan-r3 closed", "plan-r1 replaced"}, decisions)
		require.Equal(t, "all clear", holds[1].Note)
		require.Equal(t, []string{"hold-opened", "hold-decided", "hold-opened", "hold-decided", "hold-opened"},
			kinds(t, l))
	})
}

func TestHoldsOfLanes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		first, _ := stopped(t, l, "r1", "share", noon)
		update := access.Change{Person: person(3).ID, Target: "record", Action: access.Update, State: access.Held,
			Edits: []access.Edit{{Attribute: "title", From: "Dev", To: "Lead"}}, At: noon}
		plan(t, l, "i1", update)
		identity := ledger.Hold{Org: org, Lane: ledger.LaneIdentity, Plan: "plan-i1", Run: "i1", Updates: 1, People: 1,
			Opened: minutes(1)}
		require.NoError(t, l.OpenHold(ctx, identity))
		same := identity
		same.Run = "r1"
		require.ErrorContains(t, l.OpenHold(ctx, same), "in a run of their own")
		open := func(lane ledger.Lane) ledger.Hold {
			t.Helper()
			h, err := l.CurrentHoldIn(ctx, org, lane)
			require.NoError(t, err)
			return h
		}
		require.Equal(t, "plan-r1", open(ledger.LaneAccess).Plan)
		require.Equal(t, identity, open(ledger.LaneIdentity))
		current, err := l.CurrentHold(ctx, org)
		require.NoError(t, err)
		require.Equal(t, first.Plan, current.Plan)

		_, err = l.DecideHold(ctx, org, "plan-i1", ledger.Approve, "carol", "", minutes(2))
		require.ErrorIs(t, err, ledger.ErrNotOpen, "it is of another lane")
		_, err = l.DecideHold(ctx, org, "plan-r1", ledger.Approve, "carol", "", minutes(2))
		require.NoError(t, err)
		require.Equal(t, "plan-i1", open(ledger.LaneIdentity).Plan)
		line, err := l.Line(ctx, org, "i1", person(3).ID, "record")
		require.NoError(t, err)
		require.Equal(t, update, line, "what was approved is the other lane")
		for range 2 {
			decided, err := l.DecideHoldIn(ctx, org, ledger.LaneIdentity, "plan-i1", ledger.Reject, "carol", "",
				minutes(3))
			require.NoError(t, err)
			require.Equal(t, ledger.LaneIdentity, decided.Lane)
		}
		require.Equal(t, update.Edits, state(t, l, person(3).ID).Rejected[0].Edits)
		second := identity
		second.Plan, second.Run = "plan-i2", "i2"
		require.NoError(t, l.OpenHold(ctx, second))
		require.NoError(t, l.CloseHold(ctx, org, "of the other lane"))
		require.Equal(t, "plan-i2", open(ledger.LaneIdentity).Plan)
		require.NoError(t, l.CloseHoldIn(ctx, org, ledger.LaneIdentity, "nothing is held"))
		for lane, want := range map[ledger.Lane][]string{ledger.LaneAccess: {"plan-r1"},
			ledger.LaneIdentity: {"plan-i2", "plan-i1"}} {
			all, err := l.HoldsIn(ctx, org, lane, 0)
			require.NoError(t, err)
			var plans []string
			for _, h := range all {
				plans = append(plans, h.Plan)
			}
			require.Equal(t, want, plans)
		}
		all, err := l.Holds(ctx, org, 0)
		require.NoError(t, err)
		require.Len(t, all, 1)
		lanes := map[string]int{}
		for _, e := range entries(t, l, 0) {
			var said struct{ Lane, Updates json.RawMessage }
			require.NoError(t, json.Unmarshal(e.Body, &said))
			lanes[e.Kind+" "+string(said.Lane)+string(said.Updates)]++
		}
		require.Equal(t, map[string]int{"hold-opened ": 1, "hold-decided ": 1, `hold-opened "identity"1`: 2,
			`hold-decided "identity"`: 2}, lanes)
		sound(t, l)
		_, err = l.Exec(ctx, `UPDATE holds SET lane = '' WHERE plan = 'plan-i2'`)
		require.NoError(t, err)
		require.Contains(t, unexplained(t, l)[0], "it is not as entry")
	})
}

// TestHoldInTheLaneOfAccessIsRecordedAsBefore: the hashes of rows and the entries' bodies are those of ledgers from
// before there were lanes.
func TestHoldInTheLaneOfAccessIsRecordedAsBefore(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		stopped(t, l, "r1", "share", noon)
		_, err := l.DecideHold(t.Context(), org, "plan-r1", ledger.Reject, "carol", "CHG-12", minutes(1))
		require.NoError(t, err)
		all, err := l.Entries(t.Context(), org, 0, 0)
		require.NoError(t, err)
		var bodies []string
		for _, e := range all {
			bodies = append(bodies, strings.Replace(string(e.Body), `"v":4`, `"v":2`, 1))
		}
		require.Equal(t, beforeLanes, bodies)
	})
}

// beforeLanes is what a Castellan without lanes wrote for the same hold.
var beforeLanes = []string{
	`{"adds":0,"adopts":0,"changed":"","people":1,"plan":"plan-r1","removals":1,"rules":[{"rule":"share","scope":"group:dev","detail":"1 of 2"}]}`,
	`{"v":2,"rows":[["holds","1","9iJr7KV_-ASUUJ1b9jhdj_y1-dMob27-"]]}`,
	`{"by":"carol","decision":"reject","note":"CHG-12","plan":"plan-r1"}`,
	`{"v":2,"rows":[["holds","1","F9Lwm30Jsd3Rg8kYmR_hz4qLm4eD3uUc"],["rejections","id-00002","group:dev","remove","B7pJLTOhEwnFRl-S14gnzBiklOTCMGE7"]]}`,
}
