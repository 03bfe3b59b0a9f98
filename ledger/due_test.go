package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

func TestDueBetweenNamesWhoIsToBeDecidedAgain(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		page := ledger.Page{Key: "1", Due: map[string]time.Time{}}
		due := []time.Duration{time.Hour, 2 * time.Hour, 0, time.Hour}
		for i, d := range due {
			p := person(i + 1)
			page.People = append(page.People, p)
			if page.Due[p.ID] = (time.Time{}); d > 0 {
				page.Due[p.ID] = noon.Add(d)
			}
		}
		between := func(after, to time.Duration, limit int) []string {
			people, err := l.DueBetween(t.Context(), org, noon.Add(after), noon.Add(to), limit)
			require.NoError(t, err)
			return people
		}
		next := func(after time.Duration) time.Time {
			at, err := l.NextDue(t.Context(), org, noon.Add(after))
			require.NoError(t, err)
			return at
		}
		preview := page
		preview.Observe = true
		require.NoError(t, l.SavePage(t.Context(), org, "r0", preview, noon))
		require.Zero(t, next(0), "a preview leaves it as it is")
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon))
		require.Equal(t, []string{"id-00001", "id-00004"}, between(0, time.Hour, 0))
		require.Equal(t, []string{"id-00001"}, between(0, time.Hour, 1))
		require.Equal(t, []string{"id-00002"}, between(time.Hour, 3*time.Hour, 0))
		require.Equal(t, noon.Add(time.Hour), next(0))
		require.Equal(t, noon.Add(2*time.Hour), next(time.Hour))
		require.Zero(t, next(2*time.Hour))

		again := ledger.Page{Key: "1", Due: map[string]time.Time{"id-00001": {}, "id-00004": noon.Add(5 * time.Hour)}}
		require.NoError(t, l.SavePage(t.Context(), org, "r2", again, noon))
		require.Empty(t, between(0, time.Hour, 0), "who was decided again is due anew, or not at all")
		require.Equal(t, []string{"id-00002", "id-00004"}, between(0, 5*time.Hour, 0))
		people, err := l.DueBetween(t.Context(), "other", noon, noon.Add(5*time.Hour), 0)
		require.NoError(t, err)
		require.Empty(t, people)
	})
}
