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
	if c.limiter == nil {
		c.limiter = limiter{}
	}
	now := c.now()
	w := c.limiter[operation]
	if w == nil || now >= w.ends {
		w = &window{ends: now + int64(time.Minute)}
		c.limiter[operation] = w
	}
	allowed = w.used < limit
	if allowed {
		w.used++
	}
	header.Set("X-RateLimit-Limit", itoa(limit))
	header.Set("X-RateLimit-Remaining", itoa(max(0, limit-w.used)))
	header.Set("X-RateLimit-Reset", time.Unix(0, w.ends).UTC().Format("2006-01-02T15:04:05Z"))
	if !allowed {
		c.setRetryAfter(header, time.Duration(w.ends-now))
	}
	return allowed
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
