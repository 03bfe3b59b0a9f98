package ledger_test

import (
	"fmt"
	"testing"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func TestEvidenceIsKeptInPieces(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 1, map[string][]int{carol: {1}})
		save := func(piece int, body string) {
			t.Helper()
			require.NoError(t, l.SaveEvidence(t.Context(), org, spring, piece, body))
		}
		pack := func() (all []string) {
			t.Helper()
			for piece := 0; ; piece++ {
				body, more, err := l.Evidence(t.Context(), org, spring, piece)
				require.NoError(t, err)
				if all = append(all, body); !more {
					return all
				}
			}
		}
		_, _, err := l.Evidence(t.Context(), org, spring, 0)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		for n := range 4 {
			save(n, fmt.Sprint("first ", n))
		}
		require.Equal(t, []string{"first 0", "first 1", "first 2", "first 3"}, pack())
		for n := range 2 { // a repeat that has less to say
			save(n, fmt.Sprint("second ", n))
		}
		require.Equal(t, []string{"second 0", "second 1"}, pack())
		for _, none := range []int{-1, 2, 9} {
			_, _, err = l.Evidence(t.Context(), org, spring, none)
			require.ErrorIs(t, err, ledger.ErrNotFound, "piece %d", none)
		}

		for n := range 2 {
			r, err := l.EndReview(t.Context(), org, spring, access.ReviewDone, "sha256:head", 12, minutes(50+n).Add(99))
			require.NoError(t, err)
			require.Equal(t, r, storedReview(t, l, spring))
			require.Equal(t, []any{access.ReviewDone, minutes(50), "sha256:head", 12},
				[]any{r.State, r.Ended, r.Head, r.Lines})
		}
		_, err = l.EndReview(t.Context(), org, spring, access.ReviewCancelled, "", 0, minutes(60))
		require.NoError(t, err)
		require.Equal(t, access.ReviewDone, storedReview(t, l, spring).State, "it is over")
		save(0, "a late repeat")
		require.Equal(t, []string{"second 0", "second 1"}, pack(), "its head is in the chain")
		entries := entries(t, l, 1)
		require.Len(t, entries, 1)
		require.Equal(t, "review-ended", entries[0].Kind)
		require.JSONEq(t, `{"review": "quarterly:2026-05-04", "text": "done, evidence sha256:head"}`,
			string(entries[0].Body))
		require.Len(t, logged(t, l, spring), 3)
		require.ErrorIs(t, l.SaveEvidence(t.Context(), org, "none", 0, ""), ledger.ErrNotFound)
		_, err = l.EndReview(t.Context(), org, "none", access.ReviewDone, "", 0, noon)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		sound(t, l)
	})
}
