package ledger

import (
	"context"
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
