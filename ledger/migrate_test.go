package ledger_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func TestALedgerWithoutGrantsIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		before, err := ledger.OpenAt(t.Context(), url, 2)
		require.NoError(t, err)
		at := noon.UnixMicro()
		for _, row := range []string{
			`INSERT INTO lines (org, run, person, target, rank, action, group_id, email, state, reasons, sources, loses, held_by, answer, at, attempts)
				VALUES ('acme', 'r1', 'id-00001', 'group:ops', 2, 'remove', 'gid-ops', '', 'done', '[{"kind":"mapping","name":"eng"}]', '', '', '', '200', ?, 1)`,
			`INSERT INTO holdings (org, person, target, since, until, group_id, owned, reasons, run)
				VALUES ('acme', 'id-00001', 'group:dev', ?, 0, 'gid-dev', 1, '[{"kind":"mapping","name":"eng"}]', 'r1')`,
		} {
			_, err := before.Exec(t.Context(), row, at)
			require.NoError(t, err)
		}
		_, err = before.Exec(t.Context(), `SELECT id FROM grants`)
		require.Error(t, err, "version 2 knows no grants")
		all := appended(t, before, 3)
		require.NoError(t, before.Close())

		for range 2 { // the second time there is nothing to do
			l := open(t, url)
			got, err := l.Entries(t.Context(), org, 0, 3)
			require.NoError(t, err)
			require.Equal(t, all, got)
			removals, err := l.RemovalsSince(t.Context(), org, noon)
			require.NoError(t, err)
			require.Equal(t, map[access.Entitlement]int{group("ops"): 1}, removals, "no removal of that time was a lapse")
			hours, err := l.Hours(t.Context(), org, noon, noon.Add(time.Hour))
			require.NoError(t, err)
			require.Empty(t, hours)
			_, _, err = l.RequestGrant(t.Context(), org, lease("g1"))
			require.NoError(t, err)
			states, err := l.States(t.Context(), org, []string{"id-00001"}, noon)
			require.NoError(t, err)
			require.Len(t, states["id-00001"].Grants, 1)
			require.Len(t, states["id-00001"].Holdings, 1)
			sound(t, l)
		}
		back, err := ledger.OpenAt(t.Context(), url, 2)
		require.NoError(t, err)
		line, err := back.Line(t.Context(), org, "r1", "id-00001", group("ops"))
		require.NoError(t, err)
		require.Equal(t, access.Done, line.State, "the way back keeps the rest")
		require.NoError(t, back.Close())
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "castellan.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgresURL(t))
	})
}

func TestALedgerWithoutReviewsIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		before, err := ledger.OpenAt(t.Context(), url, 4)
		require.NoError(t, err)
		line := change(person(1), access.Remove, "ops")
		line.State = access.Held
		plan(t, before, "r1", line)
		_, err = before.Exec(t.Context(), `SELECT id FROM reviews`)
		require.Error(t, err, "version 4 knows no reviews")
		require.NoError(t, before.Close())
		for range 2 {
			l := open(t, url)
			found, err := l.Removals(t.Context(), org, []ledger.Key{{Person: line.Person, Target: line.Target}}, noon)
			require.NoError(t, err)
			require.Len(t, found, 1, "what was held before is found")
			taken(t, l, campaign(spring), asks(1, "ops"))
			inStage(t, l, spring, 1, map[string][]int{carol: {1}})
			tell(t, l, spring, word(carol, remove, 1))
			require.Equal(t, "remove: 1 carol remove", verdicts(t, l, spring, 1))
			sound(t, l)
		}
		back, err := ledger.OpenAt(t.Context(), url, 4)
		require.NoError(t, err)
		still, err := back.Line(t.Context(), org, "r1", line.Person, line.Target)
		require.NoError(t, err)
		require.Equal(t, access.Held, still.State, "the way back keeps the rest")
		entries, err := back.Entries(t.Context(), org, 0, 0)
		require.NoError(t, err)
		require.Len(t, entries, 2)
		require.NoError(t, back.Close())
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "castellan.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgresURL(t))
	})
}
