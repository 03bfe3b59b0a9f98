package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/window"
)

// The notices of rules.
const (
	NoticeRule       = "rule-holds"        // to the rule's owner and those it names: the people it newly applies to
	NoticeRulePerson = "rule-holds-person" // the person
)

const (
	mostTold   = 200  // people of one rule in one round of notices
	mostDue    = 2000 // people looked at one by one when they are due; if there are more, everybody is looked at
	namesShown = 50   // of people in one notice
)

// RuleTimeInput asks when time matters to the rules.
type RuleTimeInput struct {
	Org    string    `json:"org"`
	Policy string    `json:"policy"`
	Since  time.Time `json:"since,omitzero"` // when that was asked last; zero: never
}

// RuleTimeResult is what is due now, and when something is due next.
type RuleTimeResult struct {
	At   time.Time `json:"at"`             // the instant of the question
	Next time.Time `json:"next,omitzero"`  // zero: unknown
	Full bool      `json:"full,omitempty"` // a rule came into or went out of force: look at everybody
	// People are those whose waiting or grace period is over, whose review ruling ended, or for whom a condition may
	// have changed with time.
	People []string `json:"people,omitempty"`
	Told   int      `json:"told,omitempty"`   // people about whom notices were sent
	Untold string   `json:"untold,omitempty"` // why a notice could not be sent; it is tried again
}

// RuleTime notifies the people that rules name of those the rules apply to, and returns the people to look at because
// of time: by a rule's periods, by the end of a review's ruling, or by a condition that depends on time. Nobody loses
// anything before that notice: the grace period begins when it was sent. A repeat sends only notices that were not
// sent; one that is sent twice has the same ID.
func (a *Activities) RuleTime(ctx context.Context, in RuleTimeInput) (RuleTimeResult, error) {
	defer session.AutoHeartbeat(ctx)()
	p, err := a.env.PolicyOf(ctx, in.Org, in.Policy)
	if err != nil {
		return RuleTimeResult{}, err
	}
	result := RuleTimeResult{At: a.env.Now()}
	released, err := a.env.Ledger.Rules(ctx, in.Org)
	if err != nil {
		return result, err
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.Mode != policy.RuleEnforce || r.Acts() && released[r.Key()].Released.IsZero() {
			continue
		}
		window, err := window.Compile(r.Window())
		if err != nil {
			return result, session.NonRetryable(session.ErrPolicy, err)
		}
		if !in.Since.IsZero() && window.Open(in.Since) != window.Open(result.At) {
			result.Full = true
		}
		result.next(window.Next(result.At))
		if window.Open(result.At) {
			if err := a.notifyRule(ctx, in.Org, r, &result); err != nil {
				return result, err
			}
		}
		if err := a.dueByRule(ctx, in, r, &result); err != nil {
			return result, err
		}
	}
	if err := a.dueByRulings(ctx, in, &result); err != nil {
		return result, err
	}
	if err := a.dueByConditions(ctx, in, &result); err != nil {
		return result, err
	}
	slices.Sort(result.People)
	if result.People = slices.Compact(result.People); len(result.People) > mostDue {
		result.Full, result.People = true, nil
	}
	return result, nil
}

// next records an instant at which something is due.
func (r *RuleTimeResult) next(at time.Time) {
	if !at.IsZero() && (r.Next.IsZero() || at.Before(r.Next)) {
		r.Next = at
	}
}

// dueByRule finds the people whose waiting or grace period has ended since the last time.
func (a *Activities) dueByRule(ctx context.Context, in RuleTimeInput, r *policy.Rule, result *RuleTimeResult) error {
	for _, wait := range []struct {
		told bool
		span time.Duration
	}{{false, r.After.Std()}, {true, r.Grace.Std()}} {
		if wait.span == 0 {
			continue
		}
		to, from := result.At.Add(-wait.span), time.Time{}
		if !in.Since.IsZero() {
			from = in.Since.Add(-wait.span)
		}
		if in.Since.IsZero() && wait.told {
			from = time.UnixMicro(1) // 0 means that no notice was sent
		}
		people, err := a.env.Ledger.MatchesBetween(ctx, in.Org, r.Key(), wait.told, from, to, mostDue+1)
		if err != nil {
			return err
		}
		result.People = append(result.People, people...)
		first, err := a.env.Ledger.NextMatch(ctx, in.Org, r.Key(), wait.told, to)
		if err != nil {
			return err
		}
		if !first.IsZero() {
			result.next(first.Add(wait.span))
		}
	}
	return nil
}

// dueByRulings finds the people for whom a review's ruling has ended since the last time: what it denied is theirs
// again if something gives it, and what it kept is not if nothing does.
func (a *Activities) dueByRulings(ctx context.Context, in RuleTimeInput, result *RuleTimeResult) error {
	people, err := a.env.Ledger.RulingsEnded(ctx, in.Org, in.Since, result.At, mostDue+1)
	if err != nil {
		return err
	}
	result.People = append(result.People, people...)
	next, err := a.env.Ledger.NextRulingEnd(ctx, in.Org, result.At)
	result.next(next)
	return err
}

// dueApart is the time between two looks at people for whom conditions change with time: those who are due in between
// are looked at together.
const dueApart = 10 * time.Second

// together returns when to look at somebody who is due at an instant: together with others, and after what is known of
// them now was recorded. Zero stays zero.
func together(due, now time.Time) time.Time {
	if due.IsZero() {
		return due
	}
	if soonest := now.Add(time.Second); due.Before(soonest) {
		due = soonest
	}
	if whole := due.Truncate(dueApart); whole.Before(due) {
		return whole.Add(dueApart)
	}
	return due
}

// dueByConditions finds the people for whom a rule's condition may have changed with time since they were last decided.
func (a *Activities) dueByConditions(ctx context.Context, in RuleTimeInput, result *RuleTimeResult) error {
	since := in.Since.Add(-time.Minute) // somebody recorded a little later than they were due is not missed
	people, err := a.env.Ledger.DueBetween(ctx, in.Org, since, result.At, mostDue+1)
	if err != nil {
		return err
	}
	result.People = append(result.People, people...)
	next, err := a.env.Ledger.NextDue(ctx, in.Org, result.At)
	result.next(next)
	return err
}

// notifyRule notifies the people that the rule names of those it applies to, once.
func (a *Activities) notifyRule(ctx context.Context, org string, r *policy.Rule, result *RuleTimeResult) error {
	to := r.Notify
	if len(to) == 0 && r.Grace > 0 {
		to = []string{policy.NotifyOwner, policy.NotifyPerson}
	}
	if len(to) == 0 {
		return nil
	}
	for {
		marks, err := a.env.Ledger.Unnotified(ctx, org, r.Key(), result.At.Add(-r.After.Std()), mostTold)
		if err != nil || len(marks) == 0 {
			return err
		}
		if err := a.notifyAbout(ctx, org, r, to, marks); err != nil {
			result.Untold = session.ErrorText(err)
			result.next(result.At.Add(untoldAgain))
			return nil
		}
		people := make([]string, len(marks))
		for i, m := range marks {
			people[i] = m.Person
		}
		if err := a.env.Ledger.RecordNotified(ctx, org, r.Key(), people, a.env.Now()); err != nil {
			return err
		}
		result.Told += len(people)
		activity.RecordHeartbeat(ctx)
	}
}

// untoldAgain is how long to wait before a failed notice is sent again.
const untoldAgain = 5 * time.Minute

// notifyAbout sends the notices about some people. An unusable address does not affect the other notices.
func (a *Activities) notifyAbout(ctx context.Context, org string, r *policy.Rule, to []string,
	marks []access.RuleMatch) error {
	ids := make([]string, len(marks))
	for i, m := range marks {
		ids[i] = m.Person
	}
	emails, err := a.env.Ledger.KnownEmails(ctx, org, append(append(slices.Clone(ids), r.Owner), to...))
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	send := func(kind, to, key, subject, text string) error {
		err := a.env.Notifier.Notify(ctx, messages.Notice{
			ID: r.Key() + " " + kind + " " + key, Kind: kind, Org: org, At: a.env.Now(), To: strings.ToLower(to),
			Subject: subject, Text: text,
			Workflow: messages.OrgSyncID(org),
		})
		if errors.Is(err, notify.ErrPermanent) {
			return nil
		}
		return err
	}
	for _, name := range to {
		switch name {
		case policy.NotifyPerson:
			for _, id := range ids {
				if emails[id] == "" {
					continue
				}
				if err := send(NoticeRulePerson, emails[id], id, r.Name+": "+a.consequence(r),
					a.toPerson(org, r, cmp.Or(emails[r.Owner], r.Owner))); err != nil {
					return err
				}
			}
			continue
		case policy.NotifyOwner:
			name = r.Owner
		}
		if !access.IsAddress(name) {
			name = emails[name]
		}
		if name == "" {
			continue
		}
		if err := send(NoticeRule, name, hex.EncodeToString(sum[:8])+" "+name,
			fmt.Sprintf("Rule %s applies to %d people", r.Name, len(ids)), a.toOwner(org, r, ids, emails)); err != nil {
			return err
		}
	}
	return nil
}

// consequence returns what the rule removes, and when.
func (a *Activities) consequence(r *policy.Rule) string {
	var what []string
	switch {
	case r.Remove:
		what = append(what, "removal from the organization")
	case r.Suspend:
		what = append(what, "suspension")
	}
	if len(r.Deny) > 0 {
		what = append(what, fmt.Sprintf("loss of %s", entitlements(r.Deny)))
	}
	if len(what) == 0 {
		return "for your information"
	}
	if r.Grace > 0 {
		return strings.Join(what, " and ") + " on " + session.Timestamp(a.env.Now().Add(r.Grace.Std()))
	}
	return strings.Join(what, " and ") + " now"
}

func entitlements(all []access.Entitlement) string {
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = string(e)
	}
	return strings.Join(names, ", ")
}

func (a *Activities) toPerson(org string, r *policy.Rule, owner string) string {
	text := fmt.Sprintf("The rule %q of organization %s applies to you. Consequence: %s.", r.Name, org,
		a.consequence(r))
	if r.Description != "" {
		text += "\n" + r.Description
	}
	if owner != "" {
		text += "\nIf you think that this is wrong, ask " + owner + "."
	}
	return text
}

func (a *Activities) toOwner(org string, r *policy.Rule, ids []string, emails map[string]string) string {
	var names []string
	for i, id := range ids {
		if i == namesShown {
			names = append(names, fmt.Sprintf("and %d more", len(ids)-i))
			break
		}
		if emails[id] != "" {
			id = emails[id]
		}
		names = append(names, display.Terminal(id))
	}
	return fmt.Sprintf("The rule %q of organization %s (%s) applies to:\n%s\nConsequence: %s.\nTo see why for one of them: %s PERSON", r.Name, org, display.Terminal(r.When), strings.Join(names, "\n"),
		a.consequence(r), display.Starter("explain", org))
}
