package evidence

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

// milestone is a log entry about the review as a whole.
type milestone struct {
	At, Exact, What, By, Text string
}

var milestoneNames = map[string]string{
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

// countedKinds are the kinds of event that are only counted, in the order in which they are listed.
var countedKinds = []struct{ kind, one, many string }{
	{access.EventDecided, "decision", "decisions"},
	{access.EventCommented, "later comment", "later comments"},
	{access.EventDelegated, "delegation", "delegations"},
	{access.EventReopened, "item reopened", "items reopened"},
	{access.EventReminded, "notice to a reviewer", "notices to reviewers"},
	{access.EventFallback, "call of fallback reviewers", "calls of fallback reviewers"},
	{access.EventEscalated, "call of the owner", "calls of the owner"},
	{access.EventSeen, "opening of a reviewer's page or list", "openings of a reviewer's page or list"},
}

// all returns the review's milestones, and the numbers of all other events.
func all(events []access.ReviewEvent) (all []milestone, others string) {
	counts := make(map[string]int)
	for _, e := range events {
		what, known := milestoneNames[e.Kind]
		if !known || e.Item != 0 {
			counts[e.Kind]++
			continue
		}
		if e.Kind == access.EventStage {
			what = fmt.Sprintf("stage %d begun", e.Stage)
		}
		all = append(all, milestone{formatMinute(e.At), e.At.UTC().Format(time.RFC3339), what,
			cmp.Or(e.ByEmail, e.By), e.Text})
	}
	var parts []string
	for _, c := range countedKinds {
		if n := counts[c.kind]; n > 0 {
			parts = append(parts, display.Count(n, c.one, c.many))
		}
	}
	return all, strings.Join(parts, ", ")
}
