package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/window"
)

// Schedules manages Temporal's schedules. It is Temporal's client.
type Schedules interface {
	ScheduleClient() client.ScheduleClient
}

// KeepSchedulesInput names a policy.
type KeepSchedulesInput struct {
	Org    string `json:"org"`
	Policy string `json:"policy"`
}

// KeepSchedules creates, updates and deletes the organization's schedules according to the policy: of the governance
// report, and of its reviews. A retired organization has none. One that somebody paused in the Web UI stays paused. A
// repeat changes nothing.
func (a *Activities) KeepSchedules(ctx context.Context, in KeepSchedulesInput) error {
	defer session.AutoHeartbeat(ctx)()
	p, err := a.env.PolicyOf(ctx, in.Org, in.Policy)
	if err != nil {
		return err
	}
	wanted := map[string]wantedSchedule{}
	err = a.env.CheckServed(ctx, in.Org, p)
	if is := (*temporal.ApplicationError)(nil); errors.As(err, &is) && is.Type() == session.ErrRetired {
		return a.dropSchedules(ctx, in.Org, wanted)
	}
	if err != nil {
		return err
	}
	if g := p.Governance; g != nil {
		wanted[messages.ReportID(in.Org, messages.ReportGovernance, "schedule")] = wantedSchedule{g.Schedule, g.Zone,
			"governance", governAction(in.Org)}
	}
	for i := range p.Reviews {
		if r := &p.Reviews[i]; r.Schedule != "" {
			wanted[messages.ReviewID(in.Org, r.Name)] = wantedSchedule{r.Schedule, r.Zone, "reviews",
				reviewAction(in.Org, r)}
		}
	}
	if err := a.dropSchedules(ctx, in.Org, wanted); err != nil {
		return err
	}
	var failed error
	for _, id := range session.SortedKeys(wanted) { // an error with one does not affect the others
		failed = errors.Join(failed, a.keepSchedule(ctx, in.Org, id, wanted[id]))
	}
	return failed
}

// wantedSchedule is a schedule according to the policy.
type wantedSchedule struct {
	cron, zone string
	key        string // in the policy
	action     *client.ScheduleWorkflowAction
}

// dropSchedules deletes the organization's other schedules.
func (a *Activities) dropSchedules(ctx context.Context, org string, wanted map[string]wantedSchedule) error {
	all, err := a.schedules.ScheduleClient().List(ctx,
		client.ScheduleListOptions{Query: messages.AttributeOrg.GetName() + " = '" + org + "'"})
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
		if err := a.schedules.ScheduleClient().GetHandle(ctx, entry.ID).Delete(ctx); err != nil &&
			!errors.As(err, &gone) {
			return fmt.Errorf("take away schedule %s: %w", entry.ID, err)
		}
	}
	return nil
}

// keepSchedule creates or updates one schedule.
func (a *Activities) keepSchedule(ctx context.Context, org, id string, want wantedSchedule) error {
	spec, err := ScheduleSpec(want.cron, want.zone, a.env.Now())
	if err != nil {
		return fmt.Errorf("schedule %s: %w", id, err)
	}
	_, err = a.schedules.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id, Spec: spec, Action: want.action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: 24 * time.Hour, Note: want.note(),
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(org)),
	})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return wrapped(err, "make schedule "+id)
	}
	return wrapped(a.schedules.ScheduleClient().GetHandle(ctx, id).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(is client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := is.Description.Schedule
			schedule.Spec, schedule.Action = &spec, want.action
			if state := schedule.State; state != nil && !state.Paused { // whoever paused it may have noted why
				state.Note = want.note()
			}
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	}), "change schedule "+id)
}

// renewSchedules updates the schedules of the policy in force once in the life of this process: their times are written
// out for a number of years, perhaps differently by another version of this program. A run does not fail by it.
func (s *task) renewSchedules(ctx context.Context, hash string) {
	if s.schedules == nil || !scheduled(s.Policy) {
		return
	}
	s.mu.Lock()
	done := s.renewed[s.Org] == hash
	s.mu.Unlock()
	if known, err := s.Ledger.Organization(ctx, s.Org); done || err != nil || known.Policy != hash {
		return
	}
	if err := s.KeepSchedules(ctx, KeepSchedulesInput{Org: s.Org, Policy: hash}); err != nil {
		activity.GetLogger(ctx).Warn("the schedules are not renewed; the next verification tries again", "org", s.Org,
			"error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed[s.Org] = hash
}

// note is shown in the Web UI, since the spec's times may be written out.
func (w wantedSchedule) note() string {
	return fmt.Sprintf("%s in %s, by the policy's key %s: applying a policy overwrites what is edited here; a pause stays", w.cron, cmp.Or(w.zone, "UTC"), w.key)
}

// writtenOut is for how many years the times of a schedule are written out if its zone changes its clock. They are
// written again with every policy, and by every worker that starts.
const writtenOut = 20

// ScheduleSpec converts a cron expression for Temporal, which interprets it differently: there the day of the month and
// the day of the week must both match, and a time that the clock skips or repeats is left out or doubled.
func ScheduleSpec(cron, zone string, now time.Time) (client.ScheduleSpec, error) {
	c, err := window.NewCalendar(cron, zone)
	if err != nil {
		return client.ScheduleSpec{}, err
	}
	in, fields := c.Fields(now, writtenOut)
	spec := client.ScheduleSpec{TimeZoneName: in}
	for _, f := range fields {
		spec.Calendars = append(spec.Calendars, client.ScheduleCalendarSpec{
			Year: ranges(f.Years), Month: ranges(f.Months), DayOfMonth: ranges(f.Days), DayOfWeek: ranges(f.Weekdays),
			Hour: ranges(f.Hours), Minute: ranges(f.Minutes),
		})
	}
	return spec, nil
}

// ranges groups ascending numbers into consecutive ranges; none means any.
func ranges(all []int) (out []client.ScheduleRange) {
	for _, n := range all {
		if last := len(out) - 1; last >= 0 && out[last].End == n-1 {
			out[last].End = n
			continue
		}
		out = append(out, client.ScheduleRange{Start: n, End: n})
	}
	return out
}

// reviewAction starts a review; Temporal appends the instant to the ID.
func reviewAction(org string, r *policy.Review) *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: messages.ReviewID(org, r.Name), Workflow: messages.AccessReview, TaskQueue: messages.QueueWorkflows,
		Args: []any{messages.AccessReviewInput{Org: org, Campaign: r.Name}},
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(org),
			messages.AttributeCampaign.ValueSet(messages.Keyword(r.Name))),
		StaticSummary: display.Summary(org + ": access review " + r.Name),
	}
}

// governAction starts the report.
func governAction(org string) *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: messages.ReportID(org, messages.ReportGovernance, "scheduled"), Workflow: messages.Report,
		TaskQueue:             messages.QueueWorkflows,
		Args:                  []any{messages.ReportInput{Org: org, Kind: messages.ReportGovernance, Scheduled: true}},
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(org)),
		StaticSummary:         display.Summary(org + ": governance report"),
	}
}

func wrapped(err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// scheduled reports whether the policy has anything on a schedule.
func scheduled(p *policy.Policy) bool {
	return p.Governance != nil || slices.ContainsFunc(p.Reviews, func(r policy.Review) bool { return r.Schedule != "" })
}
