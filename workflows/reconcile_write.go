package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// write makes the released changes of one action, a bounded number at a time.
func (r *reconciliation) write(ctx workflow.Context, action access.Action, then string) error {
	read := r.Since
	for more := true; more; {
		var through string
		if action == access.Remove && r.mustConfirm(ctx) {
			var err error
			if through, err = r.confirmNext(ctx); err != nil {
				return err
			}
			read = workflow.Now(ctx)
		}
		batch, err := act.Next(ctx, apply.NextInput{
			RunInput: r.ref(), Actions: []access.Action{action}, After: r.Cursor, Through: through,
			Approved: r.approvedFilter(), Limit: linesAtOnce, Identities: r.in.Scope.Identities,
			Batch: r.in.Scope.Batch, Target: r.recordTarget(),
		})
		if err != nil {
			return err
		}
		stale, err := r.writeBatch(ctx, action, r.grouped(ctx, action, batch), read)
		if err != nil {
			return err
		}
		if stale {
			if err := r.confirmAgain(ctx, action); err != nil {
				return err
			}
			continue
		}
		if r.Cursor, more = batch.After, batch.More; through != "" && !more {
			r.Cursor, more = through, true
		}
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
	if err := r.closeExhausted(ctx, action); err != nil {
		return err
	}
	r.Phase, r.Cursor = then, ""
	return nil
}

// grouped puts the lines of a large plan into groups that one activity writes, one after another: each activity costs
// Temporal more than its call costs Atlassian. Removals stay alone, since each rests on a recent read, and so does
// every line of a protected target, and of a small plan, of which the Web UI shows each change.
func (r *reconciliation) grouped(ctx workflow.Context, action access.Action,
	next apply.NextResult) (groups [][]apply.Line) {
	most := 1
	if next.More && action != access.Remove && !r.isGrantsRun() {
		most = writesTogether(ctx)
	}
	for _, line := range next.Lines {
		if n := len(groups) - 1; n >= 0 && !line.Guarded && !groups[n][0].Guarded && len(groups[n]) < most {
			groups[n] = append(groups[n], line)
		} else {
			groups = append(groups, []apply.Line{line})
		}
	}
	return groups
}

// writesTogether is how many changes of a large plan one activity makes at most; it goes on to another for two seconds,
// so a pause is soon obeyed.
func writesTogether(ctx workflow.Context) int {
	switch workflow.GetVersion(ctx, "writes-together", workflow.DefaultVersion, 2) {
	case workflow.DefaultVersion:
		return 1
	case 1:
		return 5
	default:
		return 20
	}
}

// writeBatch starts the changes of some lines, until their read is too old.
func (r *reconciliation) writeBatch(ctx workflow.Context, action access.Action, groups [][]apply.Line,
	read time.Time) (stale bool, err error) {
	for _, lines := range groups {
		lines = slices.DeleteFunc(lines, func(line apply.Line) bool {
			return slices.Contains(r.Exhausted, messages.Exhausted{Action: action, Target: line.Target})
		})
		if len(lines) == 0 {
			continue
		}
		if err := r.awaitSlot(ctx, lines[0]); err != nil {
			return false, err
		}
		old := action == access.Remove && r.mustConfirm(ctx) && workflow.Now(ctx).Sub(read) > evidenceLasts
		if r.Stale || old {
			return true, nil
		}
		if len(lines) == 1 {
			r.startChange(ctx, action, lines[0])
		} else {
			r.startChanges(ctx, action, lines)
		}
		r.Cursor = lines[len(lines)-1].Key(action) // what fails is left to the next verification
	}
	return false, nil
}

// closeExhausted closes the lines of targets that accepted no more changes in this run.
func (r *reconciliation) closeExhausted(ctx workflow.Context, action access.Action) error {
	for _, e := range r.Exhausted {
		if e.Action != action {
			continue
		}
		if _, err := act.Set(ctx, "leave the rest of "+string(e.Target), reconcile.SetInput{
			RunInput: r.ref(), Action: action, Target: []access.Entitlement{e.Target},
			Approved: r.approvedFilter(), State: access.Refused,
			Answer: "not tried: the target takes no more changes in this run, see those that were",
		}); err != nil {
			return err
		}
	}
	return nil
}

// mustConfirm reports whether the next removals are read again before they are written. People ask for an undo, and
// grants are decided at the moment of writing.
func (r *reconciliation) mustConfirm(ctx workflow.Context) bool {
	if !r.byBatch || r.isGrantsRun() || r.in.Scope.Kind == messages.ScopeUndo {
		return false
	}
	return !r.Settled || workflow.Now(ctx).Sub(r.Since) > evidenceLasts
}

// confirmNext reads the people of the next removals again, so that each has a recent read however many there are. If
// there are more, it returns the last one read: none after it may be written yet.
func (r *reconciliation) confirmNext(ctx workflow.Context) (through string, err error) {
	checked, err := act.Confirm(ctx, apply.ConfirmInput{
		RunInput: r.ref(), Actions: []access.Action{access.Remove}, Fresh: r.isApprovedHold(), After: r.Cursor,
		Limit: linesAtOnce,
	})
	r.Run.Counts.Calls += checked.Calls
	return checked.Through, err
}

// confirmAgain reads the people of the remaining lines again, after the run had to wait for long.
func (r *reconciliation) confirmAgain(ctx workflow.Context, action access.Action) error {
	r.Stale = false
	if err := r.drain(ctx); err != nil {
		return err
	}
	if r.isRecordsRun() || r.isRestoreRun() { // each is decided again when it is written
		return nil
	}
	if action == access.Remove && r.mustConfirm(ctx) {
		return nil // before each batch
	}
	checked, err := r.confirm(ctx, action)
	r.Run.Counts.Calls += checked.Calls
	return err
}

// awaitSlot waits for the gate and a slot among the writes in flight. A removal from a protected target runs alone, so
// that no two break its floor together; in a run of grants, alone among those of its target.
func (r *reconciliation) awaitSlot(ctx workflow.Context, line apply.Line) error {
	most := max(r.in.Settings.InFlight, 1)
	if line.Guarded && !r.isGrantsRun() {
		most = 1
	}
	mayGo := func() bool {
		return !r.Gate.Closed && r.inFlight+r.waiting < most && !(line.Guarded && r.guarded[line.Target])
	}
	if err := workflow.Await(ctx, func() bool { return mayGo() || r.problem != nil }); err != nil {
		return err
	}
	return r.problem
}

// startChange starts one change. It is never cancelled: a cancelled run starts no more, and waits for those in flight.
func (r *reconciliation) startChange(ctx workflow.Context, action access.Action, line apply.Line) {
	r.inFlight++
	if line.Guarded {
		r.guarded[line.Target] = true
	}
	whole, _ := workflow.NewDisconnectedContext(ctx)
	done := act.Apply(whole, r.in.Org, r.changeOf(line), line)
	workflow.Go(whole, func(ctx workflow.Context) {
		defer func() {
			r.inFlight--
			delete(r.guarded, line.Target)
		}()
		var result apply.ChangeResult
		if err := done.Get(ctx, &result); err != nil {
			r.recordFailedChange(line, err)
			return
		}
		r.failures = 0
		r.count(action, line, result)
	})
}

// startChanges starts several changes, one after another. Those that were not made, because one before them failed or
// it took long, are each made by an activity of their own, which tries again as long as any.
func (r *reconciliation) startChanges(ctx workflow.Context, action access.Action, lines []apply.Line) {
	r.inFlight++
	run, many := ctx, len(lines) > 5 // groups of up to five never asked, as older histories have it
	whole, _ := workflow.NewDisconnectedContext(ctx)
	in := apply.ChangesInput{RunInput: r.ref(), Fresh: r.isApprovedHold()}
	for _, line := range lines {
		in.Lines = append(in.Lines, apply.LineRef{Person: line.Person, Target: line.Target})
	}
	done := act.ApplySeveral(whole, in, lines)
	workflow.Go(whole, func(ctx workflow.Context) {
		defer func() { r.inFlight-- }()
		var results []apply.ChangeResult
		if err := done.Get(ctx, &results); err != nil {
			r.log.Warn("changes are made one by one after a failure", "error", err)
		}
		for i, line := range lines {
			if i < len(results) && results[i].State != "" {
				r.failures = 0
				r.count(action, line, results[i])
				continue
			}
			if slices.Contains(r.Exhausted, messages.Exhausted{Action: action, Target: line.Target}) {
				continue
			}
			if many && r.stopsBefore(run, ctx) {
				return // what is left is for the next verification
			}
			var result apply.ChangeResult
			if err := act.Apply(ctx, r.in.Org, r.changeOf(line), line).Get(ctx, &result); err != nil {
				r.recordFailedChange(line, err)
				continue
			}
			r.failures = 0
			r.count(action, line, result)
		}
	})
}

// stopsBefore waits while writes are paused, none of which is in flight then, and reports whether the run makes no more
// changes.
func (r *reconciliation) stopsBefore(run, ctx workflow.Context) bool {
	if r.Gate.Closed {
		r.inFlight, r.waiting = r.inFlight-1, r.waiting+1
		_ = workflow.Await(ctx, func() bool { return !r.Gate.Closed || r.problem != nil || run.Err() != nil })
		r.inFlight, r.waiting = r.inFlight+1, r.waiting-1
	}
	return r.problem != nil || run.Err() != nil
}

func (r *reconciliation) changeOf(line apply.Line) apply.ChangeInput {
	return apply.ChangeInput{RunInput: r.ref(), Person: line.Person, Target: line.Target, Now: r.isGrantsRun(),
		Fresh: r.isApprovedHold()}
}

// recordFailedChange leaves a failed change to the next verification. A refused key, a reset, or several failures in a
// row stop the run: then the change is not at fault.
func (r *reconciliation) recordFailedChange(line apply.Line, err error) {
	r.failures++
	r.Run.Counts.Failed++
	if kind := kit.KindOf(err); r.problem == nil && (kind == session.ErrKeyRefused || kind == session.ErrReset ||
		r.failures >= mostFailures) {
		r.problem = err
	}
	r.log.Warn("a change could not be made in this run", "change", line.Label, "error", err)
}

// count updates the numbers for display; the final ones come from the ledger.
func (r *reconciliation) count(action access.Action, line apply.Line, result apply.ChangeResult) {
	c := &r.Run.Counts
	c.Calls++
	switch result.State {
	case access.Done:
		c.Done++
		r.Slow = r.Slow || line.Target.Kind() == access.KindRole
	case access.Already:
		c.Already++
	case access.Superseded:
		c.Superseded++
	case access.Shortage:
		c.Shortage++
	case access.Refused:
		c.Refused++
	}
	e := messages.Exhausted{Action: action, Target: line.Target}
	if result.Closed && !slices.Contains(r.Exhausted, e) {
		r.Exhausted = append(r.Exhausted, e)
	}
}

// drain waits for all writes in flight.
func (r *reconciliation) drain(ctx workflow.Context) error {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.Await(whole, func() bool { return r.inFlight+r.waiting == 0 }); err != nil {
		return err
	}
	if r.problem != nil {
		return r.problem
	}
	return ctx.Err()
}
