package stack

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Shipped is the Temporal server that Docker Compose ships, in the version of the tools/server module and with
// Compose's settings, on databases of its own.
type Shipped struct {
	*Temporal
	databases *databases // nil on SQLite
}

// StartShipped starts one that `make tools-server` built: on PostgreSQL, where a URL (postgres://USER@HOST:PORT/…) of a
// user who may create databases is given, else on SQLite files in dir.
func StartShipped(ctx context.Context, dir, postgres string) (*Shipped, error) {
	ports := make([]int, 9)
	for i := range ports {
		var err error
		if ports[i], err = lowPort(); err != nil {
			return nil, err
		}
	}
	server := exec.Command(filepath.Join(Root(), "bin", "temporal-server"))
	server.Env = append(os.Environ(), "BIND_ON_IP=127.0.0.1", "TEMPORAL_BROADCAST_ADDRESS=127.0.0.1", "LOG_LEVEL=error",
		"DYNAMIC_CONFIG_FILE_PATH="+filepath.Join(Root(), "deploy", "temporal", "dynamicconfig.yaml"))
	for i, name := range []string{
		"FRONTEND_GRPC", "FRONTEND_HTTP", "FRONTEND_MEMBERSHIP", "HISTORY_GRPC", "HISTORY_MEMBERSHIP",
		"MATCHING_GRPC", "MATCHING_MEMBERSHIP", "WORKER_GRPC", "WORKER_MEMBERSHIP",
	} {
		server.Env = append(server.Env, name+"_PORT="+strconv.Itoa(ports[i]))
	}
	s := &Shipped{}
	if postgres == "" {
		server.Args = append(server.Args, "--config-file", filepath.Join(Root(), "tools", "server", "sqlite.yaml"))
		server.Env = append(server.Env, "SQLITE_DIR="+dir)
	} else {
		var err error
		if s.databases, err = createDatabases(ctx, postgres); err != nil {
			return nil, err
		}
		server.Env = append(server.Env, s.databases.env()...)
	}
	server.Args = append(server.Args, "--allow-no-auth", "start")
	process, err := start(server, filepath.Join(dir, "temporal.log"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the Temporal server (make tools-server builds it): %w", err),
			s.drop(ctx))
	}
	address := "127.0.0.1:" + strconv.Itoa(ports[0])
	err = Eventually(ctx, 2*time.Minute, func() error {
		select {
		case <-process.Done():
			return fmt.Errorf("the Temporal server did not start: %w\n%s", errEnded, process.Output())
		default:
		}
		s.Temporal, err = ConnectTemporal(ctx, address)
		return err
	})
	if err != nil {
		process.Kill()
		return nil, errors.Join(err, s.drop(ctx))
	}
	s.Process = process
	return s, nil
}

// lowPort finds a free port below those that systems give away: the server's PostgreSQL tables have room for no higher
// ones.
func lowPort() (int, error) {
	for range 100 {
		port := 20000 + mathrand.IntN(12000)
		socket, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, socket.Close()
		}
	}
	return 0, errors.New("no port between 20000 and 32000 is free")
}

// Env has tests use the server, and PostgreSQL for their ledgers where the server does.
func (s *Shipped) Env() []string {
	env := []string{TestTemporal + "=" + s.Address}
	if s.databases != nil {
		env = append(env, TestLedger+"="+s.databases.ledgers())
	}
	return env
}

// Stop ends the server and removes the databases.
func (s *Shipped) Stop(ctx context.Context) error {
	s.Client.Close()
	s.Temporal.Stop(10 * time.Second)
	return s.drop(ctx)
}

func (s *Shipped) drop(ctx context.Context) error {
	if s.databases == nil {
		return nil
	}
	return s.databases.drop(ctx)
}

// databases are what a run of tests has in PostgreSQL: the server's two and the ledgers'.
type databases struct {
	*url.URL
	suffix string
}

func (d databases) names() []string {
	return []string{"temporal_" + d.suffix, "temporal_visibility_" + d.suffix, "castellan_" + d.suffix}
}

// createDatabases makes them, the server's with its tables, as Compose does.
func createDatabases(ctx context.Context, postgres string) (*databases, error) {
	u, err := url.Parse(postgres)
	if err != nil {
		return nil, err
	}
	d := &databases{u, strings.ToLower(rand.Text()[:8])}
	for _, name := range d.names() {
		if err := d.exec(ctx, "CREATE DATABASE "+name); err != nil {
			return nil, errors.Join(err, d.drop(ctx))
		}
	}
	for database, schema := range map[string]string{d.names()[0]: "temporal", d.names()[1]: "visibility"} {
		for _, args := range [][]string{{"setup-schema", "--version", "0.0"},
			{"update-schema", "--schema-name", "postgresql/v12/" + schema}} {
			args = append([]string{"--plugin", "postgres12", "--endpoint", u.Hostname(), "--port", d.port(), "--user",
				u.User.Username(),
				"--password", d.password(), "--database", database}, args...)
			if out, err := exec.CommandContext(ctx, filepath.Join(Root(), "bin", "temporal-sql-tool"),
				args...).CombinedOutput(); err != nil {
				return nil, errors.Join(fmt.Errorf("make the tables of %s (make tools-server builds the tool): %w\n%s",
					database, err, out), d.drop(ctx))
			}
		}
	}
	return d, nil
}

func (d *databases) exec(ctx context.Context, statement string) error {
	pool, err := sql.Open("pgx", d.String())
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, statement)
	return errors.Join(err, pool.Close())
}

func (d *databases) drop(ctx context.Context) (err error) {
	for _, name := range d.names() {
		err = errors.Join(err, d.exec(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"))
	}
	return err
}

func (d *databases) port() string { return cmp.Or(d.Port(), "5432") }

func (d *databases) password() string {
	password, _ := d.User.Password()
	return password
}

// ledgers returns the database for ledgers.
func (d *databases) ledgers() string {
	u := *d.URL
	u.Path = "/" + d.names()[2]
	return u.String()
}

// env returns the settings with which the server finds its databases.
func (d *databases) env() []string {
	return []string{
		"DB=postgres12", "POSTGRES_SEEDS=" + d.Hostname(), "DB_PORT=" + d.port(), "POSTGRES_USER=" + d.User.Username(),
		"POSTGRES_PWD=" + d.password(),
		"DBNAME=" + d.names()[0], "VISIBILITY_DBNAME=" + d.names()[1], "NUM_HISTORY_SHARDS=64",
	}
}

// TestLedger is the variable that names a PostgreSQL database for the ledgers of tests, each in a schema of its own,
// instead of SQLite files.
const TestLedger = "CASTELLAN_TEST_LEDGER"

// LedgerIn returns the ledger that belongs to the folder.
func LedgerIn(ctx context.Context, dir string) (string, error) {
	postgres := os.Getenv(TestLedger)
	if postgres == "" {
		return "file:" + filepath.Join(dir, "castellan.db"), nil
	}
	u, err := url.Parse(postgres)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(dir))
	schema := "ledger_" + hex.EncodeToString(sum[:8])
	if err := (&databases{URL: u}).exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
		return "", err
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String(), nil
}
