package grants

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

// BurnCodesInput are hashes of codes that somebody typed, and whose they should be.
type BurnCodesInput struct {
	Org    string   `json:"org"` // where they were typed
	Hashes []string `json:"hashes"`
	Shown  string   `json:"shown,omitempty"` // identifies this use of them
	Wrong  bool     `json:"wrong,omitempty"` // something was meant as a code: if it is nobody's, it was a wrong one
	By     string   `json:"by,omitempty"`
	Grant  string   `json:"grant,omitempty"`
	Review string   `json:"review,omitempty"`
}

// BurnCodes spends codes wherever they were typed, and returns whose they were. A repeat changes nothing.
func (a *Activities) BurnCodes(ctx context.Context, in BurnCodesInput) ([]session.BurntCode, error) {
	defer session.AutoHeartbeat(ctx)()
	found, err := a.env.Ledger.BurnCodes(ctx, in.Org, ledger.Presented{
		ID: in.Shown, Hashes: in.Hashes, Wrong: in.Wrong, By: in.By, Grant: in.Grant, Review: in.Review,
	}, a.env.Now())
	if err != nil {
		return nil, err
	}
	burnt := make([]session.BurntCode, len(found))
	for i, code := range found {
		burnt[i] = session.BurntCode(code)
	}
	return burnt, nil
}

// ResendCode sends a new code to somebody who has none, if they still have to decide and not too many wrong ones were
// given. A repeat may send two: whether the first one was sent is unknown.
func (a *Activities) ResendCode(ctx context.Context, code session.BurntCode) error {
	send := a.resendGrantCode
	if code.Review != "" {
		send = a.reviewCodes
	}
	return a.env.ResendCode(ctx, code, activity.GetInfo(ctx).Attempt > 1, send)
}

func (a *Activities) resendGrantCode(ctx context.Context, code session.BurntCode) error {
	g, err := a.env.Ledger.Grant(ctx, code.Org, code.Grant)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if g.State != access.GrantWaiting ||
		slices.ContainsFunc(g.Approvals, func(is access.Approval) bool { return is.By == code.Name }) {
		return nil
	}
	if err := a.env.RereadPeople(ctx, code.Org, []string{code.Name}); err != nil {
		return err
	}
	all, err := a.env.WithNames(ctx, code.Org, g)
	if err != nil {
		return err
	}
	g = all[0]
	if !access.IsAddress(g.Label(code.Name)) {
		return nil // somebody without an address cannot be notified
	}
	in := TellInput{Org: code.Org, Workflow: messages.GrantID(code.Org, g.Target, g.Key), Kind: NoticeRequested,
		Grant: g.ID}
	n, err := a.notice(ctx, in, g, code.Name)
	if err != nil {
		return err
	}
	// the same in a repeat, so that nobody gets it twice
	n.ID += " " + session.Timestamp(activity.GetInfo(ctx).ScheduledTime)
	n.Text += " The code that you were sent before is no longer valid: someone typed it, or a wrong one in its place."
	if err := a.env.Notifier.Notify(ctx, n); errors.Is(err, notify.ErrPermanent) {
		activity.GetLogger(ctx).Warn("somebody has no code any more, and another cannot be sent", "code", code.Of(),
			"error", err)
	} else if err != nil {
		return fmt.Errorf("send %s another code: %w", code.Name, err)
	}
	return nil
}
