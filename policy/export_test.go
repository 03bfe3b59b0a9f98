package policy

// Plain is the policy without its compiled conditions, which cannot be compared.
func (p Policy) Plain() Policy {
	p.conditions = nil
	return p
}
