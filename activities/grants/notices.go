package grants

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
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

// The notices of a grant, and who gets them.
const (
	NoticeRequested  = "grant-requested"   // approvers: a request waits
	NoticeBreakGlass = "grant-break-glass" // watchers and approvers: taken without approval
	NoticeGranted    = "grant-granted"     // person and asker
	NoticeDenied     = "grant-denied"      // person and asker
	NoticeExpired    = "grant-expired"     // person and asker: nobody decided in time
	NoticeGiven      = "grant-given"       // person and asker
	NoticeReminder   = "grant-reminder"    // person and asker: it ends soon
	NoticeEnded      = "grant-ended"       // person and asker
	NoticeBlocked    = "grant-blocked"     // watchers: it cannot be given, or not be removed
	// watchers, person, asker and approvers: it ended because somebody removed its access by hand
	NoticeHandTaken = "grant-hand-taken"
	NoticeForeign   = "grant-foreign" // watchers: somebody gave by hand what a grant gave before
)

// TellInput names a notice.
type TellInput struct {
	Org      string `json:"org"`
	Workflow string `json:"workflow"`
	Kind     string `json:"kind"`
	Grant    string `json:"grant"`
	Why      string `json:"why,omitempty"`
}

// Tell sends a notice about a grant to all whom it concerns. A repeat continues with those who were not reached; an
// approver who gets it twice has two valid codes.
func (a *Activities) Tell(ctx context.Context, in TellInput) error {
	g, err := a.env.Ledger.Grant(ctx, in.Org, in.Grant)
	if err != nil {
		return err
	}
	// approvers get codes: at the address that they have now
	if in.Kind == NoticeRequested && g.Codes {
		if err := a.env.RereadPeople(ctx, in.Org, g.Approvers); err != nil {
			return err
		}
	}
	all, err := a.env.WithNames(ctx, in.Org, g)
	if err != nil {
		return err
	}
	g = all[0]
	to := a.addressees(in, g)
	reached := 0
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &reached)
	}
	var failed []error // one bad address does not affect the other notices
	for ; reached < len(to); reached++ {
		n, err := a.notice(ctx, in, g, to[reached])
		if err != nil {
			return err
		}
		err = a.env.Notifier.Notify(ctx, n)
		if err != nil {
			err = fmt.Errorf("tell %s of %s: %w", cmp.Or(n.To, "those who watch"), in.Kind, err)
		}
		if err != nil && !errors.Is(err, notify.ErrPermanent) {
			return err
		}
		failed = append(failed, err)
		activity.RecordHeartbeat(ctx, reached+1)
	}
	if err := errors.Join(failed...); err != nil {
		return session.NonRetryable(session.ErrInvalid, err)
	}
	return nil
}

// addressees returns people by account ID, or by the address of somebody who has none yet; "" means the watchers.
// Somebody without an address is left out.
func (a *Activities) addressees(in TellInput, g access.Grant) []string {
	var who []string
	switch in.Kind {
	case NoticeRequested:
		who = g.Approvers
	case NoticeBreakGlass:
		who = append([]string{""}, g.Approvers...)
	case NoticeHandTaken:
		who = append([]string{"", g.Person, g.By}, g.Approvers...)
	case NoticeBlocked, NoticeForeign, apply.NoticeRestored:
		return []string{""}
	default:
		who = []string{g.Person, g.By}
	}
	var to []string
	for _, id := range who {
		if !slices.Contains(to, id) && (id == "" || access.IsAddress(g.Label(id))) {
			to = append(to, id)
		}
	}
	return to
}

// notice returns the notice to one addressee. An approver gets a code if the policy requires one.
func (a *Activities) notice(ctx context.Context, in TellInput, g access.Grant, account string) (messages.Notice,
	error) {
	d := newDraft(in, g, account, a.env.Now())
	switch in.Kind {
	case NoticeRequested:
		d.askApproval()
		if g.Codes {
			code := session.NewCode()
			if err := a.env.Ledger.SaveCode(ctx, in.Org, g.ID, account, messages.CodeHash(code),
				a.env.Now()); err != nil {
				return d.Notice, err
			}
			d.askForCode(code)
		}
	case NoticeBreakGlass, NoticeGranted, NoticeDenied, NoticeExpired:
		d.sayDecided()
	case NoticeGiven, NoticeReminder, NoticeEnded, NoticeHandTaken:
		d.sayHeld()
	case NoticeBlocked, apply.NoticeRestored, NoticeForeign:
		d.ID += " " + session.Timestamp(d.At) // it may happen again
		d.warn(in.Why)
	}
	return d.Notice, nil
}

// draft is a notice being written: each of its methods writes the subject, the text and the command of some kinds.
type draft struct {
	messages.Notice
	grant access.Grant
	as    string // the addressee, as the person who types the command
	what  string // the target and the person
	asked string // who asked for it, and why
}

func newDraft(in TellInput, g access.Grant, account string, now time.Time) *draft {
	to := strings.ToLower(g.Label(account))
	what := display.Sprintf("%s for %s", g.Target, session.PersonOf(g))
	return &draft{
		Notice: messages.Notice{
			ID: in.Grant + " " + in.Kind + " " + to, Kind: in.Kind, Org: in.Org, At: now, To: to, Workflow: in.Workflow,
			Grant: g.ID, Person: session.PersonOf(g), Target: g.Target,
		},
		grant: g, as: cmp.Or(to, messages.You), what: what,
		asked: display.Sprintf("%s asked for %s in organization %s for %s.\nReason: %s", g.Label(g.By), what, in.Org,
			g.Duration,
			cmp.Or(strings.TrimSpace(g.Ticket+" "+g.Reason), "none given")),
	}
}

// update adds the command of an update. Commands contain only the request's ID: nothing in them is typed by the
// requester.
func (d *draft) update(name string, more ...[2]string) string {
	return display.Update(messages.OrgSyncID(d.Org), name,
		append(display.Input{{"request", d.grant.ID}}, more...)).String()
}

func (d *draft) revoke(reason string) string {
	return d.update(messages.Revoke, [2]string{"requestedBy", d.as}, [2]string{"reason", reason})
}

func (d *draft) askApproval() {
	d.Subject = "Approve? " + d.what
	d.Text = fmt.Sprintf("%s\nThe request waits for approval until %s; approvals needed: %d. To deny it, write deny instead of approve.",
		d.asked, session.Timestamp(d.grant.ApprovalDeadline), d.grant.Needs)
	d.Command = d.update(messages.Approve, [2]string{"by", d.as})
}

func (d *draft) askForCode(code string) {
	d.Code = code
	d.Command = d.update(messages.Approve, [2]string{"by", d.as}, [2]string{"code", "CODE"})
	d.Text += " Put your code in place of CODE: it works once, for this request, and is for you alone.\nBetter: " +
		display.Starter("approve", d.grant.ID).With("--by", d.as).With("--code", "-").String() +
		", which asks for your code, proves that you know it, and never sends it."
}

// sayDecided writes what was decided about a request, or that it was taken without a decision.
func (d *draft) sayDecided() {
	g := d.grant
	switch d.Kind {
	case NoticeBreakGlass:
		d.Subject = "Break-glass: " + d.what
		d.Text = d.asked + "\nIt was granted without approval. Please check why; to end it now, type the command."
		d.Command = d.revoke("not wanted")
	case NoticeGranted:
		d.Subject = "Approved: " + d.what
		d.Text = fmt.Sprintf("%s\nApproved by %s. It begins at %s and ends at %s.", d.asked,
			display.Terminal(approvers(g)), session.Timestamp(g.From), session.Timestamp(g.Until))
	case NoticeDenied:
		d.Subject = "Denied: " + d.what
		d.Text = d.asked + "\n" + display.Sprintf("Denied by %s: %s", g.Label(g.ClosedBy),
			cmp.Or(g.ClosedWhy, "no reason given"))
	case NoticeExpired:
		d.Subject = "Not decided in time: " + d.what
		d.Text = d.asked + "\nNobody decided in time. If it is still needed, request it again."
	}
}

// sayHeld writes from when to when a grant is held.
func (d *draft) sayHeld() {
	g := d.grant
	switch d.Kind {
	case NoticeGiven:
		d.Subject = "Given: " + d.what
		d.Text = fmt.Sprintf("%s\nThe access is confirmed, and ends at %s. When you no longer need it, type the command. Atlassian does not end open sessions, but their access ends too.", d.asked, session.Timestamp(g.Until))
		d.Command = d.revoke("done")
	case NoticeReminder:
		d.Subject = "Ends soon: " + d.what
		d.Text = fmt.Sprintf("It ends at %s. To extend it, if the policy allows that, type the command.",
			session.Timestamp(g.Until))
		d.Command = d.update(messages.Extend, [2]string{"duration", "1h"}, [2]string{"requestedBy", d.as},
			[2]string{"reason", "why"})
	case NoticeEnded:
		d.Subject = "Over: " + d.what
		d.Text = fmt.Sprintf("It ended at %s; the removal of the access was confirmed at %s.", session.Timestamp(g.Until),
			session.Timestamp(g.RevokedAt))
		if g.ClosedBy != "" {
			d.Text += display.Sprintf(" %s ended it: %s", g.Label(g.ClosedBy), cmp.Or(g.ClosedWhy, "no reason given"))
		}
	case NoticeHandTaken:
		d.Subject = "Removed manually: " + d.what
		d.Text = fmt.Sprintf("A grant of %s ended at %s: %s. Castellan does not give it back. If it is still needed, request it again.", d.what, session.Timestamp(g.Until), g.ClosedWhy)
	}
}

// warn writes that the access is not what grants give.
func (d *draft) warn(why string) {
	until := session.Timestamp(d.grant.Until)
	switch d.Kind {
	case NoticeBlocked:
		d.Subject = "Blocked: " + d.what
		d.Text = "The access cannot be given or revoked at the moment. Castellan keeps trying:\n" + display.Terminal(why)
	case apply.NoticeRestored:
		d.Subject = "Given back: " + d.what
		d.Text = fmt.Sprintf("Someone removed it manually, not through Castellan, while a grant gives it until %s. It is given back, as the policy says (grants.handTaken is restore). To end the grant, type the command.", until)
		d.Command = d.revoke("taken by hand")
	case NoticeForeign:
		d.Subject = "Given manually after a grant: " + d.what
		d.Text = fmt.Sprintf("A grant of %s ended at %s, and someone has given the access again since, not through Castellan. Castellan leaves it: remove it manually, or request a grant.", d.what, until)
	}
}

func approvers(g access.Grant) string {
	var names []string
	for _, a := range g.Approvals {
		names = append(names, g.Label(a.By))
	}
	return strings.Join(names, ", ")
}
