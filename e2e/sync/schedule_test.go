package sync_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/policy/window"
)

// What Temporal does with the schedules that it is given is what policies mean, also where clocks are changed: by an
// hour, half an hour, two hours, at midnight.
func TestSchedulesOfTemporalMeanWhatPoliciesMean(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	temporal := suite.Namespace(t)
	from := time.Now().UTC().Truncate(time.Second)
	n := 0
	for _, zone := range []string{"", "Asia/Kolkata", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe",
		"Asia/Beirut", "Antarctica/Troll", "Africa/Casablanca"} {
		for _, cron := range []string{"0 9 1 * 1", "30 2 28 3 *", "0,30 0-3 * 3,4,10,11 *", "15 2 */2 * 0", "0 0 * * 0",
			"59 23 31 * *", "0 9 29 2 *"} {
			id := fmt.Sprintf("schedule-%d", n)
			n++
			spec, err := reconcile.ScheduleSpec(cron, zone, from)
			require.NoError(t, err)
			_, err = temporal.Client.ScheduleClient().Create(t.Context(), client.ScheduleOptions{
				ID: id, Spec: spec, Paused: true,
				Action: &client.ScheduleWorkflowAction{ID: id, Workflow: "Nothing", TaskQueue: "nowhere"},
			})
			require.NoError(t, err)
			c, err := window.NewCalendar(cron, zone)
			require.NoError(t, err)
			until := from.AddDate(3, 0, 0)
			var want, got []string
			for at := c.Next(from); at.Before(until) && len(want) < 900; at = c.Next(at) {
				want = append(want, at.Format(time.RFC3339))
			}
			answer, err := temporal.Client.WorkflowService().ListScheduleMatchingTimes(t.Context(),
				&workflowservice.ListScheduleMatchingTimesRequest{
					Namespace: temporal.Namespace, ScheduleId: id, StartTime: timestamppb.New(from),
					EndTime: timestamppb.New(until.Add(-time.Second)),
				})
			require.NoError(t, err)
			for _, at := range answer.GetStartTime() {
				got = append(got, at.AsTime().UTC().Format(time.RFC3339))
			}
			require.NotEmpty(t, want)
			if len(want) < 900 {
				require.Len(t, got, len(want), "%s in %s", cron, zone)
			}
			require.Equal(t, want, got[:len(want)], "%s in %s", cron, zone)
		}
	}
}
