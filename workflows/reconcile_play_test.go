package workflows_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

// planLine is one line of the played plan.
type planLine struct {
	person  string
	target  access.Entitlement
	action  access.Action
	guarded bool
	waited  bool               // for a decision, which released it
	state   access.ChangeState // planned when empty
	answer  access.ChangeState // what writing it comes to; done when empty
	closed  bool               // the target takes no more
	err     error              // or how writing it fails
	takes   time.Duration      // a second when zero
	read    time.Time          // when it was confirmed last
}

// runTest plays the activities of one Reconcile over a plan in memory.
type runTest struct {
	t   *testing.T
	env *testsuite.TestWorkflowEnvironment

	blocks int // of the sweep; 1 when zero
	hold   *messages.Hold
	plan   []*planLine
	stale  []string         // people whose lines the fresh read no longer asks for
	unseen int              // how many reads back do not show the writes yet
	fail   map[string]error // activities that fail, by name
	missed int              // how much is on the books that the sweep did not show

	together bool  // several changes are made by one activity
	several  []int // how many each of those was asked for

	mu               sync.Mutex
	calls            []string // every activity that was started, in order; changes by what they do
	at               map[string]time.Time
	finished         []reconcile.FinishInput
	sets             []reconcile.SetInput
	confirms         []apply.ConfirmInput
	sweeps           []reconcile.SweepInput
	inFlight         int
	most             int // writes at once
	guarded          int
	mostWhileGuarded int // writes at once while a guarded one was under way, itself included
	told             []messages.ProgressSignal
	asides           []messages.WritesPausedSignal
	input            messages.ReconcileInput
}

func newRunTest(t *testing.T, plan ...*planLine) *runTest {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	r := &runTest{t: t, env: suite.NewTestWorkflowEnvironment(), plan: plan, fail: map[string]error{},
		at: map[string]time.Time{}}
	for _, l := range plan {
		l.state = cmp.Or(l.state, access.Planned)
		l.answer = cmp.Or(l.answer, access.Done)
		l.takes = cmp.Or(l.takes, time.Second)
	}
	r.input = messages.ReconcileInput{
		Org: org, Run: "r1", Policy: "p", Trigger: "on schedule", Scope: messages.Scope{Kind: messages.ScopeFull},
		Settings: settings, Parent: messages.OrgSyncID(org),
	}
	r.env.SetStartTime(begin)
	patientChild(r.env, messages.OrgSyncID(org))
	r.startAs(messages.ReconcileID(org, "r1"))
	r.env.RegisterWorkflowWithOptions(workflows.Reconcile, workflow.RegisterOptions{Name: messages.Reconcile})
	r.register("Outline", r.playOutline)
	r.register("Sweep", r.playSweep)
	r.register("Judge", r.playJudge)
	r.register("PlanUndo", r.playPlanUndo)
	r.register("Next", r.playNext)
	r.register("Set", r.playSet)
	r.register("Confirm", r.playConfirm)
	r.register("Verify", r.playVerify)
	r.register("CloseEnded", func(context.Context, session.RunInput) (apply.EndedResult, error) {
		return apply.EndedResult{Calls: 7}, r.fail["CloseEnded"]
	})
	r.register("Finish", r.playFinish)
	r.register("Apply", func(context.Context, apply.ChangeInput) (apply.ChangeResult, error) { panic("mocked") })
	r.register("ApplySeveral", r.playSeveral)
	var records *provisioning.Activities // a test says what they come to
	for _, one := range []any{records.ReadRecords, records.DecideRecords, records.JudgeRecords, records.VerifyRecords} {
		r.env.RegisterActivity(one)
	}
	r.env.OnActivity("Apply", mock.Anything, mock.Anything).AfterFn(r.beginWrite).Return(r.playApply)
	r.env.SetOnActivityStartedListener(r.note)
	r.env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.RunProgress,
		mock.Anything).Return(
		func(_, _, _, _ string, arg any) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.told = append(r.told, arg.(messages.ProgressSignal))
			return nil
		}).Maybe()
	r.env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.WritesPaused,
		mock.Anything).Return(
		func(_, _, _, _ string, arg any) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			require.Zero(t, r.inFlight, "it says that it stands aside while it writes")
			r.asides = append(r.asides, arg.(messages.WritesPausedSignal))
			return nil
		}).Maybe()
	return r
}

// playSeveral makes the changes up to the first that fails, if the test has changes made together; otherwise none.
func (r *runTest) playSeveral(_ context.Context, in apply.ChangesInput) (results []apply.ChangeResult, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.several = append(r.several, len(in.Lines))
	closed := map[access.Entitlement]bool{}
	for _, one := range in.Lines {
		switch l := r.line(apply.ChangeInput{Person: one.Person, Target: one.Target}); {
		case !r.together || l.err != nil:
			return results, nil
		case closed[l.target]:
			results = append(results, apply.ChangeResult{})
		default:
			require.Equal(r.t, access.Planned, l.state, "%s is written though it is not planned", l.person)
			l.state, closed[l.target] = l.answer, l.closed
			results = append(results, apply.ChangeResult{State: l.state, Closed: l.closed})
		}
	}
	return results, nil
}

func (r *runTest) startAs(id string) {
	r.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: messages.QueueWorkflows})
}

func (r *runTest) register(name string, play any) {
	r.env.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
}

// note writes down every activity as it starts.
func (r *runTest) note(info *activity.Info, _ context.Context, args converter.EncodedValues) {
	name := info.ActivityType.Name
	r.mu.Lock()
	defer r.mu.Unlock()
	if name == "Apply" {
		var in apply.ChangeInput
		require.NoError(r.t, args.Get(&in))
		l := r.line(in)
		name = string(l.action) + " " + l.person
		r.inFlight++
		if l.guarded {
			r.guarded++
		}
		r.most = max(r.most, r.inFlight)
		if r.guarded > 0 {
			r.mostWhileGuarded = max(r.mostWhileGuarded, r.guarded)
		}
	}
	r.calls = append(r.calls, name)
	r.at[name] = r.env.Now()
}

func (r *runTest) line(in apply.ChangeInput) *planLine {
	for _, l := range r.plan {
		if l.person == in.Person && l.target == in.Target {
			return l
		}
	}
	panic("there is no line of " + in.Person)
}

func (r *runTest) playOutline(context.Context, reconcile.OutlineInput) (reconcile.OutlineResult, error) {
	return reconcile.OutlineResult{Calls: 3}, r.fail["Outline"]
}

func (r *runTest) playSweep(_ context.Context, in reconcile.SweepInput) (session.SweepResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweeps = append(r.sweeps, in)
	result := session.SweepResult{People: 100, Calls: 1}
	if in.Block+1 < r.blocks {
		result.Next = "cursor" + strings.Repeat("+", in.Block+1)
	}
	return result, r.fail["Sweep"]
}

func (r *runTest) playJudge(context.Context, reconcile.JudgeInput) (reconcile.JudgeResult, error) {
	result := reconcile.JudgeResult{Plan: "sha256:plan", Hold: r.hold, Unseen: r.missed,
		Counts: messages.Counts{People: 100, Calls: 1}}
	for _, l := range r.plan {
		switch l.action {
		case access.Add:
			result.Counts.Adds++
		case access.Remove:
			result.Counts.Removals++
		case access.Adopt:
			result.Counts.Adopts++
		}
		if l.state == access.Held {
			result.Counts.Held++
		} else {
			result.Open++
		}
	}
	return result, r.fail["Judge"]
}

func (r *runTest) playPlanUndo(context.Context, reconcile.UndoInput) (int, error) {
	return len(r.plan), r.fail["PlanUndo"]
}

// playNext lists as the ledger does: the planned lines of the actions, by action, person and target, after the last
// one.
func (r *runTest) playNext(_ context.Context, in apply.NextInput) (apply.NextResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := apply.NextResult{After: in.After}
	for _, l := range r.sorted() {
		key := keyOf(l)
		if !slices.Contains(in.Actions, l.action) || l.state != access.Planned || key <= in.After ||
			in.Through != "" && key > in.Through ||
			in.Approved != nil && l.waited != *in.Approved {
			continue
		}
		if len(result.Lines) == in.Limit {
			result.More = true
			break
		}
		result.Lines = append(result.Lines,
			apply.Line{Person: l.person, Target: l.target, Label: string(l.action) + " " + l.person,
				Guarded: l.guarded})
		result.After = key
	}
	return result, r.fail["Next"]
}

func keyOf(l *planLine) string {
	return apply.Line{Person: l.person, Target: l.target}.Key(l.action)
}

func (r *runTest) sorted() []*planLine {
	all := slices.Clone(r.plan)
	slices.SortFunc(all, func(a, b *planLine) int {
		return cmp.Or(strings.Compare(a.person, b.person), strings.Compare(string(a.target), string(b.target)))
	})
	return all
}

func (r *runTest) playSet(_ context.Context, in reconcile.SetInput) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sets = append(r.sets, in)
	n := 0
	for _, l := range r.plan {
		if l.action == in.Action && l.state == access.Planned &&
			(len(in.Target) == 0 || slices.Contains(in.Target, l.target)) {
			l.state = in.State
			n++
		}
	}
	return n, r.fail["Set"]
}

func (r *runTest) playConfirm(_ context.Context, in apply.ConfirmInput) (reconcile.ConfirmResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.confirms = append(r.confirms, in)
	var result reconcile.ConfirmResult
	for _, l := range r.sorted() {
		if !slices.Contains(in.Actions, l.action) || l.state != access.Planned || keyOf(l) <= in.After {
			continue
		}
		l.read = r.env.Now()
		if slices.Contains(r.stale, l.person) {
			l.state = access.Superseded
			result.Superseded++
		} else {
			result.Standing++
		}
		if result.Superseded+result.Standing == in.Limit {
			result.Through = keyOf(l)
			break
		}
	}
	return result, r.fail["Confirm"]
}

// beginWrite returns how long the write takes that was noted last.
func (r *runTest) beginWrite() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.calls) - 1; i >= 0; i-- {
		action, person, write := strings.Cut(r.calls[i], " ")
		if !write {
			continue
		}
		for _, l := range r.plan {
			if string(l.action) == action && l.person == person {
				return l.takes
			}
		}
	}
	return time.Second
}

func (r *runTest) playApply(_ context.Context, in apply.ChangeInput) (apply.ChangeResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.line(in)
	r.inFlight--
	if l.guarded {
		r.guarded--
	}
	if l.err != nil {
		return apply.ChangeResult{}, l.err
	}
	require.Equal(r.t, access.Planned, l.state, "%s is written though it is not planned", l.person)
	l.state = l.answer
	return apply.ChangeResult{State: l.state, Closed: l.closed}, nil
}

func (r *runTest) playVerify(context.Context, session.RunInput) (reconcile.VerifyResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unseen > 0 {
		r.unseen--
		return reconcile.VerifyResult{Verified: 1, Unverified: 1, Calls: 1}, r.fail["Verify"]
	}
	return reconcile.VerifyResult{Verified: 2, Calls: 1}, r.fail["Verify"]
}

func (r *runTest) playFinish(_ context.Context, in reconcile.FinishInput) (messages.RunSummary, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Zero(r.t, r.inFlight, "a run is closed while it writes")
	r.finished = append(r.finished, in)
	sum := in.Summary
	sum.Ended = r.env.Now()
	return sum, nil
}

// do runs the workflow to its end and returns its summary.
func (r *runTest) do() messages.RunSummary {
	r.t.Helper()
	r.env.ExecuteWorkflow(messages.Reconcile, r.input)
	require.True(r.t, r.env.IsWorkflowCompleted())
	require.NoError(r.t, r.env.GetWorkflowError())
	var sum messages.RunSummary
	require.NoError(r.t, r.env.GetWorkflowResult(&sum))
	require.Len(r.t, r.finished, 1, "a run is closed once, whatever happened")
	return sum
}

// again runs the workflow until it starts a fresh history, and returns that one's input.
func (r *runTest) again() messages.ReconcileInput {
	r.t.Helper()
	r.env.ExecuteWorkflow(messages.Reconcile, r.input)
	err := r.env.GetWorkflowError()
	require.True(r.t, workflow.IsContinueAsNewError(err), "%v", err)
	var next *workflow.ContinueAsNewError
	require.ErrorAs(r.t, err, &next)
	var in messages.ReconcileInput
	require.NoError(r.t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Empty(r.t, r.finished)
	return in
}

// gate closes or opens the gate after a while.
func (r *runTest) gate(after time.Duration, closed bool, turn int) {
	r.env.RegisterDelayedCallback(func() {
		r.env.SignalWorkflow(messages.Gate, messages.GateSignal{
			Closed: closed, Why: "urgent work goes first", Turn: turn, Execution: "run of " + messages.OrgSyncID(org),
		})
	}, after)
}

func (r *runTest) index(call string) int {
	r.t.Helper()
	i := slices.Index(r.calls, call)
	require.GreaterOrEqual(r.t, i, 0, "%s was not called: %v", call, r.calls)
	return i
}

// runWithin runs a run within the workflow that started it.
func runWithin(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
	payload, err := converter.GetDefaultDataConverter().ToPayload(in)
	if err != nil {
		return messages.RunSummary{}, err
	}
	return workflows.Reconcile(ctx, converter.NewRawValue(payload))
}
