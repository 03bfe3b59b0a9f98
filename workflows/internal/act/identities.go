package act

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/sources"
)

func ReadRecords(ctx workflow.Context, in provisioning.ReadInput) (provisioning.ReadResult, error) {
	return call[provisioning.ReadResult](ctx, pagedRead, in.Org, "read the records of provision "+in.Provision,
		activity.Provisioning.ReadRecords, in)
}

func DecideRecords(ctx workflow.Context, in provisioning.DecideInput) (provisioning.DecideResult, error) {
	return call[provisioning.DecideResult](ctx, pagedRead, in.Org,
		fmt.Sprintf("decide people of provision %s, block %d", in.Provision, in.Block), activity.Provisioning.DecideRecords, in)
}

func JudgeRecords(ctx workflow.Context, in provisioning.JudgeInput) (provisioning.JudgeResult, error) {
	return call[provisioning.JudgeResult](ctx, pagedRead, in.Org, "let the guard judge provision "+in.Provision,
		activity.Provisioning.JudgeRecords, in)
}

func VerifyRecords(ctx workflow.Context, in provisioning.RunInput) (provisioning.VerifyResult, error) {
	return call[provisioning.VerifyResult](ctx, pagedRead, in.Org, "read back the records of provision "+in.Provision,
		activity.Provisioning.VerifyRecords, in)
}

func NextGroups(ctx workflow.Context, in apply.NextGroupsInput) ([]apply.GroupWork, error) {
	return call[[]apply.GroupWork](ctx, lookup, in.Org, "list the groups that change", activity.Apply.NextGroups, in)
}

func ApplyGroup(ctx workflow.Context, in apply.GroupChangeInput) (apply.GroupChangeResult, error) {
	summary := fmt.Sprintf("%s members of group %s", in.Action, in.Group)
	if in.Delete {
		summary = "delete group " + in.Group
	}
	return call[apply.GroupChangeResult](ctx, write, in.Org, summary, activity.Apply.ApplyGroup, in)
}

func AcceptSource(ctx workflow.Context, in sources.AcceptInput) error {
	_, err := call[bool](ctx, statement, in.Org, "accept what source "+in.Source+" shows, by "+in.By,
		activity.Sources.AcceptSource, in)
	return err
}

func DecideConflict(ctx workflow.Context, in sources.DecideConflictInput) (group string, err error) {
	verb := "reject"
	if in.Accept {
		verb = "accept"
	}
	return call[string](ctx, statement, in.Org, verb+" the conflict of groups "+in.Conflict+", by "+in.By,
		activity.Sources.DecideConflict, in)
}

func WatchSource(ctx workflow.Context, in sources.WatchInput) (sources.WatchResult, error) {
	return call[sources.WatchResult](ctx, sourceWatch, in.Org, "read source "+in.Source, activity.Sources.WatchSource, in)
}
