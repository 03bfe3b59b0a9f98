package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

const (
	lostGrace = time.Minute // how long a grant's own workflow has to remove its access
	mostLost  = 1000        // grants checked in one verification
)

// lost looks for grants that are over and whose access was not removed: their workflow was lost, or something blocks
// it. If the policy says remove, the workflow is woken, or started again. Grants of which nothing is left are settled.
func (s *task) lost(ctx context.Context, b *policy.Bound, in session.RunInput) ([]access.Finding, error) {
	lapsed, err := s.Ledger.OverdueGrants(ctx, s.Org, s.Now().Add(-lostGrace), mostLost)
	if err != nil {
		return nil, err
	}
	var found []access.Finding
	for _, g := range lapsed {
		id := messages.GrantID(s.Org, g.Target, g.Key)
		k, err := s.grantRecord(ctx, messages.ReconcileGrantSignal{Workflow: id, Key: g.Key, Person: g.Person,
			Email: g.Email, Target: g.Target})
		if err != nil {
			found = append(found, grantTrouble(g, "what the ledger knows of it cannot be read", err))
			continue
		}
		mode := s.Policy.BoundTo(b).LostMode(g.Target)
		if due := k.Plan(b, in.Run); len(due.Changes) == 0 {
			err = s.settleGrants(ctx, in.Run, k, due)
		} else {
			found = append(found, access.Finding{Rule: "grant-lost", Subject: string(g.Target), Detail: fmt.Sprintf(
				"%s still holds it by grant %s, which ended at %s and was not revoked; see workflow %s (grants.lost is %s)", session.PersonOf(g), g.ID, session.Timestamp(g.Until), id, mode)})
		}
		if err != nil {
			found = append(found, grantTrouble(g, "its end cannot be recorded", err))
			continue
		}
		if mode == policy.LostRemove {
			if err := s.WakeGrant(ctx, s.Org, g); err != nil { // what is left of it is removed all the same
				found = append(found, grantTrouble(g, "its workflow cannot be woken", err))
			}
		}
	}
	return found, ctx.Err()
}

// grantTrouble is the finding that one grant cannot be ended. It does not affect the others.
func grantTrouble(g access.Grant, what string, err error) access.Finding {
	return access.Finding{Rule: "grant-trouble", Subject: string(g.Target), Detail: fmt.Sprintf(
		"grant %s of %s, which ended at %s: %s: %s; the next verification tries again", g.ID,
		session.PersonOf(g), session.Timestamp(g.Until), what, session.ErrorText(err))}
}

// outOfBandGrants reports that an unexplained membership began where a grant gave the same before.
func (s *task) outOfBandGrants(ctx context.Context, b *policy.Bound, p access.Person,
	opened []access.Holding) ([]session.OutOfBandGrant, error) {
	var found []session.OutOfBandGrant
	for _, h := range opened {
		i, managed := b.Target(h.Target)
		if h.Owned || len(h.Reasons) > 0 || !managed || b.Targets[i].Lost == "" {
			continue
		}
		for _, name := range append([]access.Entitlement{h.Target}, b.Targets[i].Names...) {
			earlier, err := s.Ledger.EarlierGrants(ctx, s.Org, p.ID, name, 1)
			if err != nil {
				return nil, err
			}
			if len(earlier) == 1 && earlier[0].State == access.GrantEnded {
				g := earlier[0]
				found = append(found, session.OutOfBandGrant{Grant: g.ID,
					Workflow: messages.GrantID(s.Org, g.Target, g.Key), Text: fmt.Sprintf(
						"%s holds %s again, given by hand: grant %s was over at %s. It is foreign, and stays until somebody decides", p.Label(), h.Target, g.ID, session.Timestamp(g.Until))})
				break
			}
		}
	}
	return found, nil
}
