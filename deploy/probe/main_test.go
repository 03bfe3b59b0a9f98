package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAsk(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	require.NoError(t, ask(server.URL))
	for _, status = range []int{http.StatusNoContent, http.StatusNotFound, http.StatusServiceUnavailable} {
		require.ErrorContains(t, ask(server.URL), http.StatusText(status))
	}
	server.Close()
	require.Error(t, ask(server.URL), "nobody listens")
}
