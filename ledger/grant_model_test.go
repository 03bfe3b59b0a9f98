package ledger_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestTheLifeOfAGrant lets requests come in any order, repeated and late, and compares the ledger with a model of a
// page.
func TestTheLifeOfAGrant(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, l *ledger.Ledger) {
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			n++
			org := fmt.Sprint("org-", n)
			g := asked("g1")
			if g.Needs = rapid.IntRange(0, 2).Draw(r, "needs"); g.Needs == 0 {
				g.State = access.GrantGranted
			}
			if rapid.Bool().Draw(r, "ahead") {
				g.Start = noon.Add(30 * time.Minute)
			}
			require.NoError(r, l.KeepPeople(t.Context(), org, []access.Person{{ID: idBo}}, noon))
			_, _, err := l.RequestGrant(t.Context(), org, g)
			require.NoError(r, err)
			m := model{Grant: g}
			if g.Needs == 0 {
				m.begin(noon)
			}
			for range rapid.IntRange(1, 8).Draw(r, "steps") {
				s := step{
					act: rapid.SampledFrom([]string{"approve", "deny", "expire", "end", "revoke", "given", "taken",
						"request"}).Draw(r, "act"),
					by: rapid.SampledFrom([]string{idCarol, idDan, "eve@acme.example"}).Draw(r, "by"),
					at: noon.Add(time.Duration(rapid.IntRange(0, 20).Draw(r, "at")) * 10 * time.Minute),
				}
				m.take(s)
				var entries int64
				for times := range 2 {
					s.send(t, r, l, org, g)
					seq, _, err := l.Head(t.Context(), org)
					require.NoError(r, err)
					require.True(r, times == 0 || seq == entries, "a repeat leaves no entry")
					entries = seq
				}
				got, err := l.Grant(t.Context(), org, "g1")
				require.NoError(r, err)
				var by []string
				for _, a := range got.Approvals {
					by = append(by, a.By)
				}
				require.Equal(r, m.approved, by)
				require.Equal(r, []any{m.State, m.From, m.Until, m.ProvisionedAt, m.RevokedAt, m.ClosedBy},
					[]any{got.State, got.From, got.Until, got.ProvisionedAt, got.RevokedAt, got.ClosedBy},
					"after %+v", s)
				open, err := l.Grants(t.Context(), org, ledger.GrantFilter{Unsettled: true})
				require.NoError(r, err)
				require.Equal(r, m.Settled(), len(open) == 0)
			}
			check, err := l.VerifyChain(t.Context(), org, 0, 0)
			require.NoError(r, err)
			require.Nil(r, check.Broken)
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, filepath.Join(t.TempDir(), "castellan.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, postgresURL(t)))
	})
}

// step is one message about the grant.
type step struct {
	act, by string
	at      time.Time
}

func (s step) send(t *testing.T, r *rapid.T, l *ledger.Ledger, org string, g access.Grant) {
	var err error
	switch s.act {
	case "request":
		_, _, err = l.RequestGrant(t.Context(), org, g)
	case "approve", "deny":
		_, _, err = l.DecideGrant(t.Context(), org, g.ID,
			ledger.Decision{By: s.by, Approve: s.act == "approve", At: s.at})
		for _, refusal := range []error{ledger.ErrNotOpen, review.ErrTooLate, review.ErrNotApprover} {
			if errors.Is(err, refusal) {
				err = nil
			}
		}
	case "expire":
		_, err = l.ExpireGrant(t.Context(), org, g.ID, s.at)
	case "end":
		_, err = l.EndGrant(t.Context(), org, g.ID, "", "", s.at)
	case "revoke":
		_, err = l.EndGrant(t.Context(), org, g.ID, s.by, "done", s.at)
	case "given":
		err = l.MarkGrantProvisioned(t.Context(), org, []string{g.ID}, s.at)
	case "taken":
		err = l.MarkGrantRevoked(t.Context(), org, []string{g.ID}, s.at, "seen")
	}
	require.NoError(r, err, "%+v", s)
}

// model is what a grant should be after each message.
type model struct {
	access.Grant
	approved []string
}

func (m *model) begin(at time.Time) {
	m.State, m.From = access.GrantGranted, at
	if m.Start.After(at) {
		m.From = m.Start
	}
	m.Until = m.From.Add(2 * time.Hour)
}

func (m *model) take(s step) {
	waiting, granted := m.State == access.GrantWaiting, m.State == access.GrantGranted
	late, over := !s.at.Before(m.ApprovalDeadline), granted && !s.at.Before(m.Until)
	approver := s.by == idCarol || s.by == idDan
	switch s.act {
	case "approve":
		switch {
		case !waiting || slices.Contains(m.approved, s.by):
		case late:
			m.State = access.GrantExpired
		case approver:
			m.approved = append(m.approved, s.by)
			if len(m.approved) == m.Needs {
				m.begin(s.at)
			}
		}
	case "deny":
		switch {
		case !waiting:
		case late:
			m.State = access.GrantExpired
		case approver:
			m.State, m.ClosedBy = access.GrantDenied, s.by
		}
	case "expire":
		if waiting && late {
			m.State = access.GrantExpired
		}
	case "end":
		if over {
			m.State = access.GrantEnded
		}
	case "revoke":
		switch {
		case waiting:
			m.State, m.ClosedBy, m.From, m.Until, m.RevokedAt = access.GrantEnded, s.by, s.at, s.at, s.at
		case over:
			m.State = access.GrantEnded
		case granted:
			m.State, m.ClosedBy, m.Until = access.GrantEnded, s.by, s.at
			if m.From.After(s.at) {
				m.From = s.at
			}
		}
	case "given":
		if (granted || m.State == access.GrantEnded) && m.ProvisionedAt.IsZero() {
			m.ProvisionedAt = s.at
		}
	case "taken":
		if over {
			m.State = access.GrantEnded
		}
		if m.State == access.GrantEnded && m.RevokedAt.IsZero() {
			m.RevokedAt = s.at
		}
	}
}
