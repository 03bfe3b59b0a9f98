package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// begin registers the review in the ledger.
func (r *accessReview) begin(ctx workflow.Context) error {
	begun, err := act.ReviewBegin(ctx, reviews.ReviewBeginInput{
		ReviewInput: r.id, Campaign: r.in.Campaign, Run: workflow.GetInfo(ctx).FirstRunID, By: r.in.By,
	})
	if err != nil {
		return err
	}
	r.Review, r.Settings = begun.Review, begun.Settings
	r.resumeFromLedger(workflow.Now(ctx))
	return nil
}

// resumeFromLedger continues from the ledger's state: after a reset, the review may already be open or over.
func (r *accessReview) resumeFromLedger(now time.Time) {
	switch r.Review.State {
	case access.ReviewOpen:
		r.Phase = messages.ReviewDeciding
		if r.Review.Stage > 0 {
			r.startStage(now)
		}
	case access.ReviewClosing:
		r.Phase = messages.ReviewCarrying
		r.Carried = messages.Remediation{Next: now, Until: now.Add(r.Settings.Patience.Std())}
	case access.ReviewDone:
		r.Phase = messages.ReviewOver
	case access.ReviewSkipped:
		r.Phase = messages.ReviewSkipped
	case access.ReviewCancelled:
		r.Phase = messages.ReviewCancelled
	}
}

// collectItems reads people and stores the items, block by block.
func (r *accessReview) collectItems(ctx workflow.Context) error {
	for r.Cursor != "" || r.Block == 0 {
		block, err := act.ReviewSweep(ctx,
			reviews.ReviewSweepInput{ReviewInput: r.id, Cursor: r.Cursor, Block: r.Block, Pages: r.Settings.Pages},
			r.People)
		if err != nil {
			return err
		}
		if block.Next != "" && block.Next == r.Cursor {
			return temporal.NewApplicationError(
				"the read of people goes round in circles: Atlassian answers with the cursor that it was given",
				session.ErrEvidence)
		}
		r.Cursor, r.People, r.Problem = block.Next, r.People+block.People, nil
		r.Block++
		r.show(ctx)
		if r.Cursor != "" && r.tooLong(ctx) {
			return nil // the next history goes on
		}
	}
	taken, err := act.ReviewRank(ctx, r.id)
	if err != nil {
		return err
	}
	r.Review = taken.Review
	r.Phase = messages.ReviewDeciding
	if taken.Items == 0 {
		r.Phase = messages.ReviewProving
	}
	return nil
}

// stageOver reports whether the stage is over: everything is decided, its time is over, or somebody closed it. Before
// the first stage, it is true.
func (r *accessReview) stageOver(now time.Time) bool {
	if r.Phase != messages.ReviewDeciding || r.extending {
		return false
	}
	complete := r.Status.Complete && r.Status.Asked > 0 && !r.stale && r.recorded == r.submitted
	return r.Review.Stage == 0 || r.End != nil || !now.Before(r.Stage.Due) || complete
}

// stageRuns reports whether a stage is in progress and not about to end.
func (r *accessReview) stageRuns(now time.Time) bool {
	return r.Phase == messages.ReviewDeciding && r.Review.Stage > 0 && r.End == nil && r.Cancel == nil &&
		now.Before(r.Stage.Due)
}

// nextStage begins the next stage, or ends deciding if there is none or it would have no items.
func (r *accessReview) nextStage(ctx workflow.Context) error {
	if err := kit.FirstError(r.endSideTask(ctx), r.awaitRecorded(ctx)); err != nil {
		return err
	}
	now := workflow.Now(ctx)
	stage := r.Review.Stage + 1
	if r.End != nil || stage > len(r.Settings.Stages) {
		return r.endDeciding(ctx)
	}
	is := r.Settings.Stages[stage-1]
	begun, err := act.ReviewStage(ctx,
		reviews.ReviewStageInput{ReviewInput: r.id, Stage: stage, Due: now.Add(is.Length.Std())})
	if err != nil {
		return err
	}
	if begun.Items == 0 {
		return r.endDeciding(ctx)
	}
	r.Review = begun.Of
	r.startStage(now)
	if r.reminds(remindStart) {
		r.remind(ctx, remindStart)
	}
	return nil
}

// startStage sets the times of a stage.
func (r *accessReview) startStage(now time.Time) {
	r.Stage = messages.StageState{Began: now, Due: r.Review.Due, Checked: now}
	if after := r.Settings.Stages[r.Review.Stage-1].FallbackAfter.Std(); after > 0 {
		r.Stage.Fallback = now.Add(after)
	}
	r.Attend, r.Gone = nil, nil
	r.stale, r.recount = true, time.Time{}
}

// endDeciding ends deciding; next, the decisions are carried out.
func (r *accessReview) endDeciding(ctx workflow.Context) error {
	in := reviews.ReviewCloseInput{ReviewInput: r.id, Why: "time was over"}
	switch {
	case r.End != nil:
		in.By, in.Why = r.End.By, r.End.Reason
	case r.Status.Complete:
		in.Why = "everything was decided"
	}
	if _, err := act.ReviewClose(ctx, in); err != nil {
		return err
	}
	now := workflow.Now(ctx)
	r.Phase, r.End, r.AtOnce = messages.ReviewCarrying, nil, nil
	r.Carried = messages.Remediation{Next: now, Until: now.Add(r.Settings.Patience.Std())}
	r.Review.State, r.Review.Closed, r.Review.ClosedBy, r.Review.ClosedWhy = access.ReviewClosing, now, in.By, in.Why
	return nil
}

// cancel ends the review without carrying out anything more.
func (r *accessReview) cancel(ctx workflow.Context) error {
	if r.notBegun() {
		r.Phase = messages.ReviewCancelled
		return nil
	}
	if err := r.endSideTask(ctx); err != nil {
		return err
	}
	if _, err := act.ReviewClose(ctx, reviews.ReviewCloseInput{ReviewInput: r.id, By: r.Cancel.By, Why: r.Cancel.Reason,
		Cancel: true}); err != nil {
		return err
	}
	r.Phase, r.End = messages.ReviewProving, nil
	return nil
}

// makeEvidence makes the evidence and ends the review. If that fails and somebody closes the review, it ends without
// evidence.
func (r *accessReview) makeEvidence(ctx workflow.Context) error {
	state, kind, phase := access.ReviewDone, reviews.NoticeReviewDone, messages.ReviewOver
	switch {
	case r.Cancel != nil:
		state, kind, phase = access.ReviewCancelled, reviews.NoticeReviewCancelled, messages.ReviewCancelled
	case r.Review.Items == 0:
		state, kind, phase = access.ReviewSkipped, reviews.NoticeReviewSkipped, messages.ReviewSkipped
	}
	is, err := r.endReview(ctx, reviews.ReviewEndInput{ReviewInput: r.id, State: state, Bare: r.End != nil})
	if err != nil {
		return err
	}
	r.Review = is
	r.count(ctx)
	r.Phase = phase
	r.sendNotice(ctx, reviews.ReviewTellInput{ReviewInput: r.id, Kind: kind})
	return nil
}

// endReview ends the review in the ledger. It is retried forever, or once more after somebody closes the review.
func (r *accessReview) endReview(ctx workflow.Context, in reviews.ReviewEndInput) (access.Review, error) {
	if in.Bare || !r.endableWhileProving {
		return act.ReviewEnd(ctx, in)
	}
	once, stop := workflow.WithCancel(ctx)
	defer stop()
	workflow.GoNamed(once, "hear that it is to end", func(ctx workflow.Context) {
		if workflow.Await(ctx, func() bool { return r.End != nil }) == nil {
			stop()
		}
	})
	is, err := act.ReviewEnd(once, in)
	if err != nil && r.End != nil {
		in.Bare = true
		return act.ReviewEnd(ctx, in)
	}
	return is, err
}
