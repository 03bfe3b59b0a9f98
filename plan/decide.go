package plan

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// State is what is known about one person besides the read.
type State struct {
	Holdings []access.Holding   // the current ones
	Recent   []access.Change    // changes done within the settle and lag window: they override a lagging read
	Rejected []access.Change    // changes that people rejected
	Grants   []access.Grant     // grants that are not settled
	Rulings  []access.Ruling    // verdicts of reviews that affect the person
	Marks    []access.RuleMatch // since when which rules hold
	// Suspension is Castellan's current suspension of the person: a rule restores only people whom Castellan suspended.
	Suspension *access.Suspension
	// ListsCut treats the person's lists of groups and roles as truncated: what follows nevertheless does not depend on
	// their not being in a group.
	ListsCut bool
	// Accepted are memberships of somebody else's making that are removed like Castellan's own.
	Accepted []access.AcceptedMembership
	Would    bool            // treat observing rules as enforced
	Fresh    map[string]bool // keys of enforced rules without consent: see policy.Known
}

// grantGrace is how long after a grant's end only the grant's own workflow removes its access. After it, any run does.
const grantGrace = time.Minute

// Decision is what follows for one person. The changes are planned, sorted by target. A holding in Close has its end
// set; close those before opening the ones in Open. Additions open no holding here: their write does.
type Decision struct {
	Changes []access.Change
	Open    []access.Holding
	Close   []access.Holding
	Ended   []access.Holding // removed and added again by somebody else, by the event feed: with their ends set
	Foreign int              // memberships that nothing explains and that somebody else made
	// Unexplained are the targets of those that stay.
	Unexplained []access.Entitlement
	Suppressed  int // changes not planned, because a person rejected them before
	// Kept are the targets of the removals among them.
	Kept []access.Entitlement
	Lift []access.Change // rejections that no longer apply: the decision does not ask for the change

	Rules     []policy.RuleAnswer // rules that hold, wait, or cannot be answered
	Mark      []access.RuleMatch  // rules that began to hold
	Unmark    []string            // keys of rules that hold no longer
	Unsuspend bool                // somebody else reverted Castellan's suspension
	Conflicts []Conflict

	// Unseen are recorded memberships that the read does not show and no planned change resolves. One read may be
	// wrong: they end once other reads agree.
	Unseen []access.MissingHolding
	// Restored are memberships given by grants that the read does not show and that the policy restores.
	Restored []access.Holding
}

// Conflict is a target that something gives and a rule denies.
type Conflict struct {
	Target access.Entitlement
	Gives  access.Reason
	Denies string // the rule
}

// Decide compares what the person should hold with what the read and the state show. Unless a rule or a
// review denies it, no membership is removed that has a reason, or that somebody else made (but for targets whose mode
// is all). Nothing of an app is touched. Changes that a person rejected are not planned again.
//
// Grants in force are reasons like any other. What only grants gave is removed whatever the target's mode, except
// during grantGrace, and unless the policy only reports it.
//
// What a rule or a review denies is removed. A rule that cannot be decided changes nothing: what it may have given
// stays, what it may deny is not added.
//
// A review's verdict to keep is a reason not to remove, but not to add.
//
// The reasons of a removal are the rules and reviews that deny it, or else those that ended: the holding keeps them
// until the removal is written.
func Decide(b *policy.Bound, p access.Person, s State, run string, at time.Time) Decision {
	d := decider{bound: b, person: p, run: run, at: at, grants: s.Grants, would: s.Would, suspension: s.Suspension,
		listsCut: s.ListsCut, accepted: s.Accepted}
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

// decider is the state of Decide.
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
	accepted   []access.AcceptedMembership
}

// line is what is known about the person and one target.
type line struct {
	target     int
	policySays *policy.Want    // nil: nothing
	want       *policy.Want    // nil: no reason, or denied
	keepOnly   bool            // not held, and the only reason is a review's verdict to keep
	denied     []access.Reason // rules and reviews
	// somebody else suspended the person, and the only reason for presence is a rule, which may not restore them
	suspendedByOthers bool
	barred            bool            // a rule that cannot be decided now may deny it
	held              bool            // by the read, or by a later write
	holding           *access.Holding // the current one
	recent            *access.Change  // the last change done, an adoption included
	// the last write done, which tells whether the membership is held, whatever the read shows. An adoption is none: it
	// rests on a read, which may have been of an old copy
	write         *access.Change
	unknown       bool // the read did not say whether it is held
	taken         bool // removed by hand, and nothing restores it
	renamed       bool // the holding is recorded under a former name of the group
	formerlyOwned bool // owned under a former name of the group
	ending        bool // a grant has just ended: its workflow removes it
}

// owned reports whether Castellan made or adopted the membership.
func (l *line) owned() bool {
	if l.recent != nil && l.recent.State == access.Done && l.recent.Action != access.Remove {
		since := l.holding != nil && l.holding.From.After(l.recent.At) // then the holding is newer than the write
		return l.formerlyOwned || !since || l.holding.Owned
	}
	return l.formerlyOwned || l.holding != nil && l.holding.Owned
}

// lapsed reports whether the membership was given only by grants, all of which are over.
func (l *line) lapsed() bool {
	return l.want == nil && l.owned() && access.OnlyGrants(lastReasons(l.holding))
}

// granted reports whether a grant gives the target.
func (l *line) granted() bool {
	return l.want != nil && slices.ContainsFunc(l.want.Reasons,
		func(r access.Reason) bool { return r.Kind == access.ReasonGrant })
}

// unseen reports whether the read does not show an owned membership. One read may be wrong, and a forgotten membership
// would later count as somebody else's. So it stays recorded until a write resolves it: an addition or removal that
// changes nothing costs one call and does no harm.
func (l *line) unseen() bool {
	return !l.held && l.write == nil && l.holding != nil && l.holding.Owned
}

// gather collects the read, the wants, the holdings and the recent writes by target.
func (d *decider) gather(s State) {
	said := d.bound.Resolve(d.person, policy.Known{Grants: access.InForce(s.Grants, d.at), Rulings: s.Rulings,
		Marks: s.Marks, Held: s.Holdings,
		Now: d.at, Would: d.would, Fresh: s.Fresh, ListsCut: d.listsCut})
	wants, held := said.Wants, d.bound.TargetsHeld(d.person)
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
		l := d.line(t)
		if l.recent == nil || !c.At.Before(l.recent.At) {
			l.recent = c
		}
		if c.Action != access.Adopt && (l.write == nil || !c.At.Before(l.write.At)) {
			l.write = c
		}
	}
	for i := range d.lines {
		l := &d.lines[i]
		held, known := d.bound.Holds(d.person, l.target)
		l.held, l.unknown = held, !known
		if l.write != nil {
			l.held, l.unknown = l.write.Action != access.Remove, false
		}
		d.weighReasons(l)
		d.noteConflicts(l)
	}
}

// markEnding marks the targets of grants that ended within grantGrace.
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

// line returns a target's line, and inserts it in order if it is missing.
func (d *decider) line(t int) *line {
	i, found := slices.BinarySearchFunc(d.lines, t, byTarget)
	if !found {
		d.lines = slices.Insert(d.lines, i, line{target: t})
	}
	return &d.lines[i]
}

// decide plans the change of one target, if any, and updates its holding. The first case that applies counts.
func (d *decider) decide(l *line) {
	target := &d.bound.Targets[l.target]
	switch {
	case l.unknown:
	case len(l.denied) > 0 && (l.held || l.unseen()):
		d.deny(l, target)
	case l.want != nil && !l.held && l.barred:
	case l.keepOnly:
		if !l.unseen() { // otherwise it may be held after all, and then it is kept: leave the holding
			d.record(l, target, nil)
		}
	case l.suspendedByOthers:
		l.taken = l.unseen() // leave the holding until other reads agree
	case d.takenByHand(l, target):
		if target.HandTaken != policy.HandTakenRestore {
			l.taken = true // leave the holding until other reads agree
			return
		}
		d.Restored = append(d.Restored, *l.holding)
		d.add(l, target)
	// presence by default has no holding
	case target.Entitlement.Presence() && l.holding == nil && !l.granted():
		if l.want != nil && !l.held && d.restorable(target) {
			d.change(access.Add, target, l.want.Reasons)
		}
	// leave the holding until the access is removed
	case l.lapsed() && (l.ending || target.Lost == policy.LostReport):
	case l.lapsed() && !target.Reviewed:
		d.change(access.Remove, target, lastReasons(l.holding))
	case l.want != nil:
		d.give(l, target)
	default:
		d.release(l, target)
	}
}

// deny removes what rules and reviews deny. Rules alone do not remove anybody from an additive target.
func (d *decider) deny(l *line, target *policy.Target) {
	switch additive := target.Additive && access.OnlyRules(l.denied); {
	case !additive:
		d.change(access.Remove, target, l.denied)
		if l.held && !target.Entitlement.Presence() {
			d.record(l, target, lastReasons(l.holding))
		}
	case l.held:
		d.record(l, target, lastReasons(l.holding))
	}
}

// give adds or adopts a membership that has reasons.
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

// release removes a membership without reasons, if the target's mode allows it, and unless a mapping may give it.
func (d *decider) release(l *line, target *policy.Target) {
	owned, mode := l.owned(), target.Mode(d.would)
	if l.policySays != nil && l.policySays.MayBeMapped() {
		if !l.unseen() {
			d.record(l, target, lastReasons(l.holding))
		}
		return
	}
	if l.unseen() && mode != policy.RemoveNever {
		d.change(access.Remove, target, lastReasons(l.holding))
		return
	}
	if l.held && !owned {
		d.Foreign++
	}
	var reasons []access.Reason
	switch accepted := d.acceptedReasons(target); {
	case l.held && accepted != nil && mode != policy.RemoveNever:
		d.change(access.Remove, target, accepted)
	case l.held && (mode == policy.RemoveAll || mode == policy.RemoveOwned && owned):
		reasons = lastReasons(l.holding)
		d.change(access.Remove, target, reasons)
	case l.held && !owned:
		d.Unexplained = append(d.Unexplained, target.Entitlement)
	}
	d.record(l, target, reasons)
}

// acceptedReasons returns why a membership of somebody else's making is removed: a person accepted that its group
// follows an identity source.
func (d *decider) acceptedReasons(target *policy.Target) []access.Reason {
	for _, a := range d.accepted {
		if a.GroupID == target.GroupID && a.GroupID != "" {
			return []access.Reason{{Kind: access.ReasonConflict, Name: a.Conflict}}
		}
	}
	return nil
}

// noteUnseen notes recorded memberships that the read does not show and no change resolves. The lists of somebody
// suspended or deactivated are no evidence: their memberships may come back with them.
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
			d.Unseen = append(d.Unseen, access.MissingHolding{Holding: *l.holding})
		}
	}
}

// unseenTakenByHand returns a membership that was removed by hand, with the grants that gave it.
func (d *decider) unseenTakenByHand(l *line) access.MissingHolding {
	u := access.MissingHolding{Holding: *l.holding}
	if l.want == nil {
		return u
	}
	for _, r := range l.want.Reasons {
		if r.Kind == access.ReasonGrant && HeldByGrant(*l.holding, r.Name, d.grants) {
			u.Grants = append(u.Grants, r.Name)
		}
	}
	return u
}

// lastReasons returns a holding's reasons.
func lastReasons(h *access.Holding) []access.Reason {
	if h == nil {
		return nil
	}
	return h.Reasons
}

func (d *decider) change(action access.Action, target *policy.Target, reasons []access.Reason) {
	group := target.GroupID
	if target.Coming {
		group = "" // not created yet
	}
	d.Changes = append(d.Changes, access.Change{
		Person: d.person.ID, Email: d.person.Email, Target: target.Entitlement, GroupID: group, Action: action,
		Reasons: reasons, Sources: target.DecidingGroups(), State: access.Planned,
	})
}

// record updates the holding of a target: it closes one that ended or changed, and opens the current one.
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

// closeUnmanaged ends holdings of unmanaged targets that the read does not show. Otherwise an owned holding could
// outlive the membership and later claim somebody else's. Foreign holdings end at once; owned ones only once other
// reads agree. A group that the read does not show at all may be gone or hidden, which only reads of groups tell.
func (d *decider) closeUnmanaged(s State) {
	for _, h := range s.Holdings {
		if _, renamed := d.bound.TargetOf(h.GroupID); renamed {
			continue
		}
		if _, managed := d.bound.Target(h.Target); managed || !h.Until.IsZero() ||
			h.GroupID != "" && !d.bound.Shown(h.GroupID) {
			continue
		}
		if h.GroupID == "" && h.Target != access.OrgAdmin { // no sweep reads these
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
			d.Unseen = append(d.Unseen, access.MissingHolding{Holding: h})
		case !h.Owned:
			d.close(h)
		}
	}
}

// dropUntilNamesResolve drops removals from a protected target while a name that the policy protects there leads to no
// account: it may be this person.
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

// dropRejected drops rejected changes, and lifts the rejections of managed targets that no longer apply. Whoever
// accepts a difference between two groups overrules what was rejected before that.
func (d *decider) dropRejected(rejected []access.Change) {
	for _, r := range rejected {
		stops := func(c access.Change) bool {
			overruled := onlyConflicts(c.Reasons) && !slices.Equal(c.Reasons, r.Reasons)
			stopped := c.Action == r.Action && same(c.Target, r.Target) && !overruled
			if stopped && c.Action == access.Remove {
				d.Kept = append(d.Kept, c.Target)
			}
			return stopped
		}
		before := len(d.Changes)
		d.Changes = slices.DeleteFunc(d.Changes, stops)
		d.Suppressed += before - len(d.Changes)
		if _, managed := d.bound.Target(r.Target); managed && before == len(d.Changes) {
			d.Lift = append(d.Lift, r)
		}
	}
}

// noteLostApps sets for every removal the apps that the person loses: those that none of their remaining groups opens.
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
			for _, app := range d.bound.AppsOpenedBy(groupID) {
				left[app] = true
			}
		}
	}
	managed := map[string]bool{} // decided by their lines, since the read may lag
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
		for _, app := range d.bound.AppsOpenedBy(c.GroupID) {
			if !left[app] {
				c.Loses = append(c.Loses, app)
			}
		}
	}
}

// noteAllAppsLost sets every app as lost for a suspension or removal.
func (d *decider) noteAllAppsLost() {
	var apps []string
	for _, id := range d.person.GroupIDs {
		apps = append(apps, d.bound.AppsOpenedBy(id)...)
	}
	slices.Sort(apps)
	apps = slices.Compact(apps)
	for i := range d.Changes {
		if c := &d.Changes[i]; c.Target.Presence() && c.Action == access.Remove {
			c.Loses = apps
		}
	}
}

// Reversals counts how often writes to the change's target reversed the one before, the change included. written are
// the person's writes, oldest first.
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
