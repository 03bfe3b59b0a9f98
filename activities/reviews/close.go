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
)

// ReviewCloseInput ends the deciding of a review.
type ReviewCloseInput struct {
	ReviewInput
	By     string `json:"by,omitempty"` // empty: the clock, or that everything was decided
	Why    string `json:"why,omitempty"`
	Cancel bool   `json:"cancel,omitempty"` // nothing is carried out
}

// ReviewClosed is what the decisions come to.
type ReviewClosed struct {
	Keep      int `json:"keep"`
	Remove    int `json:"remove"`
	Silent    int `json:"silent,omitempty"` // of both, decided by the rule for silence
	Undecided int `json:"undecided,omitempty"`
	Spared    int `json:"spared,omitempty"` // silence would have taken the last holders
}

// settleAtOnce is how many items are settled in one step.
const settleAtOnce = 500

// ReviewClose ends deciding: what nobody decided is decided by the campaign's rule for silence, unless that would take
// a target's last holders; what is kept is done; what is to be removed is then carried out. A repeat changes nothing.
func (a *Activities) ReviewClose(ctx context.Context, in ReviewCloseInput) (ReviewClosed, error) {
	defer session.AutoHeartbeat(ctx)()
	if in.Cancel {
		return ReviewClosed{}, a.cancelReview(ctx, in)
	}
	r, err := a.reviewing(ctx, in.ReviewInput)
	if err != nil {
		return ReviewClosed{}, err
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
		return ReviewClosed{}, err
	}
	b, err := r.lastBound(ctx)
	if err != nil {
		return ReviewClosed{}, err
	}
	ends := ending{reviewing: r, bound: b, rules: map[access.Entitlement]policy.Silence{},
		decided: map[access.Entitlement]int{}, silent: map[access.Entitlement]int{}}
	if err := r.eachItem(ctx, func(i access.Item) error { ends.count(i); return nil }); err != nil {
		return ReviewClosed{}, err
	}
	var closed ReviewClosed
	var some []ledger.Settlement
	err = r.eachItem(ctx, func(i access.Item) error {
		s := ends.end(i)
		closed.add(s.Item)
		ends.timed = ends.timed || s.Rule != nil && !s.Rule.Until.IsZero()
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
	if err == nil && ends.timed {
		err = a.askClock(ctx, in.ReviewInput)
	}
	if err == nil && closed.Spared > 0 {
		err = r.find(ctx, fmt.Sprintf("silence would have taken the last holders of a target: %s spared",
			ofItems(closed.Spared)))
	}
	return closed, err
}

// unexplainedWhy is said of items whose rows were written past the ledger: nobody can tell what was decided of them.
const unexplainedWhy = "the ledger's chain does not explain what is written of it: somebody wrote it past Castellan, so nothing is done about it; starter verify-ledger names all such rows"

// settle settles items, those alone as decided that are as the chain says.
func (r *reviewing) settle(ctx context.Context, all []ledger.Settlement, now time.Time) error {
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
			s.Item.Outcome, s.Item.Why, s.Item.Until = access.OutcomeRefused, unexplainedWhy, time.Time{}
			all[n] = ledger.Settlement{Item: s.Item, Free: true}
		}
	}
	return r.Ledger.Settle(ctx, r.Org, r.review.ID, all, now)
}

// askClock has the organization's loop ask when rulings end. One that does not run asks when it starts.
func (a *Activities) askClock(ctx context.Context, in ReviewInput) error {
	err := a.env.Temporal.SignalWorkflow(ctx, messages.OrgSyncID(in.Org), "", messages.LookAt,
		messages.LookAtSignal{Review: in.Review, Clock: true})
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return nil
	}
	return err
}

func (c *ReviewClosed) add(i access.Item) {
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

// cancelReview ends a review without carrying out what was decided and not yet begun.
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
		all := make([]ledger.Settlement, len(some))
		for n, i := range some {
			i.Outcome, i.Why = access.OutcomeDropped, "the review was cancelled"
			all[n] = ledger.Settlement{Item: i}
		}
		if err := a.env.Ledger.Settle(ctx, in.Org, in.Review, all, now); err != nil {
			return err
		}
	}
}

// lastBound is the policy bound to the last outline, without asking Atlassian.
func (s *task) lastBound(ctx context.Context) (*policy.Bound, error) {
	outline, known, err := s.LatestOutline(ctx)
	if err != nil {
		return nil, err
	}
	if !known { // a new policy has just been applied: what is gone from it is for carrying out to say
		if outline.Outline, err = s.ReadOutline(ctx, policy.Last{}); err != nil {
			return nil, err
		}
	}
	return s.Bound(outline), nil
}

// eachItem calls do with every item of the review.
func (r *reviewing) eachItem(ctx context.Context, do func(access.Item) error) error {
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

// ending applies the rule for silence.
type ending struct {
	*reviewing
	bound   *policy.Bound
	rules   map[access.Entitlement]policy.Silence
	decided map[access.Entitlement]int // removals by target
	silent  map[access.Entitlement]int // of those, by silence
	timed   bool                       // something was kept for a while
}

// silence is what silence says of an item; "" for nothing.
func (e *ending) silence(i access.Item) access.Verdict {
	rule, asked := e.rules[i.Target]
	if !asked {
		rule = e.campaign.Silence
		if t, known := e.bound.Target(i.Target); known {
			rule = e.campaign.SilenceFor(e.bound, t)
		}
		e.rules[i.Target] = rule
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

// count counts the removals of each target.
func (e *ending) count(i access.Item) {
	switch {
	case i.Verdict == access.VerdictRemove && !i.Silent:
		e.decided[i.Target]++
	case i.Verdict == "" && e.silence(i) == access.VerdictRemove, i.Silent && i.Verdict == access.VerdictRemove:
		e.silent[i.Target]++
	}
}

// empties says that silence would take the last holders of a target.
func (e *ending) empties(target access.Entitlement) bool {
	return e.silent[target] > 0 && e.decided[target]+e.silent[target] >= e.review.Holders[target]
}

// end is what deciding comes to for one item.
func (e *ending) end(i access.Item) ledger.Settlement {
	if i.Outcome != "" {
		return ledger.Settlement{Item: i}
	}
	if i.Verdict == "" {
		i.Verdict, i.Silent = e.silence(i), true
		switch {
		case i.Verdict == "":
			i.Silent, i.Outcome, i.Why = false, access.OutcomeUndecided,
				"nobody decided; it stays as it is until somebody does"
			return ledger.Settlement{Item: i}
		case i.Verdict == access.VerdictRemove && e.empties(i.Target):
			i.Outcome = access.OutcomeSpared
			i.Why = fmt.Sprintf("nobody decided, and silence would have taken the last of %d holders; it stays as it is until somebody decides", e.review.Holders[i.Target])
			return ledger.Settlement{Item: i}
		}
	}
	if i.Verdict == access.VerdictRemove {
		i.Outcome = access.OutcomeOpen
		return ledger.Settlement{Item: i}
	}
	i.Outcome = access.OutcomeKept
	s := ledger.Settlement{Item: i}
	if len(i.Reasons) == 0 && !i.Target.Presence() { // nothing else explains it: the decision does, for a while
		until := e.Now().Add(e.campaign.Keep.Std())
		s.Item.Until = until
		s.Rule = &access.Ruling{Review: e.review.ID, Person: i.Person, Target: i.Target, Verdict: access.VerdictKeep,
			At: e.Now(), Until: until}
	}
	return s
}
