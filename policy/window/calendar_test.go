package window_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/policy/window"
)

func TestCalendarNext(t *testing.T) {
	for _, tt := range []struct {
		cron, zone, after string
		want              []string
	}{
		{"0 9 1 * 1", "UTC", "2026-11-29T00:00:00Z",
			[]string{"2026-11-30T09:00:00Z", "2026-12-01T09:00:00Z", "2026-12-07T09:00:00Z"}},
		{"0 9 1 * *", "UTC", "2026-11-29T00:00:00Z", []string{"2026-12-01T09:00:00Z", "2027-01-01T09:00:00Z"}},
		{"0 9 * * 1", "UTC", "2026-11-29T00:00:00Z", []string{"2026-11-30T09:00:00Z", "2026-12-07T09:00:00Z"}},
		// 2027: the clock jumps
		{"30 2 28 3 *", "Europe/Berlin", "2026-04-01T00:00:00Z",
			[]string{"2027-03-28T01:00:00Z", "2028-03-28T00:30:00Z"}},
		// once
		{"0,15,30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z",
			[]string{"2027-03-28T01:00:00Z", "2027-03-29T00:00:00Z"}},
		// back: once
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"}},
		// at midnight
		{"0 0 * * *", "Asia/Beirut", "2027-03-26T12:00:00Z",
			[]string{"2027-03-26T22:00:00Z", "2027-03-27T22:00:00Z", "2027-03-28T21:00:00Z"}},
		{"0 9 * * 7", "", "2026-11-30T00:00:00Z", []string{"2026-12-06T09:00:00Z", "2026-12-13T09:00:00Z"}},
		{"0 9 * * 6-7", "", "2026-11-30T00:00:00Z",
			[]string{"2026-12-05T09:00:00Z", "2026-12-06T09:00:00Z", "2026-12-12T09:00:00Z"}},
		{"0 9 * * 3-7/2", "", "2026-11-30T00:00:00Z",
			[]string{"2026-12-02T09:00:00Z", "2026-12-04T09:00:00Z", "2026-12-06T09:00:00Z", "2026-12-09T09:00:00Z"}},
		{"0 0 29 2 *", "", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
	} {
		c, err := window.NewCalendar(tt.cron, tt.zone)
		require.NoError(t, err)
		at, err := time.Parse(time.RFC3339, tt.after)
		require.NoError(t, err)
		for _, want := range tt.want {
			at = c.Next(at)
			require.Equal(t, want, at.Format(time.RFC3339), "%s in %s", tt.cron, tt.zone)
		}
	}
	_, err := window.NewCalendar("0 9 31 2 *", "")
	require.ErrorContains(t, err, "never comes")
}

// A schedule begins when a rule of the same expression comes into force.
func TestCalendarNextIsWhenAWindowOpens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cron, zone := drawSparseCron(t), drawZone(t)
		c, err := window.NewCalendar(cron, zone)
		if err != nil {
			t.Skip(err)
		}
		w, err := window.Compile(window.Window{Cron: cron, Zone: zone, For: window.Duration(time.Second)})
		require.NoError(t, err)
		at := drawInstant(t, zone)
		if w.Open(at) {
			at = w.Next(at)
		}
		next := c.Next(at)
		require.Equal(t, w.Next(at), next)
		require.True(t, next.IsZero() || w.Open(next))
	})
}

// What a scheduler is given means the same, instant by instant.
func TestCalendarFieldsMeanTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cron, zone := drawSparseCron(t), drawZone(t)
		if rapid.IntRange(0, 9).Draw(t, "dense") == 0 {
			cron = rapid.SampledFrom([]string{"*/20 * * * *", "7 */2 * * *", "*/15 1-3 1-7 * 0"}).Draw(t, "dense cron")
		}
		c, err := window.NewCalendar(cron, zone)
		if err != nil {
			t.Skip(err)
		}
		from := drawInstant(t, zone).Truncate(time.Minute)
		in, fields := c.Fields(from, 1)
		location, err := time.LoadLocation(in)
		require.NoError(t, err)
		until := from.Add(9 * 24 * time.Hour)
		var want, got []time.Time
		for at := c.Next(from); !at.IsZero() && at.Before(until); at = c.Next(at) {
			want = append(want, at)
		}
		for at := from.Add(time.Minute); at.Before(until); at = at.Add(time.Minute) {
			if slices.ContainsFunc(fields, func(f window.Fields) bool { return matchFields(f, at.In(location)) }) {
				got = append(got, at.UTC())
			}
		}
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got), "%s in %s", cron, zone)
	})
}

// matchFields is what schedulers do.
func matchFields(f window.Fields, at time.Time) bool {
	is := func(all []int, n int) bool { return all == nil || slices.Contains(all, n) }
	return is(f.Years, at.Year()) && is(f.Months, int(at.Month())) && is(f.Days, at.Day()) &&
		is(f.Weekdays, int(at.Weekday())) &&
		is(f.Hours, at.Hour()) && is(f.Minutes, at.Minute())
}

func TestCalendarFieldsAreFew(t *testing.T) {
	for cron, most := range map[string]int{"0 9 1 */3 *": 100, "0 9 * * 1": 600, "30 2 * * *": 600,
		"*/5 * * * *": 1000} {
		c, err := window.NewCalendar(cron, "Europe/Berlin")
		require.NoError(t, err)
		_, fields := c.Fields(time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC), 20)
		require.LessOrEqual(t, len(fields), most, cron)
		require.Greater(t, len(fields), 20)
	}
	c, err := window.NewCalendar("0 9 1 * 1", "Asia/Kolkata")
	require.NoError(t, err)
	zone, fields := c.Fields(time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC), 20)
	require.Equal(t, "Asia/Kolkata", zone)
	require.Equal(t, []window.Fields{{Days: []int{1}, Hours: []int{9}, Minutes: []int{0}},
		{Weekdays: []int{1}, Hours: []int{9}, Minutes: []int{0}}}, fields)
}

// drawSparseCron draws an expression with few times a day, often about the hours at which clocks are changed.
func drawSparseCron(t *rapid.T) string {
	minute := rapid.SampledFrom([]string{"0", "30", "15,45", "59"}).Draw(t, "minute")
	hour := rapid.SampledFrom([]string{"0", "1", "2", "3", "23", "9", "0-3", "22,2"}).Draw(t, "hour")
	dom := rapid.SampledFrom([]string{"*", "1", "28", "25-31", "*/2", "29", "31"}).Draw(t, "day")
	month := rapid.SampledFrom([]string{"*", "3", "10", "3,4,10,11", "2"}).Draw(t, "month")
	dow := rapid.SampledFrom([]string{"*", "0", "1", "SUN,MON", "1-5"}).Draw(t, "weekday")
	return fmt.Sprintf("%s %s %s %s %s", minute, hour, dom, month, dow)
}
