package session

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// longestPause limits how long a call waits in the worker for its rate window. After that it is sent, gets a 429, and
// waits as a visible Temporal retry.
const longestPause = 5 * time.Second

// pace keeps one organization's calls within the rate windows that Atlassian reports in its headers, per endpoint.
type pace struct {
	mu      sync.Mutex
	windows map[string]window
	now     func() time.Time
}

type window struct {
	limit, remaining int
	reset            time.Time
}

func (a *Env) paceOf(org string) *pace {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.paces[org]
	if p == nil {
		p = &pace{windows: map[string]window{}, now: a.Now}
		a.paces[org] = p
	}
	return p
}

func (p *pace) transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return paced{p, next}
}

type paced struct {
	*pace
	next http.RoundTripper
}

// RoundTrip waits for the endpoint's window, sends, and records the window in the response.
func (p paced) RoundTrip(r *http.Request) (*http.Response, error) {
	endpoint := endpointOf(r)
	if pause := p.pause(endpoint); pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	answer, err := p.next.RoundTrip(r)
	if err == nil {
		p.note(endpoint, answer.Header)
	}
	return answer, err
}

// pause spreads the remaining calls over the remaining time once less than a tenth of the window remains.
func (p *pace) pause(endpoint string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, known := p.windows[endpoint]
	left := w.reset.Sub(p.now())
	if !known || left <= 0 || w.remaining*10 >= w.limit {
		return 0
	}
	w.remaining = max(w.remaining-1, 0)
	p.windows[endpoint] = w
	return min(left/time.Duration(w.remaining+1), longestPause)
}

func (p *pace) note(endpoint string, h http.Header) {
	limit, err := strconv.Atoi(h.Get("X-RateLimit-Limit"))
	if err != nil || limit <= 0 {
		return
	}
	remaining, err := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	if err != nil {
		return
	}
	reset, err := time.Parse(time.RFC3339, h.Get("X-RateLimit-Reset"))
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.windows[endpoint] = window{limit, remaining, reset}
}

var fixedSegment = regexp.MustCompile(`^([a-z]+(-[a-z]+)*|v[12])$`)

// endpointOf returns the endpoint of a request: its path without IDs.
func endpointOf(r *http.Request) string {
	var fixed []string
	for _, part := range strings.Split(r.URL.Path, "/") {
		if fixedSegment.MatchString(part) {
			fixed = append(fixed, part)
		}
	}
	return r.Method + " " + strings.Join(fixed, "/")
}
