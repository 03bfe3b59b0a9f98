package session

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPaceSpreadsCallsOverTheRestOfTheWindow(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		limit, remaining string
		reset            time.Duration
		want             time.Duration
	}{
		"plenty left":              {"1000", "500", time.Minute, 0},
		"a tenth left":             {"1000", "100", time.Minute, 0},
		"less than a tenth":        {"1000", "59", time.Minute, time.Minute / 59},
		"the last":                 {"100", "1", 3 * time.Second, 3 * time.Second},
		"nothing left":             {"100", "0", 3 * time.Second, 3 * time.Second},
		"never longer than it may": {"100", "0", time.Hour, longestPause},
		"the window is over":       {"100", "0", -time.Second, 0},
		"no limit given":           {"", "0", time.Minute, 0},
		"no number":                {"100", "some", time.Minute, 0},
		"a limit of nothing":       {"0", "0", time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pace{windows: map[string]window{}, now: func() time.Time { return now }}
			header := http.Header{}
			header.Set("X-RateLimit-Limit", c.limit)
			header.Set("X-RateLimit-Remaining", c.remaining)
			header.Set("X-RateLimit-Reset", now.Add(c.reset).Format(time.RFC3339))
			p.note("GET x", header)
			require.Equal(t, c.want, p.pause("GET x"))
			require.Zero(t, p.pause("GET y"), "another endpoint has a window of its own")
		})
	}
}

func TestPaceGivesEveryWaitingCallItsShare(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	p := &pace{windows: map[string]window{"e": {limit: 100, remaining: 4, reset: now.Add(4 * time.Second)}},
		now: func() time.Time { return now }}
	var pauses []time.Duration
	for range 4 {
		pauses = append(pauses, p.pause("e"))
	}
	require.Equal(t, []time.Duration{time.Second, 4 * time.Second / 3, 2 * time.Second, 4 * time.Second}, pauses)
}

func TestPaceDistinguishesEndpointsByTheirFixedParts(t *testing.T) {
	for path, want := range map[string]string{
		"/admin/v2/orgs/0a1b2c3d-0000-4000-8000-000000000001/directories/9f/users/search":             "POST admin/v2/orgs/directories/users/search",
		"/admin/v2/orgs/x1/directories/y2/groups/z3/memberships/712020:fe29d10f-0f82-4607-be9a-f0728": "POST admin/v2/orgs/directories/groups/memberships",
		"/admin/v1/orgs/x1/events-stream": "POST admin/v1/orgs/events-stream",
	} {
		require.Equal(t, want, endpointOf(httptest.NewRequest(http.MethodPost, path, nil)))
	}
}

func TestPauseEndsWithItsCall(t *testing.T) {
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-RateLimit-Limit", "10")
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer served.Close()
	p := &pace{windows: map[string]window{}, now: time.Now}
	client := http.Client{Transport: p.transport(nil)}
	get := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, served.URL+"/x", nil)
		require.NoError(t, err)
		answer, err := client.Do(r)
		if err == nil {
			require.NoError(t, answer.Body.Close())
		}
		return err
	}
	require.NoError(t, get(t.Context()))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, get(cancelled), context.Canceled)
}
