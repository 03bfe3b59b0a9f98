package ledger

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Count is how many members a source group had at its last good read.
type Count struct {
	Name  string    `json:"name"`
	Users int       `json:"users"`
	At    time.Time `json:"at"`
	Run   string    `json:"run"`
	// Unexplained: the ledger's chain does not explain the count.
	Unexplained bool `json:"unexplained,omitempty"`
	// Suspect is since when full verifications have found the group suspect; zero if it is not.
	Suspect time.Time `json:"suspect,omitzero"`
}

// SourceCounts returns the last good count of each source group, by group id.
func (l *Ledger) SourceCounts(ctx context.Context, org string) (map[string]Count, error) {
	counts := map[string]Count{}
	err := l.reads.each(ctx, func(row scanner) error {
		var id string
		var c Count
		var at, suspect int64
		err := row.Scan(&id, &c.Name, &c.Users, &at, &c.Run, &suspect)
		c.At, c.Suspect = fromInstant(at), fromInstant(suspect)
		counts[id] = c
		return err
	}, `SELECT group_id, name, users, at, run, suspect FROM source_counts WHERE org = ?`, org)
	if err != nil {
		return nil, reading(err, "the counts of source groups", org)
	}
	var keys [][]string
	for id := range counts {
		keys = append(keys, []string{id})
	}
	explained, err := l.explainedRows(ctx, org, tableCounts, keys)
	if err != nil {
		return nil, reading(err, "what the chain says of the counts of source groups", org)
	}
	for id, c := range counts {
		is, answered := explained[id]
		if c.Unexplained = !is; answered {
			counts[id] = c
		} else { // somebody removed it meanwhile
			delete(counts, id)
		}
	}
	return counts, nil
}

// SaveSourceCounts stores the counts that a run found good (Name and Users; At and Run are those of the call), and
// deletes the groups that are gone. Other groups keep their last good count.
func (l *Ledger) SaveSourceCounts(ctx context.Context, org, run string, counts map[string]Count, gone []string,
	at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, "save the counts of source groups of run "+run, func(w *write) error {
		var keys [][]any
		for _, id := range slices.Concat(gone, slices.Sorted(maps.Keys(counts))) {
			keys = append(keys, []any{id})
		}
		if err := w.forget(ctx, tableCounts, keys...); err != nil {
			return err
		}
		for _, some := range chunks(gone) {
			where, args := in("group_id", some)
			if _, err := w.exec(ctx, `DELETE FROM source_counts WHERE org = ? AND `+where,
				append([]any{org}, args...)...); err != nil {
				return err
			}
		}
		rows := make([][]any, 0, len(counts))
		for id, c := range counts {
			rows = append(rows, []any{org, id, c.Name, c.Users, instant(at), run})
		}
		return w.execRows(ctx, `INSERT INTO source_counts (org, group_id, name, users, at, run) VALUES`, marks(6),
			`ON CONFLICT (org, group_id) DO UPDATE SET name = excluded.name, users = excluded.users, at = excluded.at, run = excluded.run, suspect = 0`, rows)
	})
}

// SuspectSources records that a full verification found these source groups suspect. The first instant stays until a
// count is good again; groups without a last good count are left out.
func (l *Ledger) SuspectSources(ctx context.Context, org string, groups []string, at time.Time) error {
	if len(groups) == 0 {
		return nil
	}
	return l.write(ctx, org, "note suspect source groups", func(w *write) error {
		for _, some := range chunks(groups) {
			where, args := in("group_id", some)
			if err := w.touchDoubtedWhere(ctx, tableCounts, `suspect = 0 AND `+where, args...); err != nil {
				return err
			}
			if _, err := w.exec(ctx, `UPDATE source_counts SET suspect = ? WHERE suspect = 0 AND org = ? AND `+where,
				append([]any{instant(orNow(at)), org}, args...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// KnownDefaults returns, per default entitlement, the IDs of the groups last known as its default groups.
func (l *Ledger) KnownDefaults(ctx context.Context, org string) (map[access.Entitlement][]string, error) {
	known := map[access.Entitlement][]string{}
	err := l.reads.each(ctx, func(row scanner) error {
		var target access.Entitlement
		var stored string
		if err := row.Scan(&target, &stored); err != nil {
			return err
		}
		groups, err := fromList[string](stored)
		known[target] = groups
		return err
	}, `SELECT target, group_ids FROM known_defaults WHERE org = ?`, org)
	return known, reading(err, "known default groups", org)
}

// SaveKnownDefaults stores the groups of the given default entitlements and leaves all others as they are.
func (l *Ledger) SaveKnownDefaults(ctx context.Context, org string, known map[access.Entitlement][]string) error {
	return l.write(ctx, org, "save known default groups", func(w *write) error {
		rows := make([][]any, 0, len(known))
		for target, groups := range known {
			rows = append(rows, []any{org, string(target), list(groups)})
		}
		return w.execRows(ctx, `INSERT INTO known_defaults (org, target, group_ids) VALUES`, marks(3),
			`ON CONFLICT (org, target) DO UPDATE SET group_ids = excluded.group_ids`, rows)
	})
}
