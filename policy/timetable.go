package policy

import (
	"time"

	"github.com/castellan-io/castellan/policy/window"
)

// TimetableEntry is what a policy has happen by the clock.
type TimetableEntry struct {
	What string      `json:"what"` // as people name it
	Zone string      `json:"zone"` // whose clock counts
	When []time.Time `json:"when"` // the next instants, the first one first
}

// Timetable returns when the policy's campaigns, its governance report and its rules' windows come next, up to so many
// times each. A window's instants are when it opens and when it closes, in turn; see [Window.Open] for which comes
// first.
func (p *Policy) Timetable(after time.Time, times int) (all []TimetableEntry) {
	add := func(what, zone string, next func(time.Time) time.Time) {
		t := TimetableEntry{What: what, Zone: zone}
		if t.Zone == "" {
			t.Zone = "UTC"
		}
		for at := next(after); !at.IsZero() && len(t.When) < times; at = next(at) {
			t.When = append(t.When, at)
		}
		all = append(all, t)
	}
	for i := range p.Reviews {
		if r := &p.Reviews[i]; r.Schedule != "" {
			if c, err := window.NewCalendar(r.Schedule, r.Zone); err == nil { // it was checked when the policy was read
				add("review "+r.Name+" opens", r.Zone, c.Next)
			}
		}
	}
	if g := p.Governance; g != nil {
		if c, err := window.NewCalendar(g.Schedule, g.Zone); err == nil {
			add("governance report", g.Zone, c.Next)
		}
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.During == nil {
			continue
		}
		w, err := window.Compile(*r.During)
		if err != nil || w.Always() {
			continue
		}
		what := "rule " + r.Name + " opens, closes"
		if w.Open(after) {
			what = "rule " + r.Name + ", open now, closes, opens"
		}
		add(what, r.During.Zone, w.Next)
	}
	return all
}
