package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// childRun is a Reconcile that this loop started.
type childRun struct {
	run, scope string
	dry        bool
	cancel     workflow.CancelFunc
	future     workflow.ChildWorkflowFuture
	turn       int  // of its gate: the last one that it answered
	verdicts   int  // how often it reported the guard's verdict
	lookingUp  bool // its hold is being looked up
	over       bool
	requested  bool           // somebody asked for it
	wave       messages.Scope // of a batch of links or a restore, if it is one
	continued  bool           // it was stopped, and the next history continues it
}

// newID returns a unique id for a run or request, from the current time.
func (s *orgSync) newID(ctx workflow.Context) string {
	at := workflow.Now(ctx).UTC()
	id := at.Format("20060102-150405.000")
	for id <= s.LastID {
		at = at.Add(time.Millisecond)
		id = at.Format("20060102-150405.000")
	}
	s.LastID = id
	return id
}

// newRun returns the input of a new run.
func (s *orgSync) newRun(ctx workflow.Context) messages.ReconcileInput {
	return messages.ReconcileInput{
		Org: s.Org, Run: s.newID(ctx), Policy: s.Policy, Settings: s.Settings, DryRun: s.Settings.DryRun,
		Parent: workflow.GetInfo(ctx).WorkflowExecution.ID,
	}
}

// reconcile starts a run. Its workflow tasks have priority over those of grants, which may be many and wait for it.
func (s *orgSync) reconcile(ctx workflow.Context, in messages.ReconcileInput, what string) *childRun {
	first := act.PriorityUrgent
	if in.Scope.Kind != messages.ScopeGrants && in.Scope.Kind != messages.ScopePeople &&
		in.Scope.Kind != messages.ScopeGroups {
		first = act.PriorityBulk
	}
	if in.Progress != nil {
		in.Progress.Workflow = runID(in)
	}
	child, cancel := workflow.WithCancel(ctx)
	child = workflow.WithChildOptions(child, workflow.ChildWorkflowOptions{
		WorkflowID: runID(in), TaskQueue: messages.QueueWorkflows, WaitForCancellation: true,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WorkflowTaskTimeout:   messages.TaskTimeout,
		Priority:              temporal.Priority{PriorityKey: first},
		StaticSummary:         display.Summary(fmt.Sprintf("%s: %s (%s)", s.Org, what, in.Trigger)),
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(s.Org)),
	})
	return &childRun{run: in.Run, scope: in.Scope.Kind, dry: in.DryRun, cancel: cancel,
		future: workflow.ExecuteChildWorkflow(child, messages.Reconcile, in)}
}

// runID returns the workflow ID of a run; an approved hold writes the lines of the run that was held.
func runID(in messages.ReconcileInput) string {
	id := messages.ReconcileID(in.Org, in.Run)
	if in.Scope.Kind == messages.ScopeHold {
		id += ":approved"
	}
	return id
}

// startFull starts the next job, or a full verification, in the background.
func (s *orgSync) startFull(ctx workflow.Context) {
	in := s.newRun(ctx)
	if i := s.nextFullJob(); i >= 0 {
		job := s.takeJob(i)
		in.Scope, in.By, in.Trigger, in.DryRun = job.Scope, job.By, job.Note, in.DryRun || job.Dry
		if job.Scope.Kind == messages.ScopeHold {
			in.Run = job.Scope.Run
		}
		s.runInBackground(ctx, in, &job)
		return
	}
	in.Scope, in.By, in.Trigger = messages.Scope{Kind: messages.ScopeFull}, s.Pending.FullBy, s.Pending.Full
	switch {
	case in.Trigger == "" && s.Problem != nil:
		in.Trigger = "retried after a problem"
	case in.Trigger == "":
		in.Trigger = "on schedule"
	}
	in.Round, in.Since = s.followedByFull()
	// A full verification covers everything that was pending but second looks, which depend on the first.
	s.Pending = messages.Pending{Jobs: s.Pending.Jobs, Settling: s.Pending.Settling, Later: s.Pending.Later,
		Grants: s.Pending.Grants, Provisions: s.Pending.Provisions}
	s.runInBackground(ctx, in, nil)
}

func (s *orgSync) runInBackground(ctx workflow.Context, in messages.ReconcileInput, job *messages.Job) {
	b := s.reconcile(ctx, in, act.DescribeScope(in.Scope))
	b.requested, b.wave = job != nil, in.Scope
	s.full = b
	s.Running = &messages.RunSummary{Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, By: in.By,
		State: messages.RunReading, Started: workflow.Now(ctx), DryRun: in.DryRun}
	workflow.GoNamed(ctx, "run "+in.Run, func(ctx workflow.Context) {
		var sum messages.RunSummary
		err := b.future.Get(ctx, &sum)
		_ = workflow.Await(ctx, func() bool { return !b.lookingUp }) // its hold before its end
		b.over, s.full, s.Running = true, nil, nil
		s.answerBatch(ctx, in.Scope)
		s.answerRestore(ctx, in.Scope)
		sum.Provision = in.Scope.Provision // of a run that failed without a summary, too
		s.recordRun(ctx, sum, err)
		if err == nil && in.Scope.Provision != "" {
			s.retryUnfinished(ctx, in.Scope, sum)
		}
		if job != nil && b.continued && err == nil && sum.State == messages.RunStopped && sum.Problem == nil {
			s.Pending.Jobs = append([]messages.Job{remainingJob(*job, sum)}, s.Pending.Jobs...)
		}
		if job != nil && job.Scope.Provision != "" && (err != nil || sum.Problem != nil) {
			s.keepApproved(*job)
		} else if job != nil && job.Scope.Kind == messages.ScopeHold && (err != nil || sum.Problem != nil) {
			s.Pending.Jobs = append(s.Pending.Jobs, *job) // what was approved stays approved
		} else if job != nil && job.Key > 0 {
			s.outcomes[job.Key] = outcome{sum, err}
		}
		s.wake = true
	})
}

// recordRun records a run's end. Its hold was recorded when the run was judged.
func (s *orgSync) recordRun(ctx workflow.Context, sum messages.RunSummary, err error) {
	if err != nil {
		var cancelled *temporal.CanceledError
		if errors.As(err, &cancelled) {
			return
		}
		sum.Problem = &messages.Problem{Kind: kit.KindOf(err), Message: kit.MessageOf(err)}
	}
	if sum.Run != "" {
		s.LastRun = &sum
	}
	if sum.Provision != "" {
		s.recordProvision(ctx, sum)
		s.followChanges(sum)
		return
	}
	s.ruleWake = true
	s.followChanges(sum)
	switch {
	case sum.Problem != nil:
		s.recordFailure(ctx, *sum.Problem)
	case sum.State == messages.RunStopped: // by this workflow, which has scheduled what comes next
	case sum.DryRun && !s.Settings.DryRun: // somebody's question
	case sum.Scope == messages.ScopeFull:
		s.Problem, s.LastFull, s.Findings, s.Reported, s.Circles = nil, &sum, sum.Findings, sum.Reported, nil
		s.feedAgain = s.Feed.Problem != ""
		s.NextFull = workflow.Now(ctx).Add(s.Settings.Every.Std())
		s.dueEveryProvision("after a full verification")
		if sum.Doubtful {
			s.NextFull = workflow.Now(ctx).Add(min(s.Settings.Every.Std(), doubtfulAgain))
		}
	default:
		s.Problem = nil
	}
}

// doubtfulAgain is how soon everybody is verified again after an incomplete read.
const doubtfulAgain = time.Minute

// lookOptions configure a run of a few people.
type lookOptions struct {
	fresh bool   // read the outline again
	first string // of a second look: the first run
	more  []string
	key   int      // of the job that somebody waits for
	after []string // runs whose people are decided again
}

// startPeopleJob runs the next job that somebody asked for about a few people.
func (s *orgSync) startPeopleJob(ctx workflow.Context) {
	job := s.takeJob(s.nextPeopleJob())
	in := s.newRun(ctx)
	in.Scope, in.By, in.Trigger, in.DryRun = job.Scope, job.By, job.Note, in.DryRun || job.Dry
	s.lookAtFew(ctx, in, lookOptions{key: job.Key})
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
	settling, looked := s.lookAtFew(ctx, in, lookOptions{fresh: p.Fresh})
	others := slices.DeleteFunc(p.People, func(id string) bool { return slices.Contains(settling, id) })
	if looked && (len(others)+len(p.Groups) > 0 || p.Fresh) {
		s.scheduleSecondLook(messages.SecondLook{
			People: others, Groups: p.Groups, Fresh: p.Fresh,
			Due: workflow.Now(ctx).Add(max(s.Settings.Settle.Std(), readLag)), First: in.Run,
		})
	}
}

// scheduleSecondLook schedules a second look at people or, if they become too many, a full verification.
func (s *orgSync) scheduleSecondLook(again messages.SecondLook) {
	many := len(again.People)
	for _, waiting := range s.Pending.Settling {
		many += len(waiting.People)
	}
	if many > 2*mostPending && again.Key == 0 {
		s.requestFull("too many people to decide again one by one", "")
		return
	}
	s.Pending.Settling = append(s.Pending.Settling, again)
}

// readLag is how long Atlassian's reads may lag behind its events: touched people are read once more after it.
const readLag = 5 * time.Second

// takeSecondLook reads people again who seemed to lose something, and removes what the second read also removes. All
// who are due share a run, so that a stream of changes does not queue up; but a person whom somebody waits for is read
// alone.
func (s *orgSync) takeSecondLook(ctx workflow.Context) {
	for isDue(ctx, s.Pending.Later) {
		s.Pending.Settling = append([]messages.SecondLook{s.Pending.Later[0]}, s.Pending.Settling...)
		s.Pending.Later = s.Pending.Later[1:]
	}
	again := s.Pending.Settling[0]
	s.Pending.Settling = s.Pending.Settling[1:]
	how := lookOptions{fresh: again.Fresh, first: again.First, key: again.Key}
	round, since := again.Round, again.Since
	if again.Key == 0 {
		var later []messages.SecondLook
		for _, waiting := range s.Pending.Settling {
			if waiting.Key != 0 || workflow.Now(ctx).Before(waiting.Due) {
				later = append(later, waiting)
				continue
			}
			again.People, again.Groups = merge(again.People, waiting.People), merge(again.Groups, waiting.Groups)
			how.fresh = how.fresh || waiting.Fresh
			how.more = append(how.more, waiting.First)
			round, since = laterRound(round, since, waiting.Round, waiting.Since)
		}
		s.Pending.Settling = later
	}
	in := s.newRun(ctx)
	in.Trigger, in.By = "events, second check", again.By
	in.Round, in.Since = round, since
	in.Scope = messages.Scope{Kind: messages.ScopePeople, People: again.People, Groups: again.Groups}
	if len(again.Groups) > 0 || how.fresh {
		in.Scope.Kind = messages.ScopeGroups
	}
	s.lookAtFew(ctx, in, how)
}

// lastFull returns the last full verification; "" where there was none.
func (s *orgSync) lastFull() string {
	if s.LastFull == nil {
		return ""
	}
	return s.LastFull.Run
}

// lookAtFew reads and decides a few people and, if there is something to write, writes it before the run in the
// background continues. It returns when that is written; verification continues concurrently. settling are people who
// seem to lose something and get a second look; ok is false if they could not be read.
func (s *orgSync) lookAtFew(ctx workflow.Context, in messages.ReconcileInput, how lookOptions) (settling []string,
	ok bool) {
	sum := messages.RunSummary{Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, By: in.By, DryRun: in.DryRun,
		Started: workflow.Now(ctx), State: messages.RunDone, Round: in.Round, Since: in.Since}
	now := sum
	now.State = messages.RunReading
	s.showRunning(&now)
	defer s.show(ctx)
	verdict, err := act.Examine(ctx, reconcile.ExamineInput{
		RunInput: session.RunInput{Org: s.Org, Run: in.Run, Policy: in.Policy, Preview: in.DryRun},
		Trigger:  in.Trigger, By: in.By, Scope: in.Scope, Fresh: how.fresh, DryRun: in.DryRun, First: how.first,
		More: how.more, After: how.after, Since: in.Since,
		Full: s.lastFull(),
	})
	if err != nil {
		s.clearRunning(in.Run)
		s.recordFailedLook(ctx, how, err)
		return nil, false
	}
	s.recordVerdict(ctx, in, verdict)
	sum.Plan, sum.Counts, sum.Hold, sum.Findings, sum.Reported = verdict.Plan, verdict.Counts, verdict.Hold,
		verdict.Findings, verdict.Reported
	waits := len(verdict.Settling) > 0 && how.key > 0
	if len(verdict.Settling) > 0 {
		s.scheduleSecondLook(messages.SecondLook{
			People: verdict.Settling, Due: workflow.Now(ctx).Add(s.settle(ctx, how)), First: in.Run, By: in.By,
			Key: how.key, Round: in.Round, Since: in.Since,
		})
	}
	if verdict.Quiet() {
		s.clearRunning(in.Run)
		s.answerJob(how.key, waits, sum, nil)
		return verdict.Settling, true
	}
	now.State, now.Counts = messages.RunApplying, sum.Counts
	s.pauseFullAfterGrants(ctx)
	begun := sum
	begun.State = messages.RunApplying
	in.Progress = &messages.Progress{Phase: phaseAdopt, Since: workflow.Now(ctx), Run: begun, Settled: how.first != ""}
	if s.Paused != nil || s.Policy != in.Policy { // changed meanwhile
		s.dropLook(ctx, in, sum, how)
		return nil, false
	}
	s.writeFew(ctx, in, how.key, waits)
	return verdict.Settling, true
}

// settle is how long people wait who seem to lose something. Whoever still does at the second look is held up by what
// lags or is too recent: looking again at once would find the same.
func (s *orgSync) settle(ctx workflow.Context, how lookOptions) time.Duration {
	settle := s.Settings.Settle.Std()
	if how.first != "" && settle < readLag &&
		workflow.GetVersion(ctx, "third-looks-wait", workflow.DefaultVersion, 1) > workflow.DefaultVersion {
		return readLag
	}
	return settle
}

// recordVerdict records the guard's verdict on a few people's changes.
func (s *orgSync) recordVerdict(ctx workflow.Context, in messages.ReconcileInput, verdict reconcile.JudgeResult) {
	s.ruleWake = true
	s.tellOutOfBand(ctx, verdict.Regiven)
	s.reportCircles(verdict.Circles)
	if !in.DryRun {
		s.Hold, s.Findings, s.Reported = verdict.Hold, verdict.Findings, verdict.Reported
	}
	switch {
	case verdict.Full != "":
		s.requestFull(verdict.Full, "")
	case verdict.TooMany:
		s.requestFull("many people would lose access", "")
		s.Pending.FullRound, s.Pending.FullSince = laterRound(s.Pending.FullRound, s.Pending.FullSince,
			in.Round, in.Since)
	case verdict.ToCreate && s.Adopted && !s.Settings.DryRun:
		s.requestFull("groups have to be created", "")
	}
}

// writeFew writes a few people's changes. key is the job that somebody waits for; with waits, its answer has to wait
// for a second look.
func (s *orgSync) writeFew(ctx workflow.Context, in messages.ReconcileInput, key int, waits bool) {
	what := act.DescribeScope(in.Scope)
	// for display only from here on
	in.Scope.People, in.Scope.Recount = in.Scope.People[:min(len(in.Scope.People), 20)], nil
	run := s.reconcile(ctx, in, what)
	s.urgent = run
	s.verifying++
	s.show(ctx)
	workflow.GoNamed(ctx, "run "+in.Run, func(ctx workflow.Context) {
		var end messages.RunSummary
		err := run.future.Get(ctx, &end)
		run.over = true
		s.clearRunning(in.Run)
		s.verifying--
		s.recordRun(ctx, end, err)
		s.answerJob(key, waits, end, err)
		s.urgentWritten(ctx, run)
	})
	_ = workflow.Await(ctx, func() bool { return s.urgent != run || s.Paused != nil })
}

// dropLook ends a run whose plan must not be written any more because of a pause or another policy. Everybody is
// verified after that.
func (s *orgSync) dropLook(ctx workflow.Context, in messages.ReconcileInput, sum messages.RunSummary, how lookOptions) {
	sum.State = messages.RunStopped
	ref := session.RunInput{Org: s.Org, Run: in.Run, Policy: in.Policy, Preview: in.DryRun}
	if _, err := act.Finish(ctx, reconcile.FinishInput{RunInput: ref, Scope: in.Scope.Kind, Summary: sum}); err != nil {
		s.log.Warn("a look that was dropped is not closed in the ledger", "run", in.Run, "error", err)
	}
	s.clearRunning(in.Run)
	s.answerJob(how.key, false, sum, kit.Refuse(
		"nothing was written: the organization was paused, or another policy was applied, while this was being decided; try again afterwards"))
	s.requestFull("a partial run was dropped", "")
	s.openGate(ctx)
}

// showRunning shows what a few people's run does, unless one in the background is shown.
func (s *orgSync) showRunning(sum *messages.RunSummary) {
	if s.full == nil {
		s.Running = sum
	}
}

func (s *orgSync) clearRunning(run string) {
	if s.Running != nil && s.Running.Run == run {
		s.Running = nil
	}
}

// urgentWritten lets the background run continue, once the urgent run has nothing left to write.
func (s *orgSync) urgentWritten(ctx workflow.Context, r *childRun) {
	if s.urgent == r {
		s.urgent = nil
		s.openGate(ctx)
	}
	s.wake = true
}

// answerJob answers the caller of a sync, unless a second look is still due.
func (s *orgSync) answerJob(key int, waits bool, sum messages.RunSummary, err error) {
	switch {
	case key == 0:
	case waits && err == nil:
		s.partialChanges[key] += sum.Counts.Done
	default:
		sum.Counts.Done += s.partialChanges[key]
		delete(s.partialChanges, key)
		s.outcomes[key] = outcome{sum, err}
	}
	s.wake = true
}

// recordFailedLook answers the caller of a look that failed, and requests a full verification.
func (s *orgSync) recordFailedLook(ctx workflow.Context, how lookOptions, err error) {
	s.answerJob(how.key, false, messages.RunSummary{}, err)
	if how.key > 0 && kit.KindOf(err) == session.ErrUnknown {
		return // the caller's mistake
	}
	s.requestFull("a partial run failed", "")
	s.recordFailure(ctx, messages.Problem{Kind: kit.KindOf(err), Message: kit.MessageOf(err)})
}

// pauseFull closes the gate of the run in the background, and waits until nothing is in flight.
func (s *orgSync) pauseFull(ctx workflow.Context) {
	if s.Paused == nil {
		s.pauseWrites(ctx, "urgent work goes first", s.full)
	}
}

// pauseWrites closes the gates of runs, and waits until nothing is in flight, whether they are paused already or not.
func (s *orgSync) pauseWrites(ctx workflow.Context, why string, runs ...*childRun) {
	for _, r := range runs {
		if r != nil {
			s.gateTurn++
			turn := s.gateTurn
			s.signal(ctx, r, messages.GateSignal{Closed: true, Why: why, Turn: turn})
			_ = workflow.Await(ctx, func() bool { return r.over || r.turn >= turn })
		}
	}
}

// pauseFullAfterGrants closes the gate of the run in the background, once no run of grants is active.
func (s *orgSync) pauseFullAfterGrants(ctx workflow.Context) {
	for ctx.Err() == nil {
		s.pauseFull(ctx)
		if !s.runningGrants {
			return
		}
		_ = workflow.Await(ctx, func() bool { return !s.runningGrants })
	}
}

// closeGates stops all writes for a pause, except those of grants and undos, which go on, paused or not.
func (s *orgSync) closeGates(ctx workflow.Context, why string) {
	for _, r := range []*childRun{s.urgent, s.full} {
		if r != nil {
			s.gateTurn++
			s.signal(ctx, r, messages.GateSignal{Closed: true, Why: why, Turn: s.gateTurn})
		}
	}
}

// openGate lets one run write: the urgent one, or else the one in the background.
func (s *orgSync) openGate(ctx workflow.Context) {
	if r := s.nextWriter(); r != nil && s.Paused == nil {
		if s.Running != nil && s.Running.Run == r.run && s.Running.State == messages.RunWaiting {
			s.Running.State = messages.RunApplying
		}
		s.gateTurn++
		s.signal(ctx, r, messages.GateSignal{Turn: s.gateTurn})
	}
}

// signal sends a gate signal to a run; that it ended meanwhile is no error.
func (s *orgSync) signal(ctx workflow.Context, r *childRun, gate messages.GateSignal) {
	if err := r.future.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return
	}
	info := workflow.GetInfo(ctx)
	gate.Execution = cmp.Or(info.OriginalRunID, info.WorkflowExecution.RunID) // as the run knows its parent
	if gate.Reset = info.WorkflowExecution.RunID; gate.Reset == gate.Execution {
		gate.Reset = ""
	}
	if err := r.future.SignalChildWorkflow(ctx, messages.Gate, gate).Get(ctx, nil); err != nil {
		s.log.Info("a run ended before it heard of its gate", "run", r.run)
	}
}

// stopRuns stops the runs that write, after what is in flight, and waits for their end. What is to follow must be in
// the state already.
func (s *orgSync) stopRuns(ctx workflow.Context, why string) {
	s.stop(ctx, why, s.urgent, s.full)
}

func (s *orgSync) stop(ctx workflow.Context, why string, runs ...*childRun) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	s.stoppingRuns++
	for _, r := range runs {
		if r != nil {
			s.log.Info("stopping a run", "run", r.run, "why", why)
			r.cancel()
		}
	}
	for _, r := range runs {
		if r != nil {
			_ = workflow.Await(whole, func() bool { return r.over })
		}
	}
	s.stoppingRuns--
	s.wake = true
}

// stopFull stops a full verification, and requests another.
func (s *orgSync) stopFull(ctx workflow.Context, why string) {
	if s.full != nil && s.full.scope == messages.ScopeFull {
		s.requestFull("again: "+why, "")
		s.stop(ctx, why, s.full)
	}
}
