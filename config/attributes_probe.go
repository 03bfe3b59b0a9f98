package config

import (
	"context"
	"crypto/rand"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/durationpb"
)

// probeLimit ends a probe that was abandoned.
const probeLimit = 10 * time.Second

// checkSettable returns nil if a workflow may set the search attributes. Each of Temporal's services learns of them in
// its own time, and only the history service can tell: this workflow sets them all to null, completes, and is deleted.
// It runs here, without a worker.
func checkSettable(ctx context.Context, c client.Client, namespace string, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	service := c.WorkflowService()
	id := "castellan-search-attributes-" + rand.Text()
	queue := &taskqueuepb.TaskQueue{Name: id}
	started, err := service.StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{
		Namespace: namespace, RequestId: id, WorkflowId: id, TaskQueue: queue,
		WorkflowType:             &commonpb.WorkflowType{Name: "SearchAttributesProbe"},
		WorkflowExecutionTimeout: durationpb.New(probeLimit),
		RequestEagerExecution:    true,
	})
	if err != nil {
		return err
	}
	token := started.GetEagerWorkflowTask().GetTaskToken()
	if token == nil {
		polled, err := service.PollWorkflowTaskQueue(ctx,
			&workflowservice.PollWorkflowTaskQueueRequest{Namespace: namespace, TaskQueue: queue})
		if err != nil {
			return err
		}
		token = polled.GetTaskToken()
	}
	nothing, err := converter.GetDefaultDataConverter().ToPayload(nil)
	if err != nil {
		return err
	}
	fields := make(map[string]*commonpb.Payload, len(names))
	for _, name := range names {
		fields[name] = nothing
	}
	upsert := commandpb.UpsertWorkflowSearchAttributesCommandAttributes{
		SearchAttributes: &commonpb.SearchAttributes{IndexedFields: fields},
	}
	_, refused := service.RespondWorkflowTaskCompleted(ctx, &workflowservice.RespondWorkflowTaskCompletedRequest{
		Namespace: namespace, TaskToken: token, Commands: []*commandpb.Command{{
			CommandType: enumspb.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
			Attributes: &commandpb.Command_UpsertWorkflowSearchAttributesCommandAttributes{
				UpsertWorkflowSearchAttributesCommandAttributes: &upsert,
			},
		}, {
			CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
			Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{
				CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{},
			},
		}},
	})
	// Where it may not be deleted, it ends by its timeout and goes with the namespace's retention.
	_, _ = service.DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace:         namespace,
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: started.GetRunId()},
	})
	return refused
}
