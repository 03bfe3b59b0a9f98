package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// policyError returns how Admit refuses a policy.
func policyError(message string) error {
	return temporal.NewApplicationErrorWithOptions(message, session.ErrPolicy,
		temporal.ApplicationErrorOptions{NonRetryable: true})
}

func TestOrgSyncPolicyOfTheInputIsAdmitted(t *testing.T) {
	l := newLoop(t)
	l.at(time.Minute, func() {
		state := l.status()
		require.Equal(t, `hash of "first"`, state.Policy)
		require.Equal(t, messages.StateOK, state.State)
		require.Equal(t, settings, state.Settings)
		require.NotNil(t, state.LastFull)
		require.Equal(t, begin.Add(6*time.Hour), state.NextFull.Truncate(time.Minute))
	})
	l.start(time.Hour)
	require.Len(t, l.admits, 1)
	require.Equal(t, reconcile.AdmitInput{Org: org, Policy: json.RawMessage(`"first"`), By: "ana"}, l.admits[0])
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
	require.Equal(t, "a policy was applied", l.runs[0].Trigger)
	require.Equal(t, "ana", l.runs[0].By)
	require.Equal(t, `hash of "first"`, l.runs[0].Policy)
	require.Equal(t, messages.OrgSyncID(org), l.runs[0].Parent)
}

func TestOrgSyncWorkflowIDThatIsNoOrganizationsIsRefused(t *testing.T) {
	l := newLoop(t)
	l.env.SetStartWorkflowOptions(startWithID("acme"))
	l.env.ExecuteWorkflow(messages.OrgSync, messages.OrgSyncInput{})
	require.ErrorContains(t, l.env.GetWorkflowError(), "org-sync:")
}

func TestOrgSyncPolicyComesByUpdate(t *testing.T) {
	l := newLoop(t)
	applied := l.updateAt(time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"by update"`), By: "bo"})
	l.at(30*time.Second, func() { require.Equal(t, messages.StateStarting, l.status().State) })
	l.startWith(messages.OrgSyncInput{}, time.Hour)
	contains(t, applied.message(t), `hash of \"by update\"`, "a full verification starts now", `"mappings":2`,
		`"targets":3`)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
	require.Equal(t, "bo", l.runs[0].By)
}

func TestOrgSyncPolicyComesBySignal(t *testing.T) {
	l := newLoop(t)
	l.signalAt(time.Minute, messages.ApplyPolicy, typed(`{"policy": {"version": 1}, "by": "bo"}`))
	l.at(2*time.Minute, func() { require.Equal(t, `hash of {"version":1}`, l.status().Policy) })
	l.startWith(messages.OrgSyncInput{}, time.Hour)
	require.Len(t, l.admits, 1)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
}

func TestOrgSyncSamePolicyAgainChangesNothing(t *testing.T) {
	l := newLoop(t)
	again := l.updateAt(time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"first"`), By: "bo"})
	l.start(time.Hour)
	contains(t, again.message(t), "nothing changes")
	require.Len(t, l.admits, 2)
	require.Len(t, l.runs, 1)
}

func TestOrgSyncSamePolicyAgainThatFindsSomebodyVerifiesEverybody(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		result := inForce(in, true)
		result.Rebound = len(l.admits) > 1
		return result, nil
	}
	again := l.updateAt(time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"first"`), By: "bo"})
	l.start(time.Hour)
	contains(t, again.message(t), "led to nobody have an account now")
	require.Len(t, l.runs, 2)
}

func TestOrgSyncBadPolicyAtTheStartThenAGoodOne(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		if string(in.Policy) == `"first"` {
			return reconcile.AdmitResult{},
				policyError("the policy does not fit organization acme: group eng is synced")
		}
		return inForce(in, true), nil
	}
	l.at(time.Minute, func() {
		state := l.status()
		require.Equal(t, messages.StateProblem, state.State)
		require.Equal(t, session.ErrPolicy, state.Problem.Kind)
		require.Contains(t, state.Problem.Message, "group eng is synced")
		require.Empty(t, state.Policy)
		require.Empty(t, l.runs)
	})
	good := l.updateAt(2*time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"good"`), By: "ana"})
	l.at(3*time.Minute, func() {
		require.Equal(t, messages.StateOK, l.status().State)
		require.Nil(t, l.status().Problem)
	})
	l.start(time.Hour)
	require.NoError(t, good.err)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
}

func TestOrgSyncRefusedFirstPolicyIsShown(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		if string(in.Policy) == `"evil"` {
			return reconcile.AdmitResult{}, policyError("organization id 1 is served as \"acme\" already")
		}
		return inForce(in, true), nil
	}
	refused := l.updateAt(time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"evil"`), By: "bo"})
	l.at(2*time.Minute, func() {
		state := l.status()
		require.Equal(t, messages.StateStarting, state.State)
		require.Equal(t, session.ErrPolicy, state.Problem.Kind)
		require.Contains(t, state.Problem.Message, "is served as")
		require.Zero(t, state.Problem.Retry)
	})
	l.signalAt(3*time.Minute, messages.Pause, typed(`{"by": "bo", "reason": "wait"}`))
	l.signalAt(4*time.Minute, messages.Resume, typed(`{"by": "bo"}`))
	l.at(5*time.Minute, func() { require.Zero(t, l.status().Problem.Retry, "there is nothing to try again") })
	l.updateAt(time.Hour, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"good"`), By: "bo"})
	l.at(61*time.Minute, func() {
		require.Nil(t, l.status().Problem)
		require.Equal(t, messages.StateOK, l.status().State)
	})
	l.startWith(messages.OrgSyncInput{}, 2*time.Hour)
	require.ErrorContains(t, refused.err, "is served as")
	require.Len(t, l.admits, 2)
}

// failed runs the loop until it ends by itself, and returns why.
func (l *loop) failed(in messages.OrgSyncInput) error {
	l.t.Helper()
	l.at(time.Hour, func() { require.Fail(l.t, "it goes on") })
	l.env.ExecuteWorkflow(messages.OrgSync, in)
	require.True(l.t, l.env.IsWorkflowCompleted())
	return l.env.GetWorkflowError()
}

// TestOrgSyncMistakeAtTheStartLeavesNothingBehind starts an organization for a policy that is not accepted.
func TestOrgSyncMistakeAtTheStartLeavesNothingBehind(t *testing.T) {
	misnamed := fatal(session.ErrMisnamed, "the policy is for organization \"acme\", this workflow for \"acne\"")
	t.Run("by starter apply", func(t *testing.T) {
		l := newLoop(t)
		l.admit = func(reconcile.AdmitInput) (reconcile.AdmitResult, error) {
			return reconcile.AdmitResult{}, policyError("there is no group eng")
		}
		refused := l.updateAt(0, messages.ApplyPolicy,
			messages.PolicyInput{Policy: json.RawMessage(`"evil"`), By: "bo"})
		require.ErrorContains(t, l.failed(messages.OrgSyncInput{By: "bo", EndIfRefused: true}), "there is no group eng")
		require.ErrorContains(t, refused.err, "there is no group eng")
	})
	t.Run("by hand, under another name", func(t *testing.T) {
		l := newLoop(t)
		l.admit = func(reconcile.AdmitInput) (reconcile.AdmitResult, error) { return reconcile.AdmitResult{}, misnamed }
		require.ErrorContains(t, l.failed(messages.OrgSyncInput{Policy: json.RawMessage(`"first"`)}),
			"this workflow for")
		require.Len(t, l.admits, 1)
	})
	t.Run("by hand, then by apply-policy", func(t *testing.T) {
		l := newLoop(t)
		l.admit = func(reconcile.AdmitInput) (reconcile.AdmitResult, error) { return reconcile.AdmitResult{}, misnamed }
		refused := l.updateAt(time.Minute, messages.ApplyPolicy,
			messages.PolicyInput{Policy: json.RawMessage(`"evil"`), By: "bo"})
		require.ErrorContains(t, l.failed(messages.OrgSyncInput{}), "this workflow for")
		require.ErrorContains(t, refused.err, "this workflow for")
	})
	t.Run("not where another policy comes", func(t *testing.T) {
		l := newLoop(t)
		l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
			if string(in.Policy) == `"evil"` {
				return reconcile.AdmitResult{}, misnamed
			}
			return inForce(in, true), nil
		}
		l.updateAt(0, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"evil"`), By: "bo"})
		l.updateAt(0, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"good"`), By: "bo"})
		l.at(time.Minute, func() { require.Equal(t, messages.StateOK, l.status().State) })
		l.updateAt(2*time.Minute, messages.ApplyPolicy,
			messages.PolicyInput{Policy: json.RawMessage(`"evil"`), By: "bo"})
		l.startWith(messages.OrgSyncInput{By: "bo", EndIfRefused: true}, time.Hour)
	})
}

// TestOrgSyncStatusHasWhatIsNoticedNow: as the policy was applied, as everybody was verified, and as a few people were
// looked at since.
func TestOrgSyncStatusHasWhatIsNoticedNow(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		result := inForce(in, true)
		result.Findings, result.Reported = []string{"eligible-group-unknown it-ops: …"}, 2
		return result, nil
	}
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			_ = workflow.Sleep(ctx, 10*time.Minute)
		}
		sum := ended(in)
		sum.Findings, sum.Reported = []string{"rules-fight group:vault: …"}, 1
		return sum, nil
	}
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{
			Counts:   messages.Counts{People: 1},
			Findings: []string{"name-changed carol@acme.example: …", "rules-fight group:vault: …"}, Reported: 2,
		}, nil
	}
	l.events = []watchEvent{touched(20*time.Minute, "c7", "x")}
	l.at(time.Minute, func() {
		require.Equal(t, []string{"eligible-group-unknown it-ops: …"}, l.status().Findings)
		require.Equal(t, 2, l.status().Reported)
		require.Contains(t, l.page(), "eligible-group-unknown")
	})
	l.at(15*time.Minute, func() { require.Equal(t, []string{"rules-fight group:vault: …"}, l.status().Findings) })
	l.at(time.Hour, func() {
		require.Equal(t, []string{"name-changed carol@acme.example: …", "rules-fight group:vault: …"},
			l.status().Findings)
		require.Equal(t, l.runs[0].Run, l.examines[0].Full, "what only a look at everybody can tell is repeated")
	})
	l.start(2 * time.Hour)
}

func TestOrgSyncRetiredOrganizationSaysSo(t *testing.T) {
	l := newLoop(t)
	l.admit = func(reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		return reconcile.AdmitResult{}, temporal.NewApplicationErrorWithOptions("organization acme was retired",
			session.ErrRetired, temporal.ApplicationErrorOptions{NonRetryable: true})
	}
	l.at(time.Minute, func() { require.Equal(t, messages.StateRetired, l.status().State) })
	l.start(time.Hour)
}

func TestOrgSyncBadPolicyLeavesTheGoodOneInForce(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		if string(in.Policy) == `"bad"` {
			return reconcile.AdmitResult{}, policyError("mapping eng: no target")
		}
		return inForce(in, true), nil
	}
	bad := l.updateAt(time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"bad"`), By: "bo"})
	l.at(2*time.Minute, func() {
		require.Equal(t, `hash of "first"`, l.status().Policy)
		require.Equal(t, messages.StateOK, l.status().State)
	})
	l.start(7 * time.Hour)
	require.ErrorContains(t, bad.err, "mapping eng: no target")
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull}, l.scopes(),
		"the schedule goes on under the good policy")
}

func TestOrgSyncEmptyPolicyIsRefusedBeforeItIsRecorded(t *testing.T) {
	l := newLoop(t)
	empty := l.updateAt(time.Minute, messages.ApplyPolicy, typed(`{"by": "bo"}`))
	strange := l.updateAt(time.Minute, messages.ApplyPolicy, typed(`{"policy": {}, "who": "bo"}`))
	l.start(time.Hour)
	require.ErrorContains(t, empty.rejected, "policy is missing")
	require.False(t, empty.accepted)
	require.ErrorContains(t, strange.rejected, `unknown field "who"`)
	require.Len(t, l.admits, 1)
}

func TestOrgSyncTwoPoliciesAtOnceAreTakenOneAfterTheOther(t *testing.T) {
	l := newLoop(t)
	second := l.updateAt(time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"second"`), By: "bo"})
	third := l.updateAt(time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"third"`), By: "cy"})
	l.start(time.Hour)
	require.NoError(t, second.err)
	require.NoError(t, third.err)
	require.Equal(t, `hash of "third"`, lastOf(l.runs).Policy)
}

// A run under the former policy must not write once another policy is in force.
func TestOrgSyncPolicyStopsTheRunUnderTheFormerOne(t *testing.T) {
	second := messages.PolicyInput{Policy: json.RawMessage(`"second"`), By: "bo"}
	for name, apply := range map[string]func(*loop){
		"by update": func(l *loop) { l.updateAt(10*time.Minute, messages.ApplyPolicy, second) },
		"by signal": func(l *loop) { l.signalAt(10*time.Minute, messages.ApplyPolicy, second) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			writing := map[string]bool{}
			l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				return gated(time.Hour, func(now bool) { writing[in.Policy] = now })(ctx, in)
			}
			apply(l)
			l.at(11*time.Minute, func() {
				require.False(t, writing[`hash of "first"`], "the former policy writes on")
				require.True(t, writing[`hash of "second"`])
			})
			l.start(2 * time.Hour)
			for _, in := range l.runs[1:] {
				require.Equal(t, `hash of "second"`, in.Policy, "no run starts under the former policy any more: %s",
					triggers(l.runs))
			}
		})
	}
}

func TestOrgSyncPolicyThatAsksForConsentSaysSo(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) { return inForce(in, false), nil }
	applied := l.updateAt(time.Minute, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"other"`), By: "bo"})
	l.events = []watchEvent{{after: 2 * time.Minute,
		result: reconcile.WatchResult{Mode: "events", Cursor: "c1", People: []string{"x"}}}}
	l.start(time.Hour)
	contains(t, applied.message(t), "held until you approve it")
	require.Empty(t, l.examines, "nobody is looked at before the first plan is approved")
}
