package ledger

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Record is a person in a SCIM directory, as it was last shown or written.
type Record struct {
	Directory string
	ID        string            // of the record: never an account's
	Account   string            // id of the account that it is linked to; "": none
	External  string            // the identity provider's own id, as it wrote it
	Active    bool              //
	Address   string            // the primary address, else the user name
	Values    map[string]string // by attribute
	Modified  time.Time
	Digest    string    // of all that the caller compares to know whether it must be saved again
	State     string    // set by the ledger when it is saved
	Since     time.Time // when State was last another; set by the ledger
}

const selectRecord = `SELECT directory, id, account, external_id, active, address, attributes, modified, digest, state,
	since FROM records`

func scanRecord(row scanner) (r Record, err error) {
	var values string
	var active int
	var modified, since int64
	if err := row.Scan(&r.Directory, &r.ID, &r.Account, &r.External, &active, &r.Address, &values, &modified, &r.Digest,
		&r.State, &since); err != nil {
		return r, err
	}
	r.Active, r.Modified, r.Since = active != 0, fromInstant(modified), fromInstant(since)
	return r, json.Unmarshal([]byte(values), &r.Values)
}

// Directory returns what is known of the reads of a SCIM directory: its people are records.
func (l *Ledger) Directory(ctx context.Context, org, directory string) (Source, error) {
	s, err := l.reads.replica(ctx, org, replicaDirectory, directory)
	return s, reading(err, "SCIM directory "+directory, org)
}

// BeginDirectoryRead begins a read of a SCIM directory and returns its number. Any other read in progress is over.
func (l *Ledger) BeginDirectoryRead(ctx context.Context, org, directory string, now time.Time) (read int64,
	err error) {
	return l.beginRead(ctx, org, replicaDirectory, directory, now)
}

// RecordDigests is SourceDigests for the records of a directory.
func (l *Ledger) RecordDigests(ctx context.Context, org, directory string) (map[string]string, error) {
	all, err := l.digests(ctx, `SELECT id, digest FROM records WHERE org = ? AND directory = ? AND state = 'present'`,
		org, directory)
	return all, reading(err, "the digests of the records of directory "+directory, org)
}

// SaveRecords stores records that a read showed and that are new, or whose digest is another than before; with read 0,
// records that were just written or looked up. ErrSuperseded: the read is not in progress.
func (l *Ledger) SaveRecords(ctx context.Context, org, directory string, read int64, records []Record,
	now time.Time) error {
	now = orNow(now)
	return l.write(ctx, org, "save records of directory "+directory, func(w *write) error {
		if _, err := w.progress(ctx, replicaDirectory, directory, read); err != nil {
			return err
		}
		var rows [][]any
		saved := map[string]bool{}
		for _, r := range slices.Backward(records) { // of the same one twice, the last counts
			if r.ID = clean(r.ID); saved[r.ID] {
				continue
			}
			saved[r.ID] = true
			rows = append(rows, []any{org, directory, r.ID, r.Account, r.External, flag(r.Active), r.Address,
				access.FoldAddress(r.Address), text(r.Values), instant(r.Modified), r.Digest, instant(now)})
		}
		return w.execRows(ctx, `INSERT INTO records (org, directory, id, account, external_id, active, address,
			address_key, attributes, modified, digest, since, state) VALUES`, marks(12)+", 'present'",
			`ON CONFLICT (org, directory, id) DO UPDATE SET account = excluded.account,
			external_id = excluded.external_id, active = excluded.active, address = excluded.address,
			address_key = excluded.address_key, attributes = excluded.attributes, modified = excluded.modified,
			digest = excluded.digest, missing_read = 0, state = excluded.state,
			since = CASE WHEN records.state = 'present' THEN records.since ELSE excluded.since END`, rows)
	})
}

// EndDirectoryRead is EndSourceRead for a directory: MissingPeople are the ids of records that it did not show.
func (l *Ledger) EndDirectoryRead(ctx context.Context, org, directory string, read int64, end End,
	now time.Time) error {
	return l.endRead(ctx, org, replicaDirectory, directory, read, end, func(w *write) error {
		return w.markMissing(ctx, `UPDATE records SET state = 'missing', since = ?, missing_read = ?
			WHERE state = 'present' AND `, "org, directory", "id", directory, end.MissingPeople, orNow(now), read)
	}, now)
}

// FailDirectoryRead is FailSourceRead for a directory.
func (l *Ledger) FailDirectoryRead(ctx context.Context, org, directory string, read int64, kind, problem string,
	now time.Time) error {
	return l.failRead(ctx, org, replicaDirectory, directory, read, kind, problem, now)
}

// MissingRecords is MissingIdentities for the records of a directory, by id.
func (l *Ledger) MissingRecords(ctx context.Context, org, directory string, before time.Time, after string,
	limit int) ([]Record, error) {
	s, err := l.reads.replica(ctx, org, replicaDirectory, directory)
	if err != nil || s.Suspect != "" {
		return nil, reading(err, "SCIM directory "+directory, org)
	}
	all, err := collect(ctx, l.reads, scanRecord, selectRecord+` WHERE org = ? AND directory = ? AND state = 'missing'
		AND id > ? AND missing_read < ? AND since <= ? ORDER BY id LIMIT ?`, org, directory, after, s.Read,
		instant(before), atMost(limit))
	return all, reading(err, "which records are missing from directory "+directory, org)
}

// RecordGone records that a look-up, or a deletion of Castellan's own, says that there is no such record any more.
func (l *Ledger) RecordGone(ctx context.Context, org, directory, id string, now time.Time) error {
	return l.write(ctx, org, "note that record "+id+" is gone", func(w *write) error {
		_, err := w.exec(ctx, `UPDATE records SET state = 'gone', since = ? WHERE org = ? AND directory = ? AND id = ?
			AND state <> 'gone'`, instant(orNow(now)), org, directory, id)
		return err
	})
}

// Records returns at most limit records (1,000 for 0) of a directory that are not gone, by id. after is the last id of
// the page before.
func (l *Ledger) Records(ctx context.Context, org, directory, after string, limit int) ([]Record, error) {
	all, err := collect(ctx, l.reads, scanRecord, selectRecord+` WHERE org = ? AND directory = ? AND id > ?
		AND state <> 'gone' ORDER BY id LIMIT ?`, org, directory, after, atMost(limit))
	return all, reading(err, "the records of directory "+directory, org)
}

// RecordQuery selects records that any of these hold for.
type RecordQuery struct {
	IDs, Accounts, Externals []string
	Addresses                []string // in any form
}

// FindRecords returns the records of a directory, by id, that are not gone and that the query selects.
func (l *Ledger) FindRecords(ctx context.Context, org, directory string, q RecordQuery) ([]Record, error) {
	found := map[string]bool{}
	var all []Record
	folded := make([]string, len(q.Addresses))
	for n, a := range q.Addresses {
		folded[n] = access.FoldAddress(a)
	}
	for _, by := range []struct {
		column string
		values []string
	}{{"id", q.IDs}, {"account", q.Accounts}, {"external_id", q.Externals}, {"address_key", folded}} {
		values := slices.DeleteFunc(slices.Clone(by.values), func(v string) bool { return v == "" })
		for _, some := range chunks(values) {
			where, args := among("org, directory", by.column, some, org, directory)
			records, err := collect(ctx, l.reads, scanRecord, selectRecord+` WHERE state <> 'gone' AND `+where, args...)
			if err != nil {
				return nil, reading(err, "records of directory "+directory, org)
			}
			for _, r := range records {
				if !found[r.ID] {
					found[r.ID], all = true, append(all, r)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// RecordAddresses returns the addresses of the records that accounts are linked to, in any directory, by account ID.
// Whether the accounts have them too is not known.
func (l *Ledger) RecordAddresses(ctx context.Context, org string, accounts []string) (map[string]string, error) {
	addresses := make(map[string]string, len(accounts))
	for _, some := range chunks(accounts) {
		where, args := among("org", "account", some, org)
		if err := l.reads.each(ctx, func(row scanner) error {
			var account, address string
			err := row.Scan(&account, &address)
			addresses[account] = address
			return err
		}, `SELECT account, address FROM records WHERE address <> '' AND state <> 'gone' AND `+where,
			args...); err != nil {
			return nil, reading(err, "the addresses of records", org)
		}
	}
	return addresses, nil
}

// RecordCounts returns how many records of a directory there are, by state.
func (l *Ledger) RecordCounts(ctx context.Context, org, directory string) (map[string]int, error) {
	counts, err := l.counts(ctx, `SELECT state, COUNT(*) FROM records WHERE org = ? AND directory = ? AND `+eachState+`
		GROUP BY state`, org, directory)
	return counts, reading(err, "how many records directory "+directory+" has", org)
}

func (l *Ledger) counts(ctx context.Context, query string, args ...any) (map[string]int, error) {
	counts := map[string]int{}
	err := l.reads.each(ctx, func(row scanner) error {
		var of string
		var n int
		err := row.Scan(&of, &n)
		counts[of] = n
		return err
	}, query, args...)
	return counts, err
}
