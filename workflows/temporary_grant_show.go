package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// shownAttributes is what the workflow list shows of a grant.
type shownAttributes struct {
	state, person string
	until         time.Time
}

// show updates the Web UI: search attributes when something changed, current details always.
func (g *temporaryGrant) show(ctx workflow.Context) {
	now := workflow.Now(ctx)
	g.State = g.state(now)
	workflow.SetCurrentDetails(ctx, g.details(now))
	is := shownAttributes{state: g.State, person: g.person(), until: g.until()}
	if is == g.shown {
		return
	}
	g.shown = is
	updates := []temporal.SearchAttributeUpdate{
		messages.AttributeOrg.ValueSet(g.in.Org), messages.AttributeState.ValueSet(is.state),
		messages.AttributeTarget.ValueSet(messages.Keyword(string(g.in.Target))),
		messages.AttributePerson.ValueSet(messages.Keyword(is.person)),
	}
	if !is.until.IsZero() {
		updates = append(updates, messages.AttributeUntil.ValueSet(is.until))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		g.log.Warn("the state is not shown in the workflow list", "error", err)
	}
}

// person returns how to show the person: by today's address, where there is one beside the key.
func (g *temporaryGrant) person() string {
	if g.in.Email == "" { // workflows from before accounts were keys show what they always did
		return g.in.Key
	}
	for i := len(g.Grants) - 1; i >= 0; i-- {
		if g.Grants[i].Email != "" {
			return g.Grants[i].Email
		}
	}
	return g.in.Email
}

// until returns when the last grant ends.
func (g *temporaryGrant) until() (last time.Time) {
	for _, one := range g.Grants {
		if one.Until.After(last) {
			last = one.Until
		}
	}
	return last
}

// state returns the state of the grant that matters most.
func (g *temporaryGrant) state(now time.Time) string {
	what, taking := g.pendingWork(now)
	var waiting, scheduled, active bool
	for _, one := range g.Grants {
		waiting = waiting || one.State == access.GrantWaiting
		scheduled = scheduled || one.State == access.GrantGranted && now.Before(one.From)
		active = active || one.InForce(now) && !one.ProvisionedAt.IsZero()
	}
	switch {
	case g.ledgerUnread():
		return messages.GrantBlocked
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
	case len(g.Grants) == 0 && !g.handed:
		return messages.GrantStarting
	}
	return messages.GrantOver
}

// details returns the page that ops see in the Web UI, in Markdown.
func (g *temporaryGrant) details(now time.Time) string {
	var page display.Page
	person := g.person()
	page.Line("## %s, %s of %s: %s\n", person, g.in.Target, g.in.Org, g.State)
	if g.Blocked != nil && g.State == messages.GrantBlocked {
		page.Line("**Blocked since %s, tried %d times:** %s\n\nNext attempt at %s.\n", instant(g.Blocked.Since),
			g.Blocked.Tries, g.Blocked.Why, instant(g.Blocked.Retry))
	}
	if due, why := g.nextDue(now); !due.IsZero() {
		page.Line("Next: %s at %s.\n", why, instant(due))
	}
	for i := len(g.Grants) - 1; i >= 0; i-- {
		g.describe(&page, g.Grants[i], now)
	}
	if g.Untold != "" {
		page.Line("**A notice could not be sent:** %s\n", g.Untold)
	}
	describeRefused(&page, g.Refused)
	return clipDetails(page.String())
}

// describe describes one grant: who asked, why, who approved, its times, what happened, and the commands possible now.
func (g *temporaryGrant) describe(page *display.Page, one access.Grant, now time.Time) {
	loop := messages.OrgSyncID(g.in.Org)
	page.Line("### Request %s: %s\n", display.Code(one.ID), describeGrant(one, now))
	page.Line("- requested by %s at %s: %s", one.Label(one.By), instant(one.Requested),
		cmp.Or(strings.TrimSpace(one.Ticket+" "+one.Reason), "no reason given"))
	if one.Urgent {
		page.Line("- **break-glass**: granted without approval; to be reviewed")
	}
	if one.Renews != "" {
		page.Line("- continues %s", display.Code(one.Renews))
	}
	if one.Limit != "" {
		page.Line("- limit: %s", one.Limit)
	}
	for _, a := range one.Approvals {
		page.Line("- approved by %s at %s %s", one.Label(a.By), instant(a.At), a.Note)
	}
	if one.RemovedByHand {
		page.Line("- **ended early**: %s", one.ClosedWhy)
	}
	if one.ClosedBy != "" {
		page.Line("- ended by %s: %s", one.Label(one.ClosedBy), cmp.Or(one.ClosedWhy, "no reason given"))
	}
	if !one.ProvisionedAt.IsZero() {
		page.Line("- access confirmed at %s", instant(one.ProvisionedAt))
	}
	if !one.RevokedAt.IsZero() && !one.ProvisionedAt.IsZero() {
		page.Line("- removal confirmed at %s", instant(one.RevokedAt))
	}
	page.Line("")
	switch {
	case one.State == access.GrantWaiting:
		page.Line("Waits until %s for %d of %d approvals, by one of %s:", instant(one.ApprovalDeadline),
			one.Needs-len(one.Approvals), one.Needs, strings.Join(one.Labels(one.Approvers), ", "))
		said := display.Input{{"request", one.ID}, {"by", messages.You}}
		if one.Codes {
			said = append(said, [2]string{"code", "the code that you were sent"})
		}
		page.Command(display.Update(loop, messages.Approve, said))
		page.Command(display.Update(loop, messages.Deny, append(said, [2]string{"note", ""})))
	case one.State == access.GrantGranted && now.Before(one.Until):
		page.Command(display.Update(loop, messages.Revoke,
			display.Input{{"request", one.ID}, {"reason", "done"}, {"requestedBy", messages.You}}))
	}
}

func describeGrant(one access.Grant, now time.Time) string {
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
	case one.RevokedAt.IsZero():
		return fmt.Sprintf("ended at %s, to be revoked", instant(one.Until))
	}
	return fmt.Sprintf("over since %s", instant(one.Until))
}
