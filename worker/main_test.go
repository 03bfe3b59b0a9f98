package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// A name server that does not answer is reported soon.
func TestTemporalWhoseNameIsNotAnsweredIsGivenUp(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	preferGo, dialed := net.DefaultResolver.PreferGo, net.DefaultResolver.Dial
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", silent.LocalAddr().String())
	}
	t.Cleanup(func() { net.DefaultResolver.PreferGo, net.DefaultResolver.Dial = preferGo, dialed })
	t.Setenv("TEMPORAL_ADDRESS", "temporal.acme.example:7233")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	_, _, err = dial(ctx, zap.NewNop(), nil)
	require.NoError(t, ctx.Err())
	require.ErrorContains(t, err, "reach Temporal at temporal.acme.example:7233 (TEMPORAL_ADDRESS); does the name resolve")
}
