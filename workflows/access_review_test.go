package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

const (
	keep   = access.VerdictKeep
	remove = access.VerdictRemove
)

func TestAccessReviewEndsWhenEverythingIsDecided(t *testing.T) {
	c := newReviewTest(t)
	first := c.decides(time.Hour, rita, keep, 1, 2)
	c.signalAt(2*time.Hour, messages.DecideItems, typed(`{"by":"sam@acme.example","verdict":"remove","items":[3]}`))
	c.at(3*time.Hour, func() {
		s := c.status()
		require.Equal(t, messages.ReviewDeciding, s.Phase)
		require.Equal(t, 3, s.Progress.Decided)
		require.Equal(t, 4, s.Progress.Asked)
		contains(t, c.page(), "**3 of 4 items decided** in stage 1 of 1 (2 to keep, 1 to remove so far), until 2026-03-12 09:00", "| sam@acme.example | 1 | 2 |",
			"--name extend", "--name close", "--name remind", "--name cancel")
	})
	last := c.decides(day, sam, keep, 4)
	c.phaseAt(day+30*time.Second, messages.ReviewCarrying)
	s := c.mustEnd()
	contains(t, first.message(t), `"applied":2`, `"left":0`)
	contains(t, last.message(t), `"applied":1`)
	require.Equal(t, messages.ReviewOver, s.Phase)
	require.Equal(t, access.ReviewDone, s.Review.State)
	require.NotEmpty(t, s.Review.Head)
	require.Equal(t, "everything was decided", c.review.ClosedWhy)
	require.Equal(t, []access.Outcome{access.OutcomeKept, access.OutcomeKept, access.OutcomeRemoved,
		access.OutcomeKept}, c.outcomes())
	require.Less(t, c.since(), day+5*time.Minute, "it ends before its time")
	require.Len(t, c.looks, 1)
	require.Equal(t, messages.LookAtSignal{Review: spring, People: []string{"p-finn"}}, c.looks[0].LookAtSignal)
	for _, who := range []string{rita, sam} {
		require.Equal(t, []time.Duration{0}, c.noticesTo("review-asked 1", who))
		require.Empty(t, c.noticesTo("review-reminder 1", who))
	}
	require.Len(t, c.noticesTo("review-done", olga), 1)
	require.Empty(t, s.Refused)
	require.Nil(t, s.Problem)
}

// Nobody answers: the reviewers are reminded, then the fallback is asked, then the owner; then silence decides.
func TestAccessReviewThatNobodyAnswers(t *testing.T) {
	for silence, outcome := range map[access.Verdict]access.Outcome{
		"": access.OutcomeUndecided, keep: access.OutcomeKept, remove: access.OutcomeRemoved,
	} {
		t.Run("silence means "+string(silence), func(t *testing.T) {
			c := newReviewTest(t)
			c.silence = silence
			c.at(8*day, func() {
				contains(t, c.page(), "| fay@acme.example | 0 | 4 | fallback |",
					"Next: check whether the reviewers are still active")
			})
			s := c.mustEnd()
			require.Equal(t, []access.Outcome{outcome, outcome, outcome, outcome}, c.outcomes())
			require.Equal(t, 10*day, from(c.review.Closed))
			require.Equal(t, "time was over", c.review.ClosedWhy)
			for _, who := range []string{rita, sam} {
				require.Equal(t, []time.Duration{0}, c.noticesTo("review-asked 1", who))
				require.Equal(t, []time.Duration{5 * day, 9 * day}, c.noticesTo("review-reminder 1", who))
			}
			require.Equal(t, []time.Duration{6 * day}, c.noticesTo("review-asked 1", fay))
			require.Equal(t, []time.Duration{9*day + 12*time.Hour}, c.noticesTo("review-asked 1", olga))
			require.Equal(t, messages.ReviewOver, s.Phase)
			require.Equal(t, 4, s.Progress.Outcomes[outcome])
		})
	}
}

func TestAccessReviewThatIsHalfAnswered(t *testing.T) {
	c := newReviewTest(t)
	c.silence = keep
	c.decides(day, rita, remove, 1, 2)
	c.mustEnd()
	require.Equal(t, []access.Outcome{access.OutcomeRemoved, access.OutcomeRemoved, access.OutcomeKept,
		access.OutcomeKept}, c.outcomes())
	require.Equal(t, 10*day, from(c.review.Closed))
	require.Empty(t, c.noticesTo("review-reminder 1", rita), "who has nothing left is not reminded")
	require.Len(t, c.noticesTo("review-reminder 1", sam), 2)
	require.True(t, c.items[2].Silent)
	require.False(t, c.items[0].Silent)
}

// Whoever leaves while they are asked is found at the next look, and others are asked and told.
func TestAccessReviewReviewerWhoLeavesTheCompany(t *testing.T) {
	c := newReviewTest(t)
	c.at(36*time.Hour, func() { c.gone[sam] = true })
	c.at(2*day+time.Minute, func() {
		require.Equal(t, []time.Duration{2 * day}, c.noticesTo("review-asked 1", fay))
		require.NotContains(t, c.page(), sam)
	})
	c.decides(3*day, fay, keep, 3, 4)
	c.decides(3*day, rita, keep, 1, 2)
	c.mustEnd()
	require.Equal(t, 3*day, from(c.review.Closed).Truncate(time.Hour))
	require.Equal(t, []time.Duration{2 * day}, c.noticesTo("review-asked 1", fay))
	require.Equal(t, []time.Duration{0}, c.noticesTo("review-asked 1", rita), "who was told is not told again")
}

// Whom one read does not show stays asked, and is shown as gone; others are asked too.
func TestAccessReviewReviewerWhomTheDirectoryHides(t *testing.T) {
	c := newReviewTest(t)
	c.at(36*time.Hour, func() { c.hidden[sam] = true })
	c.at(2*day+time.Minute, func() {
		contains(t, c.page(), "| sam@acme.example | 0 | 2 | gone |", "| fay@acme.example | 0 | 2 | fallback |")
		c.hidden[sam] = false
	})
	c.renewedAt(2*day + 2*time.Minute)
	c.at(2*day+3*time.Minute, func() { contains(t, c.page(), "| sam@acme.example | 0 | 2 | gone |") })
	c.at(3*day+time.Minute, func() { c.env.SignalWorkflow(messages.Look, nil) })
	c.at(3*day+2*time.Minute, func() { require.NotContains(t, c.page(), "gone") })
	c.mustEnd()
	require.Equal(t, []time.Duration{2 * day}, c.noticesTo("review-asked 1", fay))
}

func TestAccessReviewOpsEndAReviewEarly(t *testing.T) {
	c := newReviewTest(t)
	c.silence = keep
	c.decides(day, rita, remove, 1)
	closed := c.updateAt(2*day, messages.CloseReview,
		messages.EndReviewInput{By: "bo@acme.example", Reason: "the audit is today"})
	late := c.decides(2*day+time.Second, rita, keep, 2)
	c.mustEnd()
	contains(t, closed.message(t), "deciding ends now")
	require.ErrorContains(t, late.rejected, "deciding is over")
	require.Equal(t, 2*day, from(c.review.Closed))
	require.Equal(t, "bo@acme.example", c.review.ClosedBy)
	require.Equal(t, "the audit is today", c.review.ClosedWhy)
	require.Equal(t, []access.Outcome{access.OutcomeRemoved, access.OutcomeKept, access.OutcomeKept,
		access.OutcomeKept}, c.outcomes())
}

func TestAccessReviewOpsCancelAReview(t *testing.T) {
	c := newReviewTest(t)
	c.decides(day, rita, remove, 1)
	c.updateAt(2*day, messages.CancelReview, messages.EndReviewInput{By: "bo@acme.example", Reason: "wrong scope"})
	s := c.mustEnd()
	require.Equal(t, messages.ReviewCancelled, s.Phase)
	require.Equal(t, access.ReviewCancelled, c.review.State)
	require.Equal(t, "wrong scope", c.review.ClosedWhy)
	require.NotEmpty(t, c.review.Head, "what was decided stays as evidence")
	require.Equal(t, []access.Outcome{access.OutcomeDropped, access.OutcomeDropped, access.OutcomeDropped,
		access.OutcomeDropped}, c.outcomes())
	require.Zero(t, c.called("ReviewCarry"))
	require.Empty(t, c.looks)
	require.Equal(t, []time.Duration{2 * day}, c.noticesTo("review-cancelled", olga))
	require.Equal(t, 2*day, c.since())
}

func TestAccessReviewOpsExtendAReview(t *testing.T) {
	c := newReviewTest(t)
	extended := c.updateAt(9*day+time.Hour, messages.Extend,
		messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(5 * day), Reason: "holidays"})
	c.at(9*day+2*time.Hour, func() { require.Equal(t, begin.Add(15*day), c.status().Review.Due) })
	c.mustEnd()
	contains(t, extended.message(t), "the stage ends at 2026-03-17 09:00:00 UTC")
	require.Equal(t, 15*day, from(c.review.Closed))
	require.Equal(t, []time.Duration{5 * day, 9 * day, 14 * day}, c.noticesTo("review-reminder 1", rita),
		"the last reminder moves along")
	require.Equal(t, []time.Duration{14*day + 12*time.Hour}, c.noticesTo("review-asked 1", olga), "so does the escalation")
	require.Equal(t, []time.Duration{6 * day}, c.noticesTo("review-asked 1", fay))
}

// An extension that comes after the owner was asked has them asked again, where something is new; what is still to come
// comes once.
func TestAccessReviewExtensionAfterTheEscalation(t *testing.T) {
	c := newReviewTest(t)
	c.signalAt(9*day+13*time.Hour, messages.Extend, typed(`{"by":"bo@acme.example","duration":"24h"}`))
	c.signalAt(9*day+13*time.Hour, messages.Extend, typed(`{"by":"bo@acme.example","duration":"24h"}`))
	c.mustEnd()
	require.Equal(t, 12*day, from(c.review.Closed), "both are meant")
	require.Equal(t, []time.Duration{5 * day, 9 * day, 11 * day}, c.noticesTo("review-reminder 1", rita))
	require.Len(t, c.noticesTo("review-asked 1", olga), 1, "who was asked is not asked again")
}

// An extension of so little that the last reminder would be due at once sends none.
func TestAccessReviewShortExtension(t *testing.T) {
	c := newReviewTest(t)
	c.updateAt(9*day+23*time.Hour, messages.Extend,
		messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(time.Hour)})
	c.mustEnd()
	require.Equal(t, []time.Duration{5 * day, 9 * day}, c.noticesTo("review-reminder 1", rita))
	require.Equal(t, 10*day+time.Hour, from(c.review.Closed))
}

// The word came in time: the stage does not end before it is recorded.
func TestAccessReviewExtensionJustBeforeTheEnd(t *testing.T) {
	c := newReviewTest(t)
	c.hangBetween("ReviewMark", 0, 10*day+time.Minute)
	extended := c.updateAt(10*day-time.Second, messages.Extend,
		messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(day)})
	c.mustEnd()
	require.NoError(t, extended.err)
	require.Equal(t, 11*day, from(c.review.Closed))
}

func TestAccessReviewDecisionJustBeforeTheEnd(t *testing.T) {
	c := newReviewTest(t)
	c.silence = keep
	c.hangBetween("ReviewSay", 0, 10*day+time.Minute)
	decided := c.decides(10*day-time.Second, rita, remove, 1)
	c.mustEnd()
	contains(t, decided.message(t), `"applied":1`)
	require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
}

// No worker runs when the deadline comes: deciding ends when one is back. Nobody is reminded then.
func TestAccessReviewWorkerThatIsDownAcrossTheDeadline(t *testing.T) {
	c := newReviewTest(t)
	c.silence = keep
	c.hangBetween("ReviewProgress", 8*day, 12*day)
	c.decides(8*day, rita, keep, 1)
	c.signalAt(11*day, messages.DecideItems, typed(`{"by":"rita@acme.example","verdict":"remove","items":[2]}`))
	c.mustEnd()
	require.Equal(t, 12*day, from(c.review.Closed))
	require.Equal(t, []time.Duration{5 * day}, c.noticesTo("review-reminder 1", sam), "no reminder comes after the end")
	require.Empty(t, c.noticesTo("review-asked 1", olga))
	require.Equal(t, access.OutcomeRemoved, c.outcomes()[1], "what was said meanwhile counts")
}

func TestAccessReviewCampaignWithNothingToReview(t *testing.T) {
	c := newReviewTest(t)
	c.items = nil
	s := c.mustEnd()
	require.Equal(t, messages.ReviewSkipped, s.Phase)
	require.Equal(t, access.ReviewSkipped, c.review.State)
	require.Equal(t, []time.Duration{0}, c.noticesTo("review-skipped", olga))
	require.Zero(t, c.called("ReviewStage"))
	require.Zero(t, c.since())
}

// Items are taken block by block.
func TestAccessReviewLargeCampaignIsTakenInBlocks(t *testing.T) {
	c := newReviewTest(t)
	c.blocks = 5
	c.all(time.Hour, keep)
	c.mustEnd()
	require.Equal(t, 5, c.called("ReviewSweep"))
	contains(t, c.inputs[5], `"block":4`, `"cursor":"cursor 4"`, `"pages":20`)
}

// Three stages: what is removed in the first goes on to the second, what is kept there goes on to the third.
func TestAccessReviewThreeStages(t *testing.T) {
	by := func(who string, next access.Verdict) playedStage {
		r := stage()
		r.reviewers, r.fallback, r.FallbackAfter, r.Escalate = func(int) string { return who }, "", 0, 0
		r.next = func(v access.Verdict) bool { return v == next }
		return r
	}
	c := newReviewTest(t, by(rita, remove), by(sam, keep), by(olga, ""))
	c.decides(day, rita, remove, 1, 2, 3)
	c.decides(day, rita, keep, 4)
	c.phaseAt(day+time.Minute, messages.ReviewDeciding)
	early := c.decides(day+30*time.Minute, rita, keep, 1)
	c.decides(2*day, sam, keep, 1)
	c.decides(2*day, sam, remove, 2)
	c.at(3*day, func() { require.Equal(t, 2, c.status().Review.Stage, "sam has one left") })
	c.at(12*day, func() {
		require.Equal(t, 3, c.status().Review.Stage)
		contains(t, c.page(), "in stage 3 of 3", "| olga@acme.example | 0 | 1 |")
	})
	c.decides(13*day, olga, remove, 1)
	c.mustEnd()
	require.ErrorContains(t, early.err, "is not asked about anything in this stage")
	require.Equal(t, []access.Outcome{access.OutcomeRemoved, access.OutcomeRemoved, access.OutcomeRemoved,
		access.OutcomeKept}, c.outcomes())
	require.Equal(t, 13*day, from(c.review.Closed).Truncate(time.Hour))
	require.Equal(t, []time.Duration{day}, truncated(c.noticesTo("review-asked 2", sam)))
	require.Equal(t, []time.Duration{11 * day}, truncated(c.noticesTo("review-asked 3", olga)))
}

func truncated(all []time.Duration) (hours []time.Duration) {
	for _, one := range all {
		hours = append(hours, one.Truncate(time.Hour))
	}
	return hours
}

// A stage to which nothing comes is not begun, nor those after it.
func TestAccessReviewStageWithoutItems(t *testing.T) {
	c := newReviewTest(t, stage(), stage())
	c.all(day, keep)
	c.mustEnd()
	require.Equal(t, 1, c.review.Stage)
	require.Equal(t, "everything was decided", c.review.ClosedWhy)
	require.Empty(t, c.noticesTo("review-asked 2", rita))
}

// What the workflow carries is JSON that whoever reads a status knows; the ID says which review it is.
func TestAccessReviewWorkflowIDNamesTheReview(t *testing.T) {
	for id, why := range map[string]string{
		messages.ReviewID(org, quarterly):                          "the workflow ID must be access-review:acme:quarterly:<date>",
		messages.ReviewID(org, "quarterl:2026-03-02"):              "the workflow ID must be",
		messages.ReviewID("other", spring):                         "the workflow ID must be",
		"review":                                                   "the workflow ID must be",
		messages.ReviewID(org, spring):                             "",
		messages.ReviewID(org, quarterly+"-2026-03-02T09:00:00Z"):  "", // as a schedule makes it
		messages.ReviewID(org, quarterly+":2026-03-02:second-try"): "",
	} {
		t.Run(id, func(t *testing.T) {
			c := newReviewTest(t)
			c.id = id
			c.items = nil
			_, err := c.runToEnd()
			if why == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, why)
			require.Empty(t, c.calls)
		})
	}
}

func TestAccessReviewWhoStartsAReviewIsRecorded(t *testing.T) {
	c := newReviewTest(t)
	c.input.By = "bo@acme.example"
	c.items = nil
	c.mustEnd()
	require.Equal(t, "bo@acme.example", c.review.By)
	contains(t, c.inputs[0], `"campaign":"quarterly"`, `"review":"quarterly:2026-03-02"`, `"by":"bo@acme.example"`)
}

// A workflow that was reset to its beginning goes on where the ledger says that the review is.
func TestAccessReviewThatIsTakenUpAgain(t *testing.T) {
	for state, phase := range map[access.ReviewState]string{
		access.ReviewDone: messages.ReviewOver, access.ReviewSkipped: messages.ReviewSkipped,
		access.ReviewCancelled: messages.ReviewCancelled,
	} {
		t.Run(string(state), func(t *testing.T) {
			c := newReviewTest(t)
			c.review = access.Review{ID: spring, Campaign: quarterly, State: state, Items: 4}
			s, err := c.runToEnd()
			require.NoError(t, err)
			require.Equal(t, phase, s.Phase)
			require.Equal(t, []string{"ReviewBegin"}, c.calls)
		})
	}
	t.Run("while it is decided", func(t *testing.T) {
		c := newReviewTest(t)
		c.review = access.Review{ID: spring, Campaign: quarterly, State: access.ReviewOpen, Stage: 1, Stages: 1,
			Due: begin.Add(3 * day), Items: 4}
		for _, i := range c.items {
			i.Stage = 1
			c.ask(i.N, rita, access.TaskReviewer)
		}
		c.decides(day, rita, remove, 1)
		c.mustEnd()
		require.Zero(t, c.called("ReviewSweep"))
		require.Equal(t, 3*day, from(c.review.Closed))
		require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
	})
	t.Run("while it is carried out", func(t *testing.T) {
		c := newReviewTest(t)
		c.review = access.Review{ID: spring, Campaign: quarterly, State: access.ReviewClosing, Stage: 1,
			Stages: 1, Items: 4}
		for _, i := range c.items {
			i.Outcome = access.OutcomeOpen
		}
		c.mustEnd()
		require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
		require.Zero(t, c.called("ReviewClose"))
	})
}
