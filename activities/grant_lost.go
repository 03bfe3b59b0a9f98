package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

const (
	lostAfter = time.Minute // a grant's own workflow has so long to take it back
	mostLost  = 1000        // grants looked at in one verification
)

// lost looks for grants that are over and were not taken back: their workflow was lost, or something keeps it from its work.
// Where the policy says remove, the workflow is woken, or started again. What nothing is left of is settled.
func (s *session) lost(ctx context.Context, b *policy.Bound, in RunInput) ([]access.Finding, error) {
	lapsed, err := s.ledger.Lapsed(ctx, s.org, s.now().Add(-lostAfter), mostLost)
	if err != nil {
		return nil, err
	}
	var found []access.Finding
	for _, g := range lapsed {
		id := messages.GrantID(s.org, g.Target, g.Key)
		k, err := s.books(ctx, messages.AttendSignal{Workflow: id, Person: g.Person, Email: g.Email, Target: g.Target})
		if err != nil {
			return nil, err
		}
		mode := s.policy.LostMode(g.Target)
		if due := k.due(b, in.Run); len(due.lines) == 0 {
			err = s.settleGrants(ctx, in.Run, k, due)
		} else {
			found = append(found, access.Finding{Rule: "grant-lost", Subject: string(g.Target), Detail: fmt.Sprintf(
				"%s still holds it by grant %s, which was over at %s and was not taken back; see workflow %s (grants.lost is %s)", personOf(g), g.ID, clock(g.Until), id, mode)})
		}
		if err == nil && mode == policy.LostRemove {
			err = s.poke(ctx, s.org, g.Target, g.Key)
		}
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Regiven is a target that somebody gave by hand to a person whose grant of it is over.
type Regiven struct {
	Grant    string `json:"grant"`
	Workflow string `json:"workflow"`
	Text     string `json:"text"`
}

// regiven notices that a membership which nothing explains began, where a grant gave it before.
func (s *session) regiven(ctx context.Context, b *policy.Bound, p access.Person, opened []access.Holding) ([]Regiven, error) {
	var found []Regiven
	for _, h := range opened {
		i, managed := b.Target(h.Target)
		if h.Owned || len(h.Reasons) > 0 || !managed || b.Targets[i].Lost == "" {
			continue
		}
		for _, name := range append([]access.Entitlement{h.Target}, b.Targets[i].Names...) {
			earlier, err := s.ledger.Earlier(ctx, s.org, p.ID, p.Email, name, 1)
			if err != nil {
				return nil, err
			}
			if len(earlier) == 1 && earlier[0].State == access.GrantEnded {
				g := earlier[0]
				found = append(found, Regiven{g.ID, messages.GrantID(s.org, g.Target, g.Key), fmt.Sprintf(
					"%s holds %s again, given by hand: grant %s was over at %s. It is foreign, and stays until somebody decides", p.Label(), h.Target, g.ID, clock(g.Until))})
				break
			}
		}
	}
	return found, nil
}
