package evidence

import (
	"fmt"
	"strconv"
	"time"
)

// grouped writes 10000 as 10,000.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// some writes "1 item" and "2 items".
func some(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// lasting writes a duration in one unit. Short ones are cut, not rounded: what is under three seconds never reads as
// three.
func lasting(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// percent is a share in whole percent; only all is 100 %, and only nothing 0 %.
func percent(n, of int) string {
	switch share := 100 * float64(n) / float64(max(of, 1)); {
	case n > 0 && share < 1:
		return "<1 %"
	case n < of && share > 99:
		return ">99 %"
	default:
		return fmt.Sprintf("%.0f %%", share)
	}
}

func minute(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

func day(t time.Time) string { return t.UTC().Format("2 Jan 2006") }
