package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

func reviewBegin(ctx workflow.Context, in activities.ReviewBeginInput) (activities.ReviewBegun, error) {
	return call[activities.ReviewBegun](ctx, lookup, in.Org, "see what the policy says of "+in.Campaign, act.ReviewBegin, in)
}

func reviewSweep(ctx workflow.Context, in activities.ReviewSweepInput, people int) (activities.SweepResult, error) {
	return call[activities.SweepResult](ctx, walk, in.Org, fmt.Sprintf("take the items of people from no. %d on", people+1), act.ReviewSweep, in)
}

func reviewRank(ctx workflow.Context, in activities.ReviewInput) (activities.ReviewTaken, error) {
	return call[activities.ReviewTaken](ctx, record, in.Org, "compare with peers, recommend, order by risk", act.ReviewRank, in)
}

func reviewStage(ctx workflow.Context, in activities.ReviewStageInput) (activities.ReviewStageBegun, error) {
	return call[activities.ReviewStageBegun](ctx, walk, in.Org, fmt.Sprintf("give out the items of stage %d", in.Stage), act.ReviewStage, in)
}

func reviewAttend(ctx workflow.Context, in activities.ReviewAttendInput) (activities.ReviewAttended, error) {
	what := "see whether the reviewers are still there"
	switch {
	case in.Escalate:
		what = "ask the owner about what nobody decided"
	case in.Fallback:
		what = "ask the fallback about what nobody decided"
	}
	return call[activities.ReviewAttended](ctx, walk, in.Org, what, act.ReviewAttend, in)
}

func reviewProgress(ctx workflow.Context, in activities.ReviewInput) (messages.ReviewProgress, error) {
	return call[messages.ReviewProgress](ctx, endless, in.Org, "count what is decided", act.ReviewProgress, in)
}

func reviewSay(ctx workflow.Context, in activities.ReviewSayInput) ([]activities.ReviewHeard, error) {
	return call[[]activities.ReviewHeard](ctx, hearing, in.Org, fmt.Sprintf("record what reviewers said (%d)", len(in.Words)), act.ReviewSay, in)
}

func reviewTell(ctx workflow.Context, in activities.ReviewTellInput) (activities.ReviewTold, error) {
	return call[activities.ReviewTold](ctx, digest, in.Org, "tell people: "+in.Kind, act.ReviewTell, in)
}

func reviewMark(ctx workflow.Context, in activities.ReviewMarkInput) (access.Review, error) {
	return call[access.Review](ctx, hearing, in.Org, "record that it was "+in.Kind+" by "+in.By, act.ReviewMark, in)
}

func reviewRevoke(ctx workflow.Context, in activities.ReviewRevokeInput) (int, error) {
	return call[int](ctx, hearing, in.Org, "revoke links, as "+in.By+" says", act.ReviewRevoke, in)
}

func reviewClose(ctx workflow.Context, in activities.ReviewCloseInput) (activities.ReviewClosed, error) {
	return call[activities.ReviewClosed](ctx, settle, in.Org, "end deciding: what silence means, what is kept, what is to be removed", act.ReviewClose, in)
}

func reviewCarry(ctx workflow.Context, in activities.ReviewCarryInput) (activities.ReviewCarried, error) {
	return call[activities.ReviewCarried](ctx, settle, in.Org, "see how far removals are, read them back", act.ReviewCarry, in)
}

func reviewEnd(ctx workflow.Context, in activities.ReviewEndInput) (access.Review, error) {
	return call[access.Review](ctx, record, in.Org, "make the evidence", act.ReviewEnd, in)
}
