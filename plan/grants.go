package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// GrantRecord is what the ledger has about one person's grants of one target. Atlassian is only read at the moment of
// writing.
type GrantRecord struct {
	Person   string
	Email    string
	Target   access.Entitlement
	Grants   []access.Grant // of this target, neither settled nor waiting
	All      []access.Grant // of every target, likewise
	Holdings []access.Holding
	Doubts   map[access.Entitlement]access.Change // writes of unknown outcome
	Seen     map[access.Entitlement]bool          // targets that this run saw held
	At       time.Time
}

// InForce returns the grants of the target that are in force.
func (k GrantRecord) InForce() []access.Grant { return access.InForce(k.Grants, k.At) }

// alive returns the reasons without grants that are over.
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

// GrantPlan are the changes that the grants require, and the holdings of which only the reasons change.
type GrantPlan struct {
	Changes  []access.Change
	Holdings []access.Holding
}

// Plan returns the additions for grants in force, and the removals of what only grants gave that are over.
func (k GrantRecord) Plan(b *policy.Bound, run string) (p GrantPlan) {
	gives := map[int][]access.Reason{}
	for _, g := range k.InForce() {
		for _, gift := range b.GrantGives(g) {
			gives[gift.Target] = append(gives[gift.Target], gift.Reason)
		}
	}
	given, named, held := map[access.Entitlement]bool{}, map[access.Entitlement]bool{}, map[access.Entitlement]bool{}
	for _, t := range b.AllTargets(k.Target) {
		target := b.Targets[t]
		named[target.Entitlement] = true
		if len(gives[t]) > 0 {
			given[target.Entitlement] = true
			p.give(k, target, gives[t], run)
		}
	}
	for _, h := range k.Holdings {
		held[h.Target] = h.Owned
		// also grants that are settled: their end was not noticed
		over := len(k.alive(h.Reasons)) < len(h.Reasons)
		if !given[h.Target] && (slices.ContainsFunc(h.Reasons, k.Names) || named[h.Target] && over) {
			p.take(k, h, run)
		}
	}
	for target, c := range k.Doubts { // an addition of unknown outcome may have been made
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
		// The recorded holding may have been removed by hand: check it once for a grant that begins.
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

// reasons changes the reasons of a holding.
func (p *GrantPlan) reasons(k GrantRecord, h access.Holding, reasons []access.Reason, run string) {
	if slices.Equal(h.Reasons, reasons) {
		return
	}
	h.Reasons, h.Run, h.From, h.Until = reasons, run, k.At, time.Time{}
	p.Holdings = append(p.Holdings, h)
}

// Finished returns the ids of the grants that are now provisioned, and of those that are now revoked, if the plan has
// no changes.
func (k GrantRecord) Finished() (given, over []string) {
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

// Remaining describes what the person still holds of the target, and why.
func (k GrantRecord) Remaining() string {
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

// GrantsGiving returns the grants in force that give a target.
func GrantsGiving(b *policy.Bound, grants []access.Grant, target int, at time.Time) (giving []access.Grant) {
	for _, g := range access.InForce(grants, at) {
		if slices.ContainsFunc(b.GrantGives(g), func(gift policy.GrantedTarget) bool { return gift.Target == target }) {
			giving = append(giving, g)
		}
	}
	return giving
}

// HeldByGrant reports whether a grant, or one that it extends, is a reason of a holding. all are the known grants.
func HeldByGrant(h access.Holding, grant string, all []access.Grant) bool {
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
