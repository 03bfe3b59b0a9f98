package policy

import "github.com/castellan-io/castellan/access"

// grants manages what can be granted. It comes after all mappings: what they say of a target stands.
func (w *binder) grants() {
	mapped := w.managed()
	for i := range w.policy.Grants {
		entry := &w.policy.Grants[i]
		for _, e := range entry.Targets {
			w.lack(e, false)
			for _, t := range w.target(e) {
				t.Lost = carefulLost(t.Lost, entry.Lost)
				switch {
				case !mapped[t]:
					t.Granted, t.Removals = true, RemoveOwned
				case t.Removals == RemoveNever:
					w.find("grant-additive", string(t.Entitlement), true,
						"entry %s of grants lets it be granted for a while, but a mapping has removals: never for it, so nothing could be taken back; write removals: owned there", entry.Name)
				}
			}
		}
		w.approvers(entry)
	}
}

// formerGrants keeps what the policy does not let be granted any more, until the last grant of it is over.
func (w *binder) formerGrants(granted []access.Entitlement) {
	known := w.managed()
	for _, e := range granted {
		for _, t := range w.target(e) {
			if !known[t] {
				t.Granted, t.Removals, t.Lost = true, RemoveOwned, LostRemove
			}
		}
	}
}

// managed are all targets so far.
func (w *binder) managed() map[*Target]bool {
	known := map[*Target]bool{}
	for _, t := range w.targets {
		known[t] = true
	}
	return known
}

// approvers reports the groups whose members should approve and that do not exist.
func (w *binder) approvers(entry *Grantable) {
	if entry.Approval == nil {
		return
	}
	for _, name := range entry.Approval.Groups {
		if len(w.byName[string(lower(name))]) == 0 {
			w.find("approvers-missing", string(access.GroupEntitlement(name)), false,
				"entry %s of grants: there is no such group, so nobody can approve as its member; make it, or correct the name", entry.Name)
		}
	}
}

// carefulLost is the more careful of what two names of one target say.
func carefulLost(a, b LostMode) LostMode {
	for _, m := range []LostMode{LostReport, LostHold} {
		if a == m || b == m {
			return m
		}
	}
	return LostRemove
}
