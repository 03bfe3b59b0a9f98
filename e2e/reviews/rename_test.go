package reviews_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

const shortDenial = `
reviews:
  - name: builders
    owner: bo@acme.example
    scope: {targets: ["group:builders"]}
    stages: [{reviewers: [carol@acme.example], length: 30m, escalate: 0s}]
    codes: false
    deny: 15s
`

// TestReviewerIsRenamed: a reviewer whose address is changed, and given to somebody else, while a review runs, goes
// on; the other decides nothing. What is denied for a while then comes back by itself, long before the next
// verification.
func TestReviewerIsRenamed(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, staff, shortDenial)
	id := o.review("builders")
	o.asked("carol@acme.example")
	require.NoError(t, o.Simulator.Person(t.Context(), "carol", map[string]any{"email": "carol.lee@acme.example"}))
	require.NoError(t, o.Simulator.Person(t.Context(), "eve", map[string]any{"email": "carol@acme.example"}))
	finn := o.item(id, "finn", "group:builders").N
	decide := func(by string) error {
		var answer messages.ReviewAnswer
		err := o.update(id, messages.DecideItems,
			messages.DecideInput{By: by, Verdict: access.VerdictRemove, Items: []int{finn}}, &answer)
		if err == nil && answer.Applied != 1 {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	}
	require.ErrorContains(t, decide("carol@acme.example"), "not asked about anything")
	require.NoError(t, decide("carol.lee@acme.example"))
	var answer messages.Answer
	require.NoError(t, o.update(id, messages.Remind, messages.RemindInput{By: "bo@acme.example"}, &answer))
	require.NoError(t, stack.Eventually(t.Context(), patience, func() error {
		if len(o.mail.Of("review-reminder", "carol.lee@acme.example")) == 0 {
			return fmt.Errorf("carol was not reminded")
		}
		return nil
	}))
	require.Empty(t, o.mail.Of("review-reminder", "carol@acme.example"))

	require.NoError(t, o.update(id, messages.CloseReview,
		messages.EndReviewInput{By: "bo@acme.example", Reason: "enough"}, &answer))
	require.Equal(t, access.ReviewDone, o.over(id).Review.State)
	require.Equal(t, access.OutcomeDenied, o.item(id, "finn", "group:builders").Outcome)
	require.NoError(t, stack.Eventually(t.Context(), patience, func() error {
		if !slices.Contains(o.members("builders"), "finn") {
			return fmt.Errorf("finn is not back: %v", o.members("builders"))
		}
		return nil
	}))
	o.evidence(id)
}
