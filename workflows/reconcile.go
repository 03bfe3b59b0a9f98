package workflows

import (
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// The phases of a run, in order.
const (
	phaseRead   = "read"   // outline and sweep: facts become lines of a plan
	phaseJudge  = "judge"  // evidence and guard: which lines may be written
	phaseAdopt  = "adopt"  // lines that concern the ledger alone
	phaseAdd    = "add"    // additions
	phaseRemove = "remove" // removals: settled, read again, written
	phaseVerify = "verify" // read back
	phaseEnded  = "ended"  // close holdings that no read shows any more
)

const (
	linesAtOnce    = 100 // plan lines fetched at a time
	renewRunAt     = 3500
	verifyTries    = 4
	verifyPatience = 10 * time.Second // role calls need up to 30 s to be seen
	roleLag        = 30 * time.Second
	mostFailures   = 5           // in a row, until a run stops
	longWait       = time.Minute // after which what was read is old
	// How long removals may be written after a read: most batches are done in this time.
	evidenceLasts = 20 * time.Second
)

// Reconcile is one run: read, judge, write, verify. It writes only lines of a judged plan in the ledger, additions
// before removals, and a removal only if a second read, some time after the first, still asks for it.
//
// It always ends with a summary, even if a problem stops it or it is cancelled: the next verification does the rest. It
// writes only while OrgSync keeps its gate open.
func Reconcile(ctx workflow.Context, raw converter.RawValue) (messages.RunSummary, error) {
	in, err := kit.Input[messages.ReconcileInput](ctx, messages.Reconcile, raw)
	if err != nil {
		return messages.RunSummary{}, err
	}
	if err := checkRun(ctx, in); err != nil {
		return messages.RunSummary{}, err
	}
	r := &reconciliation{in: in, log: workflow.GetLogger(ctx), guarded: map[access.Entitlement]bool{}}
	if in.Progress != nil {
		r.Progress = *in.Progress
		r.Exhausted, r.Short = append(r.Exhausted, messages.ExhaustedTargets(r.Short)...), nil
	} else {
		r.Phase = phaseRead
		if in.Scope.Kind == messages.ScopeHold {
			r.Phase = phaseAdopt
		}
		r.Run = messages.RunSummary{Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, By: in.By,
			DryRun: in.DryRun, Started: workflow.Now(ctx), Round: in.Round, Since: in.Since,
			Provision: in.Scope.Provision}
	}
	if err := kit.AnswerQuery(ctx, messages.Status, "how far the run is",
		func() messages.RunSummary { return r.Run }); err != nil {
		return r.Run, err
	}
	r.Workflow, r.execution = workflow.GetInfo(ctx).WorkflowExecution.ID, workflow.GetInfo(ctx).OriginalRunID
	r.handlers = kit.NewMessageHandlers(
		kit.Options{Refused: func(one messages.RefusedMessage) { r.Run.Refused = kit.KeepRefused(r.Run.Refused, one) }})
	r.history = kit.NewRenewal(r.handlers, kit.Limits{Events: renewRunAt})
	r.named = namesExecutions(ctx)
	r.serveGate(ctx)
	switch {
	case r.isRecordsRun():
		err = r.runRecordPhases(ctx)
	case r.isRestoreRun():
		err = r.runRestorePhases(ctx)
	default:
		err = r.runPhases(ctx)
	}
	if workflow.IsContinueAsNewError(err) {
		return r.Run, err
	}
	return r.end(ctx, err)
}

// checkRun returns why this is not a run that the organization's loop started. What counts is who is its parent for
// Temporal: whoever starts a run by hand can write anything into the input.
func checkRun(ctx workflow.Context, in messages.ReconcileInput) error {
	info := workflow.GetInfo(ctx)
	is, loop := info.WorkflowExecution.ID, messages.OrgSyncID(in.Org)
	switch parent := info.ParentWorkflowExecution; {
	case parent == nil:
		return kit.Refuse("a run of organization %s is started by %s, not manually: request one with its update %s",
			in.Org, loop, messages.SyncNow)
	case parent.ID != loop || in.Parent != loop:
		return kit.Refuse("a run of organization %s is started by %s, not by %s: request one with its update %s", in.Org,
			loop, kit.Bounded(parent.ID), messages.SyncNow)
	case is != runID(in):
		return kit.Refuse("the workflow ID of this run must be %s, not %s", kit.Bounded(runID(in)), kit.Bounded(is))
	}
	if in.Progress == nil {
		return nil
	}
	return kit.CheckStateOf(ctx, in.Progress.Workflow, is)
}

type reconciliation struct {
	messages.Progress
	handlers *kit.MessageHandlers
	history  *kit.Renewal
	in       messages.ReconcileInput
	log      log.Logger

	execution string // the workflow's first execution: after a reset it is another
	named     bool   // the loop's signals must name their execution
	inFlight  int
	waiting   int                         // groups of changes that wait for the gate
	failures  int                         // in a row
	problem   error                       // stops the writing
	guarded   map[access.Entitlement]bool // protected targets with a removal in flight
	// each batch of removals is read again; old runs read all of them at once
	byBatch bool
}

func (r *reconciliation) ref() session.RunInput {
	return session.RunInput{Org: r.in.Org, Run: r.in.Run, Policy: r.in.Policy, Preview: r.in.DryRun,
		Execution: r.execution}
}

// runPhases runs the phases. After each, a new history can continue with the next.
func (r *reconciliation) runPhases(ctx workflow.Context) error {
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
			err = r.write(ctx, access.Add, r.phaseAfter(phaseAdd))
		case phaseRemove:
			err = r.remove(ctx)
		case phaseVerify:
			if r.isGrantsRun() { // read back even if the loop that started this has moved on
				ctx, _ = workflow.NewDisconnectedContext(ctx)
			}
			if err = r.verify(ctx); err == nil && r.Unseen == 0 {
				return nil
			}
			r.Phase = phaseEnded
		case phaseEnded:
			return r.closeEnded(ctx)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// read sweeps everybody in blocks, or plans an undo.
func (r *reconciliation) read(ctx workflow.Context) error {
	if r.in.Scope.Kind == messages.ScopeUndo {
		if _, err := act.PlanUndo(ctx,
			reconcile.UndoInput{RunInput: r.ref(), Of: r.in.Scope.Run, By: r.in.By}); err != nil {
			return err
		}
		r.Phase = phaseJudge
		return nil
	}
	if r.Block == 0 {
		seen, err := act.Outline(ctx, reconcile.OutlineInput{
			RunInput: r.ref(), Trigger: r.in.Trigger, By: r.in.By, DryRun: r.in.DryRun, Started: r.Run.Started,
		})
		if err != nil {
			return err
		}
		r.Run.Counts.Calls += seen.Calls
	}
	for {
		block, err := act.Sweep(ctx, reconcile.SweepInput{RunInput: r.ref(), Cursor: r.Cursor, Block: r.Block,
			Pages: r.in.Settings.Pages}, r.Run.Counts.People)
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

// judge has the guard decide, and reports to OrgSync what is held before the writes begin.
func (r *reconciliation) judge(ctx workflow.Context) error {
	verdict, err := act.Judge(ctx, reconcile.JudgeInput{
		RunInput: r.ref(), Trigger: r.in.Trigger, By: r.in.By, Scope: r.in.Scope.Kind, DryRun: r.in.DryRun,
		Started: r.Run.Started, Since: r.in.Since,
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
	r.Unseen = verdict.Unseen
	switch {
	case verdict.Open > 0:
	case r.Unseen > 0:
		r.Phase = phaseEnded
	default:
		r.Phase = ""
	}
	r.reportProgress(ctx, true)
	return nil
}

// adopt records the lines that need no write, and, for an approved hold, drops the additions that are no longer called
// for: the plan may have waited for days.
func (r *reconciliation) adopt(ctx workflow.Context) error {
	if r.isApprovedHold() {
		checked, err := r.confirm(ctx, access.Add, access.Adopt)
		if err != nil {
			return err
		}
		r.Run.Counts.Calls += checked.Calls
	}
	_, err := act.Set(ctx, "record adopted memberships", reconcile.SetInput{
		RunInput: r.ref(), Action: access.Adopt, Approved: r.approvedFilter(), State: access.Done,
		Answer: "recorded as Castellan's own; nothing is written to Atlassian",
	})
	r.Phase = phaseAdd
	r.reportProgress(ctx, false)
	return err
}

// isGrantsRun reports whether this is a run of grants. In these, removals go first, and have two witnesses already: the
// ledger's reasons, and a read at the moment of writing.
func (r *reconciliation) isGrantsRun() bool { return r.in.Scope.Kind == messages.ScopeGrants }

func (r *reconciliation) phaseAfter(phase string) string {
	switch {
	case phase == phaseAdd && !r.isGrantsRun():
		return phaseRemove
	case phase == phaseRemove && r.isGrantsRun():
		return phaseAdd
	}
	return phaseVerify
}

// remove waits until the removals have settled, reads their people again, and writes what still applies.
func (r *reconciliation) remove(ctx workflow.Context) error {
	r.byBatch = workflow.GetVersion(ctx, "removals-confirmed-by-batch", workflow.DefaultVersion,
		1) > workflow.DefaultVersion
	if r.Cursor == "" && !r.isGrantsRun() {
		first, err := act.Next(ctx, apply.NextInput{RunInput: r.ref(), Actions: []access.Action{access.Remove},
			Approved: r.approvedFilter(), Limit: 1})
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
		if !r.byBatch && r.in.Scope.Kind != messages.ScopeUndo && !r.Settled {
			checked, err := r.confirm(ctx, access.Remove)
			if err != nil {
				return err
			}
			r.Run.Counts.Calls += checked.Calls
		}
	}
	return r.write(ctx, access.Remove, r.phaseAfter(phaseRemove))
}

// confirm reads the people of lines again. An approved hold may have waited for days, or been held for a bad read.
func (r *reconciliation) confirm(ctx workflow.Context, actions ...access.Action) (reconcile.ConfirmResult, error) {
	return act.Confirm(ctx, apply.ConfirmInput{RunInput: r.ref(), Actions: actions, Fresh: r.isApprovedHold()})
}

// isApprovedHold reports whether the run writes an approved hold.
func (r *reconciliation) isApprovedHold() bool { return r.in.Scope.Kind == messages.ScopeHold }

// approvedFilter returns which lines are this run's to write, as apply.NextInput has it. What is left of an undo is one
// run's whether it was held or not: nothing in it stands on a read.
func (r *reconciliation) approvedFilter() *bool {
	if r.in.Scope.Undo || r.in.Scope.Kind == messages.ScopeUndo {
		return nil
	}
	approved := r.isApprovedHold()
	return &approved
}

// verify reads back what was written, several times if needed.
func (r *reconciliation) verify(ctx workflow.Context) error {
	if r.Run.Counts.Done == 0 {
		return nil
	}
	r.reportProgress(ctx, false)
	wait := r.in.Settings.Settle.Std()
	if r.isGrantsRun() && r.Slow {
		wait = roleLag
	}
	return r.readBack(ctx, wait, func() (verified, unverified, calls int, err error) {
		seen, err := act.Verify(ctx, r.ref())
		return seen.Verified, seen.Unverified, seen.Calls, err
	})
}

// readBack reads what was written until all of it is seen, a few times at most, the first after a wait.
func (r *reconciliation) readBack(ctx workflow.Context, wait time.Duration,
	read func() (verified, unverified, calls int, err error)) error {
	for try := 1; ; try++ {
		if err := r.sleep(ctx, wait, "let the writes become visible"); err != nil {
			return err
		}
		verified, unverified, calls, err := read()
		if err != nil {
			return err
		}
		r.Run.Counts.Verified, r.Run.Counts.Unverified = verified, unverified
		r.Run.Counts.Calls += calls
		if unverified == 0 || try == verifyTries {
			return nil
		}
		wait = verifyPatience
	}
}

// closeEnded closes the holdings that the sweep did not show, once some time has passed and other reads agree.
func (r *reconciliation) closeEnded(ctx workflow.Context) error {
	if wait := r.in.Settings.Settle.Std() - workflow.Now(ctx).Sub(r.Since); wait > 0 {
		if err := r.sleep(ctx, wait, "let what is not shown settle before it is read again"); err != nil {
			return err
		}
	}
	over, err := act.CloseEnded(ctx, r.ref(), r.Unseen)
	r.Run.Counts.Calls += over.Calls
	return err
}

func (r *reconciliation) sleep(ctx workflow.Context, d time.Duration, summary string) error {
	return workflow.NewTimerWithOptions(ctx, d, workflow.TimerOptions{Summary: summary}).Get(ctx, nil)
}

// end closes the run's record, whatever happened.
func (r *reconciliation) end(ctx workflow.Context, err error) (messages.RunSummary, error) {
	r.Run.State = messages.RunDone
	whole, _ := workflow.NewDisconnectedContext(ctx)
	if err != nil {
		r.Run.State = messages.RunStopped
		if r.problem == nil {
			r.problem = err // nothing waits for the gate any more
		}
		_ = workflow.Await(whole, func() bool { return r.inFlight+r.waiting == 0 })
		if !temporal.IsCanceledError(err) {
			r.Run.Problem = &messages.Problem{Kind: kit.KindOf(err), Message: kit.MessageOf(err),
				Since: workflow.Now(ctx)}
		}
	}
	sum, failed := act.Finish(whole, reconcile.FinishInput{RunInput: r.ref(), Scope: r.in.Scope.Kind, Summary: r.Run})
	if failed != nil {
		return r.Run, failed
	}
	r.Run = sum
	r.show(ctx)
	if r.isGrantsRun() {
		return sum, r.answerGrants(whole)
	}
	return sum, nil
}

// answerGrants answers the grants' workflows that asked for the run.
func (r *reconciliation) answerGrants(ctx workflow.Context) error {
	in := reconcile.AttendInput{RunInput: r.ref(), Asks: r.in.Asks}
	if r.Run.Problem != nil {
		in.Failed = r.Run.Problem.Message
	}
	_, err := act.Attended(ctx, in)
	return err
}
