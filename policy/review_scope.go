package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
)

// Review finds a campaign by its name.
func (p *Policy) Review(name string) (*Review, bool) {
	i := slices.IndexFunc(p.Reviews, func(r Review) bool { return r.Name == name })
	if i < 0 {
		return nil, false
	}
	return &p.Reviews[i], true
}

// ReviewTargets lists the targets that a campaign of the policy asks about, in order.
func (b *Bound) ReviewTargets(r *Review) []int {
	named := b.selection(r.Scope.Targets)
	var all []int
	for t := range b.Targets {
		if len(r.Scope.Targets) == 0 && !b.Targets[t].Entitlement.Presence() || named.has(t) {
			all = append(all, t)
		}
	}
	return all
}

// Covers reports whether the campaign asks about the person. The error says why there is no answer: a fact that the
// condition needs is not known.
func (r *Review) Covers(f condition.Facts, now time.Time) (bool, error) {
	if r.Scope.People == "" {
		return true, nil
	}
	people := r.people
	if people == nil { // the policy was not parsed
		var err error
		if people, err = condition.Compile(r.Scope.People); err != nil {
			return false, err
		}
	}
	return people.Holds(f, now)
}

// SilenceFor returns what becomes of an item of the target that nobody decided: what the first entry of silenceOf says
// that names it, by any name it goes by. Where others name the same target in full too, the most careful of them holds.
// Ask once for each target, not for each item.
func (r *Review) SilenceFor(b *Bound, t int) Silence {
	var named []Silence
	for _, s := range r.SilenceOf {
		switch selected := b.selection(s.Targets); {
		case slices.Contains(selected.full, t):
			named = append(named, s.Do)
		case len(named) == 0 && selected.has(t):
			return s.Do
		}
	}
	for _, careful := range []Silence{SilenceKeep, SilenceHold, SilenceRecommend, SilenceRemove} {
		if slices.Contains(named, careful) {
			return careful
		}
	}
	return r.Silence
}

// OwnersOf returns the people for whom the word owner stands with the target: those of all entries that name it, by any
// name it goes by; the campaign's owner where none does. Ask once for each target, not for each item.
func (r *Review) OwnersOf(b *Bound, t int) []string {
	var owners []string
	for _, o := range r.Owners {
		if !b.selection(o.Targets).has(t) {
			continue
		}
		for _, by := range o.By {
			if !slices.ContainsFunc(owners, func(s string) bool { return strings.EqualFold(s, by) }) {
				owners = append(owners, by)
			}
		}
	}
	if owners == nil {
		return []string{r.Owner}
	}
	return owners
}

// named returns the targets that the campaign names in full, wherever it does.
func (r *Review) named() []access.Entitlement {
	all := slices.Clone(r.Scope.Targets)
	for _, o := range r.Owners {
		all = append(all, o.Targets...)
	}
	for _, s := range r.SilenceOf {
		all = append(all, s.Targets...)
	}
	return slices.DeleteFunc(all, func(e access.Entitlement) bool { _, glob := globOf(e); return glob })
}

// selection is what names and globs of a review select among the targets.
type selection struct {
	bound *Bound
	full  []int // of those named in full
	globs []form.Pattern
}

func (b *Bound) selection(names []access.Entitlement) selection {
	s := selection{bound: b}
	for _, e := range names {
		if glob, is := globOf(e); is {
			s.globs = append(s.globs, glob)
		} else {
			s.full = append(s.full, b.AllTargets(e)...)
		}
	}
	return s
}

// has reports whether the target is selected. Globs select groups.
func (s selection) has(t int) bool {
	if slices.Contains(s.full, t) {
		return true
	}
	target := &s.bound.Targets[t]
	return target.GroupID != "" && len(s.globs) > 0 && form.Match(s.globs, form.Fold(target.Entitlement.Group()))
}

// globOf returns the glob over names of groups that an entitlement of a review is; ok is false for one named in full.
func globOf(e access.Entitlement) (glob form.Pattern, ok bool) {
	if !strings.ContainsAny(e.Group(), "*?") {
		return form.Pattern{}, false
	}
	glob, err := form.Compile(e.Group())
	return glob, err == nil
}
