package policy

import (
	"slices"

	"github.com/castellan-io/castellan/access"
)

// Entitlements are all that the policy names in full, mapped, granted, ruled, reviewed, protected or asked for by a
// condition, sorted: what an outline has to know the roles of. Globs over groups, and group targets with a star, are
// left out; Bind finds the groups behind them.
func (p *Policy) Entitlements() []access.Entitlement {
	var all []access.Entitlement
	for _, m := range p.Mappings {
		for _, to := range m.To {
			if stars(to) == 0 {
				all = append(all, to)
			}
		}
	}
	for _, entry := range p.Grants {
		all = append(all, entry.Targets...)
	}
	for i := range p.Rules {
		all = append(append(all, p.Rules[i].Give...), p.Rules[i].Deny...)
	}
	for i := range p.Reviews {
		all = append(all, p.Reviews[i].named()...)
	}
	for _, protected := range p.Protected {
		all = append(all, protected.Target)
	}
	for _, condition := range p.conditions {
		for _, name := range condition.Needs.Granted {
			if e, err := access.ParseEntitlement(name); err == nil {
				all = append(all, e)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
