package workflows_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/messages"
)

// renewedAt has a fresh history started after a while, as ops do it.
func (c *reviewTest) renewedAt(after time.Duration) {
	c.signalAt(after, messages.ForceContinueAsNew, nil)
}

// Fresh histories, wherever they begin, change nothing: neither what is asked and when, nor what becomes of it.
func TestAccessReviewFreshHistoriesChangeNothing(t *testing.T) {
	tell := func(every time.Duration) *reviewTest {
		c := newReviewTest(t, stage(), stage())
		c.silence = keep
		c.decides(day+time.Minute, rita, remove, 1)
		c.signalAt(2*day+time.Minute, messages.DecideItems,
			typed(`{"by":"sam@acme.example","verdict":"remove","items":[3]}`))
		c.signalAt(3*day+time.Minute, messages.DecideItems, typed(`{"verdict":"keep"}`)) // refused
		c.updateAt(9*day+time.Minute, messages.Extend,
			messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(2 * day)})
		c.at(17*day+time.Minute, func() { c.gone[sam] = true })
		c.at(12*day, func() { c.guard = plan })
		c.at(25*day+time.Minute, c.approve)
		for at := every; every > 0 && at < 25*day; at += every {
			c.renewedAt(at)
		}
		s := c.mustEnd()
		require.Len(t, s.Refused, 1)
		return c
	}
	plain, renewed := tell(0), tell(11*time.Hour)
	require.Equal(t, 1, plain.histories)
	require.Greater(t, renewed.histories, 50)
	require.Equal(t, plain.notices, renewed.notices)
	require.Equal(t, plain.outcomes(), renewed.outcomes())
	require.Equal(t, plain.review.Closed, renewed.review.Closed)
	require.Equal(t, plain.since(), renewed.since())
	require.Len(t, plain.noticesTo("review-reminder 1", sam), 3)
	require.Len(t, plain.noticesTo("review-held", olga), 1)
}

func TestAccessReviewFreshHistoryWhenTheServerSuggestsIt(t *testing.T) {
	c := newReviewTest(t)
	c.at(3*day, func() { c.env.SetContinueAsNewSuggested(true) })
	c.signalAt(3*day+time.Minute, messages.Look, nil)
	c.at(4*day, func() {
		require.Equal(t, 2, c.histories)
		require.Equal(t, begin.Add(10*day), c.status().Review.Due)
	})
	c.mustEnd()
}

// A fresh history goes on with the block that the last one did not take.
func TestAccessReviewFreshHistoryInTheOpening(t *testing.T) {
	c := newReviewTest(t)
	c.blocks = 6
	c.takes["ReviewSweep"] = func() time.Duration { return time.Hour }
	for _, at := range []time.Duration{150 * time.Minute, 270 * time.Minute} {
		c.at(at, func() { c.env.SetContinueAsNewSuggested(true) })
	}
	c.all(day, keep)
	c.mustEnd()
	require.Equal(t, 3, c.histories)
	require.Equal(t, 6, c.called("ReviewSweep"), "the block that is being taken is not taken twice")
	require.Equal(t, 1, c.called("ReviewBegin"))
}

// Who waits for an answer when the history should end gets it first.
func TestAccessReviewFreshHistoryWaitsForAnswers(t *testing.T) {
	c := newReviewTest(t)
	c.takes["ReviewSay"] = func() time.Duration { return time.Second }
	decided := c.decides(day, rita, keep, 1)
	c.signalAt(day, messages.DecideItems, typed(`{"by":"sam@acme.example","verdict":"keep","items":[3]}`))
	c.renewedAt(day + 100*time.Millisecond)
	c.at(day+1900*time.Millisecond, func() { require.Equal(t, 1, c.histories) })
	c.at(day+time.Minute, func() {
		require.Equal(t, 2, c.histories)
		require.Equal(t, 2, c.status().Progress.Decided)
	})
	c.mustEnd()
	contains(t, decided.message(t), `"applied":1`)
	require.Equal(t, []string{"decided keep"}, c.decisionsOn(1))
	require.Equal(t, []string{"decided keep"}, c.decisionsOn(3))
}

// Something that hangs keeps no history from its end: it is done again by the next one.
func TestAccessReviewFreshHistoryDoesNotWaitForWhatHangs(t *testing.T) {
	for _, name := range []string{"ReviewSweep", "ReviewStage", "ReviewAttend", "ReviewCarry"} {
		t.Run(name, func(t *testing.T) {
			c := newReviewTest(t)
			c.hangBetween(name, 0, 2*day)
			c.at(day+time.Hour, func() { require.Contains(t, c.calls, name, "it hangs") })
			if name == "ReviewCarry" {
				c.all(time.Hour, remove)
			}
			c.renewedAt(day + time.Hour)
			c.at(day+2*time.Hour, func() { require.Equal(t, 2, c.histories) })
			c.mustEnd()
			require.GreaterOrEqual(t, c.called(name), 2)
		})
	}
}

// sequentialSender says one thing after the other, each as soon as the last is answered. Like starter, it says again
// what is refused because the history is being renewed.
type sequentialSender struct {
	c        *reviewTest
	name     string
	n, most  int
	tries    int
	refused  int
	patience time.Duration
}

// say says the next thing after a while.
func (y *sequentialSender) say(after time.Duration) {
	y.c.plan(y.c.env.Now().Add(after), func() {
		y.tries++
		in := messages.CommentInput{By: y.name, Item: 1, Comment: fmt.Sprintf("%s says %d", y.name, y.n)}
		y.c.env.UpdateWorkflow(messages.CommentItem, fmt.Sprintf("%s %d %d", y.name, y.n, y.tries), y, in)
	})
}

func (y *sequentialSender) Accept() { y.c.accepted[y.c.histories]++ }

func (y *sequentialSender) Reject(err error) {
	var app *temporal.ApplicationError
	require.ErrorAs(y.c.t, err, &app)
	require.Equal(y.c.t, "Renewing", app.Type())
	require.Equal(y.c.t, "the history is being renewed; try again in a moment", app.Message())
	y.refused++
	y.c.mu.Lock()
	defer y.c.mu.Unlock()
	y.say(y.patience)
}

func (y *sequentialSender) Complete(_ any, err error) {
	require.NoError(y.c.t, err)
	if y.n++; y.n < y.most {
		y.c.mu.Lock()
		defer y.c.mu.Unlock()
		y.say(time.Millisecond)
	}
}

// typing lets as many people as a history takes updates in flight speak without a pause, from a day after the beginning
// on.
func (c *reviewTest) typing(each int) (all []*sequentialSender) {
	for i := range 10 {
		y := &sequentialSender{c: c, name: fmt.Sprintf("r%d@acme.example", i), most: each, patience: 100 * time.Millisecond}
		all = append(all, y)
		c.at(day+time.Duration(i)*3*time.Millisecond, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.ask(1, y.name, access.TaskReviewer)
			y.say(0)
		})
	}
	return all
}

// A history takes 2,000 updates. With ten in flight without a pause, histories end all the same, and no answer is lost.
func TestAccessReviewMoreUpdatesThanAHistoryTakes(t *testing.T) {
	c := newReviewTest(t)
	c.takes["ReviewSay"] = func() time.Duration { return 50 * time.Millisecond }
	all := c.typing(250)
	c.decides(day+time.Second, rita, remove, 2)
	c.mustEnd()
	refused := 0
	for _, y := range all {
		require.Equal(t, 250, y.n, y.name)
		refused += y.refused
	}
	said := map[string]bool{}
	for _, words := range c.decisionsOn(1) {
		require.False(t, said[words], "%s twice", words)
		said[words] = true
	}
	require.Len(t, said, 2500)
	require.Greater(t, c.histories, 1)
	require.Less(t, refused, 50, "each is kept waiting once for each history at the most")
	for history, n := range c.accepted {
		require.Less(t, n, 2000, "history %d", history)
	}
	require.Equal(t, remove, c.items[1].Verdict)
}

// Where something else than words keeps a history from its end, it takes no more updates than it can.
func TestAccessReviewFullHistoryTakesNoUpdates(t *testing.T) {
	if testing.Short() {
		t.Skip("2,100 updates: make test-large")
	}
	c := newReviewTest(t)
	c.takes["ReviewSay"] = func() time.Duration { return 10 * time.Millisecond }
	c.hangBetween("ReviewTell", day, day+time.Minute)
	c.updateAt(day, messages.Remind, messages.RemindInput{By: "bo@acme.example"})
	all := c.typing(210)
	for _, y := range all {
		y.patience = time.Second
	}
	c.mustEnd()
	for _, y := range all {
		require.Equal(t, 210, y.n, y.name)
		require.Greater(t, y.refused, 40, "until the notice is sent")
	}
	for history, n := range c.accepted {
		require.LessOrEqual(t, n, 1900, "history %d", history)
	}
	require.Len(t, c.decisionsOn(1), 2100)
}

// stream has something done again and again. The test environment takes no more than a thousand callbacks at once.
func (c *reviewTest) stream(after, step time.Duration, most int, do func(i int)) {
	var next func(i int) func()
	next = func(i int) func() {
		return func() {
			if i+1 < most {
				c.at(after+time.Duration(i+1)*step, next(i+1))
			}
			do(i)
		}
	}
	c.at(after, next(0))
}

// A history takes 10,000 signals and 50,000 events: a stream of signals does not keep it from its end, and none of them
// is lost.
func TestAccessReviewStreamOfSignals(t *testing.T) {
	c := newReviewTest(t)
	c.takes["ReviewSay"] = func() time.Duration { return 50 * time.Millisecond }
	const many = 1500
	length := map[int]int{}
	c.stream(day+3*time.Microsecond, 7*time.Millisecond, many, func(i int) {
		length[c.histories] += 8 // with the activity and its workflow task
		c.env.SetCurrentHistoryLength(length[c.histories])
		c.env.SignalWorkflow(messages.CommentItem,
			typed(fmt.Sprintf(`{"by":"rita@acme.example","item":1,"comment":"%d"}`, i)))
	})
	s := c.mustEnd()
	require.Empty(t, s.Refused)
	var want []string
	for i := range many {
		want = append(want, fmt.Sprintf("commented %d", i))
	}
	require.Equal(t, want, c.decisionsOn(1), "each once, in order")
	require.Greater(t, c.histories, 2)
	require.Contains(t, strings.Join(c.carried, ""), `"kept":[{`, "some waited for the next history")
	for _, n := range length {
		require.Less(t, n, 5000)
	}
}

// Of a flood of signals that came while no worker ran, all are heard.
func TestAccessReviewFloodOfSignals(t *testing.T) {
	c := newReviewTest(t)
	c.takes["ReviewSay"] = func() time.Duration { return 20 * time.Millisecond }
	c.stream(day, time.Microsecond, 4, func(part int) {
		// the environment's clock is the machine's while it takes them all in: more would look like a dead worker
		for i := range 150 {
			c.env.SignalWorkflow(messages.CommentItem,
				typed(fmt.Sprintf(`{"by":"rita@acme.example","item":1,"comment":"%d"}`, part*150+i)))
		}
	})
	c.renewedAt(day + 100*time.Millisecond)
	s := c.mustEnd()
	require.Empty(t, s.Refused)
	require.Len(t, c.decisionsOn(1), 600)
	require.Equal(t, 2, c.histories)
}

// While a ledger is out, a history that should end goes on after a moment, and takes words again; it ends when it can.
func TestAccessReviewOutageWhileAHistoryShouldEnd(t *testing.T) {
	c := newReviewTest(t)
	c.hangBetween("ReviewSay", day, day+time.Hour)
	first := c.decides(day, rita, keep, 1)
	c.renewedAt(day + time.Second)
	closed := c.decides(day+3*time.Second, sam, keep, 3)
	kept := func(after time.Duration, n int) {
		c.signalAt(after, messages.DecideItems,
			typed(fmt.Sprintf(`{"by":"rita@acme.example","verdict":"remove","items":[%d]}`, n)))
	}
	kept(day+3*time.Second, 2)
	open := c.decides(day+time.Minute, sam, keep, 3)
	c.at(day+30*time.Minute, func() {
		require.Equal(t, 1, c.histories)
		require.Equal(t, messages.ReviewDeciding, c.status().Phase)
	})
	c.at(day+2*time.Hour, func() {
		require.Equal(t, 2, c.histories)
		require.Equal(t, 3, c.status().Progress.Decided)
	})
	c.mustEnd()
	require.ErrorContains(t, closed.rejected, "try again in a moment")
	contains(t, first.message(t), `"applied":1`)
	contains(t, open.message(t), `"applied":1`)
	require.Equal(t, []string{"decided remove"}, c.decisionsOn(2))
}

// Bad input is told at once, not to come again.
func TestAccessReviewBadInputWhileAHistoryEnds(t *testing.T) {
	c := newReviewTest(t)
	c.hangBetween("ReviewSay", day, day+time.Hour)
	c.decides(day, rita, keep, 1)
	c.renewedAt(day + time.Second)
	bad := c.decides(day+2*time.Second, sam, "maybe", 3)
	c.mustEnd()
	require.ErrorContains(t, bad.rejected, `"maybe" is unknown`)
}

// What is told is told once, and a notice that is being sent is not sent again by the next history.
func TestAccessReviewFreshHistoryWaitsForNotices(t *testing.T) {
	c := newReviewTest(t)
	c.takes["ReviewTell"] = func() time.Duration { return 10 * time.Minute }
	c.renewedAt(5*day + time.Minute)
	c.at(5*day+9*time.Minute, func() { require.Equal(t, 1, c.histories) })
	c.at(5*day+11*time.Minute, func() { require.Equal(t, 2, c.histories) })
	c.mustEnd()
	require.Len(t, c.noticesTo("review-reminder 1", rita), 2)
}

// Problems are carried too: a fresh history does not begin to be patient anew.
func TestAccessReviewFreshHistoryCarriesProblems(t *testing.T) {
	c := newReviewTest(t)
	c.failUntil(100*day, "ReviewStage", errors.New("503"))
	for at := day; at < waits; at += day {
		c.renewedAt(at)
	}
	s := c.mustEnd()
	require.Equal(t, messages.ReviewCancelled, s.Phase)
	require.Less(t, c.since(), waits+20*time.Minute)
	require.Equal(t, 5, c.histories)
	require.Len(t, c.noticesTo(reviews.NoticeReviewTrouble, olga), 1)
}
