package act

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/groups"
)

func BeginRestore(ctx workflow.Context, in groups.BeginRestoreInput) (groups.BeginRestoreResult, error) {
	return call[groups.BeginRestoreResult](ctx, check, in.Org, "compare the group with its record",
		activity.Groups.BeginRestore, in)
}

func PreviewRestore(ctx workflow.Context, in groups.PreviewRestoreInput) (groups.PreviewRestoreResult, error) {
	return call[groups.PreviewRestoreResult](ctx, shortRead, in.Org, "see who is added again, and who is left out",
		activity.Groups.PreviewRestore, in)
}

func JudgeRestore(ctx workflow.Context, in groups.JudgeRestoreInput) (groups.JudgeRestoreResult, error) {
	return call[groups.JudgeRestoreResult](ctx, check, in.Org, "hold the preview for approval",
		activity.Groups.JudgeRestore, in)
}

func CheckRestore(ctx workflow.Context, in groups.CheckRestoreInput) (groups.CheckRestoreResult, error) {
	return call[groups.CheckRestoreResult](ctx, shortRead, in.Org, "compare the restored group with its record",
		activity.Groups.CheckRestore, in)
}

func EndRestore(ctx workflow.Context, in groups.EndRestoreInput) (groups.EndRestoreResult, error) {
	return call[groups.EndRestoreResult](ctx, record, in.Org, "end the restore: "+in.State,
		activity.Groups.EndRestore, in)
}
