package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// GroupLink is a group at Atlassian that follows a group of an identity source, by their ids.
type GroupLink struct {
	Source  string
	Key     string // of the source's group
	Name    string // of the source's group when they were linked, as "corp:Dev users"
	GroupID string // at Atlassian
	By      string // who decided it; "": the two had the same members, or Castellan made the group
	Since   time.Time
}

// Ref names the source's group.
func (g GroupLink) Ref() Ref { return Ref{g.Source, g.Key} }

// ErrGroupTaken is the error for a group at Atlassian that follows another group already.
var ErrGroupTaken = errors.New("the group at Atlassian follows another group already")

const selectGroupLink = `SELECT source, key, name, group_id, since, by_whom FROM group_links`

func scanGroupLink(row scanner) (g GroupLink, err error) {
	var since int64
	err = row.Scan(&g.Source, &g.Key, &g.Name, &g.GroupID, &since, &g.By)
	g.Since = fromInstant(since)
	return g, err
}

// GroupLinks returns the groups that follow groups of sources, by source and key. What the chain does not explain is
// left out: nobody is given anything by it.
func (l *Ledger) GroupLinks(ctx context.Context, org string) ([]GroupLink, error) {
	all, err := collect(ctx, l.reads, scanGroupLink, selectGroupLink+` WHERE org = ? ORDER BY source, key`, org)
	if err == nil {
		all, err = l.explainedLinks(ctx, org, all)
	}
	return all, reading(err, "the groups that follow those of sources", org)
}

func (l *Ledger) explainedLinks(ctx context.Context, org string, all []GroupLink) ([]GroupLink, error) {
	keys := make([][]string, len(all))
	for n, g := range all {
		keys[n] = []string{g.Source, g.Key}
	}
	explained, err := l.explainedRows(ctx, org, tableGroupLinks, keys)
	return slices.DeleteFunc(all, func(g GroupLink) bool {
		return !explained[strings.Join([]string{g.Source, g.Key}, "\x00")]
	}), err
}

// LinkGroups has groups at Atlassian follow groups of sources. Those that do already stay as they are. A group that
// follows one of gone, the ids of groups that their source no longer shows, follows the new one instead. ErrGroupTaken:
// one follows another; then none is linked.
func (l *Ledger) LinkGroups(ctx context.Context, org string, links []GroupLink, gone []Ref, now time.Time) error {
	if len(links) == 0 {
		return nil
	}
	return l.write(ctx, org, fmt.Sprintf("link %d groups", len(links)), func(w *write) error {
		for _, g := range links {
			if err := w.linkGroup(ctx, g, gone, orNow(now)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *write) linkGroup(ctx context.Context, g GroupLink, gone []Ref, now time.Time) error {
	g.Key = clean(g.Key)
	if err := w.forgetWhere(ctx, tableGroupLinks, `group_id = ?`, g.GroupID); err != nil {
		return err
	}
	of, err := collect(ctx, w.database, scanGroupLink, selectGroupLink+` WHERE org = ? AND group_id = ?`, w.org,
		g.GroupID)
	if err != nil {
		return err
	}
	for _, other := range of {
		switch {
		case other.Ref() == g.Ref():
			return nil
		case slices.Contains(gone, other.Ref()):
			if err := w.unlinkGroup(ctx, other, g.By, now); err != nil {
				return err
			}
		default:
			return fmt.Errorf("group %s: %w: %s", g.GroupID, ErrGroupTaken, other.Name)
		}
	}
	if err := w.forget(ctx, tableGroupLinks, []any{g.Source, g.Key}); err != nil {
		return err
	}
	if err := w.execRows(ctx, `INSERT INTO group_links (org, source, key, name, group_id, since, by_whom) VALUES`, marks(7),
		`ON CONFLICT (org, source, key) DO UPDATE SET name = excluded.name, group_id = excluded.group_id,
		since = excluded.since, by_whom = excluded.by_whom`,
		[][]any{{w.org, g.Source, g.Key, g.Name, g.GroupID, instant(now), g.By}}); err != nil {
		return err
	}
	return w.append(ctx, Entry{At: now, Kind: EntryGroupLinked, Body: body(map[string]any{
		"source": g.Source, "key": keyPart(g.Key), "name": g.Name, "group": g.GroupID, "by": g.By})})
}

func (w *write) unlinkGroup(ctx context.Context, g GroupLink, by string, now time.Time) error {
	if _, err := w.exec(ctx, `DELETE FROM group_links WHERE org = ? AND source = ? AND key = ?`, w.org, g.Source,
		g.Key); err != nil {
		return err
	}
	return w.append(ctx, Entry{At: now, Kind: EntryGroupLinked, Body: body(map[string]any{
		"source": g.Source, "key": keyPart(g.Key), "name": g.Name, "was": g.GroupID, "by": by})})
}
