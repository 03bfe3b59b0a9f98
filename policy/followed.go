package policy

import (
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
)

// NeedsFollowUp reports whether a written change may alter what the policy gives its person, who is then decided again.
// Given presence enables everything that mappings give; all else matters only to rules that ask for it.
func (b *Bound) NeedsFollowUp(action access.Action, target access.Entitlement, groupID string) bool {
	if action == access.Adopt || target == access.Organization {
		return false
	}
	asks := b.needs
	switch {
	case target == access.Directory:
		return action == access.Add || len(b.rules) > 0
	case target == access.OrgAdmin:
		return asks.Roles
	case asks.Activity && (groupID == "" || len(b.opens[groupID]) > 0):
		return true
	}
	return groupID != "" && (asks.AnyGroup || b.asked[groupID])
}

// FollowsFacts reports whether anything that is known of a person may alter what the policy gives them.
func (b *Bound) FollowsFacts() bool { return len(b.rules) > 0 }

// Watches reports whether what happens to a group, whoever makes it, may alter what the policy says or what Castellan
// made: one that a mapping takes from, a target, one that a rule asks for, synced or not; any, where a rule looks at
// the whole list.
func (b *Bound) Watches(groupID string) bool {
	_, target := b.targetByGroup[groupID]
	return target || b.needs.AnyGroup || b.asked[groupID] || b.statements[groupID] != nil
}

// FollowsGrants reports whether some rule asks which grants are in force, so that a person is decided again as one
// begins or ends.
func (b *Bound) FollowsGrants() bool { return b.needs.Grants }

// NeedsLists reports whether some enforced rule asks for groups, roles or apps, so that its result may depend on their
// absence.
func (b *Bound) NeedsLists() bool { return len(b.asked) > 0 || b.needs.Roles || b.needs.Activity }

// NeedsApps reports whether the target may depend on somebody's not having an app: rules about it, or about presence,
// ask for apps or their use.
func (b *Bound) NeedsApps(t int) bool {
	return slices.ContainsFunc(b.rules, func(r boundRule) bool {
		return r.Mode == RuleEnforce && (r.condition.Needs.Activity || r.release != nil && r.release.Needs.Activity) &&
			b.concerns(&r, t)
	})
}

// HiddenApps returns the ids of the apps on sites to which a read does not show the person to have access; none where
// it does not say.
func (b *Bound) HiddenApps(p access.Person) (ids []string) {
	if p.Activity == nil {
		return nil
	}
	for id := range b.sites {
		if !slices.ContainsFunc(p.Activity, func(a access.Activity) bool { return a.Resource == id }) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// NeedsRoles reports whether some enforced rule asks for roles.
func (b *Bound) NeedsRoles() bool { return b.needs.Roles }

// NeedsEveryGroup reports whether some enforced rule looks at the whole list of a person's groups.
func (b *Bound) NeedsEveryGroup() bool { return b.needs.AnyGroup }

// Groups returns the ids of all groups, sorted.
func (b *Bound) Groups() []string { return b.groups }

// needsOfRules returns what the enforced rules ask for, all together.
func needsOfRules(rules []boundRule) (all condition.Needs) {
	for i := range rules {
		r := &rules[i]
		if r.Mode != RuleEnforce {
			continue
		}
		for _, c := range []*condition.Condition{r.condition, r.release} {
			if c != nil {
				all.Grants, all.Roles = all.Grants || c.Needs.Grants, all.Roles || c.Needs.Roles
				all.Activity, all.AnyGroup = all.Activity || c.Needs.Activity, all.AnyGroup || c.Needs.AnyGroup
			}
		}
	}
	return all
}
