package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrServed is the error if an Atlassian organization is already served under another name: two would write against
// each other.
var ErrServed = errors.New("it is served under another name")

// ErrGrantsOpen is the error if an organization cannot be retired: its grants are not over, and nobody would remove
// their access.
var ErrGrantsOpen = errors.New("grants are not over, and nobody would take back what they gave")

// checkGrantsSettled returns an error while anything is left to do about a grant of the organization.
func (w *write) checkGrantsSettled(ctx context.Context) error {
	const most = 5
	open, err := collect(ctx, w.database, scanGrant,
		selectGrant+` WHERE org = ? AND settled = 0 ORDER BY requested, id LIMIT ?`, w.org, most+1)
	if err != nil || len(open) == 0 {
		return err
	}
	var all []string
	for _, g := range open[:min(most, len(open))] {
		all = append(all, fmt.Sprintf("%s (%s for %s)", g.ID, g.Target, cmp.Or(g.Email, g.Person)))
	}
	if len(open) > most {
		all = append(all, "and more")
	}
	return fmt.Errorf("%w: %s. End them with `starter revoke` (all of them: `starter grants`), and try again once their access was taken back; the organization's workflow, its key and a worker must run for that", ErrGrantsOpen, strings.Join(all, ", "))
}

// ServedAs returns the name under which the organization with Atlassian's ID is served, or ErrNotFound, also if the
// chain does not explain it.
func (l *Ledger) ServedAs(ctx context.Context, orgID string) (string, error) {
	org, err := servedAs(ctx, l.reads, orgID)
	if err != nil {
		return "", reading(err, "who serves organization id "+orgID, "any")
	}
	id := strings.ToLower(orgID)
	explained, err := l.explainedRows(ctx, org, tableServed, [][]string{{id}})
	if err == nil && !explained[id] {
		err = ErrNotFound
	}
	return org, reading(err, "what the chain says of who serves organization id "+orgID, org)
}

func servedAs(ctx context.Context, d database, orgID string) (string, error) {
	return first(ctx, d, func(row scanner) (org string, err error) { return org, row.Scan(&org) },
		`SELECT org FROM served WHERE id = ?`, strings.ToLower(orgID))
}

// serve makes the organization serve Atlassian's ID, and no other ID, and reports whether that is new.
func (w *write) serve(ctx context.Context, orgID string, at time.Time) (fresh bool, err error) {
	id := strings.ToLower(orgID)
	if id == "" {
		return false, nil
	}
	if err := w.forget(ctx, tableServed, []any{id}); err != nil {
		return false, err
	}
	n, err := w.exec(ctx, `INSERT INTO served (id, org, since) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`, id, w.org,
		instant(at))
	if err != nil {
		return false, err
	}
	other, err := servedAs(ctx, w.database, id)
	if err == nil && other != w.org {
		err = fmt.Errorf("organization id %s: %w: %q has it in this ledger; change that one's policy, or retire it (worker --retire %s)", orgID, ErrServed, other, other)
	}
	if err != nil || n == 0 {
		return false, err
	}
	if err := w.forgetWhere(ctx, tableServed, `id <> ?`, id); err != nil {
		return false, err
	}
	left, err := w.exec(ctx, `DELETE FROM served WHERE org = ? AND id <> ?`, w.org, id)
	if err == nil && left > 0 {
		err = w.checkGrantsSettled(ctx)
	}
	return true, err
}

// Retire frees the organization's ID: nothing more is written to it under this name until a policy is applied again,
// and another name may serve it. The ledger keeps its records. ErrNotFound: the name serves none. ErrGrantsOpen: its
// grants are not over.
func (l *Ledger) Retire(ctx context.Context, org, by string, at time.Time) (orgID string, err error) {
	err = l.write(ctx, org, "retire the organization", func(w *write) error {
		orgID, err = first(ctx, w.database, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
			`SELECT id FROM served WHERE org = ?`, org)
		if err != nil {
			return err
		}
		if err := w.checkGrantsSettled(ctx); err != nil {
			return err
		}
		if err := w.touch(ctx, tableServed, []any{orgID}); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `DELETE FROM served WHERE org = ?`, org); err != nil {
			return err
		}
		return w.append(ctx, Entry{At: orNow(at), Kind: EntryRetired,
			Body: body(map[string]any{"orgId": orgID, "by": by})})
	})
	return orgID, err
}
