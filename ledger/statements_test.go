package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func keepingPool(t *testing.T) *sql.DB {
	t.Helper()
	pool, err := openKeeping(sqliteURL(filepath.Join(t.TempDir(), "it.db"), "immediate"))
	require.NoError(t, err)
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	_, err = pool.Exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY, word TEXT)`)
	require.NoError(t, err)
	for n := range 10 {
		_, err = pool.Exec(`INSERT INTO numbers (n, word) VALUES (?, ?)`, n, fmt.Sprint(n))
		require.NoError(t, err)
	}
	return pool
}

func TestKeptStatementsAnswerLikeFreshOnes(t *testing.T) {
	t.Parallel()
	pool := keepingPool(t)
	count := func(least int) (n int) {
		require.NoError(t, pool.QueryRow(`SELECT COUNT(*) FROM numbers WHERE n >= ?`, least).Scan(&n))
		return n
	}
	require.Equal(t, 10, count(0))
	require.Equal(t, 3, count(7))
	_, err := pool.Exec(`INSERT INTO numbers (n, word) VALUES (?, ?)`, 9, "again")
	require.Error(t, err)
	_, err = pool.Exec(`INSERT INTO numbers (n, word) VALUES (?, ?)`, 10, "ten")
	require.NoError(t, err, "one that failed harms none after it")
	require.Equal(t, 4, count(7))

	t.Log("what is read does not depend on when the tables were changed")
	all := func() []string {
		rows, err := pool.Query(`SELECT * FROM numbers WHERE n = 10`)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		require.NoError(t, rows.Close())
		return columns
	}
	require.Equal(t, []string{"n", "word"}, all())
	_, err = pool.Exec(`ALTER TABLE numbers ADD COLUMN more TEXT`)
	require.NoError(t, err)
	require.Equal(t, []string{"n", "word", "more"}, all())
}

func TestAKeptStatementMayRunWithinItself(t *testing.T) {
	t.Parallel()
	pool := keepingPool(t)
	tx, err := pool.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	const after = `SELECT n FROM numbers WHERE n > ? ORDER BY n`
	outer, err := tx.Query(after, 6)
	require.NoError(t, err)
	var pairs []string
	for outer.Next() {
		var n int
		require.NoError(t, outer.Scan(&n))
		inner, err := tx.Query(after, n)
		require.NoError(t, err)
		for inner.Next() {
			var m int
			require.NoError(t, inner.Scan(&m))
			pairs = append(pairs, fmt.Sprint(n, m))
		}
		require.NoError(t, inner.Close())
	}
	require.NoError(t, outer.Close())
	require.Equal(t, []string{"7 8", "7 9", "8 9"}, pairs)
	require.NoError(t, tx.Commit())
}

func TestAKeptStatementThatWasGivenUpHoldsNothing(t *testing.T) {
	t.Parallel()
	pool := keepingPool(t)
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := pool.QueryContext(ctx, `SELECT n FROM numbers`)
	require.NoError(t, err)
	require.True(t, rows.Next())
	cancel()
	for rows.Next() { // until the cancellation has arrived
	}
	_ = rows.Close()
	_, err = pool.Exec(`DELETE FROM numbers`)
	require.NoError(t, err)
	var n int
	require.NoError(t, pool.QueryRow(`SELECT COUNT(*) FROM numbers`).Scan(&n))
	require.Zero(t, n)
}

func TestNoMoreStatementsAreKeptThanMay(t *testing.T) {
	t.Parallel()
	pool := keepingPool(t)
	for i := range 2 * statementsKept {
		var n int
		require.NoError(t, pool.QueryRow(fmt.Sprintf(`SELECT %d FROM numbers LIMIT 1`, i)).Scan(&n))
		require.Equal(t, i, n)
	}
	conn, err := pool.Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.Raw(func(driver any) error {
		require.Equal(t, statementsKept, driver.(*keepingConn).kept.Len())
		return nil
	}))
	require.NoError(t, conn.Close())
}
