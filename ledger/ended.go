package ledger

import (
	"context"
	"encoding/json"
	"time"

	"github.com/castellan-io/castellan/access"
)

// recordSeen records that a read showed the people.
func (w *write) recordSeen(ctx context.Context, people []string, at time.Time) error {
	for _, some := range chunks(people) {
		where, args := among("org", "id", some, w.org)
		if _, err := w.exec(ctx, `UPDATE people SET seen = ?, missing = 0 WHERE `+where,
			append([]any{instant(at)}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// Missing returns at most limit people, by account ID, who hold something according to the ledger and whom reads have
// shown, but not since an instant.
func (l *Ledger) Missing(ctx context.Context, org string, since time.Time, limit int) ([]string, error) {
	people, err := collect(ctx, l.reads,
		func(row scanner) (person string, err error) { return person, row.Scan(&person) },
		`SELECT p.id FROM people p WHERE p.org = ? AND p.seen < ? AND EXISTS (SELECT 1 FROM holdings h WHERE h.org = p.org AND h.person = p.id AND h.until = 0)
		ORDER BY p.id LIMIT ?`, org, instant(since), atMost(limit))
	return people, reading(err, "who is not shown any more", org)
}

// NoteMissing records since when reads have not shown these people. The first instant stays until a read shows them.
func (l *Ledger) NoteMissing(ctx context.Context, org string, people []string, at time.Time) error {
	if len(people) == 0 {
		return nil
	}
	return l.write(ctx, org, "note who is not shown", func(w *write) error {
		for _, some := range chunks(people) {
			where, args := among("org", "id", some, org)
			if _, err := w.exec(ctx, `UPDATE people SET missing = ? WHERE missing = 0 AND `+where,
				append([]any{instant(orNow(at))}, args...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// MissingSince returns since when reads have not shown the person; zero while they do.
func (l *Ledger) MissingSince(ctx context.Context, org, person string) (time.Time, error) {
	at, err := first(ctx, l.reads, func(row scanner) (at int64, err error) { return at, row.Scan(&at) },
		`SELECT COALESCE(MAX(missing), 0) FROM people WHERE org = ? AND id = ?`, org, person)
	return fromInstant(at), reading(err, "since when "+person+" is not shown", org)
}

// OutlineTime returns when a run read its outline, or ErrNotFound.
func (l *Ledger) OutlineTime(ctx context.Context, org, run string) (time.Time, error) {
	at, err := first(ctx, l.reads, func(row scanner) (at int64, err error) { return at, row.Scan(&at) },
		`SELECT at FROM outlines WHERE org = ? AND run = ?`, org, run)
	return fromInstant(at), reading(err, "when run "+run+" read its outline", org)
}

// Unseen returns the holdings that a run's pages did not show and no line of it settles. It is kept as long as Seen is.
func (l *Ledger) Unseen(ctx context.Context, org, run string) ([]access.MissingHolding, error) {
	var all []access.MissingHolding
	err := l.reads.each(ctx, func(row scanner) error {
		var stored string
		if err := row.Scan(&stored); err != nil {
			return err
		}
		var here []access.MissingHolding
		err := json.Unmarshal([]byte(stored), &here)
		all = append(all, here...)
		return err
	}, `SELECT unseen FROM pages WHERE org = ? AND run = ? AND unseen <> '' ORDER BY page`, org, run)
	return all, reading(err, "what run "+run+" did not see", org)
}

// HeldGroups returns, by ID, the groups in which somebody holds a membership according to the ledger, with a name used
// there.
func (l *Ledger) HeldGroups(ctx context.Context, org string) (map[string]access.Entitlement, error) {
	groups := map[string]access.Entitlement{}
	err := l.reads.each(ctx, func(row scanner) error {
		var id string
		var target access.Entitlement
		err := row.Scan(&id, &target)
		groups[id] = target
		return err
	}, `SELECT group_id, MAX(target) FROM holdings WHERE org = ? AND until = 0 AND group_id <> '' GROUP BY group_id`,
		org)
	return groups, reading(err, "which groups are held", org)
}

// AppRoleHoldings returns the open holdings of app roles that are held without a group.
func (l *Ledger) AppRoleHoldings(ctx context.Context, org string) ([]access.Holding, error) {
	all, err := collect(ctx, l.reads, scanHolding, selectHolding+` WHERE until = 0 AND org = ? AND target > 'role:' AND target < 'role;' AND target <> ?
		ORDER BY target, person`, org, string(access.OrgAdmin))
	return all, reading(err, "who holds app roles", org)
}

// HoldingsOf returns the open holdings of the target in the group of this ID, of at most limit people.
func (l *Ledger) HoldingsOf(ctx context.Context, org string, target access.Entitlement, group string,
	limit int) ([]access.Holding, error) {
	all, err := collect(ctx, l.reads, scanHolding,
		selectHolding+` WHERE until = 0 AND org = ? AND target = ? AND group_id = ? ORDER BY person LIMIT ?`,
		org, string(target), group, atMost(limit))
	return all, reading(err, "who holds "+string(target), org)
}

// EndHoldings ends holdings that reads proved to be over, and adds each to the chain with the reason. One that is no
// longer as given stays. It returns how many ended.
func (l *Ledger) EndHoldings(ctx context.Context, org, run string, over []access.Holding, why string,
	at time.Time) (n int, err error) {
	at = orNow(at)
	err = l.write(ctx, org, "end holdings", func(w *write) (err error) {
		n, err = w.endHoldings(ctx, run, over, func(access.Holding) string { return why }, at)
		return err
	})
	return n, err
}

// endHoldings ends each at its Until, or else at the instant.
func (w *write) endHoldings(ctx context.Context, run string, over []access.Holding, why func(access.Holding) string,
	at time.Time) (n int, err error) {
	for _, some := range chunks(over) {
		standing, err := w.standing(ctx, some)
		if err != nil {
			return n, err
		}
		var closing []access.Holding
		var entries []Entry
		for _, h := range some {
			was, stands := standing[lineKey{h.Person, h.Target}]
			if !stands || instant(was.From) != instant(h.From) {
				continue
			}
			h.Until = orAt(h.Until, at)
			closing = append(closing, h)
			entries = append(entries, Entry{At: at, Kind: EntryHoldingEnded, Run: run, Person: accountID(h.Person),
				Target: h.Target, Body: body(struct {
					Why     string          `json:"why"`
					GroupID string          `json:"groupId,omitempty"`
					Owned   bool            `json:"owned"`
					Reasons []access.Reason `json:"reasons,omitempty"`
				}{why(h), h.GroupID, h.Owned, h.Reasons})})
		}
		if err := w.applyHoldings(ctx, run, nil, closing, at); err != nil {
			return n, err
		}
		if err := w.append(ctx, entries...); err != nil {
			return n, err
		}
		n += len(closing)
	}
	return n, nil
}

// EndGrantByHand ends a grant because its access was removed by hand, and returns it: one that is in force, or one that
// was to begin later. Any other stays as it is. ErrNotFound: there is no such grant.
func (l *Ledger) EndGrantByHand(ctx context.Context, org, id, why string, at time.Time) (g access.Grant, err error) {
	at = cut(orNow(at))
	err = l.write(ctx, org, "end grant "+id, func(w *write) error {
		if g, err = w.grant(ctx, id); err != nil {
			return err
		}
		if g.State != access.GrantGranted || !at.Before(g.Until) {
			return nil
		}
		if g.From.After(at) {
			g.From = at
		}
		g.Until, g.RemovedByHand, g.ClosedWhy = at, true, why
		g, err = w.end(ctx, g, at)
		return err
	})
	return g, err
}
