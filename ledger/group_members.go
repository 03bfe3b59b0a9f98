package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// How long the ledger keeps what is no longer so.
const (
	GroupMembersKept = 30 * 24 * time.Hour  // members of a group that a read did not show any more
	lostGroupsKept   = 365 * 24 * time.Hour // records of lost groups
)

// PersonGroups are the groups that a read shows a person in.
type PersonGroups struct {
	Account string
	Groups  []string // the organization's ids
}

func (p PersonGroups) digest() string {
	sum := sha256.Sum256([]byte(strings.Join(p.Groups, "\n")))
	return hex.EncodeToString(sum[:16])
}

// SaveMembers stores the groups of people as a read shows them, for the groups that there are. Whoever is not shown in
// one of these any more stays a former member. Where nothing changed, nothing is written: that is one query for 500
// people. At is the start of the read, whose pages all have the same: a repeat changes nothing.
func (l *Ledger) SaveMembers(ctx context.Context, org string, people []PersonGroups, there map[string]bool,
	at time.Time) error {
	for _, some := range chunks(people) {
		some = slices.Clone(some)
		for n := range some {
			some[n].Groups = slices.DeleteFunc(slices.Clone(some[n].Groups), func(id string) bool { return !there[id] })
			slices.Sort(some[n].Groups)
			some[n].Groups = slices.Compact(some[n].Groups)
		}
		changed, err := l.reads.changedPeople(ctx, org, some)
		if err != nil {
			return reading(err, "the groups of people", org)
		}
		if len(changed) == 0 {
			continue
		}
		if err := l.write(ctx, org, "save the groups of people", func(w *write) error {
			return w.saveMembers(ctx, changed, there, at)
		}); err != nil {
			return err
		}
	}
	return nil
}

// changedPeople returns those whose groups are not the ones that were stored last.
func (d database) changedPeople(ctx context.Context, org string, people []PersonGroups) ([]PersonGroups, error) {
	ids := make([]string, len(people))
	for n, p := range people {
		ids[n] = p.Account
	}
	stored := make(map[string]string, len(people))
	where, args := among("org", "account", ids, org)
	err := d.each(ctx, func(row scanner) error {
		var account, digest string
		err := row.Scan(&account, &digest)
		stored[account] = digest
		return err
	}, `SELECT account, digest FROM group_people WHERE `+where, args...)
	seen := map[string]bool{}
	return slices.DeleteFunc(people, func(p PersonGroups) bool {
		again := seen[p.Account] || stored[p.Account] == p.digest()
		seen[p.Account] = true
		return again
	}), err
}

// saveMembers writes what differs of the memberships of some people.
func (w *write) saveMembers(ctx context.Context, people []PersonGroups, there map[string]bool, at time.Time) error {
	ids, digests := make([]string, len(people)), make([][]any, len(people))
	shown := map[[2]string]bool{} // group and account
	for n, p := range people {
		ids[n], digests[n] = p.Account, []any{w.org, p.Account, p.digest()}
		for _, group := range p.Groups {
			shown[[2]string{group, p.Account}] = true
		}
	}
	var gone [][2]string
	where, args := among("org", "account", ids, w.org)
	err := w.each(ctx, func(row scanner) error {
		var key [2]string
		err := row.Scan(&key[0], &key[1])
		if !shown[key] && there[key[0]] {
			gone = append(gone, key)
		}
		delete(shown, key)
		return err
	}, `SELECT group_id, account FROM group_members WHERE gone = 0 AND `+where, args...)
	if err != nil {
		return err
	}
	var joined [][2]string
	for key := range shown {
		joined = append(joined, key)
	}
	if err := w.moveMembers(ctx, joined, gone, at); err != nil {
		return err
	}
	return w.execRows(ctx, `INSERT INTO group_people (org, account, digest) VALUES`, marks(3),
		`ON CONFLICT (org, account) DO UPDATE SET digest = excluded.digest`, digests)
}

// moveMembers stores who joined groups, and who is not shown in them any more. Whoever comes back who counts as a
// member was one all the time.
func (w *write) moveMembers(ctx context.Context, joined, gone [][2]string, at time.Time) error {
	groups, rows := map[string]bool{}, make([][]any, len(joined))
	for n, key := range joined {
		groups[key[0]] = true
		rows[n] = []any{w.org, key[0], key[1], instant(at)}
	}
	if err := w.execRows(ctx, `INSERT INTO group_members (org, group_id, account, since, gone) VALUES`, marks(4)+`, 0`,
		`ON CONFLICT (org, group_id, account) DO UPDATE SET gone = 0, since = CASE WHEN EXISTS (SELECT 1
		FROM group_records g WHERE g.org = group_members.org AND g.id = group_members.group_id
		AND (g.sealed < group_members.gone OR g.doubted > 0 AND g.doubted < group_members.gone))
		THEN group_members.since ELSE excluded.since END`, rows); err != nil {
		return err
	}
	for _, some := range chunks(gone) {
		keys := make([][]any, len(some))
		for n, key := range some {
			groups[key[0]] = true
			keys[n] = []any{w.org, key[0], key[1]}
		}
		where, args := amongRows("org, group_id, account", keys)
		if _, err := w.exec(ctx, `UPDATE group_members SET gone = ? WHERE gone = 0 AND `+where,
			append([]any{instant(at)}, args...)...); err != nil {
			return err
		}
	}
	ids := make([]string, 0, len(groups))
	for id := range groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, some := range chunks(ids) {
		where, args := among("org", "id", some, w.org)
		if _, err := w.exec(ctx, `UPDATE group_records SET changed = 1 WHERE changed = 0 AND `+where, args...); err != nil {
			return err
		}
	}
	return nil
}

// GroupChange is how many members a group had when its record was sealed last, and how it is now.
type GroupChange struct {
	ID      string
	Had     int // members at the last trusted read
	Kept    int // of these, who still are
	Users   int // members now
	Doubted time.Time
}

// SealGroups ends a read of all people that began at start: it goes through the groups whose members changed, has
// doubted decide whether to believe that, and puts the digest of who counts as a member into the chain. Former members
// are forgotten after GroupMembersKept, and those who left the organization are former members. A repeat finds nothing
// left to do. beat is called for each group.
func (l *Ledger) SealGroups(ctx context.Context, org string, start time.Time, doubted func(GroupChange) bool,
	beat func()) error {
	if err := l.write(ctx, org, "forget former members of groups", func(w *write) error {
		return w.forgetMembers(ctx, start)
	}); err != nil {
		return err
	}
	for after := ""; ; {
		groups, err := collect(ctx, l.reads, scanGroupRecord, selectGroupRecord+` WHERE org = ? AND id > ?
			AND (changed = 1 OR doubted > 0 AND lost = 0) ORDER BY id LIMIT 100`, org, after)
		if err != nil || len(groups) == 0 {
			return reading(err, "which groups changed", org)
		}
		after = groups[len(groups)-1].ID
		if err := l.write(ctx, org, "seal the members of groups", func(w *write) error {
			for _, g := range groups {
				if err := w.sealGroup(ctx, g, start, doubted); err != nil {
					return err
				}
				beat()
			}
			return nil
		}); err != nil {
			return err
		}
	}
}

// SealGroup is SealGroups for one group.
func (l *Ledger) SealGroup(ctx context.Context, org, id string, start time.Time, doubted func(GroupChange) bool) error {
	return l.write(ctx, org, "seal the members of group "+id, func(w *write) error {
		g, err := w.groupRecord(ctx, org, id)
		if err != nil {
			return err
		}
		return w.sealGroup(ctx, g, start, doubted)
	})
}

func (w *write) sealGroup(ctx context.Context, g GroupRecord, start time.Time, doubted func(GroupChange) bool) error {
	if err := w.touchDoubted(ctx, tableGroups, []any{g.ID}); err != nil {
		return err
	}
	sealed, ref := instant(g.sealed), instant(g.Doubted)
	if g.members != "" {
		was, err := w.membersDigest(ctx, w.org, g.ID, formerMembers, sealed, sealed, ref, ref)
		if err != nil {
			return err
		}
		if was != g.members { // somebody else wrote them: they are learned anew
			return w.forgetGroupMembers(ctx, g.ID)
		}
	}
	if !g.Doubted.IsZero() && g.Lost.IsZero() && g.Doubted.Before(start.Add(-GroupMembersKept)) {
		sealed, ref = instant(start), 0
	}
	since := cmp.Or(ref, sealed)
	change := GroupChange{ID: g.ID, Doubted: g.Doubted}
	err := w.each(ctx, func(row scanner) error { return row.Scan(&change.Had, &change.Kept, &change.Users) },
		`SELECT COALESCE(SUM(CASE WHEN since <= ? AND (gone = 0 OR gone > ?) THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN since <= ? AND gone = 0 THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN gone = 0 THEN 1 ELSE 0 END), 0) FROM group_members WHERE org = ? AND group_id = ?`,
		since, since, since, w.org, g.ID)
	if err != nil {
		return err
	}
	ref = 0
	if change.Kept < change.Had && doubted(change) {
		ref = since
	}
	digest, err := w.membersDigest(ctx, w.org, g.ID, trustedMembers, ref, ref)
	if err != nil {
		return err
	}
	_, err = w.exec(ctx, `UPDATE group_records SET members = ?, sealed = ?, doubted = ?, users = ?, changed = 0
		WHERE org = ? AND id = ?`, digest, instant(start), ref, change.Users, w.org, g.ID)
	return err
}

// forgetGroupMembers forgets who is in a group: the next read of all people tells, whose groups count as changed.
func (w *write) forgetGroupMembers(ctx context.Context, id string) error {
	if _, err := w.exec(ctx, `DELETE FROM group_people WHERE org = ?`, w.org); err != nil {
		return err
	}
	if _, err := w.exec(ctx, `DELETE FROM group_members WHERE org = ? AND group_id = ?`, w.org, id); err != nil {
		return err
	}
	_, err := w.exec(ctx, `UPDATE group_records SET members = '', sealed = 0, doubted = 0, changed = 1
		WHERE org = ? AND id = ?`, w.org, id)
	return err
}

// forgetMembers ends the memberships of people who left the organization, and forgets former members and lost groups
// after some time.
func (w *write) forgetMembers(ctx context.Context, start time.Time) error {
	left, err := collect(ctx, w.database, func(row scanner) (key [2]string, err error) {
		return key, row.Scan(&key[0], &key[1])
	}, `SELECT m.group_id, m.account FROM people p JOIN group_people g ON g.org = p.org AND g.account = p.id
		JOIN group_members m ON m.org = p.org AND m.account = p.id
		WHERE p.org = ? AND p.missing > 0 AND m.gone = 0 AND EXISTS (SELECT 1 FROM group_records r
			WHERE r.org = m.org AND r.id = m.group_id AND r.lost = 0)`, w.org)
	if err != nil {
		return err
	}
	if err := w.moveMembers(ctx, nil, left, start); err != nil {
		return err
	}
	old := instant(start.Add(-GroupMembersKept))
	if err := w.touchDoubtedWhere(ctx, tableGroups, `lost > 0 AND lost < ?`,
		instant(start.Add(-lostGroupsKept))); err != nil {
		return err
	}
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{`DELETE FROM group_people WHERE org = ? AND account IN (SELECT id FROM people WHERE org = ? AND missing > 0)`,
			[]any{w.org, w.org}},
		{`DELETE FROM group_members WHERE org = ? AND gone > 0 AND gone < ? AND EXISTS (SELECT 1 FROM group_records r
			WHERE r.org = group_members.org AND r.id = group_members.group_id AND r.lost = 0 AND r.changed = 0
			AND r.doubted = 0)`, []any{w.org, old}},
		{`DELETE FROM group_members WHERE org = ? AND group_id IN (SELECT id FROM group_records
			WHERE org = ? AND lost > 0 AND lost < ?)`, []any{w.org, w.org, instant(start.Add(-lostGroupsKept))}},
		{`DELETE FROM group_records WHERE org = ? AND lost > 0 AND lost < ?`,
			[]any{w.org, instant(start.Add(-lostGroupsKept))}},
	} {
		if _, err := w.exec(ctx, s.statement, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// SaveGroupMembers stores who is in one group by a read of that group at an instant.
func (l *Ledger) SaveGroupMembers(ctx context.Context, org, group string, accounts []string, at time.Time) error {
	return l.write(ctx, org, "save the members of group "+group, func(w *write) error {
		shown := make(map[string]bool, len(accounts))
		for _, account := range accounts {
			shown[account] = true
		}
		var joined, gone [][2]string
		err := w.each(ctx, func(row scanner) error {
			var account string
			err := row.Scan(&account)
			if !shown[account] {
				gone = append(gone, [2]string{group, account})
			}
			delete(shown, account)
			return err
		}, `SELECT account FROM group_members WHERE org = ? AND group_id = ? AND gone = 0`, org, group)
		if err != nil {
			return err
		}
		for account := range shown {
			joined = append(joined, [2]string{group, account})
		}
		if err := w.moveMembers(ctx, joined, gone, at); err != nil {
			return err
		}
		ids := make([]string, 0, len(joined)+len(gone))
		for _, key := range slices.Concat(joined, gone) {
			ids = append(ids, key[1])
		}
		for _, some := range chunks(ids) { // the next page that shows them is compared with their rows
			where, args := among("org", "account", some, org)
			if _, err := w.exec(ctx, `DELETE FROM group_people WHERE `+where, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
