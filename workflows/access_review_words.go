package workflows

import (
	"bytes"
	"fmt"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// listen registers everything that reviewers, ops and reviewers' pages can say to a review.
func (r *accessReview) listen(ctx workflow.Context) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, messages.Status, func() (messages.ReviewStatus, error) { return r.status(ctx), nil }, workflow.QueryHandlerOptions{
		Description: "how far the review is, who has what left to decide, what comes next",
	}); err != nil {
		return err
	}
	w := &r.words
	w.handle, w.busyOf = map[string]func(workflow.Context, converter.RawValue) error{}, map[string]int{}
	w.refused, w.strict = r.refusedWord, recordable
	err := firstError(
		listen(ctx, w, messages.DecideItems, "say which items are kept and which removed", r.checkDecide, r.decide),
		listen(ctx, w, messages.DelegateItems, "hand items on to somebody else", r.checkDelegate, r.delegate),
		listen(ctx, w, messages.CommentItem, "comment on an item", r.checkComment, r.comment),
		listen(ctx, w, messages.ReopenItems, "take back what was said, while the stage lasts", r.checkReopen, r.reopen),
		listen(ctx, w, messages.Remind, "tell reviewers again, with a fresh link and code", r.checkRemind, r.remindNow),
		listen(ctx, w, messages.RevokeLinks, "make the links and codes sent so far useless", r.checkRevokeLinks, r.revokeLinks),
		listen(ctx, w, messages.Extend, "let the stage end later", r.checkExtend, r.extend),
		listen(ctx, w, messages.CloseReview, "end deciding now and carry out what was decided", r.checkClose, r.closeNow),
		listen(ctx, w, messages.CancelReview, "end the review and carry nothing more out", r.checkCancel, r.cancelNow),
	)
	if err != nil {
		return err
	}
	w.heard = append([]string{messages.Look, messages.ForceContinueAsNew}, w.names...)
	w.queue = newQueue(&r.Kept)
	w.closed = func() bool { return r.closed || r.full() }
	whole, _ := workflow.NewDisconnectedContext(ctx) // a cancelled workflow goes on listening until it has ended
	r.scribe(whole)
	w.serveQueue(whole)
	w.serve(whole)
	called(whole, messages.Look, func() { r.stale, r.wake = true, true })
	called(whole, messages.ForceContinueAsNew, func() { r.force, r.wake = true, true })
	return nil
}

func (r *accessReview) refusedWord(ctx workflow.Context, name string, err error) {
	r.Refused = append(r.Refused, messages.RefusedWord{At: workflow.Now(ctx), Name: name, Why: bounded(messageOf(err))})
	r.Refused = r.Refused[max(0, len(r.Refused)-mostRefused):]
	r.wake = true
}

// checkOpen says why nothing can be decided now.
func (r *accessReview) checkOpen(by string) error {
	switch {
	case by == "":
		return refuse("by is missing: say who speaks, by e-mail address or account id")
	case r.Phase == messages.ReviewTaking || r.Phase == messages.ReviewDeciding && r.Review.Stage == 0:
		return refuse("the review is just opening; try again in a moment")
	case r.Phase != messages.ReviewDeciding:
		return refuse("deciding is over: the review is %s", r.Phase)
	case r.Cancel != nil || r.End != nil:
		return refuse("deciding is over: it is just being ended")
	}
	return checkName(by)
}

func checkVerdict(v access.Verdict) error {
	if v != access.VerdictKeep && v != access.VerdictRemove {
		return refuse("the verdict %q is unknown; say %s or %s", v, access.VerdictKeep, access.VerdictRemove)
	}
	return nil
}

// checkItems says what is wrong with which items are meant.
func checkItems(items []int, all *messages.ItemFilter, lines int) error {
	given := 0
	for _, is := range []bool{len(items) > 0, all != nil, lines > 0} {
		if is {
			given++
		}
	}
	switch n := len(items) + lines; {
	case given > 1:
		return refuse("say which items by one of items, all and lines, not by several")
	case n > messages.MostItems:
		return refuse("%d items at once; at most %d are allowed", n, messages.MostItems)
	}
	return nil
}

// recordable says why a body cannot be recorded, whatever it says: it is too large for a step's input, or it has a character that
// databases do not take.
func recordable(raw converter.RawValue) error {
	switch text := raw.Payload().GetData(); {
	case len(text) > mostWordSize:
		return refuse("that is %d KB at once; at most %d are allowed: say it in several pieces, or with shorter comments", len(text)>>10, mostWordSize>>10)
	case bytes.Contains(text, []byte(`\u0000`)):
		return refuse("the input has a character U+0000, which cannot be recorded")
	}
	return nil
}

// checkName says that what stands for a person is too long to be an address or an account id.
func checkName(name string) error {
	if len(name) > mostName {
		return refuse("%q is no e-mail address and no account id: it is too long", name[:32]+"…")
	}
	return nil
}

// mostName is how long an address or an account id may be, in bytes.
const mostName = 320

func (r *accessReview) checkDecide(in messages.DecideInput) error {
	if err := firstError(r.checkOpen(in.By), checkItems(in.Items, in.All, len(in.Lines))); err != nil {
		return err
	}
	if len(in.Items) == 0 && in.All == nil && len(in.Lines) == 0 {
		return refuse("items are missing: give their numbers as items, or a filter as all, for example {\"person\":\"ana@acme.example\"}")
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

// decide has a reviewer's verdicts recorded. A code itself goes no further than here: only its hash does.
func (r *accessReview) decide(ctx workflow.Context, in messages.DecideInput) (messages.ReviewAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code = ""
	return r.say(ctx, activities.ReviewWord{Decide: &in, CodeHash: hash})
}

func (r *accessReview) checkDelegate(in messages.DelegateInput) error {
	if err := firstError(r.checkOpen(in.By), checkItems(in.Items, in.All, 0)); err != nil {
		return err
	}
	if in.To == "" {
		return refuse("to is missing: say who decides instead, by e-mail address or account id")
	}
	return checkName(in.To)
}

func (r *accessReview) delegate(ctx workflow.Context, in messages.DelegateInput) (messages.ReviewAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code = ""
	return r.say(ctx, activities.ReviewWord{Delegate: &in, CodeHash: hash})
}

func (r *accessReview) checkComment(in messages.CommentInput) error {
	switch err := r.checkOpen(in.By); {
	case err != nil:
		return err
	case in.Item <= 0:
		return refuse("item is missing: give its number")
	case in.Comment == "":
		return refuse("comment is missing")
	}
	return nil
}

func (r *accessReview) comment(ctx workflow.Context, in messages.CommentInput) (messages.ReviewAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code = ""
	return r.say(ctx, activities.ReviewWord{Comment: &in, CodeHash: hash})
}

func (r *accessReview) checkReopen(in messages.ReopenInput) error {
	if err := firstError(r.checkOpen(in.By), checkItems(in.Items, in.All, 0)); err != nil {
		return err
	}
	if len(in.Items) == 0 && in.All == nil {
		return refuse("items are missing: give their numbers as items, or a filter as all")
	}
	return nil
}

func (r *accessReview) reopen(ctx workflow.Context, in messages.ReopenInput) (messages.ReviewAnswer, error) {
	hash := messages.CodeHash(in.Code)
	in.Code = ""
	return r.say(ctx, activities.ReviewWord{Reopen: &in, CodeHash: hash})
}

func (r *accessReview) checkRemind(in messages.RemindInput) error {
	return firstError(r.checkOpen(in.By), checkName(in.Reviewer))
}

// remindNow tells reviewers again.
func (r *accessReview) remindNow(ctx workflow.Context, in messages.RemindInput) (messages.Answer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	told, err := reviewTell(whole, activities.ReviewTellInput{
		ReviewInput: r.id, Kind: activities.NoticeReviewReminder, Stage: r.Review.Stage, When: workflow.Now(ctx).UTC().Format(time.RFC3339Nano), Reviewer: in.Reviewer,
	})
	if err != nil {
		return messages.Answer{}, err
	}
	r.Untold, r.wake = bounded(told.Untold), true
	return messages.Answer{Message: fmt.Sprintf("told again: %d of the reviewers", told.Told)}, nil
}

func (r *accessReview) checkRevokeLinks(in messages.RevokeLinksInput) error {
	switch {
	case in.By == "":
		return refuse("by is missing: say who revokes them")
	case r.unknown():
		return refuse("the review is just opening; no links were sent yet")
	}
	return checkName(in.Reviewer)
}

func (r *accessReview) revokeLinks(ctx workflow.Context, in messages.RevokeLinksInput) (messages.Answer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	n, err := reviewRevoke(whole, activities.ReviewRevokeInput{ReviewInput: r.id, RevokeLinksInput: in})
	if err != nil {
		return messages.Answer{}, err
	}
	return messages.Answer{Message: fmt.Sprintf("revoked: %d links, and the codes sent with them. The update %s sends new ones", n, messages.Remind)}, nil
}

func (r *accessReview) checkExtend(in messages.ExtendReviewInput) error {
	switch err := r.checkOpen(in.By); {
	case err != nil:
		return err
	case in.Duration <= 0:
		return refuse("duration is missing: say how much longer, for example \"72h\"")
	case in.Duration.Std() > mostExtension:
		return refuse("%s is too long; at most %s at once", in.Duration, mostExtension)
	}
	return nil
}

// mostExtension is by how much a stage is extended at once.
const mostExtension = 90 * 24 * time.Hour

// extend lets the stage that runs end later. Until that is recorded, it does not end.
func (r *accessReview) extend(ctx workflow.Context, in messages.ExtendReviewInput) (messages.Answer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.Await(whole, func() bool { return !r.extending }); err != nil {
		return messages.Answer{}, err
	}
	if err := r.checkOpen(in.By); err != nil {
		return messages.Answer{}, err // its time was over meanwhile
	}
	r.extending = true
	defer func() { r.extending, r.wake = false, true }()
	due := r.Stage.Due.Add(in.Duration.Std())
	is, err := reviewMark(whole, activities.ReviewMarkInput{
		ReviewInput: r.id, Kind: access.EventExtended, By: bounded(in.By), Text: oneLine("until " + instant(due) + " " + bounded(in.Reason)), Due: due,
	})
	if err != nil {
		return messages.Answer{}, err
	}
	r.Review, r.Stage.Due = is, is.Due
	r.Problem = nil // what could not begin need not, yet
	r.movedEnd(workflow.Now(ctx))
	return messages.Answer{Message: "the stage ends at " + instant(is.Due)}, nil
}

func (r *accessReview) checkClose(in messages.EndReviewInput) error {
	switch {
	case in.By == "":
		return refuse("by is missing: say who closes it")
	case r.Phase == messages.ReviewTaking || r.Review.Stage == 0:
		return refuse("the review is just opening; to stop it, use %s", messages.CancelReview)
	case r.over() || r.Phase == messages.ReviewProving || r.Cancel != nil:
		return refuse("the review is %s", r.Phase)
	}
	return nil
}

// closeNow ends deciding; once deciding is over, it ends the waiting for removals that are not done.
func (r *accessReview) closeNow(_ workflow.Context, in messages.EndReviewInput) (messages.Answer, error) {
	in.By, in.Reason = bounded(in.By), bounded(in.Reason)
	r.End, r.Problem, r.wake = &in, nil, true // what failed so far is tried again now, as long as before
	if r.Phase != messages.ReviewDeciding {
		return messages.Answer{Message: "what was not carried out so far is given up, and reported"}, nil
	}
	return messages.Answer{Message: "deciding ends now; what nobody decided, the policy's rule for silence does"}, nil
}

func (r *accessReview) checkCancel(in messages.EndReviewInput) error {
	switch {
	case in.By == "":
		return refuse("by is missing: say who cancels it")
	case r.ending():
		return refuse("the review is being cancelled: %s says so", r.Cancel.By)
	case r.over() || r.Phase == messages.ReviewProving:
		return refuse("the review is %s", r.Phase)
	}
	return nil
}

func (r *accessReview) cancelNow(_ workflow.Context, in messages.EndReviewInput) (messages.Answer, error) {
	in.By, in.Reason = bounded(in.By), bounded(in.Reason)
	r.stopAll(in)
	return messages.Answer{Message: "cancelled: nothing more is carried out; what was written already stays"}, nil
}
