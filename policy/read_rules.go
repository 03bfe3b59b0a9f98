package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/window"
)

// rule reads one entry of the rules section.
func (r *reader) rule(n *yaml.Node, path string) Rule {
	x := Rule{Mode: RuleObserve, Removals: RemoveOwned}
	r.Object(n, path, strictyaml.Fields{
		"name":        r.Checked(&x.Name, form.CheckEntry),
		"description": r.Text(&x.Description),
		"owner":       r.Checked(&x.Owner, form.CheckPerson),
		"mode":        strictyaml.OneOf(r.Reader, &x.Mode, RuleObserve, RuleEnforce),
		"shown":       r.Checked(&x.Shown, planHash),
		"when":        r.condition(&x.When),
		"give":        r.counted(strictyaml.Set(r.Reader, &x.Give, maxTargets, ruleTarget)),
		"deny":        r.counted(strictyaml.Set(r.Reader, &x.Deny, maxTargets, ruleTarget)),
		"suspend":     r.Flag(&x.Suspend),
		"restore":     r.Flag(&x.Restore),
		"remove":      r.Flag(&x.Remove),
		"notify":      strictyaml.Set(r.Reader, &x.Notify, maxTargets, notified),
		"removals":    strictyaml.OneOf(r.Reader, &x.Removals, RemoveOwned, RemoveAll, RemoveNever),
		"during":      r.window(&x.During),
		"after":       r.duration(&x.After, 0, Duration(maxGrant)),
		"release":     r.condition(&x.Release),
		"grace":       r.duration(&x.Grace, 0, Duration(maxGrant)),
	}, "name", "when")
	return x
}

// governance reads when the organization is looked at as a whole.
func (r *reader) governance(n *yaml.Node, path string) Governance {
	g := Governance{Inactive: DefaultInactive}
	r.Object(n, path, strictyaml.Fields{
		"schedule": r.Text(&g.Schedule),
		"zone":     r.Text(&g.Zone),
		"inactive": r.duration(&g.Inactive, Duration(window.Day), Duration(maxGrant)),
		"notify":   strictyaml.Set(r.Reader, &g.Notify, maxTargets, strictyaml.Kept(form.CheckEmail)),
	}, "schedule")
	if g.Schedule != "" {
		r.schedule(n, path, g.Schedule, g.Zone)
	}
	return g
}

// schedule checks a cron expression and its zone.
func (r *reader) schedule(n *yaml.Node, path, schedule, zone string) {
	if err := (window.Window{Cron: schedule, Zone: zone, For: Duration(time.Minute)}).Check(); err != nil {
		r.Fail(n, path, "%s", err)
	}
}

// window reads when a rule is in force.
func (r *reader) window(into **window.Window) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		var w window.Window
		before := r.Count()
		r.Object(n, path, strictyaml.Fields{
			"from":   r.Instant(&w.From),
			"until":  r.Instant(&w.Until),
			"zone":   r.Text(&w.Zone),
			"weekly": strictyaml.Set(r.Reader, &w.Weekly, window.MaxWeekly, func(s string) (string, error) { return s, nil }),
			"cron":   r.Text(&w.Cron),
			"for":    r.duration(&w.For, Duration(time.Second), Duration(maxGrant)),
		})
		if r.Count() > before {
			return
		}
		if err := w.Check(); err != nil {
			r.Fail(n, path, "%s", err)
			return
		}
		*into = &w
	}
}

var hashForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func planHash(s string) error {
	if !hashForm.MatchString(s) {
		return fmt.Errorf("%q is not the hash of what the rule was shown to do; copy it from the finding rule-observed, sha256:…", strictyaml.Shown(s))
	}
	return nil
}

func notified(s string) (string, error) {
	if s == NotifyOwner || s == NotifyPerson || form.IsEmail(s) {
		return s, nil
	}
	return "", fmt.Errorf("%q can be told nothing; write owner, person or an e-mail address", strictyaml.Shown(s))
}

// ruleTarget reads an entitlement that a rule gives or denies.
func ruleTarget(s string) (access.Entitlement, error) {
	e, err := target(s)
	switch {
	case strings.ContainsAny(s, "*?"):
		return "", fmt.Errorf("%q: a rule names its targets in full; list each target", s)
	case access.Entitlement(s).Presence():
		return "", errors.New("presence is not given and denied like access; write suspend, restore or remove: true")
	case strings.EqualFold(e.Group(), "org-admins"):
		return "", fmt.Errorf("membership of %q no longer makes anybody an administrator; write %s", s, access.OrgAdmin)
	}
	return e, err
}

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
			r.FailAt(path+".name", "the name %q is taken by rules[%d]; give each rule its own", x.Name, before)
		} else {
			first[key] = i
		}
		r.checkActions(x, path)
		r.checkModesOf(p, x, path)
		for _, deny := range x.Deny {
			if where := additive[fold(deny)]; where != "" {
				r.FailAt(r.pathOf(path+".deny", deny),
					"%q is denied here, and %s says removals: never for it; write removals: owned there", deny, where)
			}
		}
	}
}

// checkActions finds what does not go together in one rule.
func (r *reader) checkActions(x *Rule, path string) {
	node := r.At(path)
	switch {
	case !x.Acts() && len(x.Notify) == 0:
		r.Fail(node, path, "the rule does nothing; add give, deny, suspend, restore, remove or notify")
	case x.Restore && (x.Suspend || x.Remove):
		r.Fail(node, path, "the rule restores people and takes them away; make two rules of it")
	case x.Suspend && x.Remove:
		r.Fail(node, path, "whom the rule removes need not be suspended; keep one of suspend and remove")
	case x.Grace > 0 && !x.Restricts():
		r.FailAt(path+".grace", "the rule takes nothing, so nobody needs time; take it away, or write after")
	case x.Restricts() && r.asksUse(x) && x.After+x.Grace < Duration(window.Day):
		r.Fail(node, path, "what Atlassian says of the use of apps is up to a day behind, and the rule takes something by it; write after or grace, together 1d or more")
	case x.Shown != "" && x.Mode != RuleEnforce:
		r.FailAt(path+".shown", "only what is enforced is held against what was shown; write mode: enforce, or take shown away")
	case x.Owner == "" && (x.Restricts() || contains(x.Notify, NotifyOwner)):
		r.Fail(node, path, "owner is missing; name who answers for a rule that takes something from people, or that tells its owner")
	}
	for _, give := range x.Give {
		for _, deny := range x.Deny {
			if fold(give) == fold(deny) {
				r.FailAt(r.pathOf(path+".deny", deny), "%q is given and denied by one rule; keep one", deny)
			}
		}
	}
}

// asksUse reports whether the rule looks at when apps were used.
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
			r.FailAt(r.pathOf(path+".give", give),
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
