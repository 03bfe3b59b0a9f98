package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// recordedTable is a table whose rows are covered by the chain: whatever writes to it announces that by [write.touch],
// and at the end of the transaction an entry of kind [EntryRows] contains each row's hash. A row that something else
// wrote, or restored, then differs from the last entry about it.
type recordedTable struct {
	name    string
	key     []string // the rest of its primary key, after org
	number  []bool   // which of them are numbers
	columns []string // the others that the chain covers
	later   []string // columns added later: covered where they are neither empty nor 0, so that old hashes stay right
	derived string   // a column computed from these, for an index; "": none
	derive  func(columns []string) string
	only    string // a condition on the rows that are recorded; "": all
	review  string // the key's column with a review; "": its rows belong to no review
	since   int    // the first version of the record (recordVersion) that has the table
}

// recordedTables are all tables that are decided or acted on. All others are read again from Atlassian, or computed
// again by every run, or prove themselves: a policy's key is the hash of its text.
var recordedTables = []*recordedTable{
	tableOrganizations, tableServed, tableHolds, tableRules, tableGrants, tableHoldings, tableReviews, tableItems,
	tableEvents, tableRulings, tablePolicyNames,
	tableRemovalEvents, tableBindings, tablePosted, tablePushed,
	tableGroupLinks, tableGroupConflicts, tableGroupAccepted,
	tableMarks, tableSuspensions, tableRejections, tableCounts, tableTasks, tableNames, tableLinks, tableGroups,
	tableSyncedGroups,
}

// recordVersion is the version of the record: it grows whenever tables are added to those above. See [write.recordOld].
const recordVersion = 4

var (
	tableOrganizations = &recordedTable{name: "organizations",
		columns: []string{"org_id", "directory", "policy", "policy_at", "adopted_at"}}
	tableServed = &recordedTable{name: "served", key: []string{"id"}, number: []bool{false},
		columns: []string{"since"}}
	tableHolds = &recordedTable{name: "holds", key: []string{"number"}, number: []bool{true},
		columns: []string{"plan", "run", "adds", "removals", "adopts", "people", "rules", "changed", "opened",
			"decided", "decision", "by_whom", "note"},
		later: []string{"lane", "updates"}}
	tableRules = &recordedTable{name: "rules", key: []string{"rule"}, number: []bool{false},
		columns: []string{"name", "seen", "lines", "seen_at", "seen_run", "released", "by_whom"}}
	tableGrants = &recordedTable{name: "grants", key: []string{"id"}, number: []bool{false},
		columns: []string{"person", "target", "person_key", "state", "settled", "requested", "since", "until",
			"taken", "body"}}
	tableHoldings = &recordedTable{name: "holdings", key: []string{"person", "target", "since"},
		number:  []bool{false, false, true},
		columns: []string{"until", "group_id", "owned", "reasons", "run"},
		derived: "granted", derive: func(columns []string) string { return hasGrant(columns[3]) }}
	tableReviews = &recordedTable{name: "reviews", key: []string{"id"}, number: []bool{false}, review: "id",
		columns: []string{"campaign", "state", "stage", "opened", "events", "body"}}
	tableItems = &recordedTable{name: "review_items", key: []string{"review", "person", "target"},
		number: []bool{false, false, false}, review: "review",
		columns: []string{"n", "risk", "stage", "spoke", "version", "verdict", "outcome", "facts", "said", "result"},
		only:    "n > 0"} // before that they are being collected, and nobody is asked
	tableEvents = &recordedTable{name: "review_events", key: []string{"review", "seq"}, number: []bool{false, true},
		review: "review",
		columns: []string{"at", "kind", "by_whom", "via", "n", "stage", "verdict", "bulk", "to_whom", "body",
			"by_email", "to_email"}}
	tableRulings = &recordedTable{name: "rulings", key: []string{"person", "target", "review"},
		number: []bool{false, false, false}, review: "review",
		columns: []string{"verdict", "at", "until"}}
	tablePolicyNames = &recordedTable{name: "policy_names", key: []string{"name"}, number: []bool{false},
		columns: []string{"account", "since", "gone"}, only: "trial = 0"} // a preview affects nobody
	tableRemovalEvents = &recordedTable{name: "removal_events", key: []string{"person", "what"},
		number: []bool{false, false}, since: 2,
		columns: []string{"at", "action"}}
	tableBindings = &recordedTable{name: "bindings", key: []string{"provision", "source", "key"},
		number: []bool{false, false, false}, since: 3,
		columns: []string{"bound", "account", "since", "by_whom"}}
	tableGroupLinks = &recordedTable{name: "group_links", key: []string{"source", "key"}, number: []bool{false, false},
		since: 4, columns: []string{"name", "group_id", "since", "by_whom"}}
	tableGroupConflicts = &recordedTable{name: "group_conflicts", key: []string{"source", "key", "group_id"},
		number: []bool{false, false, false}, since: 4,
		columns: []string{"hash", "decision", "by_whom", "note", "decided"}, only: "decision <> ''"}
	tableGroupAccepted = &recordedTable{name: "group_accepted", key: []string{"person", "group_id"},
		number: []bool{false, false}, since: 4, columns: []string{"hash", "since"}}
	tableSyncedGroups = &recordedTable{name: "synced_groups", key: []string{"provision", "source", "key"},
		number: []bool{false, false, false}, since: 4,
		columns: []string{"source_name", "bound", "name", "former", "former_name", "since", "by_whom"}}
	tablePosted = &recordedTable{name: "posted", key: []string{"source", "key"}, number: []bool{false, false}, since: 4,
		columns: []string{"at", "message", "digest"}}
	tablePushed = &recordedTable{name: "pushed", key: []string{"source", "kind", "id"},
		number: []bool{false, false, false}, since: 4,
		columns: []string{"name", "external", "body", "created", "modified"}}
	tableMarks = &recordedTable{name: "marks", key: []string{"person", "rule"}, number: []bool{false, false}, since: 2,
		columns: []string{"since", "told"}}
	tableSuspensions = &recordedTable{name: "suspensions", key: []string{"person"}, number: []bool{false}, since: 2,
		columns: []string{"since", "run", "reasons"}}
	tableRejections = &recordedTable{name: "rejections", key: []string{"person", "target", "action"},
		number: []bool{false, false, false},
		since:  2, columns: []string{"group_id", "reasons", "sources", "loses", "held_by", "answer", "at"},
		later: []string{"edits"}}
	tableCounts = &recordedTable{name: "source_counts", key: []string{"group_id"}, number: []bool{false}, since: 2,
		columns: []string{"name", "users", "suspect"}}
	tableTasks = &recordedTable{name: "review_tasks", key: []string{"review", "stage", "reviewer", "n"},
		number: []bool{false, true, false, true}, review: "review", since: 2,
		columns: []string{"role", "since", "verdict"}}
	tableNames = &recordedTable{name: "review_names", key: []string{"review", "written"}, number: []bool{false, false},
		review: "review",
		since:  2, columns: []string{"account"}}
	tableLinks = &recordedTable{name: "review_links", key: []string{"id"}, number: []bool{false}, since: 2,
		columns: []string{"review", "reviewer", "expires", "revoked"}}
	tableGroups = &recordedTable{name: "group_records", key: []string{"id"}, number: []bool{false}, since: 4,
		columns: []string{"name", "synced", "directory", "scim_id", "roles", "members", "doubted", "lost", "settled",
			"outcome", "by_whom"}}
)

func recordedTableOf(name string) *recordedTable {
	for _, t := range recordedTables {
		if t.name == name {
			return t
		}
	}
	return nil
}

// rowID identifies a row in one text, to compare.
type rowID struct {
	table *recordedTable
	key   string // the key's columns, as they stand in entries
}

// storedRow is a row as it is in its table.
type storedRow struct {
	key   []string
	hash  string // over all of it that is recorded
	entry int64
}

// touchedRow is a row that this transaction may change.
type touchedRow struct {
	key     []string
	was     string // its hash before; "": it did not exist, or was not recorded
	entry   int64  // the entry that it referred to
	doubted bool   // it differed from the chain's last entry about it
}

// Markers in entries besides the hash of a row.
const (
	rowGone    = "-" // it was deleted
	rowDoubted = "!" // before the hash: the chain did not explain what it was written over
)

// rowsAtOnce is how many rows one statement reads, and one entry lists.
const rowsAtOnce = 500

// touch announces the rows of a table that the transaction is about to write, by their keys after org; give numbers as
// int, int64 or their text. It must come before the statement that writes them, and returns an error if the chain does
// not explain one as it is, or its absence: nothing builds upon what something else wrote.
func (w *write) touch(ctx context.Context, t *recordedTable, keys ...[]any) error {
	doubted, err := w.compare(ctx, t, keys)
	if err != nil || len(doubted) == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", strings.Join(append([]string{t.name}, doubted[0]...), " "), ErrUnexplained)
}

// touchDoubted is touch for writes that must go on whatever was forged. The doubt stays: no entry ever explains what is
// written over an unexplained row.
func (w *write) touchDoubted(ctx context.Context, t *recordedTable, keys ...[]any) error {
	_, err := w.compare(ctx, t, keys)
	return err
}

// forget is touch for what can be found out or decided again: the rows that the chain does not explain are deleted, and
// recorded as gone.
func (w *write) forget(ctx context.Context, t *recordedTable, keys ...[]any) error {
	doubted, err := w.compare(ctx, t, keys)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(doubted, rowsAtOnce) {
		where, args := t.whereKeys(w.org, some)
		if _, err := w.exec(ctx, `DELETE FROM `+t.name+` WHERE `+where, args...); err != nil {
			return err
		}
		gone := make([]entryRow, len(some))
		for i, key := range some {
			gone[i] = entryRow{t, key, rowGone}
			delete(w.touched[t], strings.Join(key, "\x00"))
		}
		if err := w.appendRows(ctx, gone, false); err != nil {
			return err
		}
	}
	return w.touch(ctx, t, keys...)
}

// compare is doubts for rows that are about to be written.
func (w *write) compare(ctx context.Context, t *recordedTable, keys [][]any) (doubted [][]string, err error) {
	if w.touched[t] == nil {
		w.touched[t] = map[string]touchedRow{}
	}
	return w.look(ctx, t, keys, func(id string, row touchedRow) { w.touched[t][id] = row })
}

// doubts returns the keys of rows that differ from the chain's last entry about them, as they are or were before the
// transaction.
func (w *write) doubts(ctx context.Context, t *recordedTable, keys [][]any) (doubted [][]string, err error) {
	return w.look(ctx, t, keys, func(string, touchedRow) {})
}

func (w *write) look(ctx context.Context, t *recordedTable, keys [][]any,
	note func(id string, row touchedRow)) (doubted [][]string, err error) {
	if err := w.catchUp(ctx); err != nil {
		return nil, err
	}
	fresh := map[string][]string{}
	for _, key := range keys {
		texts := make([]string, len(key))
		for i, part := range key {
			texts[i] = clean(fmt.Sprint(part))
		}
		id := strings.Join(texts, "\x00")
		if was, known := w.touched[t][id]; !known {
			fresh[id] = texts
		} else if was.doubted {
			doubted = append(doubted, texts)
		}
	}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(fresh)), rowsAtOnce) {
		wanted := make([][]string, len(some))
		for i, id := range some {
			wanted[i] = fresh[id]
		}
		rows, err := t.read(ctx, w.database, w.org, wanted)
		if err != nil {
			return nil, err
		}
		for i, id := range some {
			row := touchedRow{key: wanted[i], was: rows[id].hash, entry: rows[id].entry}
			if row.doubted = sumOf(row.was) != w.last(t, row.key); row.doubted {
				doubted = append(doubted, row.key)
			}
			note(id, row)
		}
	}
	return doubted, nil
}

// touchWhere is touch for all rows of the organization that match a condition.
func (w *write) touchWhere(ctx context.Context, t *recordedTable, condition string, args ...any) error {
	keys, err := t.keysWhere(ctx, w.database, w.org, condition, args...)
	if err != nil {
		return err
	}
	return w.touch(ctx, t, keys...)
}

func (w *write) touchDoubtedWhere(ctx context.Context, t *recordedTable, condition string, args ...any) error {
	keys, err := t.keysWhere(ctx, w.database, w.org, condition, args...)
	if err != nil {
		return err
	}
	return w.touchDoubted(ctx, t, keys...)
}

func (w *write) forgetWhere(ctx context.Context, t *recordedTable, condition string, args ...any) error {
	keys, err := t.keysWhere(ctx, w.database, w.org, condition, args...)
	if err != nil {
		return err
	}
	return w.forget(ctx, t, keys...)
}

func (t *recordedTable) keysWhere(ctx context.Context, d database, org, condition string,
	args ...any) ([][]any, error) {
	return collect(ctx, d, func(row scanner) ([]any, error) {
		texts, into := make([]string, len(t.key)), make([]any, len(t.key))
		for i := range texts {
			into[i] = &texts[i]
		}
		err := row.Scan(into...)
		key := make([]any, len(texts))
		for i, text := range texts {
			key[i] = text
		}
		return key, err
	}, `SELECT `+strings.Join(t.key, ", ")+` FROM `+t.name+` WHERE org = ? AND `+condition,
		append([]any{org}, args...)...)
}

// recordRows adds to the chain how the touched rows are now. It is the last step of a transaction.
func (w *write) recordRows(ctx context.Context) error {
	var changed []entryRow
	for _, t := range recordedTables {
		touched := w.touched[t]
		delete(w.touched, t)
		for some := range slices.Chunk(slices.Sorted(maps.Keys(touched)), rowsAtOnce) {
			wanted := make([][]string, len(some))
			for i, id := range some {
				wanted[i] = touched[id].key
			}
			rows, err := t.read(ctx, w.database, w.org, wanted)
			if err != nil {
				return fmt.Errorf("record the rows of %s: %w", t.name, err)
			}
			for _, id := range some {
				hash, was := rows[id].hash, touched[id]
				switch {
				case hash == was.was: // nothing recorded was changed; what is doubted stays as it is
					if rows[id].entry != was.entry && !was.doubted { // deleted, and written again unchanged
						if err := w.mark(ctx, t, was.entry, was.key); err != nil {
							return err
						}
					}
					continue
				case hash == "":
					hash = rowGone
				case was.doubted:
					hash = rowDoubted + hash
				}
				changed = append(changed, entryRow{t, was.key, hash})
			}
		}
	}
	return w.appendRows(ctx, changed, false)
}

// appendRows adds entries about rows, and stores their numbers in the rows that exist.
func (w *write) appendRows(ctx context.Context, all []entryRow, before bool) error {
	for some := range slices.Chunk(all, rowsAtOnce) {
		e := rowsEntry{Version: recordVersion, Before: before}
		marked := map[*recordedTable][][]string{}
		for _, s := range some {
			e.Rows = append(e.Rows, s.item())
			w.said[keyOf(s.table, s.key)] = sumOf(s.hash)
			if s.hash != rowGone {
				marked[s.table] = append(marked[s.table], s.key)
			}
		}
		if err := w.append(ctx, Entry{At: orNow(w.at), Kind: EntryRows, Body: body(e)}); err != nil {
			return err
		}
		for t, keys := range marked {
			if err := w.mark(ctx, t, w.seq, keys...); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark stores an entry's number in rows.
func (w *write) mark(ctx context.Context, t *recordedTable, entry int64, keys ...[]string) error {
	where, args := t.whereKeys(w.org, keys)
	_, err := w.exec(ctx, `UPDATE `+t.name+` SET entry = ? WHERE `+where, append([]any{entry}, args...)...)
	return err
}

// item returns a row as in an entry: the table, the key, the hash. What may be an address is hashed there too, since
// nobody can be erased from the chain.
func (s entryRow) item() []string {
	item := []string{s.table.name}
	for _, part := range s.key {
		item = append(item, keyPart(part))
	}
	return append(item, s.hash)
}

func keyPart(part string) string {
	if !access.IsAddress(part) {
		return part
	}
	return hiddenKey + digest(part)
}

// hiddenKey begins a part of a key that is hashed in the chain.
const hiddenKey = "#"

// entryKey returns a row's key as in an entry.
func entryKey(key []string) string {
	parts := make([]string, len(key))
	for i, part := range key {
		parts[i] = keyPart(part)
	}
	return strings.Join(parts, "\x00")
}

// read reads rows by their keys. One that is not recorded has no hash.
func (t *recordedTable) read(ctx context.Context, d database, org string, keys [][]string) (map[string]storedRow,
	error) {
	rows := make(map[string]storedRow, len(keys))
	where, args := t.whereKeys(org, keys)
	err := d.each(ctx, func(row scanner) error {
		r, err := t.scan(row)
		rows[strings.Join(r.key, "\x00")] = r
		return err
	}, t.selectRows()+` WHERE `+where, args...)
	return rows, err
}

func (t *recordedTable) selectRows() string {
	only := "1"
	if t.only != "" {
		only = "CASE WHEN " + t.only + " THEN 1 ELSE 0 END"
	}
	derived := "''"
	if t.derived != "" {
		derived = t.derived
	}
	return `SELECT ` + strings.Join(slices.Concat(t.key, t.columns, t.later, []string{derived, "entry", only}), ", ") +
		` FROM ` + t.name
}

// page reads the next recorded rows, by key; only is a further condition.
func (t *recordedTable) page(ctx context.Context, d database, org string, after []string, only string,
	values ...any) ([]storedRow, error) {
	query, args := t.selectRows()+` WHERE org = ?`+only, append([]any{org}, values...)
	if t.only != "" {
		query += ` AND ` + t.only
	}
	if after != nil {
		_, key := t.whereKeys(org, [][]string{after})
		query, args = query+` AND (`+strings.Join(t.key, ", ")+`) > (`+marks(len(t.key))+`)`, append(args, key[1:]...)
	}
	if len(t.key) > 0 {
		query += ` ORDER BY ` + strings.Join(t.key, ", ")
	}
	return collect(ctx, d, t.scan, query+` LIMIT ?`, append(args, rowsAtOnce)...)
}

func (t *recordedTable) scan(row scanner) (r storedRow, err error) {
	all := make([]string, len(t.key)+len(t.columns)+len(t.later))
	var derived string
	var recorded int
	into := make([]any, 0, len(all)+3)
	for i := range all {
		into = append(into, &all[i])
	}
	if err := row.Scan(append(into, &derived, &r.entry, &recorded)...); err != nil {
		return r, err
	}
	first := len(t.key) + len(t.columns)
	values := all[:first:first]
	for i, column := range t.later {
		if value := all[first+i]; value != "" && value != "0" {
			values = append(values, column+"="+value)
		}
	}
	r.key = values[:len(t.key):len(t.key)]
	if t.derived != "" && derived != t.derive(values[len(t.key):]) {
		values = append(values, derived) // it was changed past the ledger: no entry has that hash
	}
	if recorded == 1 {
		r.hash = digest(append([]string{t.name}, values...)...)
	}
	return r, nil
}

// hasGrant returns 1 if a grant is among stored reasons.
func hasGrant(stored string) string {
	reasons, err := fromList[access.Reason](stored)
	return strconv.Itoa(flag(err == nil && access.HasKind(reasons, access.ReasonGrant)))
}

// whereKeys selects rows by their keys. The lists are of values, for the same reason as in [among].
func (t *recordedTable) whereKeys(org string, keys [][]string) (string, []any) {
	if len(keys) == 0 {
		return "1 = 0", nil
	}
	if len(t.key) == 0 {
		return "org = ?", []any{org}
	}
	row := "(?"
	for _, number := range t.number {
		if number {
			row += ", CAST(? AS BIGINT)"
		} else {
			row += ", ?"
		}
	}
	row += ")"
	args := make([]any, 0, len(keys)*(len(t.key)+1))
	for _, key := range keys {
		args = append(args, org)
		for i, part := range key {
			if t.number[i] {
				n, _ := strconv.ParseInt(part, 10, 64)
				args = append(args, n)
			} else {
				args = append(args, part)
			}
		}
	}
	return "(org, " + strings.Join(t.key, ", ") + ") IN (VALUES " +
		strings.TrimSuffix(strings.Repeat(row+", ", len(keys)), ", ") + ")", args
}

// digest returns 192 bits of the hash of fields.
func digest(fields ...string) string {
	return base64.RawURLEncoding.EncodeToString(hashed(fields...))
}

func hashed(fields ...string) []byte {
	sum := sha256.New()
	for _, field := range fields {
		_, _ = io.WriteString(sum, strconv.Itoa(len(field))+":"+field+"\n")
	}
	return sum.Sum(nil)[:24]
}

// rowsEntry is the body of an entry of kind [EntryRows].
type rowsEntry struct {
	Version int        `json:"v,omitempty"`      // the recordVersion; 0 is 1
	Rows    [][]string `json:"rows"`             // table, key, hash
	Before  bool       `json:"before,omitempty"` // how they were when the ledger began to record rows
}

// entryRow is one row of such an entry.
type entryRow struct {
	table *recordedTable
	key   []string
	hash  string
}

// rowsOf decodes an entry's rows, without those of tables that this version does not know.
func rowsOf(stored string) (all []entryRow, before bool, err error) {
	var e rowsEntry
	if err := json.Unmarshal([]byte(stored), &e); err != nil {
		return nil, false, fmt.Errorf("an entry about rows cannot be read: %w", err)
	}
	for _, item := range e.Rows {
		if len(item) == 0 {
			continue
		}
		if t := recordedTableOf(item[0]); t != nil && len(item) == len(t.key)+2 {
			all = append(all, entryRow{t, item[1 : len(item)-1], item[len(item)-1]})
		}
	}
	return all, e.Before, nil
}

// linked reads entries by number that are in their places in the chain.
func linked(ctx context.Context, d database, org string, numbers []int64) (map[int64]Entry, error) {
	all := map[int64]Entry{}
	args := []any{org}
	for _, n := range numbers {
		args = append(args, n, n+1)
	}
	if err := d.each(ctx, func(row scanner) error {
		e, err := scanEntry(row)
		all[e.Seq] = e
		return err
	}, selectEntry+` WHERE org = ? AND seq IN (`+marks(len(args)-1)+`)`, args...); err != nil {
		return nil, err
	}
	last, hash, err := head(ctx, d, org)
	if err != nil {
		return nil, err
	}
	found := map[int64]Entry{}
	for _, n := range numbers {
		e, there := all[n]
		next, follows := all[n+1]
		if there && e.Sum() == e.Hash && (follows && next.Prev == e.Hash || n == last && e.Hash == hash) {
			found[n] = e
		}
	}
	return found, nil
}
