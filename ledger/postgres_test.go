package ledger

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// inPlainText reports whether a connection may be made without TLS.
func inPlainText(c *pgx.ConnConfig) bool {
	plain := c.TLSConfig == nil
	for _, other := range c.Fallbacks {
		plain = plain || other.TLSConfig == nil
	}
	return plain
}

func TestPostgresOnAnotherMachineNeedsTLS(t *testing.T) {
	for url, plain := range map[string]bool{
		"postgres://castellan@db/castellan":                                 false,
		"postgres://castellan@db.acme.example:5433/castellan?search_path=x": false,
		"postgres://castellan@10.1.2.3/castellan":                           false,
		"postgres://castellan@db1,db2/castellan":                            false,
		"postgres://castellan@127.0.0.1,db2/castellan":                      false,
		"postgres:///castellan?host=db&user=castellan":                      false,
		"postgres://castellan@db/castellan?sslmode=verify-full":             false,
		"postgres://castellan@db/castellan?sslmode=require":                 false,
		"postgres://castellan@db/castellan?sslmode=disable":                 true,
		"postgres://castellan@db/castellan?sslmode=prefer":                  true,
		"postgres://castellan@127.0.0.1/castellan":                          true,
		"postgres://castellan@localhost:5432/castellan":                     true,
		"postgres://castellan@[::1]/castellan":                              true,
		"postgres:///castellan?host=/run/postgresql&user=castellan":         true,
	} {
		config, err := postgresConfig(url)
		require.NoError(t, err, url)
		require.Equal(t, plain, inPlainText(config), url)
		require.NotZero(t, config.ConnectTimeout, url)
	}
	t.Setenv("PGSSLMODE", "disable")
	config, err := postgresConfig("postgres://castellan@db/castellan")
	require.NoError(t, err)
	require.True(t, inPlainText(config), "what the driver is told otherwise")
}

// silence is a name server that takes what is sent and never says anything.
func silence(t *testing.T) net.Addr {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	return socket.LocalAddr()
}

func TestPostgresWhoseNameIsNotAnsweredIsGivenUp(t *testing.T) {
	server := silence(t)
	preferGo, dialed := net.DefaultResolver.PreferGo, net.DefaultResolver.Dial
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.String())
	}
	t.Cleanup(func() { net.DefaultResolver.PreferGo, net.DefaultResolver.Dial = preferGo, dialed })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	_, err := Open(ctx, "postgres://ana:hunter2@db.acme.example:5432/castellan?connect_timeout=1")
	require.NoError(t, ctx.Err())
	require.ErrorContains(t, err, "PostgreSQL at db.acme.example:5432 does not answer")
	require.NotContains(t, err.Error(), "hunter2")
}
