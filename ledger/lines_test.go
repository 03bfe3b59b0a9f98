package ledger_test

import (
	"sort"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

// mixed is a plan whose people and targets sort differently by bytes than by the rules of a language.
func mixed() []access.Change {
	var changes []access.Change
	actions := []access.Action{access.Remove, access.Add, access.Adopt}
	for i, id := range []string{"b", "B", "a", "Ä", "ä", "712020:f-1", "_x"} {
		for j, name := range []string{"dev", "Dev", "dev-ops", "dév"} {
			changes = append(changes, change(access.Person{ID: id, Email: id + "@acme.example"},
				actions[(i+j)%3], name))
		}
	}
	return changes
}

func labels(changes []access.Change) []string {
	var all []string
	for _, c := range changes {
		all = append(all, c.Label())
	}
	return all
}

func TestLinesComeInOrderPageByPage(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		changes := mixed()
		plan(t, l, "r1", changes...)
		plan(t, l, "r2", change(person(1), access.Add, "another-run"))
		rank := map[access.Action]int{access.Add: 0, access.Adopt: 1, access.Remove: 2}

		hashOrder := append([]access.Change{}, changes...)
		sort.Slice(hashOrder, func(i, j int) bool {
			a, b := hashOrder[i], hashOrder[j]
			return a.Person < b.Person || a.Person == b.Person && a.Target < b.Target
		})
		listing := append([]access.Change{}, hashOrder...)
		sort.SliceStable(listing, func(i, j int) bool { return rank[listing[i].Action] < rank[listing[j].Action] })

		var got []access.Change
		for after := (ledger.Key{}); ; {
			page, err := l.Lines(t.Context(), org, "r1", ledger.Filter{After: after, Limit: 5})
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			last := page[len(page)-1]
			after = ledger.Key{Action: last.Action, Person: last.Person, Target: last.Target}
		}
		require.Equal(t, listing, got)

		got = nil
		for after := (ledger.Key{}); ; {
			page, err := l.LinesInHashOrder(t.Context(), org, "r1", nil, after, 5)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = ledger.Key{Person: page[len(page)-1].Person, Target: page[len(page)-1].Target}
		}
		require.Equal(t, hashOrder, got)
	})
}

func TestLinesAreFilteredAndUpdated(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana, bo := person(1), person(2)
		dev, ops, gone := change(ana, access.Add, "dev"), change(ana, access.Remove, "ops"),
			change(bo, access.Remove, "ops")
		ops.Loses, gone.Loses = []string{"jira/acme", "confluence/acme"}, []string{"jira/acme"}
		plan(t, l, "r1", dev, ops, gone)
		held := ops
		held.State, held.HeldBy, held.Answer, held.At = access.Held, []string{"share"}, "too many",
			noon.Add(time.Minute)
		missing := change(bo, access.Add, "none")
		require.NoError(t, l.UpdateLines(t.Context(), org, "r1", []access.Change{held, missing}))

		for name, f := range map[string]struct {
			filter ledger.Filter
			want   []string
		}{
			"all":   {ledger.Filter{}, labels([]access.Change{dev, ops, gone})},
			"state": {ledger.Filter{States: []access.ChangeState{access.Held}}, labels([]access.Change{ops})},
			"states": {ledger.Filter{States: []access.ChangeState{access.Held, access.Planned}},
				labels([]access.Change{dev, ops, gone})},
			"action":  {ledger.Filter{Actions: []access.Action{access.Remove}}, labels([]access.Change{ops, gone})},
			"person":  {ledger.Filter{Person: bo.ID}, labels([]access.Change{gone})},
			"limit":   {ledger.Filter{Limit: 1}, labels([]access.Change{dev})},
			"nothing": {ledger.Filter{Person: bo.ID, Actions: []access.Action{access.Add}}, nil},
		} {
			lines, err := l.Lines(t.Context(), org, "r1", f.filter)
			require.NoError(t, err)
			require.Equal(t, f.want, labels(lines), name)
		}
		line, err := l.Line(t.Context(), org, "r1", ana.ID, ops.Target)
		require.NoError(t, err)
		require.Equal(t, held, line)
		_, err = l.Line(t.Context(), org, "r1", bo.ID, missing.Target)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		some, err := l.LinesInHashOrder(t.Context(), org, "r1", []access.ChangeState{access.Planned}, ledger.Key{}, 0)
		require.NoError(t, err)
		require.Equal(t, []access.Change{dev, gone}, some)

		stats, err := l.LineStats(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, []ledger.LineStat{
			{Target: dev.Target, GroupID: "gid-dev", Action: access.Add, State: access.Planned, N: 1},
			{Target: ops.Target, GroupID: "gid-ops", Action: access.Remove, State: access.Held, N: 1},
			{Target: ops.Target, GroupID: "gid-ops", Action: access.Remove, State: access.Planned, N: 1},
		}, stats)
		loses, err := l.LosesStats(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"jira/acme": 2, "confluence/acme": 1}, loses)
		require.Empty(t, kinds(t, l), "planning leaves no entry")
	})
}

func TestLosesCountsEachPersonOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		first, second := change(person(1), access.Remove, "a"), change(person(1), access.Remove, "b")
		rejected := change(person(2), access.Remove, "a")
		rejected.State = access.Rejected
		for _, c := range []*access.Change{&first, &second, &rejected} {
			c.Loses = []string{"jira/acme"}
		}
		plan(t, l, "r1", first, second, rejected)
		loses, err := l.LosesStats(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"jira/acme": 1}, loses)
	})
}

func TestALaterDecisionSupersedesPlannedLines(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana, bo := person(1), person(2)
		planned, held, begun, other := change(ana, access.Add, "planned"), change(ana, access.Add, "held"),
			change(ana, access.Add, "begun"), change(bo, access.Add, "planned")
		held.State = access.Held
		approved := change(ana, access.Add, "approved")
		approved.HeldBy = []string{"window"}
		plan(t, l, "r1", planned, held, begun, approved, other)
		_, err := l.BeginChange(t.Context(), org, "r1", ana.ID, begun.Target, noon)
		require.NoError(t, err)
		plan(t, l, "r2", planned)
		require.NoError(t, l.BeginRun(t.Context(), ledger.Run{Org: org, ID: "lent", Scope: "grants", Started: noon}))
		plan(t, l, "lent", planned)
		require.NoError(t, l.BeginRun(t.Context(),
			ledger.Run{Org: org, ID: "records", Scope: "provision", Started: noon}))
		plan(t, l, "records", planned)
		require.NoError(t, l.Supersede(t.Context(), org, "r2", []string{ana.ID}, noon.Add(time.Minute), "grants",
			"provision"))
		require.NoError(t, l.Supersede(t.Context(), org, "r2", nil, noon))

		states := map[string]access.ChangeState{}
		for _, run := range []string{"r1", "r2", "lent", "records"} {
			lines, err := l.Lines(t.Context(), org, run, ledger.Filter{})
			require.NoError(t, err)
			for _, c := range lines {
				states[run+" "+c.Person+" "+c.Target.Group()] = c.State
			}
		}
		require.Equal(t, map[string]access.ChangeState{
			"r1 " + ana.ID + " planned": access.Superseded, "r1 " + ana.ID + " held": access.Held,
			"r1 " + ana.ID + " begun": access.Sent, "r1 " + ana.ID + " approved": access.Planned,
			"r1 " + bo.ID + " planned": access.Planned, "r2 " + ana.ID + " planned": access.Planned,
			"lent " + ana.ID + " planned": access.Planned, "records " + ana.ID + " planned": access.Planned,
		}, states)

		left, err := l.Approved(t.Context(), org, "r2", []string{ana.ID, bo.ID}, "grants")
		require.NoError(t, err)
		require.Len(t, left, 1)
		require.Equal(t, []any{"r1", "approved"}, []any{left[0].Run, left[0].Target.Group()})
		left, err = l.Approved(t.Context(), org, "r1", []string{ana.ID})
		require.NoError(t, err)
		require.Empty(t, left, "the run's own are not another run's")
	})
}

func TestHeldLinesAreCarriedToTheNextRun(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var changes []access.Change
		for n := range 1203 { // more than one block of reading
			c := change(person(n), access.Remove, "dev")
			if n%3 == 0 {
				c.State, c.HeldBy = access.Held, []string{"share"}
			}
			changes = append(changes, c)
		}
		plan(t, l, "r1", changes...)
		newer := change(person(3), access.Add, "dev")
		plan(t, l, "r2", newer)
		for range 2 {
			n, err := l.CopyHeld(t.Context(), org, "r1", "r2", []string{person(0).ID, person(3).ID})
			require.NoError(t, err)
			require.Equal(t, 401-2, n)
		}
		lines, err := l.Lines(t.Context(), org, "r2", ledger.Filter{})
		require.NoError(t, err)
		require.Len(t, lines, 400)
		require.Equal(t, newer, lines[0])
		require.Equal(t, changes[6], lines[1])
	})
}
