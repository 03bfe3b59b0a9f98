package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// listen registers everything that people, the ledger's activities and the organization's loop can say to a grant.
func (g *temporaryGrant) listen(ctx workflow.Context) error {
	status := func() (messages.GrantState, error) {
		now := g.GrantState
		now.State = g.state(workflow.Now(ctx))
		return now, nil
	}
	if err := workflow.SetQueryHandlerWithOptions(ctx, messages.Status, status, workflow.QueryHandlerOptions{
		Description: "what is granted, who approved it, when it ends, what keeps it from being right",
	}); err != nil {
		return err
	}
	w := &g.words
	w.handle, w.busyOf = map[string]func(workflow.Context, converter.RawValue) error{}, map[string]int{}
	w.refused = g.refusedWord
	err := firstError(
		listen(ctx, w, messages.Approve, "approve a request", checkApproval, g.approve),
		listen(ctx, w, messages.Deny, "deny a request", checkApproval, g.deny),
		listen(ctx, w, messages.Extend, "prolong a grant that runs", checkExtend, g.extend),
		listen(ctx, w, messages.Revoke, "end what is granted now", g.checkRevoke, g.revoke),
	)
	if err != nil {
		return err
	}
	w.heard = append([]string{messages.Look, messages.Attended, messages.ForceContinueAsNew}, w.names...)
	whole, _ := workflow.NewDisconnectedContext(ctx) // a cancelled workflow goes on listening until it has ended
	w.serve(whole)
	hear(whole, messages.Attended, func(_ workflow.Context, in messages.AttendedSignal) { g.heard, g.wake = append(g.heard, in), true })
	called(whole, messages.Look, func() { g.stale, g.wake = true, true })
	called(whole, messages.ForceContinueAsNew, func() { g.force, g.wake = true, true })
	return nil
}

func (g *temporaryGrant) refusedWord(ctx workflow.Context, name string, err error) {
	g.Refused = append(g.Refused, messages.RefusedWord{At: workflow.Now(ctx), Name: name, Why: bounded(messageOf(err))})
	g.Refused = g.Refused[max(0, len(g.Refused)-mostRefused):]
	g.wake = true
}

func checkApproval(in messages.ApprovalInput) error {
	if in.By == "" {
		return refuse("by is missing: say who decides, by e-mail address or account id")
	}
	return nil
}

func (g *temporaryGrant) approve(ctx workflow.Context, in messages.ApprovalInput) (messages.GrantAnswer, error) {
	return g.decide(ctx, in, true)
}

func (g *temporaryGrant) deny(ctx workflow.Context, in messages.ApprovalInput) (messages.GrantAnswer, error) {
	return g.decide(ctx, in, false)
}

// decide has a decision recorded. The code itself goes no further than here: only its hash does.
func (g *temporaryGrant) decide(ctx workflow.Context, in messages.ApprovalInput, approve bool) (messages.GrantAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code, in.Note = "", bounded(in.Note)
	answer, err := decideGrant(ctx, activities.DecideGrantInput{
		Org: g.in.Org, Target: g.in.Target, Key: g.in.Key, Approve: approve, CodeHash: hash, ApprovalInput: in,
	})
	g.stale, g.wake = true, true
	return answer, err
}

func checkExtend(in messages.ExtendInput) error {
	switch {
	case in.RequestedBy == "":
		return refuse("requestedBy is missing: say who asks, by e-mail address or account id")
	case in.Duration <= 0:
		return refuse("duration is missing: say how much longer, for example \"1h\"")
	}
	return nil
}

// extend asks for a grant that continues one of these.
func (g *temporaryGrant) extend(ctx workflow.Context, in messages.ExtendInput) (messages.GrantAnswer, error) {
	in.Reason, in.Ticket = bounded(in.Reason), bounded(in.Ticket)
	if in.RequestID == "" {
		in.RequestID = g.newID(ctx)
	}
	answer, err := extendGrant(ctx, activities.ExtendGrantInput{Org: g.in.Org, Target: g.in.Target, Key: g.in.Key, ExtendInput: in})
	g.stale, g.wake = true, true
	return answer, err
}

// newID makes a request id of the instant: one person's extensions of one target do not come twice in a millisecond.
func (g *temporaryGrant) newID(ctx workflow.Context) string {
	return requestID(workflow.Now(ctx)) + "x"
}

func requestID(at time.Time) string { return "g" + at.UTC().Format("20060102-150405.000") }

func (g *temporaryGrant) checkRevoke(in messages.RevokeInput) error {
	switch {
	case in.RequestedBy == "":
		return refuse("requestedBy is missing: say who ends it, by e-mail address or account id")
	case in.Target != "" && !strings.EqualFold(string(in.Target), string(g.in.Target)):
		return refuse("this workflow is about %s, not %s", g.in.Target, in.Target)
	}
	return nil
}

// revoke ends what is granted now.
func (g *temporaryGrant) revoke(ctx workflow.Context, in messages.RevokeInput) (messages.GrantAnswer, error) {
	in.Reason, in.Target = bounded(in.Reason), g.in.Target
	answer, err := revokeGrant(ctx, activities.RevokeGrantInput{Org: g.in.Org, Key: g.in.Key, RevokeInput: in})
	g.stale, g.wake = true, true
	return answer, err
}
