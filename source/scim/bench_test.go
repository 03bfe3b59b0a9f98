package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/scim"
)

// BenchmarkRead reads 100,000 people from a service that takes 50 ms for each page, and says how much longer that takes
// than the pages alone.
func BenchmarkRead(b *testing.B) {
	const people, pageSize, latency = 100_000, 100, 50 * time.Millisecond
	pages := map[string][]byte{}
	for start := 0; start < people; start += pageSize {
		list := []any{}
		for i := start; i < start+pageSize; i++ {
			list = append(list, map[string]any{"id": fmt.Sprintf("6b9f3c1e-%012d", i), "active": true,
				"userName": fmt.Sprintf("person%d@acme.example", i), "title": "Engineer", "displayName": "Person",
				"name":   map[string]any{"givenName": "Person", "familyName": strconv.Itoa(i)},
				"emails": []any{map[string]any{"value": fmt.Sprintf("person%d@acme.example", i), "primary": true}}})
		}
		text, err := json.Marshal(map[string]any{"totalResults": people, "Resources": list})
		require.NoError(b, err)
		pages[strconv.Itoa(start+1)] = text
	}
	pages[""] = pages["1"]
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		<-time.After(latency)
		_, _ = w.Write(pages[r.URL.Query().Get("startIndex")])
	}))
	defer server.Close()
	o := newService(b, 0).options()
	o.URL, o.PageSize, o.NoGroups = server.URL+"/v2", pageSize, true
	r, err := scim.New(o)
	require.NoError(b, err)
	for b.Loop() {
		calls = 0
		began := time.Now()
		proof, err := r.Read(b.Context(), func(source.Page) error { return nil })
		require.NoError(b, err)
		require.Equal(b, people, proof.People)
		require.Equal(b, people/pageSize, calls)
		b.ReportMetric(float64(time.Since(began))/float64(time.Duration(calls)*latency), "time/latency")
	}
}
