package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewer is the error once a newer Castellan has migrated the ledger: this one knows too little of its tables to
// write.
var ErrNewer = errors.New("a newer Castellan has brought the ledger's tables up to date")

func newer(is, known int64) error {
	return fmt.Errorf("%w: they are of version %d and this Castellan knows %d: run the newer one, or restore a backup",
		ErrNewer, is, known)
}

// Current returns [ErrNewer] once a newer Castellan has migrated the ledger. Nothing is written from then on.
func (l *Ledger) Current(ctx context.Context) error {
	version, err := first(ctx, l.reads, func(row scanner) (v int64, err error) { return v, row.Scan(&v) },
		`SELECT MAX(version_id) FROM goose_db_version`)
	if err != nil {
		return fmt.Errorf("ledger: read the version of the tables: %w", err)
	}
	if version > l.version {
		return fmt.Errorf("ledger: %w", newer(version, l.version))
	}
	return nil
}

func migratePostgres(ctx context.Context, pool *sql.DB) (version int64, err error) {
	return migrate(ctx, pool, goose.DialectPostgres, goose.WithSessionLocker(schemaLock{}))
}

// schemaLock makes workers migrate a schema of a PostgreSQL database one after the other. The server frees it when the
// connection ends for whatever reason.
type schemaLock struct{}

const schemaLockKey = `hashtextextended('castellan migrates ' || current_schema(), 0)`

func (schemaLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(`+schemaLockKey+`)`)
	return err
}

func (schemaLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock(`+schemaLockKey+`)`)
	return err
}

func migrateSQLite(ctx context.Context, pool *sql.DB, path string) (version int64, err error) {
	release, err := takeTurn(ctx, path+".migrating")
	if err != nil {
		return 0, fmt.Errorf("ledger: wait for the migration that another worker runs (lock file %s.migrating): %w",
			path, err)
	}
	version, err = migrate(ctx, pool, goose.DialectSQLite3)
	return version, errors.Join(err, release())
}

// migrate migrates the tables to the newest version that this program knows, and returns it.
func migrate(ctx context.Context, pool *sql.DB, dialect goose.Dialect, options ...goose.ProviderOption) (version int64,
	err error) {
	provider, err := migrator(pool, dialect, options...)
	if err != nil {
		return 0, fmt.Errorf("ledger: prepare the migration: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return 0, fmt.Errorf("ledger: bring the tables up to date: %w", err)
	}
	current, latest, err := provider.GetVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("ledger: read the version of the tables: %w", err)
	}
	if current > latest {
		return 0, fmt.Errorf("ledger: %w", newer(current, latest))
	}
	return latest, nil
}

func migrator(pool *sql.DB, dialect goose.Dialect, options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	options = append(options, goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(bytewise(dialect), accounts(dialect), folds(dialect), notes(dialect),
			held(dialect)))
	return goose.NewProvider(dialect, pool, files, options...)
}

// bytewise is the first migration. PostgreSQL sorts text by the rules of a language unless told otherwise, SQLite by
// its bytes; plan hashes need one order everywhere. SQLite reads the unknown type keytext as text.
func bytewise(dialect goose.Dialect) *goose.Migration {
	run := func(statement string) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if dialect != goose.DialectPostgres {
				return nil
			}
			_, err := tx.ExecContext(ctx, statement)
			return err
		}}
	}
	return goose.NewGoMigration(1, run(`CREATE DOMAIN keytext AS text COLLATE "C"`), run(`DROP DOMAIN keytext`))
}

// takeTurn keeps other processes from migrating the same SQLite file until release is called. It is an exclusive
// transaction on an empty file beside it, which the operating system ends with the process.
func takeTurn(ctx context.Context, path string) (release func() error, err error) {
	pool, err := sql.Open("sqlite", (&url.URL{
		Scheme: "file", Path: path, RawQuery: "_txlock=exclusive&_pragma=busy_timeout(300000)",
	}).String())
	if err != nil {
		return nil, err
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return func() error { return errors.Join(tx.Rollback(), pool.Close()) }, nil
}
