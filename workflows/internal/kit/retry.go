package kit

import (
	"time"

	"github.com/castellan-io/castellan/messages"
)

// Backoff is how long to wait after a failure, doubling each time.
type Backoff struct {
	First   time.Duration
	Longest time.Duration
}

// After returns how long to wait after so many failures.
func (p Backoff) After(tries int) time.Duration { return min(p.First<<min(tries-1, 10), p.Longest) }

// RecordFailure returns the problem with its first failure, number of tries, and next retry set. before is the problem
// so far, or nil.
func RecordFailure(now time.Time, before *messages.Problem, problem messages.Problem, p Backoff) *messages.Problem {
	problem.Since, problem.Tries = now, 1
	if before != nil {
		problem.Since, problem.Tries = before.Since, before.Tries+1
	}
	problem.Retry = now.Add(p.After(problem.Tries))
	return &problem
}

// RetryDue reports whether there is no problem, or its retry is due.
func RetryDue(p *messages.Problem, now time.Time) bool { return p == nil || !now.Before(p.Retry) }
