package cloud_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestNoticesAreKeptInTheOrderInWhichTheyCame(t *testing.T) {
	org := cloud.New(cloud.Options{})
	server := httptest.NewServer(org.Handler())
	t.Cleanup(server.Close)
	post := func(body string) int {
		answer, err := http.Post(server.URL+"/_sim/notices", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	require.Equal(t, http.StatusBadRequest, post("no JSON"))
	for n := range 1002 {
		require.Equal(t, http.StatusOK, post(fmt.Sprintf(`{"id":"%d"}`, n)))
	}
	require.Len(t, org.Notices(), 1000)
	require.JSONEq(t, `{"id":"2"}`, string(org.Notices()[0]), "the oldest went")

	answer, err := http.Get(server.URL + "/_sim/notices")
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.True(t, strings.HasSuffix(strings.TrimSpace(string(body)), `{"id":"1001"}]`), "%.200s", body)
}
