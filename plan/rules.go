package plan

import (
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// weighReasons sets a line's reasons and denials from the policy.
func (d *decider) weighReasons(l *line) {
	if l.policySays == nil {
		return
	}
	l.denied, l.barred = l.policySays.Denied, len(l.policySays.Barred) > 0
	last := lastReasons(l.holding)
	if d.listsCut {
		last = nil // what a rule gave before does not count
	}
	reasons := l.policySays.ReasonsToHold(last)
	if !l.held {
		standing := access.HasKind(reasons, access.ReasonReview)
		reasons = l.policySays.ReasonsToAdd(last)
		l.keepOnly = standing && len(reasons) == 0
		if target := &d.bound.Targets[l.target]; target.Entitlement == access.Directory && !d.restorable(target) {
			others := slices.DeleteFunc(slices.Clone(reasons),
				func(r access.Reason) bool { return r.Kind == access.ReasonRule })
			l.suspendedByOthers, reasons = len(others) == 0 && len(reasons) > 0, others
		}
	}
	if len(reasons) > 0 {
		want := *l.policySays
		want.Reasons = reasons
		l.want = &want
	}
}

// noteConflicts notes what rules both give and deny. If a review denies what a rule gives, the review reports it.
func (d *decider) noteConflicts(l *line) {
	if l.policySays == nil || len(l.denied) == 0 {
		return
	}
	for _, gives := range l.policySays.Reasons {
		if gives.Kind != access.ReasonRule {
			continue // denying what a mapping gives is intended
		}
		for _, denies := range l.denied {
			if denies.Kind != access.ReasonRule {
				continue
			}
			d.Conflicts = append(d.Conflicts, Conflict{d.bound.Targets[l.target].Entitlement, gives, denies.Name})
		}
	}
}

// noteRules records the rules' answers, and updates marks.
func (d *decider) noteRules(answers []policy.RuleAnswer, s State) {
	d.Rules = answers
	stands := map[string]bool{}
	for _, a := range answers {
		stands[a.Key] = true
		marked := slices.ContainsFunc(s.Marks, func(m access.RuleMatch) bool { return m.Rule == a.Key })
		if !marked && a.Verdict != policy.VerdictUnknown && d.bound.RecordsMatch(a) {
			d.Mark = append(d.Mark, access.RuleMatch{Person: d.person.ID, Rule: a.Key, Since: a.Since})
		}
	}
	for _, m := range s.Marks {
		if !stands[m.Rule] {
			d.Unmark = append(d.Unmark, m.Rule)
		}
	}
	if d.suspension != nil && d.person.MembershipStatus == "active" {
		d.Unsuspend = !slices.ContainsFunc(s.Recent, func(c access.Change) bool { return c.Target == access.Directory })
	}
}

// restorable reports whether a rule may restore the person: Castellan suspended them, and their account is active.
func (d *decider) restorable(t *policy.Target) bool {
	return t.Entitlement == access.Directory && d.suspension != nil && d.person.MembershipStatus == "suspended" &&
		(d.person.AccountStatus == "" || d.person.AccountStatus == "active")
}

// dropMootChanges drops additions for people who are suspended, and all other changes of those who are removed from the
// organization.
func (d *decider) dropMootChanges() {
	gone := func(e access.Entitlement) bool {
		return slices.ContainsFunc(d.Changes,
			func(c access.Change) bool { return c.Target == e && c.Action == access.Remove })
	}
	removed, suspended := gone(access.Organization), gone(access.Directory)
	if d.listsCut { // what people would get who may have to go does not count
		suspended = suspended || slices.ContainsFunc(d.lines,
			func(l line) bool { return l.barred && d.bound.Targets[l.target].Entitlement.Presence() })
	}
	d.Changes = slices.DeleteFunc(d.Changes, func(c access.Change) bool {
		return removed && c.Target != access.Organization || suspended && c.Action != access.Remove
	})
}

// ObservedChanges returns the changes that only observing rules ask for: those of would, the decision as if they were
// enforced, whose targets is does not change.
func ObservedChanges(is, would Decision) []access.Change {
	var lines []access.Change
	for _, c := range would.Changes {
		if !slices.ContainsFunc(is.Changes, func(o access.Change) bool { return o.Target == c.Target }) {
			c.State = access.Observed
			lines = append(lines, c)
		}
	}
	return lines
}
