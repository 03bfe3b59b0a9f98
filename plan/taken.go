package plan

import (
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// What others did since Castellan wrote: they renamed a group, or took by hand what it gave.

// followRename has a holding go by the name that its group has now.
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

// openRenamed puts holdings on the books by the names that their groups have now.
func (d *decider) openRenamed() {
	for i := range d.lines {
		l := &d.lines[i]
		if !l.renamed {
			continue
		}
		is := func(h access.Holding) bool { return h.Target == l.holding.Target }
		if slices.ContainsFunc(d.Close, is) { // it ended, or its reasons are others by now
			d.Close = slices.DeleteFunc(d.Close, is)
			continue
		}
		d.Open = append(d.Open, *l.holding)
	}
}

// takenAndGiven ends a holding that somebody else took, as the event feed says, although the read shows the membership:
// then it is one that somebody else gave since. An event alone takes nothing from anybody: here it has Castellan leave
// what is there.
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

// takenAndGivenSince reports whether somebody else took what a write gave, and gave it again.
func (d *decider) takenAndGivenSince(c access.Change) bool {
	return slices.ContainsFunc(d.Ended,
		func(h access.Holding) bool { return same(h.Target, c.Target) && c.At.Before(h.Until) })
}

// takenByHand reports whether somebody took what grants alone give: it was seen to be held by one of them, Castellan
// has not taken it, and the read does not show it, though it shows somebody who could hold it. A grant that is yet to
// give it changes nothing about those that did: it stands alone once they are over.
func (d *decider) takenByHand(l *line, target *policy.Target) bool {
	if l.want == nil || l.held || l.recent != nil || l.holding == nil || target.HandTaken == "" {
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
			gave = gave || Gave(*l.holding, r.Name, d.grants)
		default:
			return false
		}
	}
	return gave
}
