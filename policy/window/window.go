// Package window is about times: spans as people write them, cron, and the windows in which rules are in force. It is
// pure.
package window

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata"
	"unicode/utf8"
)

// Window is when a rule is in force. The zero value is always.
type Window struct {
	From   time.Time `json:"from,omitzero"`  // inclusive; zero: since ever
	Until  time.Time `json:"until,omitzero"` // exclusive; zero: for ever
	Zone   string    `json:"zone,omitempty"` // IANA name for Weekly and Cron; "" is UTC
	Weekly []string  `json:"weekly,omitempty"`
	Cron   string    `json:"cron,omitempty"` // beginnings, five fields
	For    Duration  `json:"for,omitzero"`   // how long each lasts; only and always with Cron
}

const (
	MaxWeekly     = 50  // entries
	maxWindowText = 200 // characters of a weekly entry or of cron
	maxFor        = 366 * Day
)

// Check returns what is wrong, and what to write instead.
func (w Window) Check() error {
	_, err := Compile(w)
	return err
}

// Always reports whether the rule is in force at every instant.
func (w Window) Always() bool {
	c, err := Compile(w)
	return err == nil && c.Always()
}

// Open reports whether the rule is in force at the instant. A window that Check refuses is never open.
func (w Window) Open(at time.Time) bool {
	c, err := Compile(w)
	return err == nil && c.Open(at)
}

// Next returns the next instant after the given one at which Open changes; zero when it does not change any more.
func (w Window) Next(after time.Time) time.Time {
	c, err := Compile(w)
	if err != nil {
		return time.Time{}
	}
	return c.Next(after)
}

// Compiled answers for a window without reading its texts again. It is safe for concurrent use.
type Compiled struct {
	from, until time.Time
	spans       spans // nil: at all times
	clock       clock
}

// Compile reads a window. The error is that of Check.
func Compile(w Window) (*Compiled, error) {
	if err := w.shape(); err != nil {
		return nil, err
	}
	c := &Compiled{from: w.From, until: w.Until, clock: clock{time.UTC}}
	if w.Zone != "" {
		zone, err := time.LoadLocation(w.Zone)
		if err != nil || w.Zone == "Local" { // which differs from machine to machine
			return nil, fmt.Errorf("zone %s is not known; write a name of the IANA database, for example Europe/Berlin or UTC", quoted(w.Zone))
		}
		c.clock.zone = zone
	}
	var err error
	switch {
	case len(w.Weekly) > 0:
		c.spans, err = newWeekSpans(w.Weekly, c.clock)
	case w.Cron != "":
		c.spans, err = newCronSpans(w.Cron, w.For.Std(), c.clock)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// shape judges how the fields go together.
func (w Window) shape() error {
	switch {
	case !w.From.IsZero() && !w.Until.IsZero() && !w.Until.After(w.From):
		return fmt.Errorf("until %s is not after from %s; write a later until, or leave it out", Exactly(w.Until),
			Exactly(w.From))
	case len(w.Weekly) > 0 && w.Cron != "":
		return errors.New("weekly and cron are both there; write one of them")
	case w.Zone != "" && len(w.Weekly) == 0 && w.Cron == "":
		return fmt.Errorf("zone %s says nothing without weekly or cron; write one of them, or leave zone out",
			quoted(w.Zone))
	case w.For != 0 && w.Cron == "":
		return fmt.Errorf("for %s says nothing without cron; write when it begins, for example cron: \"0 9 * * 1-5\", or leave for out", w.For)
	case w.Cron != "" && w.For == 0:
		return fmt.Errorf("cron %s says only when the rule comes into force; write for how long too, for example for: 2h", quoted(w.Cron))
	case w.For < 0:
		return fmt.Errorf("for %s is less than nothing; write a duration, for example 30m, 2h30m or 7d", w.For)
	case w.For > Duration(maxFor):
		return fmt.Errorf("for %s is too long; write at most %s", w.For, Duration(maxFor))
	case len(w.Weekly) > MaxWeekly:
		return fmt.Errorf("weekly has %d entries; write at most %d, joining days such as Mon,Wed or Mon-Fri",
			len(w.Weekly), MaxWeekly)
	case utf8.RuneCountInString(w.Cron) > maxWindowText:
		return fmt.Errorf("cron %s is longer than %d characters; shorten it", quoted(w.Cron), maxWindowText)
	}
	return nil
}

// Exactly returns an instant as people write it, in all its detail.
func Exactly(t time.Time) string { return t.Format(time.RFC3339Nano) }

// quoted returns a text on one line, cut where nobody would read on.
func quoted(s string) string {
	if runes := []rune(s); len(runes) > 60 {
		s = string(runes[:60]) + "..."
	}
	return fmt.Sprintf("%q", s)
}

// Always reports whether the window is open at every instant.
func (c *Compiled) Always() bool {
	return c.spans == nil && c.from.IsZero() && c.until.IsZero()
}

// Open reports whether the window is open at the instant.
func (c *Compiled) Open(at time.Time) bool {
	if !c.from.IsZero() && at.Before(c.from) || !c.until.IsZero() && !at.Before(c.until) {
		return false
	}
	_, open := c.current(bounded(at))
	return open
}

// Next returns the next instant after the given one at which Open changes; zero when it does not change any more.
func (c *Compiled) Next(after time.Time) time.Time {
	if !c.until.IsZero() && !after.Before(c.until) {
		return time.Time{}
	}
	now := bounded(after)
	if !c.from.IsZero() && after.Before(c.from) {
		now = bounded(c.from)
	}
	begin, open := c.current(now)
	if open && !c.from.IsZero() && after.Before(c.from) {
		return c.from.UTC()
	}
	var change time.Time
	switch {
	case c.spans == nil:
	case open:
		change = c.closes(begin)
	default:
		change = c.opens(now)
	}
	if !c.until.IsZero() && (change.IsZero() || !change.Before(c.until)) {
		if open {
			return c.until.UTC()
		}
		return time.Time{}
	}
	return change
}

// spans are times of the local clock at which the window opens, and for how long. Such a time is counted in seconds as
// if the zone were UTC. A later one neither opens nor closes before an earlier one; they may overlap.
type spans interface {
	before(local int64) (int64, bool) // the last at the time or before it
	after(local int64) (int64, bool)  // the first after the time
	end(local int64) time.Time        // when the one that begins at the time is over
	// one before the limit, so that no gap lies between the two; itself if none is known
	run(local, limit int64) int64
}

// Beyond these instants nothing changes any more, so that no arithmetic runs over.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

func bounded(at time.Time) time.Time {
	switch {
	case at.Before(earliest):
		return earliest
	case at.After(latest):
		return latest
	}
	return at
}

// ahead is how far Next looks, in seconds. Days of the week and leap days come round after 28 years, or 40 across the
// end of a century: what has not changed by then never does.
const ahead = 41 * 366 * secondsOfDay

// current returns the last beginning until now, and whether the window is open by it.
func (c *Compiled) current(now time.Time) (int64, bool) {
	if c.spans == nil {
		return 0, true
	}
	begin, found := c.spans.before(c.clock.highest(now.Unix()))
	return begin, found && now.Before(c.spans.end(begin))
}

// closes returns when the window, open by this beginning, closes.
func (c *Compiled) closes(begin int64) time.Time {
	for horizon := begin + ahead; begin < horizon; {
		end := c.spans.end(begin)
		further, _ := c.spans.before(c.clock.highest(end.Unix()))
		first := c.clock.first(begin)
		offset, until := c.clock.offset(first)
		further = max(further, c.spans.run(begin, min(until+offset, horizon)))
		if further == begin {
			return comes(end)
		}
		begin = further
	}
	return time.Time{}
}

// opens returns when the window, closed now, opens.
func (c *Compiled) opens(now time.Time) time.Time {
	begin, found := c.spans.after(c.clock.highest(now.Unix()))
	for found {
		first := c.clock.first(begin)
		if c.spans.end(begin).After(time.Unix(first, 0)) { // not all of it was jumped over
			return comes(time.Unix(first, 0))
		}
		begin, found = c.spans.after(begin)
	}
	return time.Time{}
}

// comes returns the instant, or zero when it is beyond all that can come.
func comes(change time.Time) time.Time {
	if change.After(latest) {
		return time.Time{}
	}
	return change.UTC()
}

const (
	secondsOfDay = int64(Day / time.Second)
	never        = int64(1) << 60
	reach        = 17 * 3600 // no zone is or was further from UTC
)

// clock is what the clocks of a zone show. Local times are counted in seconds as if the zone were UTC.
type clock struct{ zone *time.Location }

// offset returns what the local time is ahead at the instant, and until when it stays so at least.
func (c clock) offset(at int64) (offset, until int64) {
	t := time.Unix(at, 0).In(c.zone)
	_, seconds := t.Zone()
	_, end := t.ZoneBounds()
	switch {
	case end.IsZero():
		return int64(seconds), never
	case end.Unix() <= at: // on the last day of a leap year package time answers with where that day begins
		return int64(seconds), (floor(at, secondsOfDay) + 1) * secondsOfDay
	}
	return int64(seconds), end.Unix()
}

// first returns the first instant at which the clock shows the local time or, having jumped over it, a later one.
func (c clock) first(local int64) int64 {
	for at := local - reach; ; {
		offset, until := c.offset(at)
		if local-offset < until {
			return max(local-offset, at)
		}
		at = until
	}
}

// last returns the last instant at which the clock comes to the local time, or jumps over it. Midnight is where the day
// before ends: a clock that is put back to midnight is not in that day again.
func (c clock) last(local int64) int64 {
	shown := local
	if shown%secondsOfDay == 0 {
		shown--
	}
	last := int64(0)
	for at := local - reach; at <= local+reach; {
		offset, until := c.offset(at)
		if at+offset <= shown {
			last = min(local-offset, until)
		}
		at = until
	}
	return last
}

// highest returns the latest local time that the clock has shown until the instant, which is not the one it shows when
// it was put back lately.
func (c clock) highest(now int64) int64 {
	highest := -never
	for at := now - 2*reach; ; {
		offset, until := c.offset(at)
		highest = max(highest, min(until-1, now)+offset)
		if until > now {
			return highest
		}
		at = until
	}
}

// floor is a/b rounded down, also below zero.
func floor(a, b int64) int64 {
	if q := a / b; a%b >= 0 {
		return q
	} else {
		return q - 1
	}
}
