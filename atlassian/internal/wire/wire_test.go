package wire_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

const secret = "ATCTT-very-secret-key"

func key(context.Context) (string, error) { return secret, nil }

// answering returns a client of a server with one fixed response.
func answering(t *testing.T, status int, header map[string]string, body string) *wire.Client {
	t.Helper()
	return serving(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}, wire.Options{})
}

func serving(t *testing.T, handler http.HandlerFunc, o wire.Options) *wire.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	o.Package, o.BaseURL, o.Media, o.Key, o.HTTP = "wire", server.URL, "application/json", key, server.Client()
	client, err := wire.NewClient(o)
	require.NoError(t, err)
	return client
}

func read() wire.Request {
	return wire.Request{Operation: "read thing", Method: http.MethodGet, Path: "/thing",
		Decode: func(r io.Reader) error {
			var ignored map[string]any
			return wire.DecodeData(r, &ignored)
		}}
}

func write() wire.Request {
	return wire.Request{Operation: "write thing", Method: http.MethodPost, Path: "/thing", Body: struct{}{},
		Write: true}
}

func TestEveryErrorShapeIsRead(t *testing.T) {
	tests := map[string]struct {
		status              int
		body                string
		code, title, detail string
		kind                error
	}{
		"gateway": {401, `{"code":401,"message":"Unauthorized; scope does not match"}`,
			"401", "", "Unauthorized; scope does not match", wire.ErrUnauthorized},
		"application": {404, `{"errors":[{"id":"6b1d","status":"404","code":"ADMIN-404-2","title":"Not found","detail":"Organization not found"}]}`,
			"ADMIN-404-2", "Not found", "Organization not found", wire.ErrNotFound},
		"api without detail": {400, `{"errors":[{"id":"1","status":"400","code":"ADMIN-UAM-400-1","title":"Bad request","detail":null}]}`,
			"ADMIN-UAM-400-1", "Bad request", "", wire.ErrInvalid},
		"v2": {403, `{"errors":[{"id":"x","status":"403","code":"ADMIN-403-5","title":"Forbidden","detail":"Not allowed to manage the group"}]}`,
			"ADMIN-403-5", "Forbidden", "Not allowed to manage the group", wire.ErrForbidden},
		"permissions": {403, `{"timestamp":"2025-01-01T00:00:00Z","status":403,"error":"Forbidden","message":"Access Denied","path":"/v1/orgs/1/domains","requestId":"r1"}`,
			"", "Forbidden", "Access Denied", wire.ErrForbidden},
		"bare application": {400, `{"id":"1","status":"400","code":"ADMIN-400-4","title":"Invalid resource","detail":"with a cursor nothing else may be present"}`,
			"ADMIN-400-4", "Invalid resource", "with a cursor nothing else may be present", wire.ErrInvalid},
		"scim": {409, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"Resource [GROUP]: with displayName exists."}`,
			"uniqueness", "", "Resource [GROUP]: with displayName exists.", wire.ErrConflict},
		"scim gateway": {401, `{"error":"Missing authorization header","traceId":"abc"}`, "",
			"Missing authorization header", "", wire.ErrUnauthorized},
		"scim replacement": {400, `{"message":"no such member","scimErrorType":"invalidValue","responseStatus":"BAD_REQUEST","stackTrace":[]}`, "invalidValue", "", "no such member", wire.ErrInvalid},
		"user management": {403, `{"key":"forbidden.action","context":{"allowed":false}}`, "forbidden.action", "", "",
			wire.ErrForbidden},
		"no body":     {404, ``, "", "", "", wire.ErrNotFound},
		"plain text":  {500, "upstream\r\n\tconnect error", "", "", "upstream connect error", wire.ErrUnavailable},
		"broken json": {400, `{"errors":[{"code":"ADM`, "", "", `{"errors":[{"code":"ADM`, wire.ErrInvalid},
		"other json":  {400, `["what"]`, "", "", `["what"]`, wire.ErrInvalid},
		"odd members": {400, `{"errors":[{"code":{"x":1},"title":["t"],"detail":"readable"}]}`, "", "", "readable",
			wire.ErrInvalid},
		"gateway page": {503, `<html><body>upstream</body></html>`, "", "",
			"an HTML page: a gateway answered, not the API; see whether the base URL is right", wire.ErrUnavailable},
		"page not found": {404, "\n<!DOCTYPE html>\n", "", "",
			"an HTML page: a gateway answered, not the API; see whether the base URL is right", wire.ErrUnavailable},
		"request timeout": {408, ``, "", "", "", wire.ErrUnavailable},
		"media type":      {415, ``, "", "", "", wire.ErrInvalid},
		"payment":         {402, ``, "", "", "", wire.ErrLicenceLimit},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := answering(t, test.status, nil, test.body).Do(t.Context(), read())
			var failure *wire.Error
			require.ErrorAs(t, err, &failure)
			require.ErrorIs(t, err, test.kind)
			require.Equal(t, test.status, failure.Status)
			require.Equal(t, test.code, failure.Code)
			require.Equal(t, test.title, failure.Title)
			require.Equal(t, test.detail, failure.Detail)
			require.Contains(t, err.Error(), "wire: read thing (GET /thing)")
		})
	}
}

func TestConflictsAreToldApart(t *testing.T) {
	envelope := func(code, detail string) string {
		return `{"errors":[{"code":"` + code + `","title":"Conflict","detail":"` + detail + `"}]}`
	}
	tests := map[string]struct {
		body      string
		otherwise error
		kind      error
	}{
		"already": {envelope("ADMIN-409-28", "The user is already in the group"), nil,
			wire.ErrAlreadyMember},
		"already, plain": {"User ALREADY a member", nil, wire.ErrAlreadyMember},
		"licence by code": {envelope("ADMIN-409-3", "The user is already over it"), nil,
			wire.ErrLicenceLimit},
		"licence by the other code": {envelope("ADMIN-UAM-409-3", ""), nil, wire.ErrLicenceLimit},
		"licence by words": {envelope("", "You've exceeded your user limit for an app"), nil,
			wire.ErrLicenceLimit},
		"both meanings, as in the documentation": {
			envelope("", "The user is already in the group or you've exceeded your user limit for an app"), nil,
			wire.ErrConflict},
		"a name that only sounds so": {envelope("", "conflict on group seattle-users"), nil,
			wire.ErrConflict},
		"group not empty": {envelope("ADMIN-409-5", "already"), nil, wire.ErrConflict},
		"silent":          {"", nil, wire.ErrConflict},
		"name taken": {envelope("", "A group with this name already exists."),
			wire.ErrNameTaken, wire.ErrNameTaken},
		"name taken, silent": {"", wire.ErrNameTaken, wire.ErrNameTaken},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request := write()
			request.Conflict = test.otherwise
			require.ErrorIs(t, answering(t, 409, nil, test.body).Do(t.Context(), request), test.kind)
		})
	}
}

func TestRateOfEveryAnswer(t *testing.T) {
	header := map[string]string{"X-RateLimit-Limit": "500", "X-RateLimit-Remaining": "499",
		"X-RateLimit-Reset": "2026-06-05T06:00Z"}
	var calls []wire.Call
	client := serving(t, func(w http.ResponseWriter, r *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		_, _ = io.WriteString(w, `{"data":{}}`)
	}, wire.Options{Observe: func(c wire.Call) { calls = append(calls, c) }})
	require.NoError(t, client.Do(t.Context(), read()))
	header = nil
	require.NoError(t, client.Do(t.Context(), read()))

	require.Len(t, calls, 2)
	require.Equal(t, "read thing", calls[0].Operation)
	require.Equal(t, 200, calls[0].Status)
	require.NoError(t, calls[0].Err)
	require.Equal(t, wire.Rate{Limit: 500, Remaining: 499, Reset: time.Date(2026, 6, 5, 6, 0, 0, 0, time.UTC)},
		calls[0].Rate)
	require.Equal(t, wire.Rate{Limit: -1, Remaining: -1}, calls[1].Rate)
}

func TestRetryAfter(t *testing.T) {
	const date = "Mon, 05 Oct 2026 06:00:00 GMT" // by the response's clock, whatever the local one says
	tests := map[string]struct {
		status int
		header map[string]string
		want   time.Duration
	}{
		"seconds": {429,
			map[string]string{"Retry-After": "17", "X-RateLimit-Reset": "2026-10-05T06:01:00Z"}, 17 * time.Second},
		"parts of a second": {429, map[string]string{"Retry-After": "0.5"}, 500 * time.Millisecond},
		"date": {429, map[string]string{"Retry-After": "Mon, 05 Oct 2026 06:00:42 GMT"},
			42 * time.Second},
		"date gone by": {429, map[string]string{"Retry-After": "Mon, 05 Oct 2026 05:00:00 GMT"}, 0},
		"reset": {429, map[string]string{"X-RateLimit-Reset": "2026-10-05T06:01:00.000Z"},
			time.Minute},
		"reset without seconds": {429, map[string]string{"X-RateLimit-Reset": "2026-10-05T06:02Z"},
			2 * time.Minute},
		"nothing":                     {429, nil, 0},
		"garbage":                     {429, map[string]string{"Retry-After": "soon", "X-RateLimit-Reset": "later"}, 0},
		"negative":                    {429, map[string]string{"Retry-After": "-5"}, 0},
		"not a number":                {429, map[string]string{"Retry-After": "NaN"}, 0},
		"beyond all bounds":           {429, map[string]string{"Retry-After": "1e300"}, 24 * time.Hour},
		"unavailable":                 {503, map[string]string{"Retry-After": "3"}, 3 * time.Second},
		"a reset without a limit hit": {503, map[string]string{"X-RateLimit-Reset": "2026-10-05T06:01:00Z"}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			header := map[string]string{"Date": date}
			for k, v := range test.header {
				header[k] = v
			}
			err := answering(t, test.status, header, "").Do(t.Context(), read())
			var failure *wire.Error
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.want, failure.RetryAfter)
		})
	}
}

func TestBrokenAnswers(t *testing.T) {
	tests := map[string]string{
		"truncated":      `{"data":{"a":1`,
		"empty":          ``,
		"no data":        `{"links":{}}`,
		"not json":       `ok`,
		"an array":       `[]`,
		"null":           `null`,
		"something more": `{"data":{}}{}`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			err := answering(t, 200, map[string]string{"Content-Type": "application/json"},
				body).Do(t.Context(), read())
			require.ErrorIs(t, err, wire.ErrMalformed)
		})
	}
	t.Run("a page of a gateway", func(t *testing.T) {
		client := answering(t, 200, map[string]string{"Content-Type": "text/html; charset=utf-8"}, "<html>")
		require.ErrorIs(t, client.Do(t.Context(), read()), wire.ErrUnavailable)
		require.ErrorIs(t, client.Do(t.Context(), write()), wire.ErrOutcomeUnknown)
	})
	t.Run("a redirection is not followed", func(t *testing.T) {
		client := answering(t, 302, map[string]string{"Location": "/login"}, "")
		require.ErrorIs(t, client.Do(t.Context(), read()), wire.ErrMalformed)
	})
	t.Run("cut off by the connection", func(t *testing.T) {
		client := serving(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"data":`)
		}, wire.Options{})
		require.ErrorIs(t, client.Do(t.Context(), read()), wire.ErrMalformed)
	})
}

func TestSizeBound(t *testing.T) {
	body := `{"data":{"a":"` + strings.Repeat("x", 1000) + `"}}`
	serve := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }

	exact := serving(t, serve, wire.Options{MaxBytes: int64(len(body))})
	require.NoError(t, exact.Do(t.Context(), read()))

	small := serving(t, serve, wire.Options{MaxBytes: int64(len(body)) - 1})
	err := small.Do(t.Context(), read())
	require.ErrorIs(t, err, wire.ErrMalformed)
	require.Contains(t, err.Error(), "larger than the bound of 1016 bytes")
}

func TestLostAnswers(t *testing.T) {
	cut := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}
	t.Run("broken connection", func(t *testing.T) {
		client := serving(t, cut, wire.Options{})
		require.ErrorIs(t, client.Do(t.Context(), read()), wire.ErrUnavailable)
		require.ErrorIs(t, client.Do(t.Context(), write()), wire.ErrOutcomeUnknown)
	})
	t.Run("server error", func(t *testing.T) {
		client := answering(t, 500, nil, `{"errors":[{"code":"ADMIN-500-1"}]}`)
		require.ErrorIs(t, client.Do(t.Context(), read()), wire.ErrUnavailable)
		err := client.Do(t.Context(), write())
		require.ErrorIs(t, err, wire.ErrOutcomeUnknown)
		require.NotErrorIs(t, err, wire.ErrUnavailable)
	})
	t.Run("timeout", func(t *testing.T) {
		client := serving(t, hang(t), wire.Options{Timeout: 20 * time.Millisecond})
		err := client.Do(t.Context(), read())
		require.ErrorIs(t, err, wire.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, client.Do(t.Context(), write()), wire.ErrOutcomeUnknown)
	})
	t.Run("nobody listens", func(t *testing.T) {
		client, address := deaf(t)
		for _, request := range []wire.Request{read(), write()} {
			err := client.Do(t.Context(), request)
			require.ErrorIs(t, err, wire.ErrUnavailable)
			require.NotErrorIs(t, err, wire.ErrOutcomeUnknown)
			require.Contains(t, err.Error(), "nothing was sent")
			require.Contains(t, err.Error(), address)
		}
	})
}

// hang never responds, until the client or the test ends.
func hang(t *testing.T) http.HandlerFunc {
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	return func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}
}

// deaf returns a client for an address where nothing listens any more.
func deaf(t *testing.T) (*wire.Client, string) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	client, err := wire.NewClient(wire.Options{Package: "wire", BaseURL: server.URL,
		Media: "application/json", Key: key})
	require.NoError(t, err)
	return client, server.Listener.Addr().String()
}

func TestCancellation(t *testing.T) {
	for name, request := range map[string]wire.Request{"read": read(), "write": write()} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			arrived := make(chan struct{})
			quiet := hang(t)
			client := serving(t, func(w http.ResponseWriter, r *http.Request) {
				close(arrived)
				quiet(w, r)
			}, wire.Options{})
			done := make(chan error, 1)
			go func() { done <- client.Do(ctx, request) }()
			<-arrived
			cancel()
			err := <-done
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, request.Write, errors.Is(err, wire.ErrOutcomeUnknown))
		})
	}
	t.Run("before sending", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		client, _ := deaf(t)
		err := client.Do(ctx, write())
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, wire.ErrOutcomeUnknown)
	})
}

func TestTheKeyIsAskedForEachTimeAndNeverTold(t *testing.T) {
	keys := []string{"first", "second\n"}
	var sent []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"errors":[{"detail":"I was sent `+r.Header.Get("Authorization")+`"}]}`)
	}))
	t.Cleanup(server.Close)
	client, err := wire.NewClient(wire.Options{Package: "wire", BaseURL: server.URL,
		Key: func(context.Context) (string, error) {
			next := keys[0]
			keys = keys[1:]
			return next, nil
		}})
	require.NoError(t, err)
	for _, secret := range []string{"first", "second"} {
		err := client.Do(t.Context(), read())
		require.ErrorContains(t, err, "I was sent Bearer [key]")
		require.NotContains(t, err.Error(), secret)
	}
	require.Equal(t, []string{"Bearer first", "Bearer second"}, sent)
}

func TestBadKeysAreNotSent(t *testing.T) {
	for name, test := range map[string]struct {
		key  string
		err  error
		kind error
	}{
		"empty":      {"", nil, wire.ErrUnauthorized},
		"two lines":  {"secret\nX-Other: 1", nil, wire.ErrUnauthorized},
		"unreadable": {"", errors.New("open /run/secrets/key: no such file"), wire.ErrNoKey},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := wire.NewClient(wire.Options{Package: "wire", BaseURL: "http://127.0.0.1:1",
				Key: func(context.Context) (string, error) {
					return test.key, test.err
				}})
			require.NoError(t, err)
			err = client.Do(t.Context(), write())
			require.ErrorIs(t, err, test.kind)
			require.Contains(t, err.Error(), "nothing was sent")
			require.NotContains(t, err.Error(), "secret\n")
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := wire.Options{Package: "wire", BaseURL: "https://api.atlassian.com/admin", Key: key}
	_, err := wire.NewClient(good)
	require.NoError(t, err)
	for name, spoil := range map[string]func(*wire.Options){
		"relative":    func(o *wire.Options) { o.BaseURL = "/admin" },
		"other":       func(o *wire.Options) { o.BaseURL = "ftp://api.atlassian.com" },
		"credentials": func(o *wire.Options) { o.BaseURL = "https://me:hidden@api.atlassian.com" },
		"query":       func(o *wire.Options) { o.BaseURL = "https://api.atlassian.com?x=1" },
		"no key":      func(o *wire.Options) { o.Key = nil },
		"timeout":     func(o *wire.Options) { o.Timeout = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			spoil(&o)
			_, err := wire.NewClient(o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hidden")
		})
	}
}
