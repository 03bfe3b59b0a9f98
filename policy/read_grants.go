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
)

// grantable reads one entry of the grants section.
func (r *reader) grantable(n *yaml.Node, path string) Grantable {
	g := Grantable{Reason: true, Lost: LostRemove, End: EndSuspend, HandTaken: HandTakenEnd}
	r.object(n, path, map[string]field{
		"name":        r.checked(&g.Name, entryName),
		"description": r.text(&g.Description),
		"targets":     set(r, &g.Targets, maxTargets, grantTarget),
		"eligible":    r.condition(&g.Eligible),
		"duration":    r.grantDuration(&g.Duration),
		"approval":    section(&g.Approval, r.approval),
		"reason":      r.flag(&g.Reason),
		"ticket":      r.checked(&g.Ticket, func(s string) error { _, err := ticketPattern(s); return err }),
		"ahead":       r.duration(&g.Ahead, 0, Duration(maxGrant)),
		"extend":      section(&g.Extend, r.extension),
		"remind":      r.duration(&g.Remind, 0, Duration(maxGrant)),
		"cooldown":    r.duration(&g.Cooldown, 0, Duration(maxGrant)),
		"breakGlass":  section(&g.BreakGlass, r.breakGlass),
		"lost":        oneOf(r, &g.Lost, LostRemove, LostHold, LostReport),
		"end":         oneOf(r, &g.End, EndSuspend, EndRemove),
		"handTaken":   oneOf(r, &g.HandTaken, HandTakenEnd, HandTakenRestore),
	}, "name", "targets", "duration")
	return g
}

// section reads an object that need not be there.
func section[T any](into **T, read func(n *yaml.Node, path string) T) field {
	return func(n *yaml.Node, path string) {
		value := read(n, path)
		*into = &value
	}
}

func (r *reader) grantDuration(d *GrantDuration) field {
	return func(n *yaml.Node, path string) {
		r.object(n, path, map[string]field{"default": r.span(&d.Default), "max": r.span(&d.Max)}, "max")
		if d.Default == 0 {
			d.Default = min(defaultGrant, d.Max)
		}
	}
}

func (r *reader) approval(n *yaml.Node, path string) Approval {
	a := Approval{Count: 1, Wait: defaultWait}
	r.object(n, path, map[string]field{
		"count":  r.number(&a.Count, 1, maxCount),
		"by":     r.people(&a.By),
		"groups": set(r, &a.Groups, maxList, wholeName),
		"wait":   r.span(&a.Wait),
		"codes":  r.flag(&a.Codes),
	})
	return a
}

func (r *reader) extension(n *yaml.Node, path string) Extension {
	e := Extension{Times: 1}
	r.object(n, path, map[string]field{
		"max":      r.span(&e.Max),
		"times":    r.number(&e.Times, 1, maxTimes),
		"approval": r.flag(&e.Approval),
	}, "max")
	return e
}

func (r *reader) breakGlass(n *yaml.Node, path string) BreakGlass {
	var b BreakGlass
	r.object(n, path, map[string]field{"people": r.people(&b.People), "max": r.span(&b.Max)}, "people", "max")
	return b
}

// span reads a duration that may not be nothing.
func (r *reader) span(into *Duration) field {
	return r.duration(into, Duration(minGrant), Duration(maxGrant))
}

// condition reads and compiles a condition. What is wrong with it is reported at its place in the file.
func (r *reader) condition(into *string) field {
	return func(n *yaml.Node, path string) {
		text, ok := r.scalar(n, path)
		if !ok {
			return
		}
		if r.words += len(text); r.words > maxWords {
			r.fail(n, path, "the conditions of the file have more than %d characters together; shorten them", maxWords)
			return
		}
		compiled, err := condition.Compile(text)
		var wrong *condition.Error
		if errors.As(err, &wrong) {
			line, column := r.within(n, wrong.Offset)
			r.fail(&yaml.Node{Line: line, Column: column}, path, "%s", err)
			return
		}
		if r.conditions[text] == nil && compiled.Needs.Comprises {
			if r.loops++; r.loops > maxLoops {
				r.fail(n, path, "more than %d conditions of the file go through lists (exists, all, map, filter); write in() and inAny() where you can", maxLoops)
				return
			}
		}
		if r.conditions[text] == nil {
			if r.patterns += compiled.Needs.Steps; r.patterns > condition.MaxRegexFile {
				r.fail(n, path, "the regular expressions of the file take %d steps, repetitions written out; at most %d are allowed. Shorten them, or use startsWith, endsWith, contains and in", r.patterns, condition.MaxRegexFile)
				return
			}
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
		return e, groupName(strings.TrimSpace(e.Group())) // Atlassian may have groups whose name ends with a space
	}
	return e, nil
}

// wholeName reads the name of one group.
func wholeName(s string) (string, error) {
	if strings.ContainsAny(s, "*?") {
		return "", fmt.Errorf("%q: the group is named in full; list each group", s)
	}
	return s, groupName(s)
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
		return nil, fmt.Errorf("%q is not a regular expression of Go (%s); write for example INC-[0-9]+", shown(s), err)
	}
	return pattern, nil
}
