package evidence

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// step is an entry of the log about the review as a whole.
type step struct {
	At, Exact, What, By, Text string
}

var steps = map[string]string{
	access.EventOpened:    "opened",
	access.EventStage:     "stage begun",
	access.EventExtended:  "extended",
	access.EventReopened:  "reopened",
	access.EventFallback:  "fallback reviewers asked",
	access.EventEscalated: "owner asked",
	access.EventClosed:    "deciding ended",
	access.EventCancelled: "cancelled",
	access.EventEnded:     "ended",
}

// counted are the kinds of event of which there are many, in the order in which their numbers are told.
var counted = []struct{ kind, one, many string }{
	{access.EventDecided, "decision", "decisions"},
	{access.EventCommented, "later comment", "later comments"},
	{access.EventDelegated, "delegation", "delegations"},
	{access.EventReopened, "item reopened", "items reopened"},
	{access.EventReminded, "notice to a reviewer", "notices to reviewers"},
	{access.EventFallback, "call of fallback reviewers", "calls of fallback reviewers"},
	{access.EventEscalated, "call of the owner", "calls of the owner"},
	{access.EventSeen, "opening of a reviewer's page or list", "openings of a reviewer's page or list"},
}

// course is how the review went as a whole, and the rest of the log in numbers.
func course(events []access.ReviewEvent) (course []step, rest string) {
	many := make(map[string]int)
	for _, e := range events {
		what, whole := steps[e.Kind]
		if !whole || e.Item != 0 {
			many[e.Kind]++
			continue
		}
		if e.Kind == access.EventStage {
			what = fmt.Sprintf("stage %d begun", e.Stage)
		}
		course = append(course, step{minute(e.At), e.At.UTC().Format(time.RFC3339), what,
			cmp.Or(e.ByEmail, e.By), e.Text})
	}
	var parts []string
	for _, c := range counted {
		if n := many[c.kind]; n > 0 {
			parts = append(parts, some(n, c.one, c.many))
		}
	}
	return course, strings.Join(parts, ", ")
}
