package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
)

// review reads one campaign of the reviews section.
func (r *reader) review(n *yaml.Node, path string) Review {
	x := Review{
		Scope: ReviewScope{Only: ReviewAll}, Silence: SilenceKeep, Apply: ApplyClose, Most: defaultMost,
		Keep: defaultKeep, Patience: defaultPatience,
	}
	r.object(n, path, map[string]field{
		"name":        r.checked(&x.Name, shortName),
		"description": r.text(&x.Description),
		"owner":       r.checked(&x.Owner, func(s string) error { _, err := address(s); return err }),
		"schedule":    r.text(&x.Schedule),
		"zone":        r.text(&x.Zone),
		"scope":       r.reviewScope(&x.Scope),
		"owners": r.list(maxTargets, func(n *yaml.Node, path string) {
			x.Owners = append(x.Owners, r.targetOwner(n, path))
		}),
		"stages": r.list(maxStages, func(n *yaml.Node, path string) {
			x.Stages = append(x.Stages, r.reviewStage(n, path))
		}),
		"reminders": set(r, &x.Reminders, maxTargets, word(RemindStart, RemindMiddle, RemindLast)),
		"silence":   r.silence(&x.Silence),
		"silenceOf": r.list(maxTargets, func(n *yaml.Node, path string) {
			x.SilenceOf = append(x.SilenceOf, r.targetSilence(n, path))
		}),
		"delegates": set(r, &x.Delegates, maxTargets, delegate),
		"apply":     oneOf(r, &x.Apply, ApplyClose, ApplyAtOnce),
		"most":      r.number(&x.Most, 1, maxMost),
		"deny":      r.duration(&x.Deny, 0, Duration(maxGrant)),
		"keep":      r.duration(&x.Keep, 0, Duration(maxKeep)),
		"codes":     r.flag(&x.Codes),
		"patience":  r.duration(&x.Patience, Duration(minPatience), Duration(maxPatience)),
	}, "name", "owner", "stages")
	if x.Reminders == nil {
		x.Reminders = []Reminder{RemindStart, RemindMiddle, RemindLast}
	}
	if x.Schedule != "" {
		r.schedule(r.at[path+".schedule"], path+".schedule", x.Schedule, x.Zone)
	}
	x.people = r.conditions[x.Scope.People]
	return x
}

func (r *reader) reviewScope(s *ReviewScope) field {
	return func(n *yaml.Node, path string) {
		r.object(n, path, map[string]field{
			"targets": r.counted(set(r, &s.Targets, maxTargets, reviewTarget)),
			"people":  r.condition(&s.People),
			"only":    oneOf(r, &s.Only, ReviewAll, ReviewChanged),
		})
	}
}

func (r *reader) targetOwner(n *yaml.Node, path string) TargetOwner {
	var o TargetOwner
	r.object(n, path, map[string]field{
		"targets": r.counted(set(r, &o.Targets, maxTargets, reviewTarget)),
		"by":      set(r, &o.By, maxTargets, func(s string) (string, error) { return s, personName(s) }),
	}, "targets", "by")
	return o
}

func (r *reader) targetSilence(n *yaml.Node, path string) TargetSilence {
	var s TargetSilence
	r.object(n, path, map[string]field{
		"targets": r.counted(set(r, &s.Targets, maxTargets, reviewTarget)),
		"do":      r.silence(&s.Do),
	}, "targets", "do")
	return s
}

func (r *reader) silence(into *Silence) field {
	return oneOf(r, into, SilenceKeep, SilenceRemove, SilenceRecommend, SilenceHold)
}

func (r *reader) reviewStage(n *yaml.Node, path string) ReviewStage {
	s := ReviewStage{Assign: AssignOne, Length: defaultStage, Next: NextUndecided}
	r.object(n, path, map[string]field{
		"reviewers":     set(r, &s.Reviewers, maxTargets, reviewer),
		"assign":        oneOf(r, &s.Assign, AssignOne, AssignAll),
		"fallback":      set(r, &s.Fallback, maxTargets, fallback),
		"fallbackAfter": r.duration(&s.FallbackAfter, Duration(minGrant), Duration(maxStage)),
		"escalate":      r.duration(&s.Escalate, 0, Duration(maxStage)),
		"length":        r.duration(&s.Length, Duration(MinStage), Duration(maxStage)),
		"next":          oneOf(r, &s.Next, NextUndecided, NextKept, NextRemoved, NextAll),
	}, "reviewers")
	if r.at[path+".fallbackAfter"] == nil && len(s.Fallback) > 0 {
		s.FallbackAfter = s.Length / 2
	}
	if r.at[path+".escalate"] == nil && s.Length >= 2*defaultEscalate {
		s.Escalate = defaultEscalate
	}
	return s
}

// word reads one of a few words of a list.
func word[T ~string](words ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		if !slices.Contains(words, T(s)) {
			return "", fmt.Errorf("%q is unknown; write one of %s", shown(s), joined(words))
		}
		return T(s), nil
	}
}

// reviewTarget reads an entitlement that is reviewed, or a glob over the groups of Atlassian's own.
func reviewTarget(s string) (access.Entitlement, error) {
	e, err := access.ParseEntitlement(s)
	if err != nil {
		return "", err
	}
	switch {
	case e == access.Organization:
		return "", fmt.Errorf("%q: who is in the organization is reviewed by %s, of which a removal suspends people; a rule with remove: true takes them out", s, access.Directory)
	case strings.EqualFold(e.Group(), "org-admins"):
		return "", fmt.Errorf("membership of %q no longer makes anybody an administrator; write %s", s, access.OrgAdmin)
	case e.Kind() == access.KindGroup:
		_, err := compile(e.Group())
		return e, err
	case strings.ContainsAny(s, "*?"):
		return "", fmt.Errorf("%q: only the name of a group may hold a * or ?; list each target", s)
	}
	return e, nil
}
