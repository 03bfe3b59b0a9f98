package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// act names the activities; nil, since workflows only need their names.
var act *activities.Activities

// call runs an activity under a preset, with the summary that the Web UI shows.
func call[R any](ctx workflow.Context, p preset, org, summary string, activity, in any) (R, error) {
	var result R
	err := workflow.ExecuteActivity(p.options(ctx, org, summary), activity, in).Get(ctx, &result)
	return result, err
}

func admit(ctx workflow.Context, in activities.AdmitInput) (activities.AdmitResult, error) {
	return call[activities.AdmitResult](ctx, check, in.Org, "check the policy against the organization", act.Admit, in)
}

func decide(ctx workflow.Context, in activities.DecideInput) (activities.DecideResult, error) {
	return call[activities.DecideResult](ctx, check, in.Org, fmt.Sprintf("%s %s by %s", in.Decision, in.Plan, in.By), act.Decide, in)
}

func examine(ctx workflow.Context, in activities.ExamineInput) (activities.JudgeResult, error) {
	return call[activities.JudgeResult](ctx, glance, in.Org, "look at "+scopeInWords(in.Scope), act.Examine, in)
}

func ruleTime(ctx workflow.Context, in activities.RuleTimeInput) (activities.RuleTimeResult, error) {
	return call[activities.RuleTimeResult](ctx, digest, in.Org, "tell whom rules hold for, see who is due", act.RuleTime, in)
}

func outline(ctx workflow.Context, in activities.OutlineInput) (activities.OutlineResult, error) {
	return call[activities.OutlineResult](ctx, walk, in.Org, "read groups, sites and default roles", act.Outline, in)
}

func sweep(ctx workflow.Context, in activities.SweepInput, people int) (activities.SweepResult, error) {
	return call[activities.SweepResult](ctx, walk, in.Org, fmt.Sprintf("read and decide people from no. %d on", people+1), act.Sweep, in)
}

func judge(ctx workflow.Context, in activities.JudgeInput) (activities.JudgeResult, error) {
	return call[activities.JudgeResult](ctx, walk, in.Org, "check the evidence, ask the guard", act.Judge, in)
}

func planUndo(ctx workflow.Context, in activities.UndoInput) (int, error) {
	return call[int](ctx, walk, in.Org, "plan the inverse of run "+in.Of, act.PlanUndo, in)
}

func findRun(ctx workflow.Context, org, run string) (messages.RunSummary, error) {
	return call[messages.RunSummary](ctx, lookup, org, "look up run "+run, act.FindRun, activities.RunInput{Org: org, Run: run})
}

func next(ctx workflow.Context, in activities.NextInput) (activities.NextResult, error) {
	return call[activities.NextResult](ctx, lookup, in.Org, fmt.Sprintf("list the next changes (%s)", in.Actions[0]), act.Next, in)
}

func confirm(ctx workflow.Context, in activities.ConfirmInput) (activities.ConfirmResult, error) {
	return call[activities.ConfirmResult](ctx, walk, in.Org, "read again before writing", act.Confirm, in)
}

// apply runs in the background: many are in flight.
func apply(ctx workflow.Context, p preset, org string, in activities.ChangeInput, line activities.Line) workflow.Future {
	return workflow.ExecuteActivity(p.options(ctx, org, line.Label), act.Apply, in)
}

func set(ctx workflow.Context, summary string, in activities.SetInput) (int, error) {
	return call[int](ctx, record, in.Org, summary, act.Set, in)
}

func verify(ctx workflow.Context, in activities.RunInput) (activities.VerifyResult, error) {
	return call[activities.VerifyResult](ctx, walk, in.Org, "read back what was changed", act.Verify, in)
}

func finish(ctx workflow.Context, in activities.FinishInput) (messages.RunSummary, error) {
	return call[messages.RunSummary](ctx, record, in.Org, "close the run", act.Finish, in)
}

func watch(ctx workflow.Context, in activities.WatchInput) (activities.WatchResult, error) {
	return call[activities.WatchResult](ctx, watching, in.Org, "watch for changes", act.Watch, in)
}

func answer(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	return call[messages.ReportAnswer](ctx, walk, in.Org, "look it up in the ledger", act.Answer, in)
}

func governBegin(ctx workflow.Context, org string) (activities.GovernStart, error) {
	return call[activities.GovernStart](ctx, lookup, org, "see under which policy", act.GovernBegin, org)
}

func govern(ctx workflow.Context, in activities.GovernInput, people int) (activities.SweepResult, error) {
	return call[activities.SweepResult](ctx, walk, in.Org, fmt.Sprintf("look at people from no. %d on", people+1), act.Govern, in)
}

func governEnd(ctx workflow.Context, in activities.GovernEndInput) (messages.Governance, error) {
	return call[messages.Governance](ctx, digest, in.Org, "make the report, compare it with the last, tell who wants to know", act.GovernEnd, in)
}

func keepSchedules(ctx workflow.Context, in activities.KeepSchedulesInput) error {
	return workflow.ExecuteActivity(lookup.options(ctx, in.Org, "keep the schedules that the policy names"), act.KeepSchedules, in).Get(ctx, nil)
}

func explainPerson(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	return call[messages.ReportAnswer](ctx, glance, in.Org, "decide "+in.Person+" and tell why", act.Explain, in)
}

func scopeInWords(s messages.Scope) string {
	switch {
	case len(s.People) == 1:
		return s.People[0]
	case len(s.People) > 0:
		return fmt.Sprintf("%d people", len(s.People))
	case len(s.Groups) == 1:
		return "the members of group " + s.Groups[0]
	case len(s.Groups) > 0:
		return fmt.Sprintf("the members of %d groups", len(s.Groups))
	case s.Kind == messages.ScopeGrants:
		return "grants"
	case s.Run != "":
		return s.Kind + " of run " + s.Run
	case s.Kind == messages.ScopeGroups:
		return "what groups there are"
	}
	return "everybody"
}
