package campaign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// faultTargets are the operations that faults of a campaign strike.
type faultTargets struct {
	cut    [][]string // those whose pages may lack items; one of the lists at a time
	stale  [][]string // those that may show the past
	reads  []string   // those that go by cursor
	writes []string
	all    []string
	scarce string // one that its rate limit refuses again and again
	more   int    // how much more often than others pages lack items
}

// pick chooses one to three faults.
func pick(random *rand.Rand, at faultTargets) []cloud.Fault {
	kinds := 14
	if at.scarce != "" {
		kinds++
	}
	some := func(lists [][]string) []string { return lists[random.IntN(len(lists))] }
	choice := func() cloud.Fault {
		f := cloud.Fault{Seed: random.Uint64(), Probability: 0.2 + 0.6*random.Float64()}
		kind := random.IntN(kinds + at.more)
		if kind >= kinds {
			kind %= 3
		}
		switch kind {
		case 0:
			f.Kind, f.Operations, f.Params.Next = "emptyPage", some(at.cut), keepOrDrop(random)
		case 1:
			f.Kind, f.Operations, f.Params.Next = "truncatedPage", some(at.cut), keepOrDrop(random)
		case 2:
			f.Kind, f.Operations = "truncatedGroups", []string{"users.search"}
		case 3:
			f.Kind, f.Operations = "repeatedCursor", at.reads
		case 4:
			f.Kind, f.Operations, f.Params.Status, f.Params.RetryAfter = "status", at.all, 429, "1"
		case 5:
			f.Kind, f.Operations, f.Params.Status, f.Probability = "status", at.all, 429, 0.2
		case 6:
			f.Kind, f.Operations, f.Params.Status = "status", at.all, 500
		case 7:
			f.Kind, f.Operations, f.Params.Status, f.Params.Done = "status", at.writes, 503, true
		case 8:
			f.Kind, f.Operations = "timeoutAfter", at.writes
		case 9:
			f.Kind, f.Operations = "timeoutBefore", at.all
		case 10:
			f.Kind, f.Operations, f.Params.Age, f.Params.Share = "staleRead", some(at.stale),
				cloud.Duration(time.Duration(1+random.IntN(6))*time.Second), random.Float64()
		case 11:
			f.Kind, f.Operations, f.Params.Off = "countsDisagree", []string{"groups.search"}, 1+random.IntN(3)
		case 12:
			f.Kind, f.Operations = "html", at.all
		case 13:
			f.Kind, f.Operations, f.Count = "garbage", at.all, 3
		default:
			f.Kind, f.Operations, f.Params.Status, f.Params.RetryAfter = "status", []string{at.scarce}, 429, "1"
		}
		return f
	}
	var faults []cloud.Fault
	for range 1 + random.IntN(3) {
		faults = append(faults, choice())
	}
	return faults
}

// lies are pairs of faults that hide the same thing from both who claims it and who would contradict.
var lies = [][]cloud.Fault{
	{lie(cloud.FaultEmptyPage, "users.search", "keep"), lie(cloud.FaultTruncatedPage, "groups.search", "drop")},
	{lie(cloud.FaultTruncatedGroups, "users.search", ""), lie(cloud.FaultTruncatedPage, "groups.search", "keep")},
	{lie(cloud.FaultTruncatedGroups, "users.search", ""), lie(cloud.FaultEmptyPage, "last-active.get", "drop")},
	{lie(cloud.FaultTruncatedPage, "users.search", "drop"), lie(cloud.FaultEmptyPage, "groups.search", "drop")},
}

func lie(kind, operation, next string) cloud.Fault {
	f := cloud.Fault{Kind: kind, Operations: []string{operation}, Probability: 0.5, Seed: 1}
	f.Params.Next = next
	return f
}

// hides reports whether a fault makes reads leave out memberships that there are, or show some that there were.
func hides(f cloud.Fault) bool {
	return slices.Contains([]string{cloud.FaultEmptyPage, cloud.FaultTruncatedPage, cloud.FaultTruncatedGroups,
		cloud.FaultStaleRead}, f.Kind)
}

func keepOrDrop(random *rand.Rand) string {
	if random.IntN(2) == 0 {
		return "keep"
	}
	return "drop"
}

func names(faults []cloud.Fault) []string {
	var out []string
	for _, f := range faults {
		out = append(out, fmt.Sprintf("%s on %s (%.0f %%)", f.Kind, strings.Join(f.Operations, ","), f.Probability*100))
	}
	return out
}
