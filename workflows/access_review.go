package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// AccessReview runs one campaign of the policy's reviews, from its opening to its evidence. Items, tasks and decisions
// stand in the ledger; this is their clock. It takes the items, asks reviewers stage by stage, reminds them, asks
// others where they are gone or silent, and ends deciding when everything is decided or time is over, whichever comes
// first: a review always ends. What was decided to be removed is then written by the organization's loop alone, through
// guard and floors; this waits until it was read back.
//
// A cancelled workflow carries nothing more out, and makes its evidence before it ends. What fails for as long as the
// campaign has patience is given up: a review that cannot ask anybody, or cannot end deciding, is cancelled; removals
// are reported as late.
func AccessReview(ctx workflow.Context, raw converter.RawValue) (messages.ReviewStatus, error) {
	in, err := kit.Input[reviewInput](ctx, messages.AccessReview, raw)
	if err != nil {
		return messages.ReviewStatus{}, err
	}
	review, ok := reviewOf(in.AccessReviewInput, workflow.GetInfo(ctx).WorkflowExecution.ID)
	if !ok {
		return messages.ReviewStatus{},
			kit.Refuse("the workflow ID must be %s, not %s", messages.ReviewID(in.Org, in.Campaign+":<date>"),
				workflow.GetInfo(ctx).WorkflowExecution.ID)
	}
	r := &accessReview{in: in, id: reviews.ReviewInput{Org: in.Org, Review: review}, log: workflow.GetLogger(ctx),
		stale: true}
	r.Phase = messages.ReviewTaking
	if in.State != nil {
		if err := kit.CheckStateOf(ctx, in.State.Workflow, workflow.GetInfo(ctx).WorkflowExecution.ID); err != nil {
			return messages.ReviewStatus{}, err
		}
		r.reviewState = *in.State
		r.Sent, r.Told = append(r.Sent, messages.ReviewNotices(r.Told)...), nil
	}
	r.Workflow = workflow.GetInfo(ctx).WorkflowExecution.ID
	r.in.State = nil
	r.endableWhileProving = workflow.GetVersion(ctx, "evidence-hurries", workflow.DefaultVersion, 1) > workflow.DefaultVersion
	if err := r.listen(ctx); err != nil {
		return r.status(ctx), err
	}
	kit.YieldToCoroutines(ctx)
	status, err := r.run(ctx)
	return display.Answer(status), kit.PlainError(err)
}

// reviewOf is the review in a workflow ID: the campaign, and a date after ":", or after "-" as schedules append it.
func reviewOf(in messages.AccessReviewInput, workflowID string) (review string, ok bool) {
	review, ok = messages.ReviewOf(in.Org, workflowID)
	date, named := strings.CutPrefix(review, in.Campaign)
	return review, ok && in.Campaign != "" && named && date != "" && strings.ContainsAny(date[:1], ":-")
}

// reviewInput is the workflow's input, with all that a history carries to the next one.
type reviewInput struct {
	messages.AccessReviewInput
	State *reviewState `json:"state,omitempty"`
}

// reviewState is what is carried from history to history: ReviewState, and what nobody else has to know.
type reviewState struct {
	messages.ReviewState
	Kept   []messages.KeptMessage `json:"kept,omitempty"`          // signals that came while a history ended
	Attend *messages.Problem      `json:"attendProblem,omitempty"` // why reviewers cannot be looked after
	AtOnce *messages.Problem      `json:"atOnceProblem,omitempty"` // why removals cannot be carried out at once
	Count  *messages.Problem      `json:"countProblem,omitempty"`  // why it cannot be counted what is decided
	Gone   []string               `json:"gone,omitempty"`          // reviewers who were not there at the last look
}

// accessReview is the state: what is carried across histories, and what only this run knows.
type accessReview struct {
	reviewState
	in       reviewInput
	id       reviews.ReviewInput
	log      log.Logger
	handlers *kit.MessageHandlers
	history  *kit.Renewal

	wake    bool      // something happened: look again
	stale   bool      // the ledger knows more than the status: count again
	recount time.Time // not before this
	looked  time.Time // when it was looked last how far removals are
	timer   kit.Timer // of what is due next
	shown   reviewShown

	decisionBatch
	outgoingNotices

	endableWhileProving bool                // close and cancel are heard while the evidence is being made
	extending           bool                // the end of the stage is just being moved
	sideTask            bool                // something is done beside all else
	stopSide            workflow.CancelFunc // ends that; nil: nothing is to be ended
}

// run does what is due, and otherwise waits. What it does, it does to the end, even when it is cancelled.
func (r *accessReview) run(ctx workflow.Context) (messages.ReviewStatus, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	r.receiveCancellation(ctx)
	for {
		r.handlers.RefuseUnknown(ctx)
		if r.tooLong(ctx) {
			r.stopSideTask() // the next history does it again
		}
		r.setTimer(whole)
		r.show(whole)
		now := workflow.Now(ctx)
		r.dropMootProblem(now)
		switch {
		case r.over():
			if kit.YieldToCoroutines(ctx); r.drained(ctx) {
				return r.end(ctx)
			}
			r.await(whole)
		case r.renewable(ctx):
			if kit.YieldToCoroutines(ctx); r.renewable(ctx) {
				return r.renew(ctx)
			}
			r.handlers.Hold(false)
		case r.drainable(ctx):
			r.history.Drain(whole, func() bool { return r.renewable(ctx) }, nil)
		case r.lostFromLedger(now):
			return r.status(ctx), temporal.NewNonRetryableApplicationError(r.Problem.Message, r.Problem.Kind, nil)
		case r.cancelling() && r.mayTry(now):
			_ = r.attemptUninterrupted(whole, r.cancel)
		case r.cancelling():
			r.await(whole)
		case r.notBegun() && r.mayTry(now):
			if err := r.attemptUninterrupted(whole, r.begin); err != nil &&
				(isPermanent(err) || r.triedFor(whole, beginPatience)) {
				return r.status(ctx), err
			}
		case r.Phase == messages.ReviewTaking && !r.notBegun() && r.mayTry(now):
			r.attempt(whole, r.collectItems)
		case r.countDue(now):
			r.count(whole)
		case r.stageOver(now) && r.mayTry(now):
			r.attempt(whole, r.nextStage)
		case r.checkReviewersDue(now) && r.mayStart(ctx):
			r.runSideTask(whole, &r.Attend, r.checkReviewers)
		case r.reminderDue(now) != "":
			r.remind(whole, r.reminderDue(now))
		case r.atOnceDue(now) && r.mayStart(ctx):
			r.runSideTask(whole, &r.AtOnce, r.remediateAtOnce)
		case r.remediationDue(now) && r.mayTry(now):
			r.attempt(whole, r.remediate)
		case r.Phase == messages.ReviewProving && r.mayTry(now):
			_ = r.attemptUninterrupted(whole, r.makeEvidence)
		default:
			r.await(whole)
		}
	}
}

// await waits until something happens: a message, a result, or a timer.
func (r *accessReview) await(ctx workflow.Context) {
	r.wake = false
	_ = workflow.Await(ctx, func() bool {
		switch {
		case r.wake || len(r.handlers.Unknown(ctx)) > 0:
			return true
		case r.over():
			return r.drained(ctx)
		}
		return r.renewable(ctx) || r.drainable(ctx) || r.stopSide != nil && r.tooLong(ctx)
	})
}

// receiveCancellation takes a cancellation by Temporal like the word cancel. Once the evidence is being made, it comes
// too late.
func (r *accessReview) receiveCancellation(ctx workflow.Context) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	workflow.GoNamed(whole, "cancellation", func(whole workflow.Context) {
		ctx.Done().Receive(whole, nil)
		if r.Cancel == nil && r.Phase != messages.ReviewProving && !r.over() {
			r.requestCancel(messages.EndReviewInput{By: "Temporal", Reason: "the review's workflow was cancelled"})
		}
	})
}

// requestCancel cancels the review, ahead of everything else.
func (r *accessReview) requestCancel(in messages.EndReviewInput) {
	r.Cancel, r.Problem, r.wake = &in, nil, true
	r.stopSideTask()
}

// cancelling reports whether the review is being cancelled.
func (r *accessReview) cancelling() bool { return r.Cancel != nil && r.Phase != messages.ReviewProving }

// notBegun reports whether the ledger does not know of the review yet.
func (r *accessReview) notBegun() bool { return r.Phase == messages.ReviewTaking && r.Review.ID == "" }

// over reports whether nothing is left to do.
func (r *accessReview) over() bool {
	return r.Phase == messages.ReviewOver || r.Phase == messages.ReviewSkipped || r.Phase == messages.ReviewCancelled
}

// end returns the workflow's result.
func (r *accessReview) end(ctx workflow.Context) (messages.ReviewStatus, error) {
	if r.Phase == messages.ReviewCancelled {
		return r.status(ctx), ctx.Err()
	}
	return r.status(ctx), nil
}
