package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// listen registers the handlers of all messages to a review.
func (r *accessReview) listen(ctx workflow.Context) error {
	if err := kit.AnswerQuery(ctx, messages.Status,
		"the review's progress, who has what left to decide, and what comes next", func() messages.ReviewStatus {
			return r.status(ctx)
		}); err != nil {
		return err
	}
	h := kit.NewMessageHandlers(kit.Options{
		Org: r.in.Org, Review: r.id.Review, Refused: r.recordRefusal,
		Closed: func() bool { return r.handlers.Holds() || r.full() },
	})
	r.handlers, r.history = h, kit.NewRenewal(h, kit.Limits{Events: renewReviewAt, Updates: renewUpdates})
	err := kit.FirstError(
		kit.Handle(ctx, h, messages.DecideItems, "decide which items are kept and which are removed", r.checkDecide, r.decide),
		kit.Handle(ctx, h, messages.DelegateItems, "delegate items to someone else", r.checkDelegate, r.delegate),
		kit.Handle(ctx, h, messages.CommentItem, "comment on an item", r.checkComment, r.comment),
		kit.Handle(ctx, h, messages.ReopenItems, "withdraw decisions, while the stage lasts",
			r.checkReopen, r.reopen),
		kit.Handle(ctx, h, messages.Remind, "remind reviewers, with a new link and code", r.checkRemind,
			r.remindNow),
		kit.Handle(ctx, h, messages.RevokeLinks, "invalidate the links and codes sent so far", r.checkRevokeLinks,
			r.revokeLinks),
		kit.Handle(ctx, h, messages.Extend, "extend the current stage", r.checkExtend, r.extend),
		kit.Handle(ctx, h, messages.CloseReview, "end deciding now and carry out what was decided", r.checkClose,
			r.closeNow),
		kit.Handle(ctx, h, messages.CancelReview, "end the review without carrying out anything more", r.checkCancel,
			r.cancelNow),
	)
	if err != nil {
		return err
	}
	h.ListensTo(messages.Look, messages.ForceContinueAsNew)
	h.Keep(&r.Kept)
	whole, _ := workflow.NewDisconnectedContext(ctx) // a cancelled workflow handles messages until it ends
	r.recordDecisions(whole)
	h.ServeQueue(whole)
	h.Serve(whole)
	kit.ReceiveSignal(whole, h, messages.Look, func() { r.stale, r.wake = true, true })
	kit.ReceiveSignal(whole, h, messages.ForceContinueAsNew, func() { r.history.Force(); r.wake = true })
	return nil
}

func (r *accessReview) recordRefusal(one messages.RefusedMessage) {
	r.Refused, r.wake = kit.KeepRefused(r.Refused, one), true
}

// checkOpen returns an error if nothing can be decided now.
func (r *accessReview) checkOpen(by string) error {
	switch {
	case by == "":
		return kit.Refuse("by is missing: say who you are, by e-mail address or account id")
	case r.Phase == messages.ReviewTaking || r.Phase == messages.ReviewDeciding && r.Review.Stage == 0:
		return kit.Refuse("the review is just opening; try again in a moment")
	case r.Phase != messages.ReviewDeciding:
		return kit.Refuse("deciding is over: the review is %s", r.Phase)
	case r.Cancel != nil || r.End != nil:
		return kit.Refuse("deciding is over: the review is just being closed")
	}
	return checkName(by)
}

func checkVerdict(v access.Verdict) error {
	if v != access.VerdictKeep && v != access.VerdictRemove {
		return kit.Refuse("the verdict %q is unknown; say %s or %s", v, access.VerdictKeep, access.VerdictRemove)
	}
	return nil
}

// checkItems checks the selection of items.
func checkItems(items []int, all *messages.ItemFilter, lines int) error {
	given := 0
	for _, present := range []bool{len(items) > 0, all != nil, lines > 0} {
		if present {
			given++
		}
	}
	switch n := len(items) + lines; {
	case given > 1:
		return kit.Refuse("name the items by only one of items, all and lines")
	case n > messages.MostItems:
		return kit.Refuse("%d items at once; at most %d are allowed", n, messages.MostItems)
	}
	return nil
}

// checkName refuses a name that is too long to be an address or an account id.
func checkName(name string) error {
	if len(name) > mostName {
		return kit.Refuse("%q is neither an e-mail address nor an account id: it is too long", name[:32]+"…")
	}
	return nil
}

// mostName is how long an address or an account id may be, in bytes.
const mostName = 320

func (r *accessReview) checkDecide(in messages.DecideInput) error {
	if err := kit.FirstError(r.checkOpen(in.By), checkItems(in.Items, in.All, len(in.Lines))); err != nil {
		return err
	}
	if len(in.Items) == 0 && in.All == nil && len(in.Lines) == 0 {
		return kit.Refuse("items are missing: give their numbers as items, or a filter as all, for example {\"person\":\"ana@acme.example\"}")
	}
	if len(in.Lines) == 0 {
		return checkVerdict(in.Verdict)
	}
	for _, line := range in.Lines {
		if err := checkVerdict(line.Verdict); err != nil {
			return err
		}
	}
	return nil
}

// decide records a reviewer's verdicts. Only the hash of a code is passed on.
func (r *accessReview) decide(ctx workflow.Context, in messages.DecideInput) (messages.ReviewAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code = ""
	return r.submit(ctx, reviews.ReviewMessage{Decide: &in, CodeHash: hash})
}

func (r *accessReview) checkDelegate(in messages.DelegateInput) error {
	if err := kit.FirstError(r.checkOpen(in.By), checkItems(in.Items, in.All, 0)); err != nil {
		return err
	}
	if in.To == "" {
		return kit.Refuse("to is missing: say who decides instead, by e-mail address or account id")
	}
	return checkName(in.To)
}

func (r *accessReview) delegate(ctx workflow.Context, in messages.DelegateInput) (messages.ReviewAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code = ""
	return r.submit(ctx, reviews.ReviewMessage{Delegate: &in, CodeHash: hash})
}

func (r *accessReview) checkComment(in messages.CommentInput) error {
	switch err := r.checkOpen(in.By); {
	case err != nil:
		return err
	case in.Item <= 0:
		return kit.Refuse("item is missing: give its number")
	case in.Comment == "":
		return kit.Refuse("comment is missing")
	}
	return nil
}

func (r *accessReview) comment(ctx workflow.Context, in messages.CommentInput) (messages.ReviewAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code = ""
	return r.submit(ctx, reviews.ReviewMessage{Comment: &in, CodeHash: hash})
}

func (r *accessReview) checkReopen(in messages.ReopenInput) error {
	if err := kit.FirstError(r.checkOpen(in.By), checkItems(in.Items, in.All, 0)); err != nil {
		return err
	}
	if len(in.Items) == 0 && in.All == nil {
		return kit.Refuse("items are missing: give their numbers as items, or a filter as all")
	}
	return nil
}

func (r *accessReview) reopen(ctx workflow.Context, in messages.ReopenInput) (messages.ReviewAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code = ""
	return r.submit(ctx, reviews.ReviewMessage{Reopen: &in, CodeHash: hash})
}

func (r *accessReview) checkRemind(in messages.RemindInput) error {
	return kit.FirstError(r.checkOpen(in.By), checkName(in.Reviewer))
}

// remindNow sends reviewers another notice.
func (r *accessReview) remindNow(ctx workflow.Context, in messages.RemindInput) (messages.Answer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	told, err := act.ReviewTell(whole, reviews.ReviewTellInput{
		ReviewInput: r.id, Kind: reviews.NoticeReviewReminder, Stage: r.Review.Stage,
		When: workflow.Now(ctx).UTC().Format(time.RFC3339Nano), Reviewer: in.Reviewer,
	})
	if err != nil {
		return messages.Answer{}, err
	}
	r.Untold, r.wake = kit.Bounded(told.Untold), true
	return messages.Answer{Message: fmt.Sprintf("reminded: %d of the reviewers", told.Told)}, nil
}

func (r *accessReview) checkRevokeLinks(in messages.RevokeLinksInput) error {
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who revokes them")
	case r.notBegun():
		return kit.Refuse("the review is just opening; no links were sent yet")
	}
	return checkName(in.Reviewer)
}

func (r *accessReview) revokeLinks(ctx workflow.Context, in messages.RevokeLinksInput) (messages.Answer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	n, err := act.ReviewRevoke(whole, reviews.ReviewRevokeInput{ReviewInput: r.id, RevokeLinksInput: in})
	if err != nil {
		return messages.Answer{}, err
	}
	return messages.Answer{Message: fmt.Sprintf(
		"revoked: %d links, and the codes sent with them. The update %s sends new ones", n, messages.Remind)}, nil
}

func (r *accessReview) checkExtend(in messages.ExtendReviewInput) error {
	switch err := r.checkOpen(in.By); {
	case err != nil:
		return err
	case in.Duration <= 0:
		return kit.Refuse("duration is missing: say how much longer, for example \"72h\"")
	case in.Duration.Std() > mostExtension:
		return kit.Refuse("%s is too long; at most %s at once", in.Duration, mostExtension)
	}
	return nil
}

// mostExtension is by how much a stage is extended at once.
const mostExtension = 90 * 24 * time.Hour

// extend moves the end of the current stage. The stage does not end before that is recorded.
func (r *accessReview) extend(ctx workflow.Context, in messages.ExtendReviewInput) (messages.Answer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.Await(whole, func() bool { return !r.extending }); err != nil {
		return messages.Answer{}, err
	}
	if err := r.checkOpen(in.By); err != nil {
		return messages.Answer{}, err // the stage ended meanwhile
	}
	r.extending = true
	defer func() { r.extending, r.wake = false, true }()
	due := r.Stage.Due.Add(in.Duration.Std())
	is, err := act.ReviewMark(whole, reviews.ReviewMarkInput{
		ReviewInput: r.id, Kind: access.EventExtended, By: kit.Bounded(in.By),
		Text: oneLine("until " + instant(due) + " " + kit.Bounded(in.Reason)), Due: due,
	})
	if err != nil {
		return messages.Answer{}, err
	}
	r.Review, r.Stage.Due = is, is.Due
	r.Problem = nil // the next stage, which could not begin, is not due yet
	r.rescheduleBeforeEnd(workflow.Now(ctx))
	return messages.Answer{Message: "the stage ends at " + instant(is.Due)}, nil
}

func (r *accessReview) checkClose(in messages.EndReviewInput) error {
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who closes it")
	case r.makingEvidence():
	case r.Phase == messages.ReviewTaking || r.Review.Stage == 0:
		return kit.Refuse("the review is just opening; to stop it, use %s", messages.CancelReview)
	case r.over() || r.Phase == messages.ReviewProving || r.Cancel != nil:
		return kit.Refuse("the review is %s", r.Phase)
	}
	return nil
}

// closeNow ends deciding; once deciding is over, it stops waiting for unfinished removals.
func (r *accessReview) closeNow(_ workflow.Context, in messages.EndReviewInput) (messages.Answer, error) {
	in.By, in.Reason = kit.Bounded(in.By), kit.Bounded(in.Reason)
	r.End, r.Problem, r.wake = &in, nil, true // retry a failed step now
	if r.makingEvidence() {
		return r.endsNow(), nil
	}
	if r.Phase != messages.ReviewDeciding {
		return messages.Answer{Message: "what was not carried out so far is given up, and reported"}, nil
	}
	return messages.Answer{Message: "deciding ends now; what nobody decided, the policy's rule for silence does"}, nil
}

func (r *accessReview) checkCancel(in messages.EndReviewInput) error {
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who cancels it")
	case r.makingEvidence():
	case r.cancelling():
		return kit.Refuse("the review is being cancelled: %s says so", r.Cancel.By)
	case r.over() || r.Phase == messages.ReviewProving:
		return kit.Refuse("the review is %s", r.Phase)
	}
	return nil
}

func (r *accessReview) cancelNow(_ workflow.Context, in messages.EndReviewInput) (messages.Answer, error) {
	in.By, in.Reason = kit.Bounded(in.By), kit.Bounded(in.Reason)
	if r.makingEvidence() { // nothing is left to carry out
		r.End, r.Problem, r.wake = &in, nil, true
		return r.endsNow(), nil
	}
	r.requestCancel(in)
	return messages.Answer{Message: "cancelled: nothing more is carried out; what was written already stays"}, nil
}

// makingEvidence reports whether only the evidence is left to make, and requests to end are accepted.
func (r *accessReview) makingEvidence() bool {
	return r.endableWhileProving && r.Phase == messages.ReviewProving
}

func (r *accessReview) endsNow() messages.Answer {
	return messages.Answer{Message: "everything is carried out, and the evidence is made now; if it cannot be made, the review ends without it and says so"}
}
