package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/workflows/internal/act"
)

// The phases of a run over records in which groups of its directory are written, after the records.
const (
	phaseJoin   = "join"   // groups are made and taken over, and people join them
	phaseLeave  = "leave"  // people leave them
	phaseDelete = "delete" // groups are deleted
)

// phaseAfterRecords returns the phase after the records: that of groups, if the run may have lines of any. Whether an
// approved plan has is not known before.
func (r *reconciliation) phaseAfterRecords(ctx workflow.Context) string {
	has := r.Groups
	if r.isApprovedHold() && r.in.Scope.Batch == "" {
		has = workflow.GetVersion(ctx, "synced-groups", workflow.DefaultVersion, 1) > workflow.DefaultVersion
	}
	if has {
		return phaseJoin
	}
	return phaseVerify
}

// inPhase reports whether a group has lines for a phase.
func inPhase(w apply.GroupWork, phase string) bool {
	switch phase {
	case phaseJoin:
		return w.Joins
	case phaseLeave:
		return w.Leaves && !w.Delete
	}
	return w.Delete
}

// writeGroups makes the released changes of groups in one phase: the writes of one group one after another, and several
// groups at a time. It asks for what is left until there is nothing, or only what failed.
func (r *reconciliation) writeGroups(ctx workflow.Context, phase, then string) error {
	var tried []string
	for {
		all, err := act.NextGroups(ctx, apply.NextGroupsInput{RunInput: r.ref(), Approved: r.approvedFilter()})
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(w apply.GroupWork) bool {
			return !inPhase(w, phase) || slices.Contains(tried, w.Group)
		})
		if len(all) == 0 {
			break
		}
		for _, one := range all {
			if err := r.awaitSlot(ctx, apply.Line{}); err != nil {
				return err
			}
			if r.history.Due(ctx) {
				break
			}
			tried = append(tried, one.Group)
			r.startGroup(ctx, one, phase, func() { tried = without(tried, one.Group) })
		}
		if err := r.drain(ctx); err != nil {
			return err
		}
		r.show(ctx)
		if err := r.renewIfLong(ctx); err != nil {
			return err
		}
	}
	r.Phase = then
	return nil
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return n == name })
}

// startGroup starts the writes of one group. None that was begun is cancelled; a cancelled run, and one whose history
// is long, begins no more. left tells that some were left for that.
func (r *reconciliation) startGroup(ctx workflow.Context, w apply.GroupWork, phase string, left func()) {
	r.inFlight++
	whole, _ := workflow.NewDisconnectedContext(ctx)
	in := apply.GroupChangeInput{RunInput: r.ref(), Provision: w.Provision, Group: w.Group, Action: access.Add,
		Approved: r.approvedFilter()}
	if phase != phaseJoin {
		in.Action, in.Delete = access.Remove, phase == phaseDelete
	}
	workflow.Go(whole, func(whole workflow.Context) {
		defer func() { r.inFlight-- }()
		for more := true; more; {
			result, err := act.ApplyGroup(whole, in)
			if err != nil {
				r.recordFailedChange(apply.Line{Label: "change SCIM group " + w.Group}, err)
				return
			}
			r.failures = 0
			r.countGroup(result)
			if in.After, in.Limit, more = result.After, result.Limit, result.More; !more {
				return
			}
			if r.Gate.Closed || r.problem != nil || ctx.Err() != nil || r.history.Due(whole) {
				left()
				return
			}
		}
	})
}

// countGroup updates the numbers for display; the final ones come from the ledger.
func (r *reconciliation) countGroup(result apply.GroupChangeResult) {
	c := &r.Run.Counts
	c.Calls++
	c.Done += result.States[access.Done]
	c.Already += result.States[access.Already]
	c.Superseded += result.States[access.Superseded]
	c.Refused += result.States[access.Refused]
}
