package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// DefaultFile is the SQLite file that an empty URL means, in the working directory.
const DefaultFile = "castellan.db"

// ErrNotFound says that the ledger holds nothing under the given key.
var ErrNotFound = errors.New("not in the ledger")

// Ledger is an open ledger. It may be used by many goroutines at once.
type Ledger struct {
	reads  database
	writes database
	pools  []*sql.DB
}

// Open opens the ledger at the URL and brings its tables up to date. Several workers may do so at the same moment.
//
//	""                               castellan.db in the working directory
//	file:/path/castellan.db, a path  that SQLite file; it and its folder are made when they are missing
//	postgres://user@host/name        that PostgreSQL database (version 12 or later), in the first schema of search_path
//
// SQLite runs in WAL mode with synchronous=FULL, so a finished write survives a loss of power, with one writing
// connection and four reading ones. The file must be on a local disk. No error shows a password.
func Open(ctx context.Context, url string) (*Ledger, error) {
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return openPostgres(ctx, url)
	}
	path, isFile := strings.CutPrefix(url, "file:")
	if scheme, _, found := strings.Cut(url, "://"); found && !isFile {
		return nil, fmt.Errorf("ledger: the scheme %s:// is not known: write file:/path/castellan.db or postgres://user@host:5432/name", scheme)
	}
	if path == "" {
		path = DefaultFile
	}
	if isFile {
		path, _, _ = strings.Cut(path, "?")
		path = strings.TrimPrefix(path, "//")
	}
	return openSQLite(ctx, path)
}

// Close ends all connections. Writes under way are rolled back.
func (l *Ledger) Close() error {
	var errs []error
	for _, pool := range l.pools {
		errs = append(errs, pool.Close())
	}
	return errors.Join(errs...)
}

// Ping asks the database for a sign of life, for health checks.
func (l *Ledger) Ping(ctx context.Context) error {
	for _, pool := range l.pools {
		if err := pool.PingContext(ctx); err != nil {
			return fmt.Errorf("ledger: the database does not answer: %w", err)
		}
	}
	return nil
}

// openSQLite opens the file with one writing connection, because SQLite has one writer at a time and waiting for it in
// Go is fairer than in SQLite, and four reading ones.
func openSQLite(ctx context.Context, path string) (*Ledger, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("ledger: find the file %s: %w", path, err)
	}
	if err := makePrivate(path); err != nil {
		return nil, fmt.Errorf("ledger: make the file %s: %w: choose a folder that the worker may write to", path, err)
	}
	writer, err := sql.Open("sqlite", sqliteURL(path, "immediate", "synchronous(FULL)", "cache_size(-32768)"))
	if err != nil {
		return nil, fmt.Errorf("ledger: open %s: %w", path, err)
	}
	writer.SetMaxOpenConns(1)
	if err := migrateSQLite(ctx, writer, path); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader, err := sql.Open("sqlite", sqliteURL(path, "deferred", "query_only(ON)", "cache_size(-8192)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: open %s: %w", path, err), writer.Close())
	}
	reader.SetMaxOpenConns(4)
	reader.SetMaxIdleConns(4)
	return &Ledger{
		reads:  database{querier: reader},
		writes: database{querier: writer},
		pools:  []*sql.DB{reader, writer},
	}, nil
}

// makePrivate creates the file for its owner alone: it holds names and addresses. SQLite gives the files beside it the
// same permissions.
func makePrivate(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

func sqliteURL(path, lock string, pragmas ...string) string {
	query := url.Values{"_txlock": {lock}}
	for _, pragma := range append([]string{
		"busy_timeout(30000)", "journal_mode(WAL)", "journal_size_limit(67108864)", "temp_store(MEMORY)",
	}, pragmas...) {
		query.Add("_pragma", pragma)
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

func openPostgres(ctx context.Context, url string) (*Ledger, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// The driver's error may quote the URL, and with it a password: it is not passed on.
		return nil, errors.New("ledger: the PostgreSQL URL cannot be read: write postgres://user@host:5432/name?sslmode=verify-full")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "castellan"
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(4)
	if err := migratePostgres(ctx, pool); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	db := database{querier: pool, postgres: true}
	return &Ledger{reads: db, writes: db, pools: []*sql.DB{pool}}, nil
}
