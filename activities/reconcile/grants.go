package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// AttendInput is people whose grants began or ended.
type AttendInput struct {
	session.RunInput
	Asks   []messages.ReconcileGrantSignal `json:"asks"`
	Failed string                          `json:"failed,omitempty"` // for Attended: what stopped the run
}

// AttendResult is what there is to write.
type AttendResult struct {
	Plan   string          `json:"plan"`
	Open   int             `json:"open"`
	Counts messages.Counts `json:"counts"`
	// rules depend on which grants are in force: decide the people again
	Look bool `json:"look,omitempty"`
}

// Attend plans what grants that began give, and what ended grants gave, from the ledger alone: Apply reads at the
// moment of writing. It plans a removal only if the last recorded reasons of a membership of Castellan's own are grants
// and nothing else, and all of these are over. A repeat plans again.
//
// Calls: none, once the organization was verified under this policy.
func (a *Activities) Attend(ctx context.Context, in AttendInput) (AttendResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return AttendResult{}, err
	}
	b, outline, err := s.outlineFor(ctx,
		ExamineInput{RunInput: in.RunInput, Scope: messages.Scope{Kind: messages.ScopeGrants}})
	if err != nil {
		return AttendResult{}, err
	}
	var page ledger.Page
	page.Key = "grants"
	failed := 0
	for _, one := range in.Asks {
		books, err := s.grantRecord(ctx, one)
		if err != nil { // the others are handled all the same; this one is answered, and asks again
			if failed++; failed == len(in.Asks) || ctx.Err() != nil {
				return AttendResult{}, err
			}
			continue
		}
		due := books.Plan(b, in.Run)
		if s.Policy.DryRun { // what was given before the policy said so is removed all the same
			due.Changes = slices.DeleteFunc(due.Changes, func(c access.Change) bool { return c.Action == access.Add })
		}
		page.Changes = append(page.Changes, due.Changes...)
		page.Open = append(page.Open, due.Holdings...)
	}
	result := AttendResult{Open: len(page.Changes), Look: b.FollowsGrants()}
	if len(page.Changes)+len(page.Open) == 0 {
		return result, nil
	}
	run := ledger.Run{Org: in.Org, ID: in.Run, Trigger: "grants", Scope: messages.ScopeGrants, Policy: in.Policy,
		State: messages.RunApplying, Started: s.Now()}
	if len(page.Changes) > 0 { // before its lines: a look at the same people would end those of an unknown run
		if err := s.Ledger.BeginRun(ctx, run); err != nil {
			return AttendResult{}, err
		}
	}
	if err := s.Ledger.SavePage(ctx, s.Org, in.Run, page, s.Now()); err != nil {
		return AttendResult{}, err
	}
	if len(page.Changes) == 0 {
		return result, nil
	}
	if err := s.KeepOutline(ctx, in.RunInput, outline); err != nil {
		return AttendResult{}, err
	}
	if result.Plan, result.Counts, err = s.tally(ctx, in.Run); err != nil {
		return AttendResult{}, err
	}
	result.Counts.People = len(in.Asks)
	run.Plan, run.Counts = result.Plan, ledgerCounts(result.Counts)
	return result, s.Ledger.UpdateRun(ctx, run)
}

// grantRecord reads the ledger's record of one person and one target.
func (s *task) grantRecord(ctx context.Context, ask messages.ReconcileGrantSignal) (plan.GrantRecord, error) {
	k := plan.GrantRecord{Person: ask.Person, Email: ask.Email, Target: ask.Target, At: s.Now(),
		Doubts: map[access.Entitlement]access.Change{}}
	key := cmp.Or(ask.Key, strings.TrimPrefix(ask.Workflow, messages.FormerGrantIDPrefix(s.Org, ask.Target)))
	open, err := s.GrantsUnder(ctx, s.Org, key, ask.Target)
	if err != nil {
		return k, err
	}
	unproven, err := s.Ledger.UnprovenGrants(ctx, s.Org, open)
	if err != nil {
		return k, err
	}
	for _, g := range open {
		if g.State != access.GrantWaiting && !unproven[g.ID] {
			k.Grants = append(k.Grants, g)
			k.Person, k.Email = g.Person, g.Email // somebody who was invited has an account ID by now
		}
	}
	states, err := s.Ledger.States(ctx, s.Org, []string{k.Person}, k.At.Add(-session.RecentWrites))
	if err != nil {
		return k, err
	}
	k.All, k.Holdings = states[k.Person].Grants, states[k.Person].Holdings
	doubts, err := s.Ledger.Doubtful(ctx, s.Org, "", k.Person)
	for target, d := range doubts[k.Person] {
		k.Doubts[target] = d.Change
	}
	return k, err
}

// Attended answers the grants: right is whoever holds just what the grants give, according to the read after the write.
// For these it records what began and what is over. A repeat answers again. It returns how many it answered.
func (a *Activities) Attended(ctx context.Context, in AttendInput) (int, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return 0, err
	}
	b, _, err := s.outlineFor(ctx,
		ExamineInput{RunInput: in.RunInput, Scope: messages.Scope{Kind: messages.ScopeGrants}})
	if err != nil {
		return 0, err
	}
	told := 0
	var failed error
	for _, one := range in.Asks {
		if err := s.answerAsk(ctx, b, in, one); err != nil {
			// the others are answered all the same
			failed = errors.Join(failed, fmt.Errorf("tell %s what was done: %w", one.Workflow, err))
			continue
		}
		told++
	}
	return told, failed
}

// answerAsk answers one grant. If its workflow was terminated or never existed, no attempt would find it: that is no
// error.
func (s *task) answerAsk(ctx context.Context, b *policy.Bound, in AttendInput,
	ask messages.ReconcileGrantSignal) error {
	answer, err := s.outcome(ctx, b, in, ask)
	if err != nil || messages.CheckID(ask.Workflow) != nil || ask.Workflow == "" {
		return err
	}
	err = s.Temporal.SignalWorkflow(ctx, ask.Workflow, "", messages.GrantReconciled, answer)
	var gone *serviceerror.NotFound
	var never *serviceerror.InvalidArgument
	if errors.As(err, &gone) || errors.As(err, &never) {
		return nil
	}
	return err
}

// outcome returns the answer to one grant.
func (s *task) outcome(ctx context.Context, b *policy.Bound, in AttendInput,
	ask messages.ReconcileGrantSignal) (messages.GrantReconciledSignal, error) {
	answer := messages.GrantReconciledSignal{Turn: ask.Turn, Run: in.Run, Soon: true}
	k, err := s.grantRecord(ctx, ask)
	if err != nil {
		return answer, err
	}
	lines, err := s.Ledger.Lines(ctx, s.Org, in.Run, ledger.Filter{Person: k.Person})
	if err != nil {
		return answer, err
	}
	k.Seen = map[access.Entitlement]bool{}
	for _, c := range lines {
		k.Seen[c.Target] = c.Action == access.Add && (c.State == access.Done || c.State == access.Already)
		if !slices.ContainsFunc(c.Reasons, k.Names) {
			continue
		}
		switch {
		case c.State == access.Done && !c.Verified:
			answer.Why = c.Label() + ": written, and the directory does not show it yet"
		case c.State == access.Refused, c.State == access.Shortage, c.State == access.Superseded:
			answer.Why, answer.Soon = c.Label()+": "+c.Answer, false
		case c.State.Open(), c.State == access.Failed:
			answer.Why = c.Label() + ": not done yet: " + cmp.Or(in.Failed, "its attempts failed")
		}
	}
	due := k.Plan(b, in.Run)
	switch {
	case answer.Why != "" && len(due.Changes) > 0 || answer.Why != "" && answer.Soon:
		return answer, nil
	case len(due.Changes) > 0 && due.Changes[0].Action == access.Add && s.Policy.DryRun:
		answer.Why, answer.Soon = due.Changes[0].Label()+": the policy says dryRun: nothing is given", false
		return answer, nil
	case len(due.Changes) > 0:
		answer.Why = due.Changes[0].Label() + ": not done yet: " + cmp.Or(in.Failed, "it became due meanwhile")
		return answer, nil
	case len(k.InForce()) > 0 && len(b.AllTargets(k.Target)) == 0:
		answer.Why, answer.Soon = fmt.Sprintf("the organization does not show %s any more", k.Target), false
		return answer, nil
	}
	return messages.GrantReconciledSignal{Turn: ask.Turn, Run: in.Run, Right: true}, s.settleGrants(ctx, in.Run, k, due)
}

// settleGrants records that what is in force was given and that what is over was removed. Before a grant is forgotten,
// no holding has it as a reason any more.
func (s *task) settleGrants(ctx context.Context, run string, k plan.GrantRecord, due plan.GrantPlan) error {
	if len(due.Holdings) > 0 {
		if err := s.Ledger.SavePage(ctx, s.Org, run, ledger.Page{Key: "grants of " + k.Person, Open: due.Holdings},
			k.At); err != nil {
			return err
		}
	}
	given, over := k.Finished()
	if len(given) > 0 {
		if err := s.Ledger.MarkGrantProvisioned(ctx, s.Org, given, k.At); err != nil {
			return err
		}
	}
	if len(over) == 0 {
		return nil
	}
	return s.Ledger.MarkGrantRevoked(ctx, s.Org, over, k.At, k.Remaining())
}

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
