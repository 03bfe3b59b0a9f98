package condition

import (
	"time"
)

// Whole answers the condition without its quick parts, and says whether one of those was enough.
func (c *Condition) Whole(f Facts, now time.Time) (holds, quick bool, err error) {
	s := f.Ask(now, Constants{})
	for _, q := range c.quicks {
		quick = quick || q.no(s)
	}
	holds, err = c.evaluate(s)
	return holds, quick, err
}
