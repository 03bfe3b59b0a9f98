package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// ErrConflict is the error if another request has the ID already.
var ErrConflict = errors.New("another request has this id")

// RequestGrant stores a new grant, Waiting or Granted, and returns it as stored. Key, From and Until are the ledger's
// to fill in: a grant that nobody has to approve begins at the request, or at its later Start. The key is the account
// id; in lower case the address of somebody who has none yet.
//
// The same ID again returns the stored grant, fresh is false and nothing changes. ErrConflict: the stored one is for
// another person or target, renews another grant, or was asked for by somebody else; its duration does not matter,
// because limits may have changed since.
func (l *Ledger) RequestGrant(ctx context.Context, org string, g access.Grant) (stored access.Grant, fresh bool,
	err error) {
	err = l.write(ctx, org, "request grant "+g.ID+" of "+string(g.Target)+" for "+g.Person, func(w *write) error {
		fresh = false
		if err := complete(&g); err != nil {
			return err
		}
		if err := w.touch(ctx, tableGrants, []any{g.ID}); err != nil {
			return err
		}
		stored, err = w.grant(ctx, g.ID)
		if err == nil && !sameRequest(stored, g) {
			return fmt.Errorf("%w: it is for %s on %s, asked for by %s", ErrConflict, stored.Target,
				stored.Person, stored.By)
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if stored, err = w.saveGrant(ctx, g); err != nil {
			return err
		}
		fresh = true
		entries := []Entry{requestEntry(stored)}
		if stored.State == access.GrantGranted {
			entries = append(entries, grantedEntry(stored, stored.Requested))
		}
		return w.append(ctx, entries...)
	})
	if err != nil {
		return access.Grant{}, false, err
	}
	return stored, fresh, nil
}

// complete fills in what a request leaves open, or returns what it lacks.
func complete(g *access.Grant) error {
	switch {
	case g.ID == "" || g.Person == "" || g.Target == "":
		return errors.New("a grant needs an id, a person and a target")
	case g.State != access.GrantWaiting && g.State != access.GrantGranted:
		return fmt.Errorf("a grant begins as %s or %s, not as %q", access.GrantWaiting, access.GrantGranted, g.State)
	case g.Duration <= 0:
		return fmt.Errorf("it lasts %s: a grant lasts longer than nothing", g.Duration)
	}
	if access.IsAddress(g.Person) {
		if g.Email == "" {
			g.Email = g.Person
		}
		g.Person = strings.ToLower(g.Person)
	}
	g.Key, g.FormerKey = g.Person, ""
	g.Requested, g.Start = cut(orNow(g.Requested)), cut(g.Start)
	g.From, g.Until, g.RevokedAt = time.Time{}, time.Time{}, time.Time{}
	if g.State == access.GrantGranted {
		*g = review.Begin(*g, g.Requested)
	}
	return nil
}

func sameRequest(a, b access.Grant) bool {
	return a.Person == b.Person && a.Target.Same(b.Target) && a.By == b.By && a.Renews == b.Renews
}

// Grant returns one grant, or ErrNotFound.
func (l *Ledger) Grant(ctx context.Context, org, id string) (access.Grant, error) {
	g, err := grant(ctx, l.reads, org, id)
	return g, reading(err, "grant "+id, org)
}

func (w *write) grant(ctx context.Context, id string) (access.Grant, error) {
	return grant(ctx, w.database, w.org, id)
}

func grant(ctx context.Context, d database, org, id string) (access.Grant, error) {
	return first(ctx, d, scanGrant, selectGrant+` WHERE org = ? AND id = ?`, org, id)
}

const grantColumns = `id, person, email, target, person_key, former_key, state, requested, since, until, taken, body`

const selectGrant = `SELECT ` + grantColumns + ` FROM grants`

func scanGrant(row scanner) (access.Grant, error) {
	var g, rest access.Grant
	var requested, since, until, taken int64
	var stored string
	if err := row.Scan(&g.ID, &g.Person, &g.Email, &g.Target, &g.Key, &g.FormerKey, &g.State,
		&requested, &since, &until, &taken, &stored); err != nil {
		return g, err
	}
	err := json.Unmarshal([]byte(stored), &rest)
	rest.ID, rest.Person, rest.Email, rest.Target, rest.Key, rest.FormerKey, rest.State = g.ID, g.Person, g.Email,
		g.Target, g.Key, g.FormerKey, g.State
	rest.Requested, rest.RevokedAt = fromInstant(requested), fromInstant(taken)
	rest.From, rest.Until = fromInstant(since), fromInstant(until)
	return rest, err
}

// saveGrant inserts or replaces the grant and returns it as it is now in the ledger.
func (w *write) saveGrant(ctx context.Context, g access.Grant) (access.Grant, error) {
	rest := g
	rest.ID, rest.Person, rest.Email, rest.Target, rest.Key, rest.FormerKey, rest.State, rest.Names = "", "", "", "", "",
		"", "", nil
	rest.Requested, rest.From, rest.Until, rest.RevokedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	rest.Start, rest.ApprovalDeadline, rest.ProvisionedAt = cut(g.Start), cut(g.ApprovalDeadline), cut(g.ProvisionedAt)
	rest.Approvals = make([]access.Approval, len(g.Approvals))
	for i, a := range g.Approvals {
		a.At = cut(a.At)
		rest.Approvals[i] = a
	}
	if err := w.touchDoubted(ctx, tableGrants, []any{g.ID}); err != nil {
		return g, err
	}
	return first(ctx, w.database, scanGrant, `INSERT INTO grants (org, email_key, target_key, settled, `+grantColumns+`)
		VALUES (`+marks(16)+`) ON CONFLICT (org, id) DO UPDATE SET email_key = excluded.email_key, settled = excluded.settled,
		person = excluded.person, email = excluded.email, person_key = excluded.person_key, former_key = excluded.former_key, state = excluded.state, since = excluded.since, until = excluded.until,
		taken = excluded.taken, body = excluded.body RETURNING `+grantColumns,
		w.org, strings.ToLower(g.Email), access.Fold(string(g.Target)), flag(g.Settled()),
		g.ID, g.Person, g.Email, string(g.Target), g.Key, g.FormerKey, string(g.State),
		instant(g.Requested), instant(g.From), instant(g.Until), instant(g.RevokedAt), text(rest))
}

// cut returns the instant with the ledger's precision.
func cut(t time.Time) time.Time { return fromInstant(instant(t)) }
