package main

import (
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

type workerSet struct {
	workers []worker.Worker
	failed  chan error // a worker gave up
}

// start registers everything and begins to poll: workflows on one queue and activities on another, so that a full queue
// of activities never delays a decision; and watches on a third, since each occupies its slot for as long as it lasts.
func start(temporal client.Client, acts *activities.Activities, settings config.Worker) (*workerSet, error) {
	r := &workerSet{failed: make(chan error, 3)}
	fatal := func(err error) { r.failed <- err }
	worker.SetStickyWorkflowCacheSize(settings.WorkflowsKept)
	if version != unknownVersion {
		worker.SetBinaryChecksum(version) // in place of a hash of the whole program, which takes a while
	}
	flows := worker.New(temporal, messages.QueueWorkflows, worker.Options{
		MaxConcurrentWorkflowTaskExecutionSize: settings.WorkflowTasks,
		MaxConcurrentWorkflowTaskPollers:       settings.Pollers,
		DisableRegistrationAliasing:            true, OnFatalError: fatal, WorkerStopTimeout: settings.DrainTimeout,
		// After this process dies, another takes over its workflows once this has passed: the end of a grant may be
		// due.
		StickyScheduleToStartTimeout: time.Second,
	})
	flows.RegisterWorkflowWithOptions(workflows.OrgSync, workflow.RegisterOptions{Name: messages.OrgSync})
	flows.RegisterWorkflowWithOptions(workflows.Reconcile, workflow.RegisterOptions{Name: messages.Reconcile})
	flows.RegisterWorkflowWithOptions(workflows.TemporaryGrant, workflow.RegisterOptions{Name: messages.TemporaryGrant})
	flows.RegisterWorkflowWithOptions(workflows.Link, workflow.RegisterOptions{Name: messages.Link})
	flows.RegisterWorkflowWithOptions(workflows.GroupRestore, workflow.RegisterOptions{Name: messages.GroupRestore})
	flows.RegisterWorkflowWithOptions(workflows.AccessReview, workflow.RegisterOptions{Name: messages.AccessReview})
	flows.RegisterWorkflowWithOptions(workflows.Report, workflow.RegisterOptions{Name: messages.Report})
	flows.RegisterWorkflowWithOptions(workflows.Ledger, workflow.RegisterOptions{Name: messages.Ledger})
	activityWorker := func(queue string, atOnce int) worker.Worker {
		return worker.New(temporal, queue, worker.Options{
			MaxConcurrentActivityExecutionSize: atOnce, MaxConcurrentActivityTaskPollers: settings.Pollers,
			DisableRegistrationAliasing: true, OnFatalError: fatal, WorkerStopTimeout: settings.DrainTimeout,
			DisableWorkflowWorker: true, Interceptors: []interceptor.WorkerInterceptor{&session.Interrupt{},
				&session.CurrentRuns{}, &session.LateHeartbeats{}},
			// A watch learns from its heartbeats that it has to end: with the usual throttle, people would wait for
			// half a minute. And a worker that stalls for a moment is not taken for dead.
			MaxHeartbeatThrottleInterval: 500 * time.Millisecond,
		})
	}
	// Watches that began before they had a queue of their own end where they run, so the activities' queue serves them
	// too.
	calls := activityWorker(messages.QueueAtlassian, settings.Activities)
	acts.Register(calls)
	watches := activityWorker(messages.QueueWatches, settings.Watches)
	watches.RegisterActivityWithOptions(acts.Reconcile.Watch, activity.RegisterOptions{Name: "Watch"})
	watches.RegisterActivityWithOptions(acts.Sources.WatchSource, activity.RegisterOptions{Name: "WatchSource"})
	for _, w := range []worker.Worker{flows, calls, watches} {
		if err := w.Start(); err != nil {
			r.stop()
			return nil, err
		}
		r.workers = append(r.workers, w)
	}
	return r, nil
}

// stop lets writes finish, on all queues at once; it interrupts reads, which another worker repeats.
func (r *workerSet) stop() {
	var stopped sync.WaitGroup
	for _, w := range r.workers {
		stopped.Go(w.Stop)
	}
	stopped.Wait()
}
