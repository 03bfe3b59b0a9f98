package ledger

import (
	"context"
	"crypto/rand"
	"fmt"
)

// OwnIdentity identifies the ledger and its Temporal namespace. A restored backup has the identity of the original.
type OwnIdentity struct {
	Ledger      string // random, made with the ledger
	Namespace   string // "": none yet
	NamespaceID string // "": Temporal did not tell
}

// OwnIdentity returns the ledger's identity.
func (l *Ledger) OwnIdentity(ctx context.Context) (OwnIdentity, error) {
	if _, err := l.writes.exec(ctx,
		`INSERT INTO identity (one, ledger, namespace, namespace_id) VALUES (1, ?, '', '') ON CONFLICT (one) DO NOTHING`,
		rand.Text()); err != nil {
		return OwnIdentity{}, fmt.Errorf("ledger: keep the ledger's identity: %w", err)
	}
	is, err := first(ctx, l.writes, func(row scanner) (i OwnIdentity, err error) {
		return i, row.Scan(&i.Ledger, &i.Namespace, &i.NamespaceID)
	}, `SELECT ledger, namespace, namespace_id FROM identity`)
	return is, reading(err, "the ledger's identity", "all")
}

// BindNamespace binds a ledger without a namespace to this one, and returns the ledger's identity then. With move it is
// bound to this one from now on, whatever it was bound to before.
func (l *Ledger) BindNamespace(ctx context.Context, namespace, id string, move bool) (OwnIdentity, error) {
	if _, err := l.OwnIdentity(ctx); err != nil {
		return OwnIdentity{}, err
	}
	where, args := ``, []any{namespace, id}
	if !move {
		where, args = ` WHERE namespace = '' OR namespace = ? AND namespace_id = ''`, append(args, namespace)
	}
	if _, err := l.writes.exec(ctx, `UPDATE identity SET namespace = ?, namespace_id = ?`+where, args...); err != nil {
		return OwnIdentity{}, fmt.Errorf("ledger: bind the ledger to namespace %s: %w", namespace, err)
	}
	return l.OwnIdentity(ctx)
}
