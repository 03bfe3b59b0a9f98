package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// policyError is how Admit refuses a policy.
func policyError(message string) error {
	return temporal.NewApplicationErrorWithOptions(message, activities.ErrPolicy, temporal.ApplicationErrorOptions{NonRetryable: true})
}

func TestTheInputsPolicyIsTakenIntoForceAndEverybodyIsVerified(t *testing.T) {
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
	require.Equal(t, activities.AdmitInput{Org: org, Policy: json.RawMessage(`"first"`), By: "ana"}, l.admits[0])
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
	require.Equal(t, "a policy was applied", l.runs[0].Trigger)
	require.Equal(t, "ana", l.runs[0].By)
	require.Equal(t, `hash of "first"`, l.runs[0].Policy)
	require.Equal(t, messages.OrgSyncID(org), l.runs[0].Parent)
}

func TestAWorkflowIDThatIsNoOrganizationsIsRefused(t *testing.T) {
	l := newLoop(t)
	l.env.SetStartWorkflowOptions(startWithID("acme"))
	l.env.ExecuteWorkflow(messages.OrgSync, messages.OrgSyncInput{})
	require.ErrorContains(t, l.env.GetWorkflowError(), "org-sync:")
}

func TestAPolicyComesByUpdate(t *testing.T) {
	l := newLoop(t)
	applied := l.updateAt(time.Minute, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"by update"`), By: "bo"})
	l.at(30*time.Second, func() { require.Equal(t, messages.StateStarting, l.status().State) })
	l.startWith(messages.OrgSyncInput{}, time.Hour)
	contains(t, applied.message(t), `hash of \"by update\"`, "a full verification starts now", `"mappings":2`, `"targets":3`)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
	require.Equal(t, "bo", l.runs[0].By)
}

func TestAPolicyComesBySignal(t *testing.T) {
	l := newLoop(t)
	l.signalAt(time.Minute, messages.ApplyPolicy, typed(`{"policy": {"version": 1}, "by": "bo"}`))
	l.at(2*time.Minute, func() { require.Equal(t, `hash of {"version":1}`, l.status().Policy) })
	l.startWith(messages.OrgSyncInput{}, time.Hour)
	require.Len(t, l.admits, 1)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
}

func TestTheSamePolicyAgainChangesNothing(t *testing.T) {
	l := newLoop(t)
	again := l.updateAt(time.Minute, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"first"`), By: "bo"})
	l.start(time.Hour)
	contains(t, again.message(t), "nothing changes")
	require.Len(t, l.admits, 2)
	require.Len(t, l.runs, 1)
}

func TestABadPolicyAtTheStartThenAGoodOne(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in activities.AdmitInput) (activities.AdmitResult, error) {
		if string(in.Policy) == `"first"` {
			return activities.AdmitResult{}, policyError("the policy does not fit organization acme: group eng is synced")
		}
		return inForce(in, true), nil
	}
	l.at(time.Minute, func() {
		state := l.status()
		require.Equal(t, messages.StateProblem, state.State)
		require.Equal(t, activities.ErrPolicy, state.Problem.Kind)
		require.Contains(t, state.Problem.Message, "group eng is synced")
		require.Empty(t, state.Policy)
		require.Empty(t, l.runs)
	})
	good := l.updateAt(2*time.Minute, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"good"`), By: "ana"})
	l.at(3*time.Minute, func() {
		require.Equal(t, messages.StateOK, l.status().State)
		require.Nil(t, l.status().Problem)
	})
	l.start(time.Hour)
	require.NoError(t, good.err)
	require.Equal(t, []string{messages.ScopeFull}, l.scopes())
}

func TestABadPolicyLeavesTheGoodOneInForce(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in activities.AdmitInput) (activities.AdmitResult, error) {
		if string(in.Policy) == `"bad"` {
			return activities.AdmitResult{}, policyError("mapping eng: no target")
		}
		return inForce(in, true), nil
	}
	bad := l.updateAt(time.Minute, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"bad"`), By: "bo"})
	l.at(2*time.Minute, func() {
		require.Equal(t, `hash of "first"`, l.status().Policy)
		require.Equal(t, messages.StateOK, l.status().State)
	})
	l.start(7 * time.Hour)
	require.ErrorContains(t, bad.err, "mapping eng: no target")
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull}, l.scopes(), "the schedule goes on under the good policy")
}

func TestAnEmptyPolicyIsRefusedBeforeItIsRecorded(t *testing.T) {
	l := newLoop(t)
	empty := l.updateAt(time.Minute, messages.ApplyPolicy, typed(`{"by": "bo"}`))
	strange := l.updateAt(time.Minute, messages.ApplyPolicy, typed(`{"policy": {}, "who": "bo"}`))
	l.start(time.Hour)
	require.ErrorContains(t, empty.rejected, "policy is missing")
	require.False(t, empty.accepted)
	require.ErrorContains(t, strange.rejected, `unknown field "who"`)
	require.Len(t, l.admits, 1)
}

func TestTwoPoliciesAtOnceAreTakenOneAfterTheOther(t *testing.T) {
	l := newLoop(t)
	second := l.updateAt(time.Minute, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"second"`), By: "bo"})
	third := l.updateAt(time.Minute, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"third"`), By: "cy"})
	l.start(time.Hour)
	require.NoError(t, second.err)
	require.NoError(t, third.err)
	require.Equal(t, `hash of "third"`, lastOf(l.runs).Policy)
}

// A run under the former policy must not write once another policy is in force.
func TestAPolicyStopsTheRunUnderTheFormerOne(t *testing.T) {
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
				require.Equal(t, `hash of "second"`, in.Policy, "no run starts under the former policy any more: %s", triggers(l.runs))
			}
		})
	}
}

func TestAPolicyThatAsksForConsentSaysSo(t *testing.T) {
	l := newLoop(t)
	l.admit = func(in activities.AdmitInput) (activities.AdmitResult, error) { return inForce(in, false), nil }
	applied := l.updateAt(time.Minute, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"other"`), By: "bo"})
	l.events = []event{{after: 2 * time.Minute, result: activities.WatchResult{Mode: "events", Cursor: "c1", People: []string{"x"}}}}
	l.start(time.Hour)
	contains(t, applied.message(t), "held until you approve it")
	require.Empty(t, l.examines, "nobody is looked at before the first plan is approved")
}
