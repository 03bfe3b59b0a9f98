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

// Bounds of what is recorded in one step: a step's input must fit into one payload of 2 MB.
const (
	mostDecisions     = 100     // words
	mostDecisionBytes = 1 << 20 // bytes of them; one word may be larger
)

// pendingDecision is a reviewer's decision or comment until it is recorded.
type pendingDecision struct {
	word   reviews.ReviewWord
	size   int // in bytes
	result *reviews.ReviewHeard
	err    error
}

// decisionBatch is what reviewers say, until it is recorded.
type decisionBatch struct {
	waiting   []*pendingDecision // nobody began to record them yet
	submitted int                // words said so far
	recorded  int                // of those, recorded
	last      time.Time          // when the last one was said
}

// recordDecisions records what reviewers say, for the life of the run: all that came while the last step was recorded
// in one next step. So however many decide at once, each waits for two steps at the most, and the history grows by one
// activity for all of them.
func (r *accessReview) recordDecisions(ctx workflow.Context) {
	workflow.GoNamed(ctx, "record what reviewers say", func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return len(r.waiting) > 0 }) == nil {
			some := r.nextBatch()
			in := reviews.ReviewSayInput{ReviewInput: r.id}
			for _, s := range some {
				in.Words = append(in.Words, s.word)
			}
			results, err := act.ReviewSay(ctx, in)
			if err == nil && len(results) != len(some) {
				err = errors.New("not every word was answered")
			}
			delegated := false
			for i, s := range some {
				if s.err = err; err == nil {
					s.result = &results[i]
					delegated = delegated || s.word.Delegate != nil && results[i].Answer.Applied > 0
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

// nextBatch takes the decisions of the next step, in the order in which they arrived.
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
func (r *accessReview) submit(ctx workflow.Context, word reviews.ReviewWord) (messages.ReviewAnswer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	word.At, word.Via, word.Shown = r.moment(workflow.Now(ctx)), "temporal", kit.PresentationIn(ctx)
	body, err := json.Marshal(word)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	s := &pendingDecision{word: word, size: len(body)}
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

// moment is when a word was said. No two words of a history have the same: the ledger takes what one reviewer says
// twice at the same instant for a repeat. It keeps microseconds.
func (s *decisionBatch) moment(now time.Time) time.Time {
	if now = now.Truncate(time.Microsecond); !now.After(s.last) {
		now = s.last.Add(time.Microsecond)
	}
	s.last = now
	return now
}
