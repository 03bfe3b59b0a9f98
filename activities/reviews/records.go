package reviews

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// Records are what the backend behind reviewers' pages records and looks up, without a workflow between.
type Records struct{ activities *Activities }

// Records returns the records that activities work on.
func (a *Activities) Records() Records { return Records{a} }

// SeenEvery is how often it is noted that a reviewer looks at their items: the time to a decision is measured from
// there.
const SeenEvery = 10 * time.Minute

// Campaign finds a review and what the policy said of its campaign when it began.
func (r Records) Campaign(ctx context.Context, in ReviewInput) (access.Review, *policy.Review, error) {
	return r.activities.campaignOf(ctx, in)
}

// Labels returns how accounts are called for people.
func (r Records) Labels(ctx context.Context, org string, accounts []string) (func(account string) string, error) {
	return r.activities.labels(ctx, org, accounts)
}

// Record records what somebody decided who has shown who they are.
func (r Records) Record(ctx context.Context, org string, of access.Review, w ReviewWord,
	who access.Person) (ReviewHeard, error) {
	w.trusted, w.account, w.email = true, who.ID, who.Email
	all, err := r.activities.recordDecisions(ctx, org, of, []ReviewWord{w})
	if err != nil {
		return ReviewHeard{}, err
	}
	return all[0], nil
}
