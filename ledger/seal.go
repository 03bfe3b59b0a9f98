package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
)

// recordOld adds to the chains of organizations from before rows of some tables were recorded how these rows are now:
// that records what was there, not that it was right. It does so once for an organization, never for rows that its
// chain records already, and never without a chain.
func (l *Ledger) recordOld(ctx context.Context) error {
	orgs, err := collect(ctx, l.reads, func(row scanner) (org string, err error) { return org, row.Scan(&org) },
		`SELECT org FROM heads WHERE seq > 0 ORDER BY org`)
	if err != nil {
		return reading(err, "which organizations are from before", "all")
	}
	for _, org := range orgs {
		version, err := recordedVersion(ctx, l.reads, org)
		if err != nil {
			return reading(err, "which rows its chain records", org)
		}
		if version >= recordVersion {
			continue
		}
		if err := l.writeAnyway(ctx, org, "record the rows from before",
			func(w *write) error { return w.recordOld(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// recordedVersion returns the version in the newest readable entry about rows; 0: there is none. It reads one entry,
// and another only if that one cannot be read.
func recordedVersion(ctx context.Context, d database, org string) (int, error) {
	type entry struct {
		seq  int64
		body string
	}
	for before := int64(math.MaxInt64); ; {
		newest, err := first(ctx, d, func(row scanner) (e entry, err error) { return e, row.Scan(&e.seq, &e.body) },
			`SELECT seq, body FROM entries WHERE org = ? AND kind = ? AND seq < ? ORDER BY seq DESC LIMIT 1`,
			org, EntryRows, before)
		if errors.Is(err, ErrNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		var e rowsEntry
		if json.Unmarshal([]byte(newest.body), &e) == nil {
			return max(e.Version, 1), nil
		}
		before = newest.seq
	}
}

func (w *write) recordOld(ctx context.Context) error {
	if w.seq == 0 {
		return nil // there is no chain: verify-ledger will report that
	}
	version, err := recordedVersion(ctx, w.database, w.org)
	if err != nil || version >= recordVersion {
		return err // another worker did it before
	}
	for _, t := range recordedTables {
		if max(t.since, 1) > version {
			if err := w.recordOldOf(ctx, t); err != nil {
				return err
			}
		}
	}
	return w.appendVersion(ctx)
}

// appendVersion adds an entry about no row, so that an organization without rows to record does not count as an old one
// again.
func (w *write) appendVersion(ctx context.Context) error {
	return w.append(ctx, Entry{At: orNow(w.at), Kind: EntryRows,
		Body: body(rowsEntry{Version: recordVersion, Rows: [][]string{}, Before: true})})
}

func (w *write) recordOldOf(ctx context.Context, t *recordedTable) error {
	var after []string
	for {
		rows, err := t.page(ctx, w.database, w.org, after, ` AND entry = 0`)
		if err != nil || len(rows) == 0 {
			return err
		}
		after = rows[len(rows)-1].key
		if t == tableSuspensions {
			if rows, err = w.provenRows(ctx, rows); err != nil {
				return err
			}
		}
		var said []entryRow
		for _, r := range rows {
			said = append(said, entryRow{t, r.key, r.hash})
		}
		if err := w.appendRows(ctx, said, true); err != nil || len(t.key) == 0 {
			return err
		}
	}
}

// provenRows drops suspensions that the chain does not explain.
func (w *write) provenRows(ctx context.Context, rows []storedRow) ([]storedRow, error) {
	people := make([]string, len(rows))
	for i, r := range rows {
		people[i] = r.key[0]
	}
	where, args := among("org", "person", people, w.org)
	all, err := collect(ctx, w.database, scanSuspension, selectSuspension+` WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	proven, err := provenSuspensions(ctx, w.database, w.org, all)
	return slices.DeleteFunc(rows, func(r storedRow) bool { return !proven[r.key[0]] }), err
}
