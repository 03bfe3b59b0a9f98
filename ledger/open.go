package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// DefaultFile is the SQLite file of an empty URL, in the working directory.
const DefaultFile = "castellan.db"

// ErrNotFound is the error if the ledger has nothing under the given key.
var ErrNotFound = errors.New("not in the ledger")

// Ledger is an open ledger. It may be used by many goroutines at once.
type Ledger struct {
	reads   database
	writes  database
	pools   []*sql.DB
	version int64    // of the tables that this program knows
	replays sync.Map // of chains: organization → *replayed
}

// Open opens the ledger at the URL and brings its tables up to date. Several workers may do so at the same moment.
//
//	""                               castellan.db in the working directory
//	file:/path/castellan.db, a path  that SQLite file; it and its folder are made when they are missing
//	postgres://user@host/name        that PostgreSQL database (version 12 or later), in search_path's first schema;
//	                                 on another machine with TLS, unless the URL or PGSSLMODE says otherwise
//
// SQLite runs in WAL mode with synchronous=FULL, so a finished write survives a loss of power, with one writing
// connection and four reading ones. The file must be on a local disk. No error shows a password.
func Open(ctx context.Context, url string) (*Ledger, error) {
	l, err := open(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := l.recordOld(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func open(ctx context.Context, url string) (*Ledger, error) {
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

// Ping checks that the database answers, for health checks.
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
	writer, err := openKeeping(sqliteURL(path, "immediate", "synchronous(FULL)", "cache_size(-32768)"))
	if err != nil {
		return nil, fmt.Errorf("ledger: open %s: %w", path, err)
	}
	writer.SetMaxOpenConns(1)
	version, err := migrateSQLite(ctx, writer, path)
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader, err := openKeeping(sqliteURL(path, "deferred", "query_only(ON)", "cache_size(-8192)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: open %s: %w", path, err), writer.Close())
	}
	reader.SetMaxOpenConns(4)
	reader.SetMaxIdleConns(4)
	return &Ledger{
		reads:   database{querier: reader},
		writes:  database{querier: writer},
		pools:   []*sql.DB{reader, writer},
		version: version,
	}, nil
}

// makePrivate creates the file for its owner alone: it contains names and addresses. SQLite gives the files beside it
// the same permissions.
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

// invalidPassword is PostgreSQL's code for a user and password that do not go together.
const invalidPassword = "28P01"

// How long connecting to PostgreSQL may take: the look-up of its name, the connection, and both with the first
// response.
const (
	connectWithin = 10 * time.Second
	answerWithin  = 15 * time.Second
)

func openPostgres(ctx context.Context, url string) (*Ledger, error) {
	config, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(4)
	if err := reach(ctx, pool, config); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	version, err := migratePostgres(ctx, pool)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	db := database{querier: pool, postgres: true}
	return &Ledger{reads: db, writes: db, pools: []*sql.DB{pool}, version: version}, nil
}

// postgresConfig returns how to reach the database at the URL. If the URL does not mention TLS and the database is on
// another machine, TLS is required: the driver by default continues in plain text if the server has none.
func postgresConfig(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err == nil && !saysSSLMode(url) && !onThisMachine(config) {
		config, err = pgx.ParseConfig(withParameter(url, "sslmode=require"))
	}
	if err != nil {
		// The driver's error may quote the URL, and with it a password: it is dropped.
		return nil, errors.New("ledger: the PostgreSQL URL cannot be read: write postgres://user@host:5432/name?sslmode=verify-full")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "castellan"
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectWithin
	}
	lookup := config.LookupFunc // which the driver runs without a time limit
	config.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
		defer cancel()
		return lookup(ctx, host)
	}
	return config, nil
}

func saysSSLMode(postgres string) bool {
	u, err := url.Parse(postgres)
	return err == nil && u.Query().Has("sslmode") || os.Getenv("PGSSLMODE") != ""
}

func withParameter(postgres, parameter string) string {
	if strings.Contains(postgres, "?") {
		return postgres + "&" + parameter
	}
	return postgres + "?" + parameter
}

// onThisMachine reports whether all hosts are sockets or loopback addresses; any other name might resolve elsewhere
// tomorrow.
func onThisMachine(config *pgx.ConnConfig) bool {
	hosts := []string{config.Host}
	for _, other := range config.Fallbacks {
		hosts = append(hosts, other.Host)
	}
	return !slices.ContainsFunc(hosts, func(host string) bool {
		if host == "localhost" || strings.HasPrefix(host, "/") {
			return false
		}
		ip, err := netip.ParseAddr(host)
		return err != nil || !ip.IsLoopback()
	})
}

// reach waits for the first response of a database, and returns an error that says what to check if none comes.
func reach(ctx context.Context, pool *sql.DB, config *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err := pool.PingContext(ctx)
	if err == nil {
		return nil
	}
	address := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == invalidPassword:
		return fmt.Errorf("ledger: PostgreSQL at %s refuses the password of user %s: give the one that the database has, or set it there with ALTER ROLE: %w", address, config.User, err)
	case errors.As(err, &refused):
		return fmt.Errorf("ledger: PostgreSQL at %s refuses the connection: %w", address, err)
	case config.TLSConfig != nil:
		return fmt.Errorf("ledger: PostgreSQL at %s does not answer with TLS: does the name resolve, does the server run there, has it TLS? Where nobody can read the network between, sslmode=disable in the URL does without: %w", address, err)
	}
	return fmt.Errorf("ledger: PostgreSQL at %s does not answer: does the name resolve, and does the server run there? %w", address, err)
}
