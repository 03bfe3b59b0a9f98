package policy

import (
	"slices"

	"github.com/castellan-io/castellan/access"
)

// BindComing is BindSince as if the groups that mappings are to create were there already, without members: for plans
// that are only shown, or wait for consent, before the groups are made.
func BindComing(p *Policy, o access.Outline, last Last) (*Bound, []access.Finding) {
	b, findings := BindSince(p, o, last)
	if len(b.Create) == 0 {
		return b, findings
	}
	ids := map[string]bool{}
	o.Groups = slices.Clone(o.Groups)
	for _, name := range b.Create {
		id := "to be created: " + name // no group of Atlassian's has such an id
		ids[id] = true
		o.Groups = append(o.Groups, access.Group{ID: id, Name: name, Modifiable: true})
	}
	coming, _ := BindSince(p, o, last)
	for i := range coming.Targets {
		coming.Targets[i].Coming = ids[coming.Targets[i].GroupID]
	}
	coming.Create = b.Create
	return coming, findings
}
