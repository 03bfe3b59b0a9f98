package reviews

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// ReviewProgress counts the progress of a review. It changes nothing.
func (a *Activities) ReviewProgress(ctx context.Context, in ReviewInput) (messages.ReviewProgress, error) {
	r, campaign, err := a.campaignOf(ctx, in)
	if err != nil {
		return messages.ReviewProgress{}, err
	}
	c, err := a.env.Ledger.CountReview(ctx, in.Org, in.Review)
	if err != nil {
		return messages.ReviewProgress{}, err
	}
	p := messages.ReviewProgress{
		Items: c.Items, Asked: c.Asked, Decided: c.Decided, Keep: c.Verdicts[access.VerdictKeep],
		Remove:   c.Verdicts[access.VerdictRemove],
		Outcomes: c.Outcomes, Complete: c.Decided == c.Asked,
	}
	stage := campaign.Stages[max(r.Stage, 1)-1]
	if campaign.Apply == policy.ApplyAtOnce && (r.Stage == r.Stages || !stage.Next.Continues(access.VerdictRemove)) {
		p.Carry = c.Removals
	}
	all := stage.Assign == policy.AssignAll
	ids := make([]string, len(c.Reviewers))
	for n, one := range c.Reviewers {
		ids[n] = one.Reviewer
	}
	emails, err := a.env.Ledger.KnownEmails(ctx, in.Org, ids)
	if err != nil {
		return p, err
	}
	for _, one := range c.Reviewers {
		p.Reviewers = append(p.Reviewers,
			messages.ReviewerProgress{Reviewer: one.Reviewer, Email: emails[one.Reviewer], Role: one.Role,
				Items: one.Items, Decided: one.Items - one.Left})
		if all && (one.Role == access.TaskReviewer || one.Role == access.TaskDelegate) && one.Spoken < one.Items {
			p.Complete = false // each of them has to decide
		}
	}
	slices.SortFunc(p.Reviewers, func(a, b messages.ReviewerProgress) int {
		return cmp.Or(cmp.Compare(b.Items-b.Decided, a.Items-a.Decided), strings.Compare(a.Who(), b.Who()))
	})
	if hold, err := a.env.Ledger.CurrentHold(ctx, in.Org); err == nil && c.Outcomes[access.OutcomeHeld] > 0 {
		p.Plan = hold.Plan
	}
	return p, nil
}
