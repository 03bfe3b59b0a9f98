package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// approvers are the people whom every entry that asks for approvals allows to give one, sorted: never who is to receive
// the target, nor who asks for it. Each stands there once: by e-mail address where it is known, else by account id.
func (t *terms) approvers(r *GrantRequest) []string {
	known := newNames(r)
	allowed := map[string]int{} // by how many entries
	for _, entry := range t.approvals {
		for name := range known.allowed(entry.Approval, r.Approvers) {
			allowed[name]++
		}
	}
	for _, never := range []string{r.Person.Email, r.Person.ID, r.By} {
		delete(allowed, known.name(never))
	}
	maps.DeleteFunc(allowed, func(_ string, entries int) bool { return entries < len(t.approvals) })
	return slices.Sorted(maps.Keys(allowed))
}

// names know people by e-mail address and by account id, both folded.
type names map[string]access.Person

func newNames(r *GrantRequest) names {
	known := names{}
	know := func(p access.Person) {
		if p.Email == "" && known[strings.ToLower(p.ID)].Email != "" {
			return // another read said more
		}
		for _, name := range []string{p.ID, p.Email} {
			if name != "" {
				known[strings.ToLower(name)] = p
			}
		}
	}
	for _, members := range r.Approvers {
		for _, p := range members {
			know(p)
		}
	}
	know(r.Person.Person)
	return known
}

// name is the one name of a person, however written.
func (n names) name(written string) string {
	if p, known := n[strings.ToLower(written)]; known {
		written = p.Label()
	}
	if strings.Contains(written, "@") {
		return strings.ToLower(written)
	}
	return written
}

// allowed are the people whom one entry lets approve. A member of a group must be active.
func (n names) allowed(a *Approval, groups map[string][]access.Person) map[string]bool {
	all := map[string]bool{}
	for _, person := range a.By {
		all[n.name(person)] = true
	}
	for _, group := range a.Groups {
		for name, members := range groups {
			if !strings.EqualFold(name, group) {
				continue
			}
			for _, p := range members {
				if p.CanReceive() {
					all[n.name(p.Label())] = true
				}
			}
		}
	}
	return all
}
