package reviewpage

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// mostBuckets bounds the memory of one kind of bound: of those who asked for too much, the ones that asked last are
// kept.
const mostBuckets = 10_000

// buckets bound how often each link may do something.
type buckets struct {
	every  rate.Limit
	atOnce int

	mu     sync.Mutex
	byName map[string]*list.Element
	recent *list.List // of bucket, the last used first
}

type bucket struct {
	name    string
	limiter *rate.Limiter
}

func newBuckets(every rate.Limit, atOnce int) *buckets {
	return &buckets{every: every, atOnce: atOnce, byName: make(map[string]*list.Element), recent: list.New()}
}

// take takes one from the bucket, or says how long it will be until one is there.
func (b *buckets) take(name string, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	element, known := b.byName[name]
	if known {
		b.recent.MoveToFront(element)
	} else {
		if b.recent.Len() == mostBuckets {
			oldest := b.recent.Remove(b.recent.Back()).(bucket)
			delete(b.byName, oldest.name)
		}
		element = b.recent.PushFront(bucket{name, rate.NewLimiter(b.every, b.atOnce)})
		b.byName[name] = element
	}
	taken := element.Value.(bucket).limiter.ReserveN(now, 1)
	if wait = taken.DelayFrom(now); wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

// known reports whether anything was taken in a name that is remembered.
func (b *buckets) known(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	element, known := b.byName[name]
	if known {
		b.recent.MoveToFront(element)
	}
	return known
}
