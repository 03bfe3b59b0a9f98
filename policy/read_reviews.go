package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// review reads one campaign of the reviews section.
func (r *reader) review(n *yaml.Node, path string) Review {
	x := Review{
		Scope: ReviewScope{Only: ReviewAll}, Silence: SilenceKeep, Apply: ApplyClose, Most: defaultMost,
		Keep: defaultKeep, Patience: defaultPatience,
	}
	r.Object(n, path, strictyaml.Fields{
		"name":        r.Checked(&x.Name, form.CheckShort),
		"description": r.Text(&x.Description),
		"owner":       r.Checked(&x.Owner, form.CheckEmail),
		"schedule":    r.Text(&x.Schedule),
		"zone":        r.Text(&x.Zone),
		"scope":       r.reviewScope(&x.Scope),
		"owners": r.List(maxTargets, func(n *yaml.Node, path string) {
			x.Owners = append(x.Owners, r.targetOwner(n, path))
		}),
		"stages": r.List(maxStages, func(n *yaml.Node, path string) {
			x.Stages = append(x.Stages, r.reviewStage(n, path))
		}),
		"reminders": strictyaml.Set(r.Reader, &x.Reminders, maxTargets, strictyaml.Word(RemindStart, RemindMiddle, RemindLast)),
		"silence":   r.silence(&x.Silence),
		"silenceOf": r.List(maxTargets, func(n *yaml.Node, path string) {
			x.SilenceOf = append(x.SilenceOf, r.targetSilence(n, path))
		}),
		"delegates": strictyaml.Set(r.Reader, &x.Delegates, maxTargets, delegate),
		"apply":     strictyaml.OneOf(r.Reader, &x.Apply, ApplyClose, ApplyAtOnce),
		"most":      r.Number(&x.Most, 1, maxMost),
		"deny":      r.duration(&x.Deny, 0, Duration(maxGrant)),
		"keep":      r.duration(&x.Keep, 0, Duration(maxKeep)),
		"codes":     r.Flag(&x.Codes),
		"patience":  r.duration(&x.Patience, Duration(minPatience), Duration(maxPatience)),
	}, "name", "owner", "stages")
	if x.Reminders == nil {
		x.Reminders = []Reminder{RemindStart, RemindMiddle, RemindLast}
	}
	if x.Schedule != "" {
		r.schedule(r.At(path+".schedule"), path+".schedule", x.Schedule, x.Zone)
	}
	x.people = r.conditions[x.Scope.People]
	return x
}

func (r *reader) reviewScope(s *ReviewScope) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		r.Object(n, path, strictyaml.Fields{
			"targets": r.counted(strictyaml.Set(r.Reader, &s.Targets, maxTargets, reviewTarget)),
			"people":  r.condition(&s.People),
			"only":    strictyaml.OneOf(r.Reader, &s.Only, ReviewAll, ReviewChanged),
		})
	}
}

func (r *reader) targetOwner(n *yaml.Node, path string) TargetOwner {
	var o TargetOwner
	r.Object(n, path, strictyaml.Fields{
		"targets": r.counted(strictyaml.Set(r.Reader, &o.Targets, maxTargets, reviewTarget)),
		"by":      strictyaml.Set(r.Reader, &o.By, maxTargets, strictyaml.Kept(form.CheckPerson)),
	}, "targets", "by")
	return o
}

func (r *reader) targetSilence(n *yaml.Node, path string) TargetSilence {
	var s TargetSilence
	r.Object(n, path, strictyaml.Fields{
		"targets": r.counted(strictyaml.Set(r.Reader, &s.Targets, maxTargets, reviewTarget)),
		"do":      r.silence(&s.Do),
	}, "targets", "do")
	return s
}

func (r *reader) silence(into *Silence) strictyaml.Field {
	return strictyaml.OneOf(r.Reader, into, SilenceKeep, SilenceRemove, SilenceRecommend, SilenceHold)
}

func (r *reader) reviewStage(n *yaml.Node, path string) ReviewStage {
	s := ReviewStage{Assign: AssignOne, Length: defaultStage, Next: NextUndecided}
	r.Object(n, path, strictyaml.Fields{
		"reviewers":     strictyaml.Set(r.Reader, &s.Reviewers, maxTargets, reviewer),
		"assign":        strictyaml.OneOf(r.Reader, &s.Assign, AssignOne, AssignAll),
		"fallback":      strictyaml.Set(r.Reader, &s.Fallback, maxTargets, fallback),
		"fallbackAfter": r.duration(&s.FallbackAfter, Duration(MinGrant), Duration(maxStage)),
		"escalate":      r.duration(&s.Escalate, 0, Duration(maxStage)),
		"length":        r.duration(&s.Length, Duration(MinStage), Duration(maxStage)),
		"next":          strictyaml.OneOf(r.Reader, &s.Next, NextUndecided, NextKept, NextRemoved, NextAll),
	}, "reviewers")
	if r.At(path+".fallbackAfter") == nil && len(s.Fallback) > 0 {
		s.FallbackAfter = s.Length / 2
	}
	if r.At(path+".escalate") == nil && s.Length >= 2*defaultEscalate {
		s.Escalate = defaultEscalate
	}
	return s
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
		_, err := form.Compile(e.Group())
		return e, err
	case strings.ContainsAny(s, "*?"):
		return "", fmt.Errorf("%q: only the name of a group may hold a * or ?; list each target", s)
	}
	return e, nil
}

// checkReviews finds what is wrong between the keys of a campaign, and between campaigns.
func (r *reader) checkReviews(p *Policy) {
	first := map[string]int{}
	for i := range p.Reviews {
		x, path := &p.Reviews[i], fmt.Sprintf("reviews[%d]", i)
		if before, twice := first[x.Name]; twice && x.Name != "" {
			r.FailAt(path+".name", "the name %q is taken by reviews[%d]; give each campaign its own", x.Name, before)
		} else {
			first[x.Name] = i
		}
		if zone := path + ".zone"; r.At(zone) != nil && r.At(path+".schedule") == nil {
			r.FailAt(zone, "nothing is scheduled, so no zone is needed; add schedule or take it away")
		}
		for j := range x.Stages {
			r.checkStage(&x.Stages[j], fmt.Sprintf("%s.stages[%d]", path, j), j == len(x.Stages)-1)
		}
		r.checkSilences(x, path)
	}
}

// checkStage finds what does not go together in one stage.
func (r *reader) checkStage(s *ReviewStage, path string, last bool) {
	after, escalate := path+".fallbackAfter", path+".escalate"
	switch {
	case r.At(after) == nil:
	case r.At(path+".fallback") == nil:
		r.FailAt(after, "there is nobody to fall back on; add fallback or take it away")
	case s.FallbackAfter >= s.Length:
		r.FailAt(after, "%s is not shorter than length, %s, so the fallback would never be asked; write less",
			s.FallbackAfter, s.Length)
	}
	if s.Escalate > 0 && s.Escalate >= s.Length {
		r.FailAt(escalate, "%s is not shorter than length, %s, so the owner would be asked from the start; write less, or 0s for never", s.Escalate, s.Length)
	}
	if len(s.Fallback) > 0 && slices.Equal(foldedSet(s.Fallback), foldedSet(s.Reviewers)) {
		r.FailAt(path+".fallback", "these are the reviewers, who are asked already; name others")
	}
	if last && s.Next != NextUndecided {
		r.FailAt(path+".next", "there is no stage after this one; take it away, or add the stage that is meant")
	}
}

// checkSilences refuses two meanings of silence for one target.
func (r *reader) checkSilences(x *Review, path string) {
	first := map[string]int{}
	for i := range x.SilenceOf {
		for _, e := range x.SilenceOf[i].Targets {
			if before, twice := first[fold(e)]; twice {
				r.FailAt(r.pathOf(fmt.Sprintf("%s.silenceOf[%d].targets", path, i), e),
					"%q stands already in silenceOf[%d], which is what counts; keep one", e, before)
				continue
			}
			first[fold(e)] = i
		}
	}
}

// foldedSet returns a list as far as it matters what stands in it.
func foldedSet(all []string) []string {
	folded := make([]string, len(all))
	for i, s := range all {
		folded[i] = access.Fold(s)
	}
	slices.Sort(folded)
	return folded
}
