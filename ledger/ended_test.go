package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

func TestMissingNamesWhoHoldsSomethingAndIsNotShown(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		page := ledger.Page{Key: "1", Shown: []string{"id-00001", "id-00002", "id-00003"}}
		for i := range 3 {
			p := person(i + 1)
			page.People = append(page.People, p)
			if i < 2 {
				page.Open = append(page.Open, access.Holding{Person: p.ID, Target: group("dev"), GroupID: "gid-dev",
					Owned: true})
			}
		}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon))
		later := noon.Add(time.Hour)
		require.NoError(t, l.SavePage(t.Context(), org, "r2",
			ledger.Page{Key: "1", People: page.People[:1], Shown: page.Shown[:1], Observe: true}, later))
		missing := func(since time.Time) []string {
			all, err := l.Missing(t.Context(), org, since, 0)
			require.NoError(t, err)
			return all
		}
		require.Empty(t, missing(noon))
		require.Equal(t, []string{"id-00001", "id-00002"}, missing(later),
			"a preview sees nobody; who holds nothing is not missed")
		require.NoError(t, l.NoteMissing(t.Context(), org, []string{"id-00001", "id-00002"}, later))
		require.NoError(t, l.NoteMissing(t.Context(), org, []string{"id-00002"}, later.Add(time.Hour)))
		since, err := l.MissingSince(t.Context(), org, "id-00002")
		require.NoError(t, err)
		require.Equal(t, later, since, "the first instant stands")
		require.NoError(t, l.SavePage(t.Context(), org, "r3",
			ledger.Page{Key: "1", People: page.People[:1], Shown: page.Shown[:1]}, later))
		require.Equal(t, []string{"id-00002"}, missing(later))
		since, err = l.MissingSince(t.Context(), org, "id-00001")
		require.NoError(t, err)
		require.Zero(t, since)
	})
}

func TestEndHoldingsPutsEachIntoTheChain(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		h := access.Holding{Person: "id-00001", Target: group("dev"), GroupID: "gid-dev", Owned: true, From: noon}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", ledger.Page{Key: "1", Open: []access.Holding{h}}, noon))
		groups, err := l.HeldGroups(t.Context(), org)
		require.NoError(t, err)
		require.Equal(t, map[string]access.Entitlement{"gid-dev": group("dev")}, groups)
		other := h
		other.From = noon.Add(-time.Second)
		n, err := l.EndHoldings(t.Context(), org, "r2", []access.Holding{other}, "gone", noon.Add(time.Hour))
		require.NoError(t, err)
		require.Zero(t, n, "it is another one that stands")
		for _, want := range []int{1, 0} {
			n, err = l.EndHoldings(t.Context(), org, "r2", []access.Holding{h}, "gone", noon.Add(time.Hour))
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		entries, err := l.History(t.Context(), org, "id-00001", group("dev"), 10)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.Equal(t, ledger.EntryHoldingEnded, entries[0].Kind)
		require.JSONEq(t, `{"why":"gone","groupId":"gid-dev","owned":true}`, string(entries[0].Body))
		_, err = l.Holding(t.Context(), org, "id-00001", group("dev"))
		require.ErrorIs(t, err, ledger.ErrNotFound)
		sound(t, l)
	})
}

func TestEndGrantByHandEndsWhatIsInForce(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		g, _, err := l.RequestGrant(t.Context(), org, lease("g1"))
		require.NoError(t, err)
		early, err := l.EndGrantByHand(t.Context(), org, "g1", "taken", g.Until)
		require.NoError(t, err)
		require.False(t, early.RemovedByHand, "it was over by time")
		for range 2 {
			over, err := l.EndGrantByHand(t.Context(), org, "g1", "taken", g.From.Add(time.Minute))
			require.NoError(t, err)
			require.True(t, over.RemovedByHand)
			require.Equal(t, access.GrantEnded, over.State)
			require.Equal(t, g.From.Add(time.Minute), over.Until)
			require.Equal(t, "taken", over.ClosedWhy)
		}
		sound(t, l)
	})
}
