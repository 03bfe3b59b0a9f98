package ledger

import (
	"context"
	"time"
)

// outlinesKept is how many outlines stay per organization: enough for every run that may still be open.
const outlinesKept = 20

// SaveOutline keeps what a run saw of the organization's groups, as the caller encodes it; a repeat replaces it. Only the
// 20 newest outlines of an organization stay.
func (l *Ledger) SaveOutline(ctx context.Context, org, run, policy string, body []byte, at time.Time) error {
	return l.write(ctx, org, "save the outline of run "+run, func(w *write) error {
		if _, err := w.exec(ctx, `INSERT INTO outlines (org, run, policy, body, at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, run) DO UPDATE SET policy = excluded.policy, body = excluded.body, at = excluded.at`,
			org, run, policy, string(body), instant(orNow(at))); err != nil {
			return err
		}
		_, err := w.exec(ctx, `DELETE FROM outlines WHERE org = ? AND run NOT IN
			(SELECT run FROM outlines WHERE org = ? ORDER BY at DESC, run DESC LIMIT ?)`, org, org, outlinesKept)
		return err
	})
}

// Outline returns the outline of a run, or ErrNotFound.
func (l *Ledger) Outline(ctx context.Context, org, run string) ([]byte, error) {
	scan := func(row scanner) (body []byte, err error) { return body, row.Scan(&body) }
	body, err := first(ctx, l.reads, scan, `SELECT body FROM outlines WHERE org = ? AND run = ?`, org, run)
	return body, reading(err, "the outline of run "+run, org)
}

// LatestOutline returns the newest outline made under the policy, with its run, or ErrNotFound.
func (l *Ledger) LatestOutline(ctx context.Context, org, policy string) (run string, body []byte, at time.Time, err error) {
	var us int64
	scan := func(row scanner) (struct{}, error) { return struct{}{}, row.Scan(&run, &body, &us) }
	_, err = first(ctx, l.reads, scan,
		`SELECT run, body, at FROM outlines WHERE org = ? AND policy = ? ORDER BY at DESC, run DESC LIMIT 1`, org, policy)
	return run, body, fromInstant(us), reading(err, "the latest outline under policy "+policy, org)
}
