package activities

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

// Notifier tells people what concerns them.
type Notifier interface {
	// Private says that what is sent to one addressee reaches only them; only then may a notice carry a code.
	Private() bool
	Notify(ctx context.Context, n messages.Notice) error
}

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
	NoticeBlocked    = "grant-blocked"     // watchers: it cannot be given, or not be taken back
	NoticeForeign    = "grant-foreign"     // watchers: somebody gave by hand what a grant gave before
)

// TellInput names a notice.
type TellInput struct {
	Org      string `json:"org"`
	Workflow string `json:"workflow"`
	Kind     string `json:"kind"`
	Grant    string `json:"grant"`
	Why      string `json:"why,omitempty"`
}

// Tell sends a notice about a grant to all whom it concerns. A repeat goes on with those who were not reached; an approver
// who is told twice has two codes that count.
func (a *Activities) Tell(ctx context.Context, in TellInput) error {
	g, err := a.ledger.Grant(ctx, in.Org, in.Grant)
	if err != nil {
		return err
	}
	to, err := a.addressees(ctx, in, g)
	if err != nil {
		return err
	}
	reached := 0
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &reached)
	}
	var failed []error // one bad address does not keep the others from being told
	for ; reached < len(to); reached++ {
		n, err := a.notice(ctx, in, g, to[reached])
		if err != nil {
			return err
		}
		err = a.notifier.Notify(ctx, n)
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
		return stop(ErrInvalid, err)
	}
	return nil
}

// addressees are e-mail addresses; "" stands for whoever watches.
func (a *Activities) addressees(ctx context.Context, in TellInput, g access.Grant) ([]string, error) {
	var names []string
	switch in.Kind {
	case NoticeRequested:
		names = g.Approvers
	case NoticeBreakGlass:
		names = append([]string{""}, g.Approvers...)
	case NoticeBlocked, NoticeForeign:
		return []string{""}, nil
	default:
		names = []string{personOf(g), g.By}
	}
	var ids []string
	for _, name := range names {
		if name != "" && !isEmail(name) {
			ids = append(ids, name)
		}
	}
	known, err := a.ledger.KnownEmails(ctx, in.Org, ids)
	if err != nil {
		return nil, err
	}
	var to []string
	for _, name := range names {
		if name != "" && !isEmail(name) {
			if name = known[name]; name == "" {
				continue // somebody without an address cannot be told
			}
		}
		if name = strings.ToLower(name); !slices.Contains(to, name) {
			to = append(to, name)
		}
	}
	return to, nil
}

// notice writes a notice to one addressee. An approver whom the policy wants to prove who they are gets a code.
func (a *Activities) notice(ctx context.Context, in TellInput, g access.Grant, to string) (messages.Notice, error) {
	n := messages.Notice{
		ID: in.Grant + " " + in.Kind + " " + to, Kind: in.Kind, Org: in.Org, At: a.now(), To: to, Workflow: in.Workflow,
		Grant: g.ID, Person: personOf(g), Target: g.Target,
	}
	what := fmt.Sprintf("%s for %s", g.Target, personOf(g))
	asked := fmt.Sprintf("%s asked for %s in organization %s for %s.\nReason: %s", g.By, what, in.Org, g.Duration, cmp.Or(strings.TrimSpace(g.Ticket+" "+g.Reason), "none given"))
	switch in.Kind {
	case NoticeRequested:
		n.Subject = "Approve? " + what
		n.Text = fmt.Sprintf("%s\nIt waits until %s for approval; it needs %d. To deny it, say deny instead of approve.", asked, clock(g.Decide), g.Needs)
		body := map[string]string{"request": g.ID, "by": to}
		if g.Codes {
			code := newCode()
			if err := a.ledger.SaveCode(ctx, in.Org, g.ID, to, messages.CodeHash(code), a.now()); err != nil {
				return n, err
			}
			n.Code, body["code"] = code, "CODE"
			n.Text += " Put your code in place of CODE: it works once, for this request, and is for you alone."
		}
		n.Command = updateCommand(in.Workflow, messages.Approve, body)
	case NoticeBreakGlass:
		n.Subject = "Break-glass: " + what
		n.Text = asked + "\nIt was taken without approval. Look into it; to end it now, type the command."
		n.Command = updateCommand(in.Workflow, messages.Revoke, map[string]string{"requestedBy": cmp.Or(to, "you@example.com"), "reason": "not wanted"})
	case NoticeGranted:
		n.Subject = "Approved: " + what
		n.Text = fmt.Sprintf("%s\nApproved by %s. It begins at %s and ends at %s.", asked, approvers(g), clock(g.From), clock(g.Until))
	case NoticeDenied:
		n.Subject = "Denied: " + what
		n.Text = fmt.Sprintf("%s\nDenied by %s: %s", asked, g.ClosedBy, cmp.Or(g.ClosedWhy, "no reason given"))
	case NoticeExpired:
		n.Subject = "Not decided in time: " + what
		n.Text = asked + "\nNobody decided in time. Ask again."
	case NoticeGiven:
		n.Subject = "Given: " + what
		n.Text = fmt.Sprintf("%s\nIt was seen to be given, and ends at %s. When you need it no more, type the command. Atlassian does not end sessions that are open; what they may do ends all the same.", asked, clock(g.Until))
		n.Command = updateCommand(in.Workflow, messages.Revoke, map[string]string{"requestedBy": cmp.Or(to, personOf(g)), "reason": "done"})
	case NoticeReminder:
		n.Subject = "Ends soon: " + what
		n.Text = fmt.Sprintf("It ends at %s. To prolong it, where the policy lets you, type the command.", clock(g.Until))
		n.Command = updateCommand(in.Workflow, messages.Extend, map[string]string{"duration": "1h", "requestedBy": cmp.Or(to, personOf(g)), "reason": "why"})
	case NoticeEnded:
		n.Subject = "Over: " + what
		n.Text = fmt.Sprintf("It ended at %s, and that was seen at %s.", clock(g.Until), clock(g.Taken))
		if g.ClosedBy != "" {
			n.Text += fmt.Sprintf(" %s ended it: %s", g.ClosedBy, cmp.Or(g.ClosedWhy, "no reason given"))
		}
	case NoticeBlocked:
		n.ID += " " + clock(n.At)
		n.Subject = "Not right: " + what
		n.Text = "It cannot be given, or not be taken back, and is tried again without end:\n" + in.Why
	case NoticeForeign:
		n.ID += " " + clock(n.At)
		n.Subject = "Given by hand after a grant: " + what
		n.Text = fmt.Sprintf("A grant of %s was over at %s, and somebody has given it again since, not through Castellan. It stays until somebody decides: remove it by hand, or grant it.", what, clock(g.Until))
	}
	return n, nil
}

func approvers(g access.Grant) string {
	var names []string
	for _, a := range g.Approvals {
		names = append(names, a.By)
	}
	return strings.Join(names, ", ")
}

func updateCommand(workflow, name string, body map[string]string) string {
	input, _ := json.Marshal(body) // texts cannot fail
	return fmt.Sprintf("temporal workflow update execute --workflow-id '%s' --name %s --input '%s'", workflow, name, strings.ReplaceAll(string(input), "'", "'\\''"))
}

// newCode is an approval code of 26 letters and digits in fives: 128 random bits.
func newCode() string {
	text := rand.Text()
	var parts []string
	for len(text) > 5 {
		parts, text = append(parts, text[:5]), text[5:]
	}
	return strings.Join(append(parts, text), "-")
}
