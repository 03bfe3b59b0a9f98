package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// Report answers one question from the ledger and ends. A preview reads the living organization first and decides it
// under the policy given, into the ledger alone: nothing at Atlassian changes, and nothing that the ledger knows of the
// world.
func Report(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	if in.Kind == messages.ReportPreview {
		run, err := preview(ctx, in)
		if err != nil {
			return messages.ReportAnswer{}, err
		}
		in.Run, in.Policy = run, nil
	}
	found, err := answer(ctx, in)
	if err != nil {
		return messages.ReportAnswer{}, err
	}
	workflow.SetCurrentDetails(ctx, clipDetails(found.Message))
	return found, nil
}

func preview(ctx workflow.Context, in messages.ReportInput) (string, error) {
	admitted, err := admit(ctx, activities.AdmitInput{Org: in.Org, Policy: in.Policy, Preview: true})
	if err != nil {
		return "", err
	}
	run := activities.RunInput{Org: in.Org, Run: "preview-" + workflow.Now(ctx).UTC().Format("20060102-150405.000"), Policy: admitted.Policy, Preview: true}
	started := workflow.Now(ctx)
	if _, err := outline(ctx, activities.OutlineInput{RunInput: run, Trigger: "preview", DryRun: true, Started: started}); err != nil {
		return "", err
	}
	people := 0
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		swept, err := sweep(ctx, activities.SweepInput{RunInput: run, Cursor: cursor, Block: block, Pages: admitted.Settings.Pages}, people)
		if err != nil {
			return "", err
		}
		people += swept.People
		cursor = swept.Next
	}
	verdict, err := judge(ctx, activities.JudgeInput{RunInput: run, Trigger: "preview", Scope: messages.ScopeFull, DryRun: true, Started: started})
	if err != nil {
		return "", err
	}
	sum := messages.RunSummary{Run: run.Run, Trigger: "preview", Scope: messages.ScopeFull, State: messages.RunDone, Plan: verdict.Plan, DryRun: true, Started: started, Counts: verdict.Counts}
	_, err = finish(ctx, activities.FinishInput{RunInput: run, Scope: messages.ScopeFull, Summary: sum})
	return run.Run, err
}
