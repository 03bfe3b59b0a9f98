package policy

import (
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/internal/form"
)

// route is a mapping with its globs compiled.
type route struct {
	*Mapping
	from, except []form.Pattern
}

// newRoute compiles a mapping of a parsed policy, whose globs are known to be right.
func newRoute(m *Mapping) route {
	r := route{Mapping: m}
	for _, list := range []struct {
		texts []string
		into  *[]form.Pattern
	}{{m.From, &r.from}, {m.Except, &r.except}} {
		for _, text := range list.texts {
			if p, err := form.Compile(text); err == nil {
				*list.into = append(*list.into, p)
			}
		}
	}
	return r
}

// filled is a target of a mapping for one source group.
type filled struct {
	written access.Entitlement // as it stands in the policy
	full    access.Entitlement // with the star filled in
}

// gives lists the targets that the mapping gives the members of a source group: none when it does not take the group.
func (r *route) gives(name string, folded []rune) []filled {
	if form.Match(r.except, folded) {
		return nil
	}
	var out []filled
	for _, p := range r.from {
		if !p.Match(folded) {
			continue
		}
		for _, to := range r.To {
			if stars(to) > 0 {
				out = append(out, filled{to, access.Entitlement(strings.Replace(string(to), "*", p.Capture(name), 1))})
			}
		}
		if len(out) == 0 { // no stars: one match is as good as many
			break
		}
	}
	if out == nil && !form.Match(r.from, folded) {
		return nil
	}
	for _, to := range r.To {
		if stars(to) == 0 {
			out = append(out, filled{to, to})
		}
	}
	return out
}
