package window

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	minutesOfDay  = 24 * 60
	minutesOfWeek = 7 * minutesOfDay
	secondsOfWeek = 7 * secondsOfDay
	firstSunday   = 3 * secondsOfDay // of the year 1970
)

// weekSpans are the same in every week. Beginnings are seconds of a week that begins on Sunday, in order.
type weekSpans struct {
	begins, lengths []int64
	clock           clock
}

// newWeekSpans reads weekly entries. Those that together leave no minute out are nil: at all times.
func newWeekSpans(entries []string, c clock) (spans, error) {
	var open [minutesOfWeek]bool
	for _, entry := range entries {
		if err := markWeek(&open, entry); err != nil {
			return nil, err
		}
	}
	w := &weekSpans{clock: c}
	for begin := range open {
		if !open[begin] || open[(begin+minutesOfWeek-1)%minutesOfWeek] {
			continue
		}
		length := 1
		for open[(begin+length)%minutesOfWeek] {
			length++
		}
		w.begins = append(w.begins, int64(begin)*60)
		w.lengths = append(w.lengths, int64(length)*60)
	}
	if len(w.begins) == 0 {
		return nil, nil
	}
	return w, nil
}

// markWeek marks the minutes of an entry such as "Mon-Fri 08:00-18:00".
func markWeek(open *[minutesOfWeek]bool, entry string) error {
	if utf8.RuneCountInString(entry) > maxWindowText {
		return fmt.Errorf("weekly entry %s is longer than %d characters; shorten it", quoted(entry), maxWindowText)
	}
	parts := strings.Fields(entry)
	if len(parts) < 1 || len(parts) > 2 {
		return fmt.Errorf("weekly entry %s is not days and times with one space between; write for example Mon-Fri 08:00-18:00", quoted(entry))
	}
	days, err := readDays(parts[0])
	if err != nil {
		return fmt.Errorf("weekly entry %s: %w", quoted(entry), err)
	}
	from, to := 0, minutesOfDay
	if len(parts) == 2 {
		if from, to, err = readTimes(parts[1]); err != nil {
			return fmt.Errorf("weekly entry %s: %w", quoted(entry), err)
		}
	}
	for d, named := range days {
		for minute := from; named && minute < to; minute++ {
			open[(d*minutesOfDay+minute)%minutesOfWeek] = true
		}
	}
	return nil
}

// readDays reads *, Sat, Mon-Fri or Mon,Wed. A range may go over the end of the week: Fri-Mon.
func readDays(text string) (days [7]bool, err error) {
	if text == "*" {
		return [7]bool{true, true, true, true, true, true, true}, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := readDay(from)
		if err != nil {
			return days, err
		}
		last, err := readDay(to)
		if err != nil {
			return days, err
		}
		for d := first; ; d = (d + 1) % 7 {
			days[d] = true
			if d == last {
				break
			}
		}
	}
	return days, nil
}

func readDay(text string) (int, error) {
	d := slices.IndexFunc([]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}, func(name string) bool {
		return strings.EqualFold(name, text)
	})
	if d < 0 {
		return 0, fmt.Errorf("%s is no day; write Mon, Tue, Wed, Thu, Fri, Sat or Sun, days such as Mon-Fri or Mon,Wed, or * for all", quoted(text))
	}
	return d, nil
}

var timesForm = regexp.MustCompile(`^([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])$`)

// readTimes reads 08:00-18:00 as minutes of the day; over midnight the second is one of the next day.
func readTimes(text string) (from, to int, err error) {
	m := timesForm.FindStringSubmatch(text)
	if m == nil {
		return 0, 0, fmt.Errorf("%s is not from when to when; write two times of a day, for example 08:00-18:00",
			quoted(text))
	}
	minutes := func(hour, minute string) int {
		h, _ := strconv.Atoi(hour) // the pattern lets only numbers through
		m, _ := strconv.Atoi(minute)
		return h*60 + m
	}
	from, to = minutes(m[1], m[2]), minutes(m[3], m[4])
	switch {
	case from >= minutesOfDay || to > minutesOfDay:
		return 0, 0, fmt.Errorf("%s goes past the end of the day; begin at 23:59 at the latest, end at 24:00, or write 22:00-02:00 to go over midnight", quoted(text))
	case from == to:
		return 0, 0, fmt.Errorf("%s ends when it begins; write 00:00-24:00 for the whole day", quoted(text))
	case to < from:
		to += minutesOfDay
	}
	return from, to, nil
}

func (w *weekSpans) before(local int64) (int64, bool) {
	week := floor(local-firstSunday, secondsOfWeek)*secondsOfWeek + firstSunday
	i, exact := slices.BinarySearch(w.begins, local-week)
	if exact {
		return local, true
	}
	if i == 0 {
		return week - secondsOfWeek + w.begins[len(w.begins)-1], true
	}
	return week + w.begins[i-1], true
}

func (w *weekSpans) after(local int64) (int64, bool) {
	week := floor(local-firstSunday, secondsOfWeek)*secondsOfWeek + firstSunday
	i, _ := slices.BinarySearch(w.begins, local-week+1)
	if i == len(w.begins) {
		return week + secondsOfWeek + w.begins[0], true
	}
	return week + w.begins[i], true
}

func (w *weekSpans) end(local int64) time.Time {
	week := floor(local-firstSunday, secondsOfWeek)*secondsOfWeek + firstSunday
	i, _ := slices.BinarySearch(w.begins, local-week)
	return time.Unix(w.clock.last(local+w.lengths[i]), 0)
}

func (w *weekSpans) run(local, _ int64) int64 { return local } // there is a gap after each
