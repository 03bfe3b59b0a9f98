package reviews

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// Records are what the backend behind reviewers' pages records and looks up, without a workflow between.
type Records struct{ activities *Activities }

// Records returns the records for the activities' environment.
func (a *Activities) Records() Records { return Records{a} }

// SeenEvery is how often it is recorded that a reviewer looks at their items: the time to a decision is measured from
// there.
const SeenEvery = 10 * time.Minute

// Campaign returns a review and its campaign in the policy under which it began.
func (r Records) Campaign(ctx context.Context, in ReviewInput) (access.Review, *policy.Review, error) {
	return r.activities.campaignOf(ctx, in)
}

// Labels returns a function from accounts to their names for display.
func (r Records) Labels(ctx context.Context, org string, accounts []string) (func(account string) string, error) {
	return r.activities.labels(ctx, org, accounts)
}

// Record records a message of somebody who has proved who they are.
func (r Records) Record(ctx context.Context, org string, of access.Review, w ReviewMessage,
	who access.Person) (ReviewMessageResult, error) {
	w.trusted, w.account, w.email = true, who.ID, who.Email
	all, err := r.activities.recordDecisions(ctx, org, of, []ReviewMessage{w})
	if err != nil {
		return ReviewMessageResult{}, err
	}
	return all[0], nil
}
