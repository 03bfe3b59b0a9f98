package workflows

import (
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// Bounds and times of a restore.
const (
	renewRestoreAt = 1000             // history events after which a restore continues as new
	restoreLag     = 10 * time.Second // until what is not seen is looked for again: reads of roles lag by up to 30 s
	restoreTries   = 6                // how often it is looked for
)

// GroupRestore makes a lost group again from its record, as a local group: a preview, which waits for approval; then
// the group, its app roles and its members, written by the organization's loop; then the proof, role by role and person
// by person. It writes nothing itself. Started again, it adds what the group still lacks, and nothing if it lacks
// nothing.
func GroupRestore(ctx workflow.Context, raw converter.RawValue) (messages.RestoreState, error) {
	in, err := kit.Input[messages.RestoreInput](ctx, messages.GroupRestore, raw)
	if err != nil {
		return messages.RestoreState{}, err
	}
	is := workflow.GetInfo(ctx).WorkflowExecution.ID
	org, group, ok := messages.RestoredGroup(is)
	if !ok {
		return messages.RestoreState{}, kit.Refuse("the workflow ID must be %s, with the id that the group had, not %s",
			messages.RestoreID("<organization>", "<group>"), kit.Bounded(is))
	}
	if in.By == "" {
		return messages.RestoreState{}, kit.Refuse("by is missing: say who requests it")
	}
	k := &groupRestore{in: in, log: workflow.GetLogger(ctx)}
	if in.State != nil {
		if err := kit.CheckStateOf(ctx, in.State.Workflow, is); err != nil {
			return messages.RestoreState{}, err
		}
		k.RestoreState = *in.State
	} else {
		k.RestoreState = messages.RestoreState{Workflow: is, Org: org, Group: group, State: messages.RestoreReading,
			Begun: workflow.Now(ctx)}
		k.Run = messages.RestoreRun(group, k.Begun)
	}
	k.in.State = nil
	if err := k.listen(ctx); err != nil {
		return k.RestoreState, err
	}
	err = k.run(ctx)
	return display.Answer(k.RestoreState), kit.PlainError(err)
}

// groupRestore is the workflow's state: what is carried through continue-as-new, and what is not.
type groupRestore struct {
	messages.RestoreState
	in       messages.RestoreInput
	log      log.Logger
	handlers *kit.MessageHandlers
	history  *kit.Renewal

	deciding bool // a decision on the preview is being recorded
	looked   bool // the organization's loop says that it is through
	shown    string
}

// run goes from state to state, and tries again what fails on the way.
func (k *groupRestore) run(ctx workflow.Context) error {
	for {
		k.handlers.RefuseUnknown(ctx)
		k.show(ctx)
		var err error
		switch {
		case ctx.Err() != nil:
			return k.cancel(ctx)
		case k.history.Due(ctx) && k.handlers.Quiet(ctx) && !k.deciding:
			if kit.YieldToCoroutines(ctx); !k.handlers.Quiet(ctx) || k.deciding {
				continue
			}
			state, again := k.RestoreState, k.in
			again.State = &state
			return workflow.NewContinueAsNewError(ctx, messages.GroupRestore, again)
		case k.State == messages.RestoreReading:
			err = k.preview(ctx)
		case k.State == messages.RestoreHeld:
			_ = workflow.Await(ctx, func() bool {
				return k.State != messages.RestoreHeld && !k.deciding || k.history.Due(ctx) && !k.deciding ||
					len(k.handlers.Unknown(ctx)) > 0
			})
		case k.State == messages.RestoreRestoring:
			err = k.restore(ctx)
		default:
			return k.end(ctx)
		}
		if err == nil || ctx.Err() != nil {
			if err == nil {
				k.Problem = nil
			}
			continue
		}
		if k.State == messages.RestoreReading && isInputError(err) {
			return err
		}
		k.Problem = kit.RecordFailure(workflow.Now(ctx), k.Problem, messages.Problem{Kind: kit.KindOf(err),
			Message: kit.MessageOf(err)}, loopBackoff)
		k.show(ctx)
		kit.AwaitUntil(ctx, k.Problem.Retry, "try again after a problem", func() bool { return false })
	}
}

func (k *groupRestore) ref() groups.RestoreRunInput {
	return groups.RestoreRunInput{RunInput: session.RunInput{Org: k.Org, Run: k.Run, Policy: k.Policy}, Group: k.Group}
}

// preview compares the group with its record, decides the members piece by piece, and holds what is to be written.
func (k *groupRestore) preview(ctx workflow.Context) error {
	if k.Policy == "" {
		begun, err := act.BeginRestore(ctx, groups.BeginRestoreInput{RestoreRunInput: k.ref(), Name: k.in.Name,
			By: k.in.By, Note: kit.Bounded(k.in.Note), Started: k.Begun})
		if err != nil {
			return err
		}
		k.Policy, k.Lost, k.ReadOnly, k.ByHand = begun.Policy, begun.Lost, begun.ReadOnly, begun.ByHand
		return nil
	}
	if !k.Read {
		piece, err := act.PreviewRestore(ctx, groups.PreviewRestoreInput{RestoreRunInput: k.ref(), Lost: k.Lost,
			After: k.After})
		if err != nil {
			return err
		}
		k.After, k.Read = piece.Next, piece.Next == ""
		return nil
	}
	judged, err := act.JudgeRestore(ctx, groups.JudgeRestoreInput{RestoreRunInput: k.ref(), Lost: k.Lost,
		Observe: k.ReadOnly != ""})
	if err != nil {
		return err
	}
	k.Counts, k.Hold, k.State = judged.Counts, judged.Hold, messages.RestoreHeld
	if k.Hold == nil {
		k.State = messages.RestoreDone
	}
	return nil
}

// restore asks the organization's loop to write, and compares what became of it.
func (k *groupRestore) restore(ctx workflow.Context) error {
	k.Tries++
	if k.Written {
		kit.AwaitUntil(ctx, workflow.Now(ctx).Add(restoreLag), "look for what was written again",
			func() bool { return false })
	} else if err := k.askLoop(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	seen, err := k.check(ctx, k.Written && k.Tries >= restoreTries)
	if err != nil {
		return err
	}
	switch {
	case seen.Open > 0 && seen.Differing == 0: // it was paused, say: it is asked again, less and less often
	case seen.Unseen > 0 && !k.Written:
		k.Written, k.Tries = true, 0
	case seen.Unseen > 0:
	case seen.Differing > 0:
		k.State = messages.RestoreStopped
	default:
		k.State = messages.RestoreDone
	}
	return nil
}

// check compares the group with its record.
func (k *groupRestore) check(ctx workflow.Context, last bool) (groups.CheckRestoreResult, error) {
	seen, err := act.CheckRestore(ctx, groups.CheckRestoreInput{RestoreRunInput: k.ref(), Lost: k.Lost, Since: k.Begun,
		Last: last})
	if err == nil {
		k.Counts, k.Differs, k.Differing = seen.Counts, seen.Differs, seen.Differing
	}
	return seen, err
}

// askLoop asks the organization's loop to write the approved lines, and waits until it is through, for a while.
func (k *groupRestore) askLoop(ctx workflow.Context) error {
	k.looked = false
	err := workflow.SignalExternalWorkflow(ctx, messages.OrgSyncID(k.Org), "", messages.RestoreGroup,
		messages.RestoreGroupSignal{Group: k.Group, Run: k.Run, Plan: k.Plan, By: k.By}).Get(ctx, nil)
	if err != nil {
		return err
	}
	wait := kit.Backoff{First: askAgain, Longest: longestNudge}.After(k.Tries)
	kit.AwaitUntil(ctx, workflow.Now(ctx).Add(wait), "ask the organization's loop again",
		func() bool { return k.looked })
	return nil
}

// end closes the restore in the ledger: nothing that was not written is written any more. A group that was made or
// filled is looked at by a full verification, which begins its record and decides its members anew.
func (k *groupRestore) end(ctx workflow.Context) error {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	ended, err := act.EndRestore(whole, groups.EndRestoreInput{RestoreRunInput: k.ref(), State: k.endState(),
		By: k.decider()})
	if err != nil {
		return err
	}
	k.Counts, k.Hold = ended.Counts, nil
	if k.Plan != "" && k.State != messages.RestoreRejected {
		err := workflow.SignalExternalWorkflow(whole, messages.OrgSyncID(k.Org), "", messages.SyncNow,
			messages.SyncNowInput{By: k.Workflow}).Get(whole, nil)
		if err != nil {
			k.log.Warn("the organization's loop does not hear of the restore's end", "error", err)
		}
	}
	k.show(whole)
	return nil
}

// endState is the state with which the restore ends in the ledger: a preview alone restores nothing.
func (k *groupRestore) endState() string {
	if k.ReadOnly != "" && k.State == messages.RestoreDone {
		return messages.RestoreStopped
	}
	return k.State
}

// decider is who decided on the preview, or else requested it.
func (k *groupRestore) decider() string {
	if k.By != "" {
		return k.By
	}
	return k.in.By
}

// cancel ends a restore that was cancelled: it writes no more, and finds out what became of what is in flight.
func (k *groupRestore) cancel(ctx workflow.Context) error {
	was := k.State
	k.State = messages.RestoreStopped
	whole, _ := workflow.NewDisconnectedContext(ctx)
	if was == messages.RestoreRestoring {
		if _, err := act.EndRestore(whole, groups.EndRestoreInput{RestoreRunInput: k.ref(), State: k.State,
			LinesOnly: true}); err != nil {
			return err
		}
		for try := 1; try <= restoreTries; try++ {
			seen, err := k.check(whole, try == restoreTries)
			if err != nil {
				k.log.Warn("what became of the restore is not known", "error", err)
				break
			}
			if seen.Open+seen.Unseen == 0 {
				break
			}
			kit.AwaitUntil(whole, workflow.Now(ctx).Add(restoreLag), "let what is in flight end",
				func() bool { return false })
		}
	}
	k.Differs = append(k.Differs, "the workflow was cancelled")
	if err := k.end(ctx); err != nil {
		return err
	}
	return ctx.Err()
}
