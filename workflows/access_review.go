package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// AccessReview runs one campaign of the policy's reviews, from its opening to its evidence. Items, tasks and decisions stand in the
// ledger; this is their clock. It takes the items, asks reviewers stage by stage, reminds them, asks others where they are gone or
// silent, and ends deciding when everything is decided or time is over, whichever comes first: a review always ends. What was decided
// to be removed is then written by the organization's loop alone, through guard and floors; this waits until it was read back.
//
// A cancelled workflow carries nothing more out, and makes its evidence before it ends. What fails for as long as the campaign has
// patience is given up: a review that cannot ask anybody, or cannot end deciding, is cancelled; removals are reported as late.
func AccessReview(ctx workflow.Context, in reviewInput) (messages.ReviewStatus, error) {
	review, ok := reviewOf(in.AccessReviewInput, workflow.GetInfo(ctx).WorkflowExecution.ID)
	if !ok {
		return messages.ReviewStatus{}, refuse("the workflow ID must be %s, not %s", messages.ReviewID(in.Org, in.Campaign+":<date>"), workflow.GetInfo(ctx).WorkflowExecution.ID)
	}
	r := &accessReview{in: in, id: activities.ReviewInput{Org: in.Org, Review: review}, log: workflow.GetLogger(ctx), stale: true}
	r.Phase = messages.ReviewTaking
	if in.State != nil {
		r.reviewState = *in.State
	}
	r.in.State = nil
	if err := r.listen(ctx); err != nil {
		return r.status(ctx), err
	}
	others(ctx)
	return r.run(ctx)
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

// reviewState is what is carried from history to history: ReviewCarry, and what nobody else has to know.
type reviewState struct {
	messages.ReviewCarry
	Kept   []messages.KeptWord `json:"kept,omitempty"`          // signals that came while a history ended
	Attend *messages.Problem   `json:"attendProblem,omitempty"` // why reviewers cannot be looked after
	AtOnce *messages.Problem   `json:"atOnceProblem,omitempty"` // why removals cannot be carried out at once
	Gone   []string            `json:"gone,omitempty"`          // reviewers who were not there at the last look
}

// accessReview is the state: what is carried across histories, and what only this run knows.
type accessReview struct {
	reviewState
	in    reviewInput
	id    activities.ReviewInput
	log   log.Logger
	words words

	wake    bool      // something happened: look again
	stale   bool      // the ledger knows more than the status: count again
	recount time.Time // not before this
	looked  time.Time // when it was looked last how far removals are
	timer   timer     // of what is due next
	shown   reviewShown

	saying
	tellings

	extending bool                // the end of the stage is just being moved
	beside    bool                // something is done beside all else
	stop      workflow.CancelFunc // ends that; nil: nothing is to be ended

	force   bool // continue as new as soon as nothing waits
	closed  bool // the history is about to end: what comes waits for the next one
	closeAt int  // the history's length at which that is tried again
}

// run does what is due, and otherwise waits. What it does, it does to the end, even when it is cancelled.
func (r *accessReview) run(ctx workflow.Context) (messages.ReviewStatus, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	r.hearCancellation(ctx)
	for {
		r.words.refuseUnknown(ctx)
		r.makeWay(ctx)
		r.arm(whole)
		r.show(whole)
		now := workflow.Now(ctx)
		r.forget(now)
		switch {
		case r.over():
			if others(ctx); r.silent(ctx) {
				return r.end(ctx)
			}
			r.await(whole)
		case r.renewable(ctx):
			if others(ctx); r.renewable(ctx) {
				return r.renew(ctx)
			}
			r.keepWords(false)
		case r.closable(ctx):
			r.closeHistory(whole)
		case r.lost(now):
			return r.status(ctx), temporal.NewNonRetryableApplicationError(r.Problem.Message, r.Problem.Kind, nil)
		case r.ending() && r.mayTry(now):
			_ = r.insist(whole, r.cancel)
		case r.ending():
			r.await(whole)
		case r.unknown() && r.mayTry(now):
			if err := r.insist(whole, r.begin); err != nil && (hopeless(err) || r.triedFor(whole, beginPatience)) {
				return r.status(ctx), err
			}
		case r.Phase == messages.ReviewTaking && !r.unknown() && r.mayTry(now):
			r.try(whole, r.open)
		case r.countable(now):
			r.count(whole)
		case r.decided(now) && r.mayTry(now):
			r.try(whole, r.nextStage)
		case r.attendDue(now) && r.mayStart(ctx):
			r.aside(whole, &r.Attend, r.attend)
		case r.untold(now) != "":
			r.remind(whole, r.untold(now))
		case r.atOnceDue(now) && r.mayStart(ctx):
			r.aside(whole, &r.AtOnce, r.carryAtOnce)
		case r.carryDue(now) && r.mayTry(now):
			r.try(whole, r.carry)
		case r.Phase == messages.ReviewProving && r.mayTry(now):
			_ = r.insist(whole, r.prove)
		default:
			r.await(whole)
		}
	}
}

// await waits until something happens: a word, a result, the clock.
func (r *accessReview) await(ctx workflow.Context) {
	r.wake = false
	_ = workflow.Await(ctx, func() bool {
		switch {
		case r.wake || len(r.words.unknown(ctx)) > 0:
			return true
		case r.over():
			return r.silent(ctx)
		}
		return r.renewable(ctx) || r.closable(ctx) || r.stop != nil && r.tooLong(ctx)
	})
}

// hearCancellation takes a cancellation by Temporal like the word cancel. Once the evidence is being made, it comes too late.
func (r *accessReview) hearCancellation(ctx workflow.Context) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	workflow.GoNamed(whole, "cancellation", func(whole workflow.Context) {
		ctx.Done().Receive(whole, nil)
		if r.Cancel == nil && r.Phase != messages.ReviewProving && !r.over() {
			r.stopAll(messages.EndReviewInput{By: "Temporal", Reason: "the review's workflow was cancelled"})
		}
	})
}

// stopAll has the review cancelled, ahead of all else.
func (r *accessReview) stopAll(in messages.EndReviewInput) {
	r.Cancel, r.Problem, r.wake = &in, nil, true
	r.stopBeside()
}

// ending says that the review is to be cancelled.
func (r *accessReview) ending() bool { return r.Cancel != nil && r.Phase != messages.ReviewProving }

// unknown says that the ledger does not know of the review yet.
func (r *accessReview) unknown() bool { return r.Phase == messages.ReviewTaking && r.Review.ID == "" }

// over says that nothing is left to do.
func (r *accessReview) over() bool {
	return r.Phase == messages.ReviewOver || r.Phase == messages.ReviewSkipped || r.Phase == messages.ReviewCancelled
}

// end is how the workflow ends.
func (r *accessReview) end(ctx workflow.Context) (messages.ReviewStatus, error) {
	if r.Phase == messages.ReviewCancelled {
		return r.status(ctx), ctx.Err()
	}
	return r.status(ctx), nil
}
