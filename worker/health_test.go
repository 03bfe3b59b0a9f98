package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/ledger"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

// says checks the response of an endpoint.
func (s endpoint) says(t *testing.T, endpoint string, want int, words string) {
	t.Helper()
	status, body := get(t, "http://"+s.address+endpoint)
	require.Equal(t, want, status, "%s: %s", endpoint, body)
	require.Contains(t, body, words)
}

func TestReadinessNeedsLedgerAndTemporalAndLivenessNothing(t *testing.T) {
	store, err := ledger.Open(t.Context(), "file:"+filepath.Join(t.TempDir(), "ledger.db"))
	require.NoError(t, err)
	measured, err := newMetrics(zap.NewNop())
	require.NoError(t, err)
	var temporalFails error
	temporal := &mocks.Client{}
	temporal.On("CheckHealth", mock.Anything,
		mock.Anything).Return(func(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
		return &client.CheckHealthResponse{}, temporalFails
	})

	state := &health{}
	state.setNotReady("waiting for the ledger")
	serving, err := serveHealth(t.Context(), "127.0.0.1:0", measured.http, state)
	require.NoError(t, err)
	defer serving.stop()
	ready := func(want int, words string) {
		t.Helper()
		serving.says(t, "/livez", http.StatusOK, "ok")
		serving.says(t, "/readyz", want, words)
		serving.says(t, "/healthz", want, words)
	}
	ready(http.StatusServiceUnavailable, "waiting for the ledger")
	state.setReady(store, temporal)
	ready(http.StatusOK, "ok")
	serving.says(t, "/metrics", http.StatusOK, "")

	temporalFails = errors.New("unavailable")
	ready(http.StatusServiceUnavailable, "the Temporal server does not answer")
	temporalFails = nil
	state.setNotReady("stopping")
	ready(http.StatusServiceUnavailable, "stopping")
	state.setReady(store, temporal)
	require.NoError(t, store.Close())
	ready(http.StatusServiceUnavailable, "the ledger does not answer")
}

func TestListeningCanBeOff(t *testing.T) {
	serving, err := serveHealth(t.Context(), config.ListenOff, nil, nil)
	require.NoError(t, err)
	serving.stop()
	_, err = serveHealth(t.Context(), "256.0.0.1:1", nil, nil)
	require.ErrorContains(t, err, "CASTELLAN_LISTEN")
}

// The error for an address that is in use says what to do if several workers run on one machine.
func TestWorkersOfOneMachineNeedAddressesOfTheirOwn(t *testing.T) {
	first, err := serveHealth(t.Context(), "127.0.0.1:0", http.NotFoundHandler(), &health{})
	require.NoError(t, err)
	defer first.stop()
	_, err = serveHealth(t.Context(), first.address, http.NotFoundHandler(), &health{})
	require.ErrorContains(t, err, "each worker of a machine needs an address of its own")
	t.Setenv("CASTELLAN_LISTEN", "127.0.0.1:0")
	require.ErrorContains(t, askHealth(t.Context()), "port of its own")
}
