package window

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// cronSpans begin by a cron expression and last equally long.
type cronSpans struct {
	dom, month, dow uint64        // bits
	anyDay          bool          // dom or dow is *: both must agree; otherwise one is enough
	times           []int64       // of a day that agrees, in seconds
	gap             time.Duration // the longest between two of them
	length          time.Duration
	clock           clock
}

const cronStar = 1 << 63 // the library's mark of a field that is *

var (
	cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

	// The library panics on TZ= and takes empty parts, a sign and ? besides.
	cronForm = regexp.MustCompile(`^((\*|\w+(-\w+)?)(/[0-9]+)?)(,(\*|\w+(-\w+)?)(/[0-9]+)?)*$`)

	cronFields = []struct{ name, instead string }{
		{"minute", "0 to 59"},
		{"hour", "0 to 23"},
		{"day of the month", "1 to 31"},
		{"month", "1 to 12 or JAN to DEC"},
		{"day of the week", "0 to 7 or SUN to SAT, Sunday being 0 or 7"},
	}
)

// newCronSpans reads a cron expression.
func newCronSpans(text string, length time.Duration, c clock) (spans, error) {
	schedule, err := readCron(text)
	if err != nil {
		return nil, fmt.Errorf("cron %s: %w", quoted(text), err)
	}
	s := &cronSpans{
		dom: schedule.Dom, month: schedule.Month, dow: schedule.Dow,
		anyDay: (schedule.Dom|schedule.Dow)&cronStar != 0,
		length: length, clock: c,
	}
	for minute := range minutesOfDay {
		if schedule.Hour>>(minute/60)&1 == 1 && schedule.Minute>>(minute%60)&1 == 1 {
			s.times = append(s.times, int64(minute)*60)
		}
	}
	for i, t := range s.times[1:] {
		s.gap = max(s.gap, time.Duration(t-s.times[i])*time.Second)
	}
	if _, found := s.after(0); !found {
		return nil, fmt.Errorf("cron %s never comes, since no month that it names has such a day; write another day or month", quoted(text))
	}
	return s, nil
}

func readCron(text string) (*cron.SpecSchedule, error) {
	fields := strings.Fields(text)
	if len(fields) != len(cronFields) {
		return nil, errors.New("write five fields: minute, hour, day of the month, month and day of the week, for example 0 9 * * 1-5")
	}
	fields[4] = sundays(fields[4])
	for i, field := range fields { // one by one, to name the wrong one
		alone := []string{"*", "*", "*", "*", "*"}
		alone[i] = field
		if cronForm.MatchString(field) {
			if _, err := cronParser.Parse(strings.Join(alone, " ")); err == nil {
				continue
			}
		}
		return nil, fmt.Errorf("the %s cannot be %s; write %s, several as 1,3 or 1-5, every second as */2, or * for all",
			cronFields[i].name, quoted(field), cronFields[i].instead)
	}
	schedule, err := cronParser.Parse(strings.Join(fields, " "))
	if err != nil {
		return nil, errors.New("it cannot be read; write for example 0 9 * * 1-5")
	}
	return schedule.(*cron.SpecSchedule), nil
}

// upToSunday is a part of the day of the week that ends with 7, which most crons take for Sunday and the library does
// not.
var upToSunday = regexp.MustCompile(`^(?:([0-7])-)?7(?:/([1-7]))?$`)

// sundays writes 7 as 0.
func sundays(field string) string {
	var days []string
	for part := range strings.SplitSeq(field, ",") {
		is := upToSunday.FindStringSubmatch(part)
		if is == nil || is[1] == "" && is[2] != "" {
			days = append(days, part)
			continue
		}
		first, step := 7, 1
		if is[1] != "" {
			first = int(is[1][0] - '0')
		}
		if is[2] != "" {
			step = int(is[2][0] - '0')
		}
		for day := first; day <= 7; day += step {
			days = append(days, strconv.Itoa(day%7))
		}
	}
	return strings.Join(days, ",")
}

// on reports whether spans begin on the day, counted from the first of 1970.
func (s *cronSpans) on(number int64) bool {
	t := time.Unix(number*secondsOfDay, 0).UTC()
	_, month, date := t.Date()
	if s.month>>month&1 == 0 {
		return false
	}
	dom, dow := s.dom>>date&1 == 1, s.dow>>t.Weekday()&1 == 1
	if s.anyDay {
		return dom && dow
	}
	return dom || dow
}

// before does not look back further than a span can last, the clock's jumps included.
func (s *cronSpans) before(local int64) (int64, bool) {
	today := floor(local, secondsOfDay)
	for d := today; d >= today-int64(s.length/Day)-3; d-- {
		if !s.on(d) {
			continue
		}
		i := len(s.times)
		if d == today {
			i, _ = slices.BinarySearch(s.times, local-d*secondsOfDay+1)
		}
		if i > 0 {
			return d*secondsOfDay + s.times[i-1], true
		}
	}
	return math.MinInt64, false
}

func (s *cronSpans) after(local int64) (int64, bool) {
	today := floor(local, secondsOfDay)
	for d := today; d < today+ahead/secondsOfDay; d++ {
		if !s.on(d) {
			continue
		}
		i := 0
		if d == today {
			i, _ = slices.BinarySearch(s.times, local-d*secondsOfDay+1)
		}
		if i < len(s.times) {
			return d*secondsOfDay + s.times[i], true
		}
	}
	return 0, false
}

func (s *cronSpans) end(local int64) time.Time {
	return time.Unix(s.clock.first(local), 0).Add(s.length)
}

// run goes from day to day rather than from beginning to beginning: "* * * * *" has half a million in a year.
func (s *cronSpans) run(local, limit int64) int64 {
	reaches := func(from, to int64) bool { return time.Duration(to-from)*time.Second <= s.length }
	if s.gap > s.length {
		return local
	}
	last, today := local, floor(local, secondsOfDay)
	for d := today; reaches(last, d*secondsOfDay); d++ {
		if !s.on(d) {
			continue
		}
		first, final := d*secondsOfDay+s.times[0], d*secondsOfDay+s.times[len(s.times)-1]
		if d > today && !reaches(last, first) || final >= limit {
			break
		}
		last = final
	}
	return last
}
