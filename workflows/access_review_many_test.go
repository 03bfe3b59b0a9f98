package workflows_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// TestAccessReviewManyReviews lets a hundred reviews live while things go wrong: activities fail or hang, some of them
// for good; the organization's loop is paused, or does not run, or the guard holds what it should write; people say all
// kinds of things at all times; histories end. Whatever happens, each review ends in time, nobody's answer is lost,
// nothing is said twice, nobody is told twice, and nothing is taken but what somebody decided to be removed. Under
// -short or -race there are fewer.
func TestAccessReviewManyReviews(t *testing.T) {
	most := uint64(100)
	if testing.Short() || raced() {
		most = 6
	}
	var mu sync.Mutex
	phases, histories, recorded := map[string]int{}, 0, 0
	t.Run("at once", func(t *testing.T) {
		for seed := range most {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				s := newStorm(t, seed)
				s.play()
				mu.Lock()
				defer mu.Unlock()
				phases[string(s.review.State)]++
				histories += s.histories
				for _, c := range s.comments {
					if c.said {
						recorded++
					}
				}
			})
		}
	})
	t.Logf("how they ended: %v; %d histories; %d comments recorded", phases, histories, recorded)
	if !testing.Short() {
		require.Greater(t, phases[string(access.ReviewDone)], int(most/2))
	}
}

// reviewScenario is one review's life as a seed makes it up.
type reviewScenario struct {
	*reviewTest
	random   *rand.Rand
	latest   time.Duration // when it must have ended
	comments map[string]*commentUpdate
}

// commentUpdate is one comment by an update, which starter would try again.
type commentUpdate struct {
	s     *reviewScenario
	in    messages.CommentInput
	tries int
	heard bool // it was answered
	said  bool // and recorded
}

func newStorm(t *testing.T, seed uint64) *reviewScenario {
	s := &reviewScenario{random: rand.New(rand.NewPCG(seed, 11)), comments: map[string]*commentUpdate{}}
	var rounds []playedStage
	for range 1 + s.random.IntN(3) {
		rounds = append(rounds, s.round())
	}
	s.reviewTest = newReviewTest(t, rounds...)
	var names []string
	for i := range 1 + s.random.IntN(8) {
		names = append(names, fmt.Sprintf("p%d", i))
	}
	s.people(names...)
	s.blocks = 1 + s.random.IntN(3)
	s.settings.AtOnce = s.random.IntN(3) == 0
	s.silence = []access.Verdict{"", keep, remove}[s.random.IntN(3)]
	s.writes = s.upTo(20 * time.Minute)
	s.latest += time.Duration(len(rounds)+3) * (waits + 7*time.Hour)
	s.trouble()
	s.talk()
	return s
}

// one says yes once in so many times.
func (s *reviewScenario) one(in int) bool { return s.random.IntN(in) == 0 }

func (s *reviewScenario) upTo(most time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(most/time.Microsecond))) * time.Microsecond
}

func (s *reviewScenario) round() playedStage {
	r := stage()
	length := time.Hour + s.upTo(5*day)
	r.Length, r.FallbackAfter, r.Escalate = messages.Duration(length), messages.Duration(s.upTo(length)),
		messages.Duration(s.upTo(length))
	if s.one(3) {
		r.fallback, r.FallbackAfter = "", 0
	}
	if s.one(3) {
		r.Escalate = 0
	}
	if s.one(2) {
		r.next = func(v access.Verdict) bool { return v != keep }
	}
	s.latest += length
	return r
}

// trouble is what goes wrong.
func (s *reviewScenario) trouble() {
	for _, name := range []string{
		"ReviewBegin", "ReviewSweep", "ReviewRank", "ReviewStage", "ReviewAttend", "ReviewProgress", "ReviewSay",
		"ReviewTell", "ReviewMark",
		"ReviewRevoke", "ReviewClose", "ReviewCarry", "ReviewEnd",
	} {
		var spans []span
		for range s.random.IntN(3) {
			at, longest := s.upTo(10*day), 6*time.Hour
			if name == "ReviewSay" || name == "ReviewProgress" || name == "ReviewMark" || name == "ReviewRevoke" {
				longest = 10 * time.Minute
			}
			spans = append(spans, span{at, at + s.upTo(longest)})
		}
		if s.one(12) && slices.Contains([]string{"ReviewStage", "ReviewAttend", "ReviewTell", "ReviewClose",
			"ReviewCarry"}, name) {
			spans = append(spans, span{s.upTo(10 * day), 1000 * day})
		}
		s.fails[name] = func(int) error {
			if slices.ContainsFunc(spans, func(is span) bool { return is.has(s.env.Now().Sub(begin)) }) {
				return errors.New("503")
			}
			return nil
		}
		hang := span{s.upTo(10 * day), 0}
		hang.to = hang.from + s.upTo(20*time.Minute)
		usual := s.upTo(2 * time.Second)
		s.takes[name] = func() time.Duration {
			if at := s.env.Now().Sub(begin); hang.has(at) {
				return hang.to - at
			}
			return usual
		}
	}
	s.noOutage = true
	for range s.random.IntN(3) {
		at := s.upTo(15 * day)
		s.at(at, func() { s.paused = true })
		s.at(at+s.upTo(2*day), func() { s.paused = false })
	}
	if s.one(4) {
		s.at(s.upTo(10*day), func() { s.guard = plan })
		if s.one(2) {
			s.at(10*day+s.upTo(5*day), s.approve)
		}
	}
	if s.one(4) {
		s.at(s.upTo(10*day), func() { s.absent = true })
		s.at(10*day+s.upTo(2*day), func() { s.absent = false })
	}
	if s.one(3) {
		s.at(s.upTo(10*day), func() { s.gone[[]string{rita, sam, fay}[s.random.IntN(3)]] = true })
	}
	if s.one(10) {
		s.cancelAt(s.upTo(15 * day))
	}
	for range s.random.IntN(8) {
		s.renewedAt(s.upTo(20 * day))
	}
	if s.one(3) {
		s.at(s.upTo(10*day), func() { s.env.SetContinueAsNewSuggested(true) })
	}
}

// talk is what people say.
func (s *reviewScenario) talk() {
	who := func() string { return []string{rita, sam, fay, olga}[s.random.IntN(4)] }
	item := func() int { return 1 + s.random.IntN(len(s.items)) }
	for range s.random.IntN(30) {
		at, verdict := s.upTo(12*day), keep
		if s.one(2) {
			verdict = remove
		}
		switch s.random.IntN(8) {
		case 0, 1, 2:
			s.decides(at, who(), verdict, item(), item())
		case 3:
			s.signalAt(at, messages.DecideItems,
				typed(fmt.Sprintf(`{"by":%q,"verdict":%q,"all":{"undecided":true}}`, who(), verdict)))
		case 4:
			s.updateAt(at, messages.ReopenItems, messages.ReopenInput{By: who(), Items: []int{item()}})
		case 5:
			s.updateAt(at, messages.DelegateItems, messages.DelegateInput{By: who(), To: who()})
		case 6:
			s.signalAt(at, messages.Look, nil)
		case 7:
			s.updateAt(at, messages.Remind, messages.RemindInput{By: who()})
		}
	}
	for i := range 40 {
		by := who()
		c := &commentUpdate{s: s, in: messages.CommentInput{By: by, Item: item(), Comment: fmt.Sprintf("%d of %s", i, by)}}
		s.comments[c.in.Comment] = c
		s.at(s.upTo(12*day), c.send)
	}
	if s.one(3) {
		longer := s.upTo(3 * day)
		s.latest += longer
		s.updateAt(s.upTo(8*day), messages.Extend,
			messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(longer)})
	}
	if s.one(5) {
		s.updateAt(s.upTo(15*day), messages.CloseReview, messages.EndReviewInput{By: "bo@acme.example"})
	}
	if s.one(10) {
		s.signalAt(s.upTo(15*day), messages.CancelReview, typed(`{"by":"bo@acme.example"}`))
	}
}

func (c *commentUpdate) send() {
	c.tries++
	c.s.env.UpdateWorkflow(messages.CommentItem, fmt.Sprintf("%s %d", c.in.Comment, c.tries), c, c.in)
}

func (c *commentUpdate) Accept() {}

func (c *commentUpdate) Reject(err error) {
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == messages.Renewing {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		c.s.plan(c.s.env.Now().Add(time.Second), c.send)
		return
	}
	c.heard = true
}

func (c *commentUpdate) Complete(answer any, err error) {
	c.heard = true
	if said, ok := answer.(messages.ReviewAnswer); ok && err == nil {
		c.said = said.Applied > 0
	}
}

func (s *reviewScenario) play() {
	s.t.Helper()
	for _, d := range s.agenda {
		d.test = false // the review may be over by then
	}
	status, err := s.runToEnd()
	if s.review.ID == "" { // cancelled before it began
		return
	}
	if err != nil {
		var cancelled *temporal.CanceledError
		require.ErrorAs(s.t, err, &cancelled)
		require.Equal(s.t, access.ReviewCancelled, s.review.State)
	} else {
		require.Contains(s.t, []string{messages.ReviewOver, messages.ReviewCancelled}, status.Phase)
	}
	require.True(s.t, s.review.State.Final(), "it is %s", s.review.State)
	require.Less(s.t, s.since(), s.latest)
	require.Less(s.t, len(s.calls), 30_000, "nothing is done without a pause")
	s.checkOutcomes()
	s.checkComments()
	s.checkNotices()
}

// checkOutcomes: nothing is taken but what was decided, and what was decided is done or explained.
func (s *reviewScenario) checkOutcomes() {
	s.t.Helper()
	for _, i := range s.items {
		require.True(s.t, i.Outcome.Final(), "item %d is %q", i.N, i.Outcome)
		if !s.holds[i.N] {
			require.Equal(s.t, remove, i.Verdict, "item %d", i.N)
		}
		if s.review.State == access.ReviewDone && i.Verdict == keep {
			require.Equal(s.t, access.OutcomeKept, i.Outcome)
		}
		if i.Outcome == access.OutcomeRemoved || i.Outcome == access.OutcomeGone {
			require.False(s.t, s.holds[i.N])
		}
	}
}

// checkComments: who was told that something was recorded finds it, once; who was not, does not.
func (s *reviewScenario) checkComments() {
	s.t.Helper()
	found := map[string]int{}
	for _, e := range s.log {
		if e.Kind == access.EventCommented {
			found[e.Text]++
		}
	}
	for text, c := range s.comments {
		if c.tries == 0 {
			continue // it was over by then
		}
		require.LessOrEqual(s.t, found[text], 1, text)
		require.True(s.t, c.heard, "nobody answered %s", text)
		if c.said {
			require.Equal(s.t, 1, found[text], text)
		} else {
			require.Zero(s.t, found[text], text)
		}
	}
}

// checkNotices: nobody is told the same twice.
func (s *reviewScenario) checkNotices() {
	s.t.Helper()
	told := map[string]bool{}
	for _, n := range s.notices {
		if strings.HasPrefix(n.what, "review-trouble") || n.when != "start" && n.when != "middle" && n.when != "last" {
			continue
		}
		key := n.what + n.when + n.to
		require.False(s.t, told[key] && n.when != "last", "%s is told %s %s again", n.to, n.what, n.when)
		told[key] = true
	}
}
