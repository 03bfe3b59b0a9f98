package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/policy"
)

// checkRules checks that no rule may take from people who always stay what they always keep.
//
// Calls: named people/10.
func (s *task) checkRules(ctx context.Context, b *policy.Bound) ([]access.Finding, error) {
	var names []string
	for _, entry := range s.Policy.Protected {
		names = append(names, entry.Always...)
	}
	names = slices.DeleteFunc(session.Distinct(names), access.IsAddress) // names without an account
	if len(s.Policy.Rules) == 0 || len(names) == 0 {
		return nil, nil
	}
	read, err := s.ReadPeople(ctx, names)
	if err != nil {
		return nil, err
	}
	var found []access.Finding
	for i, entry := range s.Policy.Protected {
		for _, p := range read {
			if slices.Contains(entry.Always, p.ID) {
				found = append(found, s.contradicts(b, p, entry, fmt.Sprintf("protected[%d].always", i))...)
			}
		}
	}
	return found, nil
}

// contradicts returns the rules that would take a protected target, or presence, from somebody who always stays.
func (s *task) contradicts(b *policy.Bound, p access.Person, entry policy.Protected, where string) []access.Finding {
	var found []access.Finding
	for _, want := range b.Resolve(p, policy.Known{Now: s.Now(), Would: true}).Wants {
		e := b.Targets[want.Target].Entitlement
		if !e.Presence() && !slices.Contains(b.AllTargets(entry.Target), want.Target) {
			continue
		}
		for _, r := range want.Denied {
			found = append(found, access.Finding{Rule: "rule-against-floor", Subject: r.Name, Blocks: true,
				Detail: fmt.Sprintf(
					"it would take %s from %s, who always stays in %s (%s); exclude them from the rule's condition, or remove them there", e, p.Label(), entry.Target, where)})
		}
	}
	return found
}
