package inbox_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/notify"
	"github.com/castellan-io/castellan/simulator/idp"
)

func TestFeedAppliesPosts(t *testing.T) {
	t.Parallel()
	p := start(t)
	require.Equal(t, "applied", p.post(p.says("ana", time.Hour, "eng", "ops")).State)
	ana := p.look("posts", "ana")
	require.Equal(t, "ana@acme.example", ana.Address)
	require.Equal(t, p.clock().Add(-time.Hour), ana.Stated)
	require.Equal(t, []string{"posts:eng", "posts:ops"}, p.groups("posts", "ana"))

	first := p.says("ana", 30*time.Minute, "ops")
	require.Equal(t, "applied", p.post(first).State)
	require.Equal(t, []string{"posts:ops"}, p.groups("posts", "ana"))
	require.Equal(t, "stale", p.post(p.says("ana", time.Hour, "root")).State, "it came late")
	require.Equal(t, "known", p.post(first).State)
	p.advance(4 * time.Minute)
	require.Equal(t, "known", p.post(first).State, "sent again, and signed anew")
	require.Equal(t, []string{"posts:ops"}, p.groups("posts", "ana"))
	require.Equal(t, "applied", p.post(p.says("bo", 0)).State)
	require.Equal(t, []string{"posts:ops"}, p.groups("posts", "ana"), "it says nothing of others")
}

// TestFeedRefusesReplays: the very bytes that were sent are taken again for five minutes, and change nothing then;
// after that they are refused.
func TestFeedRefusesReplays(t *testing.T) {
	t.Parallel()
	p := start(t)
	body := p.says("ana", time.Minute, "eng")
	replay := p.signed("/feeds/acme/posts", secret, body)
	again := func() *http.Request {
		fresh := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/feeds/acme/posts", bytes.NewReader(body))
		fresh.Header = replay.Header
		return fresh
	}
	require.Equal(t, "applied", p.send(again()).State)
	require.Equal(t, "applied", p.post(p.says("ana", 0)).State)
	require.Equal(t, "stale", p.send(again()).State)
	require.Empty(t, p.groups("posts", "ana"))
	p.advance(notify.Tolerance + time.Second)
	got := p.send(again())
	require.Equal(t, http.StatusUnauthorized, got.Status)
	require.Equal(t, "timestamp", got.Code)
}

func TestFeedRefuses(t *testing.T) {
	t.Parallel()
	p := start(t)
	good := p.says("ana", 0, "eng")
	change := func(do func(r *http.Request)) *http.Request {
		r := p.signed("/feeds/acme/posts", secret, good)
		do(r)
		return r
	}
	other := change(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{}")) })
	future := p.says("ana", -6*time.Minute, "eng")
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		code   string
	}{
		"another secret":      {p.signed("/feeds/acme/posts", secret+"B", good), http.StatusUnauthorized, "unauthorized"},
		"no signature":        {change(func(r *http.Request) { r.Header.Del(notify.HeaderSignature) }), http.StatusUnauthorized, "unauthorized"},
		"another timestamp":   {change(func(r *http.Request) { r.Header.Set(notify.HeaderTimestamp, "1") }), http.StatusUnauthorized, "unauthorized"},
		"another body":        {other, http.StatusUnauthorized, "unauthorized"},
		"another org":         {p.signed("/feeds/globex/posts", secret, good), http.StatusUnauthorized, "unauthorized"},
		"another source":      {p.signed("/feeds/acme/other", secret, good), http.StatusUnauthorized, "unauthorized"},
		"a source read":       {p.signed("/feeds/acme/corp", secret, good), http.StatusUnauthorized, "unauthorized"},
		"one of assertions":   {p.signed("/feeds/acme/login", secret, good), http.StatusUnauthorized, "unauthorized"},
		"no name":             {p.signed("/feeds/ACME/posts", secret, good), http.StatusUnauthorized, "unauthorized"},
		"too large":           {p.signed("/feeds/acme/posts", secret, bytes.Repeat([]byte("x"), 64<<10+1)), http.StatusRequestEntityTooLarge, "too-large"},
		"far too large":       {p.signed("/feeds/acme/posts", secret, bytes.Repeat([]byte("x"), 1<<20)), http.StatusRequestEntityTooLarge, "too-large"},
		"not JSON":            {p.signed("/feeds/acme/posts", secret, []byte("hunter2")), http.StatusBadRequest, "malformed"},
		"from the future":     {p.signed("/feeds/acme/posts", secret, future), http.StatusBadRequest, "at"},
		"another kind":        {change(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), http.StatusUnauthorized, "unauthorized"},
		"not of this content": {p.form("/feeds/acme/login", "text/plain", "x"), http.StatusUnsupportedMediaType, "content-type"},
	} {
		got := p.send(c.r)
		require.Equal(t, c.status, got.Status, name)
		require.Equal(t, c.code, got.Code, name)
		require.NotContains(t, got.Message, "hunter2", name)
	}
	found, err := p.store.SourceIdentities(t.Context(), "acme", "posts", nil, "", 0)
	require.NoError(t, err)
	require.Empty(t, found)
	require.Eventually(t, func() bool { // what was refused is counted, for sources that there are
		s, err := p.store.Source(t.Context(), "acme", "posts")
		return err == nil && s.Refused >= 7 && s.RefusedCode != "" && s.Posted.IsZero()
	}, time.Minute, 100*time.Millisecond)
}

func TestFeedTakesTwoSecrets(t *testing.T) {
	t.Parallel()
	p := start(t)
	next := strings.Repeat("n", 40)
	p.set("env:FEED", secret+"\n"+next)
	require.Equal(t, "applied", p.post(p.says("ana", time.Minute)).State)
	require.Equal(t, "applied", p.send(p.signed("/feeds/acme/posts", next, p.says("ana", 0, "eng"))).State)
	for _, bad := range []string{"short", secret + " " + next + " " + secret, ""} {
		p.set("env:FEED", bad)
		got := p.post(p.says("ana", 0))
		require.Equal(t, http.StatusServiceUnavailable, got.Status)
		require.NotContains(t, got.Message, "short")
	}
}

func TestFeedTakesAsMuchAsASourceMayPost(t *testing.T) {
	t.Parallel()
	p := start(t)
	for i := range 500 { // what may come in a minute may come at once
		require.Equal(t, "applied", p.post(p.says(fmt.Sprint("p", i), 0, "eng")).State)
	}
	got := p.post(p.says("ana", 0))
	require.Equal(t, http.StatusTooManyRequests, got.Status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	p.advance(time.Second)
	require.Equal(t, "applied", p.post(p.says("ana", 0)).State)
	s, err := p.store.Source(t.Context(), "acme", "posts")
	require.NoError(t, err)
	require.Equal(t, 501, s.People)
}

func (p *posting) form(path, kind, text string) *http.Request {
	r := httptest.NewRequestWithContext(p.t.Context(), http.MethodPost, path, strings.NewReader(text))
	r.Header.Set("Content-Type", kind)
	return r
}

// login is the response of the identity provider to a login, as a browser posts it.
func (p *posting) login(l idp.Login) *http.Request {
	p.t.Helper()
	l.Audience, l.Recipient = audience, recipient
	xml, err := p.saml.Response(l)
	require.NoError(p.t, err)
	form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(xml)}, "RelayState": {"x"}}
	return p.form("/feeds/acme/login", "application/x-www-form-urlencoded", form.Encode())
}

func TestFeedTakesAssertions(t *testing.T) {
	t.Parallel()
	p := start(t)
	ana := func(groups ...string) idp.Login {
		return idp.Login{NameID: "00u1", At: p.clock(), Attributes: map[string][]string{"groups": groups,
			"email": {"ana@acme.example"}}}
	}
	early := p.login(ana("eng", "ops"))
	p.advance(time.Minute)
	require.Equal(t, "applied", p.send(p.login(ana("ops"))).State)
	require.Equal(t, "stale", p.send(early).State)
	require.Equal(t, []string{"login:ops"}, p.groups("login", "00u1"))
	require.Equal(t, "ana@acme.example", p.look("login", "00u1").Address)

	xml, err := p.saml.Response(idp.Login{NameID: "00u2", At: p.clock(), Audience: audience, Recipient: recipient,
		Attributes: map[string][]string{"groups": {"eng"}}})
	require.NoError(t, err)
	raw := func() *http.Request { return p.form("/feeds/acme/login", "application/samlresponse+xml", string(xml)) }
	require.Equal(t, "applied", p.send(raw()).State)
	require.Equal(t, "known", p.send(raw()).State, "a replay")
	p.advance(10 * time.Minute)
	got := p.send(raw())
	require.Equal(t, http.StatusUnauthorized, got.Status)
	require.Equal(t, "expired", got.Code)
	got = p.send(p.form("/feeds/acme/login", "application/x-www-form-urlencoded", "SAMLResponse=%25"))
	require.Equal(t, "malformed", got.Code)
	got = p.send(p.form("/feeds/acme/posts", "application/samlresponse+xml", string(xml)))
	require.Equal(t, "unauthorized", got.Code, "this source takes none")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	p := start(t)
	ask := func() reply {
		return p.send(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
	}
	require.Equal(t, http.StatusOK, ask().Status)
	require.NoError(t, p.store.Close())
	require.Equal(t, http.StatusServiceUnavailable, ask().Status)
}
