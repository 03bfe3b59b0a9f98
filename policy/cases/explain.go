package cases

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/window"
)

// whySilent returns why a rule says nothing at all.
func (j *outcome) whySilent(r *policy.Rule) string {
	if j.Case.Person.IsApp() {
		return "no rule speaks of apps"
	}
	return "it says nothing: " + cmp.Or(j.blocked[access.Fold(r.Name)], "it cannot be read")
}

// about is everything that was said of a target.
func (j *outcome) about(t int) string {
	var parts []string
	gives := false
	if w := j.wants[t]; w != nil {
		for _, r := range w.Reasons {
			if gives = true; r.Kind != access.ReasonRule {
				parts = append(parts, r.String()+" gives it")
			}
		}
	}
	among := func(all []access.Entitlement) bool {
		return slices.ContainsFunc(all, func(e access.Entitlement) bool {
			return slices.Contains(j.bound.AllTargets(e), t)
		})
	}
	for _, a := range j.resolution.Rules {
		give, deny := j.rule(a.Name).Targets()
		if among(give) {
			parts = append(parts, j.says(a, "gives it", false))
		}
		if among(deny) {
			parts = append(parts, j.says(a, "denies it", true))
		}
	}
	switch {
	case j.Case.Person.IsApp():
		parts = append(parts, "the policy never touches apps")
	case !gives && !j.bound.Targets[t].Entitlement.Presence():
		parts = append([]string{"nothing gives it"}, parts...)
	case len(parts) == 0:
		parts = append(parts, "nothing speaks of it")
	}
	return strings.Join(parts, "; ")
}

// says returns what a rule that gives or denies a target says of the person.
func (j *outcome) says(a policy.RuleAnswer, does string, harms bool) string {
	switch {
	case a.Verdict != policy.VerdictHolds && (a.Verdict != policy.VerdictGrace || harms):
		return fmt.Sprintf("rule %s, which %s, says %s%s", a.Name, does, a.Verdict, j.because(a))
	case !a.Acting:
		return fmt.Sprintf("rule %s %s, but it only observes", a.Name, does)
	}
	return fmt.Sprintf("rule %s %s", a.Name, does)
}

// because is why a rule says what it says.
func (j *outcome) because(a policy.RuleAnswer) string {
	r := j.rule(a.Name)
	switch a.Verdict {
	case policy.VerdictNo:
		if r.Release != "" && !j.Holding[strings.ToLower(r.Name)].IsZero() {
			return ", since its condition is false, and its release is true"
		}
		return j.whyNot(r.When)
	case policy.VerdictClosed:
		times, _ := window.Compile(r.Window()) // it can be: the rule answers
		next := times.Next(j.At)
		if next.IsZero() {
			return fmt.Sprintf(", since it is not in force at %s, nor ever after", window.Exactly(j.At))
		}
		return fmt.Sprintf(", since it is not in force at %s; it is from %s on", window.Exactly(j.At),
			window.Exactly(next))
	case policy.VerdictUnknown:
		return ", since " + a.Why
	case policy.VerdictWaits:
		return fmt.Sprintf(", since it holds only since %s, and waits until %s", window.Exactly(a.Since),
			window.Exactly(a.Due))
	case policy.VerdictGrace:
		if a.Due.IsZero() {
			return ", since nobody was told of it yet, so that its grace period has not begun"
		}
		return fmt.Sprintf(", since its grace period ends only at %s", window.Exactly(a.Due))
	}
	return ""
}

// whyNot returns the first part of a condition that is false, and the facts it asks for.
func (j *outcome) whyNot(text string) string {
	all, known := j.parts[text]
	if !known {
		if c, err := j.policy.Condition(text); err == nil {
			all = condition.Parts(c)
		}
		j.parts[text] = all
	}
	for _, p := range all {
		if holds, err := p.Condition.Answer(j.facts); err != nil || holds {
			continue
		}
		if len(p.Facts) == 1 && p.Text == p.Facts[0] {
			return ", since " + p.Text + " is false"
		}
		return fmt.Sprintf(", since %s is false%s", strictyaml.Shown(p.Text), j.values(p.Facts))
	}
	return ", since its condition is false"
}

// values returns what simple facts are.
func (j *outcome) values(facts []string) string {
	var words []string
	for _, name := range facts {
		value, _ := j.facts.ResolveName(name)
		switch v := value.(type) {
		case types.String:
			words = append(words, fmt.Sprintf("%s is %q", name, strictyaml.Shown(string(v))))
		case types.Bool:
			words = append(words, fmt.Sprintf("%s is %t", name, bool(v)))
		case types.Timestamp:
			words = append(words, fmt.Sprintf("%s is %s", name, window.Exactly(v.UTC())))
		case []string:
			words = append(words, fmt.Sprintf("%s are %q", name, v[:min(len(v), 10)]))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}
