package ledger

import (
	"context"
	"crypto/rand"
	"fmt"
)

// Identity is which ledger this is, and to which Temporal namespace it belongs. A backup that is restored has the
// identity of the ledger that it was made of.
type Identity struct {
	Ledger      string // random, made with the ledger
	Namespace   string // "": it was not tied to one yet
	NamespaceID string // "": Temporal did not say it
}

// Identity returns the ledger's identity.
func (l *Ledger) Identity(ctx context.Context) (Identity, error) {
	if _, err := l.writes.exec(ctx,
		`INSERT INTO identity (one, ledger, namespace, namespace_id) VALUES (1, ?, '', '') ON CONFLICT (one) DO NOTHING`,
		rand.Text()); err != nil {
		return Identity{}, fmt.Errorf("ledger: keep the ledger's identity: %w", err)
	}
	is, err := first(ctx, l.writes, func(row scanner) (i Identity, err error) {
		return i, row.Scan(&i.Ledger, &i.Namespace, &i.NamespaceID)
	}, `SELECT ledger, namespace, namespace_id FROM identity`)
	return is, reading(err, "the ledger's identity", "all")
}

// Tie makes a ledger that belongs to no namespace yet belong to this one, and returns to which one it does. With move
// it belongs to this one from now on, whatever it did before.
func (l *Ledger) Tie(ctx context.Context, namespace, id string, move bool) (Identity, error) {
	if _, err := l.Identity(ctx); err != nil {
		return Identity{}, err
	}
	where, args := ``, []any{namespace, id}
	if !move {
		where, args = ` WHERE namespace = '' OR namespace = ? AND namespace_id = ''`, append(args, namespace)
	}
	if _, err := l.writes.exec(ctx, `UPDATE identity SET namespace = ?, namespace_id = ?`+where, args...); err != nil {
		return Identity{}, fmt.Errorf("ledger: tie the ledger to namespace %s: %w", namespace, err)
	}
	return l.Identity(ctx)
}
