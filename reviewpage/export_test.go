package reviewpage

import (
	"time"

	"golang.org/x/time/rate"
)

// For the test of how much is kept.
type Buckets struct{ *limiters }

const MostBuckets = maxLimiters

func NewBuckets(every rate.Limit, atOnce int) Buckets { return Buckets{newLimiters(every, atOnce)} }

func (b Buckets) Take(name string, now time.Time) time.Duration { return b.take(name, now) }

func (b Buckets) Kept() int { return max(len(b.byName), b.recent.Len()) }
