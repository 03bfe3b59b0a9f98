package policy

import (
	"slices"

	"github.com/castellan-io/castellan/access"
)

// filled is mapped for a target of one source group.
func (w *binder) filled(f filled, m *Mapping) []*Target {
	if stars(f.written) == 0 {
		return w.mapped(f.full, m, true)
	}
	w.filling = true
	found := w.mapped(f.full, m, true)
	w.filling = false
	key := fold(f.full)
	w.fills[key] = append(w.fills[key], f.written)
	l := w.lacking[key]
	w.served[f.written] = w.served[f.written] || len(found) > 0 || l != nil && l.create && groupName(l.name) == nil
	return found
}

// targetOfAnotherKind are the findings on a group that is there and cannot be a target.
var targetOfAnotherKind = []string{"target-ambiguous", "target-synced", "target-locked"}

// spareStars has one source group whose name makes no target refuse no policy: what a star was filled in to is
// reported, and blocks only where nothing that the star makes can be managed, or where the policy names it in full. A
// group that is just not there is for the policy to settle.
func (w *binder) spareStars() {
	for key, f := range w.findings {
		subject := fold(access.Entitlement(f.Subject))
		written := w.fills[subject]
		if len(written) == 0 || w.literal[subject] || !slices.Contains(targetOfAnotherKind, f.Rule) {
			continue
		}
		f.Blocks = f.Blocks && slices.ContainsFunc(written,
			func(star access.Entitlement) bool { return !w.served[star] })
		w.findings[key] = f
	}
}
