package policy

import "github.com/castellan-io/castellan/access"

// bindGrants manages what can be granted. It comes after all mappings: what they say of a target stands.
func (w *binder) bindGrants() {
	mapped := w.managed()
	first := map[*Target]*Grantable{}
	for i := range w.policy.Grants {
		entry := &w.policy.Grants[i]
		for _, e := range entry.Targets {
			w.noteMissing(e, false)
			for _, t := range w.manageTarget(e) {
				w.noteEnds(t, first, entry)
				t.Lost = moreCarefulLost(t.Lost, entry.Lost)
				t.HandTaken = moreCarefulHandTaken(t.HandTaken, entry.HandTaken)
				switch {
				case !mapped[t]:
					t.Granted, t.Removals = true, RemoveOwned
				case t.Removals == RemoveNever:
					w.find("grant-additive", string(t.Entitlement), true,
						"entry %s of grants allows it to be granted, but a mapping has removals: never for it, so a grant could not be revoked; write removals: owned there", entry.Name)
				}
			}
		}
		w.reportApprovers(entry)
		w.reportEligible(entry)
	}
}

// noteEnds reports that two entries which name one target differently disagree on how its grants end. By one name the
// file is refused.
func (w *binder) noteEnds(t *Target, first map[*Target]*Grantable, entry *Grantable) {
	other, said := first[t]
	if !said {
		first[t] = entry
		return
	}
	differ := func(rule, key, one, two string) {
		if one != two {
			w.find(rule, string(t.Entitlement), false,
				"entry %s of grants says %s: %s and entry %s says %s: %s, under two names of one target; the more careful one applies. Write the same in both",
				other.Name, key, one, entry.Name, key, two)
		}
	}
	differ("lost-differs", "lost", string(other.Lost), string(entry.Lost))
	differ("hand-taken-differs", "handTaken", string(other.HandTaken), string(entry.HandTaken))
}

// keepFormerGrants keeps what the policy does not let be granted any more, until the last grant of it is over.
func (w *binder) keepFormerGrants(granted []access.Entitlement) {
	known := w.managed()
	for _, e := range granted {
		for _, t := range w.manageTarget(e) {
			if !known[t] {
				t.Granted, t.Removals, t.Lost = true, RemoveOwned, LostRemove
				t.HandTaken = HandTakenEnd
			}
		}
	}
}

// managed returns all targets so far.
func (w *binder) managed() map[*Target]bool {
	known := map[*Target]bool{}
	for _, t := range w.targets {
		known[t] = true
	}
	return known
}

// reportApprovers reports the groups whose members should approve and that do not exist.
func (w *binder) reportApprovers(entry *Grantable) {
	if entry.Approval == nil {
		return
	}
	for _, name := range entry.Approval.Groups {
		if len(w.groupsCalled(name)) == 0 {
			w.find("approvers-missing", string(access.GroupEntitlement(name)), false,
				"entry %s of grants: there is no such group%s, so nobody can approve as its member; create it, or correct the name", entry.Name, w.instead(name))
		}
	}
}

// reportEligible reports what the condition on who may receive asks for and the organization does not have: nobody is
// in such a group, so in() keeps everybody out, and !in() nobody.
func (w *binder) reportEligible(entry *Grantable) {
	if entry.Eligible == "" {
		return
	}
	condition, err := w.policy.Condition(entry.Eligible)
	if err != nil {
		return // Eligible says so to whoever asks
	}
	for _, name := range condition.Needs.Groups {
		if len(w.groupsCalled(name)) == 0 && !w.willBeMade(access.GroupEntitlement(name)) {
			w.find("eligible-group-unknown", name, false,
				"eligible of entry %s of grants asks about a group that does not exist%s, so nobody counts as its member; correct the name, or create the group", entry.Name, w.instead(name))
		}
	}
	for _, app := range condition.Needs.Apps {
		if !w.hasApp(app) {
			w.find("eligible-app-unknown", app, false,
				"eligible of entry %s of grants asks about an app that the organization does not have; it has %s", entry.Name, w.siteList())
		}
	}
}

// moreCarefulHandTaken returns the more careful of what two names of one target say: what was taken stays taken.
func moreCarefulHandTaken(a, b HandTakenMode) HandTakenMode {
	if a == HandTakenEnd || b == HandTakenEnd {
		return HandTakenEnd
	}
	return HandTakenRestore
}

// moreCarefulLost returns the more careful of what two names of one target say.
func moreCarefulLost(a, b LostMode) LostMode {
	for _, m := range []LostMode{LostReport, LostHold} {
		if a == m || b == m {
			return m
		}
	}
	return LostRemove
}
