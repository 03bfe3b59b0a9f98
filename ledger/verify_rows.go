package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// RowsCheck is the result of VerifyRows.
type RowsCheck struct {
	Rows        int64 // that the chain has entries about
	Before      int64 // of these, as they were when the ledger began to record rows: the chain has no more about them
	Unexplained int64
	First       []Unexplained // the first 100 that no entry explains
}

// Unexplained is a row of the ledger that differs from the chain.
type Unexplained struct {
	Table string `json:"table"`
	Key   string `json:"key"` // the rest of its primary key, after the organization
	Why   string `json:"why"`
}

func (u Unexplained) String() string { return u.Table + " " + u.Key + ": " + u.Why }

// mostNamed is how many rows are named.
const mostNamed = 100

func (c *RowsCheck) name(t *recordedTable, key []string, why string, args ...any) {
	c.Unexplained++
	if len(c.First) < mostNamed {
		c.First = append(c.First, Unexplained{t.name, strings.Join(key, " "), fmt.Sprintf(why, args...)})
	}
}

// VerifyRows compares the tables with the chain: each row with an entry must be as the last such entry says, and each
// row must have one. It does not check the chain itself: see [Ledger.VerifyChain]. Memory is bounded except for the
// keys of rows that were deleted, or that contain an address. Beat is called regularly with the number of the last
// entry read.
func (l *Ledger) VerifyRows(ctx context.Context, org string, beat func(seq int64)) (RowsCheck, error) {
	return l.verifyRows(ctx, org, "", beat)
}

// VerifyReview is VerifyRows for the rows of one review: itself, its items, its log and its rulings.
func (l *Ledger) VerifyReview(ctx context.Context, org, review string, beat func(seq int64)) (RowsCheck, error) {
	return l.verifyRows(ctx, org, review, beat)
}

func (l *Ledger) verifyRows(ctx context.Context, org, review string, beat func(seq int64)) (RowsCheck, error) {
	v := rowsVerifier{database: l.reads, org: org, review: review, beat: beat, known: map[*recordedTable]int64{},
		missing: map[rowID]missingRow{}, hidden: map[rowID]hiddenRow{}}
	err := v.verify(ctx)
	return v.check, reading(err, "the rows to check them", org)
}

// ReviewExplained reports whether a review's own row matches the chain.
func (l *Ledger) ReviewExplained(ctx context.Context, org, review string) (bool, error) {
	said, err := l.explainedRows(ctx, org, tableReviews, [][]string{{review}})
	return said[review], reading(err, "what the chain says of review "+review, org)
}

// UnexplainedItems returns which of a review's items, by number, differ from the chain: the decisions on them are
// unknown.
func (l *Ledger) UnexplainedItems(ctx context.Context, org, review string, items []access.Item) (map[int]bool, error) {
	keys := make([][]string, len(items))
	for n, i := range items {
		keys[n] = []string{review, i.Person, string(i.Target)}
	}
	explained, err := l.explainedRows(ctx, org, tableItems, keys)
	unexplained := map[int]bool{}
	for n, i := range items {
		if err == nil && !explained[strings.Join(keys[n], "\x00")] {
			unexplained[i.N] = true
		}
	}
	return unexplained, reading(err, "what the chain says of the items of review "+review, org)
}

type rowsVerifier struct {
	database
	org     string
	review  string // only this one; "": all rows
	beat    func(seq int64)
	check   RowsCheck
	known   map[*recordedTable]int64 // rows that were found, explained or not
	missing map[rowID]missingRow     // rows with an entry that do not exist, unless a later one says so
	hidden  map[rowID]hiddenRow      // rows whose keys are hashed in the chain
	after   int64
}

// hiddenRow is the last entry about a row that cannot be looked up by its key.
type hiddenRow struct {
	numberedRow
	found bool
}

type missingRow struct {
	key []string
	seq int64
}

// numberedRow is a row in an entry.
type numberedRow struct {
	entryRow
	seq    int64
	before bool
}

func (v *rowsVerifier) verify(ctx context.Context) error {
	if err := v.entries(ctx); err != nil {
		return err
	}
	reached := v.after
	for _, t := range recordedTables {
		if v.review != "" && t.review == "" {
			continue
		}
		count, err := v.count(ctx, t)
		if err != nil {
			return err
		}
		if count != v.known[t] { // some row has no entry, or something was written meanwhile
			if err := v.unlistedRows(ctx, t); err != nil {
				return err
			}
		}
	}
	if err := v.entries(ctx); err != nil { // for what was deleted meanwhile
		return err
	}
	if v.review == "" {
		if err := v.policies(ctx); err != nil {
			return err
		}
		if err := v.lines(ctx); err != nil {
			return err
		}
	}
	for id, h := range v.hidden {
		if !h.found && h.hash != rowGone && h.seq <= reached {
			v.missing[id] = missingRow{h.key, h.seq}
		}
	}
	for id, m := range v.missing {
		v.check.name(id.table, m.key, "entry %d says how it is, and it is not there", m.seq)
	}
	slices.SortFunc(v.check.First, func(a, b Unexplained) int { return strings.Compare(a.String(), b.String()) })
	return nil
}

// policies checks that the texts of policies have their hashes, and that the one in force exists: its hash is covered
// by the organization's own row.
func (v *rowsVerifier) policies(ctx context.Context) error {
	texts := map[string]bool{}
	err := v.each(ctx, func(row scanner) error {
		var hash, body string
		if err := row.Scan(&hash, &body); err != nil {
			return err
		}
		texts[hash] = true
		sum := sha256.Sum256([]byte(body))
		if is := "sha256:" + hex.EncodeToString(sum[:]); len(hash) == len(is) && hash != is {
			v.check.name(&recordedTable{name: "policies"}, []string{hash},
				"its text hashes to %s: it was changed past the ledger", is)
		}
		return nil
	}, `SELECT hash, body FROM policies WHERE org = ?`, v.org)
	if err != nil {
		return err
	}
	o, err := first(ctx, v.database, scanOrganization, selectOrganization+` WHERE org = ?`, v.org)
	if err == nil && !texts[o.Policy] {
		v.check.name(&recordedTable{name: "policies"}, []string{o.Policy}, "it is in force, and its text is not there")
	}
	if errors.Is(err, ErrNotFound) {
		return nil // which its entry tells
	}
	return err
}

// entries reads the entries that were not read before.
func (v *rowsVerifier) entries(ctx context.Context) error {
	for {
		var some []numberedRow
		read := 0
		err := v.each(ctx, func(row scanner) error {
			var stored string
			if err := row.Scan(&v.after, &stored); err != nil {
				return err
			}
			read++
			said, before, err := rowsOf(stored)
			if err != nil {
				return nil //nolint:nilerr // verifying the chain reports this break; its rows stay unexplained
			}
			for _, s := range said {
				if v.review == "" || s.table.review != "" &&
					s.key[slices.Index(s.table.key, s.table.review)] == v.review {
					some = append(some, numberedRow{s, v.after, before})
				}
			}
			if len(some) >= 4*rowsAtOnce {
				return errStop
			}
			return nil
		}, `SELECT seq, body FROM entries WHERE org = ? AND seq > ? AND kind = ? ORDER BY seq LIMIT ?`, v.org, v.after,
			EntryRows, rowsAtOnce)
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
		if err := v.compare(ctx, some); err != nil {
			return err
		}
		if read == 0 {
			return nil
		}
		v.beat(v.after)
	}
}

// compare compares entries with the rows. Of several entries about a row among these, the last counts.
func (v *rowsVerifier) compare(ctx context.Context, all []numberedRow) error {
	for _, t := range recordedTables {
		last := map[string]numberedRow{}
		var ids []string
		for _, s := range all {
			if s.table == t {
				id := strings.Join(s.key, "\x00")
				if _, twice := last[id]; !twice {
					ids = append(ids, id)
				}
				last[id] = s
			}
		}
		for some := range slices.Chunk(ids, rowsAtOnce) {
			if err := v.compareRows(ctx, t, some, last); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *rowsVerifier) compareRows(ctx context.Context, t *recordedTable, ids []string,
	last map[string]numberedRow) error {
	var keys [][]string
	for _, id := range ids {
		if !strings.Contains("\x00"+id, "\x00"+hiddenKey) {
			keys = append(keys, last[id].key)
		}
	}
	rows, err := t.read(ctx, v.database, v.org, keys)
	if err != nil {
		return err
	}
	for _, id := range ids {
		s := last[id]
		row, there := rows[id]
		switch {
		case strings.Contains("\x00"+id, "\x00"+hiddenKey): // strangers finds its row
			v.hidden[rowID{t, id}] = hiddenRow{numberedRow: s}
		case s.hash == rowGone:
			if delete(v.missing, rowID{t, id}); there && row.hash != "" && row.entry > 0 && row.entry < s.seq {
				v.known[t]++
				v.check.name(t, s.key, "it is as an older entry said (%d), and entry %d says that it is gone",
					row.entry, s.seq)
			}
		case !there:
			v.missing[rowID{t, id}] = missingRow{s.key, s.seq}
		case row.entry > s.seq || row.entry == 0: // a later entry is about it, or none
		case row.entry < s.seq:
			v.known[t]++
			v.check.name(t, s.key, "it is as an older entry said (%d), and entry %d says otherwise", row.entry, s.seq)
		default:
			v.judge(t, s, row)
		}
	}
	return nil
}

// judge compares a row with the entry that it refers to.
func (v *rowsVerifier) judge(t *recordedTable, s numberedRow, row storedRow) {
	v.known[t]++
	hash, doubted := strings.CutPrefix(s.hash, rowDoubted)
	switch {
	case hash != row.hash:
		v.check.name(t, s.key, "it is not as entry %d says: it was changed past the ledger", s.seq)
	case doubted:
		v.check.name(t, s.key, "no entry explained how it was before entry %d, which was written over it", s.seq)
	default:
		v.check.Rows++
		if s.before {
			v.check.Before++
		}
	}
}

func (v *rowsVerifier) count(ctx context.Context, t *recordedTable) (int64, error) {
	return first(ctx, v.database, func(row scanner) (n int64, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM `+t.name+` WHERE org = ?`+t.and()+v.and(t), append([]any{v.org}, v.args()...)...)
}

// and returns the condition on the rows of the one review.
func (v *rowsVerifier) and(t *recordedTable) string {
	if v.review == "" {
		return ""
	}
	return ` AND ` + t.review + ` = ?`
}

func (v *rowsVerifier) args() []any {
	if v.review == "" {
		return nil
	}
	return []any{v.review}
}

func (t *recordedTable) and() string {
	if t.only == "" {
		return ""
	}
	return ` AND ` + t.only
}

// unlistedRows looks through a whole table for rows whose entry is not about them.
func (v *rowsVerifier) unlistedRows(ctx context.Context, t *recordedTable) error {
	var after []string
	for {
		rows, err := t.page(ctx, v.database, v.org, after, v.and(t), v.args()...)
		if err != nil || len(rows) == 0 {
			return err
		}
		said, err := entryRowsOf(ctx, v.database, v.org, t, rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			s, spokenOf := said[strings.Join(r.key, "\x00")]
			hash, doubted := strings.CutPrefix(s.hash, rowDoubted)
			hidden := slices.ContainsFunc(r.key, access.IsAddress)
			id := rowID{t, entryKey(r.key)}
			last := v.hidden[id]
			if hidden && last.seq > 0 {
				last.found = true
				v.hidden[id] = last
			}
			switch {
			case r.entry == 0:
				v.check.name(t, r.key, "no entry of the chain speaks of it")
			case !spokenOf:
				v.check.name(t, r.key, "it names entry %d, which does not speak of it", r.entry)
			case hidden && r.entry < last.seq:
				v.check.name(t, r.key, "it is as an older entry said (%d), and entry %d says otherwise",
					r.entry, last.seq)
			case hidden && (hash != r.hash || doubted):
				v.check.name(t, r.key, "it is not as entry %d says: it was changed past the ledger", r.entry)
			case hidden:
				v.check.Rows++
			}
		}
		if len(t.key) == 0 || len(rows) < rowsAtOnce {
			return nil
		}
		after = rows[len(rows)-1].key
		v.beat(v.after)
	}
}

// entryRowsOf returns what the entries that rows refer to say about them, by key.
func entryRowsOf(ctx context.Context, d database, org string, t *recordedTable, rows []storedRow) (map[string]entryRow,
	error) {
	named := map[int64]bool{}
	wanted := map[string]int64{}
	for _, r := range rows {
		named[r.entry] = true
		wanted[entryKey(r.key)] = r.entry
	}
	byID := map[string]entryRow{}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(named)), rowsAtOnce) {
		args := []any{org, EntryRows}
		for _, n := range some {
			args = append(args, n)
		}
		err := d.each(ctx, func(row scanner) error {
			var seq int64
			var stored string
			if err := row.Scan(&seq, &stored); err != nil {
				return err
			}
			said, _, err := rowsOf(stored)
			if err != nil {
				return nil //nolint:nilerr // as above
			}
			for _, s := range said {
				if id := strings.Join(s.key, "\x00"); s.table == t && wanted[id] == seq {
					byID[id] = s
				}
			}
			return nil
		}, `SELECT seq, body FROM entries WHERE org = ? AND kind = ? AND seq IN (`+marks(len(some))+`)`, args...)
		if err != nil {
			return nil, err
		}
	}
	said := map[string]entryRow{}
	for _, r := range rows {
		if s, there := byID[entryKey(r.key)]; there {
			said[strings.Join(r.key, "\x00")] = s
		}
	}
	return said, nil
}
