package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/castellan-io/castellan/messages"
)

// fakeTemporal is as much of Temporal as the commands about reviews speak to. What it is asked and told is kept.
type fakeTemporal struct {
	client.Client
	answer func(messages.ReportInput) (messages.ReportAnswer, error)  // of a Report
	hear   func(n int, name string, body any) (answer any, err error) // the nth update, from 0
	status messages.ReviewStatus
	gone   bool // no workflow of a review runs
	start  error

	asked   []messages.ReportInput
	heard   []client.UpdateWorkflowOptions
	started []client.StartWorkflowOptions
}

// acting is a session of somebody with this Temporal.
func (f *fakeTemporal) acting() (s *session, out *bytes.Buffer, notes *safeBuffer) {
	out, notes = &bytes.Buffer{}, &safeBuffer{}
	return &session{client: f, out: out, notes: notes, said: "bo@acme.example", by: "bo@acme.example", namespace: "default", registered: true}, out, notes
}

// safeBuffer takes what a timer says beside the command.
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

// run runs a command about reviews as bo, who may have something to type.
func (f *fakeTemporal) run(t *testing.T, s *session, typed string, args ...string) error {
	t.Helper()
	root := &cobra.Command{Use: "starter", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(s.review())
	root.SetIn(bytes.NewBufferString(typed))
	root.SetArgs(append([]string{"review"}, args...))
	return root.ExecuteContext(t.Context())
}

func (f *fakeTemporal) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflowpb.WorkflowExecutionInfo{
		{Execution: &commonpb.WorkflowExecution{WorkflowId: messages.OrgSyncID("acme")}},
	}}, nil
}

func (f *fakeTemporal) ExecuteWorkflow(_ context.Context, options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
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
	return copied(r.answer, into)
}

func copied(from, into any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (f *fakeTemporal) QueryWorkflow(context.Context, string, string, string, ...any) (converter.EncodedValue, error) {
	if f.gone {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(f.status)
	if err != nil {
		return nil, err
	}
	return client.NewValue(payloads), nil
}

func (f *fakeTemporal) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if f.gone {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING},
	}, nil
}

func (f *fakeTemporal) UpdateWorkflow(_ context.Context, options client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	f.heard = append(f.heard, options)
	answer, err := f.hear(len(f.heard)-1, options.UpdateName, options.Args[0])
	var answered *answeredError
	if err != nil && !errors.As(err, &answered) {
		return nil, err
	}
	return fakeHandle{answer: answer, err: err}, nil
}

// answeredError is one that the workflow itself answers.
type answeredError struct{ error }

func (e *answeredError) Unwrap() error { return e.error }

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

// noTemporal is what a command that needs none would fail on.
func noTemporal(t *testing.T) {
	t.Helper()
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
}

// whole runs the whole program.
func whole(args ...string) (string, error) {
	var out bytes.Buffer
	root := command()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}
