package ledger

import (
	"context"

	"github.com/castellan-io/castellan/access"
)

// Doubtful returns the person's changes, by target, whose last write was begun and never answered: nobody knows whether it
// was done.
func (l *Ledger) Doubtful(ctx context.Context, org, person string) (map[access.Entitlement]access.Change, error) {
	last := map[access.Entitlement]access.Change{}
	err := l.reads.each(ctx, func(row scanner) error {
		c, err := scanChange(row)
		last[c.Target] = c
		return err
	}, selectChange+` WHERE org = ? AND person = ? AND state IN ('sent', 'done', 'already') ORDER BY at, run`, org, person)
	if err != nil {
		return nil, reading(err, "the unanswered writes for "+person, org)
	}
	for target, c := range last {
		if c.State != access.Sent {
			delete(last, target)
		}
	}
	return last, nil
}
