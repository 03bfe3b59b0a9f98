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
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
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

	admit      func(reconcile.AdmitInput) (reconcile.AdmitResult, error)
	examine    func(reconcile.ExamineInput) (reconcile.JudgeResult, error)
	decide     func(reconcile.DecideInput) (reconcile.DecideResult, error)
	run        func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error)
	looking    time.Duration // how long looking at a few people takes
	unknownRun error         // what looking up a run comes to
	decider    error         // what looking up who decides comes to
	events     []watchEvent  // what the watches report: the first one, the second one, …; then nothing more

	sourceStates []string // what the workflow list was told of the identity sources, each time

	standing reconcile.StandingResult // what the ledger has of the consent: what the last run that was judged said

	mu       sync.Mutex // activities run beside the workflow
	admits   []reconcile.AdmitInput
	examines []reconcile.ExamineInput
	decides  []reconcile.DecideInput
	deciders []string
	watches  []reconcile.WatchInput
	runs     []messages.ReconcileInput
}

// watchEvent is what one watch reports after a while, or its failure.
type watchEvent struct {
	after  time.Duration
	result reconcile.WatchResult
	err    error
}

// newLoop makes a loop; more registers what else a test needs, which must come before anything is mocked.
func newLoop(t *testing.T, more ...func(*loop)) *loop {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	l := &loop{t: t, env: suite.NewTestWorkflowEnvironment()}
	l.env.SetStartTime(begin)
	interceptWith(l.env, &testInterceptor{judged: func(said messages.ProgressSignal) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.standing = reconcile.StandingResult{Hold: said.Run.Hold, Adopted: said.Run.Adopted,
			Findings: said.Run.Findings, Reported: len(said.Run.Findings)}
	}})
	l.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: messages.OrgSyncID(org),
		TaskQueue: messages.QueueWorkflows})
	l.env.RegisterWorkflowWithOptions(workflows.OrgSync, workflow.RegisterOptions{Name: messages.OrgSync})
	l.env.RegisterWorkflowWithOptions(l.playRun, workflow.RegisterOptions{Name: messages.Reconcile})

	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) { return inForce(in, true), nil }
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Counts: messages.Counts{People: 1}}, nil
	}
	l.decide = func(in reconcile.DecideInput) (reconcile.DecideResult, error) {
		return reconcile.DecideResult{Hold: messages.Hold{Plan: in.Plan, Run: "held-run", Removals: 3}}, nil
	}
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		return ended(in), nil
	}

	l.env.RegisterActivityWithOptions(l.playAdmit, activity.RegisterOptions{Name: "Admit"})
	l.env.RegisterActivityWithOptions(l.playExamine, activity.RegisterOptions{Name: "Examine"})
	l.env.RegisterActivityWithOptions(l.playDecide, activity.RegisterOptions{Name: "Decide"})
	l.env.RegisterActivityWithOptions(func(_ context.Context, in reconcile.DeciderInput) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.deciders = append(l.deciders, in.By)
		return l.decider
	}, activity.RegisterOptions{Name: "CheckDecider"})
	l.env.RegisterActivityWithOptions(func(_ context.Context, in session.RunInput) (messages.RunSummary, error) {
		return messages.RunSummary{Run: in.Run}, l.unknownRun
	}, activity.RegisterOptions{Name: "FindRun"})
	l.env.RegisterActivityWithOptions(func(context.Context, reconcile.StandingInput) (reconcile.StandingResult, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.standing, nil
	}, activity.RegisterOptions{Name: "Standing"})
	l.env.RegisterActivityWithOptions(func(context.Context, reconcile.WatchInput) (reconcile.WatchResult, error) {
		panic("the watch is mocked")
	}, activity.RegisterOptions{Name: "Watch"})
	l.env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		if info.ActivityType.Name == "Watch" && info.Attempt == 1 {
			var in reconcile.WatchInput
			require.NoError(t, args.Get(&in))
			l.mu.Lock()
			defer l.mu.Unlock()
			l.watches = append(l.watches, in)
		}
	})
	l.env.RegisterActivityWithOptions(func(context.Context, reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error) {
		return reconcile.RuleTimeResult{At: l.env.Now().UTC()}, nil
	}, activity.RegisterOptions{Name: "RuleTime"})
	l.registerOneAdd()
	for _, register := range more {
		register(l)
	}
	l.env.OnActivity("Examine", mock.Anything, mock.Anything).AfterFn(func() time.Duration { return l.looking }).Return(
		l.playExamine)
	l.env.OnActivity("Watch", mock.Anything, mock.Anything).AfterFn(func() time.Duration {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.watches); n <= len(l.events) {
			return l.events[n-1].after
		}
		return 1000 * time.Hour
	}).Return(l.playWatch)
	l.env.OnUpsertTypedSearchAttributes(mock.MatchedBy(func(is temporal.SearchAttributes) bool {
		if states, has := is.GetKeywordList(messages.AttributeSource); has {
			l.sourceStates = append(l.sourceStates, strings.Join(states, " "))
		}
		return true
	})).Return(nil).Maybe()
	return l
}

// registerOneAdd is for real runs: each makes one addition, which a read never shows.
func (l *loop) registerOneAdd() {
	play := func(name string, activityFunc any) {
		l.env.RegisterActivityWithOptions(activityFunc, activity.RegisterOptions{Name: name})
	}
	play("Set", func(context.Context, reconcile.SetInput) (int, error) { return 0, nil })
	play("Next", func(_ context.Context, in apply.NextInput) (apply.NextResult, error) {
		if in.Actions[0] == access.Remove {
			return apply.NextResult{}, nil
		}
		return apply.NextResult{Lines: []apply.Line{{Person: "p", Target: jira}}}, nil
	})
	play("Apply", func(context.Context, apply.ChangeInput) (apply.ChangeResult, error) {
		return apply.ChangeResult{State: access.Done}, nil
	})
	play("Verify", func(context.Context, session.RunInput) (reconcile.VerifyResult, error) {
		return reconcile.VerifyResult{Unverified: 1}, nil
	})
	play("Finish", func(_ context.Context, in reconcile.FinishInput) (messages.RunSummary, error) {
		return in.Summary, nil
	})
}

// patient lets tests run on a slow machine.
func patient(env *testsuite.TestWorkflowEnvironment) { patientChild(env, "") }

// patientChild has the workflow say too whose child it is, which the test environment cannot do for the workflow that a
// test starts.
func patientChild(env *testsuite.TestWorkflowEnvironment, parent string) {
	interceptWith(env, &testInterceptor{parent: parent})
}

func interceptWith(env *testsuite.TestWorkflowEnvironment, u *testInterceptor) {
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute,
		Interceptors: []interceptor.WorkerInterceptor{u}})
}

// testInterceptor gives activities all the time there is: the test environment measures their attempts by the clock on
// the wall.
type testInterceptor struct {
	interceptor.WorkerInterceptorBase
	parent string
	judged func(messages.ProgressSignal) // hears what runs say of their guard: a run has it recorded before it says so
}

func (u *testInterceptor) InterceptWorkflow(_ workflow.Context,
	next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &testInbound{interceptor.WorkflowInboundInterceptorBase{Next: next}, u}
}

type testInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	u *testInterceptor
}

func (in *testInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return in.Next.Init(&testOutbound{interceptor.WorkflowOutboundInterceptorBase{Next: next}, in.u})
}

type testOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	u *testInterceptor
}

func (out *testOutbound) SignalExternalWorkflow(ctx workflow.Context, id, run, name string, arg any) workflow.Future {
	if said, is := arg.(messages.ProgressSignal); is && said.Judged && out.u.judged != nil {
		out.u.judged(said)
	}
	return out.Next.SignalExternalWorkflow(ctx, id, run, name, arg)
}

func (out *testOutbound) GetInfo(ctx workflow.Context) *workflow.Info {
	info := out.Next.GetInfo(ctx)
	if out.u.parent == "" || info.ParentWorkflowExecution != nil {
		return info
	}
	child := *info
	child.ParentWorkflowExecution = &workflow.Execution{ID: out.u.parent, RunID: "run of " + out.u.parent}
	return &child
}

func (out *testOutbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	ctx = workflow.WithHeartbeatTimeout(workflow.WithStartToCloseTimeout(ctx, time.Hour), 0)
	return out.Next.ExecuteActivity(ctx, name, args...)
}

// inForce returns what admitting a policy comes to; its hash is its text.
func inForce(in reconcile.AdmitInput, adopted bool) reconcile.AdmitResult {
	return reconcile.AdmitResult{
		Policy: "hash of " + string(in.Policy), Changed: true, Adopted: adopted, Mappings: 2, Targets: 3,
		Settings: settings,
	}
}

// ended returns the summary of a run that did what it should.
func ended(in messages.ReconcileInput) messages.RunSummary {
	return messages.RunSummary{
		Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, By: in.By, State: messages.RunDone, DryRun: in.DryRun,
		Counts: messages.Counts{People: 7, Done: 1},
	}
}

func (l *loop) playAdmit(_ context.Context, in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.admits = append(l.admits, in)
	return l.admit(in)
}

func (l *loop) playExamine(_ context.Context, in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.examines = append(l.examines, in)
	return l.examine(in)
}

func (l *loop) playDecide(_ context.Context, in reconcile.DecideInput) (reconcile.DecideResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decides = append(l.decides, in)
	return l.decide(in)
}

func (l *loop) playWatch(_ context.Context, in reconcile.WatchInput) (reconcile.WatchResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.watches); n <= len(l.events) {
		return l.events[n-1].result, l.events[n-1].err
	}
	return reconcile.WatchResult{Mode: "events", Cursor: in.Cursor}, nil
}

// playRun begins once the loop knows that it did, as at a server; the test environment may deliver a signal of its
// before.
func (l *loop) playRun(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
	l.runs = append(l.runs, in)
	if err := workflow.Sleep(ctx, time.Nanosecond); err != nil {
		return messages.RunSummary{Run: in.Run, State: messages.RunStopped}, err
	}
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

// status returns the answer of the status query.
func (l *loop) status() messages.OrgSyncState {
	l.t.Helper()
	value, err := l.env.QueryWorkflow(messages.Status)
	require.NoError(l.t, err)
	var state messages.OrgSyncState
	require.NoError(l.t, value.Get(&state))
	return state
}

// page returns the Markdown that the Web UI shows now.
func (l *loop) page() string {
	l.t.Helper()
	value, err := l.env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(l.t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(l.t, value.Get(&metadata))
	return metadata.GetCurrentDetails()
}

// scopes returns the kinds of the runs that were started, in order.
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

// message returns the answer in words.
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
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)},
		Data:     []byte(text),
	})
}

// standAside answers a closed gate, as Reconcile does.
func standAside(ctx workflow.Context, in messages.ReconcileInput, gate messages.GateSignal) {
	aside := messages.WritesPausedSignal{Run: in.Run, Turn: gate.Turn,
		Execution: workflow.GetInfo(ctx).WorkflowExecution.RunID}
	_ = workflow.SignalExternalWorkflow(ctx, in.Parent, "", messages.WritesPaused, aside).Get(ctx, nil)
}

// holding returns a run whose plan the guard holds.
func holding(plan string) func(workflow.Context, messages.ReconcileInput) (messages.RunSummary, error) {
	return func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if in.Scope.Kind == messages.ScopeFull {
			sum.Hold = &messages.Hold{Plan: plan, Run: "held-run", Adds: 2, Removals: 3, People: 4,
				Rules: []string{"run-removals: too many"}, Opened: begin}
			tell(ctx, in, sum, true)
		}
		return sum, nil
	}
}

// tell says how far a run is, as Reconcile does.
func tell(ctx workflow.Context, in messages.ReconcileInput, sum messages.RunSummary, judged bool) {
	said := messages.ProgressSignal{Run: sum, Judged: judged, Execution: workflow.GetInfo(ctx).WorkflowExecution.RunID}
	_ = workflow.SignalExternalWorkflow(ctx, in.Parent, "", messages.RunProgress, said).Get(ctx, nil)
}

// gated returns a full verification that takes a while, stands aside when its gate closes, and ends when it is
// cancelled. It notes when it might write in writing.
func gated(takes time.Duration, writing func(bool)) func(workflow.Context,
	messages.ReconcileInput) (messages.RunSummary, error) {
	return func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Kind != messages.ScopeFull {
			return ended(in), nil
		}
		return slow(takes, writing)(ctx, in)
	}
}

// slow is gated whatever the run's scope.
func slow(takes time.Duration, writing func(bool)) func(workflow.Context, messages.ReconcileInput) (messages.RunSummary,
	error) {
	return func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		closed := in.Progress != nil && in.Progress.Gate.Closed
		workflow.Go(ctx, func(ctx workflow.Context) {
			for {
				var gate messages.GateSignal
				workflow.GetSignalChannel(ctx, messages.Gate).Receive(ctx, &gate)
				closed = gate.Closed
				writing(!closed)
				if closed {
					standAside(ctx, in, gate)
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
