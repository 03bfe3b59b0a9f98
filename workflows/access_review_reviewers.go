package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// checkEvery is how often it is checked whether reviewers have left.
const checkEvery = 24 * time.Hour

// checkReviewersDue reports whether to check the reviewers, or to ask others.
func (r *accessReview) checkReviewersDue(now time.Time) bool {
	return r.stageRuns(now) && kit.RetryDue(r.Attend, now) &&
		(r.fallbackDue(now) || r.escalateDue(now) || !now.Before(r.Stage.Checked.Add(checkEvery)))
}

func (r *accessReview) fallbackDue(now time.Time) bool {
	return !r.Stage.FellBack && !r.Stage.Fallback.IsZero() && !now.Before(r.Stage.Fallback)
}

// escalation returns when to ask the owner; zero: never, or done.
func (r *accessReview) escalation() time.Time {
	before := r.Settings.Stages[r.Review.Stage-1].Escalate.Std()
	if r.Stage.Escalated || before == 0 {
		return time.Time{}
	}
	return r.Stage.Due.Add(-before)
}

func (r *accessReview) escalateDue(now time.Time) bool {
	at := r.escalation()
	return !at.IsZero() && !now.Before(at)
}

// checkReviewers checks whether reviewers have left, and asks others instead of those who have or were silent.
func (r *accessReview) checkReviewers(ctx workflow.Context) error {
	now := workflow.Now(ctx)
	in := reviews.ReviewAttendInput{ReviewInput: r.id, Stage: r.Review.Stage, Fallback: r.fallbackDue(now),
		Escalate: r.escalateDue(now)}
	attended, err := act.ReviewAttend(ctx, in)
	if err != nil {
		return err
	}
	r.Stage.Checked = now
	r.Stage.FellBack = r.Stage.FellBack || in.Fallback
	r.Stage.Escalated = r.Stage.Escalated || in.Escalate
	r.Gone = attended.Gone[:min(len(attended.Gone), mostReviewers)]
	if attended.Asked > 0 || len(attended.Gone) > 0 {
		r.stale = true
		r.sendNotice(ctx, reviews.ReviewTellInput{ReviewInput: r.id, Kind: reviews.NoticeReviewAsked, Stage: in.Stage})
	}
	return nil
}

// How often decisions are counted.
const (
	countAgain  = 5 * time.Second
	countSlowly = 20 * time.Second // of a large review
	large       = 1000             // items
)

// mostReviewers is how many reviewers the status has, those with most left to decide.
const mostReviewers = 300

// countDue reports whether to count again. Not every decision triggers a count.
func (r *accessReview) countDue(now time.Time) bool {
	return r.Phase == messages.ReviewDeciding && r.Review.Stage > 0 && r.stale && !now.Before(r.recount)
}

// count reads the review's progress from the ledger.
func (r *accessReview) count(ctx workflow.Context) {
	r.stale = false
	whole, _ := workflow.NewDisconnectedContext(ctx)
	p, err := act.ReviewProgress(whole, r.id)
	now := workflow.Now(ctx)
	if err != nil {
		r.stale, r.recount = true, now.Add(longestRetry)
		if workflow.GetVersion(ctx, "counts-again", workflow.DefaultVersion, 1) > workflow.DefaultVersion {
			r.Count = r.nextProblem(whole, r.Count, err)
			r.recount = r.Count.Retry
		}
		return
	}
	r.Count = nil
	if r.recount = now.Add(countAgain); p.Items > large {
		r.recount = now.Add(countSlowly)
	}
	p.Reviewers = p.Reviewers[:min(len(p.Reviewers), mostReviewers)]
	for i := range p.Reviewers {
		p.Reviewers[i].Gone = slices.Contains(r.Gone, p.Reviewers[i].Reviewer)
	}
	r.Status = p
}
