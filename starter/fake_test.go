package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"

	"github.com/castellan-io/castellan/messages"
)

// fakeTemporal fakes what the commands use of Temporal's client, and records the calls.
type fakeTemporal struct {
	client.Client
	answer         func(messages.ReportInput) (messages.ReportAnswer, error)  // of a Report
	update         func(n int, name string, body any) (answer any, err error) // the nth update, from 0
	status         messages.ReviewStatus
	syncs          []messages.OrgSyncState // loops of organizations that run; none: that of acme
	gone           bool                    // no workflow of a review runs
	start          error
	workflowStatus enumspb.WorkflowExecutionStatus // of every workflow; zero: it runs
	waits          func(id string) *workflowservice.DescribeWorkflowExecutionResponse
	failed         *failurepb.Failure // of the last step of every workflow
	idle           bool               // no worker polls

	asked   []messages.ReportInput
	heard   []client.UpdateWorkflowOptions
	started []client.StartWorkflowOptions
}

// session returns a session of somebody with this Temporal.
func (f *fakeTemporal) session() (s *session, out *bytes.Buffer, notes *safeBuffer) {
	out, notes = &bytes.Buffer{}, &safeBuffer{}
	return &session{client: f, out: out, notes: notes, givenBy: "bo@acme.example", by: "bo@acme.example",
		namespace: "default", registered: true}, out, notes
}

// safeBuffer is a bytes.Buffer for several goroutines.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(data)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// run runs a review command as bo, with typed as standard input.
func (f *fakeTemporal) run(t *testing.T, s *session, typed string, args ...string) error {
	t.Helper()
	root := &cobra.Command{Use: "starter", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(s.review())
	root.SetIn(bytes.NewBufferString(typed))
	root.SetArgs(append([]string{"review"}, args...))
	return root.ExecuteContext(t.Context())
}

func (f *fakeTemporal) ListWorkflow(context.Context,
	*workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if len(f.syncs) > 0 {
		list := &workflowservice.ListWorkflowExecutionsResponse{}
		for _, state := range f.syncs {
			list.Executions = append(list.Executions, &workflowpb.WorkflowExecutionInfo{
				Execution: &commonpb.WorkflowExecution{WorkflowId: messages.OrgSyncID(state.Org)},
			})
		}
		return list, nil
	}
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflowpb.WorkflowExecutionInfo{
		{Execution: &commonpb.WorkflowExecution{WorkflowId: messages.OrgSyncID("acme")}},
	}}, nil
}

func (f *fakeTemporal) ExecuteWorkflow(_ context.Context, options client.StartWorkflowOptions, workflow any,
	args ...any) (client.WorkflowRun, error) {
	if workflow == messages.Report {
		in := args[0].(messages.ReportInput)
		f.asked = append(f.asked, in)
		answer, err := f.answer(in)
		return fakeRun{id: options.ID, answer: answer, err: err}, nil
	}
	f.started = append(f.started, options)
	return fakeRun{id: options.ID, err: f.start, waits: f.start == nil}, nil
}

type fakeRun struct {
	client.WorkflowRun
	id     string
	answer any
	err    error
	waits  bool // it does not end
}

func (r fakeRun) GetID() string    { return r.id }
func (r fakeRun) GetRunID() string { return "run-1" }

func (r fakeRun) Get(ctx context.Context, into any) error {
	if r.waits {
		<-ctx.Done()
		return ctx.Err()
	}
	if r.err != nil {
		return r.err
	}
	if into == nil {
		return nil
	}
	return copied(r.answer, into)
}

func copied(from, into any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (f *fakeTemporal) QueryWorkflow(_ context.Context, id, _, _ string, _ ...any) (converter.EncodedValue, error) {
	for _, state := range f.syncs {
		if id == messages.OrgSyncID(state.Org) {
			payloads, err := converter.GetDefaultDataConverter().ToPayloads(state)
			return client.NewValue(payloads), err
		}
	}
	if f.gone {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(f.status)
	if err != nil {
		return nil, err
	}
	return client.NewValue(payloads), nil
}

func (f *fakeTemporal) DescribeWorkflowExecution(_ context.Context, id,
	_ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if f.gone {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	if f.waits != nil {
		return f.waits(id), nil
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: cmp.Or(f.workflowStatus, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)},
	}, nil
}

func (f *fakeTemporal) GetWorkflow(_ context.Context, id, _ string) client.WorkflowRun {
	return fakeRun{id: id, err: f.start}
}

func (f *fakeTemporal) DescribeTaskQueue(context.Context, string,
	enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
	if f.idle {
		return &workflowservice.DescribeTaskQueueResponse{}, nil
	}
	return &workflowservice.DescribeTaskQueueResponse{Pollers: []*taskqueuepb.PollerInfo{{Identity: "a worker"}}}, nil
}

func (f *fakeTemporal) WorkflowService() workflowservice.WorkflowServiceClient {
	return fakeHistory{failed: f.failed}
}

// fakeHistory returns a history with a failed workflow task.
type fakeHistory struct {
	workflowservice.WorkflowServiceClient
	failed *failurepb.Failure
}

func (h fakeHistory) GetWorkflowExecutionHistoryReverse(
	context.Context, *workflowservice.GetWorkflowExecutionHistoryReverseRequest, ...grpc.CallOption,
) (*workflowservice.GetWorkflowExecutionHistoryReverseResponse, error) {
	return &workflowservice.GetWorkflowExecutionHistoryReverseResponse{
		History: &historypb.History{Events: []*historypb.HistoryEvent{
			{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED},
			{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED,
				Attributes: &historypb.HistoryEvent_WorkflowTaskFailedEventAttributes{
					WorkflowTaskFailedEventAttributes: &historypb.WorkflowTaskFailedEventAttributes{Failure: h.failed},
				}},
		}}}, nil
}

func (f *fakeTemporal) UpdateWorkflow(_ context.Context,
	options client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	f.heard = append(f.heard, options)
	answer, err := f.update(len(f.heard)-1, options.UpdateName, options.Args[0])
	var answered *workflowError
	if err != nil && !errors.As(err, &answered) {
		return nil, err
	}
	return fakeHandle{answer: answer, err: err}, nil
}

// workflowError is an error that the workflow returned.
type workflowError struct{ error }

func (e *workflowError) Unwrap() error { return e.error }

type fakeHandle struct {
	client.WorkflowUpdateHandle
	answer any
	err    error
}

func (h fakeHandle) Get(_ context.Context, into any) error {
	if h.err != nil {
		return h.err
	}
	return copied(h.answer, into)
}

// noTemporal sets up an environment in which connecting to Temporal fails.
func noTemporal(t *testing.T) {
	t.Helper()
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
}

// runProgram runs the whole program.
func runProgram(args ...string) (string, error) {
	var out bytes.Buffer
	root := command()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}
