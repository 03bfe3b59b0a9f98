package session

import (
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// Date returns a day for people; "" for the zero time.
func Date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// Timestamp returns an instant for people.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// CountOf returns a count in words: "1 person", "2 people".
func CountOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// CountPeople returns a count of people in words.
func CountPeople(n int) string { return CountOf(n, "person", "people") }

// ReasonsInWords returns why somebody holds something.
func ReasonsInWords(reasons []access.Reason) string {
	if len(reasons) == 0 {
		return "nothing that is known"
	}
	return access.ReasonsInWords(reasons)
}

// RunMessage returns a run of the ledger as a message.
func RunMessage(r ledger.Run) messages.RunSummary {
	c := r.Counts
	sum := messages.RunSummary{
		Run: r.ID, Trigger: r.Trigger, Scope: r.Scope, By: r.By, State: r.State, Plan: r.Plan, DryRun: r.DryRun,
		Started: r.Started, Ended: r.Ended, Reported: len(r.Findings),
		Counts: messages.Counts{
			People: c.People, Calls: c.Calls, Adds: c.Adds, Removals: c.Removals, Adopts: c.Adopts,
			Updates: c.Updates, Held: c.Held,
			Suppressed: c.Suppressed, Foreign: c.Foreign, Done: c.Done, Already: c.Already, Shortage: c.Shortage,
			Refused: c.Refused, Superseded: c.Superseded, Failed: c.Failed, Verified: c.Verified,
			Unverified: c.Unverified,
		},
	}
	if r.Problem != "" || r.ProblemKind != "" {
		sum.Problem = &messages.Problem{Kind: r.ProblemKind, Message: r.Problem}
	}
	return sum
}
