package ledger_test

import (
	"testing"
	"time"

	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func TestLinksOpenUntilTheyAreRevoked(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		require.NoError(t, l.NameReviewers(t.Context(), org, spring, map[string]string{carol: "ID-carol"}))
		underReview(t, l, spring, 2, map[string][]int{carol: {1}, dan: {2}, "ID-eve": {1}})
		underReview(t, l, "autumn", 1, map[string][]int{carol: {1}})
		links := map[string]ledger.ReviewLink{}
		for id, reviewer := range map[string]string{"a": carol, "b": carol, "c": "ID-carol", "d": dan, "e": "ID-eve"} {
			k := ledger.ReviewLink{ID: id, Review: spring, Reviewer: reviewer, At: minutes(1).Add(99),
				Expires: minutes(90)}
			for range 2 {
				require.NoError(t, l.SaveReviewLink(t.Context(), org, k))
				k.Expires = minutes(99) // a repeat changes nothing
			}
			k.At, k.Expires = minutes(1), minutes(90)
			links[id] = k
		}
		require.NoError(t, l.SaveReviewLink(t.Context(), org,
			ledger.ReviewLink{ID: "x", Review: "autumn", Reviewer: carol, Expires: minutes(90)}))
		read := func(id string) ledger.ReviewLink {
			t.Helper()
			k, err := l.ReviewLink(t.Context(), org, id)
			require.NoError(t, err)
			return k
		}
		for id, k := range links {
			require.Equal(t, k, read(id))
		}
		_, err := l.ReviewLink(t.Context(), org, "none")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		_, err = l.ReviewLink(t.Context(), "other", "a")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		require.ErrorIs(t, l.SaveReviewLink(t.Context(), org, ledger.ReviewLink{ID: "y", Review: "none"}),
			ledger.ErrNotFound)

		require.NoError(t, l.SaveReviewCode(t.Context(), org, spring, carol, "hash-c", noon))
		require.NoError(t, l.SaveReviewCode(t.Context(), org, spring, dan, "hash-d", noon))
		revoke := func(reviewer string, minute int) int {
			t.Helper()
			n, err := l.RevokeReviewLinks(t.Context(), org, spring, reviewer, minutes(minute))
			require.NoError(t, err)
			return n
		}
		require.Equal(t, 3, revoke("id-CAROL", 5)+revoke("ID-carol", 5), "all of hers")
		require.Zero(t, revoke(carol, 6), "once")
		require.Equal(t, []time.Time{minutes(5), minutes(5), minutes(5), {}, {}},
			[]time.Time{read("a").Revoked, read("b").Revoked, read("c").Revoked, read("d").Revoked, read("e").Revoked})
		coded := word(carol, keep, 1)
		coded.Pass = ledger.Pass{CodeHash: "hash-c"}
		require.ErrorIs(t, hear(t, l, spring, coded)[0].Err, ledger.ErrCode, "and her codes")
		require.Equal(t, 2, revoke("", 7), "everybody's")
		coded = word(dan, keep, 2)
		coded.Pass = ledger.Pass{CodeHash: "hash-d"}
		require.ErrorIs(t, hear(t, l, spring, coded)[0].Err, ledger.ErrCode)
		require.Equal(t, minutes(5), read("a").Revoked)
		require.Zero(t, read("x").Revoked, "another review's link is another")

		late := ledger.ReviewLink{ID: "z", Review: spring, Reviewer: carol, At: minutes(8), Expires: minutes(90)}
		require.NoError(t, l.SaveReviewLink(t.Context(), org, late))
		require.Equal(t, late, read("z"), "what is sent afterwards opens again")
	})
}
