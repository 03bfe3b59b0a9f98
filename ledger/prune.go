package ledger

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Prune deletes at most limit plan lines (1,000 for 0) that were never to be written (of previews, dry runs and rules
// in observe mode) or turned out to be unnecessary, of runs that ended before the instant, and returns how many: fewer
// than limit means that none are left. The chain, holdings and all lines with an answer are kept for ever.
func (l *Ledger) Prune(ctx context.Context, org string, before time.Time, limit int) (removed int, err error) {
	err = l.write(ctx, org, "remove old plan lines", func(w *write) error {
		removed, err = w.exec(ctx, `DELETE FROM lines WHERE org = ? AND (run, person, target) IN (
			SELECT run, person, target FROM lines WHERE org = ? AND state IN ('recorded', 'observed', 'superseded')
			AND run IN (SELECT id FROM runs WHERE org = ? AND ended > 0 AND ended < ?) LIMIT ?)`,
			org, org, org, instant(before), atMost(limit))
		return err
	})
	return removed, err
}

// PruneSources deletes at most some limit rows (10,000 for 0) of each table of the replicas of sources that are none of
// those named, and returns how many: none means that none are left. What their identities were bound to is a decision,
// and stays. From the first call on, such a source counts as never read, and a read in progress is over: it may have
// seen rows that are deleted now.
func (l *Ledger) PruneSources(ctx context.Context, org string, keep []string, limit int) (removed int, err error) {
	if limit <= 0 {
		limit = 10_000
	}
	err = l.write(ctx, org, "remove what was read of former sources", func(w *write) error {
		if removed, err = w.prunePosts(ctx, keep, limit); err != nil {
			return err
		}
		others, all := `org = ? AND kind = 'source'`, []any{org}
		if len(keep) > 0 {
			kept, names := in("name", keep)
			others, all = others+` AND NOT (`+kept+`)`, append(all, names...)
		}
		if _, err := w.exec(ctx, `UPDATE replicas SET begun = begun + 1, read = 0 WHERE `+others, all...); err != nil {
			return err
		}
		for _, table := range []struct{ name, source, key string }{
			{"source_members", "source", "source, group_key, member"}, {"source_groups", "source", "source, key"},
			{"identities", "source", "source, key"}, {"replicas", "name", "name"},
		} {
			where, args := `org = ?`, []any{org}
			if table.name == "replicas" {
				if removed > 0 {
					break // it goes last, because it numbers the reads that the other rows name
				}
				where += ` AND kind = 'source'`
			}
			if len(keep) > 0 {
				kept, names := in(table.source, keep)
				where, args = where+` AND NOT (`+kept+`)`, append(args, names...)
			}
			n, err := w.exec(ctx, `DELETE FROM `+table.name+` WHERE org = ? AND (`+table.key+`) IN (SELECT `+table.key+
				` FROM `+table.name+` WHERE `+where+` LIMIT ?)`, slices.Concat([]any{org}, args, []any{limit})...)
			if err != nil {
				return err
			}
			removed += n
		}
		return nil
	})
	return removed, err
}

// prunePosts deletes what sources that are none of those named posted and pushed, and has the chain say so.
func (w *write) prunePosts(ctx context.Context, keep []string, limit int) (removed int, err error) {
	others, args := `1 = 1`, []any{}
	if len(keep) > 0 {
		kept, names := in("source", keep)
		others, args = `NOT (`+kept+`)`, names
	}
	for _, t := range []*recordedTable{tablePosted, tablePushed} {
		keys, err := t.keysWhere(ctx, w.database, w.org, others+` LIMIT ?`, append(slices.Clone(args), limit)...)
		if err != nil {
			return 0, err
		}
		if err := w.forget(ctx, t, keys...); err != nil {
			return 0, err
		}
		for _, some := range chunks(keys) {
			where, args := amongRows(strings.Join(t.key, ", "), some)
			if _, err := w.exec(ctx, `DELETE FROM `+t.name+` WHERE org = ? AND `+where,
				append([]any{w.org}, args...)...); err != nil {
				return 0, err
			}
		}
		removed += len(keys)
	}
	return removed, nil
}
