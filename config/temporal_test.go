package config_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/castellan-io/castellan/config"
)

// TestTemporalOptionsLookUpTheAddressAlone: with a name server that does not answer, each further lookup has to time
// out.
func TestTemporalOptionsLookUpTheAddressAlone(t *testing.T) {
	asked := nameServer(t)
	t.Setenv("TEMPORAL_ADDRESS", "temporal.castellan.test:7233")
	t.Setenv("TEMPORAL_CONFIG_FILE", "")
	options, err := config.TemporalOptions(zap.NewNop())
	require.NoError(t, err)
	dial := append(options.ConnectionOptions.DialOptions, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(options.HostPort, dial...)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	conn.Connect()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// Its first failure comes after all lookups.
	require.Error(t, conn.Invoke(ctx, "/nothing/Nothing", nil, nil))
	require.NotEmpty(t, asked())
	for _, q := range asked() {
		require.Contains(t, []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}, q.Type, "%s", q.Name)
	}
}

// nameServer makes this process ask a name server that knows no names, and returns its queries.
func nameServer(t *testing.T) func() []dnsmessage.Question {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	var mu sync.Mutex
	var asked []dnsmessage.Question
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil {
				continue
			}
			mu.Lock()
			asked = append(asked, m.Questions...)
			mu.Unlock()
			m.Response, m.RCode, m.Additionals = true, dnsmessage.RCodeNameError, nil
			if answer, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	return func() []dnsmessage.Question {
		mu.Lock()
		defer mu.Unlock()
		return append([]dnsmessage.Question{}, asked...)
	}
}
