package rest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/rest"
)

const token = "s3cret-token"

// recorder serves an answer and keeps what it was asked and how long the client was to wait.
type recorder struct {
	url      string
	calls    atomic.Int32
	mu       sync.Mutex // held to write what follows: a call that was given up may still be answered
	requests []*http.Request
	bodies   []string
	waits    []time.Duration
}

func newRecorder(t *testing.T, answer http.HandlerFunc) *recorder {
	t.Helper()
	r := &recorder{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.calls.Add(1)
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.requests, r.bodies = append(r.requests, request), append(r.bodies, string(body))
		r.mu.Unlock()
		answer(w, request)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *recorder) options() rest.Options {
	return rest.Options{Name: "idp", URL: r.url + "/api", Unauthorized: "make a new token",
		Forbidden: "grant users.read", Credentials: rest.Secret("SSWS", give(token)),
		Sleep: func(_ context.Context, d time.Duration) error { r.waits = append(r.waits, d); return nil }}
}

func (r *recorder) client(t *testing.T, adjust func(*rest.Options)) *rest.Client {
	t.Helper()
	options := r.options()
	if adjust != nil {
		adjust(&options)
	}
	client, err := rest.New(options)
	require.NoError(t, err)
	return client
}

func give(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

var listUsers = rest.Request{Operation: "list users", Path: "/users", Query: url.Values{"limit": {"2"}}}

func TestClientSendsWhatIsAsked(t *testing.T) {
	r := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "x")
		_, _ = io.WriteString(w, `{"a":[1,"b"]}`)
	})
	var into map[string]any
	header, err := r.client(t, nil).Do(t.Context(), listUsers, &into)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": []any{1.0, "b"}}, into)
	require.Equal(t, "x", header.Get("Link"))
	require.Equal(t, "GET /api/users?limit=2", r.requests[0].Method+" "+r.requests[0].URL.String())
	require.Equal(t, "SSWS "+token, r.requests[0].Header.Get("Authorization"))
	require.Equal(t, "application/json", r.requests[0].Header.Get("Accept"))
}

func TestClientRefusesAnswers(t *testing.T) {
	tests := map[string]struct {
		status int
		header [2]string
		body   string
		kind   error
		text   string
	}{
		"401":          {401, [2]string{}, `{"e":"no"}`, source.ErrUnauthorized, "make a new token: no"},
		"403":          {403, [2]string{}, `{"e":"no"}`, source.ErrForbidden, "grant users.read: no"},
		"404":          {404, [2]string{}, ``, source.ErrInvalid, "see whether the URL is right"},
		"400":          {400, [2]string{}, `{"e":"bad \u001b[31m filter"}`, source.ErrInvalid, "bad [31m filter"},
		"429, too far": {429, [2]string{"Retry-After", "3600"}, ``, source.ErrRateLimited, "asks to wait 1h0m0s"},
		"500":          {500, [2]string{}, `{"e":"` + token + `"}`, source.ErrUnavailable, "[secret]"},
		"503":          {503, [2]string{}, ``, source.ErrUnavailable, "try again later"},
		"kind of body": {403, [2]string{}, `{"e":"slow"}`, source.ErrRateLimited, "slow"},
		"redirect":     {302, [2]string{"Location", "https://evil.example"}, ``, source.ErrMalformed, "not followed"},
		"no content":   {204, [2]string{}, ``, source.ErrMalformed, "status 204"},
		"web page":     {200, [2]string{"Content-Type", "text/html"}, `{}`, source.ErrMalformed, "a web page came"},
		"page of text": {200, [2]string{}, "\n <!doctype html>", source.ErrMalformed, "a web page came"},
		"no JSON":      {200, [2]string{}, `{"a":`, source.ErrMalformed, "not the JSON that was expected"},
		"empty":        {200, [2]string{}, ``, source.ErrMalformed, "not the JSON that was expected"},
		"two values":   {200, [2]string{}, `{}{}`, source.ErrMalformed, "not the JSON that was expected"},
		"name twice":   {200, [2]string{}, `{"a":1,"a":2}`, source.ErrMalformed, "duplicate"},
		"too large": {200, [2]string{}, `{"a":"` + strings.Repeat("x", 2000) + `"}`, source.ErrMalformed,
			"larger than 1024"},
		"broken off": {200, [2]string{"Content-Length", "100"}, `{"a":`, source.ErrUnavailable, "broke off"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if test.header[0] != "" {
					w.Header().Set(test.header[0], test.header[1])
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			client := r.client(t, func(o *rest.Options) {
				o.MaxBytes, o.Waits = 1024, 1
				o.Explain = func(_ int, body []byte) (string, error) {
					text := strings.TrimSuffix(strings.TrimPrefix(string(body), `{"e":"`), `"}`)
					text = strings.ReplaceAll(text, `\u001b`, "\x1b")
					if text == "slow" {
						return text, source.ErrRateLimited
					}
					return text, nil
				}
			})
			var into any
			_, err := client.Do(t.Context(), listUsers, &into)
			require.ErrorIs(t, err, test.kind)
			require.ErrorContains(t, err, test.text)
			require.ErrorContains(t, err, "idp: list users (127.0.0.1:")
			require.NotContains(t, err.Error(), token)
			require.NotContains(t, err.Error(), "limit=2")
			var e *rest.Error
			require.ErrorAs(t, err, &e)
		})
	}
}

func TestClientBelievesA404OnlyInTheProvidersWords(t *testing.T) {
	tests := map[string]struct {
		media, body string
		kind        error
	}{
		"own":         {"application/json", `gone`, source.ErrGone},
		"another's":   {"application/json", `404 page not found`, source.ErrMalformed},
		"web page":    {"text/html", `gone`, source.ErrMalformed},
		"empty":       {"application/json", ``, source.ErrMalformed},
		"other thing": {"application/json", `realm`, source.ErrInvalid},
	}
	for name, test := range tests {
		r := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", test.media)
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, test.body)
		})
		client := r.client(t, func(o *rest.Options) {
			o.Explain = func(_ int, body []byte) (string, error) {
				switch string(body) {
				case "gone":
					return "no such user", nil
				case "realm":
					return "no such realm", source.ErrInvalid
				}
				return "", nil
			}
		})
		_, err := client.Do(t.Context(), rest.Request{Operation: "o", Path: "/u", NotFound: source.ErrGone}, nil)
		require.ErrorIs(t, err, test.kind, name)
	}
}

func TestClientWaitsAsRateLimitsAsk(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		status int
		header [2]string
		waits  []time.Duration
		kind   error
	}{
		"seconds": {429, [2]string{"Retry-After", "7"}, []time.Duration{7 * time.Second, 7 * time.Second},
			source.ErrRateLimited},
		"date": {429, [2]string{"Retry-After", "Thu, 01 Jan 2026 12:00:09 GMT"},
			[]time.Duration{9 * time.Second, 9 * time.Second}, source.ErrRateLimited},
		"reset": {429, [2]string{"X-Rate-Limit-Reset", "1767268805"}, []time.Duration{5 * time.Second,
			5 * time.Second}, source.ErrRateLimited},
		"past": {429, [2]string{"X-Rate-Limit-Reset", "1"}, []time.Duration{time.Second, time.Second},
			source.ErrRateLimited},
		"unsaid": {429, [2]string{"Retry-After", "soon"}, []time.Duration{time.Second, 2 * time.Second},
			source.ErrRateLimited},
		"503": {503, [2]string{"Retry-After", "2"}, []time.Duration{2 * time.Second, 2 * time.Second},
			source.ErrUnavailable},
		"503, unsaid": {503, [2]string{}, nil, source.ErrUnavailable},
		"too long":    {429, [2]string{"Retry-After", "61"}, nil, source.ErrRateLimited},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", noon.Format(http.TimeFormat))
				w.Header().Set(test.header[0]+"", test.header[1])
				w.WriteHeader(test.status)
			})
			_, err := r.client(t, func(o *rest.Options) { o.Waits = 2 }).Do(t.Context(), listUsers, nil)
			require.ErrorIs(t, err, test.kind)
			require.Equal(t, test.waits, r.waits)
			require.EqualValues(t, len(test.waits)+1, r.calls.Load())
		})
	}
}

func TestClientGoesOnAfterAPause(t *testing.T) {
	var r *recorder
	r = newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		if r.calls.Load() < 3 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	var into any
	_, err := r.client(t, nil).Do(t.Context(), listUsers, &into)
	require.NoError(t, err)
	require.Len(t, r.waits, 2)
}

func TestClientFollowsLinksToItsOwnPlaceOnly(t *testing.T) {
	r := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) })
	client := r.client(t, nil)
	port := r.url[strings.LastIndex(r.url, ":"):]
	good := []string{r.url + "/api/users?after=1", "/api/users?after=1", r.url + "/api/users/?after=1", "?after=1#x"}
	for _, link := range good {
		var into any
		_, err := client.Do(t.Context(), rest.Request{Operation: "list users", Link: link}, &into)
		require.NoError(t, err, link)
	}
	asked := r.calls.Load()
	for _, link := range []string{"https://evil.example/api/users", "https://127.0.0.1" + port + "/api/users",
		"http://localhost" + port + "/api/users", "//evil.example/api/users", r.url + "/apis", r.url + "/",
		r.url + "/api/../other", r.url + "/api/%2e%2e/other", "http://u:p@127.0.0.1" + port + "/api/users",
		"http://127.0.0.1:1/api/users", "javascript:alert(1)", "http://[::1"} {
		_, err := client.Do(t.Context(), rest.Request{Operation: "list users", Link: link}, nil)
		require.ErrorIs(t, err, source.ErrMalformed, link)
		require.ErrorContains(t, err, "not followed", link)
	}
	require.Equal(t, asked, r.calls.Load())
}

func TestClientGivesUpWithItsCaller(t *testing.T) {
	release := make(chan struct{})
	r := newRecorder(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := r.client(t, nil).Do(ctx, listUsers, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, source.ErrUnavailable)

	_, err = r.client(t, func(o *rest.Options) { o.Timeout = 10 * time.Millisecond }).Do(t.Context(), listUsers, nil)
	require.ErrorIs(t, err, source.ErrUnavailable)
	require.ErrorContains(t, err, "no whole answer came within 10ms")
}

func TestClientSendsNothingWithoutASecret(t *testing.T) {
	r := newRecorder(t, func(http.ResponseWriter, *http.Request) {})
	for name, read := range map[string]func(context.Context) (string, error){
		"empty": give(" \n"), "two lines": give("a\nb"),
		"failing": func(context.Context) (string, error) { return "", errors.New("no such file") },
	} {
		_, err := r.client(t, func(o *rest.Options) { o.Credentials = rest.Secret("Bearer", read) }).
			Do(t.Context(), listUsers, nil)
		require.ErrorIs(t, err, source.ErrUnauthorized, name)
		require.ErrorContains(t, err, "nothing was sent", name)
	}
	_, err := r.client(t, func(o *rest.Options) { o.Credentials = rest.Secret("Bearer", nil) }).
		Do(t.Context(), listUsers, nil)
	require.ErrorIs(t, err, source.ErrInvalid)
	require.Zero(t, r.calls.Load())
}

func TestNewChecksItsOptions(t *testing.T) {
	for name, o := range map[string]rest.Options{
		"no URL": {}, "relative": {URL: "/a"}, "scheme": {URL: "ftp://a"}, "credentials": {URL: "https://u:p@a"},
		"query": {URL: "https://a?x=1"}, "plain": {URL: "http://idp.example"}, "bound": {URL: "https://a",
			MaxBytes: -1},
	} {
		_, err := rest.New(o)
		require.ErrorIs(t, err, source.ErrInvalid, name)
	}
	for _, o := range []rest.Options{{URL: "http://localhost:80/"}, {URL: "http://[::1]:80"}, {URL: "https://a/b/"},
		{URL: "http://idp.example", PlainHTTP: true}} {
		_, err := rest.New(o)
		require.NoError(t, err, o.URL)
	}
}

func TestTokensAreKeptUntilTheyExpire(t *testing.T) {
	var r *recorder
	lifetime, valid := "3600", "t1"
	r = newRecorder(t, func(w http.ResponseWriter, request *http.Request) {
		switch {
		case request.URL.Path == "/token":
			_, _ = io.WriteString(w, `{"access_token":"`+valid+`","token_type":"bearer","expires_in":`+lifetime+`}`)
		case request.Header.Get("Authorization") != "Bearer "+valid:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	})
	tokens, err := rest.NewTokens(rest.Options{Name: "idp", URL: r.url + "/token"},
		func(context.Context) (url.Values, error) { return url.Values{"client_secret": {token}}, nil })
	require.NoError(t, err)
	client := r.client(t, func(o *rest.Options) { o.Credentials = tokens })
	call := func() error {
		var into any
		_, err := client.Do(t.Context(), listUsers, &into)
		return err
	}
	require.NoError(t, call())
	require.NoError(t, call())
	require.EqualValues(t, 3, r.calls.Load(), "one token for two calls")
	require.Equal(t, "client_secret="+token, r.bodies[0])

	valid = "t2"
	require.NoError(t, call(), "a token that is refused is asked for again")
	require.EqualValues(t, 6, r.calls.Load())

	lifetime, valid = "0", "t3"
	require.NoError(t, call())
	require.NoError(t, call())
	require.EqualValues(t, 11, r.calls.Load(), "a token without a lifetime is used once")
}

func TestTokensSayWhyThereIsNone(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		kind   error
	}{
		"secret": {401, `{"error":"invalid_client","error_description":"bad secret ` + token + `"}`,
			source.ErrUnauthorized},
		"grant":   {400, `{"error":"invalid_grant"}`, source.ErrUnauthorized},
		"scope":   {400, `{"error":"invalid_scope","error_description":"no"}`, source.ErrForbidden},
		"request": {400, `{"error":"invalid_request"}`, source.ErrInvalid},
		"down":    {500, `{"error":"invalid_client"}`, source.ErrUnavailable},
		"nothing": {200, `{}`, source.ErrMalformed},
		"type":    {200, `{"access_token":"t","token_type":"mac"}`, source.ErrMalformed},
		"token":   {200, `{"access_token":"a b","token_type":"Bearer"}`, source.ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			tokens, err := rest.NewTokens(rest.Options{Name: "idp", URL: r.url + "/token"},
				func(context.Context) (url.Values, error) { return url.Values{"client_secret": {token}}, nil })
			require.NoError(t, err)
			_, err = r.client(t, func(o *rest.Options) { o.Credentials = tokens }).Do(t.Context(), listUsers, nil)
			require.ErrorIs(t, err, test.kind)
			require.ErrorContains(t, err, "idp: ask for a token (127.0.0.1:")
			require.NotContains(t, err.Error(), token)
		})
	}
}

func TestSegment(t *testing.T) {
	for key, want := range map[string]string{"00u1": "00u1", "a/b?c": "a%2Fb%3Fc", "": "", ".": "", "..": "",
		strings.Repeat("x", 256): ""} {
		got, err := rest.Segment(key)
		require.Equal(t, want, got)
		require.Equal(t, want == "", errors.Is(err, source.ErrInvalid))
	}
}

func TestSignJWT(t *testing.T) {
	key, err := rest.ParseKey(testKey())
	require.NoError(t, err)
	signed, err := rest.SignJWT(key, map[string]string{"kid": "k"}, map[string]any{"sub": "a", "exp": 1})
	require.NoError(t, err)
	parts := strings.Split(signed, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	require.NoError(t, err)
	require.Equal(t, `{"alg":"RS256","kid":"k","typ":"JWT"}`, string(header))
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	require.Equal(t, `{"exp":1,"sub":"a"}`, string(claims))
	requireSigned(t, key, parts)
}

// TestClientRepeatsNoPassword: servers may echo what they decoded.
func TestClientRepeatsNoPassword(t *testing.T) {
	r := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"e":"reader with hunter2 is unknown"}`))
	})
	encoded := base64.StdEncoding.EncodeToString([]byte("reader:hunter2"))
	client := r.client(t, func(o *rest.Options) {
		o.Credentials = rest.Secret("Basic", give(encoded))
		o.Explain = func(_ int, body []byte) (string, error) { return string(body), nil }
	})
	_, err := client.Do(t.Context(), listUsers, new(any))
	require.ErrorContains(t, err, "reader with [secret] is unknown")
}

func TestClientTellsHowLongToWait(t *testing.T) {
	r := newRecorder(t, func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Query().Get("limit") != "" {
			w.Header().Set("Retry-After", "3600")
		}
		w.WriteHeader(http.StatusTooManyRequests)
	})
	client := r.client(t, func(o *rest.Options) { o.Waits = -1 })
	_, err := client.Do(t.Context(), listUsers, new(any))
	require.Equal(t, time.Hour, source.PauseOf(fmt.Errorf("page 2: %w", err)))
	_, err = client.Do(t.Context(), rest.Request{Path: "/users"}, new(any))
	require.ErrorIs(t, err, source.ErrRateLimited)
	require.Zero(t, source.PauseOf(err), "nobody said it")
}
