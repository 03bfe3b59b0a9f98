package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

const (
	bo, carol, dan       = "bo@acme.example", "carol@acme.example", "dan@acme.example"
	idBo, idCarol, idDan = "id-bo", "id-carol", "id-dan"
)

// lease is a request that nobody has to approve: two hours of org-admin for person 1.
func lease(id string) access.Grant {
	ana := person(1)
	return access.Grant{
		ID: id, Person: ana.ID, Email: ana.Email, Target: access.OrgAdmin, State: access.GrantGranted,
		Entries: []string{"admins"},
		Reason:  "INC-4711", Ticket: "OPS-1", By: idBo, Requested: noon, Duration: access.Duration(2 * time.Hour),
		Remind: access.Duration(time.Minute),
	}
}

// asked is a request that waits an hour for one of carol and dan.
func asked(id string) access.Grant {
	g := lease(id)
	g.State, g.Needs, g.Approvers, g.ApprovalDeadline = access.GrantWaiting, 1, []string{idCarol, idDan},
		noon.Add(time.Hour)
	return g
}

func request(t testing.TB, l *ledger.Ledger, g access.Grant) access.Grant {
	t.Helper()
	if !access.IsAddress(g.By) {
		require.NoError(t, l.KeepPeople(t.Context(), org, []access.Person{{ID: g.By, Email: g.By + "@acme.example"}},
			noon))
	}
	stored, fresh, err := l.RequestGrant(t.Context(), org, g)
	require.NoError(t, err)
	require.True(t, fresh)
	return stored
}

func stored(t testing.TB, l *ledger.Ledger, id string) access.Grant {
	t.Helper()
	g, err := l.Grant(t.Context(), org, id)
	require.NoError(t, err)
	return g
}

func ids(grants []access.Grant) []string {
	var all []string
	for _, g := range grants {
		all = append(all, g.ID)
	}
	return all
}

func TestAGrantComesBackWhole(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		direct := lease("g1")
		direct.Start = noon.Add(time.Hour)
		want := direct
		want.Key, want.From, want.Until = "id-00001", noon.Add(time.Hour), noon.Add(3*time.Hour)
		require.Equal(t, want, request(t, l, direct))
		require.Equal(t, want, stored(t, l, "g1"))

		waiting := asked("g2")
		waiting.Codes, waiting.Urgent, waiting.Limit, waiting.Renews = true, true, "no longer than 2h", "g1"
		waiting.Requested = noon.Add(1500 * time.Nanosecond).In(time.FixedZone("east", 3600))
		want = waiting
		want.Key, want.Requested = "id-00001", noon.Add(time.Microsecond)
		require.Equal(t, want, request(t, l, waiting))
		require.Equal(t, want, stored(t, l, "g2"))

		_, err := l.Grant(t.Context(), org, "g3")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		_, err = l.Grant(t.Context(), "other", "g1")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		require.Equal(t, []string{"grant-requested", "grant-granted", "grant-requested"}, kinds(t, l))
		sound(t, l)
	})
}

func TestARequestIsStoredOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		want := request(t, l, asked("g1"))
		for name, repeat := range map[string]func(*access.Grant){
			"the same": func(*access.Grant) {},
			"spelling": func(g *access.Grant) { g.Target = "ROLE:org-admin" },
			"another limit": func(g *access.Grant) {
				g.Duration, g.Limit = access.Duration(time.Hour),
					"no longer than 1h"
			},
			"another moment": func(g *access.Grant) {
				g.Requested, g.ApprovalDeadline = noon.Add(time.Minute),
					noon.Add(2*time.Hour)
			},
			"another name": func(g *access.Grant) { g.Email = "ana.lee@acme.example" },
		} {
			again := asked("g1")
			repeat(&again)
			got, fresh, err := l.RequestGrant(t.Context(), org, again)
			require.NoError(t, err, name)
			require.False(t, fresh, name)
			require.Equal(t, want, got, name)
		}
		for name, other := range map[string]func(*access.Grant){
			"person":    func(g *access.Grant) { g.Person = "id-2" },
			"address":   func(g *access.Grant) { g.Person, g.Email = "else@acme.example", "" },
			"target":    func(g *access.Grant) { g.Target = group("ops") },
			"requester": func(g *access.Grant) { g.By = idDan },
			"extension": func(g *access.Grant) { g.Renews = "g0" },
		} {
			taken := asked("g1")
			other(&taken)
			_, fresh, err := l.RequestGrant(t.Context(), org, taken)
			require.ErrorIs(t, err, ledger.ErrConflict, name)
			require.False(t, fresh)
		}
		for want, lacking := range map[string]func(*access.Grant){
			"needs an id":    func(g *access.Grant) { g.ID = "" },
			"not as":         func(g *access.Grant) { g.State = access.GrantEnded },
			"longer than no": func(g *access.Grant) { g.Duration = 0 },
		} {
			bad := asked("g9")
			lacking(&bad)
			_, _, err := l.RequestGrant(t.Context(), org, bad)
			require.ErrorContains(t, err, want)
		}
		require.Equal(t, want, stored(t, l, "g1"))
		require.Equal(t, []string{"grant-requested"}, kinds(t, l))
	})
}

func TestTheKeyOfAGrantIsTheAccount(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		key := func(id, person, email string, target access.Entitlement) string {
			g := lease(id)
			g.Person, g.Email, g.Target = person, email, target
			return request(t, l, g).Key
		}
		require.Equal(t, "id-ana", key("1", "id-ana", "Ana@acme.example", "group:Ops"))
		require.Equal(t, "id-ana", key("2", "id-ana", "ana.married@acme.example", "group:ops"),
			"whatever she is called now")
		require.Equal(t, "id-new", key("3", "id-new", "ana@acme.example", "group:ops"),
			"somebody else took her address over")
		require.Equal(t, "id-nameless", key("4", "id-nameless", "", "group:ops"))
		require.Equal(t, "guest@else.example", key("5", "Guest@else.example", "", access.Directory),
			"who has no account yet")
		for want, of := range map[string][2]string{
			"1 2": {"id-ana", "group:OPS"}, "3": {"id-new", "group:ops"}, "5": {"guest@else.example", "directory"},
			"": {"ana@acme.example", "group:ops"},
		} {
			some, err := l.GrantsOf(t.Context(), org, of[0], access.Entitlement(of[1]))
			require.NoError(t, err)
			require.Equal(t, want, strings.Join(ids(some), " "))
		}
	})
}

func TestGrantsOfWhoArrivesAreHandedOver(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		g := lease("1")
		g.Person, g.Email, g.Target = "Guest@else.example", "", access.Directory
		request(t, l, g)
		was, err := l.ArrivedAs(t.Context(), org, "Guest@else.example", access.Directory)
		require.NoError(t, err)
		require.Empty(t, was)
		require.NoError(t, l.RecordArrival(t.Context(), org, "guest@else.example", "id-guest", noon))
		now := stored(t, l, "1")
		require.Equal(t, []string{"id-guest", "id-guest", "guest@else.example"},
			[]string{now.Person, now.Key, now.FormerKey})
		was, err = l.ArrivedAs(t.Context(), org, "Guest@else.example", access.Directory)
		require.NoError(t, err)
		require.Equal(t, "id-guest", was)
		moving, err := l.GrantsFormerly(t.Context(), org, "guest@else.example", access.Directory)
		require.NoError(t, err)
		require.Equal(t, []string{"1"}, ids(moving))
		require.NoError(t, l.RecordHandOver(t.Context(), org, []string{"1"}))
		moving, err = l.GrantsFormerly(t.Context(), org, "guest@else.example", access.Directory)
		require.NoError(t, err)
		require.Empty(t, moving)
		sound(t, l)
	})
}

func TestGrantsAreListed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for n, id := range []string{"a", "b", "c", "d", "e", "f"} {
			g := asked(id)
			if n%2 == 1 {
				g.State = access.GrantGranted
			}
			if n >= 4 {
				g.Person, g.Email, g.Target = person(2).ID, person(2).Email, group("Ops")
			}
			g.Requested = noon.Add(time.Duration(n/2) * time.Minute) // two of each instant
			request(t, l, g)
		}
		_, err := l.ExpireGrant(t.Context(), org, "a", noon.Add(time.Hour))
		require.NoError(t, err)
		list := func(f ledger.GrantFilter) string {
			t.Helper()
			some, err := l.Grants(t.Context(), org, f)
			require.NoError(t, err)
			return strings.Join(ids(some), "")
		}
		for _, c := range []struct {
			want   string
			filter ledger.GrantFilter
		}{
			{"fedcba", ledger.GrantFilter{}},
			{"fedcb", ledger.GrantFilter{Unsettled: true}},
			{"ec", ledger.GrantFilter{States: []access.GrantState{access.GrantWaiting}}},
			{"eca", ledger.GrantFilter{States: []access.GrantState{access.GrantWaiting, access.GrantExpired}}},
			{"dcba", ledger.GrantFilter{Person: person(1).ID}},
			{"fe", ledger.GrantFilter{Person: person(2).ID}},
			{"fe", ledger.GrantFilter{Target: "group:oPS"}},
			{"f", ledger.GrantFilter{Target: group("ops"), States: []access.GrantState{access.GrantGranted}}},
			{"fed", ledger.GrantFilter{Limit: 3}},
			{"ba", ledger.GrantFilter{Limit: 3, After: "c"}},
			{"", ledger.GrantFilter{After: "a"}},
			{"", ledger.GrantFilter{After: "nothing"}},
		} {
			require.Equal(t, c.want, list(c.filter), "%+v", c.filter)
		}
		for _, size := range []int{1, 2, 4} {
			all := ""
			for page := list(ledger.GrantFilter{Limit: size}); page != ""; {
				all += page
				page = list(ledger.GrantFilter{Limit: size, After: page[len(page)-1:]})
			}
			require.Equal(t, "fedcba", all)
		}
		some, err := l.EarlierGrants(t.Context(), org, person(1).ID, "role:ORG-admin", 3)
		require.NoError(t, err)
		require.Equal(t, []string{"d", "c", "b"}, ids(some))
		none, err := l.EarlierGrants(t.Context(), org, "other", access.OrgAdmin, 0)
		require.NoError(t, err)
		require.Empty(t, none)

		// b and d were asked for at noon and a minute later, for two hours.
		for want, before := range map[string]time.Time{
			"": noon.Add(2 * time.Hour), "b": noon.Add(2*time.Hour + time.Microsecond), "bdf": noon.Add(3 * time.Hour),
		} {
			some, err := l.OverdueGrants(t.Context(), org, before, 0)
			require.NoError(t, err)
			require.Equal(t, want, strings.Join(ids(some), ""))
		}
		require.NoError(t, l.MarkGrantRevoked(t.Context(), org, []string{"d"}, noon.Add(3*time.Hour), "seen"))
		some, err = l.OverdueGrants(t.Context(), org, noon.Add(3*time.Hour), 1)
		require.NoError(t, err)
		require.Equal(t, []string{"b"}, ids(some))
		some, err = l.OverdueGrants(t.Context(), org, noon.Add(3*time.Hour), 0)
		require.NoError(t, err)
		require.Equal(t, []string{"b", "f"}, ids(some))
	})
}

func TestStatesShowWhatGrantsMayGive(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ana, bea := person(1), person(2)
		later, ended, settled, waiting := lease("later"), lease("ended"), lease("settled"), asked("waiting")
		later.Start, later.Target = noon.Add(24*time.Hour), group("ops")
		for _, g := range []access.Grant{later, ended, settled, waiting} {
			request(t, l, g)
		}
		for _, id := range []string{"ended", "settled"} {
			_, err := l.EndGrant(t.Context(), org, id, idBo, "done", noon.Add(time.Minute))
			require.NoError(t, err)
		}
		require.NoError(t, l.MarkGrantRevoked(t.Context(), org, []string{"settled"}, noon.Add(time.Hour), "seen"))
		states, err := l.States(t.Context(), org, []string{ana.ID, bea.ID}, noon)
		require.NoError(t, err)
		require.Equal(t, []access.Grant{stored(t, l, "ended"), stored(t, l, "later")}, states[ana.ID].Grants)
		require.NotContains(t, states, bea.ID)
	})
}

func TestGrantsNeverPutAnAddressIntoTheChain(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		own, guest := asked("own"), lease("guest")
		own.By = strings.ToUpper(own.Email)
		guest.Person, guest.Email, guest.By, guest.Target = "Guest@else.example", "", "guest@else.example",
			access.Directory
		request(t, l, own)
		request(t, l, guest)
		_, err := l.EndGrant(t.Context(), org, "own", own.Email, "not needed", noon)
		require.NoError(t, err)
		line := access.Change{Person: "guest@else.example", Target: access.Directory, Action: access.Add,
			Reasons: []access.Reason{{Kind: access.ReasonGrant, Name: "guest"}}}
		plan(t, l, "r1", line)
		require.NoError(t, l.EndChange(t.Context(), org, "r1", answer(line, access.Refused, "no such domain", noon)))
		require.NoError(t, l.RecordArrival(t.Context(), org, "guest@else.example", "id-guest", noon))
		_, err = l.EndGrant(t.Context(), org, "guest", "Guest@else.example", "leaving", noon.Add(time.Minute))
		require.NoError(t, err)
		require.NoError(t, l.MarkGrantProvisioned(t.Context(), org, []string{"guest"}, noon))
		require.NoError(t, l.MarkGrantRevoked(t.Context(), org, []string{"guest"}, noon, "suspended"))

		entries := entries(t, l, 0)
		for _, e := range entries {
			require.NotContains(t, strings.ToLower(e.Person+string(e.Body)), "person.00001@", e.Kind)
			require.NotContains(t, strings.ToLower(e.Person+string(e.Body)), "guest@", e.Kind)
		}
		require.Equal(t, []string{
			"grant-requested", "grant-requested", "grant-granted", "grant-ended", "change", "grant-arrived",
			"grant-ended", "grant-given", "grant-taken",
		}, kinds(t, l))
		require.JSONEq(t, `{"grant":"own","by":"id-00001","duration":"2h0m0s","needs":1,"reason":"INC-4711","ticket":"OPS-1",
			"entries":["admins"],"decide":"2026-05-04T13:00:00.123456Z"}`, string(entries[0].Body))
		about, err := l.History(t.Context(), org, "id-guest", access.Directory, 0)
		require.NoError(t, err)
		require.Len(t, about, 4, "from its arrival on")
		sound(t, l)
	})
}
