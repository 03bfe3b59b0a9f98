package workflows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

const held = "sha256:aaaa"

// adoption decides on the first plan.
func adoption(in reconcile.DecideInput) (reconcile.DecideResult, error) {
	return reconcile.DecideResult{Hold: messages.Hold{Plan: in.Plan, Run: "held-run", Adds: 2, Removals: 3},
		Adoption: true}, nil
}

func TestOrgSyncHeldPlanIsShownWithTheCommandsToType(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	l.at(time.Minute, func() {
		require.Equal(t, messages.StateHeld, l.status().State)
		contains(t, l.page(),
			"## acme is held", "2 adds and 3 removals for 4 people are held since 2026-03-02 09:00:00 UTC",
			"- run-removals: too many",
			"    temporal workflow update execute \\\n      --workflow-id org-sync:acme \\\n      --name approve-plan \\\n      --input '{\"plan\":\"sha256:aaaa\",\"by\":\"you@example.com\",\"note\":\"\"}'",
			"    temporal workflow update execute \\\n      --workflow-id org-sync:acme \\\n      --name reject-plan \\\n      --input '{\"plan\":\"sha256:aaaa\",\"by\":\"you@example.com\",\"note\":\"\"}'")
	})
	l.start(time.Hour)
}

func TestOrgSyncHeldPlanIsReleasedByUpdate(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	approved := l.updateAt(time.Minute, messages.ApprovePlan,
		messages.DecisionInput{Plan: held, By: "carol", Note: "CHG-12"})
	l.at(2*time.Minute, func() {
		require.Nil(t, l.status().Hold)
		require.Equal(t, messages.StateOK, l.status().State)
	})
	l.start(time.Hour)
	contains(t, approved.message(t), "released: 0 adds, 3 removals")
	require.Equal(t, []reconcile.DecideInput{
		{Org: org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: held, By: "carol", Note: "CHG-12"}}}, l.decides)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeHold}, l.scopes())
	run := l.runs[1]
	require.Equal(t, "held-run", run.Run)
	require.Equal(t, messages.Scope{Kind: messages.ScopeHold, Run: "held-run", Plan: held}, run.Scope)
	require.Equal(t, "carol", run.By)
	require.Contains(t, run.Trigger, "CHG-12")
}

func TestOrgSyncHeldPlanIsReleasedBySignal(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	l.signalAt(time.Minute, messages.ApprovePlan, typed(`{"plan":"sha256:aaaa","by":"carol@acme.example"}`))
	l.start(time.Hour)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeHold}, l.scopes())
	require.Equal(t, "carol@acme.example", l.decides[0].By)
}

func TestOrgSyncFirstPlansApprovalIsTheAdoption(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) { return inForce(in, false), nil }
	adopting := true
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if adopting {
			return holding(held)(ctx, in)
		}
		return ended(in), nil
	}
	l.decide = func(in reconcile.DecideInput) (reconcile.DecideResult, error) {
		adopting = false
		return adoption(in)
	}
	l.at(time.Minute, func() { require.False(t, l.status().Adopted) })
	approved := l.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.at(2*time.Minute, func() { require.True(t, l.status().Adopted) })
	l.start(time.Hour)
	require.NoError(t, approved.err)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeHold, messages.ScopeFull}, l.scopes(),
		"after the adoption everybody is looked at again")
}

func TestOrgSyncDecisionsOnOtherPlansAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		decision messages.DecisionInput
		want     string
	}{
		"wrong hash": {messages.DecisionInput{Plan: "sha256:bbbb", By: "carol"},
			"the plan that is held now is sha256:aaaa (2 adds, 3 removals)"},
		"no hash":      {messages.DecisionInput{By: "carol"}, "plan is missing"},
		"no hash form": {messages.DecisionInput{Plan: "aaaa", By: "carol"}, "plan is missing"},
		"nobody":       {messages.DecisionInput{Plan: held}, "by is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			l.run = holding(held)
			approved := l.updateAt(time.Minute, messages.ApprovePlan, c.decision)
			rejected := l.updateAt(time.Minute, messages.RejectPlan, c.decision)
			l.signalAt(2*time.Minute, messages.ApprovePlan, c.decision)
			l.at(3*time.Minute, func() {
				require.Equal(t, held, l.status().Hold.Plan)
				require.Len(t, l.status().Refused, 1, "a signal is refused where people see it")
				require.Contains(t, l.status().Refused[0].Why, c.want)
				require.Contains(t, l.page(), "### Signals that were not accepted")
			})
			l.start(time.Hour)
			require.ErrorContains(t, approved.rejected, c.want)
			require.ErrorContains(t, rejected.rejected, c.want)
			require.Empty(t, l.decides)
		})
	}
}

func TestOrgSyncDecisionWithoutAHoldIsRefused(t *testing.T) {
	l := newLoop(t)
	approved := l.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.start(time.Hour)
	require.ErrorContains(t, approved.rejected, "nothing is held")
}

func TestOrgSyncRejectedPlanIsNotMade(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	rejected := l.updateAt(time.Minute, messages.RejectPlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.at(2*time.Minute, func() {
		require.Nil(t, l.status().Hold)
		require.Nil(t, l.status().Paused)
		require.Equal(t, messages.StateOK, l.status().State)
	})
	l.start(time.Hour)
	contains(t, rejected.message(t), "the 3 changes are not made, and not raised again")
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
}

func TestOrgSyncRejectingTheFirstPlanPauses(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) { return inForce(in, false), nil }
	l.run = holding(held)
	l.decide = adoption
	rejected := l.updateAt(time.Minute, messages.RejectPlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.at(2*time.Minute, func() {
		require.Equal(t, messages.StatePaused, l.status().State)
		require.Equal(t, "carol", l.status().Paused.By)
		require.Contains(t, l.page(), "--name resume")
	})
	l.start(30 * time.Hour)
	contains(t, rejected.message(t), "paused")
	require.Equal(t, []string{messages.ScopeFull}, l.scopes(), "nothing runs while the organization is paused")
}

func TestOrgSyncDecisionTheLedgerRefusesLeavesTheHoldOpen(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	l.decide = func(reconcile.DecideInput) (reconcile.DecideResult, error) {
		return reconcile.DecideResult{}, temporal.NewApplicationErrorWithOptions("no hold is open for this plan",
			session.ErrNotOpen, temporal.ApplicationErrorOptions{NonRetryable: true})
	}
	approved := l.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.at(2*time.Minute, func() { require.NotNil(t, l.status().Hold) })
	l.start(time.Hour)
	require.ErrorContains(t, approved.err, "no hold is open for this plan")
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
}

func TestOrgSyncTwoApprovalsAtOnceReleaseOnce(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	one := l.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	two := l.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "dave"})
	l.start(time.Hour)
	require.True(t, one.over && two.over)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeHold}, l.scopes())
}

func TestOrgSyncApprovingStopsTheFullRunAndStartsItAgainAfterwards(t *testing.T) {
	for name, approve := range map[string]func(*loop){
		"by update": func(l *loop) {
			l.updateAt(10*time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
		},
		"by signal": func(l *loop) {
			l.signalAt(10*time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			long := gated(time.Hour, func(bool) {})
			l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				if len(l.runs) == 1 {
					_, _ = holding(held)(ctx, in)
				}
				return long(ctx, in)
			}
			l.at(time.Minute, func() {
				require.Equal(t, held, l.status().Hold.Plan,
					"a hold is shown while its run still writes")
			})
			approve(l)
			l.start(12 * time.Hour)
			require.Equal(t, []string{messages.ScopeFull, messages.ScopeHold, messages.ScopeFull}, l.scopes()[:3],
				triggers(l.runs))
		})
	}
}

// A decision taken while the run that was judged still writes must not be undone by that run's own summary.
func TestOrgSyncDecidedHoldDoesNotComeBack(t *testing.T) {
	for _, decision := range []string{messages.RejectPlan, messages.ApprovePlan} {
		t.Run(decision+" while touched people are verified", func(t *testing.T) {
			l := newLoop(t)
			l.events = []watchEvent{touched(time.Minute, "c1", "x")}
			hold := &messages.Hold{Plan: held, Run: "held-run", Removals: 1, People: 1}
			l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
				return reconcile.JudgeResult{Open: 1, Hold: hold,
					Counts: messages.Counts{Adds: 1, Removals: 1, Held: 1}}, nil
			}
			l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				sum := ended(in)
				if in.Scope.Kind == messages.ScopePeople {
					verifying := sum
					verifying.State, verifying.Hold = messages.RunVerifying, hold
					tell(ctx, in, verifying, false)
					if err := workflow.Sleep(ctx, 5*time.Minute); err != nil {
						return sum, err
					}
					sum.Hold = hold
				}
				return sum, nil
			}
			l.at(2*time.Minute, func() { require.Equal(t, held, l.status().Hold.Plan) })
			l.updateAt(3*time.Minute, decision, messages.DecisionInput{Plan: held, By: "carol"})
			l.at(4*time.Minute, func() { require.Nil(t, l.status().Hold) })
			l.at(30*time.Minute, func() { require.Nil(t, l.status().Hold, "what was decided is held again") })
			l.start(time.Hour)
		})
		t.Run(decision+" while the full run writes", func(t *testing.T) {
			l := newLoop(t)
			first := true
			l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				if !first {
					return ended(in), nil
				}
				first = false
				sum, _ := holding(held)(ctx, in)
				for range 3 { // as a run does it: after judging, after adopting, before verifying
					tell(ctx, in, sum, false)
					if workflow.Sleep(ctx, 5*time.Minute) != nil {
						sum.State = messages.RunStopped
						return sum, nil
					}
				}
				return sum, nil
			}
			l.updateAt(3*time.Minute, decision, messages.DecisionInput{Plan: held, By: "carol"})
			l.at(7*time.Minute, func() { require.Nil(t, l.status().Hold, "what was decided is held again") })
			l.at(30*time.Minute, func() { require.Nil(t, l.status().Hold, "what was decided is held again") })
			l.start(time.Hour)
		})
	}
}

func TestOrgSyncLongPageIsCutForTheServer(t *testing.T) {
	l := newLoop(t)
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		for i := range 20 {
			sum.Findings = append(sum.Findings, fmt.Sprintf("%02d %s", i, strings.Repeat("größer ", 200)))
		}
		return sum, nil
	}
	l.at(time.Minute, func() {
		page := l.page()
		require.LessOrEqual(t, len(page), 20_000)
		require.Contains(t, page, "cut; the status query has all of it")
	})
	l.start(time.Hour)
}
