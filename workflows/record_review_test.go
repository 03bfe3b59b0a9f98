package workflows_test

import (
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// campaigns are what is reviewed: the vault, and the library, in which nobody sits.
const campaigns = `
reviews:
  - name: vault
    owner: ana@example.com
    codes: false
    scope: {targets: ["group:vault"]}
    stages: [{reviewers: [bo@example.com], fallback: [carol@example.com], fallbackAfter: 12s, escalate: 20s, length: 1m}]
    reminders: [start, middle, last]
    silence: keep
    patience: 1h
  - {name: at-once, owner: ana@example.com, codes: false, apply: at-once, patience: 1h, scope: {targets: ["group:vault"]}, stages: [{reviewers: [bo@example.com], length: 1m}]}
  - {name: stopped, owner: ana@example.com, codes: false, scope: {targets: ["group:vault"]}, stages: [{reviewers: [bo@example.com], length: 1m}]}
  - {name: library, owner: ana@example.com, codes: false, scope: {targets: ["group:library"]}, stages: [{reviewers: [bo@example.com], length: 1m}]}
`

// seated is the organization in which three people sit in the vault by hand.
var seated = cloud.OrgFile{
	People: small.People, Admins: small.Admins, Groups: small.Groups,
	Local:   append([]cloud.OrgGroup{{Name: "library"}}, small.Local...),
	Foreign: map[string][]string{"vault": {"gil", "hana", "ivo"}},
}

// reviewID returns the workflow ID of a recorded review.
func reviewID(campaign string) string { return messages.ReviewID(org, campaign+":recorded") }

// campaign starts a review and waits until its reviewers are asked.
func (r *recordedOrg) campaign(name string) (workflowID string) {
	r.t.Helper()
	r.begin(name)
	r.reviews(name, func(s messages.ReviewStatus) bool { return s.Review.Stage == 1 && s.Progress.Asked == 3 })
	return reviewID(name)
}

func (r *recordedOrg) begin(name string) {
	r.t.Helper()
	_, err := r.client.ExecuteWorkflow(r.t.Context(),
		client.StartWorkflowOptions{ID: reviewID(name), TaskQueue: messages.QueueWorkflows},
		messages.AccessReview, messages.AccessReviewInput{Org: org, Campaign: name, By: "ana"})
	require.NoError(r.t, err)
}

// reviews waits until a review is as wanted.
func (r *recordedOrg) reviews(name string, want func(messages.ReviewStatus) bool) messages.ReviewStatus {
	r.t.Helper()
	return statusOf(r, reviewID(name), want)
}

// A review is decided by update and signal, extended, and goes on in a fresh history; the fallback and the owner are
// asked, the reviewers reminded. What was decided to be removed is carried out by the organization's loop.
func playReview(r *recordedOrg) {
	r.rules = campaigns
	r.adopt()
	id := r.campaign("vault")
	r.updateOf(id, messages.DecideItems,
		messages.DecideInput{By: "bo@example.com", Verdict: access.VerdictRemove, Items: []int{1}})
	require.NoError(r.t, r.client.SignalWorkflow(r.t.Context(), id, "", messages.DecideItems,
		messages.DecideInput{By: "bo@example.com", Verdict: access.VerdictKeep, Items: []int{2}}))
	require.NoError(r.t, r.client.SignalWorkflow(r.t.Context(), id, "", "decice", nil))
	r.updateOf(id, messages.CommentItem,
		messages.CommentInput{By: "bo@example.com", Item: 3, Comment: "whose is this?"})
	r.reviews("vault", func(s messages.ReviewStatus) bool { return s.Progress.Decided == 2 && len(s.Refused) == 1 })
	r.renew("review-begun", id)
	r.updateOf(id, messages.Extend, messages.ExtendReviewInput{By: "ana", Duration: messages.Duration(20 * time.Second),
		Reason: "holidays"})
	asked := func(who string) func(s messages.ReviewStatus) bool {
		return func(s messages.ReviewStatus) bool {
			for _, one := range s.Progress.Reviewers {
				if one.Reviewer == who {
					return true
				}
			}
			return false
		}
	}
	r.reviews("vault", asked("carol@example.com"))
	r.updateOf(id, messages.DelegateItems, messages.DelegateInput{By: "carol@example.com", To: "dan@example.com"})
	r.reviews("vault", asked("dan@example.com"))
	r.reviews("vault", asked("ana@example.com"))
	r.updateOf(id, messages.Remind, messages.RemindInput{By: "ana"})
	r.updateOf(id, messages.DecideItems,
		messages.DecideInput{By: "dan@example.com", Verdict: access.VerdictKeep, Items: []int{3}})
	r.over(id)
	r.save("review-carried-out", id)
	r.end("look-at")
}

// A removal is carried out while the others are still asked; the history ends, and the next one sees it done.
func playReviewAtOnce(r *recordedOrg) {
	r.rules = campaigns
	r.adopt()
	id := r.campaign("at-once")
	r.updateOf(id, messages.DecideItems,
		messages.DecideInput{By: "bo@example.com", Verdict: access.VerdictRemove, Items: []int{1}})
	r.reviews("at-once", func(s messages.ReviewStatus) bool { return s.Progress.Outcomes[access.OutcomeOpen] == 1 })
	r.renew("review-at-once-begun", id)
	r.reviews("at-once", func(s messages.ReviewStatus) bool { return s.Progress.Outcomes[access.OutcomeRemoved] == 1 })
	r.updateOf(id, messages.DecideItems,
		messages.DecideInput{By: "bo@example.com", Verdict: access.VerdictKeep, Items: []int{2, 3}})
	r.over(id)
	r.save("review-removed-at-once", id)
	r.end("look-at-once")
}

// Reviews end without anything being carried out: by the word cancel, by Temporal, because there is nothing to review,
// because nobody answers, because there is no such campaign.
func playEndedReviews(r *recordedOrg) {
	r.rules = campaigns
	r.adopt()
	r.begin("library")
	r.over(reviewID("library"))
	r.save("review-skipped", reviewID("library"))
	r.begin("nothing")
	require.Error(r.t, r.client.GetWorkflow(r.t.Context(), reviewID("nothing"), "").Get(r.t.Context(), nil))
	r.save("review-refused", reviewID("nothing"))

	id := r.campaign("at-once")
	r.updateOf(id, messages.DecideItems,
		messages.DecideInput{By: "bo@example.com", Verdict: access.VerdictKeep, Items: []int{1}})
	require.NoError(r.t, r.client.CancelWorkflow(r.t.Context(), id, ""))
	require.Error(r.t, r.client.GetWorkflow(r.t.Context(), id, "").Get(r.t.Context(), nil))
	r.save("review-cancelled-by-temporal", id)

	id = r.campaign("stopped")
	r.updateOf(id, messages.DecideItems,
		messages.DecideInput{By: "bo@example.com", Verdict: access.VerdictKeep, Items: []int{1}})
	r.updateOf(id, messages.CancelReview, messages.EndReviewInput{By: "ana", Reason: "wrong scope"})
	r.over(id)
	r.save("review-cancelled", id)

	id = r.campaign("vault")
	r.over(id)
	r.save("review-silent", id)
	r.end("reviewed")
}
