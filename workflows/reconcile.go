package workflows

import (
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
	roleLag        = 30 * time.Second
	mostFailures   = 5           // in a row, until a run stops
	longWait       = time.Minute // after which what was read is old
)

// Reconcile is one run: read, judge, write, verify. It writes only lines that stand on a judged plan in the ledger, adds
// before removals, and a removal only when a second read, some time after the first, still asks for it.
//
// It always ends with a summary, also when a problem stops it or it is cancelled: what it did not reach is taken up by
// the next verification. Only what OrgSync lets through its gate is written.
func Reconcile(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
	r := &reconcile{in: in, log: workflow.GetLogger(ctx), guarded: map[access.Entitlement]bool{}}
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
	failures int                         // in a row
	problem  error                       // stops the writing
	guarded  map[access.Entitlement]bool // protected targets from which somebody is just being removed
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
			err = r.write(ctx, access.Add, r.after(phaseAdd))
		case phaseRemove:
			err = r.remove(ctx)
		case phaseVerify:
			if r.grants() { // what is written is read back, even when the loop that started this has moved on
				ctx, _ = workflow.NewDisconnectedContext(ctx)
			}
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
		checked, err := r.confirm(ctx, access.Add, access.Adopt)
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

// grants says that the run gives and takes what grants lend. There removals go first, and stand on two witnesses already:
// the ledger's reasons, and a read at the moment of writing.
func (r *reconcile) grants() bool { return r.in.Scope.Kind == messages.ScopeGrants }

func (r *reconcile) after(phase string) string {
	switch {
	case phase == phaseAdd && !r.grants():
		return phaseRemove
	case phase == phaseRemove && r.grants():
		return phaseAdd
	}
	return phaseVerify
}

// remove waits until the removals have settled, reads their people again, and writes what still stands.
func (r *reconcile) remove(ctx workflow.Context) error {
	if r.Cursor == "" && !r.grants() {
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
			checked, err := r.confirm(ctx, access.Remove)
			if err != nil {
				return err
			}
			r.Run.Counts.Calls += checked.Calls
		}
	}
	return r.write(ctx, access.Remove, r.after(phaseRemove))
}

// confirm reads the people of lines again. An approved hold may have waited for days, or been held for a bad read.
func (r *reconcile) confirm(ctx workflow.Context, actions ...access.Action) (activities.ConfirmResult, error) {
	return confirm(ctx, activities.ConfirmInput{RunInput: r.ref(), Actions: actions, Fresh: r.in.Scope.Kind == messages.ScopeHold})
}

// verify reads back what was written, with patience.
func (r *reconcile) verify(ctx workflow.Context) error {
	if r.Run.Counts.Done == 0 {
		return nil
	}
	r.tell(ctx, false)
	wait := r.in.Settings.Settle.Std()
	if r.grants() && r.Slow {
		wait = roleLag
	}
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
	if r.grants() {
		return sum, r.tellGrants(whole)
	}
	return sum, nil
}

// tellGrants tells those who asked what came of it.
func (r *reconcile) tellGrants(ctx workflow.Context) error {
	in := activities.AttendInput{RunInput: r.ref(), Asks: r.in.Asks}
	if r.Run.Problem != nil {
		in.Failed = r.Run.Problem.Message
	}
	_, err := attended(ctx, in)
	return err
}
