package policy

import (
	"slices"
	"time"
)

// Plain is the policy without its compiled conditions, which cannot be compared.
func (p Policy) Plain() Policy {
	p.conditions = nil
	p.Reviews = slices.Clone(p.Reviews)
	for i := range p.Reviews {
		p.Reviews[i].people = nil
	}
	return p
}

// Whole answers the condition without its quick parts, and says whether one of those was enough.
func (c *Condition) Whole(f Facts, now time.Time) (holds, quick bool, err error) {
	s := f.ask(now, constants{})
	for _, q := range c.quicks {
		quick = quick || q.no(s)
	}
	holds, err = c.evaluate(s)
	return holds, quick, err
}
