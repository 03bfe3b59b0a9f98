package ledger_test

import (
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func held(p access.Person, name string, owned bool) access.Holding {
	h := access.Holding{Person: p.ID, Target: group(name), GroupID: "gid-" + name, Owned: owned}
	if owned {
		h.Reasons = mapping(name)
	}
	return h
}

// holdings are what the person holds at the instant.
func holdings(t testing.TB, l *ledger.Ledger, person string, at time.Time) []access.Holding {
	t.Helper()
	all, err := l.HoldingsAt(t.Context(), org, person, "", at)
	require.NoError(t, err)
	return all
}

func TestPageIsRecordedAndItsRepeatReplacesIt(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana, bo := person(1), person(2)
		rejected := change(bo, access.Remove, "no")
		rejected.State = access.Rejected
		page := ledger.Page{
			Key: "1", People: []access.Person{ana, bo},
			Changes: []access.Change{change(ana, access.Add, "dev"), change(bo, access.Remove, "ops"), rejected},
			Open:    []access.Holding{held(ana, "wiki", false)},
			Seen:    map[string]int{"src": 2}, Calls: 3, Foreign: 1, Suppressed: 2,
		}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon))
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon.Add(time.Second)))
		second := ledger.Page{Key: "2", People: []access.Person{person(3)}, Seen: map[string]int{"src": 1, "other": 1}}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", second, noon))
		require.NoError(t, l.Tally(t.Context(), org, "r1", "verify", ledger.Counts{Verified: 4}))
		require.NoError(t, l.Tally(t.Context(), org, "r1", "verify", ledger.Counts{Verified: 5}))

		seen, counts, err := l.Seen(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"src": 3, "other": 1}, seen)
		require.Equal(t, ledger.Counts{People: 3, Pages: 2, Calls: 3, Adds: 1, Removals: 1, Rejected: 1, Foreign: 1,
			Suppressed: 2, Verified: 5}, counts)
		lines, err := l.Lines(t.Context(), org, "r1", ledger.Filter{})
		require.NoError(t, err)
		require.Equal(t, page.Changes[:1], lines[:1], "a line comes back whole")
		require.Len(t, lines, 3)
		wiki := held(ana, "wiki", false)
		wiki.Run, wiki.From = "r1", noon
		require.Equal(t, []access.Holding{wiki}, holdings(t, l, ana.ID, noon.Add(time.Hour)),
			"a repeat does not begin it again")

		page.Changes, page.Seen = page.Changes[:1], map[string]int{"src": 1}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon))
		seen, counts, err = l.Seen(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"src": 2, "other": 1}, seen)
		require.Equal(t, 0, counts.Removals)
		lines, err = l.Lines(t.Context(), org, "r1", ledger.Filter{Person: bo.ID})
		require.NoError(t, err)
		require.Empty(t, lines)

		require.NoError(t, l.ReplaceSeen(t.Context(), org, "r1", "src", 9))
		require.NoError(t, l.ReplaceSeen(t.Context(), org, "r1", "src", 8))
		seen, _, err = l.Seen(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"src": 8, "other": 1}, seen)
	})
}

func TestLateRepeatOfAPageLeavesBegunLinesAlone(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana := person(1)
		dev, ops := change(ana, access.Add, "dev"), change(ana, access.Add, "ops")
		plan(t, l, "r1", dev, ops)
		_, err := l.BeginChange(t.Context(), org, "r1", ana.ID, dev.Target, noon)
		require.NoError(t, err)
		require.NoError(t, l.RecordLines(t.Context(), org, "r1",
			[]access.Change{answer(ops, access.Shortage, "no seat", noon)}))
		plan(t, l, "r1", dev, ops)
		for target, state := range map[access.Entitlement]access.ChangeState{dev.Target: access.Sent,
			ops.Target: access.Shortage} {
			line, err := l.Line(t.Context(), org, "r1", ana.ID, target)
			require.NoError(t, err)
			require.Equal(t, state, line.State)
		}
	})
}

func TestStatesAreWhatADecisionNeeds(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana, bo := person(1), person(2)
		old, dev, sent, no := change(ana, access.Add, "old"), change(ana, access.Add, "dev"),
			change(ana, access.Add, "sent"), change(bo, access.Remove, "no")
		no.State = access.Held
		plan(t, l, "r1", old, dev, sent, no)
		require.NoError(t, l.EndChange(t.Context(), org, "r1", answer(old, access.Done, "200", noon)))
		require.NoError(t, l.EndChange(t.Context(), org, "r1", answer(dev, access.Done, "200", noon.Add(time.Hour))))
		_, err := l.BeginChange(t.Context(), org, "r1", ana.ID, sent.Target, noon.Add(2*time.Hour))
		require.NoError(t, err)
		require.NoError(t, l.OpenHold(t.Context(), ledger.Hold{Org: org, Plan: "h", Run: "r1", Opened: noon}))
		_, err = l.DecideHold(t.Context(), org, "h", ledger.Reject, "carol", "", noon)
		require.NoError(t, err)

		states, err := l.States(t.Context(), org, []string{ana.ID, bo.ID, "nobody"}, noon.Add(time.Minute))
		require.NoError(t, err)
		require.Len(t, states, 2)
		require.Len(t, states[ana.ID].Holdings, 2)
		require.Equal(t, group("dev"), states[ana.ID].Holdings[0].Target)
		recent := states[ana.ID].Recent
		require.Len(t, recent, 2, "what was written before the instant is left out")
		require.Equal(t, []access.ChangeState{access.Done, access.Sent},
			[]access.ChangeState{recent[0].State, recent[1].State})
		require.Equal(t, []access.Change{answer(no, access.Rejected, "", noon)}, states[bo.ID].Rejected)

		page := ledger.Page{Key: "1", People: []access.Person{bo}, Lift: []access.Change{no}, Observe: true}
		require.NoError(t, l.SavePage(t.Context(), org, "r2", page, noon))
		states, err = l.States(t.Context(), org, []string{bo.ID}, noon)
		require.NoError(t, err)
		require.Len(t, states[bo.ID].Rejected, 1, "looking lifts nothing")
		page.Observe = false
		require.NoError(t, l.SavePage(t.Context(), org, "r2", page, noon))
		states, err = l.States(t.Context(), org, []string{bo.ID}, noon)
		require.NoError(t, err)
		require.Empty(t, states)
	})
}

func TestHoldingsOverTime(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana := person(1)
		save := func(at time.Time, page ledger.Page) {
			page.Key, page.People = at.String(), []access.Person{ana}
			require.NoError(t, l.SavePage(t.Context(), org, "r-"+at.Format("02"), page, at))
		}
		day := func(n int) time.Time { return noon.AddDate(0, 0, n) }
		reasons := func(at time.Time) string {
			all := holdings(t, l, ana.ID, at)
			switch {
			case len(all) == 0:
				return "none"
			case len(all[0].Reasons) == 0:
				return "foreign"
			}
			return all[0].Reasons[0].Name
		}
		foreign, owned := held(ana, "dev", false), held(ana, "dev", true)
		other := owned
		other.Reasons = mapping("other")

		save(day(0), ledger.Page{Open: []access.Holding{foreign}, Observe: true})
		require.Empty(t, holdings(t, l, ana.ID, day(0)), "a preview opens nothing")
		save(day(1), ledger.Page{Open: []access.Holding{foreign}})
		save(day(2), ledger.Page{Open: []access.Holding{owned}})
		for range 2 {
			save(day(3), ledger.Page{Open: []access.Holding{other}, Close: []access.Holding{owned}})
		}
		save(day(4), ledger.Page{Open: []access.Holding{{Person: ana.ID, Target: group("dev"), GroupID: "gid-dev",
			Reasons: other.Reasons}}})
		for range 2 {
			save(day(5), ledger.Page{Close: []access.Holding{other}})
		}
		_, err := l.Holding(t.Context(), org, ana.ID, group("dev"))
		require.ErrorIs(t, err, ledger.ErrNotFound, "it ended")
		save(day(7), ledger.Page{Open: []access.Holding{foreign}})
		standing, err := l.Holding(t.Context(), org, ana.ID, group("dev"))
		require.NoError(t, err)
		require.Equal(t, holdings(t, l, ana.ID, day(8)), []access.Holding{standing})

		var got []string
		for n := range 9 {
			got = append(got, reasons(day(n)))
		}
		require.Equal(t, []string{"none", "foreign", "dev", "other", "other", "none", "none", "foreign", "foreign"},
			got)
		require.Equal(t, "foreign", reasons(day(2).Add(-time.Microsecond)))
		at4 := holdings(t, l, ana.ID, day(4))[0]
		require.True(t, at4.Owned, "what is owned stays owned while it stands")
		require.Equal(t, day(3), at4.From)
		require.Equal(t, day(5), at4.Until)

		stale := other
		stale.From = day(1)
		save(day(8), ledger.Page{Close: []access.Holding{stale}})
		require.Equal(t, "foreign", reasons(day(9)), "closing names the very holding that it means")
	})
}

func TestForeignHoldingsComeInPages(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		page := ledger.Page{Key: "1"}
		for n := range 5 {
			page.People = append(page.People, person(n))
			page.Open = append(page.Open, held(person(n), "dev", n == 2), held(person(n), "Zoo", false))
		}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon))
		var got []string
		for after := (ledger.Key{}); ; {
			some, err := l.Foreign(t.Context(), org, "", 4, after)
			require.NoError(t, err)
			if len(some) == 0 {
				break
			}
			for _, h := range some {
				got = append(got, string(h.Target)+" "+h.Person)
			}
			after = ledger.Key{Person: some[len(some)-1].Person, Target: some[len(some)-1].Target}
		}
		require.Equal(t, []string{
			"group:Zoo id-00000", "group:Zoo id-00001", "group:Zoo id-00002", "group:Zoo id-00003",
			"group:Zoo id-00004",
			"group:dev id-00000", "group:dev id-00001", "group:dev id-00003", "group:dev id-00004",
		}, got)
		dev, err := l.Foreign(t.Context(), org, group("dev"), 0, ledger.Key{})
		require.NoError(t, err)
		require.Len(t, dev, 4)
		who, err := l.HoldingsAt(t.Context(), org, "", group("dev"), noon)
		require.NoError(t, err)
		require.Len(t, who, 5, "a target's holders at an instant")
		_, err = l.HoldingsAt(t.Context(), org, "", "", noon)
		require.ErrorContains(t, err, "name a person, a target or both")
	})
}

func TestPeopleAreFoundByAddressAndID(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana, leaver, nameless := person(1), person(2), access.Person{ID: "id-3"}
		leaver.Email, leaver.AccountStatus = ana.Email, "inactive"
		page := ledger.Page{Key: "1", People: []access.Person{leaver, ana, nameless, ana}}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon))
		ana.Name = "Ana\x00 Married"
		page.People = []access.Person{ana}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon))

		ana.Name = "Ana Married"
		for _, key := range []string{ana.ID, ana.Email, "PERSON.00001@ACME.example"} {
			found, err := l.FindPerson(t.Context(), org, key)
			require.NoError(t, err)
			require.Equal(t, ana, found)
		}
		for _, key := range []string{"id-9", "nobody@acme.example", ""} {
			_, err := l.FindPerson(t.Context(), org, key)
			require.ErrorIs(t, err, ledger.ErrNotFound)
		}
		emails, err := l.KnownEmails(t.Context(), org, []string{ana.ID, "id-3", "id-9"})
		require.NoError(t, err)
		require.Equal(t, map[string]string{ana.ID: ana.Email}, emails)
	})
}

func TestNextRunForgetsThePagesOfEndedOnes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for _, id := range []string{"ended", "open"} {
			require.NoError(t, l.BeginRun(t.Context(), begun(id, noon)))
			require.NoError(t, l.SavePage(t.Context(), org, id, ledger.Page{Key: "1", Seen: map[string]int{"src": 1}},
				noon))
		}
		require.NoError(t, l.EndRun(t.Context(), begun("ended", noon)))
		require.NoError(t, l.BeginRun(t.Context(), begun("next", noon)))
		for id, want := range map[string]map[string]int{"ended": {}, "open": {"src": 1}} {
			seen, _, err := l.Seen(t.Context(), org, id)
			require.NoError(t, err)
			require.Equal(t, want, seen)
		}
	})
}
