package wire

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Rate is the endpoint's limit according to a response's headers: X-RateLimit-Limit, -Remaining and -Reset, as the
// Organizations API's documentation describes them.
type Rate struct {
	Limit     int       // calls allowed in the current period; -1 if unknown
	Remaining int       // calls left in it; -1 if unknown
	Reset     time.Time // when the next period begins; zero if unknown
}

// longestWait limits the wait that a header may ask for.
const longestWait = 24 * time.Hour

func unknownRate() Rate { return Rate{Limit: -1, Remaining: -1} }

func parseRate(h http.Header) Rate {
	return Rate{
		Limit:     count(h.Get("X-RateLimit-Limit")),
		Remaining: count(h.Get("X-RateLimit-Remaining")),
		Reset:     instant(h.Get("X-RateLimit-Reset")),
	}
}

func count(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// instant parses ISO 8601, even without seconds, as Atlassian's services send it.
func instant(s string) time.Time {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05.999999999Z0700",
		"2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// retryAfter returns how long the response asks to wait: Retry-After in seconds or as a date, else, when the limit was
// hit, the time until it is reset. Dates are compared with the response's own Date, so that a wrong local clock does no
// harm.
func retryAfter(h http.Header, status int, rate Rate) time.Duration {
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	asked := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(asked, 64); err == nil {
		if seconds >= longestWait.Seconds() {
			return longestWait
		}
		return bound(time.Duration(seconds * float64(time.Second)))
	}
	if at, err := http.ParseTime(asked); err == nil {
		return bound(at.Sub(now))
	}
	if status == http.StatusTooManyRequests && !rate.Reset.IsZero() {
		return bound(rate.Reset.Sub(now))
	}
	return 0
}

func bound(d time.Duration) time.Duration { return min(max(d, 0), longestWait) }
