package workflows

import (
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// Bounds of what an organization's loop carries with it.
const (
	mostPending = 2000 // touched people; past that everybody is looked at
	mostRefused = 10
	renewAt     = 2000 // history events after which a quiet loop starts afresh
)

// OrgSync keeps one organization in step with its policy, for ever. It is the only one that has changes applied to the
// organization, so two runs never write at once.
//
// It watches the event feed and looks at touched people at once; verifies everybody on schedule, after a new policy and
// after an adoption; holds what the guard stops until somebody decides; and serves what people ask for ahead of bulk
// work. What it promises is in docs/architecture.md.
func OrgSync(ctx workflow.Context, in messages.OrgSyncInput) error {
	org, ok := messages.OrgOf(workflow.GetInfo(ctx).WorkflowExecution.ID)
	if !ok {
		return refuse("the workflow ID must be %s, not %s", messages.OrgSyncID("<organization>"), workflow.GetInfo(ctx).WorkflowExecution.ID)
	}
	s := &orgSync{log: workflow.GetLogger(ctx), done: map[int]outcome{}, written: map[string]bool{}}
	if in.State != nil {
		s.OrgSyncState = *in.State
	}
	s.Org = org
	if err := s.listen(ctx); err != nil {
		return err
	}
	if len(in.Policy) > 0 && s.Policy == "" {
		if _, err := s.applyPolicy(ctx, messages.PolicyInput{Policy: in.Policy, By: in.By}); err != nil {
			s.Problem = &messages.Problem{Kind: kindOf(err), Message: messageOf(err), Since: workflow.Now(ctx)}
		}
	}
	s.watch(ctx)
	return s.run(ctx)
}

// orgSync is the loop's state: what it carries across histories, and what only this run knows.
type orgSync struct {
	messages.OrgSyncState
	log   log.Logger
	words words

	bulk      *bulk           // the run in the background, if any
	serving   bool            // an urgent run is writing
	admitting bool            // a policy is just being taken into force
	keys      int             // numbers the jobs
	done      map[int]outcome // of jobs that an update waits for
	turn      int             // numbers the closings of the gate
	written   map[string]bool // partial runs that have written everything and only verify
	tails     int             // how many partial runs are not over yet
	force     bool            // continue as new now
	wake      bool            // something changed: look again
	restart   func()          // ends the watch so that it starts again
	watching  bool
	shown     string // the state last shown in the search attributes
}

type outcome struct {
	run messages.RunSummary
	err error
}

// bulk is a run in the background.
type bulk struct {
	run, scope string
	cancel     workflow.CancelFunc
	future     workflow.ChildWorkflowFuture
	turn       int // the gate's turn it answered last
	over       bool
}

func (s *orgSync) run(ctx workflow.Context) error {
	for {
		s.show(ctx)
		job, urgent := s.urgentJob()
		switch {
		case ctx.Err() != nil:
			s.stopBulk(ctx, "the organization's workflow was cancelled")
			return ctx.Err()
		case s.renewable(ctx):
			return s.renew(ctx)
		case urgent:
			s.serve(ctx, job)
		case s.touched():
			s.lookAtTouched(ctx)
		case s.settled(ctx):
			s.lookAgain(ctx)
		case s.bulkDue(ctx):
			s.startBulk(ctx)
		default:
			s.await(ctx)
		}
	}
}

// await waits for a word, an event, the end of a run, or the clock.
func (s *orgSync) await(ctx workflow.Context) {
	s.wake = false
	due, why := s.nextDue(ctx)
	woken := func() bool { return s.wake || s.renewable(ctx) }
	if due.IsZero() {
		_ = workflow.Await(ctx, woken)
		return
	}
	_, _ = workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout:      max(due.Sub(workflow.Now(ctx)), time.Second),
		TimerOptions: workflow.TimerOptions{Summary: why + " at " + due.UTC().Format(time.RFC3339)},
	}, woken)
}

// nextDue is when the clock asks for something; zero when it does not.
func (s *orgSync) nextDue(ctx workflow.Context) (time.Time, string) {
	switch {
	case s.Policy == "" || s.Paused != nil:
		return time.Time{}, ""
	case s.bulk != nil:
		if s.Problem == nil && len(s.Pending.Settling) > 0 {
			return s.Pending.Settling[0].Due, "second look at who seems to lose something"
		}
		return time.Time{}, ""
	case s.Problem != nil:
		return s.Problem.Retry, "try again after a problem"
	case len(s.Pending.Settling) > 0 && s.Pending.Settling[0].Due.Before(s.NextFull):
		return s.Pending.Settling[0].Due, "second look at who seems to lose something"
	}
	return s.NextFull, "full verification"
}

// urgentJob is the next thing a person waits for: one person's sync.
func (s *orgSync) urgentJob() (messages.Job, bool) {
	for i, job := range s.Pending.Jobs {
		if job.Scope.Kind == messages.ScopePeople {
			s.Pending.Jobs = append(append([]messages.Job{}, s.Pending.Jobs[:i]...), s.Pending.Jobs[i+1:]...)
			return job, true
		}
	}
	return messages.Job{}, false
}

func (s *orgSync) touched() bool {
	p := s.Pending
	return s.Policy != "" && s.Adopted && s.Paused == nil && s.Problem == nil &&
		(len(p.People) > 0 || len(p.Groups) > 0 || (p.Fresh && p.Full == ""))
}

// settled says that a second look is due.
func (s *orgSync) settled(ctx workflow.Context) bool {
	waiting := s.Pending.Settling
	return s.Policy != "" && s.Adopted && s.Paused == nil && s.Problem == nil && len(waiting) > 0 && !workflow.Now(ctx).Before(waiting[0].Due)
}

// bulkDue says that a hold, an undo or a full verification is to be run now.
func (s *orgSync) bulkDue(ctx workflow.Context) bool {
	if s.bulk != nil || s.Policy == "" {
		return false
	}
	if len(s.Pending.Jobs) > 0 {
		return s.Paused == nil || s.Pending.Jobs[0].Scope.Kind == messages.ScopeUndo
	}
	if s.Paused != nil {
		return false
	}
	now := workflow.Now(ctx)
	if s.Problem != nil {
		return !s.Problem.Retry.IsZero() && !now.Before(s.Problem.Retry)
	}
	return s.Pending.Full != "" || !now.Before(s.NextFull)
}

func (s *orgSync) startBulk(ctx workflow.Context) {
	in := s.newRun(ctx)
	if len(s.Pending.Jobs) > 0 {
		job := s.Pending.Jobs[0]
		s.Pending.Jobs = s.Pending.Jobs[1:]
		in.Scope, in.By, in.Trigger = job.Scope, job.By, job.Note
		if job.Scope.Kind == messages.ScopeHold {
			in.Run = job.Scope.Run
		}
		s.runInBackground(ctx, in, job.Key)
		return
	}
	in.Scope, in.By = messages.Scope{Kind: messages.ScopeFull}, s.Pending.FullBy
	in.Trigger, in.DryRun = s.Pending.Full, s.Pending.DryRun || s.Settings.DryRun
	switch {
	case in.Trigger == "" && s.Problem != nil:
		in.Trigger = "again after a problem"
	case in.Trigger == "":
		in.Trigger = "on schedule"
	}
	// A full verification sees everything that was waiting to be looked at.
	s.Pending = messages.Pending{Jobs: s.Pending.Jobs}
	s.runInBackground(ctx, in, 0)
}

// newRun numbers a run by its instant, which no other run of the organization has.
func (s *orgSync) newRun(ctx workflow.Context) messages.ReconcileInput {
	at := workflow.Now(ctx).UTC()
	id := at.Format("20060102-150405.000")
	for id <= s.LastID {
		at = at.Add(time.Millisecond)
		id = at.Format("20060102-150405.000")
	}
	s.LastID = id
	return messages.ReconcileInput{
		Org: s.Org, Run: id, Policy: s.Policy, Settings: s.Settings, DryRun: s.Settings.DryRun,
		Parent: workflow.GetInfo(ctx).WorkflowExecution.ID,
	}
}

func (s *orgSync) reconcile(ctx workflow.Context, in messages.ReconcileInput) workflow.ChildWorkflowFuture {
	id := messages.ReconcileID(s.Org, in.Run)
	if in.Scope.Kind == messages.ScopeHold {
		id += ":approved"
	}
	return workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, TaskQueue: messages.QueueWorkflows, WaitForCancellation: true,
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		StaticSummary:     fmt.Sprintf("%s: %s (%s)", s.Org, scopeInWords(in.Scope), in.Trigger),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			messages.AttributeOrg.ValueSet(s.Org), messages.AttributeState.ValueSet(messages.RunReading)),
	}), messages.Reconcile, in)
}

func (s *orgSync) runInBackground(ctx workflow.Context, in messages.ReconcileInput, key int) {
	child, cancel := workflow.WithCancel(ctx)
	b := &bulk{run: in.Run, scope: in.Scope.Kind, cancel: cancel, future: s.reconcile(child, in)}
	s.bulk = b
	s.Running = &messages.RunSummary{Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, By: in.By, State: messages.RunReading, Started: workflow.Now(ctx), DryRun: in.DryRun}
	workflow.GoNamed(ctx, "run "+in.Run, func(ctx workflow.Context) {
		var sum messages.RunSummary
		err := b.future.Get(ctx, &sum)
		b.over, s.bulk, s.Running = true, nil, nil
		s.finished(ctx, sum, err)
		if key > 0 {
			s.done[key] = outcome{sum, err}
		}
		s.wake = true
	})
}

// finished takes a run's end into the state.
func (s *orgSync) finished(ctx workflow.Context, sum messages.RunSummary, err error) {
	if err != nil {
		var cancelled *temporal.CanceledError
		if errors.As(err, &cancelled) {
			return
		}
		sum.Problem = &messages.Problem{Kind: kindOf(err), Message: messageOf(err)}
	}
	if sum.Run != "" {
		s.LastRun = &sum
	}
	if sum.Problem != nil {
		s.struggle(ctx, *sum.Problem)
		return
	}
	if sum.State == messages.RunStopped {
		return // by us; whoever stopped it says what comes next
	}
	s.Problem = nil
	switch sum.Scope {
	case messages.ScopeFull:
		s.LastFull, s.Hold, s.Findings = &sum, sum.Hold, sum.Findings
		s.NextFull = workflow.Now(ctx).Add(s.Settings.Every.Std())
	case messages.ScopeHold: // its hold was decided before it began
	default:
		s.Hold = sum.Hold
	}
}

// struggle notes a problem and when to try again: after 15 s, then twice as long each time, five minutes at the most.
func (s *orgSync) struggle(ctx workflow.Context, p messages.Problem) {
	now := workflow.Now(ctx)
	p.Since, p.Tries = now, 1
	if s.Problem != nil {
		p.Since, p.Tries = s.Problem.Since, s.Problem.Tries+1
	}
	p.Retry = now.Add(min(15*time.Second<<min(p.Tries-1, 5), 5*time.Minute))
	s.Problem = &p
}

func (s *orgSync) requestFull(why, by string) {
	s.Pending.Full, s.Pending.FullBy = why, by
	s.wake = true
}

// serve runs one person's sync while somebody waits for the answer.
func (s *orgSync) serve(ctx workflow.Context, job messages.Job) {
	in := s.newRun(ctx)
	in.Scope, in.By, in.Trigger, in.DryRun = job.Scope, job.By, job.Note, in.DryRun || job.Dry
	sum, settling, err := s.partial(ctx, in, look{wait: true})
	if err == nil && len(settling) > 0 {
		settle := workflow.TimerOptions{Summary: "let the removals of " + scopeInWords(job.Scope) + " settle"}
		if err = workflow.NewTimerWithOptions(ctx, s.Settings.Settle.Std(), settle).Get(ctx, nil); err == nil {
			again := s.newRun(ctx)
			again.Scope, again.By, again.Trigger, again.DryRun = in.Scope, in.By, in.Trigger, in.DryRun
			sum, _, err = s.partial(ctx, again, look{wait: true, settled: true})
		}
	}
	s.done[job.Key] = outcome{sum, err}
}

// lookAtTouched looks at the people and groups that events named.
func (s *orgSync) lookAtTouched(ctx workflow.Context) {
	p := s.Pending
	in := s.newRun(ctx)
	in.Trigger = "events"
	in.Scope = messages.Scope{Kind: messages.ScopePeople, People: p.People, Groups: p.Groups, Recount: p.Recount}
	if len(p.Groups) > 0 || p.Fresh {
		in.Scope.Kind = messages.ScopeGroups
	}
	s.Pending.People, s.Pending.Groups, s.Pending.Recount, s.Pending.Fresh = nil, nil, nil, false
	_, settling, err := s.partial(ctx, in, look{fresh: p.Fresh})
	s.failedLook(ctx, err)
	if len(settling) > 0 {
		s.Pending.Settling = append(s.Pending.Settling, messages.Settling{People: settling, Due: workflow.Now(ctx).Add(s.Settings.Settle.Std())})
	}
}

// lookAgain looks a second time at people who seemed to lose something, and takes what the second look takes too.
func (s *orgSync) lookAgain(ctx workflow.Context) {
	in := s.newRun(ctx)
	in.Trigger = "events"
	in.Scope = messages.Scope{Kind: messages.ScopePeople, People: s.Pending.Settling[0].People}
	s.Pending.Settling = s.Pending.Settling[1:]
	_, _, err := s.partial(ctx, in, look{settled: true})
	s.failedLook(ctx, err)
}

func (s *orgSync) failedLook(ctx workflow.Context, err error) {
	if err != nil {
		s.requestFull("looking at touched people failed", "")
		s.struggle(ctx, messages.Problem{Kind: kindOf(err), Message: messageOf(err)})
	}
}

// look says how a partial run looks.
type look struct {
	fresh   bool // read the outline again
	settled bool // it is the second look: removals may be written
	wait    bool // somebody waits for its end, verification included
}

// partial examines some people and, if there is something to write, has it written ahead of the run in the background.
// It returns the people whose removals need a second look. Verification goes on behind its back, unless somebody waits.
func (s *orgSync) partial(ctx workflow.Context, in messages.ReconcileInput, how look) (messages.RunSummary, []string, error) {
	sum := messages.RunSummary{Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, By: in.By, DryRun: in.DryRun, Started: workflow.Now(ctx), State: messages.RunDone}
	s.serving = true
	defer func() { s.serving = false }()
	s.standAside(ctx)
	defer s.letGo(ctx)
	verdict, err := examine(ctx, activities.ExamineInput{
		RunInput: activities.RunInput{Org: s.Org, Run: in.Run, Policy: in.Policy, Preview: in.DryRun},
		Trigger:  in.Trigger, By: in.By, Scope: in.Scope, Fresh: how.fresh, DryRun: in.DryRun, Settled: how.settled,
	})
	if err != nil {
		return sum, nil, err
	}
	sum.Plan, sum.Counts, sum.Hold, sum.Findings, sum.Reported = verdict.Plan, verdict.Counts, verdict.Hold, verdict.Findings, verdict.Reported
	if !in.DryRun {
		s.Hold = verdict.Hold
	}
	if verdict.TooMany {
		s.requestFull("many people seem to lose something", "")
	}
	if verdict.Quiet() {
		return sum, verdict.Settling, nil
	}
	in.Progress = &messages.Progress{Phase: phaseAdopt, Since: workflow.Now(ctx), Run: sum, Settled: how.settled}
	in.Scope.People, in.Scope.Recount = clipList(in.Scope.People), nil // only for the Web UI from here on
	run := s.reconcile(ctx, in)
	if how.wait {
		err = run.Get(ctx, &sum)
		if err == nil {
			s.finished(ctx, sum, nil)
		}
		return sum, verdict.Settling, err
	}
	s.tails++
	workflow.GoNamed(ctx, "run "+in.Run, func(ctx workflow.Context) {
		var end messages.RunSummary
		err := run.Get(ctx, &end)
		s.finished(ctx, end, err)
		delete(s.written, in.Run)
		s.tails--
		s.wake = true
	})
	err = workflow.Await(ctx, func() bool { return run.IsReady() || s.written[in.Run] })
	return sum, verdict.Settling, err
}

func clipList(all []string) []string { return all[:min(len(all), 20)] }

// standAside has the run in the background finish what is in flight and write nothing more until letGo.
func (s *orgSync) standAside(ctx workflow.Context) {
	if s.bulk == nil || s.Paused != nil {
		return
	}
	s.closeGate(ctx, "urgent work goes first")
	b, turn := s.bulk, s.turn
	_ = workflow.Await(ctx, func() bool { return b.over || b.turn >= turn })
}

func (s *orgSync) letGo(ctx workflow.Context) {
	if s.bulk != nil && s.Paused == nil {
		s.signalBulk(ctx, messages.GateSignal{Turn: s.turn})
	}
}

func (s *orgSync) closeGate(ctx workflow.Context, why string) {
	s.turn++
	s.signalBulk(ctx, messages.GateSignal{Closed: true, Why: why, Turn: s.turn})
}

// signalBulk tells the run in the background; that it ended meanwhile is no error.
func (s *orgSync) signalBulk(ctx workflow.Context, gate messages.GateSignal) {
	b := s.bulk
	if err := b.future.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return
	}
	if err := b.future.SignalChildWorkflow(ctx, messages.Gate, gate).Get(ctx, nil); err != nil {
		_ = workflow.Await(ctx, func() bool { return b.over })
	}
}

// stopBulk ends the run in the background after what is in flight, and waits for its end.
func (s *orgSync) stopBulk(ctx workflow.Context, why string) {
	b := s.bulk
	if b == nil {
		return
	}
	s.log.Info("stopping the run in the background", "run", b.run, "why", why)
	b.cancel()
	wait, _ := workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(wait, func() bool { return b.over })
}

// renewable says that the history may end here: nothing runs, nothing waits.
func (s *orgSync) renewable(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	long := info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > renewAt
	return (long || s.force) && s.bulk == nil && s.tails == 0 && !s.serving && !s.admitting && len(s.Pending.Jobs) == 0 &&
		!s.words.pending(ctx) && workflow.AllHandlersFinished(ctx)
}

// renew continues as new. The watch is ended first, for its cursor; whatever came meanwhile is handled before.
func (s *orgSync) renew(ctx workflow.Context) error {
	if s.restart != nil {
		s.restart()
	}
	s.force = true
	if err := workflow.Await(ctx, func() bool { return !s.watching }); err != nil {
		return err
	}
	if !s.renewable(ctx) {
		s.force = false
		s.watch(ctx)
		return s.run(ctx)
	}
	state := s.OrgSyncState
	return workflow.NewContinueAsNewError(ctx, messages.OrgSync, messages.OrgSyncInput{State: &state})
}

func kindOf(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type()
	}
	var late *temporal.TimeoutError
	if errors.As(err, &late) {
		return "Timeout"
	}
	return "Error"
}

// messageOf is the innermost message that says what to do, without Temporal's wrapping.
func messageOf(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	var late *temporal.TimeoutError
	if errors.As(err, &late) {
		return "an activity took too long; is a worker running? " + late.Error()
	}
	return err.Error()
}
