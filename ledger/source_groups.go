package ledger

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// SourceGroup is a group of a source with all its members.
type SourceGroup struct {
	Source  string
	Key     string
	Name    string
	Members []string // keys of identities, which need not be in the replica
	Digest  string   // of name and members, as the caller makes it
}

// SourceGroupRef names a group of a source.
type SourceGroupRef struct {
	Source string `json:"source"`
	Key    string `json:"key"`
	Name   string `json:"name"`
}

// SaveSourceGroups stores groups that a read showed, each with all its members: those that are new, or whose digest is
// another than before. Members that are new in a group, or were missing, are in it at once; those that are not shown
// any more are marked as missing, with this read and now, unless they are already: see ConcludeMissing. It returns whom
// that concerns. Memory is in proportion to the members given and stored. ErrSuperseded: the read is not in progress.
func (l *Ledger) SaveSourceGroups(ctx context.Context, org, name string, read int64, groups []SourceGroup,
	now time.Time) (touched Touched, err error) {
	err = l.write(ctx, org, "save groups of source "+name, func(w *write) error {
		touched = Touched{}
		s, err := w.progress(ctx, replicaSource, name, read)
		if err == nil && read == 0 {
			err = fmt.Errorf("%w: groups are saved by reads alone", ErrSuperseded)
		}
		if err != nil {
			return err
		}
		c := groupChanges{write: w, source: name, read: read, now: orNow(now), concerned: map[string]bool{}}
		for _, some := range chunks(groups) {
			if err := c.save(ctx, some); err != nil {
				return err
			}
		}
		touched, err = w.touchPeople(ctx, s, slices.Sorted(maps.Keys(c.concerned)), false, c.now)
		return err
	})
	return touched, err
}

// groupChanges stores groups.
type groupChanges struct {
	*write
	source    string
	read      int64
	now       time.Time
	concerned map[string]bool // keys of people
	members   [][]any         // rows of members that change
}

func (c *groupChanges) save(ctx context.Context, groups []SourceGroup) error {
	given := make(map[string]SourceGroup, len(groups)) // of the same one twice, the last counts
	for _, g := range groups {
		g.Key = clean(g.Key)
		given[g.Key] = g
	}
	keys := slices.Sorted(maps.Keys(given))
	names, err := c.names(ctx, keys)
	if err != nil {
		return err
	}
	stored, err := c.stored(ctx, keys)
	if err != nil {
		return err
	}
	c.members = nil
	rows := make([][]any, len(keys))
	for n, key := range keys {
		g := given[key]
		name, known := names[key]
		c.compare(g, stored[key], known && name != clean(g.Name))
		rows[n] = []any{c.org, c.source, key, g.Name, g.Digest}
	}
	if err := c.execRows(ctx, `INSERT INTO source_groups (org, source, key, name, digest) VALUES`, marks(5),
		`ON CONFLICT (org, source, key) DO UPDATE SET name = excluded.name, digest = excluded.digest, missing_read = 0,
		missing_at = 0`, rows); err != nil {
		return err
	}
	return c.execRows(ctx, `INSERT INTO source_members (org, source, group_key, member, missing_read, missing_at) VALUES`,
		marks(6), `ON CONFLICT (org, source, group_key, member) DO UPDATE SET
		missing_read = excluded.missing_read, missing_at = excluded.missing_at`, c.members)
}

// compare notes which rows of a group's members change, and whom that concerns. stored has the read by which each
// stored member is missing; 0: it is not.
func (c *groupChanges) compare(g SourceGroup, stored map[string]int64, renamed bool) {
	shown := make(map[string]bool, len(g.Members))
	for _, m := range g.Members {
		m = clean(m)
		if shown[m] {
			continue
		}
		shown[m] = true
		missing, is := stored[m]
		if !is || missing > 0 {
			c.members = append(c.members, []any{c.org, c.source, g.Key, m, 0, 0})
		}
		if !is || renamed {
			c.concerned[m] = true
		}
	}
	for m, missing := range stored {
		if shown[m] {
			continue
		}
		if missing == 0 {
			c.members = append(c.members, []any{c.org, c.source, g.Key, m, c.read, instant(c.now)})
		}
		if renamed {
			c.concerned[m] = true
		}
	}
}

// names returns the names of the stored ones of some groups, by key.
func (c *groupChanges) names(ctx context.Context, keys []string) (map[string]string, error) {
	names := map[string]string{}
	where, args := among("org, source", "key", keys, c.org, c.source)
	err := c.each(ctx, func(row scanner) error {
		var key, name string
		err := row.Scan(&key, &name)
		names[key] = name
		return err
	}, `SELECT key, name FROM source_groups WHERE `+where, args...)
	return names, err
}

// stored returns the members of some groups, by the groups' keys.
func (c *groupChanges) stored(ctx context.Context, keys []string) (map[string]map[string]int64, error) {
	stored := map[string]map[string]int64{}
	where, args := among("org, source", "group_key", keys, c.org, c.source)
	err := c.each(ctx, func(row scanner) error {
		var key, member string
		var missing int64
		err := row.Scan(&key, &member, &missing)
		if stored[key] == nil {
			stored[key] = map[string]int64{}
		}
		stored[key][member] = missing
		return err
	}, `SELECT group_key, member, missing_read FROM source_members WHERE `+where, args...)
	return stored, err
}

// grouped adds to identities the groups that they are in, by name, and when that was posted.
func (l *Ledger) grouped(ctx context.Context, org string, identities []Identity) ([]BoundIdentity, error) {
	all := make([]BoundIdentity, len(identities))
	place := map[Ref]int{}
	var refs []Ref
	for n, i := range identities {
		all[n].Identity = i
		if i.State != StateGone {
			place[i.Ref()], refs = n, append(refs, i.Ref())
		}
	}
	for _, some := range chunks(refs) {
		where, args := amongRefs("m.org, m.source, m.member", org, some)
		if err := l.reads.each(ctx, func(row scanner) error {
			var member string
			var g SourceGroupRef
			err := row.Scan(&g.Source, &member, &g.Key, &g.Name)
			n := place[Ref{g.Source, member}]
			all[n].Groups = append(all[n].Groups, g)
			return err
		}, `SELECT m.source, m.member, m.group_key, (SELECT g.name FROM source_groups g WHERE g.org = m.org
			AND g.source = m.source AND g.key = m.group_key) FROM source_members m WHERE `+where, args...); err != nil {
			return nil, err
		}
	}
	for _, i := range all {
		slices.SortFunc(i.Groups, func(a, b SourceGroupRef) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
		})
	}
	return all, l.stated(ctx, org, all)
}

// SourceGroupCount is a group of a source and how many are in it, those included who are missing.
type SourceGroupCount struct {
	SourceGroupRef
	Members int // without those who are gone
	Digest  string
}

// SourceGroupsOf returns the groups of all sources with their numbers of members, by source and key.
func (l *Ledger) SourceGroupsOf(ctx context.Context, org string) ([]SourceGroupCount, error) {
	all, err := collect(ctx, l.reads, func(row scanner) (g SourceGroupCount, err error) {
		return g, row.Scan(&g.Source, &g.Key, &g.Name, &g.Digest)
	}, `SELECT source, key, name, digest FROM source_groups WHERE org = ? ORDER BY source, key`, org)
	if err != nil {
		return nil, reading(err, "the groups of sources", org)
	}
	place := make(map[Ref]int, len(all))
	for n, g := range all {
		place[Ref{g.Source, g.Key}] = n
	}
	err = l.reads.each(ctx, func(row scanner) error {
		var r Ref
		var members int
		err := row.Scan(&r.Source, &r.Key, &members)
		if n, there := place[r]; there {
			all[n].Members += members
		}
		return err
	}, countMembers, org, org)
	return all, reading(err, "the members of groups of sources", org)
}

// countMembers adds up all memberships, less those of people who are gone. Each part reads what it counts alone: most
// people are not gone, and each is in several groups.
const countMembers = `SELECT source, group_key, COUNT(*) FROM source_members WHERE org = ? GROUP BY source, group_key
	UNION ALL SELECT m.source, m.group_key, -COUNT(*) FROM identities i CROSS JOIN source_members m
		WHERE i.org = ? AND i.state = 'gone' AND m.member = i.key AND m.source = i.source AND m.org = i.org
		GROUP BY m.source, m.group_key`

// memberGone holds for the memberships m of people who are gone.
const memberGone = `(COALESCE((SELECT i.state FROM identities i WHERE i.org = m.org AND i.source = m.source
	AND i.key = m.member), '') = 'gone')`

// MembersOf returns the accounts that members of a source's group are, sorted. Those whose binding the chain does not
// explain are left out.
func (l *Ledger) MembersOf(ctx context.Context, org, source, group string) ([]string, error) {
	var keys [][]string
	accounts := map[string]string{}
	err := l.reads.each(ctx, func(row scanner) error {
		var key, account string
		err := row.Scan(&key, &account)
		if account != "" {
			keys = append(keys, bindingKey("", Ref{source, key}))
			accounts[key] = account
		}
		return err
	}, `SELECT m.member, COALESCE((SELECT b.bound FROM bindings b WHERE b.org = m.org AND b.provision = ''
		AND b.source = m.source AND b.key = m.member), '') FROM source_members m
		WHERE m.org = ? AND m.source = ? AND m.group_key = ? AND NOT `+memberGone, org, source, group)
	if err != nil {
		return nil, reading(err, "the members of group "+group+" of source "+source, org)
	}
	explained, err := l.explainedRows(ctx, org, tableBindings, keys)
	if err != nil {
		return nil, reading(err, "what the chain says of the members of group "+group+" of source "+source, org)
	}
	var all []string
	for _, key := range keys {
		if explained[strings.Join(key, "\x00")] {
			all = append(all, accounts[key[2]])
		}
	}
	slices.Sort(all)
	return all, nil
}
