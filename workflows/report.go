package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/reports"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// Report answers one query from the ledger and ends. A preview first reads the organization and decides it under the
// given policy; it changes nothing at Atlassian, and stores only a plan.
func Report(ctx workflow.Context, raw converter.RawValue) (messages.ReportAnswer, error) {
	in, err := kit.Input[messages.ReportInput](ctx, messages.Report, raw)
	if err != nil {
		return messages.ReportAnswer{}, err
	}
	found, err := report(ctx, in)
	return found, kit.PlainError(err)
}

func report(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	if in.Kind == messages.ReportPreview {
		run, err := preview(ctx, in)
		if err != nil {
			return messages.ReportAnswer{}, err
		}
		in.Run, in.Policy = run, nil
	}
	if in.Kind == messages.ReportGovernance {
		return governance(ctx, in)
	}
	ask := act.Answer
	if in.Kind == messages.ReportExplain {
		ask = act.Explain
	}
	found, err := ask(ctx, in)
	if err != nil {
		return messages.ReportAnswer{}, err
	}
	workflow.SetCurrentDetails(ctx, clipDetails(display.MarkdownLines(found.Message)))
	return found, nil
}

// governance makes a governance report, which reads everybody.
func governance(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	answer := messages.ReportAnswer{Org: in.Org, Kind: in.Kind}
	started := workflow.Now(ctx).UTC()
	id := started.Format("20060102-150405.000")
	begin, err := act.GovernBegin(ctx, in.Org)
	if err != nil {
		return answer, err
	}
	people := 0
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		workflow.SetCurrentDetails(ctx,
			display.Markdown(fmt.Sprintf("Looking at everybody of %s: %d people so far.", in.Org, people)))
		found, err := act.Govern(ctx, reports.GovernInput{Org: in.Org, Policy: begin.Policy, Report: id, Cursor: cursor,
			Block: block, Pages: begin.Pages}, people)
		if err != nil {
			return answer, err
		}
		people += found.People
		cursor = found.Next
	}
	report, err := act.GovernEnd(ctx,
		reports.GovernEndInput{Org: in.Org, Policy: begin.Policy, Report: id, Started: started,
			Scheduled: in.Scheduled})
	if err != nil {
		return answer, err
	}
	answer.Report, answer.Message = &report, fmt.Sprintf("governance report %s: %d people looked at", id, people)
	workflow.SetCurrentDetails(ctx, clipDetails(describeFindings(in.Org, answer)))
	return display.Answer(answer), nil
}

// describeFindings returns the report's summary for the Web UI.
func describeFindings(org string, answer messages.ReportAnswer) string {
	var page display.Page
	page.Line("%s. The whole of it, as a page to open in a browser:", answer.Message)
	page.Command(display.Starter("findings", org).With("--id", answer.Report.ID).With("--format", "html").With("--out",
		"findings.html"))
	page.Line("| | what | how many | new | gone |\n|---|---|---|---|---|")
	number := func(n int) string {
		if n < 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	sections := slices.Clone(answer.Report.Sections)
	slices.SortStableFunc(sections,
		func(a, b messages.SectionSummary) int { return cmp.Compare(urgency(a), urgency(b)) })
	for _, s := range sections {
		count := strconv.Itoa(s.Count)
		if s.Incomplete != "" {
			count = "not known"
		}
		page.Line("| %s | %s | %s | %s | %s |", s.Severity, s.Title, count, number(s.New), number(s.Gone))
	}
	return page.String()
}

// urgency orders sections: those to act on first, empty ones last.
func urgency(f messages.SectionSummary) int {
	switch {
	case f.Count == 0 && f.Incomplete == "":
		return 3
	case f.Severity == "act":
		return 0
	case f.Severity == "look":
		return 1
	}
	return 2
}

func preview(ctx workflow.Context, in messages.ReportInput) (string, error) {
	admitted, err := act.Admit(ctx, reconcile.AdmitInput{Org: in.Org, Policy: in.Policy, Preview: true})
	if err != nil {
		return "", err
	}
	run := session.RunInput{Org: in.Org, Run: "preview-" + workflow.Now(ctx).UTC().Format("20060102-150405.000"),
		Policy: admitted.Policy, Preview: true}
	started := workflow.Now(ctx)
	if _, err := act.Outline(ctx, reconcile.OutlineInput{RunInput: run, Trigger: "preview", DryRun: true,
		Started: started}); err != nil {
		return "", err
	}
	people := 0
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		swept, err := act.Sweep(ctx, reconcile.SweepInput{RunInput: run, Cursor: cursor, Block: block,
			Pages: admitted.Settings.Pages}, people)
		if err != nil {
			return "", err
		}
		people += swept.People
		cursor = swept.Next
	}
	verdict, err := act.Judge(ctx, reconcile.JudgeInput{RunInput: run, Trigger: "preview", Scope: messages.ScopeFull,
		DryRun: true, Started: started})
	if err != nil {
		return "", err
	}
	sum := messages.RunSummary{Run: run.Run, Trigger: "preview", Scope: messages.ScopeFull, State: messages.RunDone,
		Plan: verdict.Plan, DryRun: true, Started: started, Counts: verdict.Counts}
	_, err = act.Finish(ctx, reconcile.FinishInput{RunInput: run, Scope: messages.ScopeFull, Summary: sum})
	return run.Run, err
}
