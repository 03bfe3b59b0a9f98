package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// The states of an identity in the replica of its source, and of a record in that of its directory.
const (
	StatePresent    = "present"
	StateMissing    = "missing"    // not in the last complete read; until somebody has looked it up, it counts as there
	StateGone       = "gone"       // looked up, and not there any more
	StateOutOfScope = "outOfScope" // looked up, and there, and the source says: outside of what the policy reads
)

// Ref names an identity: a person in a source, by the immutable key.
type Ref struct {
	Source string `json:"source"`
	Key    string `json:"key"`
}

// String returns the name that changes use for a person who has no account yet: "corp:<key>".
func (r Ref) String() string { return r.Source + ":" + r.Key }

// ReadRef reads the form of String; Key is empty if the text is of another form.
func ReadRef(text string) (r Ref) {
	r.Source, r.Key, _ = strings.Cut(text, ":")
	return r
}

// CompareRefs orders by source, then by key.
func CompareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Key, b.Key))
}

// Identity is a person in a source, as it was last shown.
type Identity struct {
	Source     string
	Key        string
	Address    string // as the source's expression for it says
	Enabled    *bool  // nil: the source does not say
	Attributes json.RawMessage
	Digest     string    // of all that the caller compares to know whether it must be saved again
	State      string    // set by the ledger when it is saved
	Since      time.Time // when State and Enabled were last others; set by the ledger
	Account    string    // the id of the account that it is; "": none
	// Unexplained: the chain does not explain what it is bound to, or that it is not; Account is empty, and nothing may
	// be concluded from that.
	Unexplained bool
}

// Ref returns the identity's name.
func (i Identity) Ref() Ref { return Ref{i.Source, i.Key} }

const identityColumns = `i.source, i.key, i.address, i.enabled, i.attributes, i.digest, i.state, i.since`

// accountOf is the account of an identity i. It is no join, so that each is looked up by its whole key, whatever the
// database thinks of the size of tables.
const accountOf = `COALESCE((SELECT b.bound FROM bindings b WHERE b.org = i.org AND b.provision = ''
	AND b.source = i.source AND b.key = i.key), '')`

const selectIdentity = `SELECT ` + identityColumns + `, ` + accountOf + ` FROM identities i`

func scanIdentity(row scanner) (i Identity, err error) {
	var enabled *int
	var attributes string
	var since int64
	err = row.Scan(&i.Source, &i.Key, &i.Address, &enabled, &attributes, &i.Digest, &i.State, &since,
		&i.Account)
	i.Enabled, i.Since = fromMaybe(enabled), fromInstant(since)
	if attributes != "" {
		i.Attributes = json.RawMessage(attributes)
	}
	return i, err
}

// maybe returns what may be unknown as it is stored.
func maybe(b *bool) any {
	if b == nil {
		return nil
	}
	return flag(*b)
}

func fromMaybe(stored *int) *bool {
	if stored == nil {
		return nil
	}
	is := *stored != 0
	return &is
}

func sameMaybe(a, b *bool) bool { return maybe(a) == maybe(b) }

// identities reads identities, and drops accounts that the chain does not explain.
func (l *Ledger) identities(ctx context.Context, org, where string, args ...any) ([]Identity, error) {
	all, err := collect(ctx, l.reads, scanIdentity, selectIdentity+` WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	keys := make([][]string, len(all))
	for n, i := range all {
		keys[n] = bindingKey("", i.Ref())
	}
	unexplained, err := l.unexplainedBindings(ctx, org, keys)
	for n := range all {
		if unexplained[strings.Join(keys[n], "\x00")] {
			all[n].Account, all[n].Unexplained = "", true
		}
	}
	return all, err
}

// SourceDigests returns the digests of the people and groups of a source by their keys, as they were saved last. Those
// that are missing, gone or out of scope are left out, so that they are saved again once they are shown; "" stands for
// a group that must be saved again as well. It takes memory for 100 bytes and the key of each.
func (l *Ledger) SourceDigests(ctx context.Context, org, name string) (people, groups map[string]string, err error) {
	if people, err = l.digests(ctx, `SELECT key, digest FROM identities
		WHERE org = ? AND source = ? AND state = 'present'`, org, name); err == nil {
		groups, err = l.digests(ctx, `SELECT key, digest FROM source_groups
			WHERE org = ? AND source = ? AND missing_read = 0`, org, name)
	}
	return people, groups, reading(err, "the digests of source "+name, org)
}

func (l *Ledger) digests(ctx context.Context, query string, args ...any) (map[string]string, error) {
	all := map[string]string{}
	err := l.reads.each(ctx, func(row scanner) error {
		var key, digest string
		err := row.Scan(&key, &digest)
		all[key] = digest
		return err
	}, query, args...)
	return all, err
}

// SaveIdentities stores people whom a read showed: those that are new, or whose digest is another than before. They
// are present from then on. Read 0 is for somebody who was looked up outside of a read. It returns whom that concerns.
// ErrSuperseded: the read is not in progress.
func (l *Ledger) SaveIdentities(ctx context.Context, org, name string, read int64, people []Identity,
	now time.Time) (touched Touched, err error) {
	now = orNow(now)
	err = l.write(ctx, org, "save people of source "+name, func(w *write) error {
		touched = Touched{}
		s, err := w.progress(ctx, replicaSource, name, read)
		if err != nil {
			return err
		}
		known, err := w.knownIdentities(ctx, name, people)
		if err != nil {
			return err
		}
		var rows [][]any
		var changed []string
		saved := map[string]bool{}
		for _, i := range people {
			i.Source, i.Key = name, clean(i.Key)
			if saved[i.Key] {
				continue // the same row twice in one statement would be an error on PostgreSQL
			}
			saved[i.Key] = true
			since, change := i.after(known[i.Key], now)
			if change {
				changed = append(changed, i.Key)
			}
			rows = append(rows, []any{org, name, i.Key, i.Address, access.FoldAddress(i.Address), maybe(i.Enabled),
				string(i.Attributes), i.Digest, instant(since), int64(flag(change)) * (s.Change + 1)})
		}
		if err := w.execRows(ctx, `INSERT INTO identities (org, source, key, address, address_key, enabled,
			attributes, digest, since, change, state) VALUES`, marks(10)+", 'present'", `ON CONFLICT (org, source, key) DO UPDATE SET
			address = excluded.address, address_key = excluded.address_key, enabled = excluded.enabled,
			attributes = excluded.attributes, digest = excluded.digest,
			since = excluded.since, state = excluded.state, missing_read = 0,
			change = CASE WHEN excluded.change > 0 THEN excluded.change ELSE identities.change END`, rows); err != nil {
			return err
		}
		touched, err = w.touchPeople(ctx, s, changed, true, now)
		return err
	})
	return touched, err
}

// after returns since when the identity is as it is, given how it was, and whether that concerns anybody: who was
// merely missing counted as there.
func (i Identity) after(was Identity, now time.Time) (since time.Time, change bool) {
	since, change = now, true
	if was.State == StatePresent && sameMaybe(i.Enabled, was.Enabled) {
		since = was.Since
	}
	if was.State == StatePresent || was.State == StateMissing {
		change = i.Digest != was.Digest
	}
	return since, change
}

// knownIdentities returns the stored ones of some people, by key, without their attributes.
func (w *write) knownIdentities(ctx context.Context, name string, people []Identity) (map[string]Identity, error) {
	keys := make([]string, len(people))
	for n, i := range people {
		keys[n] = i.Key
	}
	known := make(map[string]Identity, len(people))
	for _, some := range chunks(keys) {
		where, args := among("org, source", "key", some, w.org, name)
		if err := w.each(ctx, func(row scanner) error {
			var i Identity
			var enabled *int
			var since int64
			err := row.Scan(&i.Key, &enabled, &i.Digest, &i.State, &since)
			i.Enabled, i.Since = fromMaybe(enabled), fromInstant(since)
			known[i.Key] = i
			return err
		}, `SELECT key, enabled, digest, state, since FROM identities WHERE `+where, args...); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// BoundIdentity is an identity with the groups of its source that it is in.
type BoundIdentity struct {
	Identity
	Groups []SourceGroupRef
	// Stated is when a source that posts stated all this of them; zero: it did not, or the chain does not explain that
	// it did.
	Stated time.Time
}

// IdentitiesOf returns the identities linked to accounts, by account id. An identity that is gone has no
// groups. One whose binding the chain does not explain is there, with Unexplained set and without its account.
func (l *Ledger) IdentitiesOf(ctx context.Context, org string, accounts []string) (map[string][]BoundIdentity,
	error) {
	all := map[string][]BoundIdentity{}
	for _, some := range chunks(accounts) {
		bound, err := l.reads.boundTo(ctx, org, "", some)
		if err != nil {
			return nil, reading(err, "which identities accounts are", org)
		}
		of, refs := map[Ref]string{}, []Ref{}
		for _, b := range bound {
			of[b.Ref()], refs = b.Account, append(refs, b.Ref())
		}
		found, err := l.Identities(ctx, org, refs)
		if err != nil {
			return nil, err
		}
		for _, i := range found {
			all[of[i.Ref()]] = append(all[of[i.Ref()]], i)
		}
	}
	return all, nil
}

// Identities returns identities by their names, in their order, with their groups.
func (l *Ledger) Identities(ctx context.Context, org string, refs []Ref) ([]BoundIdentity, error) {
	var all []BoundIdentity
	for _, some := range chunks(refs) {
		where, args := amongRefs("i.org, i.source, i.key", org, some)
		found, err := l.identities(ctx, org, where, args...)
		if err == nil {
			var grouped []BoundIdentity
			grouped, err = l.grouped(ctx, org, found)
			all = append(all, grouped...)
		}
		if err != nil {
			return nil, reading(err, "identities", org)
		}
	}
	slices.SortFunc(all, func(a, b BoundIdentity) int { return CompareRefs(a.Ref(), b.Ref()) })
	return all, nil
}

// SourceIdentities returns at most limit identities (1,000 for 0) of a source, by key: those that are an account, those
// that are none, or all for a nil linked. after is the last key of the page before.
func (l *Ledger) SourceIdentities(ctx context.Context, org, source string, linked *bool, after string,
	limit int) ([]Identity, error) {
	where := `i.org = ? AND i.source = ? AND i.key > ?`
	switch {
	case linked == nil:
	case *linked:
		where += ` AND ` + accountOf + ` <> ''`
	default:
		where += ` AND ` + accountOf + ` = ''`
	}
	all, err := l.identities(ctx, org, where+` ORDER BY i.key LIMIT ?`, org, source, after, atMost(limit))
	return all, reading(err, "the identities of source "+source, org)
}

// LinkedCount returns how many identities of a source are linked to an account, and how many are not.
func (l *Ledger) LinkedCount(ctx context.Context, org, source string) (linked, unlinked int, err error) {
	counts, err := l.counts(ctx, `SELECT CASE WHEN `+accountOf+` <> '' THEN 'linked' ELSE '' END, COUNT(*)
		FROM identities i WHERE i.org = ? AND i.source = ? GROUP BY 1`, org, source)
	return counts["linked"], counts[""], reading(err, "how many identities of source "+source+" are accounts", org)
}

// amongRefs is among for names of identities.
func amongRefs(columns, org string, refs []Ref) (string, []any) {
	rows := make([][]any, len(refs))
	for n, r := range refs {
		rows[n] = []any{org, r.Source, r.Key}
	}
	return amongRows(columns, rows)
}

// UnboundAt returns the identities without an account that have one of the e-mail addresses, by the address as
// access.FoldAddress writes it. Those that are gone are left out, and so are those with a binding that the chain does
// not explain.
func (l *Ledger) UnboundAt(ctx context.Context, org string, addresses []string) (map[string][]Identity, error) {
	folded := make([]string, 0, len(addresses))
	for _, a := range addresses {
		if a != "" {
			folded = append(folded, access.FoldAddress(a))
		}
	}
	all := map[string][]Identity{}
	for _, some := range chunks(folded) {
		where, args := among("i.org", "i.address_key", some, org)
		found, err := l.identities(ctx, org, where+` AND i.state <> 'gone' ORDER BY i.source, i.key`, args...)
		if err != nil {
			return nil, reading(err, "identities without an account", org)
		}
		for _, i := range found {
			if i.Account == "" && !i.Unexplained {
				key := access.FoldAddress(i.Address)
				all[key] = append(all[key], i)
			}
		}
	}
	return all, nil
}

// UnexplainedIdentities returns, by source, of how many identities the chain does not explain which account they are,
// or that they are none. It reads all bindings.
func (l *Ledger) UnexplainedIdentities(ctx context.Context, org string) (map[string]int, error) {
	var keys [][]string
	err := l.reads.each(ctx, func(row scanner) error {
		var r Ref
		err := row.Scan(&r.Source, &r.Key)
		keys = append(keys, bindingKey("", r))
		return err
	}, `SELECT source, key FROM identities WHERE org = ?`, org)
	var unexplained map[string]bool
	if err == nil {
		unexplained, err = l.unexplainedBindings(ctx, org, keys)
	}
	counts := map[string]int{}
	for _, key := range keys {
		if unexplained[strings.Join(key, "\x00")] {
			counts[key[1]]++
		}
	}
	return counts, reading(err, "which identities the chain does not explain", org)
}

// eachState has all states in the form of an index that begins with them.
const eachState = `state IN ('present', 'missing', 'gone', 'outOfScope')`

// IdentityCount is how many identities of a source are in a state.
type IdentityCount struct {
	Source, State string
	Count         int
}

// IdentityCounts returns how many identities there are, by source and state.
func (l *Ledger) IdentityCounts(ctx context.Context, org string) ([]IdentityCount, error) {
	all, err := collect(ctx, l.reads, func(row scanner) (c IdentityCount, err error) {
		return c, row.Scan(&c.Source, &c.State, &c.Count)
	}, `SELECT source, state, COUNT(*) FROM identities WHERE org = ? AND `+eachState+`
		GROUP BY source, state ORDER BY source, state`, org)
	return all, reading(err, "how many identities there are", org)
}
