package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// write is one transaction on one organization. It locks the organization's row in heads, so nothing else writes to the
// organization until it ends.
type write struct {
	database
	tx  *sql.Tx
	org string
	chainEnd

	at       time.Time // of the entry that was added last
	began    chainEnd
	replayed *replayed
	touched  map[*recordedTable]map[string]touchedRow
	said     map[rowKey]rowSum // hashes of rows, by the transaction
}

// chainEnd is the end of a chain.
type chainEnd struct {
	seq  int64  // of the last entry
	head string // its hash
}

// write runs do in a transaction. what is for errors. It replays others' additions to the chain before it takes the
// lock, and not while others wait for it.
func (l *Ledger) write(ctx context.Context, org, what string, do func(w *write) error) error {
	if _, err := l.replay(ctx, org); err != nil {
		return fmt.Errorf("ledger: %s (organization %s): %w", what, org, err)
	}
	return l.writeAnyway(ctx, org, what, do)
}

// writeAnyway is write without replaying the chain.
func (l *Ledger) writeAnyway(ctx context.Context, org, what string, do func(w *write) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ledger: %s (organization %s): %w", what, org, err)
		}
	}()
	replayed := l.replayOf(org)
	tx, err := l.writes.querier.(*sql.DB).BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w := &write{database: database{querier: tx, postgres: l.writes.postgres}, tx: tx, org: org,
		replayed: replayed, touched: map[*recordedTable]map[string]touchedRow{}, said: map[rowKey]rowSum{}}
	version, err := w.lock(ctx)
	if err == nil && version > l.version {
		err = newer(version, l.version)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := do(w); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := w.recordRows(ctx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	replayed.keep(w)
	return nil
}

// lock locks the organization's row in heads, reads the end of its chain, and returns the version of the tables. An
// SQLite transaction has locked the whole file already when it begins; PostgreSQL locks the row, and what is read after
// that is what the last writer left.
func (w *write) lock(ctx context.Context) (version int64, err error) {
	query := `SELECT seq, hash, (SELECT MAX(version_id) FROM goose_db_version) FROM heads WHERE org = ?`
	if w.postgres {
		query += ` FOR UPDATE`
	}
	scan := func(row scanner) (version int64, err error) { return version, row.Scan(&w.seq, &w.head, &version) }
	version, err = first(ctx, w.database, scan, query, w.org)
	if w.began = w.chainEnd; !errors.Is(err, ErrNotFound) {
		return version, err
	}
	if _, err := w.exec(ctx, `INSERT INTO heads (org, seq, hash) VALUES (?, 0, '') ON CONFLICT (org) DO NOTHING`,
		w.org); err != nil {
		return 0, err
	}
	version, err = first(ctx, w.database, scan, query, w.org)
	w.began = w.chainEnd
	return version, err
}
