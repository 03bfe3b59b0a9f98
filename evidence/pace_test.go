package evidence_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/evidence"
)

const second = time.Second

// at returns an event so many seconds after the review opened.
func at(seconds float64, kind, by string, verdict access.Verdict) access.ReviewEvent {
	return access.ReviewEvent{At: monday.Add(time.Duration(math.Round(1000*seconds)) * time.Millisecond), Kind: kind,
		By: by, Via: "page", Verdict: verdict}
}

func seen(seconds float64) access.ReviewEvent { return at(seconds, access.EventSeen, "ana", "") }

func keep(seconds float64) access.ReviewEvent {
	return at(seconds, access.EventDecided, "ana", access.VerdictKeep)
}

func remove(seconds float64) access.ReviewEvent {
	return at(seconds, access.EventDecided, "ana", access.VerdictRemove)
}

// bulk is one act on so many items.
func bulk(seconds float64, items int, via string) []access.ReviewEvent {
	var all []access.ReviewEvent
	for n := range items {
		e := keep(seconds)
		e.Bulk, e.Via, e.Item = items, via, n+1
		all = append(all, e)
	}
	return all
}

// every returns so many decisions, one every so many seconds, the first right then; each tenth is to remove.
func every(seconds float64, times int) []access.ReviewEvent {
	var all []access.ReviewEvent
	for n := range times {
		e := keep(seconds * float64(n+1))
		if n%10 == 9 {
			e.Verdict = access.VerdictRemove
		}
		all = append(all, e)
	}
	return all
}

func TestPaces(t *testing.T) {
	for name, c := range map[string]struct {
		events []access.ReviewEvent
		want   evidence.Pace
	}{
		"one decision, never seen": {[]access.ReviewEvent{keep(7)},
			evidence.Pace{Decisions: 1, Kept: 1, Run: 1, Bulk: 1}},
		"one decision after a look": {[]access.ReviewEvent{seen(1), seen(3), keep(7)},
			evidence.Pace{Decisions: 1, Kept: 1, Timed: 1, Median: 4 * second, Fast: 4 * second, Run: 1, Bulk: 1}},
		"a look between decisions changes nothing": {[]access.ReviewEvent{seen(0), keep(5), seen(14), remove(15)},
			evidence.Pace{Decisions: 2, Kept: 1, Timed: 2, Median: 5 * second, Fast: 5 * second, Run: 1, Bulk: 1}},
		"three gaps": {[]access.ReviewEvent{keep(0), keep(2), remove(12), keep(20)},
			evidence.Pace{Decisions: 4, Kept: 3, Timed: 3, Median: 8 * second, Fast: 2 * second, Run: 2, Bulk: 1}},
		"a clock that went back": {[]access.ReviewEvent{keep(10), remove(5), remove(8)},
			evidence.Pace{Decisions: 3, Kept: 1, Timed: 1, Median: 3 * second, Fast: 3 * second, Run: 1, Bulk: 1}},
		"an act shares its time": {slices.Concat([]access.ReviewEvent{seen(0)}, bulk(12, 4, "page"),
			[]access.ReviewEvent{remove(22)}),
			evidence.Pace{Decisions: 5, Kept: 4, Timed: 5, Median: 3 * second, Fast: 3 * second, Run: 4, Bulk: 4}},
		"two acts, others between": {slices.Concat(bulk(10, 2, "page"),
			[]access.ReviewEvent{at(10, access.EventDecided, "bo", access.VerdictKeep)}, bulk(14, 2, "page")),
			evidence.Pace{Decisions: 4, Kept: 4, Timed: 2, Median: 2 * second, Fast: 2 * second, Run: 4, Bulk: 2}},
		"at one instant, but one by one": {[]access.ReviewEvent{remove(1), remove(1)},
			evidence.Pace{Decisions: 2, Timed: 1, Bulk: 1}},
		"nothing to remark on": {every(3, 19),
			evidence.Pace{Decisions: 19, Kept: 18, Timed: 18, Median: 3 * second, Fast: 3 * second, Run: 9, Bulk: 1}},
		"too quick": {every(2.96, 11),
			evidence.Pace{Decisions: 11, Kept: 10, Timed: 10, Median: 2960 * time.Millisecond,
				Fast: 2960 * time.Millisecond, Run: 9, Bulk: 1,
				Flags: []string{"median 2.9 s per decision over 10 (remarked on under 3 s over 10 or more)"}}},
		"quick, but few": {every(1, 10),
			evidence.Pace{Decisions: 10, Kept: 9, Timed: 9, Median: second, Fast: second, Run: 9, Bulk: 1}},
		"all kept": {slices.Concat(every(60, 9), []access.ReviewEvent{keep(600)}),
			evidence.Pace{Decisions: 10, Kept: 10, Timed: 9, Median: 60 * second, Fast: 60 * second, Run: 10, Bulk: 1,
				Flags: []string{"kept everything, 10 of 10 (remarked on from 10)"}}},
		"a click for 19": {slices.Concat([]access.ReviewEvent{remove(0)}, bulk(600, 19, "page")),
			evidence.Pace{Decisions: 20, Kept: 19, Timed: 19, Median: 600 * second / 19, Fast: 600 * second / 19,
				Run: 19, Bulk: 19}},
		"a click for 40": {slices.Concat([]access.ReviewEvent{remove(0)}, bulk(600, 40, "page")),
			evidence.Pace{Decisions: 41, Kept: 40, Timed: 40, Median: 15 * second, Fast: 15 * second, Run: 40, Bulk: 40,
				Flags: []string{"40 items saved at once (remarked on from 20)",
					"40 keeps in a row (remarked on from 20)"}}},
		"a file": {slices.Concat([]access.ReviewEvent{remove(0)}, bulk(600, 20, "import")),
			evidence.Pace{Decisions: 21, Kept: 20, Timed: 20, Median: 30 * second, Fast: 30 * second, Run: 20, Bulk: 20,
				Flags: []string{"20 items by one file (remarked on from 20)",
					"20 keeps in a row (remarked on from 20)"}}},
		"a command": {slices.Concat(bulk(600, 20, "signal"), []access.ReviewEvent{remove(700)}),
			evidence.Pace{Decisions: 21, Kept: 20, Timed: 1, Median: 100 * second, Fast: 100 * second,
				Run: 20, Bulk: 20,
				Flags: []string{"20 items by one command or file (remarked on from 20)",
					"20 keeps in a row (remarked on from 20)"}}},
	} {
		paces := evidence.Paces(slices.Values(c.events))
		require.NotEmpty(t, paces, name)
		c.want.Reviewer = "ana"
		require.Equal(t, c.want, paces[0], name)
	}
}

func TestPacesByReviewer(t *testing.T) {
	var events []access.ReviewEvent
	for n := range 30 {
		by := []string{"cy", "ana", "bo"}[n%3]
		events = append(events, at(float64(n), access.EventDecided, by, access.VerdictRemove))
	}
	events = append(events,
		at(99, access.EventDecided, "", access.VerdictKeep),      // the clock
		at(99, access.EventReminded, "dee", ""),                  // no decision
		at(99, access.EventSeen, "eve", ""),                      // looked, and left it
		at(99, access.EventCommented, "ana", access.VerdictKeep), // words
	)
	var names []string
	for _, p := range evidence.Paces(slices.Values(events)) {
		names = append(names, fmt.Sprint(p.Reviewer, " ", p.Decisions, " ", p.Median))
	}
	require.Equal(t, []string{"ana 10 3s", "bo 10 3s", "cy 10 3s"}, names)
	require.Empty(t, evidence.Paces(slices.Values([]access.ReviewEvent(nil))))
}
