package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// The phases of a run, in order.
const (
	phaseRead   = "read"   // outline and sweep: facts become lines of a plan
	phaseJudge  = "judge"  // evidence and guard: which lines may be written
	phaseAdopt  = "adopt"  // lines that concern the ledger alone
	phaseAdd    = "add"    // additions
	phaseRemove = "remove" // removals: settled, read again, written
	phaseVerify = "verify" // read back
)

const (
	linesAtOnce    = 100 // plan lines fetched at a time
	renewRunAt     = 3500
	verifyTries    = 4
	verifyPatience = 10 * time.Second // role calls need up to 30 s to be seen
	mostFailures   = 5                // in a row, until a run stops
	longWait       = time.Minute      // after which what was read is old
)

// Reconcile is one run: read, judge, write, verify. It writes only lines that stand on a judged plan in the ledger, adds
// before removals, and a removal only when a second read, some time after the first, still asks for it.
//
// It always ends with a summary, also when a problem stops it or it is cancelled: what it did not reach is taken up by
// the next verification. Only what OrgSync lets through its gate is written.
func Reconcile(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
	r := &reconcile{in: in, log: workflow.GetLogger(ctx)}
	if in.Progress != nil {
		r.Progress = *in.Progress
	} else {
		r.Phase = phaseRead
		if in.Scope.Kind == messages.ScopeHold {
			r.Phase = phaseAdopt
		}
		r.Run = messages.RunSummary{Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, By: in.By, DryRun: in.DryRun, Started: workflow.Now(ctx)}
	}
	if err := workflow.SetQueryHandler(ctx, messages.Status, func() (messages.RunSummary, error) { return r.Run, nil }); err != nil {
		return r.Run, err
	}
	r.listenAtGate(ctx)
	err := r.walk(ctx)
	if workflow.IsContinueAsNewError(err) {
		return r.Run, err
	}
	return r.end(ctx, err)
}

type reconcile struct {
	messages.Progress
	in       messages.ReconcileInput
	log      log.Logger
	inFlight int
	failures int   // in a row
	problem  error // stops the writing
}

func (r *reconcile) ref() activities.RunInput {
	return activities.RunInput{Org: r.in.Org, Run: r.in.Run, Policy: r.in.Policy, Preview: r.in.DryRun}
}

// walk goes through the phases. Each leaves the state so that a fresh history can go on with the next.
func (r *reconcile) walk(ctx workflow.Context) error {
	for {
		r.show(ctx)
		var err error
		switch r.Phase {
		case phaseRead:
			err = r.read(ctx)
		case phaseJudge:
			err = r.judge(ctx)
		case phaseAdopt:
			err = r.adopt(ctx)
		case phaseAdd:
			err = r.write(ctx, access.Add, phaseRemove)
		case phaseRemove:
			err = r.remove(ctx)
		case phaseVerify:
			return r.verify(ctx)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// read sweeps everybody in blocks, or plans an undo.
func (r *reconcile) read(ctx workflow.Context) error {
	if r.in.Scope.Kind == messages.ScopeUndo {
		if _, err := planUndo(ctx, activities.UndoInput{RunInput: r.ref(), Of: r.in.Scope.Run, By: r.in.By}); err != nil {
			return err
		}
		r.Phase = phaseJudge
		return nil
	}
	if r.Block == 0 {
		seen, err := outline(ctx, activities.OutlineInput{
			RunInput: r.ref(), Trigger: r.in.Trigger, By: r.in.By, DryRun: r.in.DryRun, Started: r.Run.Started,
		})
		if err != nil {
			return err
		}
		r.Run.Counts.Calls += seen.Calls
	}
	for {
		block, err := sweep(ctx, activities.SweepInput{RunInput: r.ref(), Cursor: r.Cursor, Block: r.Block, Pages: r.in.Settings.Pages}, r.Run.Counts.People)
		if err != nil {
			return err
		}
		r.Run.Counts.People += block.People
		r.Run.Counts.Calls += block.Calls
		r.Cursor = block.Next
		r.Block++
		if r.Cursor == "" {
			r.Phase = phaseJudge
			return nil
		}
		r.show(ctx)
		if err := r.renewIfLong(ctx); err != nil {
			return err
		}
	}
}

// judge has the guard decide, and tells OrgSync what is held before the long writing begins.
func (r *reconcile) judge(ctx workflow.Context) error {
	verdict, err := judge(ctx, activities.JudgeInput{
		RunInput: r.ref(), Trigger: r.in.Trigger, By: r.in.By, Scope: r.in.Scope.Kind, DryRun: r.in.DryRun, Started: r.Run.Started,
	})
	if err != nil {
		return err
	}
	calls := r.Run.Counts.Calls + verdict.Counts.Calls
	r.Run.Counts, r.Run.Plan, r.Run.Hold = verdict.Counts, verdict.Plan, verdict.Hold
	r.Run.Findings, r.Run.Reported, r.Run.Counts.Calls = verdict.Findings, verdict.Reported, calls
	r.Run.Doubtful, r.Run.Adopted = verdict.Doubtful, verdict.Adopted
	r.Since = workflow.Now(ctx)
	r.Phase = phaseAdopt
	if verdict.Open == 0 {
		r.Phase = ""
	}
	r.tell(ctx, true)
	return nil
}

// adopt records the lines that need no write, and, for an approved hold, leaves out the additions that the world no
// longer asks for: the plan may have waited for days.
func (r *reconcile) adopt(ctx workflow.Context) error {
	if r.in.Scope.Kind == messages.ScopeHold {
		checked, err := confirm(ctx, activities.ConfirmInput{RunInput: r.ref(), Actions: []access.Action{access.Add, access.Adopt}})
		if err != nil {
			return err
		}
		r.Run.Counts.Calls += checked.Calls
	}
	_, err := set(ctx, "record adopted memberships", activities.SetInput{
		RunInput: r.ref(), Action: access.Adopt, State: access.Done, Answer: "recorded as Castellan's own; nothing is written to Atlassian",
	})
	r.Phase = phaseAdd
	r.tell(ctx, false)
	return err
}

// remove waits until the removals have settled, reads their people again, and writes what still stands.
func (r *reconcile) remove(ctx workflow.Context) error {
	if r.Cursor == "" {
		first, err := next(ctx, activities.NextInput{RunInput: r.ref(), Actions: []access.Action{access.Remove}, Limit: 1})
		if err != nil {
			return err
		}
		if len(first.Lines) == 0 {
			r.Phase = phaseVerify
			return nil
		}
		wait := r.in.Settings.Settle.Std() - workflow.Now(ctx).Sub(r.Since)
		if wait > 0 && !r.Settled {
			if err := r.sleep(ctx, wait, "let removals settle before they are read again"); err != nil {
				return err
			}
		}
		if r.in.Scope.Kind != messages.ScopeUndo && !r.Settled {
			checked, err := confirm(ctx, activities.ConfirmInput{RunInput: r.ref(), Actions: []access.Action{access.Remove}})
			if err != nil {
				return err
			}
			r.Run.Counts.Calls += checked.Calls
		}
	}
	return r.write(ctx, access.Remove, phaseVerify)
}

// write makes the released changes of one action, a bounded number at a time.
func (r *reconcile) write(ctx workflow.Context, action access.Action, then string) error {
	for more := true; more; {
		batch, err := next(ctx, activities.NextInput{RunInput: r.ref(), Actions: []access.Action{action}, After: r.Cursor, Limit: linesAtOnce})
		if err != nil {
			return err
		}
		stale := false
		for _, line := range batch.Lines {
			if slices.Contains(r.Short, closedTo(action, line.Target)) {
				continue
			}
			if err := r.place(ctx, line); err != nil {
				return err
			}
			if stale = r.Stale; stale {
				break
			}
			r.launch(ctx, action, line)
		}
		if stale {
			if err := r.freshen(ctx, action); err != nil {
				return err
			}
			continue
		}
		r.Cursor, more = batch.After, batch.More
		r.show(ctx)
		if more {
			if err := r.drainIfLong(ctx); err != nil {
				return err
			}
		}
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	for _, short := range r.Short {
		target, ok := strings.CutPrefix(short, closedTo(action, ""))
		if !ok {
			continue
		}
		if _, err := set(ctx, "leave the rest of "+target, activities.SetInput{
			RunInput: r.ref(), Action: action, Target: []access.Entitlement{access.Entitlement(target)}, State: access.Refused,
			Answer: "not tried: the target takes no more changes in this run, see those that were",
		}); err != nil {
			return err
		}
	}
	r.Phase, r.Cursor = then, ""
	return nil
}

// freshen reads the people of the lines that are left again, after the run had to wait for long.
func (r *reconcile) freshen(ctx workflow.Context, action access.Action) error {
	r.Stale = false
	if err := r.drain(ctx); err != nil {
		return err
	}
	checked, err := confirm(ctx, activities.ConfirmInput{RunInput: r.ref(), Actions: []access.Action{action}})
	r.Run.Counts.Calls += checked.Calls
	return err
}

// place waits for the gate and a place among the writes in flight. A protected target's change goes alone, so that no
// two removals break its floor together.
func (r *reconcile) place(ctx workflow.Context, line activities.Line) error {
	most := max(r.in.Settings.InFlight, 1)
	if line.Guarded {
		most = 1
	}
	if err := workflow.Await(ctx, func() bool { return (!r.Gate.Closed && r.inFlight < most) || r.problem != nil }); err != nil {
		return err
	}
	return r.problem
}

// launch starts one change. It is never cancelled half way: a cancelled run starts no more and waits for those in flight.
func (r *reconcile) launch(ctx workflow.Context, action access.Action, line activities.Line) {
	r.inFlight++
	whole, _ := workflow.NewDisconnectedContext(ctx)
	done := apply(whole, r.in.Org, activities.ChangeInput{RunInput: r.ref(), Person: line.Person, Target: line.Target}, line)
	workflow.Go(whole, func(ctx workflow.Context) {
		defer func() { r.inFlight-- }()
		var result activities.ChangeResult
		if err := done.Get(ctx, &result); err != nil {
			r.failed(line, err)
			return
		}
		r.failures = 0
		r.count(action, line, result)
	})
}

// failed leaves a change that could not be made to the next verification. The run itself is stopped by a key that is
// refused, and by several failures in a row: then it is not the change that is at fault.
func (r *reconcile) failed(line activities.Line, err error) {
	r.failures++
	r.Run.Counts.Failed++
	if r.problem == nil && (kindOf(err) == activities.ErrKeyRefused || r.failures >= mostFailures) {
		r.problem = err
	}
	r.log.Warn("a change could not be made in this run", "change", line.Label, "error", err)
}

// count keeps the numbers for people; the ledger's own are taken at the end.
func (r *reconcile) count(action access.Action, line activities.Line, result activities.ChangeResult) {
	c := &r.Run.Counts
	c.Calls++
	switch result.State {
	case access.Done:
		c.Done++
	case access.Already:
		c.Already++
	case access.Superseded:
		c.Superseded++
	case access.Shortage:
		c.Shortage++
	case access.Refused:
		c.Refused++
	}
	if short := closedTo(action, line.Target); result.Closed && !slices.Contains(r.Short, short) {
		r.Short = append(r.Short, short)
	}
}

// closedTo is how Progress.Short notes that a target takes no more changes of one kind. A target without licences left
// still lets people go.
func closedTo(action access.Action, target access.Entitlement) string {
	return string(action) + " " + string(target)
}

// drain waits for all writes in flight.
func (r *reconcile) drain(ctx workflow.Context) error {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.Await(whole, func() bool { return r.inFlight == 0 }); err != nil {
		return err
	}
	if r.problem != nil {
		return r.problem
	}
	return ctx.Err()
}

// verify reads back what was written, with patience.
func (r *reconcile) verify(ctx workflow.Context) error {
	if r.Run.Counts.Done == 0 {
		return nil
	}
	r.tell(ctx, false)
	wait := r.in.Settings.Settle.Std()
	for try := 1; ; try++ {
		if err := r.sleep(ctx, wait, "let the writes become visible"); err != nil {
			return err
		}
		seen, err := verify(ctx, r.ref())
		if err != nil {
			return err
		}
		r.Run.Counts.Verified, r.Run.Counts.Unverified = seen.Verified, seen.Unverified
		r.Run.Counts.Calls += seen.Calls
		if seen.Unverified == 0 || try == verifyTries {
			return nil
		}
		wait = verifyPatience
	}
}

func (r *reconcile) sleep(ctx workflow.Context, d time.Duration, summary string) error {
	return workflow.NewTimerWithOptions(ctx, d, workflow.TimerOptions{Summary: summary}).Get(ctx, nil)
}

// end closes the run's record, whatever happened.
func (r *reconcile) end(ctx workflow.Context, err error) (messages.RunSummary, error) {
	r.Run.State = messages.RunDone
	whole, _ := workflow.NewDisconnectedContext(ctx)
	if err != nil {
		r.Run.State = messages.RunStopped
		_ = workflow.Await(whole, func() bool { return r.inFlight == 0 })
		if !temporal.IsCanceledError(err) {
			r.Run.Problem = &messages.Problem{Kind: kindOf(err), Message: messageOf(err), Since: workflow.Now(ctx)}
		}
	}
	sum, failed := finish(whole, activities.FinishInput{RunInput: r.ref(), Scope: r.in.Scope.Kind, Summary: r.Run})
	if failed != nil {
		return r.Run, failed
	}
	r.Run = sum
	r.show(ctx)
	return sum, nil
}

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
