package act

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/provisioning"
)

func PickLinks(ctx workflow.Context, in provisioning.PickLinksInput) (provisioning.PickLinksResult, error) {
	return call[provisioning.PickLinksResult](ctx, remediation, in.Org, "find the people of batch "+in.Batch,
		activity.Provisioning.PickLinks, in)
}

func PreviewLinks(ctx workflow.Context, in provisioning.PreviewLinksInput) (provisioning.PreviewLinksResult, error) {
	return call[provisioning.PreviewLinksResult](ctx, shortRead, in.Org,
		"see what linking would change, and what must stay", activity.Provisioning.PreviewLinks, in)
}

func JudgeLinks(ctx workflow.Context, in provisioning.JudgeLinksInput) (provisioning.JudgeLinksResult, error) {
	return call[provisioning.JudgeLinksResult](ctx, check, in.Org, "hold the preview for approval",
		activity.Provisioning.JudgeLinks, in)
}

func NextWave(ctx workflow.Context, in provisioning.NextWaveInput) (provisioning.NextWaveResult, error) {
	return call[provisioning.NextWaveResult](ctx, shortRead, in.Org,
		fmt.Sprintf("take the people of wave %d, and compare them with the preview", in.Wave),
		activity.Provisioning.NextWave, in)
}

func CheckWave(ctx workflow.Context, in provisioning.CheckWaveInput) (provisioning.CheckWaveResult, error) {
	return call[provisioning.CheckWaveResult](ctx, shortRead, in.Org,
		fmt.Sprintf("compare %d people with the preview", len(in.Identities)), activity.Provisioning.CheckWave, in)
}

func EndLinks(ctx workflow.Context, in provisioning.EndLinksInput) (provisioning.EndLinksResult, error) {
	return call[provisioning.EndLinksResult](ctx, record, in.Org, "end batch "+in.Batch+": "+in.State,
		activity.Provisioning.EndLinks, in)
}

func FindIdentities(ctx workflow.Context, in provisioning.FindIdentitiesInput) ([]string, error) {
	return call[[]string](ctx, check, in.Org, "find people of provision "+in.Provision,
		activity.Provisioning.FindIdentities, in)
}
