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

func TestHealthNeedsLedgerAndTemporal(t *testing.T) {
	store, err := ledger.Open(t.Context(), "file:"+filepath.Join(t.TempDir(), "ledger.db"))
	require.NoError(t, err)
	measured, err := newMetrics()
	require.NoError(t, err)
	measured.handler.Counter("castellan_test").Inc(1)

	var temporalFails error
	temporal := &mocks.Client{}
	temporal.On("CheckHealth", mock.Anything, mock.Anything).Return(func(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
		return &client.CheckHealthResponse{}, temporalFails
	})
	serving, err := listen(t.Context(), "127.0.0.1:0", measured.http, store, temporal)
	require.NoError(t, err)
	defer serving.stop()

	status, body := get(t, "http://"+serving.address+"/healthz")
	require.Equal(t, http.StatusOK, status, body)
	_, body = get(t, "http://"+serving.address+"/metrics")
	require.Contains(t, body, "castellan_test")

	temporalFails = errors.New("unavailable")
	status, body = get(t, "http://"+serving.address+"/healthz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "Temporal does not answer")

	require.NoError(t, store.Close())
	status, body = get(t, "http://"+serving.address+"/healthz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "ledger")
}

func TestListeningCanBeOff(t *testing.T) {
	serving, err := listen(t.Context(), config.ListenOff, nil, nil, nil)
	require.NoError(t, err)
	serving.stop()
	_, err = listen(t.Context(), "256.0.0.1:1", nil, nil, nil)
	require.ErrorContains(t, err, "CASTELLAN_LISTEN")
}
