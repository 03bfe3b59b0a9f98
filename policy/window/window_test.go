package window_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/policy/window"
)

func compileWindow(t require.TestingT, w window.Window) *window.Compiled {
	c, err := window.Compile(w)
	require.NoError(t, err)
	return c
}

func moment(t require.TestingT, text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at
}

func weekly(zone string, entries ...string) window.Window {
	return window.Window{Zone: zone, Weekly: entries}
}

func crons(zone, cron string, length time.Duration) window.Window {
	return window.Window{Zone: zone, Cron: cron, For: window.Duration(length)}
}

func TestWindowChanges(t *testing.T) {
	limited := weekly("Europe/Berlin", "Mon-Fri 08:00-18:00")
	limited.From = moment(t, "2026-06-02T12:00:00.5+02:00") // a Tuesday
	limited.Until = moment(t, "2026-06-04T09:00:00+02:00")
	closedAtBothEnds := limited
	closedAtBothEnds.From = moment(t, "2026-06-02T20:00:00+02:00")
	closedAtBothEnds.Until = moment(t, "2026-06-03T18:00:00+02:00")
	neverWithin := limited
	neverWithin.From = moment(t, "2026-06-06T00:00:00+02:00")
	neverWithin.Until = moment(t, "2026-06-08T08:00:00+02:00")
	day := 24 * time.Hour

	for name, c := range map[string]struct {
		window window.Window
		after  string
		open   bool     // after that instant
		want   []string // the next changes; one that is empty: none any more
	}{
		"always": {window.Window{}, "2026-01-01T00:00:00Z", true, []string{""}},
		"from": {window.Window{From: limited.From}, "2026-01-01T00:00:00Z", false,
			[]string{"2026-06-02T10:00:00.5Z", ""}},
		"until": {window.Window{Until: limited.Until}, "2026-01-01T00:00:00Z", true,
			[]string{"2026-06-04T07:00:00Z", ""}},
		"before the year": {window.Window{From: limited.From}, "0001-01-01T00:00:00Z", false,
			[]string{"2026-06-02T10:00:00.5Z", ""}},

		"working hours": {weekly("", "Mon-Fri 08:00-18:00"), "2026-06-05T09:00:00Z", true, // a Friday
			[]string{"2026-06-05T18:00:00Z", "2026-06-08T08:00:00Z", "2026-06-08T18:00:00Z"}},
		"over midnight": {weekly("", "Sat 22:00-02:00"), "2026-06-06T12:00:00Z", false,
			[]string{"2026-06-06T22:00:00Z", "2026-06-07T02:00:00Z", "2026-06-13T22:00:00Z"}},
		"until midnight": {weekly("", "Sat 22:00-00:00"), "2026-06-06T12:00:00Z", false,
			[]string{"2026-06-06T22:00:00Z", "2026-06-07T00:00:00Z"}},
		"a whole day": {weekly("", "sun"), "2026-06-06T12:00:00Z", false,
			[]string{"2026-06-07T00:00:00Z", "2026-06-08T00:00:00Z"}},
		"a list": {weekly("", "Mon,Wed 09:00-12:00"), "2026-06-08T09:00:00Z", true,
			[]string{"2026-06-08T12:00:00Z", "2026-06-10T09:00:00Z"}},
		"over the weekend": {weekly("", "Fri-Mon"), "2026-06-04T00:00:00Z", false,
			[]string{"2026-06-05T00:00:00Z", "2026-06-09T00:00:00Z"}},
		"entries that touch": {weekly("", "Mon 09:00-12:00", "Mon 12:00-13:00", "Mon 12:30-14:00"),
			"2026-06-08T00:00:00Z", false,
			[]string{"2026-06-08T09:00:00Z", "2026-06-08T14:00:00Z"}},
		"every minute": {weekly("Europe/Berlin", "* 00:00-24:00"), "2026-06-04T00:00:00Z", true, []string{""}},
		"all days, in parts": {weekly("Europe/Berlin", "* 00:00-12:00", "Sat-Fri 12:00-00:00"), "2026-06-04T00:00:00Z",
			true, []string{""}},

		"weekly, limited": {limited, "2026-06-01T00:00:00Z", false,
			[]string{"2026-06-02T10:00:00.5Z", "2026-06-02T16:00:00Z", "2026-06-03T06:00:00Z", "2026-06-03T16:00:00Z",
				"2026-06-04T06:00:00Z", "2026-06-04T07:00:00Z", ""}},
		"weekly, limited when closed": {closedAtBothEnds, "2026-06-01T00:00:00Z", false,
			[]string{"2026-06-03T06:00:00Z", "2026-06-03T16:00:00Z", ""}},
		"weekly, never within": {neverWithin, "2026-06-01T00:00:00Z", false, []string{""}},

		// Berlin goes from 02:00 to 03:00 at 01:00Z on 29 March 2026.
		"Berlin, begins in the gap": {weekly("Europe/Berlin", "Sun 02:30-04:00"), "2026-03-28T12:00:00Z", false,
			[]string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		"Berlin, ends in the gap": {weekly("Europe/Berlin", "Sun 01:00-02:30"), "2026-03-28T12:00:00Z", false,
			[]string{"2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"}},
		"Berlin, within the gap": {weekly("Europe/Berlin", "Sun 02:15-02:45"), "2026-03-28T12:00:00Z", false,
			[]string{"2026-04-05T00:15:00Z", "2026-04-05T00:45:00Z"}},
		"Berlin, the short day": {weekly("Europe/Berlin", "Sun"), "2026-03-28T12:00:00Z", false,
			[]string{"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}},
		"Berlin, cron in the gap": {crons("Europe/Berlin", "30 2 * * *", time.Hour), "2026-03-28T12:00:00Z", false,
			[]string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-30T00:30:00Z"}},

		// Berlin goes from 03:00 back to 02:00 at 01:00Z on 25 October 2026.
		"Berlin, within the hour that comes twice": {weekly("Europe/Berlin", "Sun 02:30-02:45"), "2026-10-24T12:00:00Z",
			false, []string{"2026-10-25T00:30:00Z", "2026-10-25T01:45:00Z"}},
		"Berlin, ends when the clock is put back": {weekly("Europe/Berlin", "Sat 22:00-02:00"), "2026-10-24T12:00:00Z",
			false, []string{"2026-10-24T20:00:00Z", "2026-10-25T01:00:00Z"}},
		"Berlin, two that overlap only that day": {weekly("Europe/Berlin", "Sun 01:00-02:15", "Sun 02:30-03:00"),
			"2026-10-24T12:00:00Z", false,
			[]string{"2026-10-24T23:00:00Z", "2026-10-25T02:00:00Z", "2026-11-01T00:00:00Z", "2026-11-01T01:15:00Z"}},
		"Berlin, the long day": {weekly("Europe/Berlin", "Sun"), "2026-10-24T12:00:00Z", false,
			[]string{"2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"}},
		"Berlin, cron comes once": {crons("Europe/Berlin", "30 2 * * *", 15*time.Minute),
			"2026-10-24T12:00:00Z", false,
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T00:45:00Z", "2026-10-26T01:30:00Z"}},
		"Berlin, a day is not 24 hours": {crons("Europe/Berlin", "0 0 * * *", day), "2026-06-01T00:00:00Z",
			true, []string{"2026-10-25T22:00:00Z", "2026-10-25T23:00:00Z", "2027-10-31T22:00:00Z"}},
		"Berlin, every minute": {crons("Europe/Berlin", "* * * * *", time.Minute),
			"2026-06-01T00:00:00Z", true, []string{"2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z",
				"2027-10-31T01:00:00Z"}},

		// New York goes forward at 07:00Z on 8 March and back at 06:00Z on 1 November 2026.
		"New York, spring": {weekly("America/New_York", "Sun 02:30-03:30"), "2026-03-07T12:00:00Z", false,
			[]string{"2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"}},
		"New York, autumn": {weekly("America/New_York", "Sun 01:30-01:45"), "2026-10-31T12:00:00Z", false,
			[]string{"2026-11-01T05:30:00Z", "2026-11-01T06:45:00Z"}},

		// Lord Howe goes back from 02:00 to 01:30 at 15:00Z on 4 April, and from 02:00 to 02:30 at 15:30Z on 3 October
		// 2026.
		"Lord Howe, autumn": {weekly("Australia/Lord_Howe", "Sun 01:40-01:50"), "2026-04-04T00:00:00Z", false,
			[]string{"2026-04-04T14:40:00Z", "2026-04-04T15:20:00Z"}},
		"Lord Howe, spring": {weekly("Australia/Lord_Howe", "Sun 02:10-03:00"), "2026-10-03T00:00:00Z", false,
			[]string{"2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"}},
		"Lord Howe, within the gap": {weekly("Australia/Lord_Howe", "Sun 02:00-02:30"), "2026-10-03T00:00:00Z", false,
			[]string{"2026-10-10T15:00:00Z", "2026-10-10T15:30:00Z"}},

		// The Azores go from 01:00 back to 00:00 of the same day.
		"Azores, a day ends at its midnight": {weekly("Atlantic/Azores", "Sat"), "2026-10-24T12:00:00Z", true,
			[]string{"2026-10-25T00:00:00Z"}},
		"Azores, a day begins at its midnight": {weekly("Atlantic/Azores", "Sun"), "2026-10-24T12:00:00Z", false,
			[]string{"2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"}},
		// Cairo goes from 24:00 back to 23:00.
		"Cairo, the last hour comes twice": {weekly("Africa/Cairo", "Thu"), "2026-10-29T12:00:00Z", true,
			[]string{"2026-10-29T22:00:00Z"}},
		// Samoa left 30 December 2011 out, a Friday.
		"Apia, a day that never was": {weekly("Pacific/Apia", "Fri"), "2011-12-25T00:00:00Z", false,
			[]string{"2012-01-05T10:00:00Z"}},

		"leap days": {crons("", "0 0 29 2 *", day), "2026-01-01T00:00:00Z", false,
			[]string{"2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z", "2032-02-29T00:00:00Z"}},
		"no leap day in 2100": {crons("", "0 0 29 2 *", day), "2096-03-01T00:00:00Z", false,
			[]string{"2104-02-29T00:00:00Z"}},
		"New Year's Eve": {crons("America/New_York", "0 0 31 12 *", day), "2048-12-01T00:00:00Z", false,
			[]string{"2048-12-31T05:00:00Z", "2049-01-01T05:00:00Z"}},
		"a year, not a leap one": {crons("", "0 0 1 1 *", 365*day), "2026-06-01T00:00:00Z", true,
			[]string{"2028-12-31T00:00:00Z", "2029-01-01T00:00:00Z", "2032-12-31T00:00:00Z"}},
		"every year": {crons("", "0 0 1 1 *", 366*day), "2026-06-01T00:00:00Z", true, []string{""}},
		"cron, overlapping": {crons("", "0 8 * * 1-5", 25*time.Hour), "2026-06-06T12:00:00Z", false,
			[]string{"2026-06-08T08:00:00Z", "2026-06-13T09:00:00Z"}},
		"cron, without end": {crons("", "0 */4 * * *", 5*time.Hour), "2026-06-06T12:00:00Z", true, []string{""}},
		"cron, touching": {crons("Asia/Tokyo", "* * * * *", time.Minute), "2026-06-06T12:00:00Z", true,
			[]string{""}},
		"cron, day or weekday": {crons("", "0 0 13 * 5", time.Hour), "2026-06-10T00:00:00Z", false,
			[]string{"2026-06-12T00:00:00Z", "2026-06-12T01:00:00Z", "2026-06-13T00:00:00Z"}},
		"cron, parts of seconds": {crons("", "0 0 * * *", 1500*time.Millisecond), "2026-06-10T12:00:00Z", false,
			[]string{"2026-06-11T00:00:00Z", "2026-06-11T00:00:01.5Z"}},
		"cron, a rare year": {crons("", "0 0 * 2 0", 345*day), "2026-02-10T00:00:00Z", true,
			[]string{"2027-02-02T00:00:00Z", "2027-02-07T00:00:00Z", "2038-02-02T00:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			window := compileWindow(t, c.window)
			at, open := moment(t, c.after), c.open
			for _, want := range c.want {
				require.Equal(t, open, window.Open(at), "%s", at)
				next := window.Next(at)
				require.Equal(t, next, c.window.Next(at))
				if want == "" {
					require.True(t, next.IsZero(), "%s", next)
					continue
				}
				require.Equal(t, want, next.Format(time.RFC3339Nano))
				require.Equal(t, open, window.Open(next.Add(-1)), "just before %s", next)
				at, open = next, !open
			}
			require.Equal(t, open, c.window.Open(at))
		})
	}
}

func TestWindowAlways(t *testing.T) {
	require.True(t, window.Window{}.Always())
	require.True(t, weekly("", "*").Always())
	require.False(t, weekly("", "* 00:00-23:59").Always())
	require.False(t, window.Window{From: time.Unix(0, 0)}.Always())
	require.False(t, window.Window{Until: time.Unix(0, 0)}.Always())

	wrong := window.Window{Zone: "Europe/Berlin"}
	require.False(t, wrong.Always())
	require.False(t, wrong.Open(time.Unix(0, 0)))
	require.True(t, wrong.Next(time.Unix(0, 0)).IsZero())
}

func TestWindowRefuses(t *testing.T) {
	june := moment(t, "2026-06-01T00:00:00Z")
	for name, c := range map[string]struct {
		window window.Window
		want   string
	}{
		"until before from": {window.Window{From: june, Until: june},
			"until 2026-06-01T00:00:00Z is not after from 2026-06-01T00:00:00Z; write a later until, or leave it out"},
		"zone alone": {window.Window{Zone: "Europe/Berlin"},
			`zone "Europe/Berlin" says nothing without weekly or cron; write one of them, or leave zone out`},
		"unknown zone": {weekly("Europe/Berln", "Sun"),
			`zone "Europe/Berln" is not known; write a name of the IANA database, for example Europe/Berlin or UTC`},
		"local zone": {weekly("Local", "Sun"),
			`zone "Local" is not known; write a name of the IANA database, for example Europe/Berlin or UTC`},
		"zone with a file": {weekly("../etc/passwd", "Sun"),
			`zone "../etc/passwd" is not known; write a name of the IANA database, for example Europe/Berlin or UTC`},
		"both": {window.Window{Weekly: []string{"Sun"}, Cron: "0 0 * * *", For: 1},
			"weekly and cron are both there; write one of them"},
		"for alone": {window.Window{For: window.Duration(time.Hour)},
			`for 1h says nothing without cron; write when it begins, for example cron: "0 9 * * 1-5", or leave for out`},
		"for and weekly": {window.Window{For: window.Duration(time.Hour), Weekly: []string{"Sun"}},
			`for 1h says nothing without cron; write when it begins, for example cron: "0 9 * * 1-5", or leave for out`},
		"cron alone": {window.Window{Cron: "0 0 * * *"},
			`cron "0 0 * * *" says only when the rule comes into force; write for how long too, for example for: 2h`},
		"for below zero": {crons("", "0 0 * * *", -time.Hour),
			"for -1h is less than nothing; write a duration, for example 30m, 2h30m or 7d"},
		"for too long": {crons("", "0 0 * * *", 367*24*time.Hour), "for 367d is too long; write at most 366d"},
		"many entries": {weekly("", make([]string, 51)...),
			"weekly has 51 entries; write at most 50, joining days such as Mon,Wed or Mon-Fri"},
		"long entry": {weekly("", strings.Repeat("Mon,", 60)),
			`weekly entry "` + strings.Repeat("Mon,", 15) + `..." is longer than 200 characters; shorten it`},
		"long cron": {crons("", strings.Repeat("* ", 101), time.Hour),
			`cron "` + strings.Repeat("* ", 30) + `..." is longer than 200 characters; shorten it`},
		"empty entry": {weekly("", "Sun", " "),
			`weekly entry " " is not days and times with one space between; write for example Mon-Fri 08:00-18:00`},
		"three parts": {weekly("", "Mon, Wed 08:00-18:00"),
			`weekly entry "Mon, Wed 08:00-18:00" is not days and times with one space between; write for example Mon-Fri 08:00-18:00`},
		"no day": {weekly("", "Mon-Freitag 08:00-18:00"),
			`weekly entry "Mon-Freitag 08:00-18:00": "Freitag" is no day; write Mon, Tue, Wed, Thu, Fri, Sat or Sun, days such as Mon-Fri or Mon,Wed, or * for all`},
		"times alone": {weekly("", "08:00-18:00"),
			`weekly entry "08:00-18:00": "08:00" is no day; write Mon, Tue, Wed, Thu, Fri, Sat or Sun, days such as Mon-Fri or Mon,Wed, or * for all`},
		"star in a list": {weekly("", "*,Mon"),
			`weekly entry "*,Mon": "*" is no day; write Mon, Tue, Wed, Thu, Fri, Sat or Sun, days such as Mon-Fri or Mon,Wed, or * for all`},
		"one digit": {weekly("", "Mon 8:00-18:00"),
			`weekly entry "Mon 8:00-18:00": "8:00-18:00" is not from when to when; write two times of a day, for example 08:00-18:00`},
		"one time": {weekly("", "Mon 08:00"),
			`weekly entry "Mon 08:00": "08:00" is not from when to when; write two times of a day, for example 08:00-18:00`},
		"past midnight": {weekly("", "Mon 08:00-24:30"),
			`weekly entry "Mon 08:00-24:30": "08:00-24:30" goes past the end of the day; begin at 23:59 at the latest, end at 24:00, or write 22:00-02:00 to go over midnight`},
		"begins at midnight": {weekly("", "Mon 24:00-02:00"),
			`weekly entry "Mon 24:00-02:00": "24:00-02:00" goes past the end of the day; begin at 23:59 at the latest, end at 24:00, or write 22:00-02:00 to go over midnight`},
		"no time": {weekly("", "Mon 08:00-08:00"),
			`weekly entry "Mon 08:00-08:00": "08:00-08:00" ends when it begins; write 00:00-24:00 for the whole day`},
		"cron, six fields": {crons("", "0 0 0 * * *", 1),
			`cron "0 0 0 * * *": write five fields: minute, hour, day of the month, month and day of the week, for example 0 9 * * 1-5`},
		"cron, a word": {crons("", "@reboot", 1),
			`cron "@reboot": write five fields: minute, hour, day of the month, month and day of the week, for example 0 9 * * 1-5`},
		"cron, every": {crons("", "@every 1h", 1),
			`cron "@every 1h": write five fields: minute, hour, day of the month, month and day of the week, for example 0 9 * * 1-5`},
		"cron, hour": {crons("", "0 24 * * *", 1),
			`cron "0 24 * * *": the hour cannot be "24"; write 0 to 23, several as 1,3 or 1-5, every second as */2, or * for all`},
		"cron, Sunday": {crons("", "0 0 * * 8", 1),
			`cron "0 0 * * 8": the day of the week cannot be "8"; write 0 to 7 or SUN to SAT, Sunday being 0 or 7, several as 1,3 or 1-5, every second as */2, or * for all`},
		"cron, zone": {crons("", "TZ=UTC 0 * * *", 1),
			`cron "TZ=UTC 0 * * *": the minute cannot be "TZ=UTC"; write 0 to 59, several as 1,3 or 1-5, every second as */2, or * for all`},
		"cron, no part": {crons("", "0 , * * *", 1),
			`cron "0 , * * *": the hour cannot be ","; write 0 to 23, several as 1,3 or 1-5, every second as */2, or * for all`},
		"cron, backwards": {crons("", "0 0 9-5 * *", 1),
			`cron "0 0 9-5 * *": the day of the month cannot be "9-5"; write 1 to 31, several as 1,3 or 1-5, every second as */2, or * for all`},
		"cron, lines": {crons("", "0 0\n* * Mo", 1),
			`cron "0 0\n* * Mo": the day of the week cannot be "Mo"; write 0 to 7 or SUN to SAT, Sunday being 0 or 7, several as 1,3 or 1-5, every second as */2, or * for all`},
		"cron, never": {crons("", "0 0 30,31 2 *", 1),
			`cron "0 0 30,31 2 *" never comes, since no month that it names has such a day; write another day or month`},
		"cron, never either": {crons("", "0 0 31 4,6,9,11 *", 1),
			`cron "0 0 31 4,6,9,11 *" never comes, since no month that it names has such a day; write another day or month`},
	} {
		t.Run(name, func(t *testing.T) { require.EqualError(t, c.window.Check(), c.want) })
	}
}

// zones change by an hour, half an hour, two hours, at midnight, below zero, once by a day, or never.
var zones = []string{
	"", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Atlantic/Azores",
	"Africa/Cairo", "Asia/Beirut", "America/Nuuk", "Africa/Casablanca", "Europe/Dublin", "Pacific/Apia",
	"America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham", "Antarctica/Troll", "America/Sao_Paulo", "Asia/Tokyo",
}

var days = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

func drawZone(t *rapid.T) string { return rapid.SampledFrom(zones).Draw(t, "zone") }

// drawInstant draws one of the years 2005 to 2060, often next to a change of the zone's clocks.
func drawInstant(t *rapid.T, zone string) time.Time {
	at := time.Unix(rapid.Int64Range(1104537600, 2840140800).Draw(t, "second"),
		rapid.Int64Range(0, 1e9-1).Draw(t, "part"))
	if !rapid.Bool().Draw(t, "near a change") {
		return at
	}
	location, err := time.LoadLocation(zone)
	require.NoError(t, err)
	if _, end := at.In(location).ZoneBounds(); !end.IsZero() {
		at = end.Add(time.Duration(rapid.Int64Range(-4000, 1500).Draw(t, "minutes")) * time.Minute)
	}
	return at
}

func drawWeekly(t *rapid.T) (entry string, onDays []int, from, to int) {
	first := rapid.IntRange(0, 6).Draw(t, "first day")
	last := (first + rapid.IntRange(0, 6).Draw(t, "further days")) % 7
	for d := first; ; d = (d + 1) % 7 {
		onDays = append(onDays, d)
		if d == last {
			break
		}
	}
	entry = days[first] + "-" + days[last]
	minute := rapid.OneOf(rapid.IntRange(0, 240), rapid.Map(rapid.IntRange(0, 95), func(n int) int { return n * 15 }),
		rapid.IntRange(0, 1439))
	from, to = minute.Draw(t, "from"), minute.Draw(t, "to")
	if from == to {
		return entry, onDays, 0, 1440
	}
	clock := func(minute int) string { return time.Unix(int64(minute)*60, 0).UTC().Format("15:04") }
	entry += " " + clock(from) + "-" + clock(to)
	if to < from {
		to += 1440
	}
	return entry, onDays, from, to
}

func drawWindow(t *rapid.T, zone string) window.Window {
	var w window.Window
	switch rapid.SampledFrom([]string{"always", "weekly", "weekly", "cron", "cron", "cron"}).Draw(t, "kind") {
	case "weekly":
		w.Zone = zone
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			entry, _, _, _ := drawWeekly(t)
			w.Weekly = append(w.Weekly, entry)
		}
	case "cron":
		w.Zone = zone
		w.Cron = strings.Join([]string{
			rapid.SampledFrom([]string{"*", "0", "30", "*/5", "7,37", "59"}).Draw(t, "minute"),
			rapid.SampledFrom([]string{"*", "0", "1-3", "2", "23", "*/6", "8-17"}).Draw(t, "hour"),
			rapid.SampledFrom([]string{"*", "*", "*", "1", "29", "31", "1-30", "*/2"}).Draw(t, "day"),
			rapid.SampledFrom([]string{"*", "*", "*", "2", "MAR,OCT", "1-11"}).Draw(t, "month"),
			rapid.SampledFrom([]string{"*", "*", "*", "0", "SUN", "1-5", "0-5"}).Draw(t, "weekday"),
		}, " ")
		w.For = window.Duration(rapid.OneOf(
			rapid.SampledFrom([]time.Duration{time.Minute, 5 * time.Minute, time.Hour, 24 * time.Hour, 25 * time.Hour,
				48 * time.Hour, 345 * 24 * time.Hour, 366 * 24 * time.Hour}),
			rapid.Map(rapid.IntRange(1, 3000), func(n int) time.Duration { return time.Duration(n) * time.Minute }),
			rapid.Map(rapid.Int64Range(1, int64(100*time.Hour)),
				func(n int64) time.Duration { return time.Duration(n) }),
		).Draw(t, "for"))
		if w.Check() != nil { // such as the 31st of February
			w.Cron = "0 0 29 2 *"
		}
	}
	return w
}

func TestWindowNextIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := drawZone(t)
		w := drawWindow(t, zone)
		at := drawInstant(t, zone)
		if rapid.Bool().Draw(t, "has from") {
			w.From = at.Add(time.Duration(rapid.Int64Range(-int64(1000*time.Hour), int64(1000*time.Hour)).Draw(t,
				"from")))
		}
		if rapid.Bool().Draw(t, "has until") {
			w.Until = at.Add(time.Duration(rapid.Int64Range(-int64(1000*time.Hour),
				int64(9000*time.Hour)).Draw(t, "until")))
		}
		if !w.From.IsZero() && !w.Until.IsZero() && !w.Until.After(w.From) {
			w.From, w.Until = w.Until, w.From.Add(1)
		}
		window := compileWindow(t, w)
		for range 3 {
			next := window.Next(at)
			staysUntil(t, window, at, next)
			if next.IsZero() {
				return
			}
			at = next
		}
	})
}

// staysUntil requires that nothing changes from the instant until just before the next, and that something does then.
func staysUntil(t *rapid.T, window *window.Compiled, at, next time.Time) {
	open := window.Open(at)
	end := next
	if next.IsZero() {
		end = at.AddDate(45, 0, 0)
	} else {
		require.True(t, next.After(at), "%s is not after %s", next, at)
		require.NotEqual(t, open, window.Open(next), "no change at %s", next)
		require.Equal(t, open, window.Open(next.Add(-1)), "a change before %s", next)
	}
	same := func(sample time.Time) {
		if sample.After(at) && sample.Before(end) && window.Open(sample) != open {
			require.Fail(t, "a change is missed", "between %s and %s: at %s", at, next, sample)
		}
	}
	for m := range 1500 { // some odd seconds too
		same(at.Add(time.Duration(m) * time.Minute))
		same(at.Add(time.Duration(m) * 59 * time.Minute))
		same(end.Add(-time.Duration(m) * time.Minute))
	}
	for _, step := range []time.Duration{end.Sub(at) / 1511, 24 * time.Hour} {
		for sample, n := at, 0; sample.Before(end) && n < 3000; n++ {
			sample = sample.Add(max(step, time.Second))
			same(sample)
		}
	}
}

// reference answers by looking at the clock in every minute around.
type reference struct {
	start time.Time
	shown []int64 // minutes of local time, as if the zone were UTC
}

func newReference(zone string, around time.Time) reference {
	location, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	r := reference{start: around.Truncate(time.Minute).Add(-96 * time.Hour)}
	for m := range 8 * 1440 {
		at := r.start.Add(time.Duration(m) * time.Minute).In(location)
		_, offset := at.Zone()
		r.shown = append(r.shown, (at.Unix()+int64(offset))/60)
	}
	return r
}

// first returns the minute that first shows the local minute or a later one.
func (r reference) first(local int64) int {
	for m := r.near(local, -dayAndMore); m < len(r.shown); m++ {
		if r.shown[m] >= local {
			return m
		}
	}
	return len(r.shown)
}

// dayAndMore is more minutes than any clock was ever set on or back.
const dayAndMore = 1500

// near returns where a local minute would be if no clock was set, and some minutes off; looking begins there.
func (r reference) near(local int64, off int) int {
	return min(max(int(local-r.shown[0])+off, 0), len(r.shown)-1)
}

// last returns the minute that shows the local minute last or, where none does, is the first beyond.
func (r reference) last(local int64) int {
	for m := r.near(local, dayAndMore); m >= 0; m-- {
		switch {
		case r.shown[m] == local && local%1440 != 0:
			return m
		case r.shown[m] < local:
			return m + 1
		}
	}
	return 0
}

func TestWindowWeeklyAgreesWithTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := drawZone(t)
		around := drawInstant(t, zone)
		clock := newReference(zone, around)
		want := make([]bool, len(clock.shown))
		w := window.Window{Zone: zone}
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			entry, onDays, from, to := drawWeekly(t)
			w.Weekly = append(w.Weekly, entry)
			for day := clock.shown[0]/1440 + 1; day < clock.shown[0]/1440+7; day++ {
				for _, d := range onDays {
					if (day+4)%7 != int64(d) { // 1 January 1970 was a Thursday
						continue
					}
					for m := clock.first(day*1440 + int64(from)); m < clock.last(day*1440+int64(to)); m++ {
						want[m] = true
					}
				}
			}
		}
		window := compileWindow(t, w)
		for m := 3 * 1440; m < 5*1440; m++ {
			at := clock.start.Add(time.Duration(m) * time.Minute)
			if window.Open(at) != want[m] {
				require.Fail(t, "the clock says otherwise", "%s: %t", at, want[m])
			}
		}
	})
}

func TestWindowCronAgreesWithTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := drawZone(t)
		around := drawInstant(t, zone)
		clock := newReference(zone, around)
		minute, hour := rapid.IntRange(0, 59).Draw(t, "minute"), rapid.IntRange(0, 23).Draw(t, "hour")
		step := rapid.SampledFrom([]int{1, 5, 17, 60}).Draw(t, "step")
		length := rapid.IntRange(1, 2000).Draw(t, "minutes")

		want := make([]bool, len(clock.shown))
		for day := clock.shown[0]/1440 + 1; day < clock.shown[0]/1440+7; day++ {
			for begin := minute; begin < 60; begin += step {
				first := clock.first(day*1440 + int64(hour*60+begin))
				for m := first; m < min(first+length, len(want)); m++ {
					want[m] = true
				}
			}
		}
		cron := fmt.Sprintf("%d-59/%d %d * * *", minute, step, hour)
		window := compileWindow(t, crons(zone, cron, time.Duration(length)*time.Minute))
		for m := 3 * 1440; m < 5*1440; m++ {
			at := clock.start.Add(time.Duration(m) * time.Minute)
			if window.Open(at) != want[m] {
				require.Fail(t, "the clock says otherwise", "%s: %t", at, want[m])
			}
		}
	})
}

func FuzzWindow(f *testing.F) {
	f.Add("Mon-Fri 08:00-18:00", "", "Europe/Berlin", int64(0), int64(0), int64(0))
	f.Add("Sat 22:00-02:00\nSun", "", "Australia/Lord_Howe", int64(0), int64(0), int64(1<<40))
	f.Add("", "0 0 29 2 *", "", int64(time.Hour), int64(0), int64(0))
	f.Add("", "* * 1-30 * 0-5", "Asia/Tokyo", int64(24*time.Hour), int64(0), int64(-1<<62))
	f.Add("", "TZ=0", "America/New_York", int64(time.Hour), int64(5), int64(6))
	f.Add("", "*/99999999999999999999 * * * *", "Local", int64(1), int64(math.MinInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, entries, cron, zone string, length, from, at int64) {
		w := window.Window{Zone: zone, Cron: cron, For: window.Duration(length)}
		if entries != "" {
			w.Weekly = strings.Split(entries, "\n")
		}
		if from != 0 {
			w.From = time.Unix(from, 0)
		}
		window, err := window.Compile(w)
		if err != nil {
			require.NotEmpty(t, err.Error())
			require.Negative(t, strings.IndexFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }), "%q",
				err.Error())
			return
		}
		now := time.Unix(at, 0)
		next := window.Next(now)
		if next.IsZero() {
			return
		}
		require.True(t, next.After(now))
		require.NotEqual(t, window.Open(now), window.Open(next))
		require.Equal(t, window.Open(now), window.Open(next.Add(-1)))
	})
}

func BenchmarkWindow(b *testing.B) {
	at := moment(b, "2026-06-03T10:00:00Z")
	for name, w := range map[string]window.Window{
		"weekly":                      weekly("Europe/Berlin", "Mon-Fri 08:00-18:00"),
		"cron":                        crons("Europe/Berlin", "0 9 * * 1-5", 8*time.Hour),
		"leap day":                    crons("Europe/Berlin", "0 0 29 2 *", 24*time.Hour),
		"never closes":                crons("", "* * * * *", time.Minute),
		"never closes, DST":           crons("Europe/Berlin", "* * * * *", 61*time.Minute),
		"never closes, days left out": crons("Europe/Berlin", "* * 1-30 * 0-5", 49*time.Hour),
		"a rare gap":                  crons("Europe/Berlin", "* * 1-30 * 0-5", 61*time.Minute),
	} {
		b.Run(name, func(b *testing.B) {
			window := compileWindow(b, w)
			for b.Loop() {
				window.Open(at)
				window.Next(at)
			}
		})
	}
}
