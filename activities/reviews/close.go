package reviews

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/review"
)

// ReviewCloseInput ends the deciding of a review.
type ReviewCloseInput struct {
	ReviewInput
	By     string `json:"by,omitempty"` // empty: the clock, or that everything was decided
	Why    string `json:"why,omitempty"`
	Cancel bool   `json:"cancel,omitempty"` // nothing is carried out
}

// ReviewCloseResult counts the results of the decisions.
type ReviewCloseResult struct {
	Keep      int `json:"keep"`
	Remove    int `json:"remove"`
	Silent    int `json:"silent,omitempty"` // of both, decided by the rule for silence
	Undecided int `json:"undecided,omitempty"`
	Spared    int `json:"spared,omitempty"` // the rule for silence would have removed the last holders
}

// settleAtOnce is how many items are settled in one step.
const settleAtOnce = 500

// ReviewClose ends deciding: the campaign's rule for silence decides what nobody decided, unless that would remove a
// target's last holders; what is kept is done; what is to be removed is then carried out. A repeat changes nothing.
func (a *Activities) ReviewClose(ctx context.Context, in ReviewCloseInput) (ReviewCloseResult, error) {
	defer session.AutoHeartbeat(ctx)()
	if in.Cancel {
		return ReviewCloseResult{}, a.cancelReview(ctx, in)
	}
	r, err := a.openCampaign(ctx, in.ReviewInput)
	if err != nil {
		return ReviewCloseResult{}, err
	}
	now := r.Now()
	r.review, err = r.Ledger.ChangeReview(ctx, in.Org, in.Review, func(is *access.Review) bool {
		if is.State != access.ReviewOpen {
			return false
		}
		is.State, is.Closed, is.ClosedBy, is.ClosedWhy = access.ReviewClosing, now, in.By, in.Why
		return true
	}, access.ReviewEvent{At: now, Kind: access.EventClosed, By: in.By, Text: in.Why})
	if err != nil {
		return ReviewCloseResult{}, err
	}
	b, err := r.lastBound(ctx)
	if err != nil {
		return ReviewCloseResult{}, err
	}
	ends := review.Closer{Review: r.review.ID, Holders: r.review.Holders, Silence: r.silence(b),
		Keep: r.campaign.Keep.Std(), Now: now}
	if err := r.eachItem(ctx, func(i access.Item) error { ends.Count(i); return nil }); err != nil {
		return ReviewCloseResult{}, err
	}
	var closed ReviewCloseResult
	timed := false // something was kept for a while
	var some []review.Resolution
	err = r.eachItem(ctx, func(i access.Item) error {
		s := ends.Close(i)
		closed.add(s.Item)
		timed = timed || s.NewRuling != nil && !s.NewRuling.Until.IsZero()
		if i.Outcome != "" || s.Item.Outcome == "" { // it is settled, or being carried out, already
			return nil
		}
		if some = append(some, s); len(some) < settleAtOnce {
			return nil
		}
		activity.RecordHeartbeat(ctx)
		err := r.settle(ctx, some, now)
		some = some[:0]
		return err
	})
	if err == nil && len(some) > 0 {
		err = r.settle(ctx, some, now)
	}
	if err == nil && timed {
		err = a.askClock(ctx, in.ReviewInput)
	}
	if err == nil && closed.Spared > 0 {
		err = r.find(ctx, fmt.Sprintf("the rule for silence would have removed the last holders of a target: %s spared",
			ofItems(closed.Spared)))
	}
	return closed, err
}

// settle settles items, those alone as decided that are as the chain says.
func (r *campaignSession) settle(ctx context.Context, all []review.Resolution, now time.Time) error {
	items := make([]access.Item, len(all))
	for n, s := range all {
		items[n] = s.Item
	}
	unexplained, err := r.Ledger.UnexplainedItems(ctx, r.Org, r.review.ID, items)
	if err != nil {
		return err
	}
	for n, s := range all {
		if unexplained[s.Item.N] {
			all[n] = review.Unexplained(s.Item)
		}
	}
	return r.Ledger.Settle(ctx, r.Org, r.review.ID, all, now)
}

// askClock asks the organization's loop to look when rulings end. One that does not run does so when it starts.
func (a *Activities) askClock(ctx context.Context, in ReviewInput) error {
	err := a.env.Temporal.SignalWorkflow(ctx, messages.OrgSyncID(in.Org), "", messages.LookAt,
		messages.LookAtSignal{Review: in.Review, Clock: true})
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return nil
	}
	return err
}

func (c *ReviewCloseResult) add(i access.Item) {
	switch {
	case i.Outcome == access.OutcomeUndecided:
		c.Undecided++
		return
	case i.Outcome == access.OutcomeSpared:
		c.Spared++
		return
	case i.Verdict == access.VerdictKeep:
		c.Keep++
	case i.Verdict == access.VerdictRemove:
		c.Remove++
	}
	if i.Silent {
		c.Silent++
	}
}

// cancelReview ends a review without carrying out decisions that were not begun.
func (a *Activities) cancelReview(ctx context.Context, in ReviewCloseInput) error {
	now := a.env.Now()
	if _, err := a.env.Ledger.ChangeReview(ctx, in.Org, in.Review, func(is *access.Review) bool {
		if is.State == access.ReviewCancelled || is.ClosedWhy == in.Why && is.ClosedBy == in.By &&
			!is.Closed.IsZero() && is.State == access.ReviewClosing {
			return false
		}
		is.State, is.Closed, is.ClosedBy, is.ClosedWhy = access.ReviewClosing, now, in.By, in.Why
		return true
	}, access.ReviewEvent{At: now, Kind: access.EventCancelled, By: in.By, Text: in.Why}); err != nil {
		return err
	}
	if err := a.env.Ledger.FreeRulings(ctx, in.Org, in.Review); err != nil {
		return err
	}
	for {
		some, err := a.env.Ledger.Items(ctx, in.Org, in.Review,
			ledger.ItemFilter{Outcomes: []access.Outcome{"", access.OutcomeOpen, access.OutcomeHeld},
				Limit: settleAtOnce})
		if err != nil || len(some) == 0 {
			return err
		}
		all := make([]review.Resolution, len(some))
		for n, i := range some {
			all[n] = review.Dropped(i)
		}
		if err := a.env.Ledger.Settle(ctx, in.Org, in.Review, all, now); err != nil {
			return err
		}
	}
}

// lastBound returns the policy bound to the last outline, without asking Atlassian.
func (s *task) lastBound(ctx context.Context) (*policy.Bound, error) {
	outline, known, err := s.LatestOutline(ctx)
	if err != nil {
		return nil, err
	}
	if !known { // a new policy was just applied: carrying out reports what is gone from it
		if outline.Outline, err = s.ReadOutline(ctx, policy.Last{}); err != nil {
			return nil, err
		}
	}
	return s.Bound(outline), nil
}

// eachItem calls do with every item of the review.
func (r *campaignSession) eachItem(ctx context.Context, do func(access.Item) error) error {
	filter := ledger.ItemFilter{Limit: settleAtOnce}
	for {
		some, err := r.Ledger.Items(ctx, r.Org, r.review.ID, filter)
		if err != nil {
			return err
		}
		for _, i := range some {
			if err := do(i); err != nil {
				return err
			}
		}
		if len(some) < settleAtOnce {
			return nil
		}
		filter.After = some[len(some)-1].N
	}
}

// silence returns the campaign's rule for silence on items; "" for nothing.
func (r *campaignSession) silence(b *policy.Bound) func(access.Item) access.Verdict {
	rules := map[access.Entitlement]policy.Silence{}
	return func(i access.Item) access.Verdict {
		rule, asked := rules[i.Target]
		if !asked {
			rule = r.campaign.Silence
			if t, known := b.Target(i.Target); known {
				rule = r.campaign.SilenceFor(b, t)
			}
			rules[i.Target] = rule
		}
		switch rule {
		case policy.SilenceKeep:
			return access.VerdictKeep
		case policy.SilenceRemove:
			return access.VerdictRemove
		case policy.SilenceRecommend:
			return i.Recommend
		}
		return ""
	}
}

// course is which verdicts of a stage go on to the next one.
func (r *campaignSession) course() (c review.StageFilters) {
	for _, stage := range r.campaign.Stages {
		c = append(c, stage.Next.Continues)
	}
	return c
}
