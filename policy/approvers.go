package policy

import (
	"maps"
	"slices"

	"github.com/castellan-io/castellan/access"
)

// approvers are the account ids of those whom every entry that asks for approvals allows to give one, sorted: active
// people, and never who is to receive the target, nor who asks for it.
func (t *terms) approvers(r *GrantRequest) []string {
	allowed := map[string]int{} // by how many entries
	for _, entry := range t.approvals {
		for id := range entry.Approval.allowed(r) {
			allowed[id]++
		}
	}
	delete(allowed, r.Person.ID)
	delete(allowed, r.By)
	maps.DeleteFunc(allowed, func(_ string, entries int) bool { return entries < len(t.approvals) })
	return slices.Sorted(maps.Keys(allowed))
}

// allowed are the accounts that one entry lets approve.
func (a *Approval) allowed(r *GrantRequest) map[string]bool {
	all := map[string]bool{}
	take := func(p access.Person) {
		if p.ID != "" && p.CanReceive() {
			all[p.ID] = true
		}
	}
	for _, id := range a.By {
		take(r.People[id])
	}
	for _, group := range a.Groups {
		for name, members := range r.Approvers {
			if !access.SameName(name, group) {
				continue
			}
			for _, p := range members {
				take(p)
			}
		}
	}
	return all
}

// ApproversNamed lists the account ids of those whom the entries for a target name one by one, sorted: whoever judges a
// request has to read them first. It asks a policy with accounts in place of names; who has none is left out.
func (p *Policy) ApproversNamed(target access.Entitlement) []string {
	var all []string
	for _, entry := range p.entries(target) {
		if entry.Approval != nil {
			all = append(all, entry.Approval.By...)
		}
	}
	all = slices.DeleteFunc(all, access.IsAddress)
	slices.Sort(all)
	return slices.Compact(all)
}
