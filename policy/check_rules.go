package policy

import (
	"fmt"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/window"
)

// checkRules finds what is wrong between the keys of a rule, and between rules and the rest of the file.
func (r *reader) checkRules(p *Policy) {
	first, additive := map[string]int{}, map[string]string{}
	for i, m := range p.Mappings {
		for _, to := range m.To {
			if m.Removals == RemoveNever {
				additive[fold(to)] = fmt.Sprintf("mappings[%d]", i)
			}
		}
	}
	for i := range p.Rules {
		x, path := &p.Rules[i], fmt.Sprintf("rules[%d]", i)
		key := access.Fold(x.Name)
		if before, twice := first[key]; twice && x.Name != "" {
			r.failAt(path+".name", "the name %q is taken by rules[%d]; give each rule its own", x.Name, before)
		} else {
			first[key] = i
		}
		r.checkActions(x, path)
		r.checkModesOf(p, x, path)
		for _, deny := range x.Deny {
			if where := additive[fold(deny)]; where != "" {
				r.failAt(r.pathOf(path+".deny", deny),
					"%q is denied here, and %s says removals: never for it; write removals: owned there", deny, where)
			}
		}
	}
}

// checkActions finds what does not go together in one rule.
func (r *reader) checkActions(x *Rule, path string) {
	node := r.at[path]
	switch {
	case !x.Acts() && len(x.Notify) == 0:
		r.fail(node, path, "the rule does nothing; add give, deny, suspend, restore, remove or notify")
	case x.Restore && (x.Suspend || x.Remove):
		r.fail(node, path, "the rule restores people and takes them away; make two rules of it")
	case x.Suspend && x.Remove:
		r.fail(node, path, "whom the rule removes need not be suspended; keep one of suspend and remove")
	case x.Grace > 0 && !x.Harms():
		r.failAt(path+".grace", "the rule takes nothing, so nobody needs time; take it away, or write after")
	case x.Harms() && r.asksUse(x) && x.After+x.Grace < Duration(window.Day):
		r.fail(node, path, "what Atlassian says of the use of apps is up to a day behind, and the rule takes something by it; write after or grace, together 1d or more")
	case x.Shown != "" && x.Mode != RuleEnforce:
		r.failAt(path+".shown", "only what is enforced is held against what was shown; write mode: enforce, or take shown away")
	case x.Owner == "" && (x.Harms() || contains(x.Notify, NotifyOwner)):
		r.fail(node, path, "owner is missing; name who answers for a rule that takes something from people, or that tells its owner")
	}
	for _, give := range x.Give {
		for _, deny := range x.Deny {
			if fold(give) == fold(deny) {
				r.failAt(r.pathOf(path+".deny", deny), "%q is given and denied by one rule; keep one", deny)
			}
		}
	}
}

// asksUse says that the rule looks at when apps were used.
func (r *reader) asksUse(x *Rule) bool {
	c := r.conditions[x.When]
	return c != nil && c.Needs.Activity
}

func contains(all []string, s string) bool {
	for _, one := range all {
		if one == s {
			return true
		}
	}
	return false
}

// checkModesOf refuses a rule that gives a target and disagrees with whatever else gives it on what may be taken from
// it.
func (r *reader) checkModesOf(p *Policy, x *Rule, path string) {
	for _, give := range x.Give {
		disagree := func(where string, other Mode) {
			r.failAt(r.pathOf(path+".give", give),
				"%q has removals: %s here and removals: %s in %s; say the same in both", give, x.Removals, other, where)
		}
		for i := range p.Mappings {
			if m := &p.Mappings[i]; m.Removals != x.Removals && among(m.To, give) {
				disagree(fmt.Sprintf("mappings[%d]", i), m.Removals)
				return
			}
		}
		for i := range p.Rules {
			if other := &p.Rules[i]; other == x {
				break
			} else if other.Removals != x.Removals && among(other.Give, give) {
				disagree(fmt.Sprintf("rules[%d]", i), other.Removals)
				return
			}
		}
	}
}

func among(all []access.Entitlement, e access.Entitlement) bool {
	for _, one := range all {
		if fold(one) == fold(e) {
			return true
		}
	}
	return false
}
