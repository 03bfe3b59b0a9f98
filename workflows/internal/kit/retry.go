package kit

import (
	"time"

	"github.com/castellan-io/castellan/messages"
)

// Patience is how long to wait after a failure: after each next one twice as long.
type Patience struct {
	First   time.Duration
	Longest time.Duration
}

// After is how long to wait after so many failures.
func (p Patience) After(tries int) time.Duration { return min(p.First<<min(tries-1, 10), p.Longest) }

// RecordFailure is a problem that came now, with since when it has lasted, how often it was tried, and when it is tried
// again. before is what failed last; nil: nothing did.
func RecordFailure(now time.Time, before *messages.Problem, problem messages.Problem, p Patience) *messages.Problem {
	problem.Since, problem.Tries = now, 1
	if before != nil {
		problem.Since, problem.Tries = before.Since, before.Tries+1
	}
	problem.Retry = now.Add(p.After(problem.Tries))
	return &problem
}

// MayTry reports whether nothing failed, or its next attempt is due.
func MayTry(p *messages.Problem, now time.Time) bool { return p == nil || !now.Before(p.Retry) }
