package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// KeepSchedules makes the organization's schedules those that the policy names: of the governance report, and of its reviews. One
// that somebody paused in the Web UI stays paused. A repeat changes nothing.
func (a *Activities) KeepSchedules(ctx context.Context, in KeepSchedulesInput) error {
	p, err := a.policyOf(ctx, in.Org, in.Policy)
	if err != nil {
		return err
	}
	wanted := map[string]wantedSchedule{}
	if g := p.Governance; g != nil {
		wanted[messages.ReportID(in.Org, messages.ReportGovernance, "schedule")] = wantedSchedule{g.Schedule, g.Zone, "governance", governAction(in.Org)}
	}
	for i := range p.Reviews {
		if r := &p.Reviews[i]; r.Schedule != "" {
			wanted[messages.ReviewID(in.Org, r.Name)] = wantedSchedule{r.Schedule, r.Zone, "reviews", reviewAction(in.Org, r)}
		}
	}
	if err := a.dropSchedules(ctx, in.Org, wanted); err != nil {
		return err
	}
	for _, id := range sorted(wanted) {
		if err := a.keepSchedule(ctx, in.Org, id, wanted[id]); err != nil {
			return err
		}
	}
	return nil
}

// wantedSchedule is a schedule as the policy wants it.
type wantedSchedule struct {
	cron, zone string
	key        string // of the policy
	action     *client.ScheduleWorkflowAction
}

// dropSchedules takes away the organization's schedules that nothing wants any more.
func (a *Activities) dropSchedules(ctx context.Context, org string, wanted map[string]wantedSchedule) error {
	all, err := a.schedules.ScheduleClient().List(ctx, client.ScheduleListOptions{Query: messages.AttributeOrg.GetName() + " = '" + org + "'"})
	if err != nil {
		return fmt.Errorf("list the schedules of organization %s: %w", org, err)
	}
	for all.HasNext() {
		entry, err := all.Next()
		if err != nil {
			return fmt.Errorf("list the schedules of organization %s: %w", org, err)
		}
		_, keep := wanted[entry.ID]
		_, review := messages.ReviewOf(org, entry.ID)
		if keep || !review && entry.ID != messages.ReportID(org, messages.ReportGovernance, "schedule") {
			continue
		}
		var gone *serviceerror.NotFound
		if err := a.schedules.ScheduleClient().GetHandle(ctx, entry.ID).Delete(ctx); err != nil && !errors.As(err, &gone) {
			return fmt.Errorf("take away schedule %s: %w", entry.ID, err)
		}
	}
	return nil
}

// keepSchedule makes one schedule, or changes it to what is wanted.
func (a *Activities) keepSchedule(ctx context.Context, org, id string, want wantedSchedule) error {
	spec := client.ScheduleSpec{CronExpressions: []string{want.cron}, TimeZoneName: want.zone}
	_, err := a.schedules.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id, Spec: spec, Action: want.action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: 24 * time.Hour, Note: "made by the policy's key " + want.key + ": applying a policy overwrites what is edited here; a pause stays",
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(org)),
	})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return wrapped(err, "make schedule "+id)
	}
	return wrapped(a.schedules.ScheduleClient().GetHandle(ctx, id).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(is client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := is.Description.Schedule
			schedule.Spec, schedule.Action = &spec, want.action
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	}), "change schedule "+id)
}

// reviewAction starts a review; Temporal appends the instant to the ID.
func reviewAction(org string, r *policy.Review) *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: messages.ReviewID(org, r.Name), Workflow: messages.AccessReview, TaskQueue: messages.QueueWorkflows,
		Args:                  []any{messages.AccessReviewInput{Org: org, Campaign: r.Name}},
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(org), messages.AttributeCampaign.ValueSet(r.Name)),
		StaticSummary:         org + ": access review " + r.Name,
	}
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
func scheduled(p *policy.Policy) bool {
	return p.Governance != nil || slices.ContainsFunc(p.Reviews, func(r policy.Review) bool { return r.Schedule != "" })
}
