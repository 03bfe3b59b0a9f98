package workflows

import (
	"cmp"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// serveGate receives whether the run may write. When the gate closes, it answers once no write is in flight.
func (r *reconciliation) serveGate(ctx workflow.Context) {
	workflow.GoNamed(ctx, messages.Gate, func(ctx workflow.Context) {
		heard := workflow.GetSignalChannelWithOptions(ctx, messages.Gate,
			workflow.SignalChannelOptions{Description: kit.NotForPeople})
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
				if !r.receiveGate(ctx, heard) {
					return
				}
				r.Stale = r.Stale || workflow.Now(ctx).Sub(closed) > longWait
				continue
			}
			if !r.receiveGate(ctx, heard) {
				return
			}
		}
	})
}

// receiveGate waits for a signal about the gate; it returns false when the run is cancelled.
func (r *reconciliation) receiveGate(ctx workflow.Context, heard workflow.ReceiveChannel) bool {
	var raw converter.RawValue
	if !heard.Receive(ctx, &raw) {
		return false
	}
	r.setGate(ctx, raw)
	return true
}

// setGate applies a signal about the gate. One that cannot be read is recorded, and changes nothing.
func (r *reconciliation) setGate(ctx workflow.Context, raw converter.RawValue) {
	gate, err := kit.DecodeInternal[messages.GateSignal](messages.Gate, raw)
	if err == nil && gate.Turn < 0 {
		err = kit.Refuse("turn is %d: %s is sent by the organization's loop to its run, not by people", gate.Turn, messages.Gate)
	}
	if loop := workflow.GetInfo(ctx).ParentWorkflowExecution; err == nil && loop != nil && r.named &&
		gate.Execution != loop.RunID && gate.Reset != loop.RunID {
		err = kit.Refuse("%s is sent by the organization's loop to its run, and this one was not",
			messages.Gate)
	}
	if err != nil {
		r.handlers.RefuseSignal(ctx, messages.Gate, raw, err)
		return
	}
	gate.Why = kit.Bounded(gate.Why)
	r.Progress.Gate = gate
}

// namesExecutions reports whether signals between the loop and its runs must name the sender's execution. It is asked
// as a history begins, so that signals in flight are accepted when a newer worker takes over.
func namesExecutions(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "signals-name-executions", workflow.DefaultVersion, 1) > workflow.DefaultVersion
}

// firstExecution returns the run id of the workflow's first history.
func firstExecution(ctx workflow.Context) string {
	info := workflow.GetInfo(ctx)
	return cmp.Or(info.FirstRunID, info.WorkflowExecution.RunID)
}

func (r *reconciliation) answerGate(ctx workflow.Context) {
	in := messages.WritesPausedSignal{Run: r.in.Run, Turn: r.Progress.Gate.Turn, Execution: firstExecution(ctx)}
	_ = workflow.SignalExternalWorkflow(ctx, r.in.Parent, "", messages.WritesPaused, in).Get(ctx, nil)
}

// reportProgress signals the run's progress to OrgSync; judged reports that the guard has just decided.
func (r *reconciliation) reportProgress(ctx workflow.Context, judged bool) {
	r.show(ctx)
	in := messages.ProgressSignal{Run: r.Run, Judged: judged, Execution: firstExecution(ctx)}
	_ = workflow.SignalExternalWorkflow(ctx, r.in.Parent, "", messages.RunProgress, in).Get(ctx, nil)
}

// drainIfLong and renewIfLong continue as new if the history is long.
func (r *reconciliation) drainIfLong(ctx workflow.Context) error {
	if !r.history.Due(ctx) {
		return nil
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	return r.renewIfLong(ctx)
}

func (r *reconciliation) renewIfLong(ctx workflow.Context) error {
	if !r.history.Due(ctx) {
		return nil
	}
	if info := workflow.GetInfo(ctx); r.execution != "" && r.execution != info.WorkflowExecution.RunID {
		return kit.Refuse("run %s was reset, and does not continue in another history", r.in.Run)
	}
	// A gate signal that has not been received yet is carried along: nothing may be lost between two histories.
	kit.YieldToCoroutines(ctx)
	for heard := workflow.GetSignalChannel(ctx, messages.Gate); ; {
		var raw converter.RawValue
		if !heard.ReceiveAsync(&raw) {
			break
		}
		r.setGate(ctx, raw)
	}
	progress := r.Progress
	again := r.in
	again.Progress = &progress
	return workflow.NewContinueAsNewError(ctx, messages.Reconcile, again)
}

// show updates the run's page in the Web UI.
func (r *reconciliation) show(ctx workflow.Context) {
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
	var page display.Page
	page.Line("## Run %s of %s: %s\n", r.in.Run, r.in.Org, r.Run.State)
	page.Line("%s: %s\n", r.in.Scope.Kind, r.in.Trigger)
	page.Line("- planned: %d adds, %d removals, %d adoptions; %d of them held", r.Run.Counts.Adds,
		r.Run.Counts.Removals, r.Run.Counts.Adopts, r.Run.Counts.Held)
	page.Line("- %s", summarizeRun(r.Run))
	if r.Progress.Gate.Closed {
		page.Line("- writes nothing now: %s", r.Progress.Gate.Why)
	}
	if len(r.Exhausted) > 0 {
		page.Line("- take no more in this run: %v", r.Exhausted)
	}
	if r.Run.Hold != nil {
		page.Line("\nHeld plan %s: decide on it in workflow %s.", display.Code(r.Run.Hold.Plan),
			display.Code(r.in.Parent))
	}
	if p := r.Run.Problem; p != nil {
		page.Line("\n**%s**: %s", p.Kind, p.Message)
	}
	workflow.SetCurrentDetails(ctx, clipDetails(page.String()))
}
