package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// A campaign that is refused fails the workflow, with the reason.
func TestAccessReviewCampaignThatIsRefused(t *testing.T) {
	c := newReviewTest(t)
	c.id, c.input.Campaign = messages.ReviewID(org, "yearly:2026-03-02"), "yearly"
	_, err := c.runToEnd()
	require.ErrorContains(t, err, `has no review named "yearly"; its reviews are: quarterly`)
	require.Equal(t, []string{"ReviewBegin"}, c.calls)
	require.Zero(t, c.since())
}

func TestAccessReviewLedgerThatFailsAtTheBeginning(t *testing.T) {
	t.Run("for a day", func(t *testing.T) {
		c := newReviewTest(t)
		c.failUntil(day, "ReviewBegin", down())
		c.at(time.Hour, func() { contains(t, c.page(), "**It cannot go on since") })
		c.all(2*day, keep)
		c.mustEnd()
	})
	t.Run("without end", func(t *testing.T) {
		c := newReviewTest(t)
		c.failUntil(100*day, "ReviewBegin", down())
		_, err := c.runToEnd()
		require.ErrorContains(t, err, "Atlassian cannot be reached")
		require.GreaterOrEqual(t, c.since(), 72*time.Hour)
		require.Less(t, c.since(), 73*time.Hour)
		require.Empty(t, c.notices, "nobody can be told of what the ledger does not know")
	})
	t.Run("and ops cancel", func(t *testing.T) {
		c := newReviewTest(t)
		c.failUntil(100*day, "ReviewBegin", down())
		cancelled := c.updateAt(time.Hour, messages.CancelReview, messages.EndReviewInput{By: "bo@acme.example"})
		s, err := c.runToEnd()
		require.NoError(t, err)
		require.NoError(t, cancelled.err)
		require.Equal(t, messages.ReviewCancelled, s.Phase)
		require.Less(t, c.since(), 2*time.Hour)
	})
}

// The items cannot be taken: the review is given up after as long as the campaign has patience, and says why.
func TestAccessReviewOutageAtTheOpening(t *testing.T) {
	for _, step := range []string{"ReviewSweep", "ReviewRank"} {
		t.Run("for days, "+step, func(t *testing.T) {
			c := newReviewTest(t)
			c.failUntil(3*day, step, fatal(session.ErrPolicy, "organization acme has 2 directories"))
			c.all(4*day, keep)
			c.mustEnd()
			require.Len(t, c.noticesTo("review-trouble", olga), 1)
		})
		t.Run("without end, "+step, func(t *testing.T) {
			c := newReviewTest(t)
			c.failUntil(100*day, step, fatal(session.ErrPolicy, "organization acme has 2 directories"))
			s := c.mustEnd()
			require.Equal(t, messages.ReviewCancelled, s.Phase)
			require.Equal(t, "castellan", c.review.ClosedBy)
			contains(t, c.review.ClosedWhy,
				"it could not be opened since 2026-03-02 09:00:00 UTC: organization acme has 2 directories")
			require.Len(t, c.noticesTo("review-cancelled", olga), 1)
			require.GreaterOrEqual(t, c.since(), waits)
			require.Less(t, c.since(), waits+16*time.Minute)
		})
	}
}

// A read of people that comes back to where it was does not go on for ever.
func TestAccessReviewSweepThatGoesRoundInCircles(t *testing.T) {
	c := newReviewTest(t)
	c.blocks = 3
	c.circle = true
	c.at(time.Hour, func() { contains(t, c.status().Problem.Message, "goes round in circles"); c.circle = false })
	c.all(day, keep)
	c.mustEnd()
	require.Less(t, c.called("ReviewSweep"), 20)
}

// Nobody could ever be asked: silence decides nothing then.
func TestAccessReviewStageThatCannotBegin(t *testing.T) {
	t.Run("for days", func(t *testing.T) {
		c := newReviewTest(t)
		c.failUntil(3*day, "ReviewStage", down())
		early := c.decides(day, rita, keep, 1)
		c.all(4*day, keep)
		c.mustEnd()
		require.ErrorContains(t, early.rejected, "the review is just opening")
		require.Less(t, from(c.opened()), 3*day+time.Hour)
	})
	t.Run("without end", func(t *testing.T) {
		c := newReviewTest(t)
		c.silence = remove
		c.failUntil(100*day, "ReviewStage", down())
		s := c.mustEnd()
		require.Equal(t, messages.ReviewCancelled, s.Phase)
		contains(t, c.review.ClosedWhy, "nobody could be asked since 2026-03-02", "Atlassian cannot be reached")
		require.Equal(t, access.OutcomeDropped, c.outcomes()[0])
		require.Less(t, c.since(), waits+20*time.Minute)
	})
}

// Of a review whose second stage cannot begin, what was decided in the first counts.
func TestAccessReviewSecondStageThatCannotBegin(t *testing.T) {
	c := newReviewTest(t, stage(), stage())
	c.silence = keep
	c.decides(day, rita, remove, 1)
	c.failBetween(10*day, 100*day, "ReviewStage", down())
	c.decides(11*day, rita, remove, 2) // the first stage lasts for as long
	c.mustEnd()
	require.Equal(t, access.ReviewDone, c.review.State)
	contains(t, c.review.ClosedWhy, "stage 2 could not begin since 2026-03-12", "Atlassian cannot be reached")
	require.Equal(t, []access.Outcome{access.OutcomeRemoved, access.OutcomeRemoved, access.OutcomeKept,
		access.OutcomeKept}, c.outcomes())
	require.Less(t, from(c.review.Closed), 10*day+waits+20*time.Minute)
	require.Len(t, c.noticesTo("review-trouble 1", olga), 1)
}

// Deciding cannot be ended: it is tried again, and after as long as the campaign has patience, the review is cancelled.
func TestAccessReviewOutageAtTheClose(t *testing.T) {
	t.Run("for days", func(t *testing.T) {
		c := removals(t)
		c.failUntil(3*day, "ReviewClose", down())
		c.mustEnd()
		require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
	})
	t.Run("without end", func(t *testing.T) {
		c := removals(t)
		c.noOutage = true // a cancellation asks nobody but the ledger
		c.failUntil(100*day, "ReviewClose", down())
		s := c.mustEnd()
		require.Equal(t, messages.ReviewCancelled, s.Phase)
		contains(t, c.review.ClosedWhy, "deciding could not be ended since 2026-03-02")
		require.Less(t, c.since(), waits+2*time.Hour)
	})
}

// An extension makes what could not be done unnecessary, for now.
func TestAccessReviewExtensionDuringAnOutage(t *testing.T) {
	c := newReviewTest(t, stage(), stage())
	c.failBetween(10*day, 20*day, "ReviewStage", down())
	c.updateAt(12*day, messages.Extend,
		messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(5 * day)})
	c.at(13*day, func() { require.Nil(t, c.status().Problem) })
	c.at(20*day+20*time.Minute, func() { require.Equal(t, 2, c.status().Review.Stage) })
	c.mustEnd()
}

// What could not be done because everything was decided is forgotten when something is reopened.
func TestAccessReviewProblemThatIsMoot(t *testing.T) {
	c := newReviewTest(t, stage(), stage())
	c.rounds[0].next = func(access.Verdict) bool { return true }
	c.all(time.Hour, keep)
	c.failBetween(time.Hour, 40*day, "ReviewStage", down())
	c.at(2*time.Hour, func() { require.NotNil(t, c.status().Problem) })
	c.updateAt(5*day, messages.ReopenItems, messages.ReopenInput{By: rita, Items: []int{1}})
	c.at(5*day+time.Minute, func() { require.Nil(t, c.status().Problem) })
	c.mustEnd()
	require.Less(t, from(c.review.Closed), 10*day+waits+20*time.Minute)
	require.GreaterOrEqual(t, from(c.review.Closed), 10*day+waits, "its patience begins with the end of the stage")
}

// Who ends a stage that cannot go on has the end tried for as long as anything.
func TestAccessReviewOpsEndAReviewDuringAnOutage(t *testing.T) {
	c := newReviewTest(t, stage(), stage())
	c.decides(day, rita, remove, 1)
	c.failBetween(10*day, 100*day, "ReviewStage", down())
	c.failBetween(14*day, 16*day, "ReviewClose", down())
	c.updateAt(10*day+waits-4*time.Hour, messages.CloseReview,
		messages.EndReviewInput{By: "bo@acme.example", Reason: "enough"})
	c.mustEnd()
	require.Equal(t, access.ReviewDone, c.review.State)
	require.Equal(t, "enough", c.review.ClosedWhy)
	require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
}

// A word that can never be recorded, for whatever reason, keeps no review from its end; who said it is told.
func TestAccessReviewMessageThatCannotBeRecorded(t *testing.T) {
	for name, say := range map[string]func(c *reviewTest, after time.Duration) *answer{
		"ReviewSay": func(c *reviewTest, after time.Duration) *answer { return c.decides(after, rita, keep, 1) },
		"ReviewMark": func(c *reviewTest, after time.Duration) *answer {
			return c.updateAt(after, messages.Extend,
				messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(day)})
		},
		"ReviewRevoke": func(c *reviewTest, after time.Duration) *answer {
			return c.updateAt(after, messages.RevokeLinks, messages.RevokeLinksInput{By: "bo@acme.example"})
		},
		"ReviewTell": func(c *reviewTest, after time.Duration) *answer {
			return c.updateAt(after, messages.Remind, messages.RemindInput{By: "bo@acme.example"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newReviewTest(t)
			c.failUntil(100*day, name, errors.New("ERROR: invalid byte sequence"))
			said := say(c, 10*day-time.Minute)
			c.mustEnd()
			require.ErrorContains(t, said.err, "invalid byte sequence")
			require.Less(t, from(c.review.Closed), 10*day+7*time.Hour)
		})
	}
}

// Reviewers cannot be looked after: nothing else waits for it, and it is tried again.
func TestAccessReviewOutageWhileReviewersAreLookedAfter(t *testing.T) {
	c := newReviewTest(t)
	c.silence = keep
	c.failUntil(7*day, "ReviewAttend", down())
	c.at(6*day+12*time.Hour, func() {
		require.NotNil(t, c.status().Problem)
		contains(t, c.page(), "**Reminders and fallbacks cannot be handled since", "nothing else waits for it")
	})
	c.decides(5*day, rita, keep, 1, 2)
	c.at(5*day+time.Minute, func() { require.Equal(t, 2, c.status().Progress.Decided, "words are counted meanwhile") })
	c.mustEnd()
	require.Equal(t, []time.Duration{5 * day, 9 * day}, c.noticesTo("review-reminder 1", sam))
	require.Equal(t, []time.Duration{7 * day}, truncated(c.noticesTo("review-asked 1", fay)),
		"the fallback is asked as soon as it can be")
	require.Len(t, c.noticesTo("review-asked 1", olga), 1)
	require.Len(t, c.noticesTo("review-trouble 1", olga), 1)
	require.Equal(t, 10*day, from(c.review.Closed))
}

func TestAccessReviewLookAtReviewersThatFailsToTheEnd(t *testing.T) {
	c := newReviewTest(t)
	c.failUntil(100*day, "ReviewAttend", down())
	c.mustEnd()
	require.Equal(t, 10*day, from(c.review.Closed))
	require.Empty(t, c.noticesTo("review-asked 1", fay))
	require.Less(t, c.called("ReviewAttend"), 8000, "not without a pause")
}

func TestAccessReviewLookAtReviewersThatHangs(t *testing.T) {
	c := newReviewTest(t)
	c.hangBetween("ReviewAttend", 0, 11*day)
	c.decides(5*day, rita, keep, 1, 2)
	c.at(5*day+time.Minute, func() { require.Equal(t, 2, c.status().Progress.Decided) })
	c.mustEnd()
	require.Equal(t, []time.Duration{5 * day, 9 * day}, c.noticesTo("review-reminder 1", sam))
	require.Equal(t, 10*day, from(c.review.Closed))
}

// The owner is asked in the end though the first attempt failed.
func TestAccessReviewEscalationThatFailsAtFirst(t *testing.T) {
	c := newReviewTest(t)
	c.failBetween(9*day, 9*day+14*time.Hour, "ReviewAttend", down())
	c.mustEnd()
	require.Equal(t, []time.Duration{9*day + 14*time.Hour}, truncated(c.noticesTo("review-asked 1", olga)))
}

// A mistake that keeps it from being counted does not make it count without end.
func TestAccessReviewCountThatFails(t *testing.T) {
	c := newReviewTest(t)
	c.failBetween(day, 2*day, "ReviewProgress", fatal(session.ErrInvalid, "a mistake of ours"))
	c.decides(day, rita, keep, 1)
	c.at(day+time.Hour, func() {
		contains(t, c.page(), "**Decisions cannot be counted since",
			"a mistake of ours")
	})
	c.at(3*day, func() {
		require.Equal(t, 1, c.status().Progress.Decided)
		require.NotContains(t, c.page(), "cannot be counted")
	})
	c.mustEnd()
	require.Less(t, c.called("ReviewProgress"), 200)
}

// A ledger that cannot be read, whatever the reason, keeps no review from its end, and nobody from cancelling it.
func TestAccessReviewDoesNotWaitForACountWithoutEnd(t *testing.T) {
	t.Run("the end", func(t *testing.T) {
		c := newReviewTest(t)
		c.failBetween(day, 100*day, "ReviewProgress", errors.New("a row that cannot be read"))
		c.decides(day, rita, keep, 1)
		c.mustEnd()
		require.Less(t, from(c.review.Closed), 11*day)
	})
	t.Run("cancelled", func(t *testing.T) {
		c := newReviewTest(t)
		c.failBetween(day, 100*day, "ReviewProgress", errors.New("a row that cannot be read"))
		c.decides(day, rita, keep, 1)
		cancelled := c.updateAt(2*day, messages.CancelReview, messages.EndReviewInput{By: "bo@acme.example"})
		s, err := c.runToEnd()
		require.NoError(t, err)
		require.NoError(t, cancelled.err)
		require.Equal(t, messages.ReviewCancelled, s.Phase)
		require.Less(t, c.since(), 2*day+time.Hour)
	})
}

func TestAccessReviewNotifierThatFailsKeepsNoReview(t *testing.T) {
	c := newReviewTest(t)
	c.failUntil(100*day, "ReviewTell", fatal(session.ErrInvalid, "the mail server does not answer"))
	c.at(day, func() {
		contains(t, c.status().Untold, "review-asked", "the mail server")
		contains(t, c.page(), "**Some notices could not be sent:**")
	})
	c.mustEnd()
	require.Equal(t, 10*day, from(c.review.Closed))
}

// The evidence and a cancellation need the ledger alone, and are tried without end.
func TestAccessReviewLedgerThatFailsAtTheEnd(t *testing.T) {
	t.Run("at the evidence", func(t *testing.T) {
		c := removals(t)
		c.failUntil(8*day, "ReviewEnd", fatal(session.ErrInvalid, "the database is read-only"))
		c.at(7*day, func() { require.Equal(t, messages.ReviewProving, c.status().Phase) })
		s := c.mustEnd()
		require.Equal(t, messages.ReviewOver, s.Phase)
		require.Less(t, c.since(), 8*day+20*time.Minute)
	})
	t.Run("at a cancellation", func(t *testing.T) {
		c := newReviewTest(t)
		c.failBetween(day, 8*day, "ReviewClose", fatal(session.ErrInvalid, "the database is read-only"))
		c.updateAt(day, messages.CancelReview, messages.EndReviewInput{By: "bo@acme.example"})
		again := c.updateAt(2*day, messages.CancelReview, messages.EndReviewInput{By: "bo@acme.example"})
		decided := c.decides(2*day, rita, keep, 1)
		c.at(7*day, func() { contains(t, c.page(), "It is being cancelled") })
		s := c.mustEnd()
		require.ErrorContains(t, again.rejected, "the review is being cancelled: bo@acme.example says so")
		require.ErrorContains(t, decided.rejected, "deciding is over")
		require.Equal(t, messages.ReviewCancelled, s.Phase)
		require.Less(t, c.called("ReviewClose"), 1000)
	})
}

// The ledger has lost the review: the workflow does not stay for ever.
func TestAccessReviewThatTheLedgerHasLost(t *testing.T) {
	lost := fatal(session.ErrUnknown, "organization acme has no review quarterly:2026-03-02")
	for _, step := range []string{"ReviewCarry", "ReviewEnd"} {
		t.Run(step, func(t *testing.T) {
			c := removals(t)
			c.lost = true
			c.failUntil(1000*day, step, lost)
			_, err := c.runToEnd()
			require.ErrorContains(t, err, "has no review quarterly")
			require.GreaterOrEqual(t, c.since(), waits)
			require.Less(t, c.since(), waits+day)
		})
	}
}

// A cancelled workflow carries nothing more out, wherever it is, and makes its evidence.
func TestAccessReviewTemporalCancelsAReview(t *testing.T) {
	for name, test := range map[string]struct {
		after time.Duration
		set   func(c *reviewTest)
	}{
		"at its beginning":           {0, func(*reviewTest) {}},
		"while it opens":             {time.Hour, func(c *reviewTest) { c.hangBetween("ReviewSweep", 0, 3*day) }},
		"while opening fails":        {time.Hour, func(c *reviewTest) { c.failUntil(3*day, "ReviewSweep", down()) }},
		"while a stage begins":       {time.Hour, func(c *reviewTest) { c.hangBetween("ReviewStage", 0, 3*day) }},
		"while a stage cannot begin": {time.Hour, func(c *reviewTest) { c.failUntil(3*day, "ReviewStage", down()) }},
		"while it is decided":        {time.Hour, func(*reviewTest) {}},
		"while it is looked after":   {day + time.Hour, func(c *reviewTest) { c.hangBetween("ReviewAttend", 0, 3*day) }},
		"while the guard holds it":   {day, func(c *reviewTest) { c.guard = plan; c.all(time.Hour, remove) }},
		"while it is carried out":    {day, func(c *reviewTest) { c.paused = true; c.all(time.Hour, remove) }},
		"while carrying out hangs": {day,
			func(c *reviewTest) { c.all(time.Hour, remove); c.hangBetween("ReviewCarry", 0, 3*day) }},
		"while carrying out fails": {day,
			func(c *reviewTest) { c.all(time.Hour, remove); c.failUntil(3*day, "ReviewCarry", down()) }},
		"while removals are at once": {day,
			func(c *reviewTest) { c.settings.AtOnce, c.paused = true, true; c.decides(time.Hour, rita, remove, 1) }},
		"in a fresh history": {day,
			func(c *reviewTest) { c.signalAt(time.Hour, messages.ForceContinueAsNew, nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newReviewTest(t)
			test.set(c)
			c.cancelAt(test.after)
			_, err := c.runToEnd()
			var cancelled *temporal.CanceledError
			require.ErrorAs(t, err, &cancelled)
			require.Equal(t, access.ReviewCancelled, c.review.State)
			require.Equal(t, "Temporal", c.review.ClosedBy)
			require.NotEmpty(t, c.review.Head)
			require.Less(t, c.since(), test.after+time.Minute, "it is cancelled at once")
			for _, i := range c.items {
				require.Equal(t, access.OutcomeDropped, i.Outcome)
			}
			require.Len(t, c.noticesTo("review-cancelled", olga), 1)
		})
	}
}

// A cancellation that comes when everything is carried out comes too late: the review is done.
func TestAccessReviewCancellationThatComesTooLate(t *testing.T) {
	c := removals(t)
	c.failUntil(day, "ReviewEnd", fatal(session.ErrInvalid, "the database is read-only"))
	c.cancelAt(12 * time.Hour)
	s := c.mustEnd()
	require.Equal(t, messages.ReviewOver, s.Phase)
	require.Equal(t, access.ReviewDone, c.review.State)
	require.GreaterOrEqual(t, c.since(), day)
}

// Whoever wants the end of a review gets it, also when its evidence cannot be made.
func TestAccessReviewEndsWhenItsEvidenceCannotBeMade(t *testing.T) {
	for _, name := range []string{messages.CloseReview, messages.CancelReview} {
		for how, fails := range map[string]func(c *reviewTest){
			"fails": func(c *reviewTest) {
				c.failUntil(100*day, "ReviewEnd", fatal(session.ErrInvalid, "the database is read-only"))
			},
			"is tried without end": func(c *reviewTest) {
				c.failUntil(100*day, "ReviewEnd", errors.New("the line is too long"))
			},
		} {
			t.Run(name+" when it "+how, func(t *testing.T) {
				c := removals(t)
				fails(c)
				c.at(2*day, func() { contains(t, c.page(), "the evidence is being made", messages.CloseReview) })
				ended := c.updateAt(3*day, name, messages.EndReviewInput{By: "bo@acme.example"})
				s := c.mustEnd()
				require.NoError(t, errors.Join(ended.rejected, ended.err))
				require.Equal(t, messages.ReviewOver, s.Phase)
				require.Less(t, c.since(), 3*day+time.Hour)
				require.Empty(t, c.review.Head)
				require.Contains(t, c.review.Findings[len(c.review.Findings)-1], "its evidence could not be made")
			})
		}
	}
}

// Who waits for an answer when the workflow is cancelled gets the ledger's.
func TestAccessReviewAnswerToACancelledReview(t *testing.T) {
	c := newReviewTest(t)
	c.hangBetween("ReviewSay", 0, day+time.Minute)
	decided := c.decides(day, rita, keep, 1)
	c.cancelAt(day + time.Second)
	_, err := c.runToEnd()
	require.Error(t, err)
	require.ErrorContains(t, decided.err, "deciding is over: the review is cancelled")
	require.Empty(t, c.decisionsOn(1))
}
