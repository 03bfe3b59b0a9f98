package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// write is one transaction on one organization. It holds the organization's row in heads, so nothing else writes to
// the organization until it ends.
type write struct {
	database
	tx   *sql.Tx
	org  string
	seq  int64  // of the chain's last entry
	head string // its hash
}

// write runs do in a transaction. What and whom name it in errors.
func (l *Ledger) write(ctx context.Context, org, what string, do func(w *write) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ledger: %s (organization %s): %w", what, org, err)
		}
	}()
	tx, err := l.writes.querier.(*sql.DB).BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w := &write{database: database{querier: tx, postgres: l.writes.postgres}, tx: tx, org: org}
	if err := w.lock(ctx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := do(w); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// lock takes the organization's row in heads and reads the end of its chain. Where an SQLite transaction begins it has
// the whole file already; PostgreSQL locks the row, and what is read after that is what the last writer left.
func (w *write) lock(ctx context.Context) error {
	query := `SELECT seq, hash FROM heads WHERE org = ?`
	if w.postgres {
		query += ` FOR UPDATE`
	}
	scan := func(row scanner) (struct{}, error) { return struct{}{}, row.Scan(&w.seq, &w.head) }
	_, err := first(ctx, w.database, scan, query, w.org)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if _, err := w.exec(ctx, `INSERT INTO heads (org, seq, hash) VALUES (?, 0, '') ON CONFLICT (org) DO NOTHING`, w.org); err != nil {
		return err
	}
	_, err = first(ctx, w.database, scan, query, w.org)
	return err
}
