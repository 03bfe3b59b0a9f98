package cloud

import (
	"net/http"
	"strconv"
	"time"
)

// limiter counts calls per operation in windows of one minute.
type limiter map[string]*window

type window struct {
	ends instant
	used int
}

// unlimited is the limit in the headers while rate limits are off.
const unlimited = 1_000_000

// take counts one call and writes the rate headers; allowed is false once the window is used up.
func (c *Cloud) take(operation string, header http.Header) (allowed bool) {
	limit := unlimited
	if c.settings.Limits {
		limit = c.settings.RatePerMinute["*"]
		if own, set := c.settings.RatePerMinute[operation]; set {
			limit = own
		}
		if limit == 0 {
			limit = unlimited
		}
	}
	w, allowed := c.count(operation, limit)
	header.Set("X-RateLimit-Limit", itoa(limit))
	header.Set("X-RateLimit-Remaining", itoa(max(0, limit-w.used)))
	header.Set("X-RateLimit-Reset", time.Unix(0, w.ends).UTC().Format("2006-01-02T15:04:05Z"))
	if !allowed {
		c.setRetryAfter(header, time.Duration(w.ends-c.now()))
	}
	return allowed
}

// takeSCIM counts one call of SCIM, for which no limit and no rate headers are published.
func (c *Cloud) takeSCIM(header http.Header) bool {
	limit, limited := c.settings.RatePerMinute["scim"]
	if !limited || !c.settings.Limits {
		return true
	}
	w, allowed := c.count("scim", limit)
	if !allowed {
		c.setRetryAfter(header, time.Duration(w.ends-c.now()))
	}
	return allowed
}

// count takes one call from the window of the name, if the limit allows it.
func (c *Cloud) count(name string, limit int) (w *window, allowed bool) {
	if c.limiter == nil {
		c.limiter = limiter{}
	}
	now := c.now()
	if w = c.limiter[name]; w == nil || now >= w.ends {
		w = &window{ends: now + int64(time.Minute)}
		c.limiter[name] = w
	}
	if w.used >= limit {
		return w, false
	}
	w.used++
	return w, true
}

func (c *Cloud) setRetryAfter(header http.Header, wait time.Duration) {
	switch c.settings.RetryAfter {
	case RetryAfterSeconds:
		header.Set("Retry-After", itoa(int((wait+time.Second-1)/time.Second)))
	case RetryAfterDate:
		header.Set("Retry-After", time.Unix(0, c.now()).Add(wait+time.Second).UTC().Format(http.TimeFormat))
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
