package workflows_test

import (
	"context"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// The ledger that lending plays: leases in memory, under the rules of the ledger package.

func (l *grantTest) playRead(_ context.Context, in grants.GrantsInput) ([]access.Grant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readErr != nil {
		if err := l.readErr(); err != nil {
			return nil, err
		}
	}
	var all []access.Grant
	for _, g := range l.book {
		if !g.Settled() || slices.Contains(in.Known, g.ID) {
			all = append(all, g)
		}
	}
	// Those that are settled by now stand first, as the activity returns them.
	slices.SortStableFunc(all, func(a, b access.Grant) int { return settledFirst(a) - settledFirst(b) })
	return all, nil
}

func settledFirst(g access.Grant) int {
	if g.Settled() {
		return 0
	}
	return 1
}

func (l *grantTest) playExpire(_ context.Context, in grants.GrantInput) (access.Grant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expires++; l.expires == 100 {
		l.behind = 0 // so that a test of it comes to its end
	}
	g := &l.book[l.index(in.ID)]
	if g.State == access.GrantWaiting && !l.now().Before(g.ApprovalDeadline) {
		g.State = access.GrantExpired
	}
	return *g, l.refuses["ExpireGrant"]
}

func (l *grantTest) playDecide(_ context.Context, in grants.DecideGrantInput) (messages.GrantAnswer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decided = append(l.decided, in)
	i := slices.IndexFunc(l.book, func(g access.Grant) bool {
		return g.ID == in.Request || in.Request == "" && g.State == access.GrantWaiting
	})
	if i < 0 {
		return messages.GrantAnswer{}, fatal(session.ErrRefused, "no request waits for a decision")
	}
	g := &l.book[i]
	said := slices.ContainsFunc(g.Approvals, func(a access.Approval) bool { return a.By == in.By })
	switch {
	case said && in.Approve:
		return messages.GrantAnswer{Message: "already recorded: nothing changes"}, nil
	case g.State != access.GrantWaiting:
		return messages.GrantAnswer{}, fatal(session.ErrRefused, "it does not wait any more: it is "+string(g.State))
	case !slices.Contains(g.Approvers, in.By):
		return messages.GrantAnswer{}, fatal(session.ErrRefused, "only the approvers that the request names may decide")
	case g.Codes && in.CodeHash != l.hashes[in.By]:
		return messages.GrantAnswer{}, fatal(session.ErrRefused, "the code is not the one that this approver was sent")
	case !in.Approve:
		g.State, g.ClosedBy, g.ClosedWhy = access.GrantDenied, in.By, in.Note
		return messages.GrantAnswer{Message: "denied: nothing is granted"}, nil
	}
	g.Approvals = append(g.Approvals, access.Approval{By: in.By, At: l.now(), Note: in.Note})
	if len(g.Approvals) >= g.Needs {
		g.State, g.From = access.GrantGranted, l.now()
		if g.Start.After(g.From) {
			g.From = g.Start
		}
		g.Until = g.From.Add(g.Duration.Std())
	}
	return messages.GrantAnswer{Message: "approved", Grants: []access.Grant{*g}}, nil
}

func (l *grantTest) playRevoke(_ context.Context, in grants.RevokeGrantInput) (messages.GrantAnswer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revoked = append(l.revoked, in)
	if err := l.refuses["RevokeGrant"]; err != nil {
		return messages.GrantAnswer{}, err
	}
	var ended []access.Grant
	for i := range l.book {
		if g := &l.book[i]; !g.Settled() && (in.Request == "" || in.Request == g.ID) {
			l.end(g, in.RequestedBy, in.Reason)
			ended = append(ended, *g)
		}
	}
	if len(ended) == 0 {
		return messages.GrantAnswer{}, fatal(session.ErrRefused, "eve holds it by no grant that is open")
	}
	l.env.SignalWorkflow(messages.Look, nil)
	return messages.GrantAnswer{Message: "ended", Grants: ended}, nil
}

// end ends a lease now. One that waits is withdrawn.
func (l *grantTest) end(g *access.Grant, by, why string) {
	now := l.now()
	switch {
	case !g.State.Open():
		return
	case g.State == access.GrantGranted && !now.Before(g.Until):
		g.State = access.GrantEnded
		return
	case g.State == access.GrantWaiting:
		g.From, g.RevokedAt = now, now
	case g.From.After(now):
		g.From = now
	}
	g.State, g.Until, g.ClosedBy, g.ClosedWhy = access.GrantEnded, now, by, why
}

func (l *grantTest) playExtend(_ context.Context, in grants.ExtendGrantInput) (messages.GrantAnswer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.index(in.RequestID); i >= 0 {
		return messages.GrantAnswer{Message: "asked for already", Grants: l.book[i : i+1]}, nil
	}
	var last access.Grant
	for _, g := range l.book {
		if g.State == access.GrantGranted && !g.Until.Before(last.Until) {
			last = g
		}
	}
	if last.ID == "" {
		return messages.GrantAnswer{}, fatal(session.ErrRefused, "eve has no grant of it that could be extended")
	}
	longer := last
	longer.ID, longer.Renews, longer.Requested, longer.Duration = in.RequestID, last.ID, l.now(), in.Duration
	longer.From, longer.Until, longer.ProvisionedAt = last.Until, last.Until.Add(in.Duration.Std()), time.Time{}
	l.book = append(l.book, longer)
	l.env.SignalWorkflow(messages.Look, nil)
	return messages.GrantAnswer{Message: "granted", Grants: []access.Grant{longer}}, nil
}
