package access

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span that people write as "2h30m". In JSON it is that string.
type Duration time.Duration

// Std returns the span as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the span as "2h30m0s".
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads "2h30m"; a bare number is refused, since nobody can tell its unit.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("a duration is written as text, for example \"2h30m\", not %s", data)
	}
	span, err := ParseDuration(s)
	*d = span
	return err
}

// ParseDuration reads a span of time in Go's form, with w for weeks and d for days before the rest: "30s", "2h30m",
// "7d", "1w2d12h".
func ParseDuration(s string) (Duration, error) {
	refused := fmt.Errorf("%.100q is not a duration: write for example 30s, 2h30m, 7d or 2w", s)
	rest, negative := strings.CutPrefix(s, "-")
	var whole time.Duration
	for _, unit := range []struct {
		sign string
		is   time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		count, after, found := strings.Cut(rest, unit.sign)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(count, 10, 16)
		if err != nil {
			return 0, refused
		}
		if whole, rest = whole+time.Duration(n)*unit.is, after; rest == "" {
			rest = "0s"
		}
	}
	span, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest, "+-") || span > maxDuration || whole > maxDuration {
		return 0, refused
	}
	if span += whole; negative {
		span = -span
	}
	return Duration(span), nil
}

const maxDuration = 100 * 365 * 24 * time.Hour
