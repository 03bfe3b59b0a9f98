package ledger

import (
	"context"
	"time"
)

// outlinesKept is how many outlines are kept per organization besides those that something open depends on.
const outlinesKept = 20

// decidedKept is how long the outline of a decided hold is kept: its changes may still be in progress.
const decidedKept = 7 * 24 * time.Hour

// SaveOutline stores what a run saw of the organization's groups, as the caller encodes it; a repeat replaces it. The
// 20 newest outlines of an organization are kept, and those of runs that have not ended and of holds that are open or
// were decided within a week.
func (l *Ledger) SaveOutline(ctx context.Context, org, run, policy string, body []byte, at time.Time) error {
	return l.write(ctx, org, "save the outline of run "+run, func(w *write) error {
		if _, err := w.exec(ctx, `INSERT INTO outlines (org, run, policy, body, at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, run) DO UPDATE SET policy = excluded.policy, body = excluded.body, at = excluded.at`,
			org, run, policy, string(body), instant(orNow(at))); err != nil {
			return err
		}
		_, err := w.exec(ctx, `DELETE FROM outlines WHERE org = ? AND run NOT IN
			(SELECT run FROM outlines WHERE org = ? ORDER BY at DESC, run DESC LIMIT ?)
			AND run NOT IN (SELECT id FROM runs WHERE org = ? AND ended = 0)
			AND run NOT IN (SELECT run FROM holds WHERE org = ? AND (decision = '' OR decided >= ?))`,
			org, org, outlinesKept, org, org, instant(orNow(at).Add(-decidedKept)))
		return err
	})
}

// Outline returns the outline of a run, or ErrNotFound.
func (l *Ledger) Outline(ctx context.Context, org, run string) ([]byte, error) {
	scan := func(row scanner) (body []byte, err error) { return body, row.Scan(&body) }
	body, err := first(ctx, l.reads, scan, `SELECT body FROM outlines WHERE org = ? AND run = ?`, org, run)
	return body, reading(err, "the outline of run "+run, org)
}

// OutlineSaved returns when the outline of a run was last saved, or ErrNotFound: another worker may have begun the run
// again.
func (l *Ledger) OutlineSaved(ctx context.Context, org, run string) (time.Time, error) {
	at, err := first(ctx, l.reads, func(row scanner) (at int64, err error) { return at, row.Scan(&at) },
		`SELECT at FROM outlines WHERE org = ? AND run = ?`, org, run)
	return fromInstant(at), reading(err, "when the outline of run "+run+" was saved", org)
}

// LatestOutline returns the newest outline made under the policy, with its run, or ErrNotFound.
func (l *Ledger) LatestOutline(ctx context.Context, org, policy string) (run string, body []byte, at time.Time,
	err error) {
	var us int64
	scan := func(row scanner) (struct{}, error) { return struct{}{}, row.Scan(&run, &body, &us) }
	_, err = first(ctx, l.reads, scan,
		`SELECT run, body, at FROM outlines WHERE org = ? AND policy = ? ORDER BY at DESC, run DESC LIMIT 1`,
		org, policy)
	return run, body, fromInstant(us), reading(err, "the latest outline under policy "+policy, org)
}
