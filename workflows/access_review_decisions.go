package workflows

import (
	"encoding/json"
	"errors"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// The largest batch: an activity's input must fit into one payload of 2 MB.
const (
	mostDecisions     = 100
	mostDecisionBytes = 1 << 20 // a single decision may be larger
)

// pendingDecision is a reviewer's decision or comment until it is recorded.
type pendingDecision struct {
	action reviews.ReviewMessage
	size   int // in bytes
	result *reviews.ReviewMessageResult
	err    error
}

// decisionBatch queues decisions and comments until they are recorded.
type decisionBatch struct {
	waiting   []*pendingDecision // not being recorded yet
	submitted int                // number submitted so far
	recorded  int                // number of those recorded
	last      time.Time          // instant of the last one
}

// recordDecisions records decisions in batches, as long as the workflow runs: all that arrive while one batch is being
// recorded form the next. So however many people decide at once, each waits for at most two batches, and the history
// grows by one activity per batch.
func (r *accessReview) recordDecisions(ctx workflow.Context) {
	workflow.GoNamed(ctx, "record what reviewers say", func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return len(r.waiting) > 0 }) == nil {
			some := r.nextBatch()
			in := reviews.ReviewSayInput{ReviewInput: r.id}
			for _, s := range some {
				in.Words = append(in.Words, s.action)
			}
			results, err := act.ReviewSay(ctx, in)
			if err == nil && len(results) != len(some) {
				err = errors.New("not every decision was answered")
			}
			delegated := false
			for i, s := range some {
				if s.err = err; err == nil {
					s.result = &results[i]
					delegated = delegated || s.action.Delegate != nil && results[i].Answer.Applied > 0
				}
			}
			r.recorded += len(some)
			r.stale, r.wake = true, true
			if delegated {
				r.sendNotice(ctx, reviews.ReviewTellInput{ReviewInput: r.id, Kind: reviews.NoticeReviewAsked,
					Stage: r.Review.Stage})
			}
		}
	})
}

// nextBatch removes the next batch from the queue, in order of arrival.
func (s *decisionBatch) nextBatch() []*pendingDecision {
	n, size := 0, 0
	for n < len(s.waiting) && n < mostDecisions && (n == 0 || size+s.waiting[n].size <= mostDecisionBytes) {
		size += s.waiting[n].size
		n++
	}
	some := s.waiting[:n]
	s.waiting = s.waiting[n:]
	return some
}

// submit queues a decision or comment and returns once it is recorded, even if the workflow is cancelled meanwhile.
func (r *accessReview) submit(ctx workflow.Context, word reviews.ReviewMessage) (messages.ReviewAnswer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	word.At, word.Via, word.Shown = r.nextInstant(workflow.Now(ctx)), "temporal", kit.PresentationIn(ctx)
	body, err := json.Marshal(word)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	s := &pendingDecision{action: word, size: len(body)}
	r.waiting = append(r.waiting, s)
	r.submitted++
	if err := workflow.Await(whole, func() bool { return s.result != nil || s.err != nil }); err != nil {
		return messages.ReviewAnswer{}, err
	}
	switch {
	case s.err != nil:
		return messages.ReviewAnswer{}, s.err
	case s.result.Refused != "":
		return messages.ReviewAnswer{}, kit.Refuse("%s", s.result.Refused)
	}
	return s.result.Answer, nil
}

// nextInstant returns a unique instant for a decision, in microseconds as the ledger keeps them: the ledger takes two
// equal decisions by one reviewer at the same instant for a repeat.
func (s *decisionBatch) nextInstant(now time.Time) time.Time {
	if now = now.Truncate(time.Microsecond); !now.After(s.last) {
		now = s.last.Add(time.Microsecond)
	}
	s.last = now
	return now
}
