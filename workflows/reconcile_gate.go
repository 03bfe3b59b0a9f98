package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// listenAtGate hears whether the run may write. Closed, it answers once nothing of it is in flight.
func (r *reconcile) listenAtGate(ctx workflow.Context) {
	workflow.GoNamed(ctx, messages.Gate, func(ctx workflow.Context) {
		heard := workflow.GetSignalChannel(ctx, messages.Gate)
		for {
			if r.Progress.Gate.Closed {
				closed := workflow.Now(ctx)
				if workflow.Await(ctx, func() bool { return r.inFlight == 0 || heard.Len() > 0 }) != nil {
					return
				}
				if r.inFlight == 0 {
					r.show(ctx)
					r.answerGate(ctx)
				}
				var gate messages.GateSignal
				if !heard.Receive(ctx, &gate) {
					return
				}
				r.Progress.Gate = gate
				r.Stale = r.Stale || workflow.Now(ctx).Sub(closed) > longWait
				continue
			}
			var gate messages.GateSignal
			if !heard.Receive(ctx, &gate) {
				return
			}
			r.Progress.Gate = gate
		}
	})
}

func (r *reconcile) answerGate(ctx workflow.Context) {
	in := messages.AsideSignal{Run: r.in.Run, Turn: r.Progress.Gate.Turn}
	_ = workflow.SignalExternalWorkflow(ctx, r.in.Parent, "", messages.Aside, in).Get(ctx, nil)
}

// tell lets OrgSync know how far the run is; judged says that the guard has just spoken.
func (r *reconcile) tell(ctx workflow.Context, judged bool) {
	r.show(ctx)
	in := messages.ProgressSignal{Run: r.Run, Judged: judged}
	_ = workflow.SignalExternalWorkflow(ctx, r.in.Parent, "", messages.HowFar, in).Get(ctx, nil)
}

// drainIfLong and renewIfLong start a fresh history when this one has grown.
func (r *reconcile) drainIfLong(ctx workflow.Context) error {
	if !r.long(ctx) {
		return nil
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	return r.renewIfLong(ctx)
}

func (r *reconcile) renewIfLong(ctx workflow.Context) error {
	if !r.long(ctx) {
		return nil
	}
	// A word about the gate that is not heard yet goes along: nothing may be lost between two histories.
	others(ctx)
	for heard := workflow.GetSignalChannel(ctx, messages.Gate); ; {
		var gate messages.GateSignal
		if !heard.ReceiveAsync(&gate) {
			break
		}
		r.Progress.Gate = gate
	}
	progress := r.Progress
	again := r.in
	again.Progress = &progress
	return workflow.NewContinueAsNewError(ctx, messages.Reconcile, again)
}

func (r *reconcile) long(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > renewRunAt
}

// show keeps the run's page in the Web UI true.
func (r *reconcile) show(ctx workflow.Context) {
	switch {
	case r.Run.State == messages.RunDone, r.Run.State == messages.RunStopped:
	case r.Progress.Gate.Closed:
		r.Run.State = messages.RunWaiting
	case r.Phase == phaseRead, r.Phase == phaseJudge, r.Phase == "":
		r.Run.State = messages.RunReading
	case r.Phase == phaseVerify:
		r.Run.State = messages.RunVerifying
	default:
		r.Run.State = messages.RunApplying
	}
	text := fmt.Sprintf("## Run %s of %s: %s\n\n%s: %s\n\n- planned: %d adds, %d removals, %d adoptions; %d of them held\n- %s\n",
		r.in.Run, r.in.Org, r.Run.State, r.in.Scope.Kind, oneLine(r.in.Trigger), r.Run.Counts.Adds, r.Run.Counts.Removals, r.Run.Counts.Adopts, r.Run.Counts.Held, inWords(r.Run))
	if r.Progress.Gate.Closed {
		text += "- writes nothing now: " + r.Progress.Gate.Why + "\n"
	}
	if len(r.Short) > 0 {
		text += fmt.Sprintf("- take no more in this run: %v\n", r.Short)
	}
	if r.Run.Hold != nil {
		text += fmt.Sprintf("\nHeld plan `%s`: decide on it in workflow `%s`.\n", r.Run.Hold.Plan, r.in.Parent)
	}
	if p := r.Run.Problem; p != nil {
		text += fmt.Sprintf("\n**%s**: %s\n", p.Kind, oneLine(p.Message))
	}
	workflow.SetCurrentDetails(ctx, clipDetails(text))
}
