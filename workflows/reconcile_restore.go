package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/workflows/internal/act"
)

// phaseGroup is the phase of a restore that others do not have: the group itself and its app roles.
const phaseGroup = "group"

// isRestoreRun reports whether this run writes the approved restore of a lost group.
func (r *reconciliation) isRestoreRun() bool { return r.in.Scope.Restore != "" }

// runRestorePhases makes the group, gives it its roles, then adds its members: in this order, so that people find the
// apps open. The workflow that asked for it reads back.
func (r *reconciliation) runRestorePhases(ctx workflow.Context) error {
	for {
		r.show(ctx)
		var err error
		switch r.Phase {
		case phaseAdopt, phaseGroup:
			err = r.restoreGroup(ctx)
		case phaseAdd:
			err = r.write(ctx, access.Add, "")
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// restoreGroup writes the lines about the group itself one by one: the group goes first in their order. Without it,
// nothing else is tried.
func (r *reconciliation) restoreGroup(ctx workflow.Context) error {
	lines, err := act.Next(ctx, apply.NextInput{RunInput: r.ref(), Actions: []access.Action{access.Add},
		Approved: r.approvedFilter(), Limit: linesAtOnce, Person: r.in.Scope.Restore})
	if err != nil {
		return err
	}
	for _, line := range lines.Lines {
		if err := r.awaitSlot(ctx, line); err != nil {
			return err
		}
		whole, _ := workflow.NewDisconnectedContext(ctx)
		var result apply.ChangeResult
		in := apply.ChangeInput{RunInput: r.ref(), Person: line.Person, Target: line.Target, Fresh: true}
		if err := act.Apply(whole, r.in.Org, in, line).Get(whole, &result); err != nil {
			return err
		}
		r.count(access.Add, line, result)
		if _, group := access.RestoreOf(line.Target); group && result.State != access.Done {
			r.Phase = ""
			return nil
		}
		if ctx.Err() != nil {
			return temporal.NewCanceledError()
		}
	}
	r.Phase = phaseAdd
	return nil
}
