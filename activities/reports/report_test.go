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

func TestWhyExplainsAHolding(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "CAROL@example.com"})
	require.Equal(t, o.AccountID("carol"), answer.Why.Person.ID)
	require.Len(t, answer.Why.Holdings, 1)
	require.True(t, answer.Why.Holdings[0].Owned)
	require.Contains(t, answer.Message, "mapping builders")
	require.Contains(t, answer.Message, "source group eng")
	require.NotEmpty(t, answer.Why.History)

	gil := o.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "gil@example.com"})
	require.Contains(t, gil.Message, "foreign")
	none := o.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "gil@example.com",
		Target: activitytest.Builders})
	require.Contains(t, none.Message, "does not hold group:builders")

	held := o.Clock()
	o.Advance(time.Hour)
	o.Leave("eng", "carol")
	o.VerifyEverybody()
	require.Empty(t, o.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "carol@example.com"}).Why.Holdings)
	past := o.Ask(messages.ReportInput{Kind: messages.ReportWhy, Person: "carol@example.com", At: held})
	require.Len(t, past.Why.Holdings, 1, "at any past instant")
}

// A plan says of all that was noticed how much there is, however much of it comes with a page.
func TestPlanCountsEverythingNoticed(t *testing.T) {
	t.Parallel()
	file := activitytest.PeopleInEng(3)
	for i := range 160 {
		file.Groups = append(file.Groups, cloud.OrgGroup{Name: fmt.Sprintf("team-%03d", i)})
	}
	o := activitytest.NewOf(t, file)
	text := strings.Replace(o.PolicyText("guard: {adopt: ask}"), "ignore:",
		`  - {name: teams, from: ["team-*"], to: ["group:made-*"], create: true}`+"\nignore:", 1)
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Policy
	run, _ := o.SweepAndJudge()
	page := o.Ask(messages.ReportInput{Kind: messages.ReportPlan, Run: run.Run}).Plan
	require.Contains(t, activitytest.Joined(page.Noticed), "group-to-create (160) made-000, made-001")
	require.Len(t, page.Findings, 100)
}

func TestRunsAndPlansAreListedInPages(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Advance(time.Minute)
	o.VerifyEverybody()
	all := o.Ask(messages.ReportInput{Kind: messages.ReportRuns})
	require.Len(t, all.Runs, 2)
	require.Equal(t, 9, all.Runs[1].Counts.Done)
	first := o.Ask(messages.ReportInput{Kind: messages.ReportRuns, Limit: 1})
	require.Len(t, first.Runs, 1)
	second := o.Ask(messages.ReportInput{Kind: messages.ReportRuns, Limit: 1, After: first.Next})
	require.Equal(t, all.Runs[1], second.Runs[0])

	seen := map[string]bool{}
	page := o.Ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001", Limit: 4})
	for n := 1; ; n++ {
		for _, l := range page.Plan.Lines {
			require.False(t, seen[l.Label()], "%s comes twice", l.Label())
			seen[l.Label()] = true
		}
		if page.Next == "" {
			break
		}
		require.Less(t, n, 5)
		page = o.Ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001", Limit: 4, After: page.Next})
	}
	require.Len(t, seen, 9)
	none := o.Ask(messages.ReportInput{Kind: messages.ReportPlan, Run: "run-001",
		States: []string{string(access.Refused)}})
	require.Empty(t, none.Plan.Lines)
	require.Contains(t, o.Ask(messages.ReportInput{Kind: messages.ReportPlan}).Message, "nothing is held")
}

func TestHoldThatIsOpenIsShown(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit("")
	run, verdict := o.SweepAndJudge()
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportPlan})
	require.Equal(t, run.Run, answer.Plan.Run.Run)
	require.Equal(t, verdict.Hold.Plan, answer.Plan.Held, "by this it is approved")
	require.Len(t, answer.Plan.Lines, 9)
	require.Equal(t, []string{"adopt"}, answer.Plan.Lines[0].HeldBy)
}

func TestForeignMembershipsAreListed(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportForeign})
	require.Len(t, answer.Foreign, 1)
	require.Equal(t, o.AccountID("gil"), answer.Foreign[0].Person)
	require.Empty(t, o.Ask(messages.ReportInput{Kind: messages.ReportForeign, Target: activitytest.Builders}).Foreign)
}

func TestVerifyLedgerChecksEverything(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.True(t, answer.Ledger.Whole)
	require.Greater(t, answer.Ledger.Entries, int64(10))
	require.NotEmpty(t, answer.Ledger.Head)
}

func TestAnswerRefusesMeaninglessQuestions(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
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
		_, err := activitytest.Call[messages.ReportAnswer](o, o.Acts.Reports.Answer, in)
		app := activitytest.ApplicationError(t, err)
		require.Equal(t, session.ErrUnknown, app.Type())
		require.True(t, app.NonRetryable())
		require.Contains(t, app.Message(), want)
	}
}

// Whoever tries Castellan for the first time looks at what a policy would do before it is applied.
func TestPreviewOfAPolicy(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	in := o.AdmitIn(o.PolicyText(activitytest.AutoAdopt))
	in.Preview = true
	draft := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, in)
	run := session.RunInput{Org: activitytest.Org, Run: "preview-1", Policy: draft.Policy, Preview: true}
	o.Sweep(run)
	verdict := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Judge,
		reconcile.JudgeInput{RunInput: run, Trigger: "preview", Scope: messages.ScopeFull, DryRun: true,
			Started: o.Clock()})
	require.Equal(t, 8, verdict.Counts.Adds)
	require.Zero(t, verdict.Open)
	activitytest.Must[messages.RunSummary](o, o.Acts.Reconcile.Finish,
		reconcile.FinishInput{RunInput: run, Scope: messages.ScopeFull,
			Summary: messages.RunSummary{Run: run.Run, State: messages.RunDone, DryRun: true, Started: o.Clock()}})
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportPreview, Run: run.Run})
	require.Len(t, answer.Plan.Lines, 9)
	require.Zero(t, o.Sim.Stats().Writes)
}

func TestFinishOfAPreviewCountsWhatTheGuardWouldHold(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol", "dan")
	in := o.AdmitIn(o.PolicyText("guard: {adopt: auto, run: {removals: 0}, source: {share: 100%}}"))
	in.Preview = true
	draft := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, in)
	run := session.RunInput{Org: activitytest.Org, Run: "preview-1", Policy: draft.Policy, Preview: true}
	o.Sweep(run)
	verdict := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Judge,
		reconcile.JudgeInput{RunInput: run, Trigger: "preview", Scope: messages.ScopeFull, DryRun: true,
			Started: o.Clock()})
	require.Equal(t, 2, verdict.Counts.Held)
	sum := activitytest.Must[messages.RunSummary](o, o.Acts.Reconcile.Finish,
		reconcile.FinishInput{RunInput: run, Scope: messages.ScopeFull, Summary: messages.RunSummary{
			Run: run.Run, State: messages.RunDone, DryRun: true, Started: o.Clock(), Counts: verdict.Counts,
		}})
	require.Equal(t, 2, sum.Counts.Held)
	require.Equal(t, 2, o.Ask(messages.ReportInput{Kind: messages.ReportPreview, Run: run.Run}).Plan.Run.Counts.Held)
}
