package reviews

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/review"
)

// ReviewCarryInput asks for the progress of removals that were decided.
type ReviewCarryInput struct {
	ReviewInput
	Final bool `json:"final,omitempty"` // their time is over: what is not done now is not done any more
}

// ReviewCarryResult is the progress of removals.
type ReviewCarryResult struct {
	Open int    `json:"open"` // in progress
	Held int    `json:"held"` // by the guard
	Plan string `json:"plan,omitempty"`
	Done int    `json:"done"` // settled by this call
	// Look are people whom the organization's loop has to look at; Everybody: they are too many for that.
	Look      []string `json:"look,omitempty"`
	Everybody bool     `json:"everybody,omitempty"`
}

// mostLooked is how many people the organization's loop is asked to look at one by one. More are one plan with all
// others, which the guard judges as a whole.
const mostLooked = session.MostCorroborated

// ReviewCarry carries out removals that were decided: it lets each deny its target, so that the organization's next run
// removes it, subject to guard and floors like any other removal; it ends the grants that give it; and it reads the
// result back. What a mapping or rule gives is not removed, since it would be given back: its source must change,
// unless the campaign denies it for a while. A repeat looks again.
//
// Calls: people/100 who are not settled; one more for each who no longer holds the target though nothing was written.
func (a *Activities) ReviewCarry(ctx context.Context, in ReviewCarryInput) (ReviewCarryResult, error) {
	defer session.AutoHeartbeat(ctx)()
	var c ReviewCarryResult
	r, err := a.openCampaign(ctx, in.ReviewInput)
	if err == nil {
		err = r.carryAll(ctx, &c)
	}
	if in.Final && !errors.Is(err, context.Canceled) {
		return c, a.giveUp(ctx, in.ReviewInput, err, &c)
	}
	return c, err
}

// carryAll looks at all removals that are not settled.
func (r *campaignSession) carryAll(ctx context.Context, c *ReviewCarryResult) error {
	b, err := r.lastBound(ctx)
	if err != nil {
		return err
	}
	hold, err := r.Ledger.CurrentHold(ctx, r.Org)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	look := map[string]bool{}
	course, atOnce := r.course(), r.campaign.Apply == policy.ApplyAtOnce
	filter := ledger.ItemFilter{Outcomes: []access.Outcome{access.OutcomeOpen, access.OutcomeHeld}, Limit: settleAtOnce}
	if r.review.State == access.ReviewOpen { // carried out as they are decided
		filter.Outcomes = append(filter.Outcomes, "")
	}
	for {
		some, err := r.Ledger.Items(ctx, r.Org, r.review.ID, filter)
		if err != nil {
			return err
		}
		if len(some) > 0 {
			filter.After = some[len(some)-1].N
		}
		whole := len(some)
		some = slices.DeleteFunc(some, func(i access.Item) bool { return !course.Due(i, atOnce) })
		k := remediation{campaignSession: r, bound: b, hold: hold, now: r.Now(), look: look, result: c}
		if err := k.some(ctx, some); err != nil {
			return err
		}
		activity.RecordHeartbeat(ctx)
		if whole < settleAtOnce {
			break
		}
	}
	if c.Held > 0 {
		c.Plan = hold.Plan
	}
	if c.Everybody = len(look) > mostLooked; !c.Everybody {
		c.Look = session.SortedKeys(look)
	}
	return nil
}

// remediation carries out some removals.
type remediation struct {
	*campaignSession
	bound  *policy.Bound
	hold   ledger.Hold
	now    time.Time
	look   map[string]bool
	result *ReviewCarryResult

	people      map[string]access.Person
	states      map[string]ledger.PersonState
	lines       map[ledger.Key]ledger.RunLine
	unexplained map[int]bool // items, by number, that something other than Castellan wrote
}

// some carries out some removals.
func (k *remediation) some(ctx context.Context, items []access.Item) error {
	if len(items) == 0 {
		return nil
	}
	if err := k.read(ctx, items); err != nil {
		return err
	}
	var all []review.Resolution
	var failed error
	for _, i := range items {
		step, err := k.carry(ctx, i)
		if err != nil { // the others are carried out all the same; this one is tried again
			failed = cmp.Or(failed, err)
			continue
		}
		switch step.Item.Outcome {
		case access.OutcomeOpen:
			k.result.Open++
		case access.OutcomeHeld:
			k.result.Held++
		default:
			k.result.Done++
		}
		if step.Changed {
			all = append(all, step.Resolution)
		}
	}
	if err := k.Ledger.Settle(ctx, k.Org, k.review.ID, all, k.now); err != nil {
		return err
	}
	return failed
}

// read reads the people of items, and the ledger's records of these people and items.
func (k *remediation) read(ctx context.Context, items []access.Item) error {
	var ids []string
	var keys []ledger.Key
	for _, i := range items {
		ids = append(ids, i.Person)
		keys = append(keys, ledger.Key{Person: i.Person, Target: i.Target})
	}
	ids = session.EachOnce(ids)
	read, err := k.ReadPeople(ctx, ids)
	if err != nil {
		return err
	}
	k.people = map[string]access.Person{}
	for _, p := range read {
		k.people[p.ID] = p
	}
	if k.states, err = k.Ledger.States(ctx, k.Org, ids, k.now.Add(-session.RecentWrites)); err != nil {
		return err
	}
	if k.lines, err = k.Ledger.Removals(ctx, k.Org, keys, k.review.Opened); err != nil {
		return err
	}
	k.unexplained, err = k.Ledger.UnexplainedItems(ctx, k.Org, k.review.ID, items)
	return err
}

// carry takes one removal a step further.
func (k *remediation) carry(ctx context.Context, i access.Item) (review.Step, error) {
	r := k.removal(i)
	step := r.Next()
	if step.AskMembers {
		among, err := k.AmongMembers(ctx, []string{i.Person}, []string{i.GroupID})
		if err != nil {
			return step, err
		}
		if step = r.NotMember(); among {
			step = r.StillMember()
		}
	}
	if step.EndGrants {
		if err := k.endGrants(ctx, i); err != nil {
			return step, err
		}
	}
	if step.RecheckPerson {
		k.look[i.Person] = true
	}
	return step, nil
}

// removal returns what was read and recorded about an item that is to be removed.
func (k *remediation) removal(i access.Item) review.Removal {
	state := k.states[i.Person]
	r := review.Removal{
		Item: i, Review: k.review.ID, Opened: k.review.Opened, Deny: k.campaign.Deny.Std(), Now: k.now,
		Unexplained: k.unexplained[i.N], DryRun: k.Policy.DryRun, Rulings: state.Rulings, Rejected: state.Rejected,
		HoldRun: k.hold.Run, HoldPlan: k.hold.Plan,
	}
	if line, written := k.lines[ledger.Key{Person: i.Person, Target: i.Target}]; written {
		r.Line, r.Run = &line.Change, line.Run
	}
	t, managed := k.bound.Target(i.Target)
	p, shown := k.people[i.Person]
	if r.Managed, r.Shown = managed, shown; !managed || !shown {
		return r
	}
	r.Held, r.Known = k.bound.Holds(p, t)
	want := k.wanted(p, t)
	r.Gives, r.Unsure = want.Reasons, want.Unsure
	return r
}

// wanted returns whether the person should hold a target, apart from reviews.
func (k *remediation) wanted(p access.Person, t int) policy.Want {
	state := k.states[p.ID]
	said := k.bound.Resolve(p, policy.Known{Grants: access.InForce(state.Grants, k.now), Marks: state.Marks,
		Held: state.Holdings,
		Now:  k.now})
	for _, w := range said.Wants {
		if w.Target == t && len(w.Denied) == 0 {
			return w
		}
	}
	return policy.Want{}
}

// endGrants ends the person's grants of the item's target.
func (k *remediation) endGrants(ctx context.Context, i access.Item) error {
	t, known := k.bound.Target(i.Target)
	if !known {
		return nil
	}
	for _, g := range plan.GrantsGiving(k.bound, k.states[i.Person].Grants, t, k.now) {
		ended, err := k.Ledger.EndGrant(ctx, k.Org, g.ID, "review "+k.review.ID, "a review decided to remove it", k.now)
		if err != nil {
			return err
		}
		if err := k.WakeGrant(ctx, k.Org, ended); err != nil {
			return err
		}
	}
	return nil
}

// giveUp settles what could not be carried out in time. It needs only the ledger: a review ends even if nothing else
// works.
func (a *Activities) giveUp(ctx context.Context, in ReviewInput, failed error, c *ReviewCarryResult) error {
	why := ""
	if failed != nil {
		why = session.ErrorText(failed)
	}
	for {
		some, err := a.env.Ledger.Items(ctx, in.Org, in.Review,
			ledger.ItemFilter{Outcomes: []access.Outcome{access.OutcomeOpen, access.OutcomeHeld}, Limit: settleAtOnce})
		if err != nil || len(some) == 0 {
			c.Open, c.Held, c.Plan, c.Look, c.Everybody = 0, 0, "", nil, false
			return err
		}
		all := make([]review.Resolution, len(some))
		for n, i := range some {
			all[n] = review.Late(i, why)
		}
		if err := a.env.Ledger.Settle(ctx, in.Org, in.Review, all, a.env.Now()); err != nil {
			return err
		}
		c.Done += len(some)
	}
}
