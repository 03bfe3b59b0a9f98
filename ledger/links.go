package ledger

import (
	"context"
	"encoding/json"
	"slices"
)

// Link is a person of a link batch: what the preview showed, and what became of the person.
type Link struct {
	Source  string
	Key     string
	Address string
	Account string // account id
	Record  string // record id; "": none yet
	Wave    int    // 0: not begun
	Outcome string
	Detail  string
	Shown   json.RawMessage // whatever the caller compares with later
}

// Ref names the person's identity.
func (k Link) Ref() Ref { return Ref{k.Source, k.Key} }

// SaveLinks stores people of a batch in place of what they were. The run is the one whose lines the batch is.
func (l *Ledger) SaveLinks(ctx context.Context, org, batch, run string, links []Link) error {
	return l.write(ctx, org, "save people of batch "+batch, func(w *write) error {
		var rows [][]any
		saved := map[Ref]bool{}
		for _, k := range slices.Backward(links) { // of the same one twice, the last counts
			r := Ref{clean(k.Source), clean(k.Key)}
			if saved[r] {
				continue
			}
			saved[r] = true
			rows = append(rows, []any{org, batch, r.Source, r.Key, run, k.Address, k.Account, k.Record, k.Wave,
				k.Outcome, clean(k.Detail), string(k.Shown)})
		}
		return w.execRows(ctx, `INSERT INTO links (org, batch, source, key, run, address, account, record, wave,
			outcome, detail, shown) VALUES`, marks(12), `ON CONFLICT (org, batch, source, key) DO UPDATE SET run = excluded.run,
			address = excluded.address, account = excluded.account, record = excluded.record, wave = excluded.wave,
			outcome = excluded.outcome, detail = excluded.detail, shown = excluded.shown`, rows)
	})
}

// BeginLinks forgets the people that earlier runs of a batch had.
func (l *Ledger) BeginLinks(ctx context.Context, org, batch, run string) error {
	return l.write(ctx, org, "begin batch "+batch, func(w *write) error {
		_, err := w.exec(ctx, `DELETE FROM links WHERE org = ? AND batch = ? AND run <> ?`, org, batch, run)
		return err
	})
}

// Links returns at most limit people (1,000 for 0) of a batch with an outcome ("": with any), by source and key. after
// is the last one of the page before.
func (l *Ledger) Links(ctx context.Context, org, batch, outcome string, after Ref, limit int) ([]Link, error) {
	query, args := selectLink+` WHERE org = ? AND batch = ?`, []any{org, batch}
	if outcome != "" {
		query, args = query+` AND outcome = ?`, append(args, outcome)
	}
	all, err := collect(ctx, l.reads, scanLink, query+` AND (source, key) > (?, ?) ORDER BY source, key LIMIT ?`,
		append(args, after.Source, after.Key, atMost(limit))...)
	return all, reading(err, "the people of batch "+batch, org)
}

// LinksOf returns some people of a batch.
func (l *Ledger) LinksOf(ctx context.Context, org, batch string, refs []Ref) (all []Link, err error) {
	for _, some := range chunks(refs) {
		rows := make([][]any, len(some))
		for n, r := range some {
			rows[n] = []any{org, batch, r.Source, r.Key}
		}
		where, args := amongRows("org, batch, source, key", rows)
		found, err := collect(ctx, l.reads, scanLink, selectLink+` WHERE `+where, args...)
		if err != nil {
			return nil, reading(err, "people of batch "+batch, org)
		}
		all = append(all, found...)
	}
	return all, nil
}

const selectLink = `SELECT source, key, address, account, record, wave, outcome, detail, shown FROM links`

func scanLink(row scanner) (k Link, err error) {
	var shown string
	err = row.Scan(&k.Source, &k.Key, &k.Address, &k.Account, &k.Record, &k.Wave, &k.Outcome, &k.Detail, &shown)
	k.Shown = json.RawMessage(shown)
	return k, err
}

// LinkCounts returns how many people of a batch there are, by outcome.
func (l *Ledger) LinkCounts(ctx context.Context, org, batch string) (map[string]int, error) {
	counts, err := l.counts(ctx, `SELECT outcome, COUNT(*) FROM links WHERE org = ? AND batch = ? GROUP BY outcome`, org,
		batch)
	return counts, reading(err, "the people of batch "+batch, org)
}

// Unrecorded returns how many active managed accounts have no record in a SCIM directory.
func (l *Ledger) Unrecorded(ctx context.Context, org, directory string) (n int, err error) {
	n, err = first(ctx, l.reads, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM people p WHERE p.org = ? AND p.claim_status = 'managed' AND p.account_status = 'active'
		AND p.account_type IN ('', 'atlassian') AND p.missing = 0 AND NOT EXISTS (SELECT 1 FROM records r
		WHERE r.org = p.org AND r.directory = ? AND r.account = p.id AND r.state <> 'gone')`, org, directory)
	return n, reading(err, "accounts without a record in directory "+directory, org)
}
