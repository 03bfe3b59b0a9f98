package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// A command that waits explains why after hintAfter, checks again every hintInterval, and prints what changed.
const (
	hintAfter        = 5 * time.Second
	hintInterval     = 10 * time.Second
	maxFailuresShown = 3
)

// explainWait prints, from time to time, why a workflow's answer takes so long, until the returned function is called.
func (s *session) explainWait(workflow string) func() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		printed := ""
		for wait := hintAfter; ; wait = hintInterval {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if why := s.waitReason(ctx, workflow); why != printed && ctx.Err() == nil {
				display.Fprintln(s.notes, "waiting for an answer; "+why)
				printed = why
			}
		}
	}()
	return cancel
}

// waitReason returns what a workflow's answer waits for, as far as Temporal knows.
func (s *session) waitReason(ctx context.Context, workflow string) string {
	description, err := s.client.DescribeWorkflowExecution(ctx, workflow, "")
	if err != nil {
		return "it comes from a worker: is one running in namespace " + s.namespace + "?"
	}
	if task := description.GetPendingWorkflowTask(); task.GetAttempt() > 1 {
		return fmt.Sprintf("a worker tried %d times to continue %s, and failed%s. Temporal retries it; run a worker of the right version, or do what the message says",
			task.GetAttempt()-1, workflow, s.taskFailure(ctx, workflow))
	}
	failures := failedActivities(description)
	for _, child := range description.GetPendingChildren() { // a run of the organization
		if len(failures) < maxFailuresShown {
			if run, err := s.client.DescribeWorkflowExecution(ctx, child.GetWorkflowId(), ""); err == nil {
				failures = append(failures, failedActivities(run)...)
			}
		}
	}
	if len(failures) > 0 {
		return strings.Join(failures[:min(len(failures), maxFailuresShown)], "\n") +
			"\nIt is retried automatically: do what the message says, or wait"
	}
	queue, err := s.client.DescribeTaskQueue(ctx, messages.QueueWorkflows, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err == nil && len(queue.GetPollers()) == 0 {
		return "it comes from a worker, and none runs in namespace " + s.namespace + ": start one, or look at its log"
	}
	return "a worker of namespace " + s.namespace + " is working on it"
}

// failedActivities describes the activities that are being retried, each with its last failure.
func failedActivities(d *workflowservice.DescribeWorkflowExecutionResponse) []string {
	var all []string
	for _, a := range d.GetPendingActivities() {
		if failure := a.GetLastFailure(); failure != nil {
			all = append(all, fmt.Sprintf("%s failed %s, the last time with: %s", a.GetActivityType().GetName(),
				times(a.GetAttempt()-1), failureText(failure)))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func times(n int32) string {
	if n <= 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// failureText returns a failure's message with its type, which docs/runbook.md explains.
func failureText(f *failurepb.Failure) string {
	err := temporal.GetDefaultFailureConverter().FailureToError(f)
	if kind := f.GetApplicationFailureInfo().GetType(); kind != "" {
		return kind + ": " + errorText(err)
	}
	return errorText(err)
}

// taskFailure returns why a workflow's last workflow task failed, "" if its history does not tell.
func (s *session) taskFailure(ctx context.Context, workflow string) string {
	history, err := s.client.WorkflowService().GetWorkflowExecutionHistoryReverse(ctx,
		&workflowservice.GetWorkflowExecutionHistoryReverseRequest{
			Namespace: s.namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: workflow}, MaximumPageSize: 10,
		})
	if err != nil {
		return ""
	}
	for _, event := range history.GetHistory().GetEvents() {
		if failure := event.GetWorkflowTaskFailedEventAttributes().GetFailure(); failure != nil {
			return ": " + failureText(failure)
		}
	}
	return ""
}
