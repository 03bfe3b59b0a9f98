package reports_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestWhySomebodyHoldsSomething(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	answer := w.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "CAROL@example.com"})
	require.Equal(t, w.Id("carol"), answer.Why.Person.ID)
	require.Len(t, answer.Why.Holdings, 1)
	require.True(t, answer.Why.Holdings[0].Owned)
	require.Contains(t, answer.Message, "mapping builders")
	require.Contains(t, answer.Message, "source group eng")
	require.NotEmpty(t, answer.Why.History)

	gil := w.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "gil@example.com"})
	require.Contains(t, gil.Message, "foreign")
	none := w.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "gil@example.com",
		Target: activitytest.Builders})
	require.Contains(t, none.Message, "does not hold group:builders")

	held := w.Clock()
	w.Pass(time.Hour)
	w.Leave("eng", "carol")
	w.Full()
	require.Empty(t, w.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "carol@example.com"}).Why.Holdings)
	past := w.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "carol@example.com", At: held})
	require.Len(t, past.Why.Holdings, 1, "at any past instant")
}

// A plan says of all that was noticed how much there is, however much of it comes with a page.
func TestAPlanCountsAllThatWasNoticed(t *testing.T) {
	t.Parallel()
	file := activitytest.Crowded(3)
	for i := range 160 {
		file.Groups = append(file.Groups, cloud.OrgGroup{Name: fmt.Sprintf("team-%03d", i)})
	}
	w := activitytest.NewOf(t, file)
	text := strings.Replace(w.Text("guard: {adopt: ask}"), "ignore:",
		`  - {name: teams, from: ["team-*"], to: ["group:made-*"], create: true}`+"\nignore:", 1)
	w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(text)).Policy
	run, _ := w.Planned()
	page := w.Ask(messages.ReportInput{Kind: messages.ReportPlan, Run: run.Run}).Plan
	require.Contains(t, activitytest.Joined(page.Noticed), "group-to-create (160) made-000, made-001")
	require.Len(t, page.Findings, 100)
}

func TestRunsAndPlansAreListedInPages(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Pass(time.Minute)
	w.Full()
	all := w.Ask(messages.ReportInput{Kind: messages.ReportRuns})
	require.Len(t, all.Runs, 2)
	require.Equal(t, 9, all.Runs[1].Counts.Done)
	first := w.Ask(messages.ReportInput{Kind: messages.ReportRuns, Limit: 1})
	require.Len(t, first.Runs, 1)
	second := w.Ask(messages.ReportInput{Kind: messages.ReportRuns, Limit: 1, After: first.Next})
	require.Equal(t, all.Runs[1], second.Runs[0])

	seen := map[string]bool{}
	page := w.Ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001", Limit: 4})
	for n := 1; ; n++ {
		for _, l := range page.Plan.Lines {
			require.False(t, seen[l.Label()], "%s comes twice", l.Label())
			seen[l.Label()] = true
		}
		if page.Next == "" {
			break
		}
		require.Less(t, n, 5)
		page = w.Ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001", Limit: 4, After: page.Next})
	}
	require.Len(t, seen, 9)
	none := w.Ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001",
		States: []string{string(access.Refused)}})
	require.Empty(t, none.Plan.Lines)
	require.Contains(t, w.Ask(messages.ReportInput{Kind: messages.ReportPlan}).Message, "nothing is held")
}

func TestTheOpenHoldIsShown(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit("")
	run, _ := w.Planned()
	answer := w.Ask(messages.ReportInput{Kind: messages.ReportPlan})
	require.Equal(t, run.Run, answer.Plan.Run.Run)
	require.Len(t, answer.Plan.Lines, 9)
	require.Equal(t, []string{"adopt"}, answer.Plan.Lines[0].HeldBy)
}

func TestForeignMembershipsAreListed(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	answer := w.Ask(messages.ReportInput{Kind: messages.ReportForeign})
	require.Len(t, answer.Foreign, 1)
	require.Equal(t, w.Id("gil"), answer.Foreign[0].Person)
	require.Empty(t, w.Ask(messages.ReportInput{Kind: messages.ReportForeign, Target: activitytest.Builders}).Foreign)
}

func TestTheLedgerIsCheckedWhole(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	answer := w.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.True(t, answer.Ledger.Whole)
	require.Greater(t, answer.Ledger.Entries, int64(10))
	require.NotEmpty(t, answer.Ledger.Head)
}

func TestQuestionsThatMeanNothingAreRefused(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	for want, in := range map[string]messages.ReportInput{
		"unknown kind of report": {Org: activitytest.Org, Kind: "weather"},
		"shows nobody named nobody@example.com": {Org: activitytest.Org, Kind: messages.ReportWhy,
			Person: "nobody@example.com"},
		"has no run": {Org: activitytest.Org, Kind: messages.ReportPlan, Run: "r9"},
		"is not what an earlier answer said": {Org: activitytest.Org, Kind: messages.ReportPlan, Run: "run-001",
			After: "{"},
		`no organization "other" is known here`: {Org: "other", Kind: messages.ReportRuns},
		"is not an entitlement": {Org: activitytest.Org, Kind: messages.ReportForeign,
			Target: "builders"},
	} {
		_, err := activitytest.Call[messages.ReportAnswer](w, w.Acts.Reports.Answer, in)
		app := activitytest.ApplicationError(t, err)
		require.Equal(t, session.ErrUnknown, app.Type())
		require.True(t, app.NonRetryable())
		require.Contains(t, app.Message(), want)
	}
}

// Whoever tries Castellan for the first time looks at what a policy would do before it is applied.
func TestAPolicyIsPreviewedBeforeItIsApplied(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	in := w.AdmitIn(w.Text(activitytest.AutoAdopt))
	in.Preview = true
	draft := activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, in)
	run := session.RunInput{Org: activitytest.Org, Run: "preview-1", Policy: draft.Policy, Preview: true}
	w.Sweep(run)
	verdict := activitytest.Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Judge,
		reconcile.JudgeInput{RunInput: run, Trigger: "preview", Scope: messages.ScopeFull, DryRun: true,
			Started: w.Clock()})
	require.Equal(t, 8, verdict.Counts.Adds)
	require.Zero(t, verdict.Open)
	activitytest.Must[messages.RunSummary](w, w.Acts.Reconcile.Finish,
		reconcile.FinishInput{RunInput: run, Scope: messages.ScopeFull,
			Summary: messages.RunSummary{Run: run.Run, State: messages.RunDone, DryRun: true, Started: w.Clock()}})
	answer := w.Ask(messages.ReportInput{Kind: messages.ReportPreview, Run: run.Run})
	require.Len(t, answer.Plan.Lines, 9)
	require.Zero(t, w.Sim.Stats().Writes)
}

func TestFinishOfAPreviewCountsWhatTheGuardWouldHold(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol", "dan")
	in := w.AdmitIn(w.Text("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}"))
	in.Preview = true
	draft := activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, in)
	run := session.RunInput{Org: activitytest.Org, Run: "preview-1", Policy: draft.Policy, Preview: true}
	w.Sweep(run)
	verdict := activitytest.Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Judge,
		reconcile.JudgeInput{RunInput: run, Trigger: "preview", Scope: messages.ScopeFull, DryRun: true,
			Started: w.Clock()})
	require.Equal(t, 2, verdict.Counts.Held)
	sum := activitytest.Must[messages.RunSummary](w, w.Acts.Reconcile.Finish,
		reconcile.FinishInput{RunInput: run, Scope: messages.ScopeFull, Summary: messages.RunSummary{
			Run: run.Run, State: messages.RunDone, DryRun: true, Started: w.Clock(), Counts: verdict.Counts,
		}})
	require.Equal(t, 2, sum.Counts.Held)
	require.Equal(t, 2, w.Ask(messages.ReportInput{Kind: messages.ReportPreview, Run: run.Run}).Plan.Run.Counts.Held)
}
