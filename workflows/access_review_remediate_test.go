package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// plan is the hash of a plan that the guard holds.
const plan = "sha256:spring"

// removals returns a review in which two removals are decided after an hour.
func removals(t *testing.T) *reviewTest {
	c := newReviewTest(t)
	c.decides(time.Hour, rita, remove, 1, 2)
	c.decides(time.Hour, sam, keep, 3, 4)
	return c
}

// What the guard holds waits for a person; the owner is told once.
func TestAccessReviewHeldRemovalsThatAreApproved(t *testing.T) {
	c := removals(t)
	c.guard = plan
	c.at(2*day, func() {
		require.Equal(t, messages.ReviewHeld, c.status().Phase)
		state, _ := c.shown.GetKeyword(messages.AttributeState)
		require.Equal(t, messages.ReviewHeld, state)
		contains(t, c.page(), "2 are held by the guard", "**The guard holds plan `"+plan+"`.**", "--name approve-plan",
			"--workflow-id org-sync:acme")
	})
	c.at(3*day, c.approve)
	s := c.mustEnd()
	require.Equal(t, messages.ReviewOver, s.Phase)
	require.Equal(t, []access.Outcome{access.OutcomeRemoved, access.OutcomeRemoved, access.OutcomeKept,
		access.OutcomeKept}, c.outcomes())
	require.Len(t, c.noticesTo("review-held", olga), 1)
	require.Less(t, c.since(), 3*day+16*time.Minute)
}

func TestAccessReviewHeldRemovalsThatNobodyDecides(t *testing.T) {
	c := removals(t)
	c.guard = plan
	s := c.mustEnd()
	require.Equal(t, messages.ReviewOver, s.Phase)
	require.Equal(t, []access.Outcome{access.OutcomeLate, access.OutcomeLate, access.OutcomeKept, access.OutcomeKept},
		c.outcomes())
	require.Equal(t, "late: it was held", c.items[0].Why)
	require.Equal(t, waits+time.Hour, c.since().Truncate(time.Minute))
	require.Len(t, c.noticesTo("review-held", olga), 1)
	require.Len(t, c.noticesTo("review-done", olga), 1)
}

func TestAccessReviewHeldRemovalsThatAreRejected(t *testing.T) {
	c := removals(t)
	c.guard = plan
	c.at(2*day, func() { c.rejected = true })
	c.mustEnd()
	require.Equal(t, access.OutcomeRejected, c.outcomes()[0])
}

// The world moves, and the plan with it: the owner is told of each, once, also when an older one comes back.
func TestAccessReviewHeldPlanThatChanges(t *testing.T) {
	c := removals(t)
	c.guard = plan
	for i, other := range []string{"sha256:b", plan, "sha256:b", "sha256:c"} {
		c.at(time.Duration(i+2)*12*time.Hour, func() { c.guard = other })
		c.signalAt(time.Duration(i+2)*12*time.Hour+time.Hour, messages.ForceContinueAsNew, nil)
	}
	c.mustEnd()
	require.Len(t, c.noticesTo("review-held", olga), 3)
	require.Equal(t, 5, c.histories)
}

// Ops end the waiting: what is not done by then is late.
func TestAccessReviewOpsEndTheWaitingForRemovals(t *testing.T) {
	c := removals(t)
	c.paused = true
	closed := c.updateAt(2*day, messages.CloseReview, messages.EndReviewInput{By: "bo@acme.example"})
	c.mustEnd()
	contains(t, closed.message(t), "given up")
	require.Equal(t, access.OutcomeLate, c.outcomes()[0])
	require.Equal(t, 2*day, c.since())
}

// The organization is paused: removals wait for its resume, as long as the campaign has patience.
func TestAccessReviewPausedOrganization(t *testing.T) {
	t.Run("for long", func(t *testing.T) {
		c := removals(t)
		c.paused = true
		c.at(day, func() {
			require.Equal(t, messages.ReviewCarrying, c.status().Phase)
			contains(t, c.page(), "2 removals are being carried out", "is the organization paused?",
				"To wait no longer:")
		})
		s := c.mustEnd()
		require.Equal(t, []access.Outcome{access.OutcomeLate, access.OutcomeLate, access.OutcomeKept,
			access.OutcomeKept}, c.outcomes())
		require.Equal(t, waits+time.Hour, c.since().Truncate(time.Minute))
		require.Equal(t, access.ReviewDone, s.Review.State)
		require.Greater(t, len(c.looks), 400, "the loop is asked again and again")
		require.Less(t, len(c.looks), 600, "but not without end")
	})
	t.Run("and resumed", func(t *testing.T) {
		c := removals(t)
		c.paused = true
		c.at(2*day, func() { c.paused = false })
		c.mustEnd()
		require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
		require.Less(t, c.since(), 2*day+time.Hour)
	})
	t.Run("or not running", func(t *testing.T) {
		c := removals(t)
		c.absent = true
		c.at(day, func() { c.absent = false })
		c.mustEnd()
		require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
		require.Less(t, c.since(), day+time.Hour)
	})
}

// The loop is asked once, and again only when it takes long: not each time that some progress is seen.
func TestAccessReviewLoopIsNotAskedTooOften(t *testing.T) {
	c := removals(t)
	c.writes = 8 * time.Minute
	c.mustEnd()
	require.Len(t, c.looks, 1)
	require.Equal(t, []string{"p-ana", "p-eve"}, c.looks[0].People)
}

// Atlassian does not work when deciding is over: the review ends all the same.
func TestAccessReviewOutageWhileRemovalsAreCarriedOut(t *testing.T) {
	t.Run("for some days", func(t *testing.T) {
		c := removals(t)
		c.failUntil(3*day, "ReviewCarry", down())
		c.at(2*day, func() {
			require.NotNil(t, c.status().Problem)
			contains(t, c.page(), "**It cannot go on since 2026-03-02", "Atlassian cannot be reached")
		})
		s := c.mustEnd()
		require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
		require.Less(t, c.since(), 3*day+20*time.Minute)
		require.Len(t, c.noticesTo("review-trouble 1", olga), 1)
		require.Nil(t, s.Problem)
	})
	t.Run("without end", func(t *testing.T) {
		c := removals(t)
		c.failUntil(100*day, "ReviewCarry", down())
		s := c.mustEnd()
		require.Equal(t, []access.Outcome{access.OutcomeLate, access.OutcomeLate, access.OutcomeKept,
			access.OutcomeKept}, c.outcomes())
		require.Equal(t, access.ReviewDone, s.Review.State)
		require.Less(t, c.since(), waits+time.Hour+20*time.Minute)
	})
	t.Run("and ops wait no longer", func(t *testing.T) {
		c := removals(t)
		c.failUntil(100*day, "ReviewCarry", down())
		c.updateAt(2*day+100*time.Second, messages.CloseReview, messages.EndReviewInput{By: "bo@acme.example"})
		c.mustEnd()
		require.Equal(t, 2*day+100*time.Second, c.since(), "nothing waits for the next attempt")
	})
}

// What is decided in the last stage is carried out as it is decided, where the campaign says so.
func TestAccessReviewRemovalsAtOnce(t *testing.T) {
	c := newReviewTest(t)
	c.settings.AtOnce = true
	c.decides(day, rita, remove, 1)
	c.at(day+10*time.Minute, func() {
		require.Equal(t, access.OutcomeRemoved, c.items[0].Outcome)
		require.Equal(t, messages.ReviewDeciding, c.status().Phase)
		require.Equal(t, 1, c.status().Progress.Outcomes[access.OutcomeRemoved])
	})
	c.at(2*day, func() { c.paused = true })
	c.decides(2*day, rita, remove, 2)
	c.decides(2*day+3*time.Minute, sam, remove, 3) // while the other one is still open
	c.at(2*day+4*time.Minute, func() {
		require.Contains(t, lastOf(c.looks).People, "p-finn", "it does not wait for what was decided earlier")
		c.paused = false
	})
	c.at(3*day, func() {
		require.Equal(t, []access.Outcome{access.OutcomeRemoved, access.OutcomeRemoved, access.OutcomeRemoved, ""},
			c.outcomes())
	})
	c.silence = keep
	c.mustEnd()
	require.Equal(t, 10*day, from(c.review.Closed))
	require.Equal(t, access.OutcomeKept, c.outcomes()[3])
}

// The loop was asked about one removal, and cannot be asked about the next one just then: it is, with the next look.
func TestAccessReviewLoopThatIsAwayForAMoment(t *testing.T) {
	c := newReviewTest(t)
	c.settings.AtOnce, c.paused, c.silence = true, true, keep
	c.decides(day, rita, remove, 1)
	c.decides(day+5*time.Minute, rita, remove, 2)
	c.at(day+5*time.Minute-time.Second, func() { c.absent = true })
	c.at(day+5*time.Minute+20*time.Second, func() { c.absent = false })
	c.at(day+8*time.Minute, func() { require.Contains(t, lastOf(c.looks).People, "p-eve") })
	c.mustEnd()
}

// What cannot be carried out at once is carried out when deciding is over; nothing else waits for it.
func TestAccessReviewOutageOfRemovalsAtOnce(t *testing.T) {
	c := newReviewTest(t)
	c.settings.AtOnce = true
	c.failUntil(11*day, "ReviewCarry", down())
	c.decides(day, rita, remove, 1)
	c.at(5*day+time.Minute, func() {
		require.Equal(t, []time.Duration{5 * day}, c.noticesTo("review-reminder 1", sam))
		require.NotNil(t, c.status().Problem)
		contains(t, c.page(), "**Removals cannot be carried out since", "nothing else waits for it")
	})
	c.mustEnd()
	require.Equal(t, 10*day, from(c.review.Closed))
	require.Equal(t, access.OutcomeRemoved, c.outcomes()[0])
	require.Less(t, c.called("ReviewCarry"), 6000, "not without a pause")
}

// A look at removals that hangs keeps nobody from being reminded, and no stage from its end.
func TestAccessReviewRemovalAtOnceThatHangs(t *testing.T) {
	c := newReviewTest(t)
	c.settings.AtOnce = true
	c.hangBetween("ReviewCarry", 0, 10*day+time.Hour)
	c.decides(day, rita, remove, 1)
	c.mustEnd()
	require.Equal(t, 10*day, from(c.review.Closed))
	require.Len(t, c.noticesTo("review-reminder 1", sam), 2)
}
