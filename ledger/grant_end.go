package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// ExpireGrant ends a waiting grant as expired once the time to decide is over, and returns it. Every other grant stays
// as it is. ErrNotFound: there is no such grant.
func (l *Ledger) ExpireGrant(ctx context.Context, org, id string, at time.Time) (g access.Grant, err error) {
	at = orNow(at)
	err = l.write(ctx, org, "expire grant "+id, func(w *write) error {
		if g, err = w.grant(ctx, id); err == nil && review.Expired(g, at) {
			g, err = w.expire(ctx, g, at)
		}
		return err
	})
	return g, err
}

func (w *write) expire(ctx context.Context, g access.Grant, at time.Time) (access.Grant, error) {
	g.State = access.GrantExpired
	return w.change(ctx, g, grantEntry(g, EntryGrantExpired, at, nil))
}

// EndGrant ends a grant and returns it. By a name it ends at that instant: a waiting one is withdrawn, so that it was
// never in force and nothing is left to take. With by "" it ends only if its time is over. A grant that has ended, or
// was never granted, stays as it is. ErrNotFound: there is no such grant.
func (l *Ledger) EndGrant(ctx context.Context, org, id, by, why string, at time.Time) (g access.Grant, err error) {
	at = cut(orNow(at))
	err = l.write(ctx, org, "end grant "+id, func(w *write) error {
		if g, err = w.grant(ctx, id); err != nil {
			return err
		}
		switch {
		case g.State == access.GrantGranted && !at.Before(g.Until): // by time, whoever says so
			g, err = w.end(ctx, g, at)
			return err
		case by == "" || !g.State.Open():
			return nil
		case g.State == access.GrantWaiting:
			g.From, g.RevokedAt = at, at
		case g.From.After(at):
			g.From = at
		}
		g.Until, g.ClosedBy, g.ClosedWhy = at, by, why
		g, err = w.end(ctx, g, at)
		return err
	})
	return g, err
}

func (w *write) end(ctx context.Context, g access.Grant, at time.Time) (access.Grant, error) {
	withdrawn := g.State == access.GrantWaiting
	fields := map[string]any{"until": g.Until}
	if g.ClosedBy != "" {
		fields["by"], fields["why"], fields["withdrawn"] = typedBy(g, g.ClosedBy), g.ClosedWhy, withdrawn
	}
	if g.RemovedByHand {
		fields["handTaken"], fields["why"] = true, g.ClosedWhy
	}
	g.State = access.GrantEnded
	return w.change(ctx, g, grantEntry(g, EntryGrantEnded, at, fields))
}

// MarkGrantProvisioned records that access was seen to be given by these grants. The first instant stays; grants that
// were not granted stay as they are. ErrNotFound: there is no grant of one of the IDs, and none was changed.
func (l *Ledger) MarkGrantProvisioned(ctx context.Context, org string, ids []string, at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, fmt.Sprintf("record that the grants %v gave access", ids), func(w *write) error {
		return w.eachGrant(ctx, ids, func(g access.Grant) error {
			if !g.ProvisionedAt.IsZero() || g.State != access.GrantGranted && g.State != access.GrantEnded {
				return nil
			}
			g.ProvisionedAt = at
			_, err := w.change(ctx, g, grantEntry(g, EntryGrantGiven, at, nil))
			return err
		})
	})
}

// MarkGrantRevoked records that nothing is left of these grants to remove; how says what was seen. The first instant
// stays. One whose time is over ends with it; one that is still in force stays as it is. ErrNotFound: there is no grant
// of one of the IDs, and none was changed.
func (l *Ledger) MarkGrantRevoked(ctx context.Context, org string, ids []string, at time.Time, how string) error {
	at = orNow(at)
	return l.write(ctx, org, fmt.Sprintf("record that the access of the grants %v was taken back", ids),
		func(w *write) error {
			return w.eachGrant(ctx, ids, func(g access.Grant) (err error) {
				if g.State == access.GrantGranted && !at.Before(g.Until) {
					if g, err = w.end(ctx, g, at); err != nil {
						return err
					}
				}
				if g.State != access.GrantEnded || !g.RevokedAt.IsZero() {
					return nil
				}
				g.RevokedAt = at
				_, err = w.change(ctx, g, grantEntry(g, EntryGrantTaken, at, map[string]any{"how": how}))
				return err
			})
		})
}

func (w *write) eachGrant(ctx context.Context, ids []string, do func(access.Grant) error) error {
	for _, id := range ids {
		g, err := w.grant(ctx, id)
		if err == nil {
			err = do(g)
		}
		if err != nil {
			return fmt.Errorf("grant %s: %w", id, err)
		}
	}
	return nil
}
