package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// GrantRecord is what the ledger says of one person and one target that grants give. The world is not read: that is for
// the moment of writing.
type GrantRecord struct {
	Person   string
	Email    string
	Target   access.Entitlement
	Grants   []access.Grant // of this target, not settled, waiting ones left out
	All      []access.Grant // of every target, likewise
	Holdings []access.Holding
	Doubts   map[access.Entitlement]access.Change // writes that were never answered
	Seen     map[access.Entitlement]bool          // targets that this run saw held
	At       time.Time
}

// InForce are the grants of the target that are in force.
func (k GrantRecord) InForce() []access.Grant { return access.InForce(k.Grants, k.At) }

// alive keeps of some reasons those that are no grants, and the grants that are in force.
func (k GrantRecord) alive(reasons []access.Reason) (kept []access.Reason) {
	for _, r := range reasons {
		if r.Kind != access.ReasonGrant ||
			slices.ContainsFunc(k.All, func(g access.Grant) bool { return g.ID == r.Name && g.InForce(k.At) }) {
			kept = append(kept, r)
		}
	}
	return kept
}

// Names reports whether a reason is one of the record's grants.
func (k GrantRecord) Names(r access.Reason) bool {
	return r.Kind == access.ReasonGrant &&
		slices.ContainsFunc(k.Grants, func(g access.Grant) bool { return g.ID == r.Name })
}

// GrantPlan are the changes that bring the world in line with the grants, and the holdings whose reasons change without
// one.
type GrantPlan struct {
	Changes  []access.Change
	Holdings []access.Holding
}

// Plan returns what is to be given by the grants that are in force, and taken that only grants gave which are over.
func (k GrantRecord) Plan(b *policy.Bound, run string) (p GrantPlan) {
	gives := map[int][]access.Reason{}
	for _, g := range k.InForce() {
		for _, gift := range b.GrantGives(g) {
			gives[gift.Target] = append(gives[gift.Target], gift.Reason)
		}
	}
	given, named, held := map[access.Entitlement]bool{}, map[access.Entitlement]bool{}, map[access.Entitlement]bool{}
	for _, t := range b.All(k.Target) {
		target := b.Targets[t]
		named[target.Entitlement] = true
		if len(gives[t]) > 0 {
			given[target.Entitlement] = true
			p.give(k, target, gives[t], run)
		}
	}
	for _, h := range k.Holdings {
		held[h.Target] = h.Owned
		// also by grants that are settled: then their end came unnoticed
		over := len(k.alive(h.Reasons)) < len(h.Reasons)
		if !given[h.Target] && (slices.ContainsFunc(h.Reasons, k.Names) || named[h.Target] && over) {
			p.take(k, h, run)
		}
	}
	for target, c := range k.Doubts { // an add that was never answered may have been done
		if c.Action == access.Add && !given[target] && !held[target] && slices.ContainsFunc(c.Reasons, k.Names) {
			p.change(k, access.Remove, target, c.GroupID, c.Reasons)
		}
	}
	return p
}

func (p *GrantPlan) give(k GrantRecord, target policy.Target, reasons []access.Reason, run string) {
	for _, h := range k.Holdings {
		if h.Target != target.Entitlement {
			continue
		}
		// What the ledger has on its books may be gone by now, taken by hand: a grant that begins is seen to be held
		// once.
		begins := !k.Seen[target.Entitlement] &&
			slices.ContainsFunc(reasons, func(r access.Reason) bool { return !slices.Contains(h.Reasons, r) })
		reasons = append(k.alive(slices.DeleteFunc(slices.Clone(h.Reasons), k.Names)), reasons...)
		if !begins {
			p.reasons(k, h, reasons, run)
			return
		}
	}
	p.change(k, access.Add, target.Entitlement, target.GroupID, reasons)
}

func (p *GrantPlan) take(k GrantRecord, h access.Holding, run string) {
	if alive := k.alive(h.Reasons); !h.Owned || len(alive) > 0 {
		p.reasons(k, h, alive, run)
		return
	}
	p.change(k, access.Remove, h.Target, h.GroupID, h.Reasons)
}

func (p *GrantPlan) change(k GrantRecord, action access.Action, target access.Entitlement, group string,
	reasons []access.Reason) {
	p.Changes = append(p.Changes, access.Change{Person: k.Person, Email: k.Email, Target: target, GroupID: group,
		Action: action, Reasons: reasons, State: access.Planned})
}

// reasons gives a standing holding other reasons.
func (p *GrantPlan) reasons(k GrantRecord, h access.Holding, reasons []access.Reason, run string) {
	if slices.Equal(h.Reasons, reasons) {
		return
	}
	h.Reasons, h.Run, h.From, h.Until = reasons, run, k.At, time.Time{}
	p.Holdings = append(p.Holdings, h)
}

// Settle returns the ids of the grants that have given access by now, and of those of which nothing is left to take,
// once a plan has no changes.
func (k GrantRecord) Settle() (given, over []string) {
	for _, g := range k.Grants {
		switch {
		case g.InForce(k.At) && g.ProvisionedAt.IsZero():
			given = append(given, g.ID)
		case !k.At.Before(g.Until) && g.RevokedAt.IsZero():
			over = append(over, g.ID)
		}
	}
	return given, over
}

// Left says what the person still holds of the target, and why.
func (k GrantRecord) Left() string {
	var stays []string
	for _, h := range k.Holdings {
		if h.Target.Same(k.Target) {
			why := "somebody else gave it before"
			if len(h.Reasons) > 0 {
				why = h.Reasons[0].String()
			}
			stays = append(stays, why)
		}
	}
	if len(stays) == 0 {
		return "nothing is left"
	}
	return "stays, for another reason: " + strings.Join(stays, "; ")
}

// Giving returns the grants in force that give a target.
func Giving(b *policy.Bound, grants []access.Grant, target int, at time.Time) (giving []access.Grant) {
	for _, g := range access.InForce(grants, at) {
		if slices.ContainsFunc(b.GrantGives(g), func(gift policy.Gift) bool { return gift.Target == target }) {
			giving = append(giving, g)
		}
	}
	return giving
}

// Gave reports whether a grant, or one that it extends, is on the books as a reason for a holding. All are the grants
// that are known.
func Gave(h access.Holding, grant string, all []access.Grant) bool {
	for range len(all) + 1 {
		if slices.ContainsFunc(h.Reasons,
			func(r access.Reason) bool { return r.Kind == access.ReasonGrant && r.Name == grant }) {
			return true
		}
		i := slices.IndexFunc(all, func(g access.Grant) bool { return g.ID == grant })
		if i < 0 {
			return false
		}
		grant = all[i].Renews
	}
	return false
}
