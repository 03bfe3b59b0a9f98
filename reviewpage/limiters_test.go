package reviewpage_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/reviewpage"
)

func itoa(n int) string { return strconv.Itoa(n) }

func body(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

// However often it is asked, the answer to a link that opens nothing tells nothing of why.
func TestRefusalsAreIdenticalHoweverOften(t *testing.T) {
	p := newTestPage(t, https, 1)
	revoked := p.link()
	revoked.ID = "REVOKED"
	p.set(func(d *memoryBackend) { d.revoked["REVOKED"] = true })
	tokens := map[string]string{"forged": "x", "revoked": p.signer.Token(revoked)}
	first := p.get("/r/x", "")
	require.Equal(t, http.StatusForbidden, first.Code)
	for name, token := range tokens {
		for n := range 200 {
			answer := p.get("/r/"+token, "")
			if n%2 == 1 {
				answer = p.get("/review", token)
			}
			require.Equal(t, first.Code, answer.Code, "%s, %d", name, n)
			require.Equal(t, first.Body.String(), answer.Body.String())
			require.Equal(t, first.Header(), answer.Header())
		}
	}
	looked := 0
	p.set(func(d *memoryBackend) { looked = d.admits["REVOKED"] })
	require.Equal(t, 1, looked, "a link that opens nothing is looked up once")
	require.Equal(t, http.StatusSeeOther, p.get("/r/"+p.token(), "").Code, "good links are not concerned")
}

func TestPostsAreLimitedByLink(t *testing.T) {
	p := newTestPage(t, https, 1)
	form := p.fields("/review", map[string]string{"item": "1", "verdict-1": "keep"})
	for range 30 {
		require.Equal(t, http.StatusSeeOther, p.post("/review/decide", form).Code)
	}
	answer := p.post("/review/decide", form)
	require.Equal(t, http.StatusTooManyRequests, answer.Code)
	require.Equal(t, "1", answer.Header().Get("Retry-After"))
	require.Contains(t, answer.Body.String(), "Nothing was changed.")
	require.Len(t, p.heard(), 30)
	p.wait(time.Second)
	require.Equal(t, http.StatusSeeOther, p.post("/review/decide", form).Code)
}

func TestReadsAreLimitedByLink(t *testing.T) {
	p := newTestPage(t, https, 1)
	for range 60 {
		require.Equal(t, http.StatusOK, p.get("/review", p.token()).Code)
	}
	require.Equal(t, http.StatusTooManyRequests, p.get("/review", p.token()).Code)
	other := p.link()
	other.ID = "LINK-2"
	require.Equal(t, http.StatusOK, p.get("/review", p.signer.Token(other)).Code)
}

// TestLimitersUseBoundedMemory: of many clients, those that asked last are remembered.
func TestLimitersUseBoundedMemory(t *testing.T) {
	b := reviewpage.NewBuckets(1, 1)
	require.Zero(t, b.Take("steady", start))
	for n := range 3 * reviewpage.MostBuckets {
		require.Zero(t, b.Take("client "+itoa(n), start))
		if n%100 == 0 {
			require.NotZero(t, b.Take("steady", start), "who goes on asking is not forgotten")
		}
	}
	require.Equal(t, reviewpage.MostBuckets, b.Kept())
	require.Zero(t, b.Take("client 0", start))
	require.NotZero(t, b.Take("client "+itoa(3*reviewpage.MostBuckets-1), start))
}
