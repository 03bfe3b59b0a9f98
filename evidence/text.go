package evidence

import (
	"fmt"
	"strconv"
	"time"
)

// formatDuration writes a duration in one unit. Short ones are truncated, not rounded, so that 2.96 s does not read as
// 3 s, the threshold.
func formatDuration(d time.Duration) string {
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

// percent returns a share in whole percent; 100 % only for all, and 0 % only for none.
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

func formatMinute(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

func formatDay(t time.Time) string { return t.UTC().Format("2 Jan 2006") }
