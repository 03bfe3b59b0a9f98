package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// checkRules holds a policy's rules against the people that the policy names: a rule's owner must be there, and no rule may
// take from those who always stay what they always keep.
//
// Calls: named people/100.
func (s *session) checkRules(ctx context.Context, b *policy.Bound) ([]access.Finding, error) {
	var names []string
	for i := range s.policy.Rules {
		names = append(names, s.policy.Rules[i].Owner)
	}
	for _, entry := range s.policy.Protected {
		names = append(names, entry.Always...)
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == "" })
	if len(s.policy.Rules) == 0 || len(names) == 0 {
		return nil, nil
	}
	read, err := s.readPeople(ctx, names)
	if err != nil {
		return nil, err
	}
	find := func(name string) (access.Person, bool) {
		i := slices.IndexFunc(read, func(p access.Person) bool { return p.ID == name || strings.EqualFold(p.Email, name) })
		if i < 0 {
			return access.Person{}, false
		}
		return read[i], true
	}
	var found []access.Finding
	for i := range s.policy.Rules {
		r := &s.policy.Rules[i]
		if r.Owner == "" {
			continue
		}
		if p, there := find(r.Owner); !there || !p.CanReceive() {
			found = append(found, access.Finding{Rule: "rule-owner-unknown", Subject: r.Name, Blocks: true, Detail: fmt.Sprintf(
				"its owner %s is nobody active in the organization; name somebody who is (rules[%d].owner)", r.Owner, i)})
		}
	}
	for i, entry := range s.policy.Protected {
		for _, name := range entry.Always {
			if p, there := find(name); there {
				found = append(found, s.contradicts(b, p, entry, fmt.Sprintf("protected[%d].always", i))...)
			}
		}
	}
	return found, nil
}

// contradicts says which rules would take a protected target, or presence, from somebody who always stays.
func (s *session) contradicts(b *policy.Bound, p access.Person, entry policy.Protected, where string) []access.Finding {
	var found []access.Finding
	for _, want := range b.Resolve(p, policy.Known{Now: s.now(), Would: true}).Wants {
		e := b.Targets[want.Target].Entitlement
		if !e.Presence() && !slices.Contains(b.All(entry.Target), want.Target) {
			continue
		}
		for _, r := range want.Denied {
			found = append(found, access.Finding{Rule: "rule-against-floor", Subject: r.Name, Blocks: true, Detail: fmt.Sprintf(
				"it would take %s from %s, who always stays in %s (%s); except them from the rule, or take them out there", e, p.Label(), entry.Target, where)})
		}
	}
	return found
}
