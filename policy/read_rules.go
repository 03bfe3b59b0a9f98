package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/window"
)

// rule reads one entry of the rules section.
func (r *reader) rule(n *yaml.Node, path string) Rule {
	x := Rule{Mode: RuleObserve, Removals: RemoveOwned}
	r.object(n, path, map[string]field{
		"name":        r.checked(&x.Name, entryName),
		"description": r.text(&x.Description),
		"owner":       r.checked(&x.Owner, personName),
		"mode":        oneOf(r, &x.Mode, RuleObserve, RuleEnforce),
		"shown":       r.checked(&x.Shown, planHash),
		"when":        r.condition(&x.When),
		"give":        r.counted(set(r, &x.Give, maxTargets, ruleTarget)),
		"deny":        r.counted(set(r, &x.Deny, maxTargets, ruleTarget)),
		"suspend":     r.flag(&x.Suspend),
		"restore":     r.flag(&x.Restore),
		"remove":      r.flag(&x.Remove),
		"notify":      set(r, &x.Notify, maxTargets, notified),
		"removals":    oneOf(r, &x.Removals, RemoveOwned, RemoveAll, RemoveNever),
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
	r.object(n, path, map[string]field{
		"schedule": r.text(&g.Schedule),
		"zone":     r.text(&g.Zone),
		"inactive": r.duration(&g.Inactive, Duration(window.Day), Duration(maxGrant)),
		"notify":   set(r, &g.Notify, maxTargets, address),
	}, "schedule")
	if g.Schedule != "" {
		r.schedule(n, path, g.Schedule, g.Zone)
	}
	return g
}

// schedule checks a cron expression and its zone.
func (r *reader) schedule(n *yaml.Node, path, schedule, zone string) {
	if err := (window.Window{Cron: schedule, Zone: zone, For: Duration(time.Minute)}).Check(); err != nil {
		r.fail(n, path, "%s", err)
	}
}

func address(s string) (string, error) {
	if !emailForm.MatchString(s) {
		return "", fmt.Errorf("%q is not an e-mail address", shown(s))
	}
	return s, nil
}

// window reads when a rule is in force.
func (r *reader) window(into **window.Window) field {
	return func(n *yaml.Node, path string) {
		var w window.Window
		before := len(r.problems)
		r.object(n, path, map[string]field{
			"from":   r.instant(&w.From),
			"until":  r.instant(&w.Until),
			"zone":   r.text(&w.Zone),
			"weekly": set(r, &w.Weekly, window.MaxWeekly, func(s string) (string, error) { return s, nil }),
			"cron":   r.text(&w.Cron),
			"for":    r.duration(&w.For, Duration(time.Second), Duration(maxGrant)),
		})
		if len(r.problems) > before {
			return
		}
		if err := w.Check(); err != nil {
			r.fail(n, path, "%s", err)
			return
		}
		*into = &w
	}
}

// instant reads an RFC 3339 instant.
func (r *reader) instant(into *time.Time) field {
	return func(n *yaml.Node, path string) {
		t, err := time.Parse(time.RFC3339, n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || t.Year() < 2000 {
			r.fail(n, path, "%q is not an instant; write one with its zone, for example 2026-12-01T00:00:00+01:00",
				shown(n.Value))
			return
		}
		*into = t.UTC()
	}
}

var hashForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func planHash(s string) error {
	if !hashForm.MatchString(s) {
		return fmt.Errorf("%q is not the hash of what the rule was shown to do; copy it from the finding rule-observed, sha256:…", shown(s))
	}
	return nil
}

func notified(s string) (string, error) {
	if s == NotifyOwner || s == NotifyPerson || emailForm.MatchString(s) {
		return s, nil
	}
	return "", fmt.Errorf("%q can be told nothing; write owner, person or an e-mail address", shown(s))
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
