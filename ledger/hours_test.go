package ledger_test

import (
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

// byGrants are reasons of grants with these ids, and of a mapping.
func byGrants(ids ...string) []access.Reason {
	reasons := mapping("eng")
	for _, id := range ids {
		reasons = append(reasons, access.Reason{Kind: access.ReasonGrant, Name: id})
	}
	return reasons
}

func TestHoursOfPrivilege(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana, bea := person(1), person(2)
		day := func(month time.Month, day, hour int) time.Time {
			return time.Date(2026, month, day, hour, 0, 0, 0, time.UTC)
		}
		page := ledger.Page{People: []access.Person{ana}}
		save := func(at time.Time, open, closed []access.Holding) {
			page.Key, page.Open, page.Close = at.String(), open, closed
			require.NoError(t, l.SavePage(t.Context(), org, "r1", page, at))
		}
		span := func(p access.Person, name string, from, until time.Time, reasons []access.Reason) {
			h := access.Holding{Person: p.ID, Target: group(name), Owned: true, Reasons: reasons}
			save(from, []access.Holding{h}, nil)
			if !until.IsZero() {
				save(until, nil, []access.Holding{h})
			}
		}
		span(ana, "ops", day(1, 31, 22), day(3, 1, 6), byGrants("old"))            // over two ends of a month
		span(ana, "ops", day(3, 10, 8), day(3, 10, 10), byGrants("a", "b"))        // two grants at once
		span(ana, "ops", day(3, 10, 10), day(3, 10, 11), byGrants("b", "c"))       // one of them and another
		span(ana, "ops", day(3, 10, 11), day(3, 20, 0), mapping("eng"))            // held, but not by a grant
		span(ana, "dev", day(3, 31, 23), day(4, 1, 0), byGrants("d"))              // to the very end of the month
		span(bea, "ops", day(4, 2, 0), time.Time{}, byGrants("e"))                 // stands
		span(bea, "dev", day(4, 2, 0), day(4, 3, 0), mapping(`"kind":"grant"`))    // a name that looks like it
		span(bea, "wiki", day(7, 1, 0), time.Time{}, byGrants("after the period")) // begins too late

		type row struct {
			who, email, target, month string
			held                      time.Duration
			grants                    int
		}
		ask := func(from, to time.Time) (all []row) {
			t.Helper()
			hours, err := l.Hours(t.Context(), org, from, to)
			require.NoError(t, err)
			for _, p := range hours {
				all = append(all, row{p.Person, p.Email, p.Target.Group(), p.Month, p.Held, p.Grants})
			}
			return all
		}
		h := time.Hour
		require.Equal(t, []row{
			{ana.ID, ana.Email, "ops", "2026-01", 2 * h, 1},
			{ana.ID, ana.Email, "ops", "2026-02", 28 * 24 * h, 1},
			{ana.ID, ana.Email, "dev", "2026-03", h, 1},
			{ana.ID, ana.Email, "ops", "2026-03", 9 * h, 4},
			{bea.ID, "", "ops", "2026-04", 29 * 24 * h, 1},
			{bea.ID, "", "ops", "2026-05", 12 * h, 1},
		}, ask(day(1, 1, 0), day(5, 1, 12)))
		require.Equal(t, []row{
			{ana.ID, ana.Email, "ops", "2026-02", h, 1}, {ana.ID, ana.Email, "ops", "2026-03", 3 * h, 1},
		}, ask(day(2, 28, 23), day(3, 1, 3)), "of spans that began before, only what lies within")
		require.Empty(t, ask(day(3, 1, 6), day(3, 10, 8)), "an end does not count, a beginning does")
		require.Empty(t, ask(day(4, 1, 0), day(4, 1, 0)))
		east := time.FixedZone("east", 5*3600)
		require.Equal(t, ask(day(3, 1, 0), day(4, 1, 0)), ask(day(3, 1, 0).In(east), day(4, 1, 0).In(east)),
			"months are those of UTC")
	})
}

func TestLapsesAreCountedApart(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		lapse, removal, mixed := change(person(1), access.Remove, "ops"), change(person(2), access.Remove, "ops"),
			change(person(3), access.Remove, "ops")
		lapse.Reasons, mixed.Reasons = byGrants("g1")[1:], byGrants("g2")
		given := change(person(4), access.Add, "ops")
		given.Reasons = lapse.Reasons
		all := []access.Change{lapse, removal, mixed, given}
		for i := range all {
			all[i].Loses = []string{"jira/acme"}
		}
		plan(t, l, "r1", all...)
		stat := func(action access.Action, state access.ChangeState, lapse bool, n int) ledger.LineStat {
			return ledger.LineStat{Target: group("ops"), GroupID: "gid-ops", Action: action, State: state,
				Lapse: lapse, N: n}
		}
		stats, err := l.LineStats(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, []ledger.LineStat{
			stat(access.Add, access.Planned, false, 1), stat(access.Remove, access.Planned, false, 2),
			stat(access.Remove, access.Planned, true, 1),
		}, stats)
		loses, err := l.LosesStats(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"jira/acme": 2}, loses)

		for i := range all {
			all[i] = answer(all[i], access.Done, "200", noon)
		}
		require.NoError(t, l.RecordLines(t.Context(), org, "r1", all))
		removals, err := l.RemovalsSince(t.Context(), org, noon)
		require.NoError(t, err)
		require.Equal(t, map[access.Entitlement]int{group("ops"): 2}, removals)
		gone, err := l.RemovedSince(t.Context(), org, group("ops"), noon)
		require.NoError(t, err)
		require.Len(t, gone, 3, "who went is another question: whatever took it, they are gone")
	})
}
