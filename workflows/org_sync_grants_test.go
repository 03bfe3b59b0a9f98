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

func TestGrantsGoAheadOfTheBackground(t *testing.T) {
	d := newDesk(t)
	bulk := false
	d.run = d.lending(gated(time.Hour, d.bulk(&bulk)))
	d.askAt(10*time.Minute, "a", 1)
	d.at(10*time.Minute-time.Second, func() { require.True(t, bulk) })
	d.at(10*time.Minute+5*time.Second, func() {
		require.True(t, d.writing)
		require.False(t, bulk, "the run in the background writes beside it")
	})
	d.at(11*time.Minute, func() { require.True(t, bulk, "the run in the background goes on afterwards") })
	d.start(20 * time.Minute)
	require.False(t, d.both)
}

// What the run in the background has in flight is waited for.
func TestGrantsWaitUntilTheBackgroundStandsAside(t *testing.T) {
	for _, paused := range []bool{false, true} {
		t.Run(fmt.Sprintf("paused %t", paused), func(t *testing.T) {
			d := newDesk(t)
			inFlight := true
			d.run = d.lending(func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				workflow.Go(ctx, func(ctx workflow.Context) {
					for {
						var gate messages.GateSignal
						workflow.GetSignalChannel(ctx, messages.Gate).Receive(ctx, &gate)
						if gate.Closed {
							_ = workflow.Await(ctx, func() bool { return !inFlight })
							_ = workflow.SignalExternalWorkflow(ctx, in.Parent, "", messages.Aside, messages.AsideSignal{Run: in.Run, Turn: gate.Turn}).Get(ctx, nil)
						}
					}
				})
				if in.Scope.Kind == messages.ScopeFull {
					_ = workflow.Sleep(ctx, 10*time.Minute+20*time.Second)
					inFlight = false
					_ = workflow.Sleep(ctx, 3*time.Hour)
				}
				return ended(in), nil
			})
			if paused {
				d.updateAt(10*time.Minute-time.Second, messages.Pause, messages.PauseInput{By: "ana"})
			}
			d.askAt(10*time.Minute, "a", 1)
			d.at(10*time.Minute+15*time.Second, func() { require.Empty(t, d.lentRuns(), "two runs write at once") })
			d.at(10*time.Minute+25*time.Second, func() { require.Len(t, d.lentRuns(), 1) })
			d.start(20 * time.Minute)
		})
	}
}

// Pausing never stops a revocation.
func TestGrantsAreAttendedToWhilePaused(t *testing.T) {
	pause := func(d *desk) { d.updateAt(10*time.Minute, messages.Pause, messages.PauseInput{By: "ana"}) }
	t.Run("and nothing runs", func(t *testing.T) {
		d := newDesk(t)
		pause(d)
		d.askAt(11*time.Minute, "a", 1)
		d.askAt(10*time.Hour, "a", 2)
		d.start(20 * time.Hour)
		require.Equal(t, []time.Duration{11 * time.Minute, 10 * time.Hour}, d.planned)
		require.Len(t, d.lentRuns(), 2)
		require.Equal(t, messages.StatePaused, d.status().State)
		require.Len(t, d.runs, 3, "nothing else runs")
	})
	t.Run("and the background waits", func(t *testing.T) {
		d := newDesk(t)
		bulk := false
		d.run = d.lending(gated(time.Hour, d.bulk(&bulk)))
		pause(d)
		d.askAt(11*time.Minute, "a", 1)
		d.at(11*time.Minute+5*time.Second, func() { require.True(t, d.writing) })
		d.at(5*time.Hour, func() { require.False(t, bulk, "a run of grants opened the gate of a paused organization") })
		d.updateAt(5*time.Hour, messages.Resume, messages.ResumeInput{By: "ana"})
		d.at(5*time.Hour+time.Minute, func() { require.True(t, bulk) })
		d.start(6 * time.Hour)
		require.False(t, d.both)
	})
	t.Run("and a person's run waits", func(t *testing.T) {
		d := newDesk(t)
		one := false
		d.examine = func(activities.ExamineInput) (activities.JudgeResult, error) {
			return activities.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
		}
		d.run = d.lending(func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
			if in.Scope.Kind == messages.ScopeFull {
				return ended(in), nil
			}
			return slow(time.Hour, d.bulk(&one))(ctx, in)
		})
		d.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
		pause(d)
		d.askAt(11*time.Minute, "a", 1)
		d.at(11*time.Minute+5*time.Second, func() { require.True(t, d.writing, "a paused person's run keeps a grant from being taken") })
		d.at(5*time.Hour, func() { require.False(t, one) })
		d.updateAt(5*time.Hour, messages.Resume, messages.ResumeInput{By: "ana"})
		d.at(5*time.Hour+time.Minute, func() { require.True(t, one) })
		d.start(6 * time.Hour)
		require.False(t, d.both)
	})
	t.Run("and the pause comes while they are", func(t *testing.T) {
		d := newDesk(t)
		d.askAt(10*time.Minute-5*time.Second, "a", 1)
		pause(d)
		d.at(10*time.Minute+time.Second, func() { require.True(t, d.writing) })
		d.start(time.Hour)
		require.Len(t, d.lentRuns(), 1)
	})
}

// A person's run stands aside for grants, and goes on after them.
func TestGrantsGoAheadOfAPersonsRun(t *testing.T) {
	d := newDesk(t)
	one := false
	d.examine = func(activities.ExamineInput) (activities.JudgeResult, error) {
		return activities.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	d.run = d.lending(func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			return ended(in), nil
		}
		return slow(10*time.Minute, d.bulk(&one))(ctx, in)
	})
	synced := d.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	d.askAt(6*time.Minute, "a", 1)
	d.at(6*time.Minute+5*time.Second, func() {
		require.True(t, d.writing)
		require.False(t, one)
	})
	d.at(7*time.Minute, func() { require.True(t, one) })
	d.start(30 * time.Minute)
	require.NoError(t, synced.err)
	require.True(t, synced.over)
	require.False(t, d.both)
}

func TestGrantsAreAttendedToWithAProblemOpen(t *testing.T) {
	d := newDesk(t)
	d.run = d.lending(func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		sum.State, sum.Problem = messages.RunStopped, &messages.Problem{Kind: activities.ErrKeyRefused, Message: "401"}
		return sum, nil
	})
	d.at(time.Hour, func() { require.Equal(t, messages.StateProblem, d.status().State) })
	d.askAt(time.Hour+17*time.Second, "a", 1)
	d.start(2 * time.Hour)
	require.Equal(t, []time.Duration{time.Hour + 17*time.Second}, d.planned)
	require.Len(t, d.lentRuns(), 1)
}

// Somebody else's long look keeps no grant waiting.
func TestGrantsAreAttendedToDuringALook(t *testing.T) {
	d := newDesk(t)
	d.looking = 5 * time.Minute
	synced := d.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	d.askAt(6*time.Minute, "a", 1)
	d.start(30 * time.Minute)
	require.Equal(t, []time.Duration{6 * time.Minute}, d.planned)
	require.True(t, synced.over)
	require.NoError(t, synced.err)
}

// What a look found is not written beside a run of grants.
func TestALookThatEndsWhileGrantsAreWritten(t *testing.T) {
	d := newDesk(t)
	one := false
	d.looking = 5 * time.Minute
	d.examine = func(activities.ExamineInput) (activities.JudgeResult, error) {
		return activities.JudgeResult{Open: 1, Counts: messages.Counts{Adds: 1}}, nil
	}
	d.run = d.lending(func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind == messages.ScopeFull {
			return ended(in), nil
		}
		return slow(time.Minute, d.bulk(&one))(ctx, in)
	})
	synced := d.updateAt(5*time.Minute, messages.SyncNow, messages.SyncNowInput{Person: "x"})
	d.askAt(10*time.Minute-5*time.Second, "a", 1)
	d.start(30 * time.Minute)
	require.Len(t, d.lentRuns(), 1)
	require.True(t, synced.over)
	require.NoError(t, synced.err)
	require.False(t, d.both, "two runs wrote at once")
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

var eve = messages.GrantInput{Person: "eve@acme.example", Target: admin, Reason: "INC-1", RequestedBy: "bo@acme.example"}

func TestAGrantIsAskedFor(t *testing.T) {
	d := newDesk(t)
	update := d.updateAt(time.Minute, messages.Grant, eve)
	named := eve
	named.RequestID = "INC-1"
	d.signalAt(2*time.Minute, messages.Grant, named)
	d.signalAt(3*time.Minute, messages.Grant, eve)
	d.signalAt(3*time.Minute, messages.Grant, eve)
	revoked := d.updateAt(4*time.Minute, messages.Revoke, messages.RevokeInput{Person: "eve@acme.example", Target: admin, RequestedBy: "bo@acme.example"})
	d.start(time.Hour)
	contains(t, update.message(t), "granted")
	contains(t, revoked.message(t), "ended")
	require.Len(t, d.requested, 4)
	require.Equal(t, "INC-1", d.requested[1].RequestID)
	ids := map[string]bool{}
	for _, in := range d.requested {
		require.NotEmpty(t, in.RequestID, "a retry of the activity would ask again")
		ids[in.RequestID] = true
	}
	require.Len(t, ids, 4, "two requests of one instant are two")
	require.Empty(t, d.status().Refused)
}

func TestRequestsThatAreRefused(t *testing.T) {
	changed := func(change func(*messages.GrantInput)) messages.GrantInput {
		in := eve
		change(&in)
		return in
	}
	for name, test := range map[string]struct {
		in  messages.GrantInput
		why string
	}{
		"nobody":   {changed(func(in *messages.GrantInput) { in.Person = "" }), "person is missing"},
		"nothing":  {changed(func(in *messages.GrantInput) { in.Target = "" }), "target is missing"},
		"by whom":  {changed(func(in *messages.GrantInput) { in.RequestedBy = "" }), "requestedBy is missing"},
		"long id":  {changed(func(in *messages.GrantInput) { in.RequestID = string(make([]byte, 101)) }), "at most 100"},
		"backward": {changed(func(in *messages.GrantInput) { in.Duration = -1 }), "it ends before it starts"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			update := d.updateAt(time.Minute, messages.Grant, test.in)
			d.signalAt(2*time.Minute, messages.Grant, test.in)
			d.start(time.Hour)
			require.ErrorContains(t, update.rejected, test.why)
			require.Empty(t, d.requested)
			require.Len(t, d.status().Refused, 1)
			contains(t, d.status().Refused[0].Why, test.why)
		})
	}
}

// Nothing is granted where nothing may be written; what was granted before still ends.
func TestGrantsAreRefusedWhereNothingIsWritten(t *testing.T) {
	for name, test := range map[string]struct {
		admit func(activities.AdmitInput) (activities.AdmitResult, error)
		why   string
	}{
		"no policy": {func(activities.AdmitInput) (activities.AdmitResult, error) {
			return activities.AdmitResult{}, fatal(activities.ErrPolicy, "line 3: no such key")
		}, "no policy is in force"},
		"not adopted": {func(in activities.AdmitInput) (activities.AdmitResult, error) { return inForce(in, false), nil }, "the first plan was not approved yet"},
		"dry run": {func(in activities.AdmitInput) (activities.AdmitResult, error) {
			result := inForce(in, true)
			result.Settings.DryRun = true
			return result, nil
		}, "dryRun"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.admit = test.admit
			update := d.updateAt(time.Minute, messages.Grant, eve)
			d.signalAt(2*time.Minute, messages.Grant, eve)
			revoked := d.updateAt(3*time.Minute, messages.Revoke, messages.RevokeInput{Request: "g1", RequestedBy: "bo@acme.example"})
			d.start(time.Hour)
			require.ErrorContains(t, update.rejected, test.why)
			require.Empty(t, d.requested)
			contains(t, d.status().Refused[0].Why, test.why)
			require.NoError(t, revoked.rejected)
			require.Len(t, d.revoked, 1)
		})
	}
}

// Signals that come at once after a start or a fresh history are heard.
func TestSignalsAtTheStartAreHeard(t *testing.T) {
	carried := messages.OrgSyncState{Org: org, Policy: "p", Adopted: true, Settings: settings, NextFull: begin.Add(6 * time.Hour)}
	for name, in := range map[string]messages.OrgSyncInput{
		"start": {Policy: json.RawMessage(`"first"`), By: "ana"}, "fresh history": {State: &carried},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.signalAt(0, messages.Revoke, messages.RevokeInput{Request: "g1", RequestedBy: "bo@acme.example"})
			d.askAt(0, "a", 1)
			d.signalAt(0, messages.Grant, eve)
			d.startWith(in, time.Hour)
			require.Len(t, d.revoked, 1)
			require.Equal(t, []string{"a 1"}, whom(d.lentRuns()[0].Asks))
			if in.State != nil {
				require.Len(t, d.requested, 1)
			}
			for _, r := range d.status().Refused {
				require.NotContains(t, r.Why, "there is no such signal")
			}
		})
	}
}
