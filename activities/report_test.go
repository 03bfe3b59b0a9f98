package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

func (w *world) ask(in messages.ReportInput) messages.ReportAnswer {
	w.t.Helper()
	in.Org = org
	var answer messages.ReportAnswer
	before := w.sim.Stats().Writes
	answer = must[messages.ReportAnswer](w, w.acts.Answer, in)
	require.Equal(w.t, before, w.sim.Stats().Writes)
	require.Equal(w.t, in.Kind, answer.Kind)
	require.NotEmpty(w.t, answer.Message)
	return answer
}

func TestWhySomebodyHoldsSomething(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	answer := w.ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "CAROL@example.com"})
	require.Equal(t, w.id("carol"), answer.Why.Person.ID)
	require.Len(t, answer.Why.Holdings, 1)
	require.True(t, answer.Why.Holdings[0].Owned)
	require.Contains(t, answer.Message, "mapping builders")
	require.Contains(t, answer.Message, "source group eng")
	require.NotEmpty(t, answer.Why.History)

	gil := w.ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "gil@example.com"})
	require.Contains(t, gil.Message, "foreign")
	none := w.ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "gil@example.com", Target: builders})
	require.Contains(t, none.Message, "does not hold group:builders")

	held := w.clock()
	w.pass(time.Hour)
	w.leave("eng", "carol")
	w.full()
	require.Empty(t, w.ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "carol@example.com"}).Why.Holdings)
	past := w.ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "carol@example.com", At: held})
	require.Len(t, past.Why.Holdings, 1, "at any past instant")
}

func TestRunsAndPlansAreListedInPages(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.pass(time.Minute)
	w.full()
	all := w.ask(messages.ReportInput{Kind: messages.ReportRuns})
	require.Len(t, all.Runs, 2)
	require.Equal(t, 9, all.Runs[1].Counts.Done)
	first := w.ask(messages.ReportInput{Kind: messages.ReportRuns, Limit: 1})
	require.Len(t, first.Runs, 1)
	second := w.ask(messages.ReportInput{Kind: messages.ReportRuns, Limit: 1, After: first.Next})
	require.Equal(t, all.Runs[1], second.Runs[0])

	seen := map[string]bool{}
	page := w.ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001", Limit: 4})
	for n := 1; ; n++ {
		for _, l := range page.Plan.Lines {
			require.False(t, seen[l.Label()], "%s comes twice", l.Label())
			seen[l.Label()] = true
		}
		if page.Next == "" {
			break
		}
		require.Less(t, n, 5)
		page = w.ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001", Limit: 4, After: page.Next})
	}
	require.Len(t, seen, 9)
	none := w.ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001", States: []string{string(access.Refused)}})
	require.Empty(t, none.Plan.Lines)
	require.Contains(t, w.ask(messages.ReportInput{Kind: messages.ReportPlan}).Message, "nothing is held")
}

func TestTheOpenHoldIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit("")
	run, _ := w.planned()
	answer := w.ask(messages.ReportInput{Kind: messages.ReportPlan})
	require.Equal(t, run.Run, answer.Plan.Run.Run)
	require.Len(t, answer.Plan.Lines, 9)
	require.Equal(t, []string{"adopt"}, answer.Plan.Lines[0].HeldBy)
}

func TestForeignMembershipsAreListed(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	answer := w.ask(messages.ReportInput{Kind: messages.ReportForeign})
	require.Len(t, answer.Foreign, 1)
	require.Equal(t, w.id("gil"), answer.Foreign[0].Person)
	require.Empty(t, w.ask(messages.ReportInput{Kind: messages.ReportForeign, Target: builders}).Foreign)
}

func TestTheLedgerIsCheckedWhole(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	answer := w.ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.True(t, answer.Ledger.Whole)
	require.Greater(t, answer.Ledger.Entries, int64(10))
	require.NotEmpty(t, answer.Ledger.Head)
}

func TestQuestionsThatMeanNothingAreRefused(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	for want, in := range map[string]messages.ReportInput{
		"unknown kind of report":                {Org: org, Kind: "weather"},
		"no run has seen a person":              {Org: org, Kind: messages.ReportWhy, Person: "nobody@example.com"},
		"has no run":                            {Org: org, Kind: messages.ReportPlan, Run: "r9"},
		"is not what an earlier answer said":    {Org: org, Kind: messages.ReportPlan, Run: "run-001", After: "{"},
		`no organization "other" is known here`: {Org: "other", Kind: messages.ReportRuns},
		"is not an entitlement":                 {Org: org, Kind: messages.ReportForeign, Target: "builders"},
	} {
		_, err := call[messages.ReportAnswer](w, w.acts.Answer, in)
		app := application(t, err)
		require.Equal(t, activities.ErrUnknown, app.Type())
		require.True(t, app.NonRetryable())
		require.Contains(t, app.Message(), want)
	}
}

// Whoever tries Castellan for the first time looks at what a policy would do before it is applied.
func TestAPolicyIsPreviewedBeforeItIsApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.admitIn(w.text(auto))
	in.Preview = true
	draft := must[activities.AdmitResult](w, w.acts.Admit, in)
	run := activities.RunInput{Org: org, Run: "preview-1", Policy: draft.Policy, Preview: true}
	w.sweep(run)
	verdict := must[activities.JudgeResult](w, w.acts.Judge, activities.JudgeInput{RunInput: run, Trigger: "preview", Scope: messages.ScopeFull, DryRun: true, Started: w.clock()})
	require.Equal(t, 8, verdict.Counts.Adds)
	require.Zero(t, verdict.Open)
	must[messages.RunSummary](w, w.acts.Finish, activities.FinishInput{RunInput: run, Scope: messages.ScopeFull, Summary: messages.RunSummary{Run: run.Run, State: messages.RunDone, DryRun: true, Started: w.clock()}})
	answer := w.ask(messages.ReportInput{Kind: messages.ReportPreview, Run: run.Run})
	require.Len(t, answer.Plan.Lines, 9)
	require.Zero(t, w.sim.Stats().Writes)
}
