package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// listen registers the handlers of all messages to a grant.
func (g *temporaryGrant) listen(ctx workflow.Context) error {
	if err := kit.AnswerQuery(ctx, messages.Status,
		"what is granted, who approved it, when it ends, and what blocks it", func() messages.GrantState {
			now := g.GrantState
			now.State = g.state(workflow.Now(ctx))
			return now
		}); err != nil {
		return err
	}
	h := kit.NewMessageHandlers(kit.Options{Org: g.in.Org, Refused: g.recordRefusal})
	g.handlers, g.history = h, kit.NewRenewal(h, kit.Limits{Events: renewGrantAt})
	err := kit.FirstError(
		kit.Handle(ctx, h, messages.Approve, "approve a request", checkApproval, g.approve),
		kit.Handle(ctx, h, messages.Deny, "deny a request", checkApproval, g.deny),
		kit.Handle(ctx, h, messages.Extend, "extend a running grant", checkExtend, g.extend),
		kit.Handle(ctx, h, messages.Revoke, "end grants now", g.checkRevoke, g.revoke),
	)
	if err != nil {
		return err
	}
	h.ListensTo(messages.Look, messages.GrantReconciled, messages.ForceContinueAsNew)
	whole, _ := workflow.NewDisconnectedContext(ctx) // a cancelled workflow handles messages until it ends
	h.Serve(whole)
	kit.ReceiveEach(whole, h, messages.GrantReconciled, checkAttended,
		func(_ workflow.Context, in messages.GrantReconciledSignal) {
			g.answers, g.wake = append(g.answers, in), true
		})
	kit.ReceiveSignal(whole, h, messages.Look, func() { g.stale, g.wake = true, true })
	kit.ReceiveSignal(whole, h, messages.ForceContinueAsNew, func() { g.history.Force(); g.wake = true })
	return nil
}

func (g *temporaryGrant) recordRefusal(one messages.RefusedMessage) {
	g.Refused, g.wake = kit.KeepRefused(g.Refused, one), true
}

func checkAttended(in messages.GrantReconciledSignal) error {
	if in.Turn <= 0 {
		return kit.Refuse("turn is missing: %s is sent by the organization's loop, not by people",
			messages.GrantReconciled)
	}
	return nil
}

func checkApproval(in messages.ApprovalInput) error {
	if in.By == "" {
		return kit.Refuse("by is missing: say who decides, by e-mail address or account id")
	}
	if in.Proof != "" && len(in.Note) > kit.MostText { // the proof is of the whole note
		return kit.Refuse("note has %d bytes; at most %d are allowed", len(in.Note), kit.MostText)
	}
	return nil
}

func (g *temporaryGrant) approve(ctx workflow.Context, in messages.ApprovalInput) (messages.GrantAnswer, error) {
	return g.decide(ctx, in, true)
}

func (g *temporaryGrant) deny(ctx workflow.Context, in messages.ApprovalInput) (messages.GrantAnswer, error) {
	return g.decide(ctx, in, false)
}

func (g *temporaryGrant) decide(ctx workflow.Context, in messages.ApprovalInput, approve bool) (messages.GrantAnswer,
	error) {
	answer, err := recordDecision(ctx,
		grants.DecideGrantInput{Org: g.in.Org, Target: g.in.Target, Key: g.in.Key, Approve: approve}, in)
	g.stale, g.wake = true, true
	return answer, err
}

// recordDecision records a decision. Only the hash of a code is passed on.
func recordDecision(ctx workflow.Context, of grants.DecideGrantInput, in messages.ApprovalInput) (messages.GrantAnswer,
	error) {
	of.CodeHash, of.Shown = messages.CodeHash(in.Code), kit.PresentationIn(ctx)
	if in.Code = ""; in.Proof == "" {
		in.Note = kit.Bounded(in.Note)
	}
	of.ApprovalInput = in
	return act.DecideGrant(ctx, of)
}

func checkExtend(in messages.ExtendInput) error {
	switch {
	case in.RequestedBy == "":
		return kit.Refuse("requestedBy is missing: say who requests it, by e-mail address or account id")
	case in.Duration <= 0:
		return kit.Refuse("duration is missing: say how much longer, for example \"1h\"")
	}
	return checkNewID(in.RequestID)
}

// extend requests a grant that continues one of these.
func (g *temporaryGrant) extend(ctx workflow.Context, in messages.ExtendInput) (messages.GrantAnswer, error) {
	in.Reason, in.Ticket = kit.Bounded(in.Reason), kit.Bounded(in.Ticket)
	if in.RequestID == "" {
		in.RequestID = g.newID(ctx)
	}
	answer, err := act.ExtendGrant(ctx,
		grants.ExtendGrantInput{Org: g.in.Org, Target: g.in.Target, Key: g.in.Key, ExtendInput: in})
	g.stale, g.wake = true, true
	return answer, err
}

// newID returns a request id from the current time: a person extends a target at most once in a millisecond.
func (g *temporaryGrant) newID(ctx workflow.Context) string {
	return requestID(workflow.Now(ctx)) + "x"
}

func requestID(at time.Time) string { return "g" + at.UTC().Format("20060102-150405.000") }

func (g *temporaryGrant) checkRevoke(in messages.RevokeInput) error {
	switch {
	case in.RequestedBy == "":
		return kit.Refuse("requestedBy is missing: say who ends it, by e-mail address or account id")
	case in.Target != "" && !in.Target.Same(g.in.Target):
		return kit.Refuse("this workflow is about %s, not %s", g.in.Target, in.Target)
	}
	return nil
}

// revoke ends what is granted now.
func (g *temporaryGrant) revoke(ctx workflow.Context, in messages.RevokeInput) (messages.GrantAnswer, error) {
	in.Reason, in.Target = kit.Bounded(in.Reason), g.in.Target
	answer, err := act.RevokeGrant(ctx, grants.RevokeGrantInput{Org: g.in.Org, Key: g.in.Key, RevokeInput: in})
	g.stale, g.wake = true, true
	return answer, err
}
