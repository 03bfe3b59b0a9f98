package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// scheduleRecorder notes the options of every activity that a workflow schedules.
type scheduleRecorder struct {
	interceptor.WorkerInterceptorBase
	options map[string]workflow.ActivityOptions // by type
}

func (s *scheduleRecorder) InterceptWorkflow(_ workflow.Context,
	next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &scheduledInbound{interceptor.WorkflowInboundInterceptorBase{Next: next}, s}
}

type scheduledInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	of *scheduleRecorder
}

func (i *scheduledInbound) Init(outbound interceptor.WorkflowOutboundInterceptor) error {
	return i.Next.Init(&scheduleOutbound{interceptor.WorkflowOutboundInterceptorBase{Next: outbound}, i.of})
}

type scheduleOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	of *scheduleRecorder
}

func (o *scheduleOutbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	o.of.options[name] = workflow.GetActivityOptions(ctx)
	return o.Next.ExecuteActivity(ctx, name, args...)
}

// A watch takes no place from other work, and shows the less often that it lives the less often it polls.
func TestOrgSyncWatchHasAQueueOfItsOwn(t *testing.T) {
	for feed, silence := range map[time.Duration]time.Duration{3 * time.Second: 12 * time.Second,
		5 * time.Second: 15 * time.Second, 20 * time.Second: time.Minute, time.Hour: 75 * time.Second} {
		seen := &scheduleRecorder{options: map[string]workflow.ActivityOptions{}}
		l := newLoop(t, func(l *loop) {
			l.env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute,
				Interceptors: []interceptor.WorkerInterceptor{&testInterceptor{}, seen}})
		})
		before := settings.Feed
		settings.Feed = messages.Duration(feed)
		l.start(time.Minute)
		settings.Feed = before
		require.Equal(t, messages.QueueWatches, seen.options["Watch"].TaskQueue)
		require.Equal(t, silence, seen.options["Watch"].HeartbeatTimeout)
		require.NotZero(t, seen.options["Watch"].ScheduleToStartTimeout,
			"a watch for which there is no room is noticed")
		require.Equal(t, messages.QueueAtlassian, seen.options["Admit"].TaskQueue)
	}
}

// An organization that no worker has room to watch is a problem that the status shows, until one has.
func TestOrgSyncShowsThatNoWorkerHasRoomToWatch(t *testing.T) {
	l := newLoop(t)
	late := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	l.events = []watchEvent{touched(time.Minute, "c1"), {after: 5 * time.Minute, err: late}, touched(time.Second, "c2")}
	l.at(6*time.Minute+time.Second, func() {
		require.Equal(t, messages.StateProblem, l.status().State)
		require.Contains(t, l.status().Feed.Problem, "CASTELLAN_WATCHES")
	})
	l.at(12*time.Minute, func() { require.Equal(t, messages.StateOK, l.status().State) })
	l.start(time.Hour)
}
