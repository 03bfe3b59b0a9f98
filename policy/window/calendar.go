package window

import (
	"math/bits"
	"slices"
	"time"
)

// Calendar is the instants that a cron expression names in a zone, with the one meaning that cron expressions have in a
// policy. Where both the day of the month and the day of the week are restricted, either is enough. A time that the
// clock jumps over comes when it jumps, and one that it shows twice comes the first time.
type Calendar struct {
	spans *cronSpans
	clock clock
	zone  string
}

// NewCalendar reads a cron expression of five fields; an empty zone is UTC. The error says what to write instead.
func NewCalendar(expression, zone string) (*Calendar, error) {
	w, err := Compile(Window{Cron: expression, Zone: zone, For: Duration(time.Minute)})
	if err != nil {
		return nil, err
	}
	return &Calendar{w.spans.(*cronSpans), w.clock, zone}, nil
}

// Next returns the first instant after the given one, in UTC; zero when none comes any more.
func (c *Calendar) Next(after time.Time) time.Time {
	now := bounded(after).Unix()
	begin, found := c.spans.after(c.clock.highest(now))
	for found {
		if at := c.clock.first(begin); at > now {
			return comes(time.Unix(at, 0))
		}
		begin, found = c.spans.after(begin)
	}
	return time.Time{}
}

// Fields are the whole minutes at which all fields match. A field that is nil matches always.
type Fields struct {
	Years, Months, Days, Weekdays []int
	Hours, Minutes                []int
}

// Fields returns the calendar as fields that a scheduler matches against the clock of the zone it returns, each on its
// own; the instants of the calendar are those that match any. Where the zone changes its clock, they are in UTC, since
// schedulers leave out what such a clock jumps over and double what it shows twice, and they end after so many years.
func (c *Calendar) Fields(from time.Time, years int) (zone string, all []Fields) {
	until := from.AddDate(years, 0, 0)
	if c.steady(from, until) {
		return c.zone, c.spans.fields()
	}
	return "UTC", c.dated(from, until)
}

// steady reports whether the zone leaves its clock alone.
func (c *Calendar) steady(from, until time.Time) bool {
	offset, end := c.clock.offset(from.Unix())
	for end < until.Unix() {
		next, later := c.clock.offset(end)
		if next != offset {
			return false
		}
		end = later
	}
	return true
}

// fields returns the expression's own.
func (s *cronSpans) fields() []Fields {
	f := Fields{Months: listed(s.month, 1, 12)}
	for _, t := range s.times {
		hour, minute := int(t)/3600, int(t)/60%60
		if !slices.Contains(f.Hours, hour) {
			f.Hours = append(f.Hours, hour)
		}
		if !slices.Contains(f.Minutes, minute) {
			f.Minutes = append(f.Minutes, minute)
		}
	}
	slices.Sort(f.Minutes)
	days, weekdays := f, f
	days.Days, weekdays.Weekdays = listed(s.dom, 1, 31), listed(s.dow, 0, 6)
	if s.anyDay {
		days.Weekdays = weekdays.Weekdays
		return []Fields{days}
	}
	return []Fields{days, weekdays}
}

// listed returns the bits that are set; nil when all are.
func listed(set uint64, first, last int) (all []int) {
	for i := first; i <= last; i++ {
		if set>>i&1 == 1 {
			all = append(all, i)
		}
	}
	if len(all) == last-first+1 {
		return nil
	}
	return all
}

// minutesSet are minutes of a day, an hour to an element.
type minutesSet [24]uint64

// dated writes the instants out by the days of UTC on which they are.
func (c *Calendar) dated(from, until time.Time) (all []Fields) {
	sets := map[int64]*minutesSet{} // by day since 1970
	note := func(at int64) {
		d := floor(at, secondsOfDay)
		if sets[d] == nil {
			sets[d] = &minutesSet{}
		}
		minute := (at - d*secondsOfDay) / 60
		sets[d][minute/60] |= 1 << (minute % 60)
	}
	for d := floor(from.Unix(), secondsOfDay) - 1; d <= floor(until.Unix(), secondsOfDay); d++ {
		if !c.spans.on(d) {
			continue
		}
		midnight := d * secondsOfDay
		first := c.clock.first(midnight)
		offset, change := c.clock.offset(first)
		plain := first+offset == midnight && change >= first+secondsOfDay // the clock is left alone on this day
		for _, t := range c.spans.times {
			if plain {
				note(first + t)
			} else {
				note(c.clock.first(midnight + t))
			}
		}
	}
	type month struct {
		year, month int
		set         minutesSet
	}
	days := map[month][]int{} // on which the minutes are the same
	var order []month
	for d := floor(from.Unix(), secondsOfDay) - 2; d <= floor(until.Unix(), secondsOfDay)+1; d++ {
		if sets[d] == nil {
			continue
		}
		y, m, date := time.Unix(d*secondsOfDay, 0).UTC().Date()
		key := month{y, int(m), *sets[d]}
		if days[key] == nil {
			order = append(order, key)
		}
		days[key] = append(days[key], date)
	}
	for _, key := range order {
		for _, f := range key.set.fields() {
			f.Years, f.Months, f.Days = []int{key.year}, []int{key.month}, days[key]
			all = append(all, f)
		}
	}
	return all
}

// fields returns the hours that have the same minutes, together.
func (s minutesSet) fields() (all []Fields) {
	var done [24]bool
	for hour, minutes := range s {
		if minutes == 0 || done[hour] {
			continue
		}
		var f Fields
		for other := hour; other < 24; other++ {
			if s[other] == minutes {
				f.Hours, done[other] = append(f.Hours, other), true
			}
		}
		for rest := minutes; rest != 0; rest &= rest - 1 {
			f.Minutes = append(f.Minutes, bits.TrailingZeros64(rest))
		}
		all = append(all, f)
	}
	return all
}
