package window

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Earlier returns the earlier of two instants. One that is zero never comes.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Day is a day without regard to clocks that change.
const Day = 24 * time.Hour

// Duration is a span of time; its written form is Go's, with d for days and w for weeks: "30s", "2h30m", "7d".
type Duration time.Duration

// Std returns the duration as Go's own type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the shortest written form: "6h" rather than "6h0m0s".
func (d Duration) String() string {
	if d != 0 && d.Std()%Day == 0 {
		return strconv.FormatInt(int64(d.Std()/Day), 10) + "d"
	}
	s := d.Std().String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(text []byte) error {
	span, err := access.ParseDuration(string(text))
	if err != nil || span < 0 || strings.ContainsAny(string(text), "+-") {
		return fmt.Errorf("write a duration, for example 30s, 2h30m, 7d or 2w")
	}
	*d = Duration(span)
	return nil
}
