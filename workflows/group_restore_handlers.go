package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// listen registers the handlers of all messages to a restore.
func (k *groupRestore) listen(ctx workflow.Context) error {
	if err := kit.AnswerQuery(ctx, messages.Status, "what is to be restored, how far it is, what differs",
		func() messages.RestoreState { return k.RestoreState }); err != nil {
		return err
	}
	h := kit.NewMessageHandlers(kit.Options{Org: k.Org,
		Refused: func(one messages.RefusedMessage) { k.Refused = kit.KeepRefused(k.Refused, one) }})
	k.handlers, k.history = h, kit.NewRenewal(h, kit.Limits{Events: renewRestoreAt})
	err := kit.FirstError(
		kit.Handle(ctx, h, messages.ApprovePlan, "restore what the preview with this hash shows", k.checkDecision,
			k.approve),
		kit.Handle(ctx, h, messages.RejectPlan, "restore nothing, and report the loss no more", k.checkDecision,
			k.reject),
	)
	if err != nil {
		return err
	}
	h.ListensTo(messages.Look, messages.ForceContinueAsNew)
	h.Serve(ctx)
	kit.ReceiveSignal(ctx, h, messages.Look, func() { k.looked = true })
	kit.ReceiveSignal(ctx, h, messages.ForceContinueAsNew, func() { k.history.Force() })
	return nil
}

func (k *groupRestore) checkDecision(in messages.DecisionInput) error {
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who decides")
	case !strings.HasPrefix(in.Plan, "sha256:"):
		return kit.Refuse("plan is missing: give the hash of the preview, sha256:…, as the status shows it")
	case k.State != messages.RestoreHeld || k.Hold == nil:
		return kit.Refuse("the restore of group %s does not wait for a decision: it is %s", k.Lost.Name, k.State)
	case k.Hold.Plan != in.Plan:
		return kit.Refuse("plan %s is not open; the preview that waits is %s. Look at it before you decide", in.Plan,
			k.Hold.Plan)
	}
	return nil
}

func (k *groupRestore) approve(ctx workflow.Context, in messages.DecisionInput) (messages.Answer, error) {
	if err := k.decide(ctx, "approve", messages.RestoreRestoring, in); err != nil {
		return messages.Answer{}, err
	}
	return messages.Answer{Message: "approved: the group, its app roles and its members are written, then compared with the record one by one"},
		nil
}

func (k *groupRestore) reject(ctx workflow.Context, in messages.DecisionInput) (messages.Answer, error) {
	if err := k.decide(ctx, "reject", messages.RestoreRejected, in); err != nil {
		return messages.Answer{}, err
	}
	return messages.Answer{Message: "rejected: nothing is restored, and the loss is reported no more; the record is kept"}, nil
}

// decide records a decision on the preview.
func (k *groupRestore) decide(ctx workflow.Context, decision, state string, in messages.DecisionInput) error {
	if k.deciding {
		return kit.Refuse("another decision is being recorded; look again in a moment")
	}
	k.deciding = true
	defer func() { k.deciding = false }()
	if err := decider(ctx, k.log, k.Org, in.By); err != nil {
		return err
	}
	if err := k.checkDecision(in); err != nil {
		return err
	}
	_, err := act.Decide(ctx, reconcile.DecideInput{Org: k.Org, Decision: decision, Restore: k.Group,
		DecisionInput: in})
	if kit.KindOf(err) == session.ErrNotOpen { // after a reset, say: the ledger has its end already
		k.State, k.Differs, k.Hold = messages.RestoreStopped, []string{kit.MessageOf(err)}, nil
		return kit.Refuse("%s; start the restore again for a new preview", kit.MessageOf(err))
	}
	if err != nil {
		return err
	}
	k.State, k.By, k.Plan, k.Hold = state, in.By, in.Plan, nil
	return nil
}
