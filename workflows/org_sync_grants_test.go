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
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

// desk is an organization's loop with the activities that grants need. A run of grants writes for ten seconds.
type desk struct {
	*loop
	open      int           // changes that there are to write for whoever asks
	planning  time.Duration // how long planning them takes
	writing   bool
	both      bool // a run of another scope wrote at the same time
	plans     []activities.AttendInput
	planned   []time.Duration // when
	told      []activities.AttendInput
	requested []activities.RequestGrantInput
	revoked   []activities.RevokeGrantInput
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{open: 1}
	d.loop = newLoop(t, func(l *loop) {
		for name, play := range map[string]any{
			"Attend": d.playAttend, "Attended": d.playAttended, "RequestGrant": d.playRequest, "RevokeGrant": d.playRevoke,
		} {
			l.env.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
		}
	})
	d.run = d.lending(func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		return ended(in), nil
	})
	d.env.OnActivity("Attend", mock.Anything, mock.Anything).AfterFn(func() time.Duration { return d.planning }).Return(d.playAttend)
	return d
}

func (d *desk) playAttended(_ context.Context, in activities.AttendInput) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, in)
	return len(in.Asks), nil
}

func (d *desk) playRequest(_ context.Context, in activities.RequestGrantInput) (messages.GrantAnswer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requested = append(d.requested, in)
	return messages.GrantAnswer{Message: "granted"}, nil
}

func (d *desk) playRevoke(_ context.Context, in activities.RevokeGrantInput) (messages.GrantAnswer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revoked = append(d.revoked, in)
	return messages.GrantAnswer{Message: "ended"}, nil
}

func (d *desk) playAttend(_ context.Context, in activities.AttendInput) (activities.AttendResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plans = append(d.plans, in)
	d.planned = append(d.planned, d.env.Now().Sub(begin).Truncate(time.Second))
	return activities.AttendResult{Plan: "sha256:lent", Open: d.open, Counts: messages.Counts{Adds: d.open}}, nil
}

// lending plays runs of grants, and leaves the others to somebody else.
func (d *desk) lending(others func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error)) func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error) {
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
func (d *desk) bulk(is *bool) func(bool) {
	return func(now bool) {
		*is = now
		d.both = d.both || now && d.writing
	}
}

// lentRuns are the runs of grants.
func (d *desk) lentRuns() (all []messages.ReconcileInput) {
	for _, in := range d.runs {
		if in.Scope.Kind == messages.ScopeGrants {
			all = append(all, in)
		}
	}
	return all
}

// asks is what the workflow of somebody's grant says.
func asks(person string, turn int) messages.AttendSignal {
	return messages.AttendSignal{
		Workflow: messages.GrantID(org, admin, person), Person: person, Email: person + "@acme.example", Target: admin, Turn: turn,
	}
}

func (d *desk) askAt(after time.Duration, person string, turn int) {
	d.signalAt(after, messages.Attend, asks(person, turn))
}

func whom(asks []messages.AttendSignal) (all []string) {
	for _, one := range asks {
		all = append(all, fmt.Sprintf("%s %d", one.Person, one.Turn))
	}
	return all
}

// All who ask while a run of grants writes are served by the next one, together.
func TestManyWhoAskAreOneRun(t *testing.T) {
	d := newDesk(t)
	d.askAt(time.Minute, "first", 1)
	for i := range 150 {
		d.askAt(time.Minute+time.Second+time.Duration(i)*time.Millisecond, fmt.Sprintf("p%03d", i), 1)
	}
	d.start(time.Hour)
	runs := d.lentRuns()
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

// A later question of the same grant takes the place of an earlier one.
func TestTheLastQuestionOfAGrantCounts(t *testing.T) {
	d := newDesk(t)
	d.askAt(time.Minute, "first", 1)
	d.askAt(time.Minute+time.Second, "a", 1)
	d.askAt(time.Minute+2*time.Second, "b", 1)
	d.askAt(time.Minute+3*time.Second, "a", 2)
	d.askAt(time.Minute+4*time.Second, "a", 3)
	d.start(time.Hour)
	require.Equal(t, []string{"a 3", "b 1"}, whom(d.lentRuns()[1].Asks))
	require.Len(t, d.lentRuns(), 2)
}

// Where there is nothing to write, who asked is told without a run.
func TestNothingToWriteIsAnsweredWithoutARun(t *testing.T) {
	d := newDesk(t)
	d.open = 0
	d.askAt(time.Minute, "a", 7)
	d.start(time.Hour)
	require.Empty(t, d.lentRuns())
	require.Len(t, d.told, 1)
	require.Equal(t, []string{"a 7"}, whom(d.told[0].Asks))
}

// In a run of grants removals go first, without a second look; who asked is told at the end.
func TestARunOfGrants(t *testing.T) {
	d := newDesk(t)
	d.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			return ended(in), nil
		}
		return workflows.Reconcile(ctx, in)
	}
	var order []access.Action
	d.env.OnActivity("Next", mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.NextInput) (activities.NextResult, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		order = append(order, in.Actions...)
		return activities.NextResult{Lines: []activities.Line{{Person: string(in.Actions[0]), Target: jira}}}, nil
	})
	d.env.OnActivity("Apply", mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ChangeInput) (activities.ChangeResult, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		order = append(order, access.Action("write "+in.Person))
		return activities.ChangeResult{State: access.Done}, nil
	})
	d.env.OnActivity("Verify", mock.Anything, mock.Anything).Return(activities.VerifyResult{Verified: 2}, nil)
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
func TestQuestionsSurviveAFreshHistory(t *testing.T) {
	carried := messages.OrgSyncState{
		Org: org, Policy: "p", Adopted: true, Settings: settings, NextFull: begin.Add(6 * time.Hour),
		Pending: messages.Pending{Grants: []messages.AttendSignal{asks("a", 1), asks("b", 4)}},
	}
	d := newDesk(t)
	d.startWith(messages.OrgSyncInput{State: &carried}, time.Minute)
	require.Equal(t, []time.Duration{0}, d.planned)
	require.Equal(t, []string{"a 1", "b 4"}, whom(d.lentRuns()[0].Asks))

	d = newDesk(t)
	d.planning = 3 * time.Second
	d.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	for i := range 20 {
		d.askAt(time.Minute+time.Duration(i-5)*time.Second, fmt.Sprintf("p%02d", i), 1)
	}
	state := d.renewed(messages.OrgSyncInput{Policy: json.RawMessage(`"first"`), By: "ana"})
	var served []string
	for _, in := range d.lentRuns() {
		served = append(served, whom(in.Asks)...)
	}
	served = append(served, whom(state.Pending.Grants)...)
	until := int(d.env.Now().Sub(begin.Add(time.Minute-5*time.Second)) / time.Second)
	require.GreaterOrEqual(t, len(served), min(20, until), "somebody who asked was forgotten")
	slices.Sort(served)
	require.Equal(t, served, slices.Compact(slices.Clone(served)), "somebody is served twice")
}

// A run of grants that is being written when a policy comes is not stopped.
func TestAPolicyDoesNotStopARunOfGrants(t *testing.T) {
	d := newDesk(t)
	d.askAt(10*time.Minute, "a", 1)
	applied := d.updateAt(10*time.Minute+5*time.Second, messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"second"`), By: "bo"})
	d.askAt(10*time.Minute+6*time.Second, "b", 1)
	d.start(time.Hour)
	require.NoError(t, applied.err)
	require.Len(t, d.lentRuns(), 2)
	require.Equal(t, `hash of "second"`, d.lentRuns()[1].Policy)
	require.Equal(t, `hash of "second"`, lastOf(d.runs).Policy)
}
