package policy

import (
	"fmt"

	"github.com/castellan-io/castellan/access"
)

// checkGrants finds what is wrong between entries of the grants section.
func (r *reader) checkGrants(p *Policy) {
	first := map[string]int{}
	for i := range p.Grants {
		g, path := &p.Grants[i], fmt.Sprintf("grants[%d]", i)
		key := access.Fold(g.Name)
		if before, twice := first[key]; twice && g.Name != "" {
			r.failAt(path+".name", "the name %q is taken by grants[%d]; give each entry its own", g.Name, before)
		} else {
			first[key] = i
		}
		r.checkTerms(g, path)
	}
	r.checkEnds(p)
}

// checkTerms finds what is wrong between the keys of one entry.
func (r *reader) checkTerms(g *Grantable, path string) {
	if d := g.Duration; d.Max > 0 && d.Default > d.Max {
		r.failAt(path+".duration.default", "%s is longer than max, %s; write at most that", d.Default, d.Max)
	}
	if a := g.Approval; a != nil {
		node := r.at[path+".approval"]
		written := func(key string) bool { return r.at[path+".approval."+key] != nil }
		switch {
		case !written("by") && !written("groups"):
			r.fail(node, path+".approval", "nobody could approve; add by (people) or groups (of people)")
		case !written("groups") && len(a.By) > 0 && a.Count > len(a.By):
			r.fail(node, path+".approval", "count is %d, and by lists only %d; name more people or write a lower count",
				a.Count, len(a.By))
		}
	} else if g.BreakGlass != nil {
		r.failAt(path+".breakGlass", "no approval is needed, so there is nothing to go round; take it away or add approval")
	}
}

// checkEnds refuses two entries that name one target and disagree on how its grants end.
func (r *reader) checkEnds(p *Policy) {
	first := map[string]int{}
	for i, g := range p.Grants {
		for _, target := range g.Targets {
			before, named := first[fold(target)]
			if !named {
				first[fold(target)] = i
				continue
			}
			list := fmt.Sprintf("grants[%d].targets", i)
			if other := p.Grants[before]; other.Lost != g.Lost {
				r.failAt(r.pathOf(list, target),
					"%q has lost: %s here and lost: %s in grants[%d]; say the same in both", target, g.Lost,
					other.Lost, before)
			} else if other.End != g.End {
				r.failAt(r.pathOf(list, target), "%q has end: %s here and end: %s in grants[%d]; say the same in both",
					target, g.End, other.End, before)
			} else if other.HandTaken != g.HandTaken {
				r.failAt(r.pathOf(list, target),
					"%q has handTaken: %s here and handTaken: %s in grants[%d]; say the same in both", target,
					g.HandTaken, other.HandTaken, before)
			}
		}
	}
}
