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
	"github.com/castellan-io/castellan/policy"
)

// AttendInput names the people whose grants began or ended.
type AttendInput struct {
	session.RunInput
	Asks   []messages.ReconcileGrantSignal `json:"asks"`
	Failed string                          `json:"failed,omitempty"` // when they are told: what stopped the run
}

// AttendResult is what there is to write.
type AttendResult struct {
	Plan   string          `json:"plan"`
	Open   int             `json:"open"`
	Counts messages.Counts `json:"counts"`
	// rules ask which grants are in force: the people are to be decided again
	Look bool `json:"look,omitempty"`
}

// Attend plans what grants give that began, and take that ended, from the ledger alone: the world is read at the moment
// of writing, by Apply. A removal is planned only where the last recorded reasons of a membership of Castellan's own
// are grants and nothing else, and all of these are over. A repeat plans anew.
//
// Calls: none, once the organization was verified under this policy.
func (a *Activities) Attend(ctx context.Context, in AttendInput) (AttendResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.open(ctx, in.Org, in.Policy)
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
		if err != nil { // the others are attended to all the same; this one is told, and asks again
			if failed++; failed == len(in.Asks) || ctx.Err() != nil {
				return AttendResult{}, err
			}
			continue
		}
		due := books.due(b, in.Run)
		if s.Policy.DryRun { // what was given before the policy said so is taken back all the same
			due.lines = slices.DeleteFunc(due.lines, func(c access.Change) bool { return c.Action == access.Add })
		}
		page.Changes = append(page.Changes, due.lines...)
		page.Open = append(page.Open, due.holdings...)
	}
	result := AttendResult{Open: len(page.Changes), Look: b.FollowsGrants()}
	if len(page.Changes)+len(page.Open) == 0 {
		return result, nil
	}
	run := ledger.Run{Org: in.Org, ID: in.Run, Trigger: "grants", Scope: messages.ScopeGrants, Policy: in.Policy,
		State: messages.RunApplying, Started: s.Now()}
	if len(page.Changes) > 0 { // before its lines: a look at the same people would end those of a run that is not known
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

// grantRecord is what the ledger says of one person and one target.
type grantRecord struct {
	person string
	email  string
	target access.Entitlement
	grants []access.Grant // of this target, not settled, waiting ones left out
	all    []access.Grant // of every target, likewise
	known  ledger.PersonState
	doubts map[access.Entitlement]ledger.Doubt // writes that were never answered
	seen   map[access.Entitlement]bool         // targets that this run saw held
	at     time.Time
}

func (s *task) grantRecord(ctx context.Context, ask messages.ReconcileGrantSignal) (grantRecord, error) {
	k := grantRecord{person: ask.Person, email: ask.Email, target: ask.Target, at: s.Now()}
	key := cmp.Or(ask.Key, strings.TrimPrefix(ask.Workflow, messages.FormerGrantIDPrefix(s.Org, ask.Target)))
	open, err := s.GrantsUnder(ctx, s.Org, key, ask.Target)
	if err != nil {
		return k, err
	}
	unproven, err := s.Ledger.Unproven(ctx, s.Org, open)
	if err != nil {
		return k, err
	}
	for _, g := range open {
		if g.State != access.GrantWaiting && !unproven[g.ID] {
			k.grants = append(k.grants, g)
			k.person, k.email = g.Person, g.Email // somebody who was invited has an account id by now
		}
	}
	states, err := s.Ledger.States(ctx, s.Org, []string{k.person}, k.at.Add(-session.RecentWrites))
	if err != nil {
		return k, err
	}
	k.known = states[k.person]
	k.all = k.known.Grants
	doubts, err := s.Ledger.Doubtful(ctx, s.Org, "", k.person)
	k.doubts = doubts[k.person]
	return k, err
}

// inForce are the grants of the target that are in force.
func (k grantRecord) inForce() (now []access.Grant) {
	for _, g := range k.grants {
		if g.InForce(k.at) {
			now = append(now, g)
		}
	}
	return now
}

// alive keeps of some reasons those that are no grants, and the grants that are in force.
func (k grantRecord) alive(reasons []access.Reason) (kept []access.Reason) {
	for _, r := range reasons {
		if r.Kind != access.ReasonGrant ||
			slices.ContainsFunc(k.all, func(g access.Grant) bool { return g.ID == r.Name && g.InForce(k.at) }) {
			kept = append(kept, r)
		}
	}
	return kept
}

// grantPlan are the changes that bring the world in line with the grants, and the holdings whose reasons change without
// one.
type grantPlan struct {
	lines    []access.Change
	holdings []access.Holding
}

func (k grantRecord) due(b *policy.Bound, run string) (d grantPlan) {
	given, named, held := map[access.Entitlement]bool{}, map[access.Entitlement]bool{}, map[access.Entitlement]bool{}
	now := k.inForce()
	for _, t := range b.All(k.target) {
		target := b.Targets[t]
		named[target.Entitlement] = true
		if len(now) > 0 {
			given[target.Entitlement] = true
			d.give(k, target, now, run)
		}
	}
	for _, h := range k.known.Holdings {
		held[h.Target] = h.Owned
		// also by grants that are settled: then their end came unnoticed
		over := len(k.alive(h.Reasons)) < len(h.Reasons)
		if !given[h.Target] && (slices.ContainsFunc(h.Reasons, k.lent) || named[h.Target] && over) {
			d.take(k, h, run)
		}
	}
	for target, c := range k.doubts { // an add that was never answered may have been done
		if c.Action == access.Add && !given[target] && !held[target] && slices.ContainsFunc(c.Reasons, k.lent) {
			d.remove(k, target, c.GroupID, c.Reasons)
		}
	}
	return d
}

// lent says that the reason is one of these grants.
func (k grantRecord) lent(r access.Reason) bool {
	return r.Kind == access.ReasonGrant &&
		slices.ContainsFunc(k.grants, func(g access.Grant) bool { return g.ID == r.Name })
}

func (d *grantPlan) give(k grantRecord, target policy.Target, now []access.Grant, run string) {
	var reasons []access.Reason
	for _, g := range now {
		r := g.GrantReason()
		if !g.Target.Same(target.Entitlement) {
			r.Via = g.Target
		}
		reasons = append(reasons, r)
	}
	for _, h := range k.known.Holdings {
		if h.Target != target.Entitlement {
			continue
		}
		// What the ledger has on its books may be gone by now, taken by hand: a grant that begins is seen to be held
		// once.
		begins := !k.seen[target.Entitlement] &&
			slices.ContainsFunc(reasons, func(r access.Reason) bool { return !slices.Contains(h.Reasons, r) })
		reasons = append(k.alive(slices.DeleteFunc(slices.Clone(h.Reasons), k.lent)), reasons...)
		if !begins {
			d.reasons(h, reasons, run, k.at)
			return
		}
	}
	d.lines = append(d.lines, access.Change{
		Person: k.person, Email: k.email, Target: target.Entitlement, GroupID: target.GroupID, Action: access.Add,
		Reasons: reasons, State: access.Planned,
	})
}

func (d *grantPlan) take(k grantRecord, h access.Holding, run string) {
	if alive := k.alive(h.Reasons); !h.Owned || len(alive) > 0 {
		d.reasons(h, alive, run, k.at)
		return
	}
	d.remove(k, h.Target, h.GroupID, h.Reasons)
}

func (d *grantPlan) remove(k grantRecord, target access.Entitlement, group string, reasons []access.Reason) {
	d.lines = append(d.lines, access.Change{
		Person: k.person, Email: k.email, Target: target, GroupID: group, Action: access.Remove, Reasons: reasons,
		State: access.Planned,
	})
}

// reasons gives a standing holding other reasons.
func (d *grantPlan) reasons(h access.Holding, reasons []access.Reason, run string, at time.Time) {
	if slices.Equal(h.Reasons, reasons) {
		return
	}
	h.Reasons, h.Run, h.From, h.Until = reasons, run, at, time.Time{}
	d.holdings = append(d.holdings, h)
}

// Attended tells the grants what was done: right is who holds just what the grants say, as the read after the write
// showed. It records for these what began and what is over. A repeat tells again. It returns how many were told.
func (a *Activities) Attended(ctx context.Context, in AttendInput) (int, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.open(ctx, in.Org, in.Policy)
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
			// the others are told all the same
			failed = errors.Join(failed, fmt.Errorf("tell %s what was done: %w", one.Workflow, err))
			continue
		}
		told++
	}
	return told, failed
}

// answerAsk tells one grant what was done. Where there is nobody to tell, because the workflow was terminated or never
// was, no attempt would find it: that is no error.
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

// outcome says what came of one question.
func (s *task) outcome(ctx context.Context, b *policy.Bound, in AttendInput,
	ask messages.ReconcileGrantSignal) (messages.GrantReconciledSignal, error) {
	answer := messages.GrantReconciledSignal{Turn: ask.Turn, Run: in.Run, Soon: true}
	k, err := s.grantRecord(ctx, ask)
	if err != nil {
		return answer, err
	}
	lines, err := s.Ledger.Lines(ctx, s.Org, in.Run, ledger.Filter{Person: k.person})
	if err != nil {
		return answer, err
	}
	k.seen = map[access.Entitlement]bool{}
	for _, c := range lines {
		k.seen[c.Target] = c.Action == access.Add && (c.State == access.Done || c.State == access.Already)
		if !slices.ContainsFunc(c.Reasons, k.lent) {
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
	due := k.due(b, in.Run)
	switch {
	case answer.Why != "" && len(due.lines) > 0 || answer.Why != "" && answer.Soon:
		return answer, nil
	case len(due.lines) > 0 && due.lines[0].Action == access.Add && s.Policy.DryRun:
		answer.Why, answer.Soon = due.lines[0].Label()+": the policy says dryRun: nothing is given", false
		return answer, nil
	case len(due.lines) > 0:
		answer.Why = due.lines[0].Label() + ": not done yet: " + cmp.Or(in.Failed, "it became due meanwhile")
		return answer, nil
	case len(k.inForce()) > 0 && len(b.All(k.target)) == 0:
		answer.Why, answer.Soon = fmt.Sprintf("the organization does not show %s any more", k.target), false
		return answer, nil
	}
	return messages.GrantReconciledSignal{Turn: ask.Turn, Run: in.Run, Right: true}, s.settleGrants(ctx, in.Run, k, due)
}

// settleGrants records that what is in force was given and what is over was taken back. Before a grant is forgotten, no
// holding stands on it any more.
func (s *task) settleGrants(ctx context.Context, run string, k grantRecord, due grantPlan) error {
	if len(due.holdings) > 0 {
		if err := s.Ledger.SavePage(ctx, s.Org, run, ledger.Page{Key: "grants of " + k.person, Open: due.holdings},
			k.at); err != nil {
			return err
		}
	}
	var given, over []string
	for _, g := range k.grants {
		switch {
		case g.InForce(k.at) && g.ProvisionedAt.IsZero():
			given = append(given, g.ID)
		case !k.at.Before(g.Until) && g.RevokedAt.IsZero():
			over = append(over, g.ID)
		}
	}
	if len(given) > 0 {
		if err := s.Ledger.GrantGiven(ctx, s.Org, given, k.at); err != nil {
			return err
		}
	}
	if len(over) == 0 {
		return nil
	}
	return s.Ledger.GrantTaken(ctx, s.Org, over, k.at, k.left())
}

// left says what the person still holds of the target, and why.
func (k grantRecord) left() string {
	var stays []string
	for _, h := range k.known.Holdings {
		if h.Target.Same(k.target) {
			why := "somebody else gave it before"
			if len(h.Reasons) > 0 {
				why = h.Reasons[0].String()
			}
			stays = append(stays, why)
		}
	}
	if len(stays) == 0 {
		return "nothing is left"
	}
	return "stays, for another reason: " + strings.Join(stays, "; ")
}
