package ledger_test

import (
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
