package ledger_test

import (
	"sync"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

// say is a decision five minutes after noon.
func say(by string, approve bool) ledger.Decision {
	return ledger.Decision{By: by, Approve: approve, Note: "CHG-12", At: noon.Add(5 * time.Minute)}
}

func TestDecisionsOnAGrant(t *testing.T) {
	t.Parallel()
	at := noon.Add(5 * time.Minute)
	late := say(carol, true)
	late.At = noon.Add(time.Hour)
	type step struct {
		say     ledger.Decision
		err     error
		decided bool
		state   access.GrantState
	}
	for _, c := range []struct {
		name    string
		request func(*access.Grant)
		steps   []step
		kinds   []string
	}{
		{"approved", nil, []step{
			{say(carol, true), nil, true, access.GrantGranted},
			{say("Carol@ACME.example", true), nil, false, access.GrantGranted}, // a repeat
			{late, nil, false, access.GrantGranted},                            // a late repeat
			{say(dan, true), ledger.ErrNotOpen, false, access.GrantGranted},
			{say(carol, false), ledger.ErrNotOpen, false, access.GrantGranted},
		}, []string{"grant-approved", "grant-granted"}},
		{"denied", nil, []step{
			{say(dan, false), nil, true, access.GrantDenied},
			{say(dan, false), nil, false, access.GrantDenied},
			{say(carol, false), ledger.ErrNotOpen, false, access.GrantDenied},
			{say(dan, true), ledger.ErrNotOpen, false, access.GrantDenied},
		}, []string{"grant-denied"}},
		{"by two", func(g *access.Grant) { g.Needs = 2 }, []step{
			{say(carol, true), nil, false, access.GrantWaiting},
			{say(carol, true), nil, false, access.GrantWaiting},
			{say(dan, true), nil, true, access.GrantGranted},
			{say(carol, true), nil, false, access.GrantGranted},
		}, []string{"grant-approved", "grant-approved", "grant-granted"}},
		{"the second denies", func(g *access.Grant) { g.Needs = 2 }, []step{
			{say(carol, true), nil, false, access.GrantWaiting},
			{say(carol, false), nil, true, access.GrantDenied}, // on second thoughts
			{say(dan, true), ledger.ErrNotOpen, false, access.GrantDenied},
		}, []string{"grant-approved", "grant-denied"}},
		{"too late", nil, []step{
			{late, ledger.ErrTooLate, false, access.GrantExpired},
			{say(carol, true), ledger.ErrNotOpen, false, access.GrantExpired},
		}, []string{"grant-expired"}},
		{"a stranger", nil, []step{
			{say("eve@acme.example", true), ledger.ErrNotApprover, false, access.GrantWaiting},
			{say("eve@acme.example", false), ledger.ErrNotApprover, false, access.GrantWaiting},
			{say("", true), ledger.ErrNotApprover, false, access.GrantWaiting},
			{ledger.Decision{By: "Carol", Account: carol, Approve: true, At: at}, nil, true, access.GrantGranted},
		}, []string{"grant-approved", "grant-granted"}},
		{"for oneself", func(g *access.Grant) { g.Approvers = append(g.Approvers, bo, g.Email, g.Person) }, []step{
			{say("PERSON.00001@acme.example", true), ledger.ErrSelf, false, access.GrantWaiting},
			{say("id-00001", true), ledger.ErrSelf, false, access.GrantWaiting},
			{ledger.Decision{By: "ana.old@acme.example", Account: "id-00001", Approve: true, At: at}, ledger.ErrSelf, false, access.GrantWaiting},
			{say("Bo@acme.example", true), ledger.ErrSelf, false, access.GrantWaiting},
			{say(bo, false), ledger.ErrSelf, false, access.GrantWaiting},
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				g := asked("g1")
				if c.request != nil {
					c.request(&g)
				}
				request(t, l, g)
				for i, s := range c.steps {
					got, decided, err := l.DecideGrant(t.Context(), org, "g1", s.say)
					require.ErrorIs(t, err, s.err, "step %d", i)
					require.Equal(t, s.decided, decided, "step %d", i)
					require.Equal(t, s.state, stored(t, l, "g1").State, "step %d", i)
					if err == nil {
						require.Equal(t, stored(t, l, "g1"), got)
					}
				}
				require.Equal(t, append([]string{"grant-requested"}, c.kinds...), kinds(t, l))
				sound(t, l)
			})
		})
	}
}

func TestAGrantBeginsWhenItIsGrantedOrLater(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		now, ahead := asked("now"), asked("ahead")
		ahead.Start = noon.Add(24 * time.Hour)
		for id, from := range map[string]time.Time{
			request(t, l, now).ID: noon.Add(5 * time.Minute), request(t, l, ahead).ID: ahead.Start,
		} {
			g, _, err := l.DecideGrant(t.Context(), org, id, say(carol, true))
			require.NoError(t, err)
			require.Equal(t, from, g.From)
			require.Equal(t, from.Add(2*time.Hour), g.Until)
			require.Equal(t, []access.Approval{{By: carol, At: noon.Add(5 * time.Minute), Note: "CHG-12"}}, g.Approvals)
		}
		_, _, err := l.DecideGrant(t.Context(), org, "none", say(carol, true))
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
}

func TestOneApproverIsOnePersonUnderAllNames(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		require.NoError(t, l.SavePage(t.Context(), org, "r1", ledger.Page{Key: "1", People: []access.Person{
			{ID: "id-bo", Email: bo}, {ID: "ID-carol", Email: "Carol@acme.example"}, {ID: "id-dan", Email: dan}, {ID: "id-unseen"},
		}}, noon))
		g := asked("g1")
		g.Needs, g.Approvers = 2, []string{carol, "ID-carol", "id-dan", "id-bo", "id-unseen"}
		request(t, l, g)
		_, _, err := l.DecideGrant(t.Context(), org, "g1", say("id-bo", true))
		require.ErrorIs(t, err, ledger.ErrSelf, "bo asked for it by address")
		for _, name := range []string{carol, "ID-carol", carol} {
			g, decided, err := l.DecideGrant(t.Context(), org, "g1", say(name, true))
			require.NoError(t, err)
			require.False(t, decided)
			require.Len(t, g.Approvals, 1, "carol counts once")
		}
		_, decided, err := l.DecideGrant(t.Context(), org, "g1", say(dan, true))
		require.NoError(t, err)
		require.True(t, decided, "the request names dan by account id")
	})
}

func TestAnApprovalNeedsItsCode(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		g := asked("g1")
		g.Codes, g.Needs = true, 2
		request(t, l, g)
		request(t, l, asked("g2"))
		require.ErrorIs(t, l.SaveCode(t.Context(), org, "none", carol, "hash", noon), ledger.ErrNotFound)
		for _, code := range [][3]string{
			{"g1", "Carol@acme.example", "hash-c1"}, {"g1", carol, "hash-c2"}, {"g1", carol, "hash-c2"}, {"g1", dan, "hash-d"}, {"g2", carol, "hash-of-g2"},
		} {
			require.NoError(t, l.SaveCode(t.Context(), org, code[0], code[1], code[2], noon))
		}
		with := func(by, hash string, approve bool) error {
			d := say(by, approve)
			d.CodeHash = hash
			_, _, err := l.DecideGrant(t.Context(), org, "g1", d)
			return err
		}
		for _, wrong := range []string{"", "hash-of-g2", "hash-d", "guess"} {
			err := with(carol, wrong, true)
			require.ErrorIs(t, err, ledger.ErrCode)
			require.NotContains(t, err.Error(), "hash-")
			require.ErrorIs(t, with(carol, wrong, false), ledger.ErrCode)
		}
		require.Empty(t, stored(t, l, "g1").Approvals)
		require.NoError(t, with(carol, "hash-c2", true), "either code of hers will do")
		require.ErrorIs(t, with(carol, "hash-c1", false), ledger.ErrCode, "and uses up both")
		require.ErrorIs(t, with(carol, "hash-c2", false), ledger.ErrCode)
		require.NoError(t, with(dan, "hash-d", true))
		require.Equal(t, access.GrantGranted, stored(t, l, "g1").State)
		entries, err := l.Entries(t.Context(), org, 0, 0)
		require.NoError(t, err)
		for _, e := range entries {
			require.NotContains(t, string(e.Body), "hash-")
		}
	})
}

func TestDecisionsInOneInstantDecideOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for _, needs := range []int{1, 2} {
			g := asked("needs-" + string(rune('0'+needs)))
			g.Needs = needs
			_, _, err := l.RequestGrant(t.Context(), org, g)
			require.NoError(t, err)
			before := kinds(t, l)
			decided := make(chan bool, 24)
			var wait sync.WaitGroup
			for n := range cap(decided) {
				wait.Go(func() {
					d := say([]string{carol, dan}[n%2], true)
					_, mine, err := l.DecideGrant(t.Context(), org, g.ID, d)
					if err != nil && needs == 2 {
						t.Error(err)
					}
					decided <- mine
				})
			}
			wait.Wait()
			close(decided)
			times := 0
			for mine := range decided {
				if mine {
					times++
				}
			}
			require.Equal(t, 1, times)
			require.Len(t, stored(t, l, g.ID).Approvals, needs)
			want := []string{"grant-approved", "grant-granted"}
			if needs == 2 {
				want = []string{"grant-approved", "grant-approved", "grant-granted"}
			}
			require.Equal(t, append(before, want...), kinds(t, l))
		}
		sound(t, l)
	})
}

func TestRequestsInOneInstantAreOne(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		fresh := make(chan bool, 16)
		var wait sync.WaitGroup
		for range cap(fresh) {
			wait.Go(func() {
				_, first, err := l.RequestGrant(t.Context(), org, asked("g1"))
				if err != nil {
					t.Error(err)
				}
				fresh <- first
			})
		}
		wait.Wait()
		close(fresh)
		times := 0
		for first := range fresh {
			if first {
				times++
			}
		}
		require.Equal(t, 1, times)
		require.Equal(t, []string{"grant-requested"}, kinds(t, l))
	})
}
