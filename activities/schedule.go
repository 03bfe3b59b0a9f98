package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// Schedules keeps Temporal's schedules. It is Temporal's client.
type Schedules interface {
	ScheduleClient() client.ScheduleClient
}

// KeepSchedulesInput names a policy.
type KeepSchedulesInput struct {
	Org    string `json:"org"`
	Policy string `json:"policy"`
}

// KeepSchedules makes the organization's schedules those that the policy names: today, that of the governance report. One that
// somebody paused in the Web UI stays paused. A repeat changes nothing.
func (a *Activities) KeepSchedules(ctx context.Context, in KeepSchedulesInput) error {
	p, err := a.policyOf(ctx, in.Org, in.Policy)
	if err != nil {
		return err
	}
	id := messages.ReportID(in.Org, messages.ReportGovernance, "schedule")
	handle := a.schedules.ScheduleClient().GetHandle(ctx, id)
	if p.Governance == nil {
		var gone *serviceerror.NotFound
		if err := handle.Delete(ctx); err != nil && !errors.As(err, &gone) {
			return fmt.Errorf("take away schedule %s: %w", id, err)
		}
		return nil
	}
	spec := client.ScheduleSpec{CronExpressions: []string{p.Governance.Schedule}, TimeZoneName: p.Governance.Zone}
	action := governAction(in.Org)
	_, err = a.schedules.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id, Spec: spec, Action: action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: 24 * time.Hour, Note: "made by the policy's key governance: applying a policy overwrites what is edited here; a pause stays",
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(in.Org)),
	})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return wrapped(err, "make schedule "+id)
	}
	return wrapped(handle.Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(is client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := is.Description.Schedule
			schedule.Spec, schedule.Action = &spec, action
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	}), "change schedule "+id)
}

// governAction starts the report.
func governAction(org string) *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: messages.ReportID(org, messages.ReportGovernance, "scheduled"), Workflow: messages.Report, TaskQueue: messages.QueueWorkflows,
		Args:                  []any{messages.ReportInput{Org: org, Kind: messages.ReportGovernance, Scheduled: true}},
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(org)),
		StaticSummary:         org + ": governance report",
	}
}

func wrapped(err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Scheduled says that the policy has something made on a schedule.
func scheduled(p *policy.Policy) bool { return p.Governance != nil }
