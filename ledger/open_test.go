package ledger_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func TestWaysToNameTheFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for url, file := range map[string]string{
		"":                                  "castellan.db",
		"other.db":                          "other.db",
		"file:third.db":                     "third.db",
		"file:" + dir + "/a dir/50%#.db":    "a dir/50%#.db",
		"file://" + dir + "/b.db":           "b.db",
		filepath.Join(dir, "deep/er/c?.db"): "deep/er/c?.db",
	} {
		l := open(t, url)
		require.NoError(t, l.Ping(t.Context()))
		info, err := os.Stat(filepath.Join(dir, file))
		require.NoError(t, err, url)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "the file is its owner's alone")
		wal, err := os.Stat(filepath.Join(dir, file+"-wal"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), wal.Mode().Perm())
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	require.NoError(t, os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600))
	for url, want := range map[string]string{
		"mysql://root:hunter2@host/db":                          "mysql:// is not known",
		"postgres://ana:hunter2@127.0.0.1:notaport/db":          "cannot be read",
		"postgres://ana:hunter2@127.0.0.1:1/db?sslmode=disable": "127.0.0.1:1 does not answer",
		"postgres://ana:hunter2@%zz/db":                         "cannot be read",
		filepath.Join(blocked, "castellan.db"):                  "choose a folder",
		garbage:                                                 "not a database",
	} {
		_, err := ledger.Open(t.Context(), url)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestWorkersStartingAtOnceMigrateOnce(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, url string) {
		var wait sync.WaitGroup
		errs := make(chan error, 8)
		for range 8 {
			wait.Go(func() {
				l, err := ledger.Open(t.Context(), url)
				if err == nil {
					_, err = l.Append(t.Context(), ledger.Entry{Org: org, Kind: "note"})
				}
				if err == nil {
					err = l.Close()
				}
				errs <- err
			})
		}
		wait.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
		l := open(t, url)
		require.Len(t, kinds(t, l), 8, "all of them wrote to one ledger")
		sound(t, l)
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		start(t, filepath.Join(t.TempDir(), "castellan.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		start(t, postgresURL(t))
	})
}

func TestALedgerOfANewerVersionIsNotOpened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "castellan.db")
	l := open(t, path)
	_, err := l.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	require.NoError(t, err)
	_, err = ledger.Open(t.Context(), path)
	require.ErrorIs(t, err, ledger.ErrNewer)
	require.ErrorContains(t, err, "run the newer one")
}

// A worker that was left running while a newer one began is such a ledger's.
func TestALedgerThatANewerCastellanTakesOverIsNotWrittenToAnyMore(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, l *ledger.Ledger) {
		before := appended(t, l, 1)
		require.NoError(t, l.Current(t.Context()))
		_, err := l.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, `+
			map[bool]string{true: "true", false: "1"}[l.Postgres()]+`)`)
		require.NoError(t, err)
		require.ErrorIs(t, l.Current(t.Context()), ledger.ErrNewer)
		for _, to := range []string{org, "an organization that it does not know"} {
			_, err = l.Append(t.Context(), ledger.Entry{Org: to, Kind: "note"})
			require.ErrorIs(t, err, ledger.ErrNewer)
		}
		after, err := l.Entries(t.Context(), org, 0, 0)
		require.NoError(t, err)
		require.Equal(t, before, after)
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

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "castellan.db")
	l, err := ledger.Open(t.Context(), path)
	require.NoError(t, err)
	want := appended(t, l, 3)
	require.NoError(t, l.Close())
	require.Equal(t, want, entries(t, open(t, path), 0))
}
