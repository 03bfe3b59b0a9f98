package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// ripe selects what two complete reads did not show. Its last arguments are the number of the last one, and no later
// than when the first must have been.
const ripe = `org = ? AND source = ? AND missing_read > 0 AND missing_read < ? AND missing_at <= ?`

// ConcludeMissing deletes the memberships and groups of a source that two complete reads did not show, the first of
// them no later than before, and returns whom that concerns. Give it the instant of the last complete read
// (Source.ReadAt), less the time that must lie between the two. Of a source that is suspect, nothing is deleted.
func (l *Ledger) ConcludeMissing(ctx context.Context, org, name string, before time.Time) (touched Touched,
	err error) {
	err = l.write(ctx, org, "conclude what is missing from source "+name, func(w *write) error {
		touched = Touched{}
		s, err := w.replica(ctx, org, replicaSource, name)
		if err != nil || s.Suspect != "" {
			return err
		}
		args := []any{org, name, s.Read, instant(before)}
		concerned := map[string]bool{}
		note := func(row scanner) error {
			var member string
			err := row.Scan(&member)
			concerned[member] = true
			return err
		}
		if err := w.each(ctx, note, `DELETE FROM source_members WHERE `+ripe+` RETURNING member`, args...); err != nil {
			return err
		}
		if err := w.each(ctx, note, `DELETE FROM source_members WHERE org = ? AND source = ? AND group_key IN (
			SELECT key FROM source_groups WHERE `+ripe+`) RETURNING member`, append([]any{org, name}, args...)...); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `DELETE FROM source_groups WHERE `+ripe, args...); err != nil {
			return err
		}
		touched, err = w.touchPeople(ctx, s, slices.Sorted(maps.Keys(concerned)), false, s.ReadAt)
		return err
	})
	return touched, err
}

// MissingCount returns how many people, groups and memberships of a source the last complete read did not show, and
// which nothing is concluded of yet.
func (l *Ledger) MissingCount(ctx context.Context, org, name string) (n int, err error) {
	counts, err := l.counts(ctx, `SELECT 'people', COUNT(*) FROM identities WHERE org = ? AND source = ? AND state = 'missing'
		UNION ALL SELECT 'groups', COUNT(*) FROM source_groups WHERE org = ? AND source = ? AND missing_read > 0
		UNION ALL SELECT 'members', COUNT(*) FROM source_members WHERE org = ? AND source = ? AND missing_read > 0`,
		org, name, org, name, org, name)
	for _, of := range counts {
		n += of
	}
	return n, reading(err, "who is missing from source "+name, org)
}

// Lacking returns a digest of who and what the last complete read of a source did not show, of all of which nothing is
// concluded yet, and of what it was compared with. Reads that lack the same have the same.
func (l *Ledger) Lacking(ctx context.Context, org, name string) (string, error) {
	s, err := l.reads.replica(ctx, org, replicaSource, name)
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %d\n", s.As, s.Good.Read)
	for _, query := range []string{
		`SELECT key, '' FROM identities WHERE org = ? AND source = ? AND state = 'missing' AND missing_read <= ?
			ORDER BY key`,
		`SELECT key, '' FROM source_groups WHERE org = ? AND source = ? AND missing_read > 0 AND missing_read <= ?
			ORDER BY key`,
		`SELECT group_key, member FROM source_members WHERE org = ? AND source = ? AND missing_read > 0
			AND missing_read <= ? ORDER BY group_key, member`,
	} {
		if err == nil {
			fmt.Fprintln(hash)
			err = l.reads.each(ctx, func(row scanner) error {
				var key, member string
				err := row.Scan(&key, &member)
				fmt.Fprintf(hash, "%q %q\n", key, member)
				return err
			}, query, org, name, s.Read)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), reading(err, "what source "+name+" lacks", org)
}

// MissingIdentities returns at most limit people (1,000 for 0), by key, whom two complete reads of a source did not
// show, the first of them no later than before (as for ConcludeMissing): somebody has to look them up. after is the
// last key of the page before. Of a source that is suspect, there are none.
func (l *Ledger) MissingIdentities(ctx context.Context, org, name string, before time.Time, after string,
	limit int) ([]Identity, error) {
	s, err := l.reads.replica(ctx, org, replicaSource, name)
	if err != nil || s.Suspect != "" {
		return nil, reading(err, "source "+name, org)
	}
	all, err := l.identities(ctx, org, `i.org = ? AND i.source = ? AND i.state = 'missing' AND i.key > ?
		AND i.missing_read < ? AND i.since <= ? ORDER BY i.key LIMIT ?`, org, name, after, s.Read, instant(before),
		atMost(limit))
	return all, reading(err, "who is missing from source "+name, org)
}

// SaveMissing stores what a look-up showed of somebody whom complete reads do not show: they stay missing, and count as
// they are shown. It returns whom that concerns. Of anybody else, nothing is stored.
func (l *Ledger) SaveMissing(ctx context.Context, org, name string, i Identity, now time.Time) (touched Touched,
	err error) {
	now = orNow(now)
	i.Key = clean(i.Key)
	err = l.write(ctx, org, "save what the look-up of "+name+":"+i.Key+" showed", func(w *write) error {
		touched = Touched{}
		s, err := w.replica(ctx, org, replicaSource, name)
		if err != nil {
			return err
		}
		known, err := w.knownIdentities(ctx, name, []Identity{i})
		was := known[i.Key]
		if err != nil || was.State != StateMissing || was.Digest == i.Digest {
			return err
		}
		since := was.Since
		if !sameMaybe(i.Enabled, was.Enabled) {
			since = now
		}
		if _, err := w.exec(ctx, `UPDATE identities SET address = ?, address_key = ?, enabled = ?, attributes = ?,
			digest = ?, since = ? WHERE org = ? AND source = ? AND key = ?`, i.Address, access.FoldAddress(i.Address),
			maybe(i.Enabled), string(i.Attributes), i.Digest, instant(since), org, name, i.Key); err != nil {
			return err
		}
		touched, err = w.touchPeople(ctx, s, []string{i.Key}, false, now)
		return err
	})
	return touched, err
}

// SetIdentityState records what a look-up of somebody said: gone, out of scope, or present all the same. Who is gone is
// in no group any more. It returns whom that concerns. Nobody becomes gone or out of scope whom the last complete read
// showed, or just one did not show, or whose source is suspect by now: then nothing is changed, as for an unknown key.
func (l *Ledger) SetIdentityState(ctx context.Context, org, name, key, state string, now time.Time) (touched Touched,
	err error) {
	if state != StatePresent && state != StateGone && state != StateOutOfScope {
		return Touched{}, fmt.Errorf("ledger: set the state of %s:%s (organization %s): no look-up says %q", name, key,
			org, state)
	}
	now = orNow(now)
	err = l.write(ctx, org, "note what the look-up of "+name+":"+key+" said", func(w *write) error {
		touched = Touched{}
		s, err := w.replica(ctx, org, replicaSource, name)
		if err != nil {
			return err
		}
		was, missing, err := w.identityState(ctx, name, key)
		if err != nil || was == "" || was == state {
			return err
		}
		if state != StatePresent && (was == StatePresent || missing >= s.Read || s.Suspect != "") {
			return nil
		}
		if state == StatePresent {
			missing = 0
		}
		if _, err := w.exec(ctx, `UPDATE identities SET state = ?, since = ?, missing_read = ?
			WHERE org = ? AND source = ? AND key = ?`, state, instant(now), missing, org, name, key); err != nil {
			return err
		}
		if state == StatePresent && was == StateMissing {
			return nil // who is missing counts as present
		}
		touched, err = w.touchPeople(ctx, s, []string{key}, false, now)
		return err
	})
	return touched, err
}

// identityState returns the state of an identity ("": there is none), and by which read it is missing.
func (w *write) identityState(ctx context.Context, name, key string) (state string, missing int64, err error) {
	err = w.each(ctx, func(row scanner) error { return row.Scan(&state, &missing) },
		`SELECT state, missing_read FROM identities WHERE org = ? AND source = ? AND key = ?`, w.org, name, key)
	return state, missing, err
}
