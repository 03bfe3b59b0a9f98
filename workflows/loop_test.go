package workflows_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

const org = "acme"

// begin is when every test's clock starts.
var begin = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// settings are those of the policies that the loops are given.
var settings = messages.Settings{
	Every: messages.Duration(6 * time.Hour), Feed: messages.Duration(30 * time.Second), InFlight: 4, Pages: 20,
	Settle: messages.Duration(5 * time.Second),
}

// loop runs OrgSync in time-skipping time. Its activities and runs are played by the functions below, which a test
// replaces where it wants something else to happen.
type loop struct {
	t   *testing.T
	env *testsuite.TestWorkflowEnvironment

	admit      func(activities.AdmitInput) (activities.AdmitResult, error)
	examine    func(activities.ExamineInput) (activities.JudgeResult, error)
	decide     func(activities.DecideInput) (activities.DecideResult, error)
	run        func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error)
	looking    time.Duration // how long looking at a few people takes
	unknownRun error         // what looking up a run comes to
	events     []event       // what the watches report: the first one, the second one, …; then nothing more

	mu       sync.Mutex // activities run beside the workflow
	admits   []activities.AdmitInput
	examines []activities.ExamineInput
	decides  []activities.DecideInput
	watches  []activities.WatchInput
	runs     []messages.ReconcileInput
}

// event is what one watch reports after a while, or its failure.
type event struct {
	after  time.Duration
	result activities.WatchResult
	err    error
}

// newLoop makes a loop; more registers what else a test needs, which must come before anything is mocked.
func newLoop(t *testing.T, more ...func(*loop)) *loop {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	l := &loop{t: t, env: suite.NewTestWorkflowEnvironment()}
	l.env.SetStartTime(begin)
	patient(l.env)
	l.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: messages.OrgSyncID(org), TaskQueue: messages.QueueWorkflows})
	l.env.RegisterWorkflowWithOptions(workflows.OrgSync, workflow.RegisterOptions{Name: messages.OrgSync})
	l.env.RegisterWorkflowWithOptions(l.playRun, workflow.RegisterOptions{Name: messages.Reconcile})

	l.admit = func(in activities.AdmitInput) (activities.AdmitResult, error) { return inForce(in, true), nil }
	l.examine = func(activities.ExamineInput) (activities.JudgeResult, error) {
		return activities.JudgeResult{Counts: messages.Counts{People: 1}}, nil
	}
	l.decide = func(in activities.DecideInput) (activities.DecideResult, error) {
		return activities.DecideResult{Hold: messages.Hold{Plan: in.Plan, Run: "held-run", Removals: 3}}, nil
	}
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		return ended(in), nil
	}

	l.env.RegisterActivityWithOptions(l.playAdmit, activity.RegisterOptions{Name: "Admit"})
	l.env.RegisterActivityWithOptions(l.playExamine, activity.RegisterOptions{Name: "Examine"})
	l.env.RegisterActivityWithOptions(l.playDecide, activity.RegisterOptions{Name: "Decide"})
	l.env.RegisterActivityWithOptions(func(_ context.Context, in activities.RunInput) (messages.RunSummary, error) {
		return messages.RunSummary{Run: in.Run}, l.unknownRun
	}, activity.RegisterOptions{Name: "FindRun"})
	l.env.RegisterActivityWithOptions(func(context.Context, activities.WatchInput) (activities.WatchResult, error) {
		panic("the watch is mocked")
	}, activity.RegisterOptions{Name: "Watch"})
	l.env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		if info.ActivityType.Name == "Watch" && info.Attempt == 1 {
			var in activities.WatchInput
			require.NoError(t, args.Get(&in))
			l.mu.Lock()
			defer l.mu.Unlock()
			l.watches = append(l.watches, in)
		}
	})
	l.registerOneAdd()
	for _, register := range more {
		register(l)
	}
	l.env.OnActivity("Examine", mock.Anything, mock.Anything).AfterFn(func() time.Duration { return l.looking }).Return(l.playExamine)
	l.env.OnActivity("Watch", mock.Anything, mock.Anything).AfterFn(func() time.Duration {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.watches); n <= len(l.events) {
			return l.events[n-1].after
		}
		return 1000 * time.Hour
	}).Return(l.playWatch)
	l.env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil).Maybe()
	return l
}

// registerOneAdd is for real runs: each makes one addition, which a read never shows.
func (l *loop) registerOneAdd() {
	play := func(name string, activityFunc any) {
		l.env.RegisterActivityWithOptions(activityFunc, activity.RegisterOptions{Name: name})
	}
	play("Set", func(context.Context, activities.SetInput) (int, error) { return 0, nil })
	play("Next", func(_ context.Context, in activities.NextInput) (activities.NextResult, error) {
		if in.Actions[0] == access.Remove {
			return activities.NextResult{}, nil
		}
		return activities.NextResult{Lines: []activities.Line{{Person: "p", Target: jira}}}, nil
	})
	play("Apply", func(context.Context, activities.ChangeInput) (activities.ChangeResult, error) {
		return activities.ChangeResult{State: access.Done}, nil
	})
	play("Verify", func(context.Context, activities.RunInput) (activities.VerifyResult, error) {
		return activities.VerifyResult{Unverified: 1}, nil
	})
	play("Finish", func(_ context.Context, in activities.FinishInput) (messages.RunSummary, error) {
		return in.Summary, nil
	})
}

// patient lets tests run on a slow machine.
func patient(env *testsuite.TestWorkflowEnvironment) {
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute})
}

// inForce is what admitting a policy comes to; its hash is its text.
func inForce(in activities.AdmitInput, adopted bool) activities.AdmitResult {
	return activities.AdmitResult{
		Policy: "hash of " + string(in.Policy), Changed: true, Adopted: adopted, Mappings: 2, Targets: 3, Settings: settings,
	}
}

// ended is the summary of a run that did what it should.
func ended(in messages.ReconcileInput) messages.RunSummary {
	return messages.RunSummary{
		Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, By: in.By, State: messages.RunDone, DryRun: in.DryRun,
		Counts: messages.Counts{People: 7, Done: 1},
	}
}

func (l *loop) playAdmit(_ context.Context, in activities.AdmitInput) (activities.AdmitResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.admits = append(l.admits, in)
	return l.admit(in)
}

func (l *loop) playExamine(_ context.Context, in activities.ExamineInput) (activities.JudgeResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.examines = append(l.examines, in)
	return l.examine(in)
}

func (l *loop) playDecide(_ context.Context, in activities.DecideInput) (activities.DecideResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decides = append(l.decides, in)
	return l.decide(in)
}

func (l *loop) playWatch(_ context.Context, in activities.WatchInput) (activities.WatchResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.watches); n <= len(l.events) {
		return l.events[n-1].result, l.events[n-1].err
	}
	return activities.WatchResult{Mode: "events", Cursor: in.Cursor}, nil
}

func (l *loop) playRun(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
	l.runs = append(l.runs, in)
	return l.run(ctx, in)
}

// at has something done after a while, on the loop's own clock.
func (l *loop) at(after time.Duration, do func()) { l.env.RegisterDelayedCallback(do, after) }

// start runs the loop on a policy until it is cancelled after a while; it must have gone on until then.
func (l *loop) start(until time.Duration) {
	l.t.Helper()
	l.startWith(messages.OrgSyncInput{Policy: json.RawMessage(`"first"`), By: "ana"}, until)
}

func (l *loop) startWith(in messages.OrgSyncInput, until time.Duration) {
	l.t.Helper()
	l.at(until, l.env.CancelWorkflow)
	l.env.ExecuteWorkflow(messages.OrgSync, in)
	require.True(l.t, l.env.IsWorkflowCompleted())
	var cancelled *temporal.CanceledError
	require.ErrorAs(l.t, l.env.GetWorkflowError(), &cancelled, "the loop goes on until it is cancelled")
}

// status is the answer of the status query.
func (l *loop) status() messages.OrgSyncState {
	l.t.Helper()
	value, err := l.env.QueryWorkflow(messages.Status)
	require.NoError(l.t, err)
	var state messages.OrgSyncState
	require.NoError(l.t, value.Get(&state))
	return state
}

// page is the Markdown that the Web UI shows now.
func (l *loop) page() string {
	l.t.Helper()
	value, err := l.env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(l.t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(l.t, value.Get(&metadata))
	return metadata.GetCurrentDetails()
}

// scopes are the kinds of the runs that were started, in order.
func (l *loop) scopes() []string {
	var kinds []string
	for _, in := range l.runs {
		kinds = append(kinds, in.Scope.Kind)
	}
	return kinds
}

// answer is what came of an update.
type answer struct {
	accepted bool
	over     bool
	rejected error
	err      error
	result   any
}

func (a *answer) Accept()                      { a.accepted = true }
func (a *answer) Reject(err error)             { a.rejected, a.over = err, true }
func (a *answer) Complete(result any, e error) { a.result, a.err, a.over = result, e, true }

// message is the answer in words.
func (a *answer) message(t *testing.T) string {
	t.Helper()
	require.True(t, a.over, "the update was answered")
	require.NoError(t, a.rejected)
	require.NoError(t, a.err)
	data, err := json.Marshal(a.result)
	require.NoError(t, err)
	return string(data)
}

// update sends an update now and returns where its answer will stand.
func (l *loop) update(name string, body any) *answer {
	a := &answer{}
	l.env.UpdateWorkflow(name, "", a, body)
	return a
}

// updateAt sends an update after a while.
func (l *loop) updateAt(after time.Duration, name string, body any) *answer {
	a := &answer{}
	l.at(after, func() { l.env.UpdateWorkflow(name, "", a, body) })
	return a
}

func (l *loop) signalAt(after time.Duration, name string, body any) {
	l.at(after, func() { l.env.SignalWorkflow(name, body) })
}

// typed is JSON as ops type it into the Temporal CLI.
func typed(text string) converter.RawValue {
	return converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)}, Data: []byte(text),
	})
}

// holding is a run whose plan the guard holds.
func holding(plan string) func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error) {
	return func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if in.Scope.Kind == messages.ScopeFull {
			sum.Hold = &messages.Hold{Plan: plan, Run: "held-run", Adds: 2, Removals: 3, People: 4, Rules: []string{"run-removals: too many"}, Opened: begin}
			tell(ctx, in, sum, true)
		}
		return sum, nil
	}
}

// tell says how far a run is, as Reconcile does.
func tell(ctx workflow.Context, in messages.ReconcileInput, sum messages.RunSummary, judged bool) {
	said := messages.ProgressSignal{Run: sum, Judged: judged}
	_ = workflow.SignalExternalWorkflow(ctx, in.Parent, "", messages.HowFar, said).Get(ctx, nil)
}

// gated is a full verification that takes a while, stands aside when its gate closes, and ends when it is cancelled. It
// notes when it might write in writing.
func gated(takes time.Duration, writing func(bool)) func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error) {
	return func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind != messages.ScopeFull {
			return ended(in), nil
		}
		return slow(takes, writing)(ctx, in)
	}
}

// slow is gated whatever the run's scope.
func slow(takes time.Duration, writing func(bool)) func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error) {
	return func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		closed := in.Progress != nil && in.Progress.Gate.Closed
		workflow.Go(ctx, func(ctx workflow.Context) {
			for {
				var gate messages.GateSignal
				workflow.GetSignalChannel(ctx, messages.Gate).Receive(ctx, &gate)
				closed = gate.Closed
				writing(!closed)
				if closed {
					aside := messages.AsideSignal{Run: in.Run, Turn: gate.Turn}
					_ = workflow.SignalExternalWorkflow(ctx, in.Parent, "", messages.Aside, aside).Get(ctx, nil)
				}
			}
		})
		writing(!closed)
		defer writing(false)
		sum := ended(in)
		for left := takes; left > 0; left -= time.Second {
			err := workflow.Await(ctx, func() bool { return !closed })
			if err == nil {
				err = workflow.Sleep(ctx, time.Second)
			}
			if err != nil { // a cancelled run ends with a summary
				sum.State = messages.RunStopped
				break
			}
		}
		return sum, nil
	}
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		require.Contains(t, text, p)
	}
}

func triggers(runs []messages.ReconcileInput) string {
	var words []string
	for _, r := range runs {
		words = append(words, r.Trigger)
	}
	return strings.Join(words, "; ")
}

func lastOf[T any](all []T) T { return all[len(all)-1] }
