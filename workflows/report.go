package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// Report answers one question from the ledger and ends. A preview reads the living organization first and decides it
// under the policy given, into the ledger alone: nothing at Atlassian changes, and nothing that the ledger knows of the
// world.
func Report(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
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
	ask := answer
	if in.Kind == messages.ReportExplain {
		ask = explainPerson
	}
	found, err := ask(ctx, in)
	if err != nil {
		return messages.ReportAnswer{}, err
	}
	workflow.SetCurrentDetails(ctx, clipDetails(found.Message))
	return found, nil
}

// governance looks at everybody for what no rule acts on, and keeps what it finds.
func governance(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	answer := messages.ReportAnswer{Org: in.Org, Kind: in.Kind}
	started := workflow.Now(ctx).UTC()
	id := started.Format("20060102-150405.000")
	begin, err := governBegin(ctx, in.Org)
	if err != nil {
		return answer, err
	}
	people := 0
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("Looking at everybody of %s: %d people so far.", in.Org, people))
		found, err := govern(ctx, activities.GovernInput{Org: in.Org, Policy: begin.Policy, Report: id, Cursor: cursor, Block: block, Pages: begin.Pages}, people)
		if err != nil {
			return answer, err
		}
		people += found.People
		cursor = found.Next
	}
	report, err := governEnd(ctx, activities.GovernEndInput{Org: in.Org, Policy: begin.Policy, Report: id, Started: started, Scheduled: in.Scheduled})
	if err != nil {
		return answer, err
	}
	answer.Report, answer.Message = &report, fmt.Sprintf("governance report %s: %d people looked at", id, people)
	workflow.SetCurrentDetails(ctx, clipDetails(foundInWords(in.Org, answer)))
	return answer, nil
}

// foundInWords is the report's summary for the Web UI.
func foundInWords(org string, answer messages.ReportAnswer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. The whole of it, as a page to open in a browser:\n\n    starter findings %s --id %s \\\n      --format html --out findings.html\n\n", answer.Message, org, answer.Report.ID)
	b.WriteString("| | what | how many | new | gone |\n|---|---|---|---|---|\n")
	number := func(n int) string {
		if n < 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	sections := slices.Clone(answer.Report.Sections)
	slices.SortStableFunc(sections, func(a, b messages.Found) int { return cmp.Compare(urgency(a), urgency(b)) })
	for _, s := range sections {
		count := strconv.Itoa(s.Count)
		if s.Incomplete != "" {
			count = "not known"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", s.Severity, s.Title, count, number(s.New), number(s.Gone))
	}
	return b.String()
}

// urgency puts what is to be put right first, and what is empty last.
func urgency(f messages.Found) int {
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
	admitted, err := admit(ctx, activities.AdmitInput{Org: in.Org, Policy: in.Policy, Preview: true})
	if err != nil {
		return "", err
	}
	run := activities.RunInput{Org: in.Org, Run: "preview-" + workflow.Now(ctx).UTC().Format("20060102-150405.000"), Policy: admitted.Policy, Preview: true}
	started := workflow.Now(ctx)
	if _, err := outline(ctx, activities.OutlineInput{RunInput: run, Trigger: "preview", DryRun: true, Started: started}); err != nil {
		return "", err
	}
	people := 0
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		swept, err := sweep(ctx, activities.SweepInput{RunInput: run, Cursor: cursor, Block: block, Pages: admitted.Settings.Pages}, people)
		if err != nil {
			return "", err
		}
		people += swept.People
		cursor = swept.Next
	}
	verdict, err := judge(ctx, activities.JudgeInput{RunInput: run, Trigger: "preview", Scope: messages.ScopeFull, DryRun: true, Started: started})
	if err != nil {
		return "", err
	}
	sum := messages.RunSummary{Run: run.Run, Trigger: "preview", Scope: messages.ScopeFull, State: messages.RunDone, Plan: verdict.Plan, DryRun: true, Started: started, Counts: verdict.Counts}
	_, err = finish(ctx, activities.FinishInput{RunInput: run, Scope: messages.ScopeFull, Summary: sum})
	return run.Run, err
}
