package policy

import (
	"fmt"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// check finds what is wrong between entries that are each right in themselves.
func (r *reader) check(p *Policy) {
	r.checkNames(p)
	r.checkStars(p)
	r.checkModes(p)
	r.checkProtected(p)
	r.checkGrants(p)
	r.checkRules(p)
	r.checkReviews(p)
}

// checkNames refuses two mappings of one name: reasons are told by it.
func (r *reader) checkNames(p *Policy) {
	first := map[string]int{}
	for i, m := range p.Mappings {
		key := access.Fold(m.Name)
		if before, twice := first[key]; twice && m.Name != "" {
			r.failAt(fmt.Sprintf("mappings[%d].name", i),
				"the name %q is taken by mappings[%d]; give each mapping its own", m.Name, before)
			continue
		}
		first[key] = i
	}
}

// checkStars refuses a * in a target that no * of the source could stand for.
func (r *reader) checkStars(p *Policy) {
	for i, m := range p.Mappings {
		for _, to := range m.To {
			if stars(to) == 0 {
				continue
			}
			path := r.pathOf(fmt.Sprintf("mappings[%d].to", i), to)
			if stars(to) > 1 {
				r.failAt(path, "%q holds several *; one stands for what the source's * matched", to)
				continue
			}
			for _, from := range m.From {
				if strings.Count(from, "*") != 1 {
					r.failAt(path, "the * of %q has nothing to stand for in %q; write from globs with exactly one *, or move the target to a mapping of its own", to, from)
					break
				}
			}
		}
	}
}

// checkModes refuses two mappings that give one target and disagree on what may be taken from it.
func (r *reader) checkModes(p *Policy) {
	first := map[string]int{}
	for i, m := range p.Mappings {
		for _, to := range m.To {
			key := access.Fold(string(to))
			before, given := first[key]
			if !given {
				first[key] = i
				continue
			}
			if other := p.Mappings[before]; other.Removals != m.Removals {
				r.failAt(r.pathOf(fmt.Sprintf("mappings[%d].to", i), to),
					"%q has removals: %s here and removals: %s in mappings[%d]; say the same in both", to, m.Removals,
					other.Removals, before)
			}
		}
	}
}

// pathOf is the path of the entry that gives a target in a list of targets.
func (r *reader) pathOf(list string, to access.Entitlement) string {
	for i, n := range r.at[list].Content {
		if e, err := access.ParseEntitlement(n.Value); err == nil && e == to {
			return fmt.Sprintf("%s[%d]", list, i)
		}
	}
	return list
}

// checkProtected refuses two floors for one target, and one that cannot be kept.
func (r *reader) checkProtected(p *Policy) {
	first := map[string]int{}
	for i, entry := range p.Protected {
		key := access.Fold(string(entry.Target))
		if before, twice := first[key]; twice && entry.Target != "" {
			r.failAt(fmt.Sprintf("protected[%d].target", i),
				"%q is protected already by protected[%d]; make one entry of both", entry.Target, before)
			continue
		}
		first[key] = i
		if entry.Maximum > 0 && entry.Maximum < entry.Minimum {
			r.failAt(fmt.Sprintf("protected[%d].maximum", i), "%d is less than minimum, %d; write at least that",
				entry.Maximum, entry.Minimum)
		}
	}
}
