package ledger_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(onSQLite.close(), onPostgres.close()); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// both runs a test on an empty ledger in SQLite and on one in PostgreSQL.
func both(t *testing.T, test func(t *testing.T, l *ledger.Ledger)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, onSQLite.get(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		givenPostgres(t)
		test(t, onPostgres.get(t))
	})
}

// ledgers are open ledgers that one test after the other uses: making tables costs more than most tests do with them.
type ledgers struct {
	place func() (url string, remove func() error, err error) // where a new one is made

	mu     sync.Mutex
	free   []*ledger.Ledger
	closes []func() error
}

var (
	onSQLite   = &ledgers{place: newFolder}
	onPostgres = &ledgers{place: newSchema}
)

// get is an empty ledger. When the test ends it is emptied for the next one; after a test that failed nobody uses it.
func (p *ledgers) get(t *testing.T) *ledger.Ledger {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var l *ledger.Ledger
	if last := len(p.free) - 1; last >= 0 {
		l, p.free = p.free[last], p.free[:last]
	} else {
		url, remove, err := p.place()
		require.NoError(t, err)
		l, err = ledger.Open(t.Context(), url)
		require.NoError(t, err)
		p.closes = append(p.closes, func() error { return errors.Join(l.Close(), remove()) })
	}
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		require.NoError(t, l.Empty(context.WithoutCancel(t.Context())))
		p.mu.Lock()
		defer p.mu.Unlock()
		p.free = append(p.free, l)
	})
	return l
}

func (p *ledgers) close() error {
	var errs []error
	for _, f := range p.closes {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func newFolder() (url string, remove func() error, err error) {
	dir, err := os.MkdirTemp("", "ledger")
	return filepath.Join(dir, "castellan.db"), func() error { return os.RemoveAll(dir) }, err
}

// newSchema is the URL of an empty schema of its own in the database that CASTELLAN_TEST_POSTGRES names.
func newSchema() (string, func() error, error) {
	given := os.Getenv("CASTELLAN_TEST_POSTGRES")
	u, err := url.Parse(given)
	if err != nil {
		return "", nil, err
	}
	schema := "ledger_" + strings.ToLower(rand.Text())
	run := func(statement string) error {
		pool, err := sql.Open("pgx", given)
		if err != nil {
			return err
		}
		_, err = pool.Exec(statement)
		return errors.Join(err, pool.Close())
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String(), func() error { return run("DROP SCHEMA " + schema + " CASCADE") }, run("CREATE SCHEMA " + schema)
}

func givenPostgres(t testing.TB) {
	t.Helper()
	if os.Getenv("CASTELLAN_TEST_POSTGRES") == "" {
		t.Skip("CASTELLAN_TEST_POSTGRES is not set: the half of the tests that needs PostgreSQL is skipped (write postgres://user@host:5432/name)")
	}
}

// postgresURL is the URL of an empty schema that the test alone has.
func postgresURL(t testing.TB) string {
	t.Helper()
	givenPostgres(t)
	url, remove, err := newSchema()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, remove()) })
	return url
}
