package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
	"github.com/stretchr/testify/require"
)

// say returns a decision five minutes after noon.
func say(by string, approve bool) ledger.Decision {
	return ledger.Decision{By: by, Approve: approve, Note: "CHG-12", At: noon.Add(5 * time.Minute)}
}

func TestDecisionsOnAGrant(t *testing.T) {
	t.Parallel()
	late := say(idCarol, true)
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
			{say(idCarol, true), nil, true, access.GrantGranted},
			{say(idCarol, true), nil, false, access.GrantGranted}, // a repeat
			{late, nil, false, access.GrantGranted},               // a late repeat
			{say(idDan, true), ledger.ErrNotOpen, false, access.GrantGranted},
			{say(idCarol, false), ledger.ErrNotOpen, false, access.GrantGranted},
		}, []string{"grant-approved", "grant-granted"}},
		{"denied", nil, []step{
			{say(idDan, false), nil, true, access.GrantDenied},
			{say(idDan, false), nil, false, access.GrantDenied},
			{say(idCarol, false), ledger.ErrNotOpen, false, access.GrantDenied},
			{say(idDan, true), ledger.ErrNotOpen, false, access.GrantDenied},
		}, []string{"grant-denied"}},
		{"by two", func(g *access.Grant) { g.Needs = 2 }, []step{
			{say(idCarol, true), nil, false, access.GrantWaiting},
			{say(idCarol, true), nil, false, access.GrantWaiting},
			{say(idDan, true), nil, true, access.GrantGranted},
			{say(idCarol, true), nil, false, access.GrantGranted},
		}, []string{"grant-approved", "grant-approved", "grant-granted"}},
		{"the second denies", func(g *access.Grant) { g.Needs = 2 }, []step{
			{say(idCarol, true), nil, false, access.GrantWaiting},
			{say(idCarol, false), nil, true, access.GrantDenied}, // on second thoughts
			{say(idDan, true), ledger.ErrNotOpen, false, access.GrantDenied},
		}, []string{"grant-approved", "grant-denied"}},
		{"too late", nil, []step{
			{late, review.ErrTooLate, false, access.GrantExpired},
			{say(idCarol, true), ledger.ErrNotOpen, false, access.GrantExpired},
		}, []string{"grant-expired"}},
		{"a stranger", nil, []step{
			{say("eve@acme.example", true), review.ErrNotApprover, false, access.GrantWaiting},
			{say("eve@acme.example", false), review.ErrNotApprover, false, access.GrantWaiting},
			{say("carol@acme.example", true), review.ErrNotApprover, false, access.GrantWaiting},
			{say("", true), review.ErrSelf, false, access.GrantWaiting},
			{say(idCarol, true), nil, true, access.GrantGranted},
		}, []string{"grant-approved", "grant-granted"}},
		{"asked for by nobody knows whom", func(g *access.Grant) { g.By = "carol@acme.example" }, []step{
			{say(idCarol, true), review.ErrRequesterUnknown, false, access.GrantWaiting},
			{say(idCarol, false), nil, true, access.GrantDenied},
		}, []string{"grant-denied"}},
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
			g, _, err := l.DecideGrant(t.Context(), org, id, say(idCarol, true))
			require.NoError(t, err)
			require.Equal(t, from, g.From)
			require.Equal(t, from.Add(2*time.Hour), g.Until)
			require.Equal(t, []access.Approval{{By: idCarol, At: noon.Add(5 * time.Minute), Note: "CHG-12"}},
				g.Approvals)
		}
		_, _, err := l.DecideGrant(t.Context(), org, "none", say(idCarol, true))
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
}

// TestApprovalsKeepToTheLimitByEveryName: one group goes by two names, and requests wait under both.
func TestApprovalsKeepToTheLimitByEveryName(t *testing.T) {
	t.Parallel()
	names := []access.Entitlement{"group:admins", "default:jira/acme/admin", "group:other"}
	same := func(name access.Entitlement) bool { return name != names[2] }
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for i, name := range []int{0, 1, 2, 1} {
			g := asked(fmt.Sprintf("g%d", i))
			g.Target, g.Duration, g.MostInRow, g.ApprovalDeadline = names[name], access.Duration(4*time.Hour),
				access.Duration(6*time.Hour), noon.Add(24*time.Hour)
			request(t, l, g)
		}
		approve := func(id string, at time.Time) (access.Grant, error) {
			d := say(idCarol, true)
			d.At, d.Same = at, same
			if id == "g2" {
				d.Same = func(access.Entitlement) bool { return false }
			}
			g, _, err := l.DecideGrant(t.Context(), org, id, d)
			return g, err
		}
		_, err := approve("g0", noon)
		require.NoError(t, err)
		second, err := approve("g1", noon.Add(4*time.Hour))
		require.NoError(t, err)
		require.Equal(t, noon.Add(6*time.Hour), second.Until.UTC())
		other, err := approve("g2", noon.Add(4*time.Hour))
		require.NoError(t, err)
		require.Equal(t, noon.Add(8*time.Hour), other.Until.UTC(), "another target is none of its business")
		_, err = approve("g3", noon.Add(6*time.Hour))
		require.ErrorIs(t, err, review.ErrInRow)
	})
}

// TestApprovalsKeepToTheRest: what was asked for while nothing was held is approved when something is, or was a moment
// ago.
func TestApprovalsKeepToTheRest(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for _, id := range []string{"g1", "g2", "ahead"} {
			g := asked(id)
			g.Duration, g.Rest, g.ApprovalDeadline = access.Duration(4*time.Hour), access.Duration(2*time.Hour),
				noon.Add(24*time.Hour)
			if id == "ahead" {
				g.Start = noon.Add(11 * time.Hour)
			}
			request(t, l, g)
		}
		approve := func(id string, at time.Time) (access.Grant, error) {
			d := say(idCarol, true)
			d.At = at
			g, _, err := l.DecideGrant(t.Context(), org, id, d)
			return g, err
		}
		_, err := approve("g1", noon)
		require.NoError(t, err)
		for _, at := range []time.Duration{time.Hour, 4 * time.Hour, 6*time.Hour - time.Second} {
			_, err := approve("g2", noon.Add(at))
			rest, is := errors.AsType[*review.CooldownError](err)
			require.True(t, is, "%s later: %v", at, err)
			require.Equal(t, "g1", rest.Other.ID)
			still, err := l.Grant(t.Context(), org, "g2")
			require.NoError(t, err)
			require.Equal(t, access.GrantWaiting, still.State)
			require.Empty(t, still.Approvals)
		}
		_, err = approve("ahead", noon)
		require.NoError(t, err, "it begins long after")
		_, err = approve("g2", noon.Add(6*time.Hour))
		_, is := errors.AsType[*review.CooldownError](err)
		require.True(t, is, "another is to begin an hour after its end")
		_, err = approve("g2", noon.Add(17*time.Hour))
		require.NoError(t, err)
	})
}

func TestNearFindsWhatIsHeldWhateverWasAskedSince(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		request(t, l, lease("held")) // noon to two o'clock
		request(t, l, asked("waits"))
		for i := range 120 {
			g := asked(fmt.Sprintf("w%d", i))
			g.Requested = noon.Add(time.Duration(i) * time.Second)
			request(t, l, g)
			_, err := l.EndGrant(t.Context(), org, g.ID, idBo, "changed my mind", noon.Add(time.Minute))
			require.NoError(t, err)
		}
		later := lease("later")
		later.Start = noon.Add(24 * time.Hour)
		request(t, l, later)
		withdrawn := lease("withdrawn")
		withdrawn.Start = noon.Add(20 * time.Hour)
		request(t, l, withdrawn)
		_, err := l.EndGrant(t.Context(), org, "withdrawn", idBo, "not needed", noon.Add(time.Hour))
		require.NoError(t, err)
		for want, after := range map[string]time.Time{"held later waits": noon,
			"later waits": noon.Add(2 * time.Hour)} {
			near, err := l.GrantsNear(t.Context(), org, person(1).ID, after)
			require.NoError(t, err)
			require.Equal(t, want, strings.Join(ids(near), " "))
		}
		none, err := l.GrantsNear(t.Context(), org, "other", noon)
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func TestAnApprovalNeedsItsCode(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		g := asked("g1")
		g.Codes, g.Needs = true, 2
		request(t, l, g)
		request(t, l, asked("g2"))
		require.ErrorIs(t, l.SaveCode(t.Context(), org, "none", idCarol, "hash", noon), ledger.ErrNotFound)
		for _, code := range [][3]string{
			{"g1", idCarol, "hash-c1"}, {"g1", idCarol, "hash-c2"}, {"g1", idCarol, "hash-c2"}, {"g1", idDan, "hash-d"},
			{"g2", idCarol, "hash-of-g2"},
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
			err := with(idCarol, wrong, true)
			require.ErrorIs(t, err, ledger.ErrCode)
			require.NotContains(t, err.Error(), "hash-")
			require.ErrorIs(t, with(idCarol, wrong, false), ledger.ErrCode)
		}
		require.Empty(t, stored(t, l, "g1").Approvals)
		require.NoError(t, with(idCarol, "hash-c2", true), "either code of hers will do")
		require.ErrorIs(t, with(idCarol, "hash-c1", false), ledger.ErrCode, "and uses up both")
		require.ErrorIs(t, with(idCarol, "hash-c2", false), ledger.ErrCode)
		require.NoError(t, with(idDan, "hash-d", true))
		require.Equal(t, access.GrantGranted, stored(t, l, "g1").State)
		entries := entries(t, l, 0)
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
			request(t, l, g)
			before := kinds(t, l)
			decided := make(chan bool, 24)
			var wait sync.WaitGroup
			for n := range cap(decided) {
				wait.Go(func() {
					d := say([]string{idCarol, idDan}[n%2], true)
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
