package policy

import (
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// selection is what names and globs of a review select among the targets.
type selection struct {
	bound *Bound
	full  []int // of those named in full
	globs []pattern
}

func (b *Bound) selection(names []access.Entitlement) selection {
	s := selection{bound: b}
	for _, e := range names {
		if glob, is := globOf(e); is {
			s.globs = append(s.globs, glob)
		} else {
			s.full = append(s.full, b.All(e)...)
		}
	}
	return s
}

// has says whether the target is selected. Globs select groups.
func (s selection) has(t int) bool {
	if slices.Contains(s.full, t) {
		return true
	}
	target := &s.bound.Targets[t]
	return target.GroupID != "" && len(s.globs) > 0 && matches(s.globs, lower(target.Entitlement.Group()))
}

// globOf is the glob over names of groups that an entitlement of a review is; ok is false for one named in full.
func globOf(e access.Entitlement) (glob pattern, ok bool) {
	if !strings.ContainsAny(e.Group(), "*?") {
		return pattern{}, false
	}
	glob, err := compile(e.Group())
	return glob, err == nil
}
