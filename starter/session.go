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

// session is what a command needs to talk to Temporal and to the user.
type session struct {
	client    client.Client
	namespace string
	out       io.Writer
	notes     io.Writer // progress and prompts
	json      bool
	givenBy   string // who acts: --by or CASTELLAN_BY
	by        string // the same, or else this machine's user
	code      config.Secret

	registered bool // the search attributes are registered
}

// ask starts a Report workflow and waits for its answer.
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
	defer s.explainWait(run.GetID())()
	err = run.Get(ctx, &answer)
	return answer, err
}

// update sends an update to an organization's loop and waits for its answer.
func (s *session) update(ctx context.Context, org, name string, body, answer any) error {
	return s.updateWithID(ctx, messages.OrgSyncID(org), name, "", body, answer)
}

// updateWithID sends an update to a workflow and waits for its answer. Sent again with the same id, it is the same
// update; for an empty id, the client makes one.
func (s *session) updateWithID(ctx context.Context, workflow, name, id string, body, answer any) error {
	defer s.explainWait(workflow)()
	handle, err := s.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflow, UpdateName: name, UpdateID: id, Args: []any{body},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, answer)
}

// show prints the answer as JSON or, with print, as text.
func (s *session) show(answer any, print func(w io.Writer)) error {
	if !s.json {
		print(s.out)
		return nil
	}
	return display.JSON(s.out, answer)
}

// askAll asks until it has limit rows, or all of them if limit is 0; a page's size depends on the size of its rows. The
// answer's Next is the page after the last one read.
func (s *session) askAll(ctx context.Context, in messages.ReportInput, limit int) (messages.ReportAnswer, error) {
	in.Limit = limit
	answer, err := s.ask(ctx, in)
	if err != nil {
		return answer, err
	}
	if in.Kind == messages.ReportPreview && answer.Plan != nil { // read on in the same preview
		in.Kind, in.Run, in.Policy = messages.ReportPlan, answer.Plan.Run.Run, nil
	}
	for answer.Next != "" && (limit == 0 || rows(answer) < limit) {
		if in.After = answer.Next; limit > 0 {
			in.Limit = limit - rows(answer)
		}
		page, err := s.ask(ctx, in)
		if err != nil {
			return answer, err
		}
		if rows(page) == 0 {
			break
		}
		join(&answer, page)
	}
	return answer, nil
}

func rows(a messages.ReportAnswer) int {
	n := len(a.Runs) + len(a.Foreign) + len(a.Grants) + len(a.Hours) + len(a.Reviews) + len(a.Items) + len(a.People) +
		len(a.Links) + len(a.Members) + len(a.Conflicted)
	if len(a.Members) == 0 { // each page of a group's members has the group
		n += len(a.Groups)
	}
	if a.Conflicted == nil { // and each page of a conflict's people the conflict
		n += len(a.Conflicts)
	}
	if a.Plan != nil {
		n += len(a.Plan.Lines)
	}
	if a.Why != nil {
		n += len(a.Why.Holdings)
	}
	return n
}

func join(all *messages.ReportAnswer, page messages.ReportAnswer) {
	all.Runs, all.Foreign, all.Grants = append(all.Runs, page.Runs...), append(all.Foreign, page.Foreign...),
		append(all.Grants, page.Grants...)
	all.Links = append(all.Links, page.Links...)
	all.Conflicted = append(all.Conflicted, page.Conflicted...) // of one group, which every page names
	if all.Members = append(all.Members, page.Members...); len(page.Members) == 0 {
		all.Groups = append(all.Groups, page.Groups...)
	}
	all.Hours, all.Reviews, all.Items = append(all.Hours, page.Hours...), append(all.Reviews, page.Reviews...),
		append(all.Items, page.Items...)
	all.People = append(all.People, page.People...)
	if all.Plan != nil && page.Plan != nil {
		all.Plan.Lines = append(all.Plan.Lines, page.Plan.Lines...)
	}
	if all.Why != nil && page.Why != nil {
		all.Why.Holdings = append(all.Why.Holdings, page.Why.Holdings...)
		all.Message += "\n" + page.Message
	}
	all.Next = page.Next
}
