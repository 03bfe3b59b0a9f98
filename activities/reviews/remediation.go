package reviews

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// ReviewCarryInput asks how far removals are that were decided.
type ReviewCarryInput struct {
	ReviewInput
	Final bool `json:"final,omitempty"` // their time is over: what is not done now is not done any more
}

// ReviewCarried is how far removals are.
type ReviewCarried struct {
	Open int    `json:"open"` // being carried out
	Held int    `json:"held"` // by the guard
	Plan string `json:"plan,omitempty"`
	Done int    `json:"done"` // settled by this look
	// Look are people at whom the organization's loop is to look; Everybody says that they are too many for that.
	Look      []string `json:"look,omitempty"`
	Everybody bool     `json:"everybody,omitempty"`
}

// mostLooked is how many people the organization's loop is asked to look at one by one. More are one plan with all
// others, which the guard judges as a whole.
const mostLooked = session.MostCorroborated

// ReviewCarry brings removals that were decided to their end: it lets each deny its target, so that the organization's
// next run takes it, through guard and floors like any other removal; ends the grants that give it; and looks what
// became of it, by reading it back. What a mapping or rule gives is not taken to be given back: its source must change,
// unless the campaign denies it for a while. A repeat looks again.
//
// Calls: people/100 who are not settled; one more for each who holds the target no more though nothing was written.
func (a *Activities) ReviewCarry(ctx context.Context, in ReviewCarryInput) (ReviewCarried, error) {
	defer session.AutoHeartbeat(ctx)()
	var c ReviewCarried
	r, err := a.reviewing(ctx, in.ReviewInput)
	if err == nil {
		err = r.carryAll(ctx, &c)
	}
	if in.Final && !errors.Is(err, context.Canceled) {
		return c, a.giveUp(ctx, in.ReviewInput, err, &c)
	}
	return c, err
}

// carryAll looks at all removals that are not settled.
func (r *reviewing) carryAll(ctx context.Context, c *ReviewCarried) error {
	b, err := r.lastBound(ctx)
	if err != nil {
		return err
	}
	hold, err := r.Ledger.CurrentHold(ctx, r.Org)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	look := map[string]bool{}
	filter := ledger.ItemFilter{Outcomes: []access.Outcome{access.OutcomeOpen, access.OutcomeHeld}, Limit: settleAtOnce}
	if r.review.State == access.ReviewOpen { // at once
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
		some = slices.DeleteFunc(some, func(i access.Item) bool { return !r.due(i) })
		k := remediation{reviewing: r, bound: b, hold: hold, now: r.Now(), look: look, result: c}
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

// due says that an item's removal is to be carried out now: no further stage will look at it.
func (r *reviewing) due(i access.Item) bool {
	if i.Outcome != "" {
		return true
	}
	last := i.Stage >= r.review.Stages || !r.campaign.Stages[i.Stage-1].Next.Goes(access.VerdictRemove)
	return i.Verdict == access.VerdictRemove && last && r.campaign.Apply == policy.ApplyAtOnce
}

// remediation looks at some removals.
type remediation struct {
	*reviewing
	bound  *policy.Bound
	hold   ledger.Hold
	now    time.Time
	look   map[string]bool
	result *ReviewCarried

	people      map[string]access.Person
	states      map[string]ledger.PersonState
	lines       map[ledger.Key]ledger.RunLine
	unexplained map[int]bool // items, by number, that somebody wrote past Castellan
}

// some carries out some removals.
func (k *remediation) some(ctx context.Context, items []access.Item) error {
	if len(items) == 0 {
		return nil
	}
	if err := k.read(ctx, items); err != nil {
		return err
	}
	var all []ledger.Settlement
	var failed error
	for _, i := range items {
		s, changed, err := k.carry(ctx, i)
		if err != nil { // the others are carried out all the same; this one is tried again
			failed = cmp.Or(failed, err)
			continue
		}
		switch s.Item.Outcome {
		case access.OutcomeOpen, "":
			k.result.Open++
		case access.OutcomeHeld:
			k.result.Held++
		default:
			k.result.Done++
		}
		if changed {
			all = append(all, s)
		}
	}
	if err := k.Ledger.Settle(ctx, k.Org, k.review.ID, all, k.now); err != nil {
		return err
	}
	return failed
}

// read reads the people of items, and what the ledger knows of these people and items.
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

// carry takes one removal a step further, and says whether anything about it changed.
func (k *remediation) carry(ctx context.Context, i access.Item) (s ledger.Settlement, changed bool, err error) {
	was := i
	end := func(o access.Outcome, why string) (ledger.Settlement, bool, error) {
		i.Outcome, i.Why, i.Plan = o, why, ""
		return ledger.Settlement{Item: i, Free: true}, true, nil
	}
	if i.Outcome == "" {
		i.Outcome = access.OutcomeOpen
	}
	line, written := k.lines[ledger.Key{Person: i.Person, Target: i.Target}]
	t, managed := k.bound.Target(i.Target)
	p, shown := k.people[i.Person]
	switch {
	case k.unexplained[i.N]:
		return end(access.OutcomeRefused, unexplainedWhy)
	case k.Policy.DryRun:
		return end(access.OutcomeRefused, "the policy says dryRun: nothing is written")
	case !managed:
		return end(access.OutcomeRefused, "the policy names the target no more, so that nothing may be written")
	case !shown:
		i.Why = "the directory does not show the person just now"
		return ledger.Settlement{Item: i}, differs(i, was), nil
	}
	held, known := k.bound.Holds(p, t)
	switch {
	case !known:
		i.Why = "the read does not say whether it is held"
		return ledger.Settlement{Item: i}, differs(i, was), nil
	case !held:
		return k.gone(ctx, i, line, written, end)
	}
	ruling, ruled := k.ruling(i)
	source := k.source(p, t)
	switch {
	case source != "" && k.campaign.Deny == 0:
		return end(access.OutcomeSource, source)
	case k.rejected(i):
		return end(access.OutcomeRejected, "the guard held it, and somebody rejected the plan")
	case ruled && written && line.State == access.Refused && !line.At.Before(ruling.At):
		i.Run = line.Run // end takes it along
		return end(access.OutcomeRefused, line.Answer)
	}
	if err := k.endGrants(ctx, i); err != nil {
		return s, false, err
	}
	s = ledger.Settlement{Item: i}
	if !ruled && !k.onlyGrants(p, t) {
		s.Rule = k.deny(i, source != "")
	}
	s.Item.Outcome, s.Item.Plan, s.Item.Why = access.OutcomeOpen, "", ""
	if written && line.State == access.Held && k.hold.Plan != "" && line.Run == k.hold.Run {
		s.Item.Outcome, s.Item.Plan, s.Item.Run = access.OutcomeHeld, k.hold.Plan, line.Run
		s.Item.Why = "the guard holds it: " + strings.Join(line.HeldBy, ", ")
	} else {
		k.look[i.Person] = true
	}
	return s, s.Rule != nil || differs(s.Item, was), nil
}

// differs reports whether what is said of an item's removal is not what was said before.
func differs(i, was access.Item) bool {
	return i.Outcome != was.Outcome || i.Plan != was.Plan || i.Why != was.Why
}

// deny is the ruling that lets a removal be planned. What a source would give back is denied only for a while.
func (k *remediation) deny(i access.Item, forAWhile bool) *access.Ruling {
	rule := &access.Ruling{Review: k.review.ID, Person: i.Person, Target: i.Target,
		Verdict: access.VerdictRemove, At: k.now}
	if forAWhile {
		rule.Until = k.now.Add(k.campaign.Deny.Std())
	}
	return rule
}

// gone is what becomes of a removal whose person is not shown in the target any more. Where nothing was written, the
// members of the group are asked too: one read may lie.
func (k *remediation) gone(ctx context.Context, i access.Item, line ledger.RunLine, written bool,
	end func(access.Outcome, string) (ledger.Settlement, bool, error)) (ledger.Settlement, bool, error) {
	if written && (line.State == access.Done || line.State == access.Already) {
		i.Run = line.Run
		ruling, ruled := k.ruling(i)
		if ruled && !ruling.Until.IsZero() {
			i.Outcome, i.Until, i.Plan = access.OutcomeDenied, ruling.Until, ""
			i.Why = fmt.Sprintf("removed and read back (%s). What gives it still does, and is overruled until %s: its source must change before that", answerOf(line.Answer), ruling.Until.UTC().Format(time.DateOnly))
			return ledger.Settlement{Item: i}, true, nil
		}
		s, changed, err := end(access.OutcomeRemoved, answerOf(line.Answer))
		s.Item.Run = line.Run
		return s, changed, err
	}
	if i.GroupID != "" {
		among, err := k.AmongMembers(ctx, []string{i.Person}, []string{i.GroupID})
		if err != nil || among {
			i.Why = "one read shows the person in it, another does not"
			return ledger.Settlement{Item: i}, true, err
		}
	}
	return end(access.OutcomeGone, "it was held no more before anything was written")
}

func answerOf(answer string) string {
	if answer == "" {
		return "done"
	}
	return answer
}

// ruling is this review's ruling on an item.
func (k *remediation) ruling(i access.Item) (access.Ruling, bool) {
	for _, r := range k.states[i.Person].Rulings {
		if r.Review == k.review.ID && r.Verdict == access.VerdictRemove && r.Target.Same(i.Target) {
			return r, true
		}
	}
	return access.Ruling{}, false
}

func (k *remediation) rejected(i access.Item) bool {
	return slices.ContainsFunc(k.states[i.Person].Rejected, func(c access.Change) bool {
		return c.Action == access.Remove && c.Target.Same(i.Target) && !c.At.Before(k.review.Opened)
	})
}

// wanted is what speaks for the person's hold on a target, reviews left aside.
func (k *remediation) wanted(p access.Person, t int) policy.Want {
	state := k.states[p.ID]
	said := k.bound.Resolve(p, policy.Known{Grants: k.InForce(state.Grants), Marks: state.Marks, Held: state.Holdings,
		Now: k.now})
	for _, w := range said.Wants {
		if w.Target == t && len(w.Denied) == 0 {
			return w
		}
	}
	return policy.Want{}
}

// source names what gives the target and would give it back; "" for nothing. A rule of which it cannot be told now is
// taken at its last word.
func (k *remediation) source(p access.Person, t int) string {
	want := k.wanted(p, t)
	var words []string
	for _, r := range slices.Concat(want.Reasons, want.Unsure) {
		switch {
		case r.Kind == access.ReasonMapping:
			words = append(words, fmt.Sprintf(
				"mapping %s gives it through source group %s: take the person out of that group at the identity provider, or change the mapping", r.Name, r.Source))
		case r.Kind == access.ReasonRule:
			words = append(words, fmt.Sprintf("rule %s gives it: change what its condition asks for, or the rule",
				r.Name))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "the source must change: " + strings.Join(words[:min(len(words), mostNames)], "; ")
}

// onlyGrants says that grants, and nothing else, gave what the person holds.
func (k *remediation) onlyGrants(p access.Person, t int) bool {
	return access.OnlyGrants(k.wanted(p, t).Reasons)
}

// endGrants ends what the person holds of the item's target by grants.
func (k *remediation) endGrants(ctx context.Context, i access.Item) error {
	for _, g := range k.InForce(k.states[i.Person].Grants) {
		if !slices.Contains(k.bound.All(g.Target), k.target(i)) {
			continue
		}
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

func (k *remediation) target(i access.Item) int {
	t, known := k.bound.Target(i.Target)
	if !known {
		return -1
	}
	return t
}

// giveUp settles what could not be carried out in time. It asks nobody but the ledger: a review ends also when nothing
// else works.
func (a *Activities) giveUp(ctx context.Context, in ReviewInput, failed error, c *ReviewCarried) error {
	for {
		some, err := a.env.Ledger.Items(ctx, in.Org, in.Review,
			ledger.ItemFilter{Outcomes: []access.Outcome{access.OutcomeOpen, access.OutcomeHeld}, Limit: settleAtOnce})
		if err != nil || len(some) == 0 {
			c.Open, c.Held, c.Plan, c.Look, c.Everybody = 0, 0, "", nil, false
			return err
		}
		all := make([]ledger.Settlement, len(some))
		for n, i := range some {
			i.Why = late(i, failed)
			i.Outcome = access.OutcomeLate
			all[n] = ledger.Settlement{Item: i, Free: true}
		}
		if err := a.env.Ledger.Settle(ctx, in.Org, in.Review, all, a.env.Now()); err != nil {
			return err
		}
		c.Done += len(some)
	}
}

// late says why a removal was not carried out.
func late(i access.Item, failed error) string {
	switch {
	case i.Outcome == access.OutcomeHeld:
		return "nobody decided on the plan that held it, " + i.Plan
	case failed != nil:
		return "it could not be looked at: " + session.ErrorText(failed)
	case i.Why != "":
		return i.Why
	}
	return "the organization's loop did not take it in time: was it paused, or not running?"
}
