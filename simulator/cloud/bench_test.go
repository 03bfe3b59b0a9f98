package cloud_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/stretchr/testify/require"
)

// BenchmarkUsersSearch reads an organization of 100,000 people page by page; each operation is one page of 100 with
// groups.
func BenchmarkUsersSearch(b *testing.B) {
	c := cloud.New(cloud.Options{})
	require.NoError(b, c.SeedGenerated(cloud.Generator{People: 100_000, Groups: 1000, Memberships: 500_000}))
	s := serveBenchmark(b, c)
	body := map[string]any{"limit": 100, "expand": []string{"groups", "platformRoles"}}
	for b.Loop() {
		next := s(body)
		if body = map[string]any{"cursor": next}; next == "" {
			body = map[string]any{"limit": 100, "expand": []string{"groups", "platformRoles"}}
		}
	}
}

// serveBenchmark searches users without a network and returns the next cursor.
func serveBenchmark(b *testing.B, c *cloud.Cloud) func(body map[string]any) (next string) {
	info, handler := c.Info(), c.Handler()
	return func(body map[string]any) string {
		text, err := json.Marshal(body)
		require.NoError(b, err)
		request := httptest.NewRequestWithContext(b.Context(), http.MethodPost,
			"/admin/v2/orgs/"+info.OrgID+"/directories/"+info.DirectoryID+"/users/search", bytes.NewReader(text))
		request.Header.Set("Authorization", "Bearer "+cloud.DefaultKey)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		require.Equal(b, http.StatusOK, recorder.Code)
		var page struct{ Links struct{ Next string } }
		require.NoError(b, json.Unmarshal(recorder.Body.Bytes(), &page))
		return page.Links.Next
	}
}
