package main

import (
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

type running struct {
	workers []worker.Worker
	failed  chan error // a worker gave up
}

// start registers everything and begins to poll: workflows on one queue, calls on the other, so that a full queue of
// calls never delays a decision.
func start(temporal client.Client, acts *activities.Activities, settings config.Worker) (*running, error) {
	r := &running{failed: make(chan error, 2)}
	fatal := func(err error) { r.failed <- err }
	flows := worker.New(temporal, messages.QueueWorkflows, worker.Options{
		DisableRegistrationAliasing: true, OnFatalError: fatal, WorkerStopTimeout: settings.DrainTimeout,
		// When this process dies, another takes its workflows over after so long: the end of a grant may be due.
		StickyScheduleToStartTimeout: time.Second,
	})
	flows.RegisterWorkflowWithOptions(workflows.OrgSync, workflow.RegisterOptions{Name: messages.OrgSync})
	flows.RegisterWorkflowWithOptions(workflows.Reconcile, workflow.RegisterOptions{Name: messages.Reconcile})
	flows.RegisterWorkflowWithOptions(workflows.TemporaryGrant, workflow.RegisterOptions{Name: messages.TemporaryGrant})
	flows.RegisterWorkflowWithOptions(workflows.AccessReview, workflow.RegisterOptions{Name: messages.AccessReview})
	flows.RegisterWorkflowWithOptions(workflows.Report, workflow.RegisterOptions{Name: messages.Report})
	calls := worker.New(temporal, messages.QueueAtlassian, worker.Options{
		DisableRegistrationAliasing: true, OnFatalError: fatal, WorkerStopTimeout: settings.DrainTimeout,
		DisableWorkflowWorker: true,
		// A watch learns from its heartbeats that it is to end: the usual throttle would let people wait for half a minute.
		// And a worker that stalls for a moment is not taken for dead.
		MaxHeartbeatThrottleInterval: 500 * time.Millisecond,
	})
	calls.RegisterActivityWithOptions(acts, activity.RegisterOptions{SkipInvalidStructFunctions: true})
	for _, w := range []worker.Worker{flows, calls} {
		if err := w.Start(); err != nil {
			r.stop()
			return nil, err
		}
		r.workers = append(r.workers, w)
	}
	return r, nil
}

func (r *running) stop() {
	for _, w := range r.workers {
		w.Stop()
	}
}
