package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// shownAs is what the workflow list shows of a grant.
type shownAs struct {
	state, person string
	until         time.Time
}

// show keeps the Web UI true: search attributes when something changed, current details always.
func (g *temporaryGrant) show(ctx workflow.Context) {
	now := workflow.Now(ctx)
	g.State = g.state(now)
	workflow.SetCurrentDetails(ctx, g.details(ctx, now))
	is := shownAs{state: g.State, person: g.in.Key, until: g.until()}
	if is == g.shown {
		return
	}
	g.shown = is
	updates := []temporal.SearchAttributeUpdate{
		messages.AttributeOrg.ValueSet(g.in.Org), messages.AttributeState.ValueSet(is.state),
		messages.AttributeTarget.ValueSet(string(g.in.Target)), messages.AttributePerson.ValueSet(is.person),
	}
	if !is.until.IsZero() {
		updates = append(updates, messages.AttributeUntil.ValueSet(is.until))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		g.log.Warn("the state is not shown in the workflow list", "error", err)
	}
}

// until is when the last grant ends.
func (g *temporaryGrant) until() (last time.Time) {
	for _, one := range g.Grants {
		if one.Until.After(last) {
			last = one.Until
		}
	}
	return last
}

// state is the whole in one word: what matters most of all grants.
func (g *temporaryGrant) state(now time.Time) string {
	what, taking := g.needs(now)
	var waiting, scheduled, active bool
	for _, one := range g.Grants {
		waiting = waiting || one.State == access.GrantWaiting
		scheduled = scheduled || one.State == access.GrantGranted && now.Before(one.From)
		active = active || one.InForce(now) && !one.Given.IsZero()
	}
	switch {
	case what != "" && g.Blocked != nil && g.Blocked.Tries > 1:
		return messages.GrantBlocked
	case taking && !active:
		return messages.GrantTaking
	case active:
		return messages.GrantActive
	case what != "":
		return messages.GrantGiving
	case waiting:
		return messages.GrantWaiting
	case scheduled:
		return messages.GrantScheduled
	case len(g.Grants) == 0:
		return messages.GrantStarting
	}
	return messages.GrantOver
}

// details is the page that ops see in the Web UI, in Markdown.
func (g *temporaryGrant) details(ctx workflow.Context, now time.Time) string {
	var b strings.Builder
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	command := func(name, input string) {
		line("\n    temporal workflow update execute \\\n      --workflow-id '%s' \\\n      --name %s \\\n      --input '%s'\n", id, name, input)
	}
	person := g.in.Key
	line("## %s, %s of %s: %s\n", person, g.in.Target, g.in.Org, g.State)
	if g.Blocked != nil && g.State == messages.GrantBlocked {
		line("**Not right since %s, tried %d times:** %s\n\nNext attempt at %s.\n", instant(g.Blocked.Since), g.Blocked.Tries, oneLine(g.Blocked.Why), instant(g.Blocked.Retry))
	}
	if due, why := g.nextDue(now); !due.IsZero() {
		line("Next: %s at %s.\n", oneLine(why), instant(due))
	}
	for i := len(g.Grants) - 1; i >= 0; i-- {
		g.describe(line, command, g.Grants[i], now)
	}
	if g.Untold != "" {
		line("**A notice could not be sent:** %s\n", oneLine(g.Untold))
	}
	if len(g.Refused) > 0 {
		line("### Signals that were not accepted\n")
		for _, r := range g.Refused {
			line("- %s %s: %s", instant(r.At), r.Name, oneLine(r.Why))
		}
	}
	return clipDetails(b.String())
}

// describe tells one grant: who asked, why, who agreed, from when to when, what happened, and what can be typed now.
func (g *temporaryGrant) describe(line func(string, ...any), command func(name, input string), one access.Grant, now time.Time) {
	line("### Request `%s`: %s\n", one.ID, grantInWords(one, now))
	line("- asked for by %s at %s: %s", one.By, instant(one.Requested), orNone(oneLine(strings.TrimSpace(one.Ticket+" "+one.Reason)), "no reason given"))
	if one.Urgent {
		line("- **break-glass**: taken without approval, to be reviewed")
	}
	if one.Renews != "" {
		line("- continues `%s`", one.Renews)
	}
	if one.Limit != "" {
		line("- limit: %s", oneLine(one.Limit))
	}
	for _, a := range one.Approvals {
		line("- approved by %s at %s %s", a.By, instant(a.At), oneLine(a.Note))
	}
	if one.ClosedBy != "" {
		line("- ended by %s: %s", one.ClosedBy, orNone(oneLine(one.ClosedWhy), "no reason given"))
	}
	if !one.Given.IsZero() {
		line("- seen to be given at %s", instant(one.Given))
	}
	if !one.Taken.IsZero() && !one.Given.IsZero() {
		line("- seen to be over at %s", instant(one.Taken))
	}
	line("")
	switch {
	case one.State == access.GrantWaiting:
		line("Waits until %s for %d of %d approvals, by one of %s:", instant(one.Decide), one.Needs-len(one.Approvals), one.Needs, strings.Join(one.Approvers, ", "))
		code := ""
		if one.Codes {
			code = `,"code":"as you were sent it"`
		}
		command(messages.Approve, fmt.Sprintf(`{"request":"%s","by":"you@example.com"%s}`, one.ID, code))
		command(messages.Deny, fmt.Sprintf(`{"request":"%s","by":"you@example.com"%s,"note":""}`, one.ID, code))
	case one.State == access.GrantGranted && now.Before(one.Until):
		command(messages.Revoke, `{"reason":"done","requestedBy":"you@example.com"}`)
	}
}

func grantInWords(one access.Grant, now time.Time) string {
	switch {
	case one.State == access.GrantWaiting:
		return fmt.Sprintf("waits for approval, %s", one.Duration)
	case one.State == access.GrantDenied:
		return "denied"
	case one.State == access.GrantExpired:
		return "nobody decided in time"
	case now.Before(one.From):
		return fmt.Sprintf("from %s to %s", instant(one.From), instant(one.Until))
	case now.Before(one.Until):
		return fmt.Sprintf("until %s", instant(one.Until))
	case one.Taken.IsZero():
		return fmt.Sprintf("ended at %s, to be taken back", instant(one.Until))
	}
	return fmt.Sprintf("over since %s", instant(one.Until))
}

func orNone(s, none string) string {
	if s == "" {
		return none
	}
	return s
}
