package ledger

import (
	"context"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// RecordArrival records that the person known by an e-mail address has an account ID now. Unsettled grants, open plan
// lines, and open holdings of the address go over to the account ID, and so does the grants' Key: the workflow of the
// former one hands them over. If the account has the same line already, the other stays. A repeat does nothing.
func (l *Ledger) RecordArrival(ctx context.Context, org, email, account string, at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, "record that "+email+" is "+account, func(w *write) error {
		address := strings.ToLower(email)
		arrived, err := collect(ctx, w.database, scanGrant, selectGrant+` WHERE org = ? AND person = ? AND settled = 0
			ORDER BY requested, id`, org, address)
		if err != nil {
			return err
		}
		for _, g := range arrived {
			g.Person, g.Key, g.FormerKey = account, account, g.Key
			if _, err := w.change(ctx, g, grantEntry(g, EntryGrantArrived, at, nil)); err != nil {
				return err
			}
		}
		for _, name := range []string{address, email} {
			if err := w.renameLines(ctx, name, account); err != nil {
				return err
			}
			if err := w.renameHoldings(ctx, name, account); err != nil {
				return err
			}
		}
		return nil
	})
}

// renameLines has the address in the form of the index lines_by_address.
func (w *write) renameLines(ctx context.Context, from, to string) error {
	_, err := w.exec(ctx, `UPDATE lines SET person = ? WHERE org = ? AND person = ? AND person LIKE '%@%'
		AND state IN ('planned', 'held', 'sent') AND NOT EXISTS (SELECT 1 FROM lines AS same
			WHERE same.org = lines.org AND same.run = lines.run AND same.person = ? AND same.target = lines.target)`,
		to, w.org, from, to)
	return err
}

func (w *write) renameHoldings(ctx context.Context, from, to string) error {
	query, args := openHoldings(w.org, []string{from})
	standing, err := collect(ctx, w.database, scanHolding, query, args...)
	if err != nil || len(standing) == 0 {
		return err
	}
	if err := w.touchDoubtedWhere(ctx, tableHoldings, `person = ? AND until = 0`, from); err != nil {
		return err
	}
	if _, err := w.exec(ctx, `DELETE FROM holdings WHERE org = ? AND person = ? AND until = 0`, w.org,
		from); err != nil {
		return err
	}
	opened := make([]access.Holding, len(standing))
	for i, h := range standing {
		h.Person = to
		opened[i] = h
	}
	return w.applyHoldings(ctx, "", opened, nil, time.Time{})
}
