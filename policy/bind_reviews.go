package policy

import (
	"slices"

	"github.com/castellan-io/castellan/access"
)

// bindReviews manages targets that only campaigns name, so that rulings, and nothing else, can remove people from them.
// It comes last: what others say about a target stays.
func (w *binder) bindReviews() {
	if len(w.policy.Reviews) == 0 {
		return
	}
	known, own := w.managed(), w.ownGroups()
	for i := range w.policy.Reviews {
		x := &w.policy.Reviews[i]
		for _, e := range x.Scope.Targets {
			for _, t := range w.manageReviewed(x, e, own) {
				if !known[t] {
					t.Reviewed, t.Removals = true, RemoveNever
				}
			}
		}
		w.reportReviewers(x)
	}
	for i := range w.policy.Reviews {
		for _, e := range w.policy.Reviews[i].named() {
			if _, resolved := w.resolved[fold(e)]; !resolved && e.Kind() == access.KindDefault {
				w.resolved[fold(e)] = w.managedBehind(e) // a name for what is managed already
			}
		}
	}
}

// ownGroups returns the groups of Atlassian's own whose members the key may change.
func (w *binder) ownGroups() []source {
	var own []source
	for _, g := range w.outline.Groups {
		if !g.Synced && g.Modifiable && !w.hidden[g.ID] {
			own = append(own, source{g, w.declared.ready(g.Name)})
		}
	}
	return own
}

// manageReviewed finds the targets behind an entry of a campaign's scope.
func (w *binder) manageReviewed(x *Review, e access.Entitlement, own []source) []*Target {
	glob, is := globOf(e)
	if !is {
		if e.Kind() == access.KindGroup && len(w.byName[access.Fold(e.Group())]) == 0 && !w.willBeMade(e) {
			w.find("review-target-unknown", string(e), false,
				"campaign %s asks about a group that does not exist; correct the name, or create the group", x.Name)
		}
		return w.manageTarget(e)
	}
	var found []*Target
	matched := false
	for _, g := range own {
		if !glob.Match(g.folded) {
			continue
		}
		matched = true
		live := access.GroupEntitlement(g.Name)
		if same := len(w.byName[string(g.folded)]); same > 1 {
			w.find("target-ambiguous", string(live), false,
				"%d groups have this name, so campaign %s asks about none of them; delete all but one", same, x.Name)
			continue
		}
		found = append(found, w.manageTarget(live)...)
	}
	if !matched {
		w.find("review-target-unknown", string(e), false,
			"campaign %s asks about groups of this name, and none of Atlassian's own groups matches; correct it, or create such a group", x.Name)
	}
	return found
}

// willBeMade reports whether a mapping will make the group.
func (w *binder) willBeMade(e access.Entitlement) bool {
	l := w.missing[fold(e)]
	return l != nil && l.create
}

// reportReviewers reports the groups that a campaign names and that are not there: those whose members should review,
// and those that its condition asks for.
func (w *binder) reportReviewers(x *Review) {
	there := func(name string) bool { return len(w.groupsCalled(name)) > 0 }
	for _, stage := range x.Stages {
		for _, entry := range slices.Concat(stage.Reviewers, stage.Fallback) {
			if name, is := ReviewerGroup(entry); is && !there(name) {
				w.find("review-group-unknown", name, false,
					"campaign %s asks its members to review, and there is no such group%s; correct the name, or create the group", x.Name, w.instead(name))
			}
		}
	}
	for _, name := range x.DelegateGroups() {
		if !there(name) {
			w.find("review-group-unknown", name, false,
				"campaign %s lets items be delegated to its members, and there is no such group%s; correct the name, or create the group", x.Name, w.instead(name))
		}
	}
	if x.Scope.People == "" {
		return
	}
	condition, err := w.policy.Condition(x.Scope.People)
	if err != nil {
		return // Asks says so
	}
	for _, name := range condition.Needs.Groups {
		if !there(name) {
			w.find("review-group-unknown", name, false,
				"campaign %s selects people by a group that does not exist%s; correct the name, or create the group. Until then it is not known who is in scope", x.Name, w.instead(name))
		}
	}
}

// reportUnasked reports targets of owners and silenceOf that the campaign does not ask about.
func (w *binder) reportUnasked(b *Bound) {
	for i := range w.policy.Reviews {
		x := &w.policy.Reviews[i]
		asked := b.ReviewTargets(x)
		report := func(key string, targets []access.Entitlement) {
			for _, e := range targets {
				one := b.selection([]access.Entitlement{e})
				if !slices.ContainsFunc(asked, one.has) && !w.willBeMade(e) {
					w.find("review-target-unknown", string(e), false,
						"%s of campaign %s names it, but the campaign does not ask about it; correct it, or add it to the campaign's scope", key, x.Name)
				}
			}
		}
		for _, o := range x.Owners {
			report("owners", o.Targets)
		}
		for _, s := range x.SilenceOf {
			report("silenceOf", s.Targets)
		}
	}
}
