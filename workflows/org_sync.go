package workflows

import (
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// Bounds of what an organization's loop carries with it.
const (
	mostPending = 2000 // touched people; past that everybody is looked at
	mostRefused = 10
	mostWords   = 500  // bytes of what people write
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
	s := &orgSync{log: workflow.GetLogger(ctx), done: map[int]outcome{}, parts: map[int]int{}}
	if in.State != nil {
		s.OrgSyncState = *in.State
	} else if len(in.Policy) > 0 {
		s.First = &messages.PolicyInput{Policy: in.Policy, By: in.By}
	}
	s.Org = org
	if err := s.listen(ctx); err != nil {
		return err
	}
	s.attendGrants(ctx)
	s.watch(ctx)
	s.keepTime(ctx)
	return s.run(ctx)
}

// orgSync is the loop's state: what it carries across histories, and what only this run knows.
type orgSync struct {
	messages.OrgSyncState
	log   log.Logger
	words words

	bulk    *running // a full verification, an approved hold or an undo, in the background
	front   *running // a few people's changes being written, ahead of the bulk
	lending *running // what grants give and take is being written: ahead of both
	tails   int      // runs of a few people that are not over yet; all but the front one only verify

	admitting bool            // a policy is just being taken into force
	attending bool            // what grants give and take is just being planned or written
	stopping  int             // runs that are just being ended
	keys      int             // numbers the jobs
	done      map[int]outcome // of jobs that somebody waits for
	parts     map[int]int     // changes made so far for such a job
	turn      int             // numbers what is said to gates
	force     bool            // continue as new as soon as nothing waits
	ending    bool            // the history is about to end: the watch winds down
	closeAt   int             // the history's length at which that is tried again
	wake      bool            // something changed: look again
	ruleWake  bool            // rules may have begun to hold: ask what time means to them
	timing    bool            // that is just being asked
	restart   func()          // ends the watch so that it starts again
	watching  bool
	feedAgain bool   // try the feed again now: something else has just worked
	shown     string // the state last shown in the search attributes
}

type outcome struct {
	run messages.RunSummary
	err error
}

// run serves what is due, most urgent first, and otherwise waits.
func (s *orgSync) run(ctx workflow.Context) error {
	for {
		s.windDown(ctx)
		s.words.refuseUnknown(ctx)
		s.show(ctx)
		switch {
		case ctx.Err() != nil:
			s.stopRuns(ctx, "the organization's workflow was cancelled")
			return ctx.Err()
		case s.renewable(ctx):
			if others(ctx); !s.renewable(ctx) {
				s.keepWords(false)
				continue
			}
			state := s.OrgSyncState
			again := workflow.WithWorkflowTaskTimeout(ctx, messages.TaskTimeout) // whatever it was started with
			return workflow.NewContinueAsNewError(again, messages.OrgSync, messages.OrgSyncInput{State: &state})
		case s.closable(ctx):
			s.close(ctx)
		case s.firstPolicyDue(ctx):
			s.takeFirstPolicy(ctx)
		case s.mayServe() && s.askedFor() >= 0:
			s.serve(ctx)
		case s.mayServe() && s.touched():
			s.lookAtTouched(ctx)
		case s.mayServe() && s.settled(ctx):
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
	woken := func() bool {
		return s.wake || s.renewable(ctx) || s.closable(ctx) || s.tooLong(ctx) && !s.ending || len(s.words.unknown(ctx)) > 0
	}
	due, why := s.nextDue()
	if due.IsZero() {
		_ = workflow.Await(ctx, woken)
		return
	}
	awaitUntil(ctx, due, why, woken)
}

// awaitUntil waits for a condition, or an instant; the timer ends with the waiting.
func awaitUntil(ctx workflow.Context, due time.Time, why string, condition func() bool) {
	once, cancel := workflow.WithCancel(ctx)
	defer cancel()
	_, _ = workflow.AwaitWithOptions(once, workflow.AwaitOptions{
		Timeout:      max(due.Sub(workflow.Now(ctx)), time.Second),
		TimerOptions: workflow.TimerOptions{Summary: why + " at " + due.UTC().Format(time.RFC3339)},
	}, condition)
}

// nextDue is when the clock asks for something; zero when it does not.
func (s *orgSync) nextDue() (due time.Time, why string) {
	switch {
	case s.Problem != nil && s.bulk == nil && (s.Paused == nil || s.bulkJob() >= 0):
		return s.Problem.Retry, "try again after a problem"
	case s.Paused != nil, s.Problem != nil:
		return due, ""
	case s.Policy == "":
		return due, ""
	}
	if s.bulk == nil {
		due, why = s.NextFull, "full verification"
	}
	for _, waiting := range [][]messages.Settling{s.Pending.Settling, s.Pending.Later} {
		if len(waiting) > 0 && s.front == nil && (due.IsZero() || waiting[0].Due.Before(due)) {
			due, why = waiting[0].Due, "second look at who seems to lose something"
		}
	}
	return due, why
}

// firstPolicyDue says that the policy the workflow was started with is to be tried, or tried again.
func (s *orgSync) firstPolicyDue(ctx workflow.Context) bool {
	return s.First != nil && !s.admitting && (s.Problem == nil || !workflow.Now(ctx).Before(s.Problem.Retry))
}

func (s *orgSync) takeFirstPolicy(ctx workflow.Context) {
	if _, err := s.applyPolicy(ctx, *s.First); err != nil {
		s.struggle(ctx, messages.Problem{Kind: kindOf(err), Message: messageOf(err)})
	}
}

// mayServe says that a few people's changes may be looked at and written now.
func (s *orgSync) mayServe() bool {
	return s.Policy != "" && s.Paused == nil && s.front == nil && s.stopping == 0
}

// askedFor is the next job of a few people that somebody asked for, or -1.
func (s *orgSync) askedFor() int {
	for i, job := range s.Pending.Jobs {
		if job.Scope.Kind == messages.ScopePeople {
			return i
		}
	}
	return -1
}

func (s *orgSync) touched() bool {
	p := s.Pending
	return s.Adopted && s.Problem == nil && (len(p.People) > 0 || len(p.Groups) > 0 || (p.Fresh && p.Full == ""))
}

// settled says that a second look is due.
func (s *orgSync) settled(ctx workflow.Context) bool {
	return isDue(ctx, s.Pending.Settling) || isDue(ctx, s.Pending.Later)
}

func isDue(ctx workflow.Context, waiting []messages.Settling) bool {
	return len(waiting) > 0 && !workflow.Now(ctx).Before(waiting[0].Due)
}

// bulkDue says that a hold, an undo or a full verification is to be run now.
func (s *orgSync) bulkDue(ctx workflow.Context) bool {
	if s.bulk != nil || s.front != nil || s.attending || s.Policy == "" || s.stopping > 0 || s.admitting {
		return false
	}
	now := workflow.Now(ctx)
	if s.Problem != nil && now.Before(s.Problem.Retry) {
		return false
	}
	if s.bulkJob() >= 0 {
		return true
	}
	return s.Paused == nil && (s.Problem != nil || s.Pending.Full != "" || !now.Before(s.NextFull))
}

// bulkJob is the next job for the background that may run now, or -1: while paused, only what takes a run back.
func (s *orgSync) bulkJob() int {
	for i, job := range s.Pending.Jobs {
		if job.Scope.Kind != messages.ScopePeople && (s.Paused == nil || job.Scope.Kind == messages.ScopeUndo || job.Scope.Undo) {
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

// struggle notes a problem and when to try again: after 15 s, then twice as long each time, five minutes at the most.
func (s *orgSync) struggle(ctx workflow.Context, p messages.Problem) {
	now := workflow.Now(ctx)
	p.Since, p.Tries = now, 1
	if s.Problem != nil {
		p.Since, p.Tries = s.Problem.Since, s.Problem.Tries+1
	}
	p.Retry = now.Add(backoff(p.Tries))
	s.Problem = &p
}

func backoff(tries int) time.Duration {
	return min(15*time.Second<<min(tries-1, 5), 5*time.Minute)
}

// tooLong says that the history should end soon.
func (s *orgSync) tooLong(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return s.force || info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > renewAt
}

// windDown ends the watch, for its cursor, once the history should end. Until it has ended, everything else goes on.
func (s *orgSync) windDown(ctx workflow.Context) {
	if s.tooLong(ctx) && !s.ending {
		s.ending = true
		s.rewatch()
	}
}

// renewable says that the history may end here: nothing runs, nothing waits, the watch has ended.
func (s *orgSync) renewable(ctx workflow.Context) bool {
	return s.nothingRuns() && !s.attending && !s.words.pending(ctx) && workflow.GetSignalChannel(ctx, messages.Attend).Len() == 0 &&
		workflow.GetSignalChannel(ctx, messages.LookAt).Len() == 0 &&
		workflow.AllHandlersFinished(ctx)
}

func (s *orgSync) nothingRuns() bool {
	return s.ending && !s.watching && s.bulk == nil && s.front == nil && s.tails == 0 && !s.admitting && s.stopping == 0 && len(s.Pending.Jobs) == 0 && !s.timing
}

// How long new requests wait so that a history can end, and how much longer it becomes before that is tried again.
const (
	closeFor   = 4 * time.Second
	closeEvery = 500
)

// closable says that only a stream of requests keeps the history from its end.
func (s *orgSync) closable(ctx workflow.Context) bool {
	return s.words.queue != nil && s.nothingRuns() && workflow.GetInfo(ctx).GetCurrentHistoryLength() >= s.closeAt
}

// close lets what is being handled come to its end, while what comes waits for the next history. If something takes long,
// such as a request during an outage, or there is something to run, this history goes on for now.
func (s *orgSync) close(ctx workflow.Context) {
	s.keepWords(true)
	if s.attending { // others who wait for a grant would have to wait for that anyway
		awaitUntil(ctx, workflow.Now(ctx).Add(time.Minute), "let the run of grants end", func() bool { return !s.attending || !s.nothingRuns() })
	}
	awaitUntil(ctx, workflow.Now(ctx).Add(closeFor), "let the history end", func() bool { return s.renewable(ctx) || !s.nothingRuns() })
	if s.renewable(ctx) {
		return // it ends now
	}
	s.keepWords(false)
	s.closeAt = workflow.GetInfo(ctx).GetCurrentHistoryLength() + closeEvery
}

// keepWords has what comes wait for the next history, or not any more.
func (s *orgSync) keepWords(keep bool) {
	if s.words.queue != nil {
		s.words.queue.closed = keep
	}
}

// closing says that what comes waits for the next history.
func (s *orgSync) closing() bool { return s.words.queue != nil && s.words.queue.closed }
