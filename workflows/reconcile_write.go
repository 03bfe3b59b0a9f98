package workflows

import (
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
)

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
	checked, err := r.confirm(ctx, action)
	r.Run.Counts.Calls += checked.Calls
	return err
}

// place waits for the gate and a place among the writes in flight. A removal from a protected target goes alone, so that no
// two break its floor together; where grants end, those of different targets go side by side.
func (r *reconcile) place(ctx workflow.Context, line activities.Line) error {
	most := max(r.in.Settings.InFlight, 1)
	if line.Guarded && !r.grants() {
		most = 1
	}
	mayGo := func() bool {
		return !r.Gate.Closed && r.inFlight < most && !(line.Guarded && r.guarded[line.Target])
	}
	if err := workflow.Await(ctx, func() bool { return mayGo() || r.problem != nil }); err != nil {
		return err
	}
	return r.problem
}

// launch starts one change. It is never cancelled half way: a cancelled run starts no more and waits for those in flight.
func (r *reconcile) launch(ctx workflow.Context, action access.Action, line activities.Line) {
	r.inFlight++
	if line.Guarded {
		r.guarded[line.Target] = true
	}
	preset := write
	if r.grants() {
		preset = lend
	}
	whole, _ := workflow.NewDisconnectedContext(ctx)
	done := apply(whole, preset, r.in.Org, activities.ChangeInput{RunInput: r.ref(), Person: line.Person, Target: line.Target, Now: r.grants()}, line)
	workflow.Go(whole, func(ctx workflow.Context) {
		defer func() {
			r.inFlight--
			delete(r.guarded, line.Target)
		}()
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
