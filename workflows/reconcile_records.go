package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/workflows/internal/act"
)

// The phases of a run over records that others do not have.
const phaseChange = "change" // changes of records' attributes

// isRecordsRun reports whether this run provisions records of a SCIM directory.
func (r *reconciliation) isRecordsRun() bool { return r.in.Scope.Provision != "" }

// runRecordPhases runs the phases of a run over records: leavers first, so that they wait for nobody; then joiners,
// then changes; then the directory's groups. Each line is decided again at the moment of writing, from the ledger's
// replica of the sources and the record as it is then.
func (r *reconciliation) runRecordPhases(ctx workflow.Context) error {
	for {
		r.show(ctx)
		var err error
		switch r.Phase {
		case phaseRead:
			err = r.readRecords(ctx)
		case phaseJudge:
			err = r.judgeRecords(ctx)
		case phaseAdopt, phaseRemove:
			err = r.write(ctx, access.Remove, phaseAdd)
		case phaseAdd:
			err = r.write(ctx, access.Add, phaseChange)
		case phaseChange:
			err = r.write(ctx, access.Update, r.phaseAfterRecords(ctx))
		case phaseJoin:
			err = r.writeGroups(ctx, phaseJoin, phaseLeave)
		case phaseLeave:
			err = r.writeGroups(ctx, phaseLeave, phaseDelete)
		case phaseDelete:
			err = r.writeGroups(ctx, phaseDelete, phaseVerify)
		case phaseVerify:
			return r.verifyRecords(ctx)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// recordTarget returns the target of the records that the run is about; empty: it is about none. Groups of the
// directory are written apart.
func (r *reconciliation) recordTarget() access.Entitlement {
	if !r.isRecordsRun() {
		return ""
	}
	return access.RecordTarget(r.in.Scope.Provision)
}

func (r *reconciliation) recordsRef() provisioning.RunInput {
	return provisioning.RunInput{RunInput: r.ref(), Provision: r.in.Scope.Provision}
}

// readRecords reads the directory and decides everybody in blocks; or only the identities that the run is about.
func (r *reconciliation) readRecords(ctx workflow.Context) error {
	if r.Block == 0 {
		read, err := act.ReadRecords(ctx, provisioning.ReadInput{RunInput: r.recordsRef(), Trigger: r.in.Trigger,
			By: r.in.By, DryRun: r.in.DryRun, Started: r.Run.Started, Identities: r.in.Scope.Identities})
		if err != nil {
			return err
		}
		r.Run.Counts.Calls += read.Calls
		r.Block++
	}
	for {
		block, err := act.DecideRecords(ctx, provisioning.DecideInput{RunInput: r.recordsRef(), After: r.Cursor,
			Block: r.Block, Identities: r.in.Scope.Identities})
		if err != nil {
			return err
		}
		r.Run.Counts.People += block.People
		r.Block++
		if r.Cursor = block.Next; r.Cursor == "" {
			r.Phase = phaseJudge
			return nil
		}
		r.show(ctx)
		if err := r.renewIfLong(ctx); err != nil {
			return err
		}
	}
}

// judgeRecords has the guard decide, and reports what is held before the writes begin.
func (r *reconciliation) judgeRecords(ctx workflow.Context) error {
	verdict, err := act.JudgeRecords(ctx, provisioning.JudgeInput{RunInput: r.recordsRef(), DryRun: r.in.DryRun,
		Partial: len(r.in.Scope.Identities) > 0})
	if err != nil {
		return err
	}
	calls, people := r.Run.Counts.Calls, r.Run.Counts.People
	r.Run.Counts, r.Run.Plan, r.Run.Hold = verdict.Counts, verdict.Plan, verdict.Hold
	r.Run.Findings, r.Run.Reported = verdict.Findings, verdict.Reported
	r.Run.Counts.Calls, r.Run.Counts.People = calls+verdict.Counts.Calls, people
	r.Since, r.Groups = workflow.Now(ctx), verdict.Groups > 0
	if r.Phase = phaseRemove; verdict.Open == 0 {
		r.Phase = ""
	}
	r.reportProgress(ctx, true)
	return nil
}

// verifyRecords reads back the records that were written.
func (r *reconciliation) verifyRecords(ctx workflow.Context) error {
	r.reportProgress(ctx, false)
	if r.Run.Counts.Done == 0 {
		return nil
	}
	var seen provisioning.VerifyResult
	err := r.readBack(ctx, r.in.Settings.Settle.Std(), func() (verified, unverified, calls int, err error) {
		seen, err = act.VerifyRecords(ctx, r.recordsRef())
		return seen.Verified, seen.Unverified, seen.Calls, err
	})
	r.Run.Findings, r.Run.Reported = append(r.Run.Findings, seen.Findings...), r.Run.Reported+seen.Reported
	return err
}
