package ledger

import (
	"context"
	"crypto/rand"
	"fmt"
)

// Identity identifies the ledger and its Temporal namespace. A restored backup has the identity of the original.
type Identity struct {
	Ledger      string // random, made with the ledger
	Namespace   string // "": none yet
	NamespaceID string // "": Temporal did not tell
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

// BindNamespace binds a ledger without a namespace to this one, and returns the ledger's identity then. With move it is
// bound to this one from now on, whatever it was bound to before.
func (l *Ledger) BindNamespace(ctx context.Context, namespace, id string, move bool) (Identity, error) {
	if _, err := l.Identity(ctx); err != nil {
		return Identity{}, err
	}
	where, args := ``, []any{namespace, id}
	if !move {
		where, args = ` WHERE namespace = '' OR namespace = ? AND namespace_id = ''`, append(args, namespace)
	}
	if _, err := l.writes.exec(ctx, `UPDATE identity SET namespace = ?, namespace_id = ?`+where, args...); err != nil {
		return Identity{}, fmt.Errorf("ledger: bind the ledger to namespace %s: %w", namespace, err)
	}
	return l.Identity(ctx)
}
