package act

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/reports"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// activity is empty: workflows only need the names of its methods.
var activity activities.Activities

// call runs an activity under a preset, with the summary that the Web UI shows.
func call[R any](ctx workflow.Context, p preset, org, summary string, do, in any) (R, error) {
	var result R
	err := workflow.ExecuteActivity(p.options(ctx, org, summary), do, in).Get(ctx, &result)
	return result, err
}

func Admit(ctx workflow.Context, in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
	return call[reconcile.AdmitResult](ctx, check, in.Org, "check the policy against the organization",
		activity.Reconcile.Admit, in)
}

func CheckDecider(ctx workflow.Context, org, by string) error {
	_, err := call[struct{}](ctx, identify, org, "see who "+by+" is", activity.Reconcile.CheckDecider,
		reconcile.DeciderInput{Org: org, By: by})
	return err
}

func Decide(ctx workflow.Context, in reconcile.DecideInput) (reconcile.DecideResult, error) {
	return call[reconcile.DecideResult](ctx, check, in.Org, fmt.Sprintf("%s %s by %s", in.Decision, in.Plan, in.By),
		activity.Reconcile.Decide, in)
}

func Standing(ctx workflow.Context, org, run string) (reconcile.StandingResult, error) {
	return call[reconcile.StandingResult](ctx, ledgerOfGrants, org,
		"look up what is held, and what run "+run+" noticed", activity.Reconcile.Standing,
		reconcile.StandingInput{Org: org, Run: run})
}

func Examine(ctx workflow.Context, in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
	return call[reconcile.JudgeResult](ctx, shortRead, in.Org, "look at "+DescribeScope(in.Scope),
		activity.Reconcile.Examine, in)
}

func RuleTime(ctx workflow.Context, in reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error) {
	return call[reconcile.RuleTimeResult](ctx, noticeBatch, in.Org, "tell whom rules hold for, see who is due",
		activity.Reconcile.RuleTime, in)
}

func Outline(ctx workflow.Context, in reconcile.OutlineInput) (reconcile.OutlineResult, error) {
	return call[reconcile.OutlineResult](ctx, pagedRead, in.Org, "read groups, sites and default roles",
		activity.Reconcile.Outline, in)
}

func Sweep(ctx workflow.Context, in reconcile.SweepInput, people int) (session.SweepResult, error) {
	return call[session.SweepResult](ctx, pagedRead, in.Org, fmt.Sprintf("read and decide people from no. %d on", people+1),
		activity.Reconcile.Sweep, in)
}

func Judge(ctx workflow.Context, in reconcile.JudgeInput) (reconcile.JudgeResult, error) {
	return call[reconcile.JudgeResult](ctx, pagedRead, in.Org, "check the evidence, ask the guard",
		activity.Reconcile.Judge, in)
}

func PlanUndo(ctx workflow.Context, in reconcile.UndoInput) (int, error) {
	return call[int](ctx, pagedRead, in.Org, "plan the inverse of run "+in.Of, activity.Reconcile.PlanUndo, in)
}

func FindRun(ctx workflow.Context, org, run string) (messages.RunSummary, error) {
	return call[messages.RunSummary](ctx, lookup, org, "look up run "+run, activity.Reconcile.FindRun,
		session.RunInput{Org: org, Run: run})
}

func Next(ctx workflow.Context, in apply.NextInput) (apply.NextResult, error) {
	return call[apply.NextResult](ctx, lookup, in.Org, fmt.Sprintf("list the next changes (%s)", in.Actions[0]),
		activity.Apply.Next, in)
}

func Confirm(ctx workflow.Context, in apply.ConfirmInput) (reconcile.ConfirmResult, error) {
	return call[reconcile.ConfirmResult](ctx, pagedRead, in.Org, "read again before writing", activity.Reconcile.Confirm, in)
}

// Apply starts one change; many are in flight. Those for grants are more urgent, since somebody waits for them.
func Apply(ctx workflow.Context, org string, in apply.ChangeInput, line apply.Line) workflow.Future {
	p := write
	if in.Now {
		p = grantChange
	}
	return workflow.ExecuteActivity(p.options(ctx, org, line.Label), activity.Apply.Apply, in)
}

// ApplySeveral starts several changes, of which one activity makes one after another. It is not tried again: those that
// were not made are left to Apply.
func ApplySeveral(ctx workflow.Context, in apply.ChangesInput, lines []apply.Line) workflow.Future {
	summary := fmt.Sprintf("%d changes, from: %s", len(lines), lines[0].Label)
	return workflow.ExecuteActivity(severalWrites.options(ctx, in.Org, summary), activity.Apply.ApplySeveral, in)
}

func Set(ctx workflow.Context, summary string, in reconcile.SetInput) (int, error) {
	return call[int](ctx, record, in.Org, summary, activity.Reconcile.Set, in)
}

func Verify(ctx workflow.Context, in session.RunInput) (reconcile.VerifyResult, error) {
	return call[reconcile.VerifyResult](ctx, pagedRead, in.Org, "read back what was changed", activity.Reconcile.Verify, in)
}

func CloseEnded(ctx workflow.Context, in session.RunInput, unseen int) (apply.EndedResult, error) {
	return call[apply.EndedResult](ctx, pagedRead, in.Org,
		fmt.Sprintf("see whether %d things that were not shown are over", unseen), activity.Reconcile.CloseEnded, in)
}

func Finish(ctx workflow.Context, in reconcile.FinishInput) (messages.RunSummary, error) {
	return call[messages.RunSummary](ctx, record, in.Org, "close the run", activity.Reconcile.Finish, in)
}

func Watch(ctx workflow.Context, in reconcile.WatchInput) (reconcile.WatchResult, error) {
	return call[reconcile.WatchResult](ctx, feedWatchEvery(in.Every.Std()), in.Org, "watch for changes",
		activity.Reconcile.Watch, in)
}

func Answer(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	return call[messages.ReportAnswer](ctx, pagedRead, in.Org, "look it up in the ledger", activity.Reports.Answer, in)
}

func GovernBegin(ctx workflow.Context, org string) (reports.GovernStart, error) {
	return call[reports.GovernStart](ctx, lookup, org, "see under which policy", activity.Reports.GovernBegin, org)
}

func Govern(ctx workflow.Context, in reports.GovernInput, people int) (session.SweepResult, error) {
	return call[session.SweepResult](ctx, pagedRead, in.Org, fmt.Sprintf("look at people from no. %d on", people+1),
		activity.Reports.Govern, in)
}

func GovernEnd(ctx workflow.Context, in reports.GovernEndInput) (messages.Governance, error) {
	return call[messages.Governance](ctx, noticeBatch, in.Org,
		"make the report, compare it with the last, tell who wants to know", activity.Reports.GovernEnd, in)
}

func KeepSchedules(ctx workflow.Context, in reconcile.KeepSchedulesInput) error {
	_, err := call[struct{}](ctx, lookup, in.Org, "keep the schedules that the policy names",
		activity.Reconcile.KeepSchedules, in)
	return err
}

func Explain(ctx workflow.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	return call[messages.ReportAnswer](ctx, shortRead, in.Org, "decide "+in.Person+" and tell why",
		activity.Reports.Explain, in)
}

// DescribeScope describes whom a run is about.
func DescribeScope(s messages.Scope) string {
	switch {
	case len(s.People) == 1:
		return s.People[0]
	case len(s.People) > 0:
		return fmt.Sprintf("%d people", len(s.People))
	case len(s.Groups) == 1:
		return "the members of group " + s.Groups[0]
	case len(s.Groups) > 0:
		return fmt.Sprintf("the members of %d groups", len(s.Groups))
	case s.Kind == messages.ScopeProvision && len(s.Identities) > 0:
		return fmt.Sprintf("%d people of provision %s", len(s.Identities), s.Provision)
	case s.Kind == messages.ScopeProvision:
		return "provision " + s.Provision
	case s.Kind == messages.ScopeGrants:
		return "grants"
	case s.Run != "":
		return s.Kind + " of run " + s.Run
	case s.Kind == messages.ScopeGroups:
		return "what groups there are"
	}
	return "everybody"
}
