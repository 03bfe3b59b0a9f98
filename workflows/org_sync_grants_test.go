package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

// grantsLoop is an organization's loop with the activities that grants need. A run of grants writes for ten seconds.
type grantsLoop struct {
	*loop
	look                 bool          // rules ask for grants
	open                 int           // changes that there are to write for whoever asks
	planning             time.Duration // how long planning them takes
	judging              time.Duration // how long judging a request takes
	judged, judgedAtMost int           // requests at the same time
	writing              bool
	both                 bool // a run of another scope wrote at the same time
	plans                []reconcile.AttendInput
	planned              []time.Duration // when
	told                 []reconcile.AttendInput
	requested            []grants.RequestGrantInput
	revoked              []grants.RevokeGrantInput
	decided              []grants.DecideGrantInput
	extended             []grants.ExtendGrantInput
	refuses              error // a decision
	codes                fakeCodes
}

func newGrantsLoop(t *testing.T) *grantsLoop {
	t.Helper()
	d := &grantsLoop{open: 1}
	d.loop = newLoop(t, func(l *loop) {
		d.codes.register(l.env)
		for name, play := range map[string]any{
			"Attend": d.playAttend, "Attended": d.playAttended, "RequestGrant": d.playRequest,
			"RevokeGrant": d.playRevoke,
			"DecideGrant": d.playDecision, "ExtendGrant": d.playExtend,
		} {
			l.env.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
		}
	})
	d.run = d.playGrantRuns(func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		return ended(in), nil
	})
	d.env.OnActivity("RequestGrant", mock.Anything, mock.Anything).AfterFn(d.judge).Return(d.playRequest)
	d.env.OnActivity("Attend", mock.Anything, mock.Anything).AfterFn(func() time.Duration { return d.planning }).Return(
		d.playAttend)
	return d
}

func (d *grantsLoop) playAttended(_ context.Context, in reconcile.AttendInput) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, in)
	return len(in.Asks), nil
}

// judge is called when the judging of a request begins.
func (d *grantsLoop) judge() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.judged++
	d.judgedAtMost = max(d.judgedAtMost, d.judged)
	return d.judging
}

func (d *grantsLoop) playRequest(_ context.Context, in grants.RequestGrantInput) (messages.GrantAnswer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.judged--
	d.requested = append(d.requested, in)
	return messages.GrantAnswer{Message: "granted"}, nil
}

func (d *grantsLoop) playRevoke(_ context.Context, in grants.RevokeGrantInput) (messages.GrantAnswer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revoked = append(d.revoked, in)
	return messages.GrantAnswer{Message: "ended"}, nil
}

func (d *grantsLoop) playDecision(_ context.Context, in grants.DecideGrantInput) (messages.GrantAnswer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decided = append(d.decided, in)
	return messages.GrantAnswer{Message: "noted"}, d.refuses
}

func (d *grantsLoop) playExtend(_ context.Context, in grants.ExtendGrantInput) (messages.GrantAnswer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.extended = append(d.extended, in)
	return messages.GrantAnswer{Message: "prolonged"}, nil
}

func (d *grantsLoop) playAttend(_ context.Context, in reconcile.AttendInput) (reconcile.AttendResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plans = append(d.plans, in)
	d.planned = append(d.planned, d.env.Now().Sub(begin).Truncate(time.Second))
	return reconcile.AttendResult{Plan: "sha256:lent", Open: d.open, Look: d.look,
		Counts: messages.Counts{Adds: d.open}}, nil
}

// playGrantRuns plays runs of grants, and leaves the others to somebody else.
func (d *grantsLoop) playGrantRuns(
	others func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error)) func(
	workflow.Context, messages.ReconcileInput) (messages.RunSummary, error) {
	return func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind != messages.ScopeGrants {
			return others(ctx, in)
		}
		d.writing = true
		err := workflow.Sleep(ctx, 10*time.Second)
		d.writing = false
		return ended(in), err
	}
}

// bulk notes when a run of another scope writes.
func (d *grantsLoop) bulk(is *bool) func(bool) {
	return func(now bool) {
		*is = now
		d.both = d.both || now && d.writing
	}
}

// grantRuns returns the runs of grants.
func (d *grantsLoop) grantRuns() (all []messages.ReconcileInput) {
	for _, in := range d.runs {
		if in.Scope.Kind == messages.ScopeGrants {
			all = append(all, in)
		}
	}
	return all
}

// asks returns what the workflow of somebody's grant says.
func asks(person string, turn int) messages.ReconcileGrantSignal {
	return messages.ReconcileGrantSignal{
		Workflow: messages.GrantID(org, admin, person), Person: person, Email: person + "@acme.example", Target: admin,
		Turn: turn,
	}
}

func (d *grantsLoop) askAt(after time.Duration, person string, turn int) {
	d.signalAt(after, messages.ReconcileGrant, asks(person, turn))
}

func whom(asks []messages.ReconcileGrantSignal) (all []string) {
	for _, one := range asks {
		all = append(all, fmt.Sprintf("%s %d", one.Person, one.Turn))
	}
	return all
}

// All who ask while a run of grants writes are served by the next one, together.
func TestOrgSyncManyRequestsAreOneRun(t *testing.T) {
	d := newGrantsLoop(t)
	d.askAt(time.Minute, "first", 1)
	for i := range 150 {
		d.askAt(time.Minute+time.Second+time.Duration(i)*time.Millisecond, fmt.Sprintf("p%03d", i), 1)
	}
	d.start(time.Hour)
	runs := d.grantRuns()
	require.Len(t, runs, 3)
	require.Equal(t, []int{1, 100, 50}, []int{len(runs[0].Asks), len(runs[1].Asks), len(runs[2].Asks)})
	seen := map[string]int{}
	for _, in := range runs {
		for _, one := range in.Asks {
			seen[one.Person]++
		}
	}
	require.Len(t, seen, 151, "nobody is left out, nobody is served twice")
	require.Equal(t, "first@acme.example", runs[0].Scope.People[0])
	require.Equal(t, d.plans[1].Run, runs[1].Run, "a run writes what was planned for it")
	require.Equal(t, "sha256:lent", runs[1].Progress.Run.Plan)
}

// Whoever waits for a group does not wait until a role is seen.
func TestOrgSyncRolesAreARunOfTheirOwn(t *testing.T) {
	d := newGrantsLoop(t)
	d.askAt(time.Minute, "first", 1)
	for i, target := range []access.Entitlement{jira, access.OrgAdmin, jira, access.OrgAdmin} {
		one := asks(fmt.Sprint(i), 1)
		one.Workflow, one.Target = messages.GrantID(org, target, one.Person), target
		d.signalAt(time.Minute+time.Second, messages.ReconcileGrant, one)
	}
	d.start(time.Hour)
	runs := d.grantRuns()
	require.Len(t, runs, 3)
	require.Equal(t, []string{"0 1", "2 1"}, whom(runs[1].Asks))
	require.Equal(t, []string{"1 1", "3 1"}, whom(runs[2].Asks))
}

// A later question of the same grant takes the place of an earlier one.
func TestOrgSyncLastQuestionOfAGrantCounts(t *testing.T) {
	d := newGrantsLoop(t)
	d.askAt(time.Minute, "first", 1)
	d.askAt(time.Minute+time.Second, "a", 1)
	d.askAt(time.Minute+2*time.Second, "b", 1)
	d.askAt(time.Minute+3*time.Second, "a", 2)
	d.askAt(time.Minute+4*time.Second, "a", 3)
	d.start(time.Hour)
	require.Equal(t, []string{"a 3", "b 1"}, whom(d.grantRuns()[1].Asks))
	require.Len(t, d.grantRuns(), 2)
}

// Where there is nothing to write, who asked is told without a run.
func TestOrgSyncNothingToWriteIsAnsweredWithoutARun(t *testing.T) {
	d := newGrantsLoop(t)
	d.open = 0
	d.askAt(time.Minute, "a", 7)
	d.start(time.Hour)
	require.Empty(t, d.grantRuns())
	require.Len(t, d.told, 1)
	require.Equal(t, []string{"a 7"}, whom(d.told[0].Asks))
}

// In a run of grants removals go first, without a second look; who asked is told at the end.
func TestOrgSyncRunOfGrants(t *testing.T) {
	d := newGrantsLoop(t)
	d.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			return ended(in), nil
		}
		return runWithin(ctx, in)
	}
	var order []access.Action
	d.env.OnActivity("Next", mock.Anything,
		mock.Anything).Return(func(_ context.Context, in apply.NextInput) (apply.NextResult, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		order = append(order, in.Actions...)
		return apply.NextResult{Lines: []apply.Line{{Person: string(in.Actions[0]), Target: jira}}}, nil
	})
	d.env.OnActivity("Apply", mock.Anything,
		mock.Anything).Return(func(_ context.Context, in apply.ChangeInput) (apply.ChangeResult, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		order = append(order, access.Action("write "+in.Person))
		return apply.ChangeResult{State: access.Done}, nil
	})
	d.env.OnActivity("Verify", mock.Anything, mock.Anything).Return(reconcile.VerifyResult{Verified: 2}, nil)
	d.askAt(time.Minute, "a", 7)
	d.at(2*time.Minute, func() {
		require.Len(t, d.told, 1)
		require.Equal(t, []string{"a 7"}, whom(d.told[0].Asks))
	})
	d.start(time.Hour)
	require.Equal(t, []access.Action{access.Remove, "write remove", access.Add, "write add"}, order)
	require.Len(t, d.told, 1)
}

// What was asked is carried, or done, when a history ends; nothing is lost between two.
func TestOrgSyncQuestionsSurviveAFreshHistory(t *testing.T) {
	carried := messages.OrgSyncState{
		Org: org, Policy: "p", Adopted: true, Settings: settings, NextFull: begin.Add(6 * time.Hour),
		Pending: messages.Pending{Grants: []messages.ReconcileGrantSignal{asks("a", 1), asks("b", 4)}},
	}
	d := newGrantsLoop(t)
	d.startWith(messages.OrgSyncInput{State: &carried}, time.Minute)
	require.Equal(t, []time.Duration{0}, d.planned)
	require.Equal(t, []string{"a 1", "b 4"}, whom(d.grantRuns()[0].Asks))

	d = newGrantsLoop(t)
	d.planning = 3 * time.Second
	d.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	for i := range 20 {
		d.askAt(time.Minute+time.Duration(i-5)*time.Second, fmt.Sprintf("p%02d", i), 1)
	}
	state := d.renewed(messages.OrgSyncInput{Policy: json.RawMessage(`"first"`), By: "ana"})
	var served []string
	for _, in := range d.grantRuns() {
		served = append(served, whom(in.Asks)...)
	}
	served = append(served, whom(state.Pending.Grants)...)
	until := int(d.env.Now().Sub(begin.Add(time.Minute-5*time.Second)) / time.Second)
	require.GreaterOrEqual(t, len(served), min(20, until), "somebody who asked was forgotten")
	slices.Sort(served)
	require.Equal(t, served, slices.Compact(slices.Clone(served)), "somebody is served twice")
}

// A stream of requests, of which one or another is always being judged, does not keep a history from its end: what
// comes then is handled by the next one.
func TestOrgSyncStreamOfRequestsDoesNotKeepAHistory(t *testing.T) {
	d := newGrantsLoop(t)
	d.judging = 3 * time.Second
	d.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	requests := 0
	for after := 30 * time.Second; after < 5*time.Minute; after += 500 * time.Millisecond {
		requests++
		d.signalAt(after, messages.Grant, messages.GrantInput{
			Person: "eve", Target: jira, RequestedBy: "eve", RequestID: after.String(),
			Duration: messages.Duration(time.Hour),
		})
	}
	state := d.renewed(messages.OrgSyncInput{Policy: json.RawMessage(`"first"`), By: "ana"})
	require.Less(t, d.env.Now().Sub(begin), time.Minute+20*time.Second, "it ended in the middle of the stream")
	require.NotEmpty(t, state.Kept)

	next := newGrantsLoop(t)
	next.env.SetStartTime(d.env.Now())
	next.startWith(messages.OrgSyncInput{State: &state}, time.Minute)
	var heard []string
	for _, in := range append(slices.Clone(d.requested), next.requested...) {
		heard = append(heard, in.RequestID)
	}
	came := int((d.env.Now().Sub(begin)-30*time.Second)/(500*time.Millisecond)) + 1
	require.InDelta(t, came, len(heard), 1, "every request that came was judged")
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(heard))), len(heard), "and none twice")
}

// A flood of requests is judged fifty at a time: a workflow may have only so many activities under way.
func TestOrgSyncFloodOfRequestsIsJudgedInParts(t *testing.T) {
	d := newGrantsLoop(t)
	d.judging = time.Second
	d.at(time.Minute, func() {
		for i := range 450 {
			d.env.SignalWorkflow(messages.Grant, messages.GrantInput{
				Person: "eve", Target: jira, RequestedBy: "eve", RequestID: fmt.Sprint(i),
				Duration: messages.Duration(time.Hour),
			})
		}
	})
	d.signalAt(time.Minute+time.Millisecond, messages.Pause, messages.PauseInput{By: "ana"})
	d.at(time.Minute+500*time.Millisecond, func() {
		require.Equal(t, messages.StatePaused, d.status().State, "nobody else waits for them")
		require.Len(t, d.status().Kept, 400)
	})
	d.start(time.Hour)
	require.Len(t, d.requested, 450)
	require.LessOrEqual(t, d.judgedAtMost, 50)
}

// While something takes too long, such as a request during an outage, the history goes on.
func TestOrgSyncHistoryDoesNotEndWhileARequestTakesLong(t *testing.T) {
	d := newGrantsLoop(t)
	d.judging = time.Minute
	d.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	for i := range 5 {
		d.signalAt(59*time.Second+time.Duration(i)*2*time.Second, messages.Grant, messages.GrantInput{
			Person: "eve", Target: jira, RequestedBy: "eve", RequestID: fmt.Sprint(i),
			Duration: messages.Duration(time.Hour),
		})
	}
	d.askAt(70*time.Second, "a", 1)
	state := d.renewed(messages.OrgSyncInput{Policy: json.RawMessage(`"first"`), By: "ana"})
	require.Empty(t, state.Kept)
	require.Len(t, d.requested, 5)
	require.Len(t, d.grantRuns(), 1)
	require.Equal(t, 70*time.Second, d.planned[0], "who waits for a grant is served meanwhile")
}

// A run of grants that is being written when a policy comes is not stopped.
func TestOrgSyncPolicyDoesNotStopARunOfGrants(t *testing.T) {
	d := newGrantsLoop(t)
	d.askAt(10*time.Minute, "a", 1)
	applied := d.updateAt(10*time.Minute+5*time.Second, messages.ApplyPolicy,
		messages.PolicyInput{Policy: json.RawMessage(`"second"`), By: "bo"})
	d.askAt(10*time.Minute+6*time.Second, "b", 1)
	d.start(time.Hour)
	require.NoError(t, applied.err)
	require.Len(t, d.grantRuns(), 2)
	require.Equal(t, `hash of "second"`, d.grantRuns()[1].Policy)
	require.Equal(t, `hash of "second"`, lastOf(d.runs).Policy)
}
