package reviewpage

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimiters bounds memory: the most recently used limiters are kept.
const maxLimiters = 10_000

// limiters limit how often each link may do something.
type limiters struct {
	every  rate.Limit
	atOnce int

	mu     sync.Mutex
	byName map[string]*list.Element
	recent *list.List // of limiter, most recently used first
}

type limiter struct {
	name    string
	limiter *rate.Limiter
}

func newLimiters(every rate.Limit, atOnce int) *limiters {
	return &limiters{every: every, atOnce: atOnce, byName: make(map[string]*list.Element), recent: list.New()}
}

// take takes a token, or returns how long to wait for one.
func (b *limiters) take(name string, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	element, known := b.byName[name]
	if known {
		b.recent.MoveToFront(element)
	} else {
		if b.recent.Len() == maxLimiters {
			oldest := b.recent.Remove(b.recent.Back()).(limiter)
			delete(b.byName, oldest.name)
		}
		element = b.recent.PushFront(limiter{name, rate.NewLimiter(b.every, b.atOnce)})
		b.byName[name] = element
	}
	taken := element.Value.(limiter).limiter.ReserveN(now, 1)
	if wait = taken.DelayFrom(now); wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

// known reports whether the name has a limiter.
func (b *limiters) known(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	element, known := b.byName[name]
	if known {
		b.recent.MoveToFront(element)
	}
	return known
}
