package reviews

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// ReviewInput names a review.
type ReviewInput struct {
	Org    string `json:"org"`
	Review string `json:"review"`
}

// ReviewBeginInput begins a review of a campaign.
type ReviewBeginInput struct {
	ReviewInput
	Campaign string `json:"campaign"`
	Run      string `json:"run"` // first run ID of the workflow
	By       string `json:"by,omitempty"`
}

// ReviewBeginResult is a review and the policy's settings that its workflow needs.
type ReviewBeginResult struct {
	Review   access.Review           `json:"review"`
	Settings messages.ReviewSettings `json:"settings"`
}

// ReviewBegin stores a review that begins, under the policy in force. A repeat finds it.
func (a *Activities) ReviewBegin(ctx context.Context, in ReviewBeginInput) (ReviewBeginResult, error) {
	defer session.AutoHeartbeat(ctx)()
	known, err := a.env.Ledger.Organization(ctx, in.Org)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && known.Policy == "" {
		return ReviewBeginResult{}, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("no organization %q is known here; start it with `starter apply FILE`", in.Org))
	}
	if err != nil {
		return ReviewBeginResult{}, err
	}
	p, err := a.env.WrittenPolicy(ctx, in.Org, known.Policy)
	if err != nil {
		return ReviewBeginResult{}, err
	}
	campaign, known2 := p.Review(in.Campaign)
	if !known2 {
		return ReviewBeginResult{}, session.Refusedf(
			"the policy of organization %s has no review named %q; its reviews are: %s", in.Org, in.Campaign,
			orNothing(reviewNames(p)))
	}
	if known.AdoptedAt.IsZero() {
		return ReviewBeginResult{}, session.Refusedf(
			"the first plan of organization %s was not approved yet; approve it before people are asked to review",
			in.Org)
	}
	if campaign.Codes && !a.env.Notifier.Private() {
		return ReviewBeginResult{}, session.Refusedf(
			"review %s requires codes, but no channel is configured that only the addressee reads: set CASTELLAN_NOTIFY_SMTP or a signed webhook on the worker, or write codes: false", in.Campaign)
	}
	r, err := a.env.Ledger.BeginReview(ctx, in.Org, access.Review{
		ID: in.Review, Campaign: campaign.Name, Policy: known.Policy, Run: in.Run, By: in.By, Owner: campaign.Owner,
		Opened: a.env.Now(),
		Stages: len(campaign.Stages), Codes: campaign.Codes,
	})
	if errors.Is(err, ledger.ErrConflict) {
		return ReviewBeginResult{}, session.NonRetryable(session.ErrRefused, err)
	}
	if err == nil {
		err = a.keepReviewNames(ctx, in.ReviewInput, p)
	}
	return ReviewBeginResult{Review: r, Settings: reviewSettings(p, campaign)}, err
}

func reviewNames(p *policy.Policy) (names []string) {
	for _, r := range p.Reviews {
		names = append(names, r.Name)
	}
	return names
}

func orNothing(names []string) string { return cmp.Or(strings.Join(names, ", "), "none") }

func reviewSettings(p *policy.Policy, r *policy.Review) messages.ReviewSettings {
	s := messages.ReviewSettings{AtOnce: r.Apply == policy.ApplyAtOnce, Pages: p.Sync.Pages,
		Patience: messages.Duration(r.Patience)}
	for _, stage := range r.Stages {
		s.Stages = append(s.Stages, messages.StageSettings{
			Length: messages.Duration(stage.Length), FallbackAfter: messages.Duration(stage.FallbackAfter),
			Escalate: messages.Duration(stage.Escalate),
		})
	}
	for _, word := range r.Reminders {
		s.Remind = append(s.Remind, string(word))
	}
	return s
}

// campaignSession is a session about one review. Its campaign is that of the policy under which the review began; what
// gives people their access is the policy in force.
type campaignSession struct {
	*task
	review   access.Review
	campaign *policy.Review
}

// openCampaign opens a session about a review.
func (a *Activities) openCampaign(ctx context.Context, in ReviewInput) (*campaignSession, error) {
	r, campaign, err := a.campaignOf(ctx, in)
	if err != nil {
		return nil, err
	}
	s, err := a.task(a.env.OpenInForce(ctx, in.Org))
	if err != nil {
		return nil, err
	}
	return &campaignSession{task: s, review: r, campaign: campaign}, nil
}

// campaignOf returns a review and its campaign in the policy under which it began.
func (a *Activities) campaignOf(ctx context.Context, in ReviewInput) (access.Review, *policy.Review, error) {
	r, err := a.env.Ledger.Review(ctx, in.Org, in.Review)
	if errors.Is(err, ledger.ErrNotFound) {
		return r, nil, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("organization %s has no review %q; `starter review list` names them", in.Org, in.Review))
	}
	if err != nil {
		return r, nil, err
	}
	p, err := a.env.WrittenPolicy(ctx, in.Org, r.Policy)
	if err != nil {
		return r, nil, err
	}
	accounts, err := a.reviewAccounts(ctx, in)
	if err != nil {
		return r, nil, err
	}
	campaign, ok := p.WithAccounts(accounts).Review(r.Campaign)
	if !ok {
		return r, nil, session.NonRetryable(session.ErrPolicy,
			fmt.Errorf("policy %s has no review named %q", r.Policy, r.Campaign))
	}
	return r, campaign, nil
}

// find adds to the findings about the review's setup.
func (r *campaignSession) find(ctx context.Context, found ...string) error {
	if len(found) == 0 {
		return nil
	}
	_, err := r.Ledger.ChangeReview(ctx, r.Org, r.review.ID, func(is *access.Review) bool {
		before := len(is.Findings)
		for _, one := range found {
			if !slices.Contains(is.Findings, one) && len(is.Findings) < mostFindings {
				is.Findings = append(is.Findings, one)
			}
		}
		return len(is.Findings) > before
	})
	return err
}

// mostFindings limits the findings about a review's setup.
const mostFindings = 30

// ago returns in words how long ago an instant was.
func ago(now, at time.Time) string {
	days := int(now.Sub(at).Hours() / 24)
	switch {
	case days < 1:
		return "today"
	case days == 1:
		return "yesterday"
	}
	return fmt.Sprintf("%d days ago", days)
}
