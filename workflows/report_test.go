package workflows_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/reports"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

// reportTest plays the activities of one Report.
type reportTest struct {
	t     *testing.T
	env   *testsuite.TestWorkflowEnvironment
	calls []string
	admit reconcile.AdmitInput
	runs  []session.RunInput
	asked messages.ReportInput
	end   reconcile.FinishInput
	judge reconcile.JudgeInput
	fail  error

	governed  []reports.GovernInput
	governEnd reports.GovernEndInput
}

func newReportTest(t *testing.T) *reportTest {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	q := &reportTest{t: t, env: suite.NewTestWorkflowEnvironment()}
	q.env.SetStartTime(begin)
	patient(q.env)
	q.env.RegisterWorkflowWithOptions(workflows.Report, workflow.RegisterOptions{Name: messages.Report})
	for name, play := range map[string]any{
		"Admit": func(_ context.Context, in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
			q.calls, q.admit = append(q.calls, "Admit"), in
			return inForce(in, false), q.fail
		},
		"Outline": func(_ context.Context, in reconcile.OutlineInput) (reconcile.OutlineResult, error) {
			q.calls, q.runs = append(q.calls, "Outline"), append(q.runs, in.RunInput)
			return reconcile.OutlineResult{}, nil
		},
		"Sweep": func(_ context.Context, in reconcile.SweepInput) (session.SweepResult, error) {
			q.calls, q.runs = append(q.calls, "Sweep"), append(q.runs, in.RunInput)
			if in.Block == 0 {
				return session.SweepResult{Next: "c", People: 100}, nil
			}
			return session.SweepResult{People: 7}, nil
		},
		"Judge": func(_ context.Context, in reconcile.JudgeInput) (reconcile.JudgeResult, error) {
			q.calls, q.runs, q.judge = append(q.calls, "Judge"), append(q.runs, in.RunInput), in
			return reconcile.JudgeResult{Plan: "sha256:p", Counts: messages.Counts{Adds: 3}}, nil
		},
		"Finish": func(_ context.Context, in reconcile.FinishInput) (messages.RunSummary, error) {
			q.calls, q.runs, q.end = append(q.calls, "Finish"), append(q.runs, in.RunInput), in
			return in.Summary, nil
		},
		"Explain": func(_ context.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
			q.calls, q.asked = append(q.calls, "Explain"), in
			return messages.ReportAnswer{Org: in.Org, Kind: in.Kind, Message: "the whole decision"}, q.fail
		},
		"GovernBegin": func(context.Context, string) (reports.GovernStart, error) {
			q.calls = append(q.calls, "GovernBegin")
			return reports.GovernStart{Policy: "p", Pages: 3}, q.fail
		},
		"Govern": func(_ context.Context, in reports.GovernInput) (session.SweepResult, error) {
			q.calls, q.governed = append(q.calls, "Govern"), append(q.governed, in)
			if in.Block == 0 {
				return session.SweepResult{Next: "c", People: 300}, nil
			}
			return session.SweepResult{People: 7}, nil
		},
		"GovernEnd": func(_ context.Context, in reports.GovernEndInput) (messages.Governance, error) {
			q.calls, q.governEnd = append(q.calls, "GovernEnd"), in
			return messages.Governance{ID: in.Report, Sections: []messages.SectionSummary{
				{Title: "Admins", Count: 3, New: 1, Gone: 0}, {Title: "Domains", New: -1, Gone: -1, Incomplete: "no"},
			}}, nil
		},
		"Answer": func(_ context.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
			q.calls, q.asked = append(q.calls, "Answer"), in
			return messages.ReportAnswer{Org: in.Org, Kind: in.Kind, Message: "the answer"}, q.fail
		},
	} {
		q.env.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
	}
	return q
}

func (q *reportTest) ask(in messages.ReportInput) (answer messages.ReportAnswer) {
	q.t.Helper()
	q.env.ExecuteWorkflow(messages.Report, in)
	require.NoError(q.t, q.env.GetWorkflowError())
	require.NoError(q.t, q.env.GetWorkflowResult(&answer))
	return answer
}

func TestReportQuestionIsAnsweredFromTheLedgerAlone(t *testing.T) {
	for _, kind := range []string{messages.ReportWhy, messages.ReportRuns, messages.ReportPlan, messages.ReportForeign,
		messages.ReportLedger} {
		t.Run(kind, func(t *testing.T) {
			q := newReportTest(t)
			in := messages.ReportInput{Org: org, Kind: kind, Person: "ana@acme.example", Target: jira, Run: "r1",
				Limit: 5, After: "x", At: begin}
			answer := q.ask(in)
			require.Equal(t, "the answer", answer.Message)
			require.Equal(t, []string{"Answer"}, q.calls)
			require.Equal(t, in, q.asked)
		})
	}
}

func TestReportOnePersonsDecisionIsExplained(t *testing.T) {
	q := newReportTest(t)
	in := messages.ReportInput{Org: org, Kind: messages.ReportExplain, Person: "ana@acme.example",
		If: []string{"groups+=x"}}
	require.Equal(t, "the whole decision", q.ask(in).Message)
	require.Equal(t, []string{"Explain"}, q.calls)
	require.Equal(t, in, q.asked)
}

func TestReportOrganizationIsLookedAtAsAWhole(t *testing.T) {
	q := newReportTest(t)
	answer := q.ask(messages.ReportInput{Org: org, Kind: messages.ReportGovernance, Scheduled: true})
	require.Equal(t, []string{"GovernBegin", "Govern", "Govern", "GovernEnd"}, q.calls)
	require.Equal(t, reports.GovernInput{Org: org, Policy: "p", Report: "20260302-090000.000", Cursor: "c", Block: 1,
		Pages: 3}, q.governed[1])
	require.Equal(t, reports.GovernEndInput{Org: org, Policy: "p", Report: "20260302-090000.000", Started: begin,
		Scheduled: true}, q.governEnd)
	require.Equal(t, "governance report 20260302-090000.000: 307 people looked at", answer.Message)
	value, err := q.env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(t, value.Get(&metadata))
	contains(t, metadata.GetCurrentDetails(), "|  | Admins | 3 | 1 | 0 |\n|  | Domains | not known |  |  |\n",
		"starter findings acme \\\n      --id 20260302-090000.000")
}

func TestReportPreviewReadsEverybodyAndWritesNothing(t *testing.T) {
	q := newReportTest(t)
	q.ask(messages.ReportInput{Org: org, Kind: messages.ReportPreview, Policy: json.RawMessage(`"draft"`), Limit: 9})
	require.Equal(t, []string{"Admit", "Outline", "Sweep", "Sweep", "Judge", "Finish", "Answer"}, q.calls)
	require.True(t, q.admit.Preview, "the policy is not taken into force")
	for _, run := range q.runs {
		require.True(t, run.Preview, "the ledger's view of the world is left alone")
		require.Equal(t, q.runs[0], run)
		require.Equal(t, `hash of "draft"`, run.Policy)
	}
	require.True(t, q.judge.DryRun)
	require.Equal(t, q.runs[0].Run, q.asked.Run, "the answer is the plan of this run")
	require.Equal(t, 9, q.asked.Limit)
	require.Empty(t, q.asked.Policy)
	require.Equal(t, "sha256:p", q.end.Summary.Plan)
}

func TestReportQuestionThatCannotBeAnsweredFails(t *testing.T) {
	q := newReportTest(t)
	q.fail = fatal(session.ErrUnknown, "no organization acme is known here")
	q.env.ExecuteWorkflow(messages.Report, messages.ReportInput{Org: org, Kind: messages.ReportRuns})
	require.ErrorContains(t, q.env.GetWorkflowError(), "no organization acme is known here")

	q = newReportTest(t)
	q.fail = fatal(session.ErrPolicy, "line 3: unknown field")
	q.env.ExecuteWorkflow(messages.Report, messages.ReportInput{Org: org, Kind: messages.ReportPreview})
	require.ErrorContains(t, q.env.GetWorkflowError(), "line 3: unknown field")
	require.Equal(t, []string{"Admit"}, q.calls)
}
