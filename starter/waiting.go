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

// A command says what it is waiting for after patience, looks again every so often, and says it again when it changed.
const (
	patience     = 5 * time.Second
	lookAgain    = 10 * time.Second
	mostFailures = 3 // failures told at once
)

// hint tells a person who waits for an answer of a workflow why it may be long in coming; the function returned ends
// it.
func (s *session) hint(workflow string) func() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		told := ""
		for wait := patience; ; wait = lookAgain {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if why := s.waitsFor(ctx, workflow); why != told && ctx.Err() == nil {
				display.Fprintln(s.notes, "waiting for an answer; "+why)
				told = why
			}
		}
	}()
	return cancel
}

// waitsFor says what an answer of a workflow waits for, as far as Temporal shows it.
func (s *session) waitsFor(ctx context.Context, workflow string) string {
	is, err := s.client.DescribeWorkflowExecution(ctx, workflow, "")
	if err != nil {
		return "it comes from a worker: is one running in namespace " + s.namespace + "?"
	}
	if task := is.GetPendingWorkflowTask(); task.GetAttempt() > 1 {
		return fmt.Sprintf("a worker tried %d times to continue %s, and failed%s. Temporal retries it; run a worker of the right version, or do what the message says",
			task.GetAttempt()-1, workflow, s.whyTaskFailed(ctx, workflow))
	}
	failures := failedActivities(is)
	for _, child := range is.GetPendingChildren() { // a run of the organization
		if len(failures) < mostFailures {
			if run, err := s.client.DescribeWorkflowExecution(ctx, child.GetWorkflowId(), ""); err == nil {
				failures = append(failures, failedActivities(run)...)
			}
		}
	}
	if len(failures) > 0 {
		return strings.Join(failures[:min(len(failures), mostFailures)], "\n") +
			"\nIt is tried again by itself: do what the message says, or wait"
	}
	queue, err := s.client.DescribeTaskQueue(ctx, messages.QueueWorkflows, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err == nil && len(queue.GetPollers()) == 0 {
		return "it comes from a worker, and none runs in namespace " + s.namespace + ": start one, or look at its log"
	}
	return "a worker of namespace " + s.namespace + " is at it"
}

// failedActivities says which activities of a workflow failed so far and are tried again, each with its last failure.
func failedActivities(is *workflowservice.DescribeWorkflowExecutionResponse) []string {
	var all []string
	for _, a := range is.GetPendingActivities() {
		if failure := a.GetLastFailure(); failure != nil {
			all = append(all, fmt.Sprintf("%s failed %s, the last time with: %s", a.GetActivityType().GetName(),
				times(a.GetAttempt()-1), failed(failure)))
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

// failed is what a failure says, with its type, which docs/runbook.md lists.
func failed(f *failurepb.Failure) string {
	err := temporal.GetDefaultFailureConverter().FailureToError(f)
	if kind := f.GetApplicationFailureInfo().GetType(); kind != "" {
		return kind + ": " + unwrapped(err)
	}
	return unwrapped(err)
}

// whyTaskFailed is why the last step of a workflow failed, as far as its history has it.
func (s *session) whyTaskFailed(ctx context.Context, workflow string) string {
	history, err := s.client.WorkflowService().GetWorkflowExecutionHistoryReverse(ctx,
		&workflowservice.GetWorkflowExecutionHistoryReverseRequest{
			Namespace: s.namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: workflow}, MaximumPageSize: 10,
		})
	if err != nil {
		return ""
	}
	for _, event := range history.GetHistory().GetEvents() {
		if failure := event.GetWorkflowTaskFailedEventAttributes().GetFailure(); failure != nil {
			return ": " + failed(failure)
		}
	}
	return ""
}
