package reviewpage_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/reviewpage"
)

func itoa(n int) string { return strconv.Itoa(n) }

func body(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func TestBadLinksAreBoundedByAddress(t *testing.T) {
	w := newWorld(t, https, 1)
	try := func(from, token string) *httptest.ResponseRecorder {
		r := w.request(http.MethodGet, "/r/"+token, "", nil)
		r.RemoteAddr = from
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		r.Header.Set("Forwarded", "for=203.0.113.9")
		return w.do(r)
	}
	for n := range 20 {
		require.Equal(t, http.StatusForbidden, try("192.0.2.1:"+itoa(1000+n), "x").Code, "the port does not matter")
	}
	answer := try("192.0.2.1:1", "x")
	require.Equal(t, http.StatusTooManyRequests, answer.Code)
	require.Equal(t, "3", answer.Header().Get("Retry-After"))
	require.Contains(t, answer.Body.String(), "Wait 3 s, then try again.")
	r := w.request(http.MethodGet, "/review", "x", nil)
	r.RemoteAddr = "192.0.2.1:7"
	require.Equal(t, http.StatusTooManyRequests, w.do(r).Code, "a bad cookie is as bad as a bad link")
	require.Equal(t, http.StatusTooManyRequests, try("[::ffff:192.0.2.1]:1", "x").Code, "the same address in other letters")

	require.Equal(t, http.StatusForbidden, try("192.0.2.2:1", "x").Code, "others are not concerned")
	require.Equal(t, http.StatusSeeOther, try("192.0.2.1:1", w.token()).Code, "nor are good links, though a whole office may have one address")

	w.wait(3 * time.Second)
	require.Equal(t, http.StatusForbidden, try("192.0.2.1:1", "x").Code)
	require.Equal(t, http.StatusTooManyRequests, try("192.0.2.1:1", "x").Code)

	for n := range 20 {
		require.Equal(t, http.StatusForbidden, try("[2001:db8::"+itoa(n)+"]:1", "x").Code)
	}
	require.Equal(t, http.StatusTooManyRequests, try("[2001:db8::ffff]:1", "x").Code, "of IPv6, the network counts")
	require.Equal(t, http.StatusForbidden, try("[2001:db8:0:1::1]:1", "x").Code)
	require.Equal(t, http.StatusForbidden, try("@", "x").Code, "a socket without an address")
}

func TestPostsAreBoundedByLink(t *testing.T) {
	w := newWorld(t, https, 1)
	form := w.fields("/review", map[string]string{"item": "1", "verdict-1": "keep"})
	for range 30 {
		require.Equal(t, http.StatusSeeOther, w.post("/review/decide", form).Code)
	}
	answer := w.post("/review/decide", form)
	require.Equal(t, http.StatusTooManyRequests, answer.Code)
	require.Equal(t, "1", answer.Header().Get("Retry-After"))
	require.Contains(t, answer.Body.String(), "Nothing was changed.")
	require.Len(t, w.heard(), 30)
	w.wait(time.Second)
	require.Equal(t, http.StatusSeeOther, w.post("/review/decide", form).Code)
}

func TestReadsAreBoundedByLink(t *testing.T) {
	w := newWorld(t, https, 1)
	for range 60 {
		require.Equal(t, http.StatusOK, w.get("/review", w.token()).Code)
	}
	require.Equal(t, http.StatusTooManyRequests, w.get("/review", w.token()).Code)
	other := w.link()
	other.ID = "LINK-2"
	require.Equal(t, http.StatusOK, w.get("/review", w.signer.Token(other)).Code)
}

// TestBoundsTakeNoMemoryWithoutEnd: of many clients, those that asked last are remembered.
func TestBoundsTakeNoMemoryWithoutEnd(t *testing.T) {
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
