package contract_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

const miniature = `{"openapi":"3.0.0","info":{"title":"t","version":"1"},"security":[{"key":[]}],
	"components":{"securitySchemes":{"key":{"type":"http","scheme":"bearer"}},
		"schemas":{"Errors":{"type":"object","properties":{"errors":{"type":"array","items":{"type":"object","properties":{"code":{"type":"string"}}}}}}}},
	"paths":{"/things/{id}":{"post":{
		"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string","format":"uuid"}},{"name":"limit","in":"query","schema":{"type":"integer","maximum":5}}],
		"requestBody":{"content":{"application/json":{"schema":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}}},
		"responses":{"200":{"description":"ok","content":{"application/json":{"schema":{"type":"object","properties":{"at":{"type":"string","format":"date-time"}}}}}},
			"409":{"description":"no"}}}}}}`

// TestCheckerFindsMistakes spoils one thing at a time in an exchange that is right.
func TestCheckerFindsMistakes(t *testing.T) {
	spec, err := openapi3.NewLoader().LoadFromData([]byte(miniature))
	require.NoError(t, err)
	type exchange struct {
		path, key, body string
		status          int
		media, answer   string
		reset           string
	}
	right := exchange{"/things/6b1d5b2c-0000-4000-8000-000000000000?limit=5", "Bearer k", `{"name":"n"}`, 200,
		"application/json", `{"at":"2026-01-01T00:00:00Z"}`, "2026-01-01T00:00:00Z"}
	tests := map[string]struct {
		spoil func(*exchange)
		sees  string // "" when nothing is wrong
	}{
		"nothing":   {func(*exchange) {}, ""},
		"operation": {func(x *exchange) { x.path = "/other" }, "the vendor has no such operation"},
		"path": {func(x *exchange) { x.path = "/things/7" },
			`parameter "id" in path: /: string doesn't match the format "uuid"`},
		"query": {func(x *exchange) { x.path += "1" },
			`parameter "limit" in query: /: number must be at most 5`},
		"unknown query":  {func(x *exchange) { x.path += "&size=1" }, `query parameter "size" is not declared`},
		"credentials":    {func(x *exchange) { x.key = "" }, "no bearer token"},
		"body":           {func(x *exchange) { x.body = `{"name":1}` }, "request: /name: value must be a string"},
		"missing member": {func(x *exchange) { x.body = `{}` }, `property "name" is missing`},
		"unknown member": {func(x *exchange) { x.body = `{"name":"n","nam":"x"}` }, "request: /nam is not declared"},
		"status":         {func(x *exchange) { x.status = 418 }, "answer 418: status is not supported"},
		"media type":     {func(x *exchange) { x.media = "text/plain" }, "Content-Type"},
		"answer": {func(x *exchange) { x.answer = `{"at":"yesterday"}` },
			`/at: string doesn't match the format "date-time"`},
		"unknown answer": {func(x *exchange) { x.answer = `{"when":1}` }, "answer 200: /when is not declared"},
		"error body": {func(x *exchange) { x.status, x.answer = 409, `{"errors":[{"code":1}]}` },
			"/errors/0/code: value must be a string"},
		"error with body": {func(x *exchange) { x.status, x.answer = 409, `{"errors":[]}` },
			"an error's body where none is described"},
		"no rate header":   {func(x *exchange) { x.reset = "" }, "header X-RateLimit-Reset is missing"},
		"rate header form": {func(x *exchange) { x.reset = "1767225600" }, "header X-RateLimit-Reset is not ISO 8601"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := right
			test.spoil(&x)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", x.media)
				w.Header().Set("X-RateLimit-Limit", "1")
				w.Header().Set("X-RateLimit-Remaining", "0")
				w.Header().Set("X-RateLimit-Reset", x.reset)
				w.WriteHeader(x.status)
				_, _ = io.WriteString(w, x.answer)
			}))
			defer server.Close()
			check := newChecker([]*document{{name: "mini", rates: true, spec: spec}})
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+x.path,
				strings.NewReader(x.body))
			require.NoError(t, err)
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Authorization", x.key)
			response, err := (&http.Client{Transport: check}).Do(request)
			require.NoError(t, err)
			received, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, x.answer, string(received), "the checker changes nothing")

			var seen []string
			for _, v := range check.violations {
				seen = append(seen, v.String())
			}
			if test.sees == "" {
				require.Empty(t, seen)
				return
			}
			require.Contains(t, strings.Join(seen, "\n"), test.sees)
		})
	}
}
