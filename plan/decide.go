package plan

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// State is what is known of one person beside the read. None of it is about anybody else.
type State struct {
	Holdings []access.Holding // the current ones
	Recent   []access.Change  // changes done within the settle and lag window: the truth over a read that lags
	Rejected []access.Change  // changes that people said no to
	Grants   []access.Grant   // those of which something may be left to give or take back
	Rulings  []access.Ruling  // verdicts of reviews that bear on the person
	Marks    []access.Mark    // since when which rules hold
	// Suspension is Castellan's own suspension of the person, while it lasts: a rule restores only whom Castellan
	// suspended.
	Suspension *access.Suspension
	// ListsCut takes the person's lists of groups and roles for cut short: what is asked for all the same does not hang
	// on their not being in a group.
	ListsCut bool
	Would    bool            // as if the rules that only observe were enforced
	Fresh    map[string]bool // keys of enforced rules that nobody has consented to: see policy.Known
}

// grantGrace is how long the end of a grant is left to the grant's own workflow. After it, whoever looks takes it back.
const grantGrace = time.Minute

// Decision is what follows for one person. The changes are planned and sorted by target. A holding in Close carries its
// end; it is closed before those in Open are opened. Adds open no holding here: their write does.
type Decision struct {
	Changes    []access.Change
	Open       []access.Holding
	Close      []access.Holding
	Ended      []access.Holding // that somebody else took and gave again, as the event feed says: each carries its end
	Foreign    int              // memberships that nothing explains and that somebody else made
	Suppressed int              // changes not planned, because a person rejected the same before
	Lift       []access.Change  // rejections that no longer apply: the decision no longer asks for the change

	Rules     []policy.RuleAnswer // rules that hold, wait, or cannot be answered
	Mark      []access.Mark       // rules that began to hold
	Unmark    []string            // keys of rules that hold no longer
	Unsuspend bool                // Castellan's suspension was taken back by somebody else
	Conflicts []Conflict

	// Unseen are memberships on the books that the read does not show and that nothing planned will settle. One read
	// may lie: they end once other reads agree.
	Unseen []access.Unseen
	// Restored are memberships that grants gave, that the read does not show, and that the policy has given back.
	Restored []access.Holding
}

// Conflict is a target that something gives and a rule denies.
type Conflict struct {
	Target access.Entitlement
	Gives  access.Reason
	Denies string // the rule
}

// Decide compares what the person should hold with what the read and the state show. It never removes a membership for
// which a reason stands, one that somebody else made unless the target's mode is all, or anything of an app. Changes
// that a person rejected are not planned again while they would be the same.
//
// Grants in force are reasons like any other. What grants alone gave is taken back whatever the target's mode, but for
// the first moments after their end, which are their workflow's, and unless the policy only reports it.
//
// What a rule or a review denies is taken from whoever holds it. What cannot be told of a rule changes nothing: what it
// may have given stays, what it may deny is not given anew.
//
// That a review lets somebody keep a target is a reason not to take it, and none to give it: it is never an addition's.
//
// The reasons of a removal are the rules and reviews that deny it, or else those that ended: until it is written, the
// holding keeps them.
func Decide(b *policy.Bound, p access.Person, s State, run string, at time.Time) Decision {
	d := decider{bound: b, person: p, run: run, at: at, grants: s.Grants, would: s.Would, suspension: s.Suspension,
		listsCut: s.ListsCut}
	if p.IsApp() {
		return d.Decision
	}
	d.gather(s)
	d.markEnding(s.Grants)
	for i := range d.lines {
		d.decide(&d.lines[i])
	}
	d.openRenamed()
	d.closeUnmanaged(s)
	d.dropMootChanges()
	d.dropUntilNamesResolve()
	d.dropRejected(s.Rejected)
	d.noteUnseen()
	d.noteLostApps()
	return d.Decision
}

// decider holds what is known of the person, by target.
type decider struct {
	Decision
	bound  *policy.Bound
	person access.Person
	run    string
	at     time.Time
	lines  []line
	grants []access.Grant

	would      bool
	listsCut   bool
	suspension *access.Suspension
}

// line is one target as it concerns the person.
type line struct {
	target     int
	policySays *policy.Want    // what the policy says of it; nil: nothing
	want       *policy.Want    // nil: no reason stands, or it is denied
	keepOnly   bool            // it is not held, and all that stands is that it may be kept
	denied     []access.Reason // rules and reviews
	// somebody else suspended the person, and all that stands for presence is a rule, which may not restore them
	suspendedByOthers bool
	barred            bool            // a rule may deny it; that cannot be told now
	held              bool            // by the read, or by a later write
	holding           *access.Holding // the current one
	recent            *access.Change  // the last write done
	unknown           bool            // the read did not say whether it is held
	taken             bool            // by hand, while nothing gives it back
	renamed           bool            // the holding is on the books by a former name of the group
	formerlyOwned     bool            // it was owned by a former name of the group
	ending            bool            // a grant has just ended: its workflow sees to it
}

// owned says that Castellan made or adopted the membership.
func (l *line) owned() bool {
	if l.recent != nil && l.recent.State == access.Done && l.recent.Action != access.Remove {
		since := l.holding != nil && l.holding.From.After(l.recent.At) // then the books know more than the write
		return l.formerlyOwned || !since || l.holding.Owned
	}
	return l.formerlyOwned || l.holding != nil && l.holding.Owned
}

// lapsed says that the membership was given by grants alone, all of which are over.
func (l *line) lapsed() bool {
	return l.want == nil && l.owned() && access.OnlyGrants(lastReasons(l.holding))
}

// granted says that a grant gives the target.
func (l *line) granted() bool {
	return l.want != nil && slices.ContainsFunc(l.want.Reasons,
		func(r access.Reason) bool { return r.Kind == access.ReasonGrant })
}

// unseen says that the read does not show a membership of Castellan's own. One read may lie about that, and whoever
// forgot the membership then would take it for somebody else's later. So it stays on the books until a write settles
// it: an add or a removal that finds it so already costs one call and harms nobody.
func (l *line) unseen() bool {
	return !l.held && l.recent == nil && l.holding != nil && l.holding.Owned
}

// gather brings together the read, the wants, the holdings and the recent writes, in the order of the targets.
func (d *decider) gather(s State) {
	said := d.bound.Resolve(d.person, policy.Known{Grants: access.InForce(s.Grants, d.at), Rulings: s.Rulings,
		Marks: s.Marks, Held: s.Holdings,
		Now: d.at, Would: d.would, Fresh: s.Fresh, ListsCut: d.listsCut})
	wants, held := said.Wants, d.bound.Held(d.person)
	d.noteRules(said.Rules, s)
	d.lines = make([]line, 0, len(wants)+len(held)+1)
	for i := range wants {
		d.lines = append(d.lines, line{target: wants[i].Target, policySays: &wants[i]})
	}
	for _, t := range held {
		d.line(t).held = true
	}
	for i := range s.Holdings {
		t, managed := d.bound.Target(s.Holdings[i].Target)
		if !managed || !s.Holdings[i].Until.IsZero() {
			continue
		}
		if now, then := d.bound.Targets[t].GroupID, s.Holdings[i].GroupID; now != "" && then != "" && now != then {
			d.close(s.Holdings[i]) // another group has its name now
			continue
		}
		if d.takenAndGiven(&s.Holdings[i], t) {
			continue
		}
		d.line(t).holding = &s.Holdings[i]
	}
	for i := range s.Holdings {
		d.followRename(&s.Holdings[i])
	}
	for i := range s.Recent {
		c := &s.Recent[i]
		t, managed := d.bound.Target(c.Target)
		if !managed || c.State != access.Done && c.State != access.Already {
			continue
		}
		if d.takenAndGivenSince(*c) {
			continue
		}
		if l := d.line(t); l.recent == nil || !c.At.Before(l.recent.At) {
			l.recent = c
		}
	}
	for i := range d.lines {
		l := &d.lines[i]
		held, known := d.bound.Holds(d.person, l.target)
		l.held, l.unknown = held, !known
		if l.recent != nil {
			l.held, l.unknown = l.recent.Action != access.Remove, false
		}
		d.weighReasons(l)
		d.noteConflicts(l)
	}
}

// markEnding marks the targets of grants that ended a moment ago.
func (d *decider) markEnding(grants []access.Grant) {
	for _, g := range grants {
		if g.State == access.GrantWaiting || d.at.Before(g.From) || !d.at.Before(g.Until.Add(grantGrace)) {
			continue
		}
		for _, gift := range d.bound.GrantGives(g) {
			if i, found := slices.BinarySearchFunc(d.lines, gift.Target, byTarget); found {
				d.lines[i].ending = true
			}
		}
	}
}

func byTarget(l line, t int) int { return l.target - t }

// line finds the line of a target or makes it, keeping the order.
func (d *decider) line(t int) *line {
	i, found := slices.BinarySearchFunc(d.lines, t, byTarget)
	if !found {
		d.lines = slices.Insert(d.lines, i, line{target: t})
	}
	return &d.lines[i]
}

// decide plans the change of one target, if it needs one, and keeps its holding true. The first case that applies
// counts.
func (d *decider) decide(l *line) {
	target := &d.bound.Targets[l.target]
	switch {
	case l.unknown:
	case len(l.denied) > 0 && (l.held || l.unseen()):
		d.deny(l, target)
	case l.want != nil && !l.held && l.barred:
	case l.keepOnly:
		if !l.unseen() { // if it is held after all it is to be kept: then the books stay as they are
			d.record(l, target, nil)
		}
	case l.suspendedByOthers:
		l.taken = l.unseen() // the books stay as they are until other reads agree
	case d.takenByHand(l, target):
		if target.HandTaken != policy.HandTakenRestore {
			l.taken = true // the books stay as they are until other reads agree
			return
		}
		d.Restored = append(d.Restored, *l.holding)
		d.add(l, target)
	// everybody is there: that is on nobody's books
	case target.Entitlement.Presence() && l.holding == nil && !l.granted():
		if l.want != nil && !l.held && d.restorable(target) {
			d.change(access.Add, target, l.want.Reasons)
		}
	// the books stay as they are until it is taken back
	case l.lapsed() && (l.ending || target.Lost == policy.LostReport):
	case l.lapsed() && !target.Reviewed:
		d.change(access.Remove, target, lastReasons(l.holding))
	case l.want != nil:
		d.give(l, target)
	default:
		d.release(l, target)
	}
}

// deny takes what rules and reviews deny from whoever holds it. From an additive target rules alone take nothing.
func (d *decider) deny(l *line, target *policy.Target) {
	switch additive := target.Additive && access.OnlyRules(l.denied); {
	case !additive:
		d.change(access.Remove, target, l.denied)
		if l.held && !target.Entitlement.Presence() {
			d.record(l, target, lastReasons(l.holding))
		}
	case l.held: // nothing is taken from it: the books stay as they are
		d.record(l, target, lastReasons(l.holding))
	}
}

// give adds or adopts a membership for which reasons stand.
func (d *decider) give(l *line, target *policy.Target) {
	switch {
	case !l.held:
		d.add(l, target)
		if l.unseen() {
			return
		}
	case l.want.Adopt && !l.owned():
		d.change(access.Adopt, target, l.want.Reasons)
	}
	d.record(l, target, l.want.Reasons)
}

// add plans the addition, if the person can receive it now.
func (d *decider) add(l *line, target *policy.Target) {
	if d.person.CanReceive() || target.Entitlement == access.Directory {
		d.change(access.Add, target, l.want.Reasons)
	}
}

// release removes a membership for which no reason stands, if the target's mode says so.
func (d *decider) release(l *line, target *policy.Target) {
	owned, mode := l.owned(), target.Mode(d.would)
	if l.unseen() && mode != policy.RemoveNever {
		d.change(access.Remove, target, lastReasons(l.holding))
		return
	}
	if l.held && !owned {
		d.Foreign++
	}
	var reasons []access.Reason
	if l.held && (mode == policy.RemoveAll || mode == policy.RemoveOwned && owned) {
		reasons = lastReasons(l.holding)
		d.change(access.Remove, target, reasons)
	}
	d.record(l, target, reasons)
}

// noteUnseen notes what is on the books, is not shown, and is settled by no change. The lists of somebody who is
// suspended or deactivated are no evidence: what they hold may come back with them.
func (d *decider) noteUnseen() {
	if !d.person.CanReceive() && d.person.MembershipStatus != "no_membership" {
		for i := range d.lines {
			if l := &d.lines[i]; l.taken && d.bound.Targets[l.target].Entitlement == access.Directory {
				d.Unseen = append(d.Unseen, d.unseenTakenByHand(l))
			}
		}
		return
	}
	for i := range d.lines {
		l := &d.lines[i]
		planned := slices.ContainsFunc(d.Changes,
			func(c access.Change) bool { return same(c.Target, d.bound.Targets[l.target].Entitlement) })
		switch {
		case l.taken:
			d.Unseen = append(d.Unseen, d.unseenTakenByHand(l))
		case l.unseen() && !l.unknown && !planned:
			d.Unseen = append(d.Unseen, access.Unseen{Holding: *l.holding})
		}
	}
}

// unseenTakenByHand is the membership that was taken by hand, with the grants that gave it.
func (d *decider) unseenTakenByHand(l *line) access.Unseen {
	u := access.Unseen{Holding: *l.holding}
	if l.want == nil {
		return u
	}
	for _, r := range l.want.Reasons {
		if r.Kind == access.ReasonGrant && Gave(*l.holding, r.Name, d.grants) {
			u.Grants = append(u.Grants, r.Name)
		}
	}
	return u
}

// lastReasons is the reasons that stood for a membership last.
func lastReasons(h *access.Holding) []access.Reason {
	if h == nil {
		return nil
	}
	return h.Reasons
}

func (d *decider) change(action access.Action, target *policy.Target, reasons []access.Reason) {
	group := target.GroupID
	if target.Coming {
		group = "" // it has none yet
	}
	d.Changes = append(d.Changes, access.Change{
		Person: d.person.ID, Email: d.person.Email, Target: target.Entitlement, GroupID: group, Action: action,
		Reasons: reasons, Sources: target.Grounds(), State: access.Planned,
	})
}

// record keeps the holding of a target true: it closes one that ended or changed, and opens the one that stands.
func (d *decider) record(l *line, target *policy.Target, reasons []access.Reason) {
	owned := l.owned()
	if h := l.holding; h != nil {
		if l.held && h.Owned == owned && slices.Equal(h.Reasons, reasons) {
			return
		}
		d.close(*h)
	}
	if l.held {
		d.Open = append(d.Open, access.Holding{
			Person: d.person.ID, Target: target.Entitlement, GroupID: target.GroupID, Owned: owned,
			Reasons: reasons, Run: d.run, From: d.at,
		})
	}
}

// closeUnmanaged ends the holdings of targets that are not managed now and that the read does not show. Otherwise an
// owned holding could outlive the membership and later claim one that somebody else made. What somebody else made ends
// at once; what is Castellan's own, only once other reads agree. A group that the read does not show at all may be
// gone, or hidden: that is told by reads of the groups.
func (d *decider) closeUnmanaged(s State) {
	for _, h := range s.Holdings {
		if _, renamed := d.bound.TargetOf(h.GroupID); renamed {
			continue
		}
		if _, managed := d.bound.Target(h.Target); managed || !h.Until.IsZero() ||
			h.GroupID != "" && !d.bound.Shown(h.GroupID) {
			continue
		}
		if h.GroupID == "" && h.Target != access.OrgAdmin { // no read of many people shows these
			continue
		}
		held := d.person.InGroup(h.GroupID)
		if h.Target == access.OrgAdmin {
			held = d.person.HasRole(access.RoleOrgAdmin)
		}
		written := slices.ContainsFunc(s.Recent, func(c access.Change) bool {
			return c.Action != access.Remove && same(c.Target, h.Target)
		})
		switch {
		case held || written:
		case h.Owned && d.person.CanReceive():
			d.Unseen = append(d.Unseen, access.Unseen{Holding: h})
		case !h.Owned:
			d.close(h)
		}
	}
}

// dropUntilNamesResolve leaves out what would be taken from a protected target while a name that the policy protects
// there leads to nobody: it may be this person's.
func (d *decider) dropUntilNamesResolve() {
	d.Changes = slices.DeleteFunc(d.Changes, func(c access.Change) bool {
		t, managed := d.bound.Target(c.Target)
		return c.Action == access.Remove && managed && len(d.bound.Targets[t].UnresolvedNames(d.bound.Owner)) > 0
	})
}

func (d *decider) close(h access.Holding) {
	h.Until = d.at
	d.Close = append(d.Close, h)
}

// dropRejected takes out the changes that people rejected, and lifts the rejections of managed targets that stop
// nothing.
func (d *decider) dropRejected(rejected []access.Change) {
	for _, r := range rejected {
		stops := func(c access.Change) bool {
			return c.Action == r.Action && same(c.Target, r.Target)
		}
		before := len(d.Changes)
		d.Changes = slices.DeleteFunc(d.Changes, stops)
		d.Suppressed += before - len(d.Changes)
		if _, managed := d.bound.Target(r.Target); managed && before == len(d.Changes) {
			d.Lift = append(d.Lift, r)
		}
	}
}

// noteLostApps says of every removal which apps it takes away: those that no group the person is left with opens.
func (d *decider) noteLostApps() {
	removed := map[string]bool{}
	leaves := false
	for _, c := range d.Changes {
		if c.Action == access.Remove {
			removed[c.GroupID] = true
			leaves = leaves || c.Target.Presence()
		}
	}
	if len(removed) == 0 {
		return
	}
	if leaves {
		d.noteAllAppsLost()
		return
	}
	left := map[string]bool{}
	keep := func(groupID string) {
		if !removed[groupID] {
			for _, app := range d.bound.Opens(groupID) {
				left[app] = true
			}
		}
	}
	managed := map[string]bool{} // judged by their lines, since the read may lag
	for _, l := range d.lines {
		id := d.bound.Targets[l.target].GroupID
		managed[id] = true
		if l.held {
			keep(id)
		}
	}
	for _, id := range d.person.GroupIDs {
		if !managed[id] {
			keep(id)
		}
	}
	for _, c := range d.Changes {
		if c.Action == access.Add {
			keep(c.GroupID)
		}
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		if c.Action != access.Remove {
			continue
		}
		for _, app := range d.bound.Opens(c.GroupID) {
			if !left[app] {
				c.Loses = append(c.Loses, app)
			}
		}
	}
}

// noteAllAppsLost says of whoever is suspended or removed that they lose every app.
func (d *decider) noteAllAppsLost() {
	var apps []string
	for _, id := range d.person.GroupIDs {
		apps = append(apps, d.bound.Opens(id)...)
	}
	slices.Sort(apps)
	apps = slices.Compact(apps)
	for i := range d.Changes {
		if c := &d.Changes[i]; c.Target.Presence() && c.Action == access.Remove {
			c.Loses = apps
		}
	}
}

// Reversals counts how often a change would turn round what was written of its target before, itself included. The
// writes are those of its person, the oldest first.
func Reversals(written []access.Change, c access.Change) int {
	turns, last := 0, access.Action("")
	turn := func(action access.Action) {
		if last != "" && action != last {
			turns++
		}
		last = action
	}
	for _, w := range written {
		if w.State == access.Done && w.Action != access.Adopt && same(w.Target, c.Target) {
			turn(w.Action)
		}
	}
	turn(c.Action)
	return turns
}

// same compares two entitlements without regard to case.
func same(a, b access.Entitlement) bool { return a.Same(b) }
