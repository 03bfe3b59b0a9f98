package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// grantable reads one entry of the grants section.
func (r *reader) grantable(n *yaml.Node, path string) Grantable {
	g := Grantable{Reason: true, Lost: LostRemove, End: EndSuspend, HandTaken: HandTakenEnd}
	r.Object(n, path, strictyaml.Fields{
		"name":        r.Checked(&g.Name, form.CheckEntry),
		"description": r.Text(&g.Description),
		"targets":     strictyaml.Set(r.Reader, &g.Targets, maxTargets, grantTarget),
		"eligible":    r.condition(&g.Eligible),
		"duration":    r.grantDuration(&g.Duration),
		"approval":    strictyaml.Section(&g.Approval, r.approval),
		"reason":      r.Flag(&g.Reason),
		"ticket":      r.Checked(&g.Ticket, func(s string) error { _, err := ticketPattern(s); return err }),
		"ahead":       r.duration(&g.Ahead, 0, Duration(maxGrant)),
		"extend":      strictyaml.Section(&g.Extend, r.extension),
		"remind":      r.duration(&g.Remind, 0, Duration(maxGrant)),
		"cooldown":    r.duration(&g.Cooldown, 0, Duration(maxGrant)),
		"breakGlass":  strictyaml.Section(&g.BreakGlass, r.breakGlass),
		"lost":        strictyaml.OneOf(r.Reader, &g.Lost, LostRemove, LostHold, LostReport),
		"end":         strictyaml.OneOf(r.Reader, &g.End, EndSuspend, EndRemove),
		"handTaken":   strictyaml.OneOf(r.Reader, &g.HandTaken, HandTakenEnd, HandTakenRestore),
	}, "name", "targets", "duration")
	return g
}

func (r *reader) grantDuration(d *GrantDuration) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		r.Object(n, path, strictyaml.Fields{"default": r.span(&d.Default), "max": r.span(&d.Max)}, "max")
		if d.Default == 0 {
			d.Default = min(defaultGrant, d.Max)
		}
	}
}

func (r *reader) approval(n *yaml.Node, path string) Approval {
	a := Approval{Count: 1, Wait: defaultWait}
	r.Object(n, path, strictyaml.Fields{
		"count":  r.Number(&a.Count, 1, maxCount),
		"by":     r.people(&a.By),
		"groups": strictyaml.Set(r.Reader, &a.Groups, maxList, wholeName),
		"wait":   r.span(&a.Wait),
		"codes":  r.Flag(&a.Codes),
	})
	return a
}

func (r *reader) extension(n *yaml.Node, path string) Extension {
	e := Extension{Times: 1}
	r.Object(n, path, strictyaml.Fields{
		"max":      r.span(&e.Max),
		"times":    r.Number(&e.Times, 1, maxTimes),
		"approval": r.Flag(&e.Approval),
	}, "max")
	return e
}

func (r *reader) breakGlass(n *yaml.Node, path string) BreakGlass {
	var b BreakGlass
	r.Object(n, path, strictyaml.Fields{"people": r.people(&b.People), "max": r.span(&b.Max)}, "people", "max")
	return b
}

// span reads a duration that may not be nothing.
func (r *reader) span(into *Duration) strictyaml.Field {
	return r.duration(into, Duration(MinGrant), Duration(maxGrant))
}

// condition reads and compiles a condition. What is wrong with it is reported at its place in the file.
func (r *reader) condition(into *string) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		text, ok := r.Scalar(n, path)
		if !ok {
			return
		}
		if r.words += len(text); r.words > maxWords {
			r.Fail(n, path, "the conditions of the file have more than %d characters together; shorten them", maxWords)
			return
		}
		compiled, err := condition.Compile(text)
		var wrong *condition.Error
		if errors.As(err, &wrong) {
			r.FailWithin(n, path, wrong.Offset, "%s", err)
			return
		}
		if r.conditions[text] == nil && compiled.Needs.Comprises {
			if r.loops++; r.loops > maxLoops {
				r.Fail(n, path, "more than %d conditions of the file go through lists (exists, all, map, filter); write in() and inAny() where you can", maxLoops)
				return
			}
		}
		if r.conditions[text] == nil {
			if r.patterns += compiled.Needs.Steps; r.patterns > condition.MaxRegexFile {
				r.Fail(n, path, "the regular expressions of the file take %d steps, repetitions written out; at most %d are allowed. Shorten them, or use startsWith, endsWith, contains and in", r.patterns, condition.MaxRegexFile)
				return
			}
		}
		for name, at := range compiled.Needs.Sources {
			r.mentions = append(r.mentions, mention{name, n, path, at})
		}
		*into = text
		r.conditions[text] = compiled
	}
}

// grantTarget reads an entitlement that can be granted.
func grantTarget(s string) (access.Entitlement, error) {
	e, err := access.ParseEntitlement(s)
	if err != nil {
		return "", err
	}
	switch {
	case strings.ContainsAny(s, "*?"):
		return "", fmt.Errorf("%q: what is granted is named in full; list each target", s)
	case strings.EqualFold(e.Group(), "org-admins"):
		return "", fmt.Errorf("membership of %q no longer makes anybody an administrator; write %s", s, access.OrgAdmin)
	case e.Kind() == access.KindGroup:
		return e, form.CheckGroup(strings.TrimSpace(e.Group())) // in Atlassian, a name may end with a space
	}
	return e, nil
}

// wholeName reads the name of one group.
func wholeName(s string) (string, error) {
	if strings.ContainsAny(s, "*?") {
		return "", fmt.Errorf("%q: the group is named in full; list each group", s)
	}
	return s, form.CheckGroup(s)
}

// AcceptsTicket reports whether the entry takes a request with this ticket.
func (g *Grantable) AcceptsTicket(ticket string) bool {
	if g.Ticket == "" {
		return true
	}
	pattern, err := ticketPattern(g.Ticket)
	return err == nil && pattern.MatchString(ticket)
}

// ticketPattern compiles a pattern that must match a ticket as a whole.
func ticketPattern(s string) (*regexp.Regexp, error) {
	if n := utf8.RuneCountInString(s); n == 0 || n > maxPattern {
		return nil, fmt.Errorf("the pattern has %d characters; write 1 to %d, for example INC-[0-9]+", n, maxPattern)
	}
	if size, err := condition.PatternSize(s); err == nil && size > condition.MaxRegex {
		return nil, fmt.Errorf("the regular expression takes %d steps, repetitions written out; at most %d are allowed",
			size, condition.MaxRegex)
	}
	pattern, err := regexp.Compile(`\A(?:` + s + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%q is not a regular expression of Go (%s); write for example INC-[0-9]+", strictyaml.Shown(s), err)
	}
	return pattern, nil
}

// checkGrants finds what is wrong between entries of the grants section.
func (r *reader) checkGrants(p *Policy) {
	first := map[string]int{}
	for i := range p.Grants {
		g, path := &p.Grants[i], fmt.Sprintf("grants[%d]", i)
		key := access.Fold(g.Name)
		if before, twice := first[key]; twice && g.Name != "" {
			r.FailAt(path+".name", "the name %q is taken by grants[%d]; give each entry its own", g.Name, before)
		} else {
			first[key] = i
		}
		r.checkTerms(g, path)
	}
	r.checkEnds(p)
}

// checkTerms finds what is wrong between the keys of one entry.
func (r *reader) checkTerms(g *Grantable, path string) {
	if d := g.Duration; d.Max > 0 && d.Default > d.Max {
		r.FailAt(path+".duration.default", "%s is longer than max, %s; write at most that", d.Default, d.Max)
	}
	if a := g.Approval; a != nil {
		node := r.At(path + ".approval")
		written := func(key string) bool { return r.At(path+".approval."+key) != nil }
		switch {
		case !written("by") && !written("groups"):
			r.Fail(node, path+".approval", "nobody could approve; add by (people) or groups (of people)")
		case !written("groups") && len(a.By) > 0 && a.Count > len(a.By):
			r.Fail(node, path+".approval", "count is %d, and by lists only %d; name more people or write a lower count",
				a.Count, len(a.By))
		}
	} else if g.BreakGlass != nil {
		r.FailAt(path+".breakGlass", "no approval is needed, so there is nothing to go round; take it away or add approval")
	}
}

// checkEnds refuses two entries that name one target and disagree on how its grants end.
func (r *reader) checkEnds(p *Policy) {
	first := map[string]int{}
	for i, g := range p.Grants {
		for _, target := range g.Targets {
			before, named := first[fold(target)]
			if !named {
				first[fold(target)] = i
				continue
			}
			list := fmt.Sprintf("grants[%d].targets", i)
			if other := p.Grants[before]; other.Lost != g.Lost {
				r.FailAt(r.pathOf(list, target),
					"%q has lost: %s here and lost: %s in grants[%d]; say the same in both", target, g.Lost,
					other.Lost, before)
			} else if other.End != g.End {
				r.FailAt(r.pathOf(list, target), "%q has end: %s here and end: %s in grants[%d]; say the same in both",
					target, g.End, other.End, before)
			} else if other.HandTaken != g.HandTaken {
				r.FailAt(r.pathOf(list, target),
					"%q has handTaken: %s here and handTaken: %s in grants[%d]; say the same in both", target,
					g.HandTaken, other.HandTaken, before)
			}
		}
	}
}
