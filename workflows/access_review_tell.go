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

// When reviewers are reminded.
const (
	remindStart  = "start"
	remindMiddle = "middle"
	remindLast   = "last"
)

func (r *accessReview) reminds(word string) bool { return slices.Contains(r.Settings.Remind, word) }

// notice returns the record of a reminder of this stage.
func (r *accessReview) notice(word string) messages.ReviewNotice {
	return messages.ReviewNotice{When: word, Stage: r.Review.Stage}
}

// reminder returns when a reminder is due; zero if the policy has none, or it was sent.
func (r *accessReview) reminder(word string) time.Time {
	if !r.reminds(word) || slices.Contains(r.Sent, r.notice(word)) || r.Review.Stage == 0 {
		return time.Time{}
	}
	return r.reminderAt(word)
}

func (r *accessReview) reminderAt(word string) time.Time {
	length := r.Stage.Due.Sub(r.Stage.Began)
	if word == remindMiddle {
		return r.Stage.Began.Add(length / 2)
	}
	return r.Stage.Due.Add(-min(24*time.Hour, length/5))
}

// reminderDue returns the reminder that is due; "" for none.
func (r *accessReview) reminderDue(now time.Time) string {
	if !r.stageRuns(now) {
		return ""
	}
	for _, word := range []string{remindLast, remindMiddle} {
		if at := r.reminder(word); !at.IsZero() && !now.Before(at) {
			return word
		}
	}
	return ""
}

// remind reminds the reviewers who have items left.
func (r *accessReview) remind(ctx workflow.Context, word string) {
	r.Sent = append(r.Sent, r.notice(word))
	if word == remindLast && !slices.Contains(r.Sent, r.notice(remindMiddle)) {
		r.Sent = append(r.Sent, r.notice(remindMiddle)) // too late for that one
	}
	kind := reviews.NoticeReviewReminder
	if word == remindStart {
		kind = reviews.NoticeReviewAsked
	}
	r.sendNotice(ctx, reviews.ReviewTellInput{ReviewInput: r.id, Kind: kind, Stage: r.Review.Stage, When: word})
}

// rescheduleBeforeEnd schedules again what precedes the end of a stage, if it is still ahead after the end was moved.
func (r *accessReview) rescheduleBeforeEnd(now time.Time) {
	if before := r.Settings.Stages[r.Review.Stage-1].Escalate.Std(); now.Before(r.Stage.Due.Add(-before)) {
		r.Stage.Escalated = false
	}
	if now.Before(r.reminderAt(remindLast)) {
		last := r.notice(remindLast)
		r.Sent = slices.DeleteFunc(r.Sent, func(sent messages.ReviewNotice) bool { return sent == last })
	}
}

// outgoingNotices are the notices being sent.
type outgoingNotices struct {
	telling int                      // how many
	asking  bool                     // one of them asks reviewers
	more    *reviews.ReviewTellInput // others are to be asked after it
}

// sendNotice sends a notice concurrently: a failing notifier does not delay the review. Notices that ask reviewers are
// sent one after the other, so that nobody gets two at once.
func (r *accessReview) sendNotice(ctx workflow.Context, in reviews.ReviewTellInput) {
	asks := in.Kind == reviews.NoticeReviewAsked
	if asks && r.asking {
		r.more = &in
		return
	}
	r.asking = r.asking || asks
	r.telling++
	whole, _ := workflow.NewDisconnectedContext(ctx)
	workflow.GoNamed(whole, "tell", func(ctx workflow.Context) {
		told, err := act.ReviewTell(ctx, in)
		if r.Untold = kit.Bounded(told.Untold); err != nil {
			r.Untold = kit.Bounded(in.Kind + ": " + kit.MessageOf(err))
		}
		r.telling, r.wake = r.telling-1, true
		if asks {
			r.asking = false
			if more := r.more; more != nil {
				r.more = nil
				r.sendNotice(ctx, *more)
			}
		}
	})
}
