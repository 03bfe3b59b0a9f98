package main

import (
	"context"
	"io"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// session is one command's view of Temporal.
type session struct {
	client    client.Client
	namespace string
	out       io.Writer
	notes     io.Writer // what is said while it waits
	json      bool
	said      string // who acts, as far as it was said
	by        string // who acts, or at least this machine's user
	code      config.Secret

	registered bool // the search attributes are known
}

// ask starts a Report and waits for its answer.
func (s *session) ask(ctx context.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	var answer messages.ReportAnswer
	if err := s.register(ctx); err != nil {
		return answer, err
	}
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: messages.ReportID(in.Org, in.Kind, uuid.NewString()), TaskQueue: messages.QueueWorkflows,
		WorkflowExecutionTimeout: time.Hour, StaticSummary: display.Summary(in.Kind + " " + in.Person + in.Run + in.ID),
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(in.Org)),
	}, messages.Report, in)
	if err != nil {
		return answer, err
	}
	defer s.hint(run.GetID())()
	err = run.Get(ctx, &answer)
	return answer, err
}

// update sends an update to an organization's loop and waits for its answer.
func (s *session) update(ctx context.Context, org, name string, body, answer any) error {
	return s.updateOn(ctx, messages.OrgSyncID(org), name, body, answer)
}

// updateOn sends an update to a workflow and waits for its answer.
func (s *session) updateOn(ctx context.Context, workflow, name string, body, answer any) error {
	return s.updateAs(ctx, workflow, name, "", body, answer)
}

// updateAs is updateOn for an update of an id: sent again, it is the same one. Without an id, one is made.
func (s *session) updateAs(ctx context.Context, workflow, name, id string, body, answer any) error {
	defer s.hint(workflow)()
	handle, err := s.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflow, UpdateName: name, UpdateID: id, Args: []any{body},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, answer)
}

// show prints the answer, as JSON or in words.
func (s *session) show(answer any, words func(w io.Writer)) error {
	if !s.json {
		words(s.out)
		return nil
	}
	return display.JSON(s.out, answer)
}
