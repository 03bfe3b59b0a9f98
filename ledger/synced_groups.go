package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// SyncedGroup is a group of an identity source, and the group of a provision's SCIM directory that follows it.
type SyncedGroup struct {
	Provision  string
	Source     string
	Key        string // of the source's group
	SourceName string // of the source's group when it was bound: "corp:Dev users"
	Group      string // id of the group in the directory
	Name       string // of that, which never changes
	// Former is the id of the group that this one replaces, until that is deleted; "": none.
	Former     string
	FormerName string
	By         string    // who decided it
	Since      time.Time // set by the ledger
	// Unexplained: the chain does not explain it; nothing may be concluded from it.
	Unexplained bool
}

// Ref returns the name of the source's group.
func (g SyncedGroup) Ref() Ref { return Ref{g.Source, g.Key} }

func (g SyncedGroup) key() []string { return []string{g.Provision, g.Source, g.Key} }

const selectSyncedGroup = `SELECT provision, source, key, source_name, bound, name, former, former_name, by_whom, since
	FROM synced_groups`

func scanSyncedGroup(row scanner) (g SyncedGroup, err error) {
	var since int64
	err = row.Scan(&g.Provision, &g.Source, &g.Key, &g.SourceName, &g.Group, &g.Name, &g.Former, &g.FormerName, &g.By,
		&since)
	g.Since = fromInstant(since)
	return g, err
}

// SyncedGroups returns the groups that a provision's directory has for groups of identity sources, by source and key;
// with provision "", those of all.
func (l *Ledger) SyncedGroups(ctx context.Context, org, provision string) ([]SyncedGroup, error) {
	query, args := selectSyncedGroup+` WHERE org = ?`, []any{org}
	if provision != "" {
		query, args = query+` AND provision = ?`, append(args, provision)
	}
	all, err := collect(ctx, l.reads, scanSyncedGroup, query+` ORDER BY provision, source, key`, args...)
	if err != nil {
		return nil, reading(err, "the synced groups", org)
	}
	keys := make([][]string, len(all))
	for n, g := range all {
		keys[n] = g.key()
	}
	explained, err := l.explainedRows(ctx, org, tableSyncedGroups, keys)
	for n := range all {
		all[n].Unexplained = !explained[strings.Join(keys[n], "\x00")]
	}
	return all, reading(err, "what the chain says of the synced groups", org)
}

// BindGroup records which group of a provision's directory follows a group of an identity source from now on, whatever
// did before. Recording it again changes nothing. ErrBound: the directory's group follows another one.
func (l *Ledger) BindGroup(ctx context.Context, org string, g SyncedGroup, now time.Time) error {
	g.Key = clean(g.Key)
	if g.Provision == "" || g.Key == "" || g.Group == "" {
		return fmt.Errorf("ledger: bind group %s (organization %s): the provision and both groups must have a name",
			g.Ref(), org)
	}
	return l.write(ctx, org, "bind group "+g.SourceName+" to "+g.Name, func(w *write) error {
		taken, err := first(ctx, w.database, scanSyncedGroup, selectSyncedGroup+` WHERE org = ? AND provision = ?
			AND bound = ?`, org, g.Provision, g.Group)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		case taken.Ref() != g.Ref():
			return fmt.Errorf("group %s of the directory follows %s: %w", g.Name, taken.SourceName, ErrBound)
		case taken.Name == g.Name && taken.Former == g.Former && taken.SourceName == g.SourceName:
			return nil
		}
		if err := w.touch(ctx, tableSyncedGroups, []any{g.Provision, g.Source, g.Key}); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `INSERT INTO synced_groups (org, provision, source, key, source_name, bound, name, former,
			former_name, since, by_whom) VALUES (`+marks(11)+`) ON CONFLICT (org, provision, source, key) DO UPDATE SET
			source_name = excluded.source_name, bound = excluded.bound, name = excluded.name, former = excluded.former,
			former_name = excluded.former_name, since = excluded.since, by_whom = excluded.by_whom`,
			org, g.Provision, g.Source, g.Key, g.SourceName, g.Group, g.Name, g.Former, g.FormerName,
			instant(orNow(now)), g.By); err != nil {
			return err
		}
		return w.append(ctx, g.entry(now))
	})
}

// UnbindGroup records that a group of a provision's directory follows nothing any more, since it was deleted: it is
// forgotten, as the group that follows or as the one that was replaced. If the one that it replaced is still there,
// that follows again. A group that follows nothing is ignored.
func (l *Ledger) UnbindGroup(ctx context.Context, org, provision, group, by string, now time.Time) error {
	return l.write(ctx, org, "forget group "+group+" of provision "+provision, func(w *write) error {
		all, err := collect(ctx, w.database, scanSyncedGroup, selectSyncedGroup+` WHERE org = ? AND provision = ?
			AND (bound = ? OR former = ?)`, org, provision, group, group)
		if err != nil {
			return err
		}
		for _, g := range all {
			if err := w.touch(ctx, tableSyncedGroups, []any{g.Provision, g.Source, g.Key}); err != nil {
				return err
			}
			query, args := `UPDATE synced_groups SET bound = ?, name = ?, former = '', former_name = ''`, []any{g.Group, g.Name}
			switch {
			case g.Group == group && g.Former == "":
				query, args, g.Group = `DELETE FROM synced_groups`, nil, ""
			case g.Group == group:
				g.Group, g.Name = g.Former, g.FormerName
				args = []any{g.Group, g.Name}
			}
			g.Former, g.FormerName = "", ""
			query += ` WHERE org = ? AND provision = ? AND source = ? AND key = ?`
			if _, err := w.exec(ctx, query, append(args, org, g.Provision, g.Source, g.Key)...); err != nil {
				return err
			}
			g.By = by
			if err := w.append(ctx, g.entry(now)); err != nil {
				return err
			}
		}
		return nil
	})
}

// entry returns the chain's entry about a binding, or, without a group, about one that ended.
func (g SyncedGroup) entry(at time.Time) Entry {
	said := map[string]any{"provision": g.Provision, "source": g.Source, "key": keyPart(g.Key), "name": g.Name, "by": g.By}
	if g.Group != "" {
		said["group"] = g.Group
	}
	if g.Former != "" {
		said["replaces"] = g.Former
	}
	return Entry{At: orNow(at), Kind: EntryGroupBound, Body: body(said)}
}
