package workflows

import (
	"encoding/json"
	"errors"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// Bounds of what is recorded in one step: a step's input must fit into one payload of 2 MB.
const (
	mostSaid     = 100     // words
	mostSaidSize = 1 << 20 // bytes of them; one word may be larger
	mostWordSize = 1 << 20 // bytes of one word
)

// said is a word of a reviewer until it is recorded.
type said struct {
	word  activities.ReviewWord
	size  int // in bytes
	heard *activities.ReviewHeard
	err   error
}

// saying is what reviewers say, until it is recorded.
type saying struct {
	waiting  []*said   // nobody began to record them yet
	spoken   int       // words said so far
	recorded int       // of those, recorded
	last     time.Time // when the last one was said
}

// scribe records what reviewers say, for the life of the run: all that came while the last step was recorded in one next step. So
// however many decide at once, each waits for two steps at the most, and the history grows by one activity for all of them.
func (r *accessReview) scribe(ctx workflow.Context) {
	workflow.GoNamed(ctx, "record what reviewers say", func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return len(r.waiting) > 0 }) == nil {
			some := r.take()
			in := activities.ReviewSayInput{ReviewInput: r.id}
			for _, s := range some {
				in.Words = append(in.Words, s.word)
			}
			heard, err := reviewSay(ctx, in)
			if err == nil && len(heard) != len(some) {
				err = errors.New("not every word was answered")
			}
			delegated := false
			for i, s := range some {
				if s.err = err; err == nil {
					s.heard = &heard[i]
					delegated = delegated || s.word.Delegate != nil && heard[i].Answer.Applied > 0
				}
			}
			r.recorded += len(some)
			r.stale, r.wake = true, true
			if delegated {
				r.tell(ctx, activities.ReviewTellInput{ReviewInput: r.id, Kind: activities.NoticeReviewAsked, Stage: r.Review.Stage})
			}
		}
	})
}

// take takes the words of the next step, in the order in which they were said.
func (s *saying) take() []*said {
	n, size := 0, 0
	for n < len(s.waiting) && n < mostSaid && (n == 0 || size+s.waiting[n].size <= mostSaidSize) {
		size += s.waiting[n].size
		n++
	}
	some := s.waiting[:n]
	s.waiting = s.waiting[n:]
	return some
}

// say has a word recorded, and answers when it is: also when the workflow is cancelled meanwhile.
func (r *accessReview) say(ctx workflow.Context, word activities.ReviewWord) (messages.ReviewAnswer, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	word.At, word.Via = r.moment(workflow.Now(ctx)), "temporal"
	body, err := json.Marshal(word)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	s := &said{word: word, size: len(body)}
	r.waiting = append(r.waiting, s)
	r.spoken++
	if err := workflow.Await(whole, func() bool { return s.heard != nil || s.err != nil }); err != nil {
		return messages.ReviewAnswer{}, err
	}
	switch {
	case s.err != nil:
		return messages.ReviewAnswer{}, s.err
	case s.heard.Refused != "":
		return messages.ReviewAnswer{}, refuse("%s", s.heard.Refused)
	}
	return s.heard.Answer, nil
}

// moment is when a word was said. No two words of a history have the same: the ledger takes what one reviewer says twice at the same
// instant for a repeat. It keeps microseconds.
func (s *saying) moment(now time.Time) time.Time {
	if now = now.Truncate(time.Microsecond); !now.After(s.last) {
		now = s.last.Add(time.Microsecond)
	}
	s.last = now
	return now
}
