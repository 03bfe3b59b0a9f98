package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
)

// Eligible says by an error why the conditions of the entries that name a target do not let this person receive it: one
// does not hold, or it cannot be answered. Time passes between a request and its start, so it is asked again then.
func (p *Policy) Eligible(target access.Entitlement, f condition.Facts, now time.Time) error {
	for _, entry := range p.entries(target) {
		if entry.Eligible == "" {
			continue
		}
		condition, err := p.condition(entry.Eligible)
		if err != nil {
			return fmt.Errorf("the condition of entry %s cannot be read: %w", entry.Name, err)
		}
		switch holds, err := condition.Holds(f, now); {
		case err != nil:
			return fmt.Errorf("entry %s: %w", entry.Name, err)
		case !holds:
			return fmt.Errorf("entry %s is only for people of whom this is true: %s", entry.Name, condition)
		}
	}
	return nil
}

// EligibleGroups names the groups that the conditions on who may receive the target ask for; every says that
// one looks at the whole list, and roles that one asks for platform roles.
func (p *Policy) EligibleGroups(target access.Entitlement) (names []string, every, roles bool) {
	for _, entry := range p.entries(target) {
		if entry.Eligible == "" {
			continue
		}
		if condition, err := p.condition(entry.Eligible); err == nil {
			needs := condition.Needs
			names, every, roles = append(names, needs.Groups...), every || needs.AnyGroup, roles || needs.Roles
		}
	}
	return names, every, roles
}

// Conditional says that who receives the target is subject to a condition, so that Eligible needs the person's facts.
func (p *Policy) Conditional(target access.Entitlement) bool {
	return slices.ContainsFunc(p.entries(target), func(entry *Grantable) bool { return entry.Eligible != "" })
}

// condition is the compiled form of one of the policy's conditions. A policy that was not parsed has none at hand.
func (p *Policy) condition(text string) (*condition.Condition, error) {
	if c := p.conditions[text]; c != nil {
		return c, nil
	}
	return condition.Compile(text)
}
