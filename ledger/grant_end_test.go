package ledger_test

import (
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func TestWaysOutOfAGrant(t *testing.T) {
	t.Parallel()
	ahead := lease("g1")
	ahead.Start = noon.Add(10 * time.Hour)
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	end := func(by string, at time.Time) func(*ledger.Ledger, *testing.T) (access.Grant, error) {
		return func(l *ledger.Ledger, t *testing.T) (access.Grant, error) {
			return l.EndGrant(t.Context(), org, "g1", by, "done", at)
		}
	}
	expire := func(at time.Time) func(*ledger.Ledger, *testing.T) (access.Grant, error) {
		return func(l *ledger.Ledger, t *testing.T) (access.Grant, error) {
			return l.ExpireGrant(t.Context(), org, "g1", at)
		}
	}
	for name, c := range map[string]struct {
		given access.Grant
		do    func(*ledger.Ledger, *testing.T) (access.Grant, error)
		want  func(*access.Grant)
		entry string
	}{
		"its time is over": {lease("g1"), end("", minute(120)), func(g *access.Grant) { g.State = access.GrantEnded },
			"grant-ended"},
		"not yet over": {lease("g1"), end("", minute(119)), nil, ""},
		"revoked": {lease("g1"), end(idCarol, minute(7)), func(g *access.Grant) {
			g.State, g.Until, g.ClosedBy, g.ClosedWhy = access.GrantEnded, minute(7), idCarol, "done"
		}, "grant-ended"},
		"revoked when it is over": {lease("g1"), end(idCarol, minute(130)),
			func(g *access.Grant) { g.State = access.GrantEnded }, "grant-ended"},
		"revoked before it begins": {ahead, end(idCarol, minute(7)), func(g *access.Grant) {
			g.State, g.From, g.Until, g.ClosedBy, g.ClosedWhy = access.GrantEnded, minute(7), minute(7), idCarol, "done"
		}, "grant-ended"},
		"withdrawn": {asked("g1"), end(idBo, minute(7)), func(g *access.Grant) {
			g.State, g.From, g.Until, g.RevokedAt, g.ClosedBy, g.ClosedWhy = access.GrantEnded, minute(7), minute(7),
				minute(7), idBo, "done"
		}, "grant-ended"},
		"a waiting one has no end": {asked("g1"), end("", minute(500)), nil, ""},
		"nobody decided": {asked("g1"), expire(minute(60)),
			func(g *access.Grant) { g.State = access.GrantExpired }, "grant-expired"},
		"there is time to decide":  {asked("g1"), expire(minute(59)), nil, ""},
		"a granted one is decided": {lease("g1"), expire(minute(60)), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				want := request(t, l, c.given)
				entries := kinds(t, l)
				if c.want != nil {
					c.want(&want)
					entries = append(entries, c.entry)
				}
				for range 2 {
					got, err := c.do(l, t)
					require.NoError(t, err)
					require.Equal(t, want, got)
				}
				require.Equal(t, want, stored(t, l, "g1"))
				require.Equal(t, entries, kinds(t, l))
				if want.State == access.GrantGranted || want.State == access.GrantWaiting {
					return
				}
				for _, other := range []func(*ledger.Ledger, *testing.T) (access.Grant, error){end("", minute(900)),
					end(idDan, minute(901)), expire(minute(902))} {
					got, err := other(l, t)
					require.NoError(t, err)
					require.Equal(t, want, got, "the first end stands")
				}
				require.Equal(t, entries, kinds(t, l))
			})
		})
	}
}

func TestGivenAndTakenAreRecordedOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		request(t, l, lease("one"))
		request(t, l, lease("two"))
		request(t, l, asked("waiting"))
		entries := kinds(t, l)
		all, over := []string{"one", "two", "waiting"}, noon.Add(2*time.Hour)
		require.NoError(t, l.MarkGrantProvisioned(t.Context(), org, all[:1], noon.Add(time.Second)))
		require.NoError(t, l.MarkGrantProvisioned(t.Context(), org, all, noon.Add(time.Minute)))
		require.NoError(t, l.MarkGrantRevoked(t.Context(), org, all, over.Add(-time.Second), "too early"))
		require.Equal(t, append(entries, "grant-given", "grant-given"), kinds(t, l))

		_, err := l.EndGrant(t.Context(), org, "one", "", "", over)
		require.NoError(t, err)
		require.False(t, stored(t, l, "one").Settled())
		for range 2 {
			require.NoError(t, l.MarkGrantRevoked(t.Context(), org, all, over.Add(time.Minute), "removed"))
		}
		require.Equal(t, append(entries, "grant-given", "grant-given", "grant-ended", "grant-taken", "grant-ended",
			"grant-taken"), kinds(t, l))
		for id, given := range map[string]time.Time{"one": noon.Add(time.Second), "two": noon.Add(time.Minute)} {
			g := stored(t, l, id)
			require.True(t, g.Settled())
			require.Equal(t, []time.Time{given, over, over.Add(time.Minute)},
				[]time.Time{g.ProvisionedAt, g.Until, g.RevokedAt})
		}
		require.Equal(t, access.GrantWaiting, stored(t, l, "waiting").State)

		request(t, l, lease("three"))
		require.ErrorIs(t, l.MarkGrantProvisioned(t.Context(), org, []string{"three", "none"}, noon), ledger.ErrNotFound)
		require.Zero(t, stored(t, l, "three").ProvisionedAt, "all or none")
		require.ErrorIs(t, l.MarkGrantRevoked(t.Context(), org, []string{"none"}, noon, ""), ledger.ErrNotFound)
		_, err = l.EndGrant(t.Context(), org, "none", "", "", noon)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		_, err = l.ExpireGrant(t.Context(), org, "none", noon)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		sound(t, l)
	})
}

func TestAnAddressBecomesAnAccount(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		const address, account = "guest@else.example", "id-guest"
		open, waiting, settled := lease("open"), asked("waiting"), lease("settled")
		for _, g := range []*access.Grant{&open, &waiting, &settled} {
			g.Person, g.Email, g.Target = "Guest@Else.example", "", access.Directory
			request(t, l, *g)
		}
		require.NoError(t, l.MarkGrantRevoked(t.Context(), org, []string{"settled"}, noon.Add(3*time.Hour), "seen"))
		request(t, l, lease("else"))

		line := access.Change{Person: address, Email: address, Target: access.Directory, Action: access.Add, At: noon,
			State: access.Planned}
		held := func(run string) access.Change {
			plan(t, l, run, line)
			_, err := l.BeginChange(t.Context(), org, run, address, access.Directory, noon)
			require.NoError(t, err)
			return line
		}
		held("sent")
		require.NoError(t, l.EndChange(t.Context(), org, "done", answer(held("done"), access.Done, "201", noon)))
		both := line
		both.Person = account
		plan(t, l, "both", line, both)
		want, err := l.Holding(t.Context(), org, address, access.Directory)
		require.NoError(t, err)

		for range 2 {
			require.NoError(t, l.RecordArrival(t.Context(), org, "Guest@ELSE.example", account, noon.Add(time.Minute)))
		}
		for id, who := range map[string]string{"open": account, "waiting": account, "settled": address,
			"else": person(1).ID} {
			require.Equal(t, who, stored(t, l, id).Person, id)
		}
		some, err := l.GrantsOf(t.Context(), org, account, access.Directory)
		require.NoError(t, err)
		require.Equal(t, []string{"open", "waiting"}, ids(some))
		some, err = l.GrantsFormerly(t.Context(), org, address, access.Directory)
		require.NoError(t, err)
		require.Equal(t, []string{"open", "waiting"}, ids(some),
			"the workflow of the key they began with hands them over")
		sent, err := l.BeginChange(t.Context(), org, "sent", account, access.Directory, noon)
		require.NoError(t, err)
		require.Equal(t, access.Sent, sent.State)
		_, err = l.Line(t.Context(), org, "sent", address, access.Directory)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		for _, run := range []string{"done", "both"} {
			_, err = l.Line(t.Context(), org, run, address, access.Directory)
			require.NoError(t, err, "what has its answer, or is the account's already, stays")
		}
		want.Person = account
		got, err := l.Holding(t.Context(), org, account, access.Directory)
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = l.Holding(t.Context(), org, address, access.Directory)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		n := 0
		for _, kind := range kinds(t, l) {
			if kind == "grant-arrived" {
				n++
			}
		}
		require.Equal(t, 2, n)
		sound(t, l)
	})
}
