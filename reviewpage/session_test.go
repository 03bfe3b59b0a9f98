package reviewpage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/links"
)

func TestEnterMovesTheTokenIntoACookie(t *testing.T) {
	for base, secure := range map[string]bool{https: true, "http://127.0.0.1:8090": false} {
		p := newTestPage(t, base, 1)
		answer := p.get("/r/"+p.token(), "")
		require.Equal(t, http.StatusSeeOther, answer.Code)
		require.Equal(t, "/enter", answer.Header().Get("Location"))
		require.NotContains(t, answer.Body.String(), p.token())
		cookies := answer.Result().Cookies()
		require.Len(t, cookies, 1)
		require.Equal(t, p.cookie("link"), cookies[0].Name)
		require.Equal(t, p.token(), cookies[0].Value)
		require.Equal(t, "/review", cookies[0].Path)
		require.Equal(t, 72*3600, cookies[0].MaxAge)
		require.True(t, cookies[0].HttpOnly)
		require.Equal(t, http.SameSiteStrictMode, cookies[0].SameSite)
		require.Equal(t, secure, cookies[0].Secure)
		require.Empty(t, cookies[0].Domain)

		between := p.get("/enter", "")
		require.Equal(t, http.StatusOK, between.Code)
		require.Contains(t, between.Body.String(), `<meta http-equiv="refresh" content="0;url=/review" />`)
		require.Contains(t, between.Body.String(), `<a href="/review">`, "for browsers that do not refresh")
		require.Equal(t, between.Body.String(), p.get("/enter", p.token()).Body.String())

		require.Equal(t, http.StatusOK, p.get("/review", p.token()).Code)
		require.Equal(t, http.StatusSeeOther, p.get("/r/"+p.token(), "").Code,
			"a link is not used up: mail servers open it, too")
	}
}

// TestRefusalsAreIdentical: nobody learns from the answer what is wrong with a link.
func TestRefusalsAreIdentical(t *testing.T) {
	p := newTestPage(t, https, 3)
	other, err := links.NewSigner([]byte("another-key-0123456789-0123456789"))
	require.NoError(t, err)
	link := func(change func(*links.Link)) string {
		l := p.link()
		change(&l)
		return p.signer.Token(l)
	}
	p.set(func(d *memoryBackend) { d.revoked["REVOKED"] = true })
	good := p.token()
	tokens := map[string]string{
		"none":               "",
		"forged":             other.Token(p.link()),
		"changed":            good[:20] + "AAAA" + good[24:],
		"cut":                good[:len(good)-1],
		"too long":           strings.Repeat("A", 5000),
		"no token":           "hello",
		"expired":            link(func(l *links.Link) { l.Expires = start }),
		"revoked":            link(func(l *links.Link) { l.ID = "REVOKED" }),
		"of another review":  link(func(l *links.Link) { l.Review = "other" }),
		"of another org":     link(func(l *links.Link) { l.Org = "other" }),
		"of another person":  link(func(l *links.Link) { l.Reviewer = "ana@acme.example" }),
		"of another version": "Ag" + good[2:],
	}
	var same *httptest.ResponseRecorder
	check := func(t *testing.T, answer *httptest.ResponseRecorder) {
		if same == nil {
			same = answer
		}
		require.Equal(t, http.StatusForbidden, answer.Code)
		require.Equal(t, same.Body.String(), answer.Body.String())
		require.Equal(t, same.Header(), answer.Header(), "without a cookie, too")
	}
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			check(t, p.get("/r/"+token, ""))
			check(t, p.get("/r/"+token, good)) // whoever is in already is not let in by another's link, nor put out
			if token != "" {
				check(t, p.get("/review", token))
				check(t, p.do(p.request(http.MethodPost, "/review/decide", token, nil)))
			} else {
				check(t, p.get("/review", ""))
				check(t, p.do(p.request(http.MethodPost, "/review/reopen", "", nil)))
			}
		})
	}
	check(t, p.get("/r/a/b/c", ""))
	page := same.Body.String()
	require.Contains(t, page, "This link is not valid.")
	require.Contains(t, page, "It may have expired, or been replaced by a newer one. Ask the person who runs the review for a new one.")
	for _, item := range []string{"acme", "Olu", "Admins", "mia"} {
		require.NotContains(t, page, item)
	}
	require.Empty(t, p.heard())
}

func TestSessionEndsWhenTheLinkIsRevoked(t *testing.T) {
	p := newTestPage(t, https, 1)
	form := p.fields("/review", map[string]string{"item": "1", "verdict-1": "keep"})
	p.set(func(d *memoryBackend) { d.revoked["LINK-1"] = true })
	require.Equal(t, http.StatusForbidden, p.get("/review", p.token()).Code)
	require.Equal(t, http.StatusForbidden, p.post("/review/decide", form).Code)
	require.Empty(t, p.heard())
}

func TestSessionEndsWhenTheLinkExpires(t *testing.T) {
	p := newTestPage(t, https, 1)
	p.wait(72*time.Hour - time.Nanosecond)
	require.Equal(t, http.StatusOK, p.get("/review", p.token()).Code)
	p.wait(time.Nanosecond)
	require.Equal(t, http.StatusForbidden, p.get("/review", p.token()).Code)
}

// TestTokenIsNeverLoggedOrShown: neither in logs nor in any page, also where everything fails.
func TestTokenIsNeverLoggedOrShown(t *testing.T) {
	p := newTestPage(t, https, 1)
	form := p.fields("/review", map[string]string{"item": "1", "verdict-1": "keep"})
	pages := []string{p.get("/review", p.token()).Body.String()}
	p.set(func(d *memoryBackend) { d.sayErr = errLedger })
	answer := p.post("/review/decide", form)
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	pages = append(pages, answer.Body.String())
	p.set(func(d *memoryBackend) { d.err = errLedger })
	for _, path := range []string{"/r/" + p.token(), "/review"} {
		answer := p.get(path, p.token())
		require.Equal(t, http.StatusServiceUnavailable, answer.Code)
		require.Contains(t, answer.Body.String(), "Castellan cannot answer just now")
		require.NotContains(t, answer.Body.String(), "ledger", "what failed is for the log")
		pages = append(pages, answer.Body.String(), fmt.Sprint(answer.Header()))
	}
	for _, page := range pages {
		require.NotContains(t, page, p.token())
	}
	require.Equal(t, 3, p.logs.Len())
	for _, entry := range p.logs.All() {
		line := fmt.Sprint(entry.Entry, entry.ContextMap())
		require.Contains(t, line, "the ledger is away")
		require.Contains(t, line, "LINK-1", "by which the link can be found and revoked")
		require.NotContains(t, line, p.token())
	}
}

func TestLogErrorIgnoresClientsThatLeft(t *testing.T) {
	p := newTestPage(t, https, 1)
	p.set(func(d *memoryBackend) { d.err = context.Canceled })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.do(p.request(http.MethodGet, "/review", p.token(), nil).WithContext(ctx))
	require.Zero(t, p.logs.Len())
}
