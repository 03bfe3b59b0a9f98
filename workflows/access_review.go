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

// AccessReview runs one review of a campaign, from its opening to its evidence. Items, tasks and decisions are in the
// ledger; the workflow is their schedule. It collects the items, asks reviewers stage by stage, reminds them, asks
// others if they have left or are silent, and ends deciding when everything is decided or the time is over: a review
// always ends. Only the organization's loop then writes the removals, through guard and floors; the workflow waits
// until they were read back.
//
// A cancelled workflow carries out nothing more, and makes its evidence before it ends. A step that fails for as long
// as the campaign's patience is given up: a review that cannot ask anybody, or cannot end deciding, is cancelled;
// removals are reported as late.
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

// reviewOf returns the review in a workflow ID: the campaign, and a date after ":", or after "-" as schedules append
// it.
func reviewOf(in messages.AccessReviewInput, workflowID string) (review string, ok bool) {
	review, ok = messages.ReviewOf(in.Org, workflowID)
	date, named := strings.CutPrefix(review, in.Campaign)
	return review, ok && in.Campaign != "" && named && date != "" && strings.ContainsAny(date[:1], ":-")
}

// reviewInput is the workflow's input, with the state after a continue-as-new.
type reviewInput struct {
	messages.AccessReviewInput
	State *reviewState `json:"state,omitempty"`
}

// reviewState is the state carried through continue-as-new.
type reviewState struct {
	messages.ReviewState
	Kept   []messages.KeptMessage `json:"kept,omitempty"`          // signals that arrived while a history ended
	Attend *messages.Problem      `json:"attendProblem,omitempty"` // why reviewers cannot be checked
	AtOnce *messages.Problem      `json:"atOnceProblem,omitempty"` // why removals cannot be carried out at once
	Count  *messages.Problem      `json:"countProblem,omitempty"`  // why decisions cannot be counted
	Gone   []string               `json:"gone,omitempty"`          // reviewers who had left at the last check
}

// accessReview is the workflow's state: what is carried through continue-as-new, and what is not.
type accessReview struct {
	reviewState
	in       reviewInput
	id       reviews.ReviewInput
	log      log.Logger
	handlers *kit.MessageHandlers
	history  *kit.Renewal

	wake    bool      // something happened: check again what is due
	stale   bool      // the ledger has more than the status: count again
	recount time.Time // not before this
	looked  time.Time // when the removals were last checked
	timer   kit.Timer // for what is due next
	shown   reviewShown

	decisionBatch
	outgoingNotices

	endableWhileProving bool                // close and cancel are accepted while the evidence is being made
	extending           bool                // the end of the stage is being moved
	sideTask            bool                // a side task is running
	stopSide            workflow.CancelFunc // cancels the side task; nil: none, or already cancelled
}

// run does what is due, and otherwise waits. It completes a step even if the workflow is cancelled.
func (r *accessReview) run(ctx workflow.Context) (messages.ReviewStatus, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	r.receiveCancellation(ctx)
	for {
		r.handlers.RefuseUnknown(ctx)
		if r.tooLong(ctx) {
			r.stopSideTask() // the next history repeats it
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

// await waits for a message, a result, or a timer.
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

// receiveCancellation handles the workflow's cancellation like the update cancel. Once the evidence is being made, it
// is too late.
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

// notBegun reports whether the review is not in the ledger yet.
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
