package policy

import "slices"

// Plain returns the policy without its compiled conditions, which cannot be compared.
func (p Policy) Plain() Policy {
	p.conditions = nil
	p.Reviews = slices.Clone(p.Reviews)
	for i := range p.Reviews {
		p.Reviews[i].people = nil
	}
	return p
}
