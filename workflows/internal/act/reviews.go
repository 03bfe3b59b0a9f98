package act

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

func ReviewBegin(ctx workflow.Context, in reviews.ReviewBeginInput) (reviews.ReviewBeginResult, error) {
	return call[reviews.ReviewBeginResult](ctx, lookup, in.Org, "see what the policy says of "+in.Campaign,
		activity.Reviews.ReviewBegin, in)
}

func ReviewSweep(ctx workflow.Context, in reviews.ReviewSweepInput, people int) (session.SweepResult, error) {
	return call[session.SweepResult](ctx, pagedRead, in.Org,
		fmt.Sprintf("take the items of people from no. %d on", people+1), activity.Reviews.ReviewSweep, in)
}

func ReviewRank(ctx workflow.Context, in reviews.ReviewInput) (reviews.ReviewRankResult, error) {
	return call[reviews.ReviewRankResult](ctx, record, in.Org, "compare with peers, recommend, order by risk",
		activity.Reviews.ReviewRank, in)
}

func ReviewStage(ctx workflow.Context, in reviews.ReviewStageInput) (reviews.ReviewStageResult, error) {
	return call[reviews.ReviewStageResult](ctx, pagedRead, in.Org, fmt.Sprintf("give out the items of stage %d", in.Stage),
		activity.Reviews.ReviewStage, in)
}

func ReviewAttend(ctx workflow.Context, in reviews.ReviewAttendInput) (reviews.ReviewAttendResult, error) {
	what := "check whether the reviewers are still active"
	switch {
	case in.Escalate:
		what = "ask the owner about undecided items"
	case in.Fallback:
		what = "ask the fallback reviewers about undecided items"
	}
	return call[reviews.ReviewAttendResult](ctx, pagedRead, in.Org, what, activity.Reviews.ReviewAttend, in)
}

func ReviewProgress(ctx workflow.Context, in reviews.ReviewInput) (messages.ReviewProgress, error) {
	return call[messages.ReviewProgress](ctx, ledgerRead, in.Org, "count decisions",
		activity.Reviews.ReviewProgress, in)
}

func ReviewSay(ctx workflow.Context, in reviews.ReviewSayInput) ([]reviews.ReviewMessageResult, error) {
	return call[[]reviews.ReviewMessageResult](ctx, statement, in.Org,
		fmt.Sprintf("record what reviewers said (%d)", len(in.Words)), activity.Reviews.ReviewSay, in)
}

func ReviewTell(ctx workflow.Context, in reviews.ReviewTellInput) (reviews.ReviewTellResult, error) {
	return call[reviews.ReviewTellResult](ctx, noticeBatch, in.Org, "tell people: "+in.Kind, activity.Reviews.ReviewTell, in)
}

func ReviewMark(ctx workflow.Context, in reviews.ReviewMarkInput) (access.Review, error) {
	return call[access.Review](ctx, statement, in.Org, "record that it was "+in.Kind+" by "+in.By,
		activity.Reviews.ReviewMark, in)
}

func ReviewRevoke(ctx workflow.Context, in reviews.ReviewRevokeInput) (int, error) {
	return call[int](ctx, statement, in.Org, "revoke links, as "+in.By+" says", activity.Reviews.ReviewRevoke, in)
}

func ReviewClose(ctx workflow.Context, in reviews.ReviewCloseInput) (reviews.ReviewCloseResult, error) {
	return call[reviews.ReviewCloseResult](ctx, remediation, in.Org,
		"end deciding: what silence means, what is kept, what is to be removed", activity.Reviews.ReviewClose, in)
}

func ReviewCarry(ctx workflow.Context, in reviews.ReviewCarryInput) (reviews.ReviewCarryResult, error) {
	return call[reviews.ReviewCarryResult](ctx, remediation, in.Org, "see how far removals are, read them back",
		activity.Reviews.ReviewCarry, in)
}

func ReviewEnd(ctx workflow.Context, in reviews.ReviewEndInput) (access.Review, error) {
	return call[access.Review](ctx, record, in.Org, "make the evidence", activity.Reviews.ReviewEnd, in)
}
