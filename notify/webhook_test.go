package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

const (
	code   = "K7QX-91TB"
	secret = "correct horse battery"
)

func notice() messages.Notice {
	return messages.Notice{
		ID: "n1", Kind: "grant-requested", Org: "acme", At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		To:      "bo@acme.example",
		Subject: "ana asks for role:org-admin", Text: "For two hours, because of INC-4711.\nApprove or deny it.",
		Command: "temporal workflow update execute --name approve", Code: code, Workflow: "org-sync:acme", Grant: "g1",
		Person: "ana@acme.example", Target: "role:org-admin",
	}
}

// receiver records what was posted to it, and responds with each of its statuses in turn, repeating the last one.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []int
	requests []request
}

type request struct {
	header http.Header
	body   string
}

func receive(t *testing.T, answers ...int) *receiver {
	t.Helper()
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests = append(r.requests, request{q.Header, string(body)})
		status := r.answers[0]
		if len(r.answers) > 1 {
			r.answers = r.answers[1:]
		}
		if status/100 == 3 {
			w.Header().Set("Location", "/elsewhere?"+string(body[:10]))
		}
		w.WriteHeader(status)
		_, _ = w.Write(body) // a receiver that repeats the request
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.requests...)
}

func newWebhook(t *testing.T, address, secret string) *notify.Webhook {
	t.Helper()
	w, err := notify.NewWebhook(address, secret)
	require.NoError(t, err)
	return w
}

func TestWebhookPostsASignedNotice(t *testing.T) {
	r := receive(t, http.StatusNoContent)
	webhook := newWebhook(t, r.URL, secret)
	require.True(t, webhook.Private())
	require.NoError(t, webhook.Notify(t.Context(), notice()))

	got := r.got()[0]
	var n messages.Notice
	require.NoError(t, json.Unmarshal([]byte(got.body), &n))
	require.Equal(t, notice(), n)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, "n1:bo@acme.example", got.header.Get("Idempotency-Key"))
	timestamp, signature := got.header.Get(notify.HeaderTimestamp), got.header.Get(notify.HeaderSignature)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	require.NoError(t, err)
	sent := time.Unix(seconds, 0)
	require.NoError(t, notify.Verify(secret, timestamp, signature, []byte(got.body), sent))
	require.Error(t, notify.Verify("another secret of theirs", timestamp, signature, []byte(got.body), sent))
}

func TestWebhookWithoutASecretGetsNoCode(t *testing.T) {
	r := receive(t, http.StatusOK)
	webhook := newWebhook(t, r.URL, "")
	require.False(t, webhook.Private())
	require.NoError(t, webhook.Notify(t.Context(), notice()))
	require.NotContains(t, r.got()[0].body, code)
	require.Empty(t, r.got()[0].header.Get(notify.HeaderSignature))
}

func TestWebhookKeyIsAHeader(t *testing.T) {
	r := receive(t, http.StatusOK)
	long := strings.Repeat("7", 400)
	for _, id := range []string{"grant 7/ä", "7\r\nX-Evil: 1", "7\nX-Evil: 1", long + "a", long + "b"} {
		n := notice()
		n.ID = id
		require.NoError(t, newWebhook(t, r.URL, secret).Notify(t.Context(), n))
	}
	got := r.got()
	require.Equal(t, "grant%207%2F%C3%A4:bo@acme.example", got[0].header.Get("Idempotency-Key"))
	keys := make(map[string]bool)
	for _, q := range got {
		require.Empty(t, q.header.Get("X-Evil"))
		keys[q.header.Get("Idempotency-Key")] = true
	}
	require.Len(t, keys, len(got), "two notices never have one key")
}

func TestWebhookRefusesAnUnclearAddressee(t *testing.T) {
	r := receive(t, http.StatusOK)
	for _, to := range []string{"", "bo@acme.example,eve@evil.example", "bo@acme.example\x00", "Bo <bo@acme.example>"} {
		n := notice()
		n.To = to
		require.ErrorIs(t, newWebhook(t, r.URL, secret).Notify(t.Context(), n), notify.ErrPermanent)
	}
	require.Empty(t, r.got())
}

func TestAnswersAreJudged(t *testing.T) {
	permanent := map[int]bool{
		200: false, 202: false, 204: false, 301: false, 302: false, 307: false, 308: false, 400: true, 401: true,
		403: true, 404: true, 408: false,
		410: true, 413: true, 422: true, 425: false, 429: false, 500: false, 502: false, 503: false, 599: false,
	}
	for status, want := range permanent {
		r := receive(t, status)
		slack, err := notify.NewSlack(r.URL + "/services/hunter2")
		require.NoError(t, err)
		for name, send := range map[string]func(context.Context, messages.Notice) error{
			"webhook": newWebhook(t, r.URL+"/hunter2", secret).Notify, "slack": slack.Notify,
		} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				before := len(r.got())
				err := send(t.Context(), notice())
				require.Len(t, r.got(), before+1, "sent once, and redirects are not followed")
				if status < 300 {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, fmt.Sprintf(
					"%s: send notice n1 (grant-requested) to bo@acme.example: answered %d", name, status))
				require.Equal(t, want, errors.Is(err, notify.ErrPermanent))
				for _, hidden := range []string{code, "hunter2", secret, "INC-4711"} {
					require.NotContains(t, err.Error(), hidden)
				}
			})
		}
	}
}

func TestNoAnswerMayBeTriedAgain(t *testing.T) {
	r := receive(t, http.StatusOK)
	r.Close()
	err := newWebhook(t, r.URL+"/hunter2", secret).Notify(t.Context(), notice())
	require.ErrorContains(t, err, "no answer")
	require.NotErrorIs(t, err, notify.ErrPermanent)
	require.NotContains(t, err.Error(), "hunter2")

	breaks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = conn.Write(body) // not HTTP
			_ = conn.Close()
		}
	}))
	defer breaks.Close()
	err = newWebhook(t, breaks.URL, secret).Notify(t.Context(), notice())
	require.ErrorContains(t, err, "not HTTP")
	require.NotContains(t, err.Error(), code)
}

func TestAddressesMustBeSafe(t *testing.T) {
	for _, address := range []string{
		"http://hooks.acme.example/hunter2", "https://u:hunter2@hooks.acme.example", "hooks.acme.example/hunter2",
		"https:///hunter2", "ftp://127.0.0.1/hunter2",
		"http://127.0.0.1.evil.example/hunter2", "https://hooks.acme.example/%zz/hunter2",
		"https://hooks.acme.example/#hunter2",
	} {
		_, err := notify.NewWebhook(address, secret)
		require.ErrorContains(t, err, "webhook: ")
		require.NotContains(t, err.Error(), "hunter2")
		_, err = notify.NewSlack(address)
		require.ErrorContains(t, err, "slack: ")
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := notify.NewWebhook("https://hooks.acme.example", "hunter2")
	require.ErrorContains(t, err, "16 characters")
	require.False(t, strings.Contains(err.Error(), "hunter2"))
}

// TestSignatureVector was made with: printf '1767225600.{"id":"n1","code":"K7"}' | openssl dgst -sha256 -hmac 'correct
// horse battery'
func TestSignatureVector(t *testing.T) {
	const signature = "sha256=33108ce2060be13b230e70fddd6a2ad97d472637d9efab66e5e4ac89e765505f"
	const timestamp = "1767225600"
	body := []byte(`{"id":"n1","code":"K7"}`)
	require.Equal(t, signature, notify.Sign(secret, timestamp, body))
	at := time.Unix(1767225600, 0)
	for _, off := range []time.Duration{0, notify.Tolerance, -notify.Tolerance} {
		require.NoError(t, notify.Verify(secret, timestamp, signature, body, at.Add(off)))
	}
	for _, off := range []time.Duration{notify.Tolerance + time.Second, -notify.Tolerance - time.Second,
		365 * 24 * time.Hour} {
		require.ErrorContains(t, notify.Verify(secret, timestamp, signature, body, at.Add(off)), "clock")
	}
	for name, err := range map[string]error{
		"body":      notify.Verify(secret, timestamp, signature, append(body, ' '), at),
		"timestamp": notify.Verify(secret, "1767225601", signature, body, at),
		"prefix":    notify.Verify(secret, timestamp, strings.TrimPrefix(signature, "sha256="), body, at),
		"case":      notify.Verify(secret, timestamp, strings.ToUpper(signature), body, at),
		"empty":     notify.Verify(secret, timestamp, "", body, at),
		"no secret": notify.Verify("", timestamp, notify.Sign("", timestamp, body), body, at),
		"no number": notify.Verify(secret, "now", notify.Sign(secret, "now", body), body, at),
	} {
		require.Error(t, err, name)
	}
}
