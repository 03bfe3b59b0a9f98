package plan

import (
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// What others did after Castellan's write: rename a group, or remove a membership by hand.

// followRename moves a holding to its group's current name.
func (d *decider) followRename(h *access.Holding) {
	if _, managed := d.bound.Target(h.Target); managed || !h.Until.IsZero() {
		return
	}
	t, managed := d.bound.TargetOf(h.GroupID)
	if !managed || d.takenAndGiven(h, t) {
		return
	}
	d.close(*h)
	l := d.line(t)
	if l.holding != nil {
		l.formerlyOwned = l.formerlyOwned || h.Owned
		return
	}
	now := *h
	now.Target, now.From, now.Run = d.bound.Targets[t].Entitlement, d.at, d.run
	l.holding, l.renamed = &now, true
}

// openRenamed records holdings under the current names of their groups.
func (d *decider) openRenamed() {
	for i := range d.lines {
		l := &d.lines[i]
		if !l.renamed {
			continue
		}
		is := func(h access.Holding) bool { return h.Target == l.holding.Target }
		if slices.ContainsFunc(d.Close, is) { // it ended, or has other reasons now
			d.Close = slices.DeleteFunc(d.Close, is)
			continue
		}
		d.Open = append(d.Open, *l.holding)
	}
}

// takenAndGiven ends a holding that, by the event feed, somebody else removed, although the read shows the membership:
// then somebody else has added it again. An event alone never removes anything: here it makes Castellan leave the
// membership alone.
func (d *decider) takenAndGiven(h *access.Holding, target int) bool {
	if h.Taken == nil || !h.Owned {
		return false
	}
	held, known := d.bound.Holds(d.person, target)
	if held && known {
		over := *h
		over.Until = h.Taken.At
		d.Ended = append(d.Ended, over)
	}
	return held && known
}

// takenAndGivenSince reports whether somebody else removed what a write added, and added it again.
func (d *decider) takenAndGivenSince(c access.Change) bool {
	return slices.ContainsFunc(d.Ended,
		func(h access.Holding) bool { return same(h.Target, c.Target) && c.At.Before(h.Until) })
}

// takenByHand reports whether somebody else removed what only grants give: it was held by one of them, Castellan has
// not removed it, and the read, of a person who could hold it, does not show it. A grant that has not given it yet does
// not matter.
func (d *decider) takenByHand(l *line, target *policy.Target) bool {
	if l.want == nil || l.held || l.write != nil || l.holding == nil || target.HandTaken == "" {
		return false
	}
	if target.Entitlement != access.Directory && !d.person.CanReceive() {
		return false
	}
	gave := false
	for _, r := range l.want.Reasons {
		switch r.Kind {
		case access.ReasonReview:
		case access.ReasonGrant:
			gave = gave || HeldByGrant(*l.holding, r.Name, d.grants)
		default:
			return false
		}
	}
	return gave
}
