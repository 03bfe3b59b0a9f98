package reconcile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
)

// fakeSchedules notes what is made.
type fakeSchedules struct {
	noClient
	made []client.ScheduleOptions
	err  error
}

func (f *fakeSchedules) ScheduleClient() client.ScheduleClient { return f }

func (f *fakeSchedules) List(context.Context, client.ScheduleListOptions) (client.ScheduleListIterator, error) {
	return noSchedules{}, f.err
}

func (f *fakeSchedules) Create(_ context.Context, o client.ScheduleOptions) (client.ScheduleHandle, error) {
	f.made = append(f.made, o)
	return nil, nil
}

// noClient is all that is never called.
type noClient struct{ client.ScheduleClient }

type noSchedules struct{}

func (noSchedules) HasNext() bool { return false }

func (noSchedules) Next() (*client.ScheduleListEntry, error) { return nil, errors.New("there is none") }

// A worker that starts writes the schedules of the policy in force anew: another version may have written them
// otherwise.
func TestOutlineRenewsSchedulesOncePerWorker(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	schedules := &fakeSchedules{err: errors.New("Temporal does not answer")}
	o.Schedules = schedules
	o.Restart()
	o.Admit("governance: {schedule: \"0 9 1 * 1\"}\n" + activitytest.AutoAdopt)
	o.Outline(o.NewRun())
	require.Empty(t, schedules.made, "a verification does not fail by it")
	schedules.err = nil
	o.Outline(o.NewRun())
	o.Outline(o.NewRun())
	require.Len(t, schedules.made, 1)
	spec := schedules.made[0].Spec
	require.Empty(t, spec.CronExpressions)
	require.Len(t, spec.Calendars, 2, "on the first, or on Mondays")
	require.Contains(t, schedules.made[0].Note, "0 9 1 * 1 in UTC")
	o.Restart()
	o.Outline(o.NewRun())
	require.Len(t, schedules.made, 2)
}

func TestScheduleSpecRunsWhenTheClockJumps(t *testing.T) {
	spec, err := reconcile.ScheduleSpec("30 2 28 3 *", "Europe/Berlin", time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	require.Equal(t, "UTC", spec.TimeZoneName)
	one := func(n int) []client.ScheduleRange { return []client.ScheduleRange{{Start: n, End: n}} }
	require.Equal(t, client.ScheduleCalendarSpec{Year: one(2027), Month: one(3), DayOfMonth: one(28), Hour: one(1),
		Minute: one(0)}, spec.Calendars[0])
	require.Equal(t, client.ScheduleCalendarSpec{Year: one(2028), Month: one(3), DayOfMonth: one(28), Hour: one(0),
		Minute: one(30)}, spec.Calendars[1])
}
