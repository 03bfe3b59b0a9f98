package workflows

import (
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// Bounds of an organization's loop.
const (
	mostPending = 2000 // touched people; beyond that, everybody is verified
	renewAt     = 2000 // history events after which a quiet loop continues as new
)

// OrgSync keeps one organization in step with its policy, indefinitely. Only it starts runs that write to the
// organization, so two runs never write at once.
//
// It watches the event feed and reconciles touched people at once; verifies everybody on schedule, after a new policy
// and after an adoption; holds what the guard stops until somebody decides; and serves people's requests before bulk
// work. Its guarantees are in docs/architecture.md.
func OrgSync(ctx workflow.Context, raw converter.RawValue) error {
	in, err := kit.Input[messages.OrgSyncInput](ctx, messages.OrgSync, raw)
	if err != nil {
		return err
	}
	org, ok := messages.OrgOf(workflow.GetInfo(ctx).WorkflowExecution.ID)
	if !ok {
		return kit.Refuse("the workflow ID must be %s, not %s", messages.OrgSyncID("<organization>"),
			workflow.GetInfo(ctx).WorkflowExecution.ID)
	}
	s := &orgSync{log: workflow.GetLogger(ctx), outcomes: map[int]outcome{}, partialChanges: map[int]int{},
		sourceWatches: map[string]workflow.CancelFunc{}, readNow: map[string]bool{}}
	if in.State != nil {
		if err := kit.CheckStateOf(ctx, in.State.Org, org); err != nil {
			return err
		}
		s.OrgSyncState = *in.State
	} else if len(in.Policy) > 0 {
		s.First = &messages.PolicyInput{Policy: in.Policy, By: in.By}
	}
	s.Org, s.endIfRefused = org, in.EndIfRefused
	if err := s.listen(ctx); err != nil {
		return err
	}
	s.serveGrants(ctx)
	s.watch(ctx)
	s.serveRuleClock(ctx)
	return s.run(ctx)
}

// orgSync is the loop's state: what is carried through continue-as-new, and what is not.
type orgSync struct {
	messages.OrgSyncState
	log      log.Logger
	handlers *kit.MessageHandlers
	history  *kit.Renewal

	lanes

	applyingPolicy  bool            // apply-policy is being handled
	keys            int             // numbers the jobs
	outcomes        map[int]outcome // of jobs that somebody waits for
	partialChanges  map[int]int     // changes made so far for such a job, while a second look is due
	gateTurn        int             // numbers the signals to gates
	namesExecutions bool            // signals of runs name their execution
	ending          bool            // the history is about to end: the watch winds down
	// approvedFirst: what was approved of a provision goes ahead of all else that is due of it, and after a decision it
	// looks at everybody
	approvedFirst   bool
	wake            bool // something changed: look again
	ruleWake        bool // a rule may have begun to hold: ask the rule clock
	askingRuleClock bool // it is being asked
	// the rule clock is asked under every policy: rulings of reviews end by time too
	alwaysClocked bool
	cancelWatch   func()                         // ends the watch so that it starts again
	sourceWatches map[string]workflow.CancelFunc // of the identity sources, by name
	readNow       map[string]bool                // sources that somebody waits for
	watching      bool
	renewal       renewal
	feedAgain     bool     // try the feed again now: something else has just worked
	shown         string   // the state last shown in the search attributes
	shownSources  []string // the same of the identity sources

	endIfRefused bool  // the workflow ends where the first policy is refused
	refusal      error // of it
}

type outcome struct {
	run messages.RunSummary
	err error
}

// run does what is due, the most urgent first, and otherwise waits.
func (s *orgSync) run(ctx workflow.Context) error {
	for {
		s.windDown(ctx)
		s.resumeWatch(ctx)
		s.watchSources(ctx)
		s.handlers.RefuseUnknown(ctx)
		s.show(ctx)
		switch {
		case ctx.Err() != nil:
			s.stopRuns(ctx, "the organization's workflow was cancelled")
			return ctx.Err()
		case s.endable(ctx):
			if kit.YieldToCoroutines(ctx); s.endable(ctx) {
				return s.refusal
			}
		case s.renewable(ctx):
			if kit.YieldToCoroutines(ctx); !s.renewable(ctx) {
				s.handlers.Hold(false)
				continue
			}
			state := s.carriedState(ctx)
			again := workflow.WithWorkflowTaskTimeout(ctx, messages.TaskTimeout) // whatever it was started with
			return workflow.NewContinueAsNewError(again, messages.OrgSync, messages.OrgSyncInput{State: &state})
		case s.drainable(ctx):
			s.drain(ctx)
		case s.blocksRenewal(ctx):
			s.stopForRenewal(ctx)
		case s.firstPolicyDue(ctx):
			s.takeFirstPolicy(ctx)
		case s.mayServe() && s.nextPeopleJob() >= 0:
			s.startPeopleJob(ctx)
		case s.mayServe() && s.anyTouched():
			s.lookAtTouched(ctx)
		case s.mayServe() && s.mayFollowUp():
			s.followUp(ctx)
		case s.mayServe() && s.secondLookDue(ctx):
			s.takeSecondLook(ctx)
		case s.fullDue(ctx):
			s.startFull(ctx)
		case s.provisionDue(ctx):
			s.startProvision(ctx)
		default:
			s.await(ctx)
		}
	}
}

// await waits for a message, an event, the end of a run, or a timer.
func (s *orgSync) await(ctx workflow.Context) {
	s.wake = false
	woken := func() bool {
		return s.wake || s.endable(ctx) || s.renewable(ctx) || s.drainable(ctx) || s.blocksRenewal(ctx) ||
			s.tooLong(ctx) && !s.ending && s.mayWindDown(ctx) || len(s.handlers.Unknown(ctx)) > 0
	}
	due, why := s.nextDue()
	if s.waitsForRenewal(ctx) && !due.After(workflow.Now(ctx)) {
		due = time.Time{} // left to the next history
	}
	if at, renews := s.renewalDue(ctx); !at.IsZero() && (due.IsZero() || at.Before(due)) {
		due, why = at, renews
	}
	if due.IsZero() {
		_ = workflow.Await(ctx, woken)
		return
	}
	kit.AwaitUntil(ctx, due, why, woken)
}

// nextDue returns when something is due next; zero when nothing is.
func (s *orgSync) nextDue() (due time.Time, why string) {
	switch {
	case s.Problem != nil && s.full == nil && (s.Paused == nil || s.nextFullJob() >= 0):
		return s.Problem.Retry, "try again after a problem"
	case s.Paused != nil, s.Problem != nil:
		return due, ""
	case s.Policy == "":
		return due, ""
	}
	if s.full == nil && !s.sourcesUnread() {
		due, why = s.NextFull, "full verification"
	}
	if at, name := s.provisionRetry(); name != "" && s.full == nil && (due.IsZero() || at.Before(due)) {
		due, why = at, "try provision "+name+" again after a problem"
	}
	for _, waiting := range [][]messages.SecondLook{s.Pending.Settling, s.Pending.Later} {
		if len(waiting) > 0 && s.urgent == nil && (due.IsZero() || waiting[0].Due.Before(due)) {
			due, why = waiting[0].Due, "second look at who seems to lose something"
		}
	}
	return due, why
}

// firstPolicyDue reports whether to try, or retry, the policy that the workflow was started with.
func (s *orgSync) firstPolicyDue(ctx workflow.Context) bool {
	return s.First != nil && !s.applyingPolicy && !s.retired() && kit.RetryDue(s.Problem, workflow.Now(ctx))
}

func (s *orgSync) takeFirstPolicy(ctx workflow.Context) {
	if _, err := s.applyPolicy(ctx, *s.First); err != nil {
		s.recordFailure(ctx, messages.Problem{Kind: kit.KindOf(err), Message: kit.MessageOf(err)})
	}
}

// endable reports whether the workflow was started for a policy that was refused, and no other message is pending.
func (s *orgSync) endable(ctx workflow.Context) bool {
	return s.refusal != nil && s.Policy == "" && !s.applyingPolicy && s.handlers.Quiet(ctx)
}

// mayServe reports whether a few people may be reconciled now.
func (s *orgSync) mayServe() bool {
	return s.Policy != "" && s.Paused == nil && s.mayStartUrgent()
}

// nextPeopleJob returns the index of the next job about a few people, or -1.
func (s *orgSync) nextPeopleJob() int {
	for i, job := range s.Pending.Jobs {
		if job.Scope.Kind == messages.ScopePeople {
			return i
		}
	}
	return -1
}

func (s *orgSync) anyTouched() bool {
	p := s.Pending
	return s.Adopted && s.Problem == nil && (len(p.People) > 0 || len(p.Groups) > 0 || (p.Fresh && p.Full == ""))
}

// secondLookDue reports whether a second look is due.
func (s *orgSync) secondLookDue(ctx workflow.Context) bool {
	return isDue(ctx, s.Pending.Settling) || isDue(ctx, s.Pending.Later)
}

func isDue(ctx workflow.Context, waiting []messages.SecondLook) bool {
	return len(waiting) > 0 && !workflow.Now(ctx).Before(waiting[0].Due)
}

// fullDue reports whether to run a hold, an undo or a full verification now.
func (s *orgSync) fullDue(ctx workflow.Context) bool {
	if !s.mayStartFull() || s.Policy == "" || s.applyingPolicy || s.waitsForRenewal(ctx) {
		return false
	}
	now := workflow.Now(ctx)
	if !kit.RetryDue(s.Problem, now) || s.retired() {
		return false
	}
	if s.nextFullJob() >= 0 {
		return true
	}
	if s.Problem == nil && s.sourcesUnread() {
		return false
	}
	return s.Paused == nil && (s.Problem != nil || s.Pending.Full != "" || !now.Before(s.NextFull))
}

// nextFullJob returns the next job for the background that may run now, or -1: while paused, only what takes a run
// back.
func (s *orgSync) nextFullJob() int {
	for i, job := range s.Pending.Jobs {
		if job.Scope.Kind != messages.ScopePeople && (s.Paused == nil || job.Scope.Kind == messages.ScopeUndo ||
			job.Scope.Undo) {
			return i
		}
	}
	return -1
}

// takeJob takes a job out of the list.
func (s *orgSync) takeJob(i int) messages.Job {
	job := s.Pending.Jobs[i]
	s.Pending.Jobs = append(append([]messages.Job{}, s.Pending.Jobs[:i]...), s.Pending.Jobs[i+1:]...)
	return job
}

func (s *orgSync) requestFull(why, by string) {
	s.Pending.Full, s.Pending.FullBy = why, by
	s.wake = true
}

// recordFailure records a problem and when to retry: after 15 s, then twice as long each time, at most five minutes.
func (s *orgSync) recordFailure(ctx workflow.Context, p messages.Problem) {
	s.Problem = kit.RecordFailure(workflow.Now(ctx), s.Problem, p, loopBackoff)
	if p.Kind == session.ErrRetired && workflow.GetVersion(ctx, "retired-rests", workflow.DefaultVersion,
		1) > workflow.DefaultVersion {
		s.retire(ctx)
	}
}

// retire stops the watch, the retries and the schedules of a retired organization, until a policy is applied or
// somebody asks for something.
func (s *orgSync) retire(ctx workflow.Context) {
	s.Problem.Retry = time.Time{}
	s.Feed.Problem = ""
	s.restartWatch()
	s.restartSourceWatches()
	if !s.Settings.Scheduled {
		return
	}
	end := s.handlers.Begin()
	workflow.GoNamed(ctx, "drop schedules", func(ctx workflow.Context) {
		defer func() { end(); s.wake = true }()
		if err := act.KeepSchedules(ctx, reconcile.KeepSchedulesInput{Org: s.Org, Policy: s.Policy}); err != nil {
			s.log.Warn("the schedules of a retired organization are not taken away", "error", err)
		}
	})
}

// retired reports whether the organization is retired.
func (s *orgSync) retired() bool {
	return s.Problem != nil && s.Problem.Kind == session.ErrRetired && s.Problem.Retry.IsZero()
}

// loopBackoff is the backoff of failures in an organization's loop.
var loopBackoff = kit.Backoff{First: 15 * time.Second, Longest: 5 * time.Minute}

// tooLong reports whether the history should end soon.
func (s *orgSync) tooLong(ctx workflow.Context) bool {
	return s.history.Due(ctx)
}

// windDown stops the watch, to get its cursor, once the history should end. Everything else continues.
func (s *orgSync) windDown(ctx workflow.Context) {
	if s.tooLong(ctx) && !s.ending && s.mayWindDown(ctx) {
		s.ending, s.renewal.since = true, workflow.Now(ctx)
		s.restartWatch()
		s.restartSourceWatches()
	}
}

// renewable reports whether the history may end now: nothing runs, nothing is pending, the watch has ended.
func (s *orgSync) renewable(ctx workflow.Context) bool {
	return s.nothingRuns() && !s.runningGrants && s.handlers.Quiet(ctx, messages.ReconcileGrant, messages.LookAt)
}

func (s *orgSync) nothingRuns() bool {
	return s.ending && !s.watching && len(s.sourceWatches) == 0 && s.idleButWatch()
}

// idleButWatch reports whether nothing runs but the watch. A job that nobody waits for continues in the next history.
func (s *orgSync) idleButWatch() bool {
	jobs := len(s.Pending.Jobs) == 0 || s.renewal.watchful && !s.hasWaitingCaller()
	return jobs && s.idle() && !s.applyingPolicy && !s.askingRuleClock
}

// drainable reports whether only a stream of requests keeps the history from ending.
func (s *orgSync) drainable(ctx workflow.Context) bool {
	return s.handlers.Keeps() && s.nothingRuns() && s.history.MayDrain(ctx)
}

// drain waits until all handlers have finished, while new messages wait for the next history. If something takes long,
// such as a request during an outage, or there is something to run, this history continues for now.
func (s *orgSync) drain(ctx workflow.Context) {
	s.handlers.Hold(true)
	if s.runningGrants { // other grants would have to wait for it anyway
		kit.AwaitUntil(ctx, workflow.Now(ctx).Add(time.Minute), "let the run of grants end",
			func() bool { return !s.runningGrants || !s.nothingRuns() })
	}
	s.history.Drain(ctx, func() bool { return s.renewable(ctx) }, func() bool { return !s.nothingRuns() })
}
