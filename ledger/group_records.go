package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/castellan-io/castellan/access"
)

// GroupRecord is what is known of a group of the organization, in case it is lost.
type GroupRecord struct {
	ID        string // the organization's id
	Name      string
	Synced    bool   // an identity provider owned it
	Directory string // the SCIM directory that has it; "": none that is known
	SCIM      string // its id there
	SCIMAsked time.Time
	Roles     []GroupRole
	RolesRead time.Time // zero: never
	Resources int       // on which it gives a role, by the group search; -1: unknown
	Users     int       // its members, when last refreshed
	Refreshed time.Time
	Run       string // that refreshed it last
	Lost      time.Time
	Settled   time.Time // when its loss was restored or dismissed
	Outcome   string    // GroupRestored or GroupDismissed; "": neither
	By        string    // who decided that
	// Doubted is set while the last reads of its members are not believed: whoever is gone since then still counts.
	Doubted time.Time
	// Unexplained: the chain does not explain the record; nothing may be restored from it.
	Unexplained bool

	members string
	sealed  time.Time
}

// GroupRole is a role that a group gives on a resource.
type GroupRole struct {
	Resource string `json:"resource"` // ARI
	Role     string `json:"role"`     // for example atlassian/user
	Default  bool   `json:"default,omitempty"`
}

// How the loss of a group was settled.
const (
	GroupRestored  = "restored"
	GroupDismissed = "dismissed"
)

const selectGroupRecord = `SELECT id, name, synced, directory, scim_id, scim_asked, roles, roles_read, resources, users,
	members, sealed, doubted, refreshed, run, lost, settled, outcome, by_whom FROM group_records`

func scanGroupRecord(row scanner) (g GroupRecord, err error) {
	var asked, read, sealed, doubted, refreshed, lost, settled int64
	var roles string
	if err := row.Scan(&g.ID, &g.Name, &g.Synced, &g.Directory, &g.SCIM, &asked, &roles, &read, &g.Resources, &g.Users,
		&g.members, &sealed, &doubted, &refreshed, &g.Run, &lost, &settled, &g.Outcome, &g.By); err != nil {
		return g, err
	}
	g.SCIMAsked, g.RolesRead, g.sealed, g.Doubted = fromInstant(asked), fromInstant(read), fromInstant(sealed),
		fromInstant(doubted)
	g.Refreshed, g.Lost, g.Settled = fromInstant(refreshed), fromInstant(lost), fromInstant(settled)
	g.Roles, err = fromList[GroupRole](roles)
	return g, err
}

// GroupQuery selects records of groups.
type GroupQuery struct {
	Lost  bool   // only groups that are lost
	Name  string // only groups that have or had this name, in any case
	After string // the last id of the page before
	Limit int    // 0: 1,000
}

// GroupRecords returns records of groups by id. Which of them the chain does not explain is not looked up.
func (l *Ledger) GroupRecords(ctx context.Context, org string, q GroupQuery) ([]GroupRecord, error) {
	query, args := selectGroupRecord+` WHERE org = ? AND id > ?`, []any{org, q.After}
	if q.Lost {
		query += ` AND lost > 0`
	}
	if q.Name != "" {
		query, args = query+` AND name_key = ?`, append(args, access.Fold(q.Name))
	}
	all, err := collect(ctx, l.reads, scanGroupRecord, query+` ORDER BY id LIMIT ?`, append(args, atMost(q.Limit))...)
	return all, reading(err, "the records of groups", org)
}

// GroupRecord returns the record of a group, or ErrNotFound. It is Unexplained if it, or who was in the group, is not
// as the chain says.
func (l *Ledger) GroupRecord(ctx context.Context, org, id string) (GroupRecord, error) {
	g, err := l.reads.groupRecord(ctx, org, id)
	if err != nil {
		return g, reading(err, "the record of group "+id, org)
	}
	explained, err := l.explainedRows(ctx, org, tableGroups, [][]string{{id}})
	if err != nil {
		return g, reading(err, "what the chain says of the record of group "+id, org)
	}
	digest, err := l.reads.membersDigest(ctx, org, id, trustedMembers, instant(g.Doubted), instant(g.Doubted))
	g.Unexplained = !explained[id] || g.members != "" && g.members != digest
	return g, reading(err, "who was in group "+id, org)
}

func (d database) groupRecord(ctx context.Context, org, id string) (GroupRecord, error) {
	return first(ctx, d, scanGroupRecord, selectGroupRecord+` WHERE org = ? AND id = ?`, org, id)
}

// GroupSeen is a group as a complete search shows it.
type GroupSeen struct {
	ID, Name  string
	Synced    bool
	Resources int         // -1: unknown
	Roles     []GroupRole // if RolesRead
	RolesRead bool
	Directory string // the SCIM directory that has it, if SCIMAsked and one does
	SCIM      string
	SCIMAsked bool
}

// SaveGroups stores what a search shows of groups in place of what was known. They are not lost: one that was, is not
// any more.
func (l *Ledger) SaveGroups(ctx context.Context, org, run string, groups []GroupSeen, at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, "save the records of groups", func(w *write) error {
		for _, some := range chunks(groups) {
			if err := w.saveGroups(ctx, run, some, at); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *write) saveGroups(ctx context.Context, run string, groups []GroupSeen, at time.Time) error {
	keys, rows := make([][]any, len(groups)), make([][]any, len(groups))
	for n, g := range groups {
		var read, asked int64
		if g.RolesRead {
			read = instant(at)
		}
		if g.SCIMAsked {
			asked = instant(at)
		}
		keys[n] = []any{g.ID}
		rows[n] = []any{w.org, g.ID, g.Name, access.Fold(g.Name), flag(g.Synced), g.Directory, g.SCIM, asked,
			list(g.Roles), read, g.Resources, instant(at), run}
	}
	if err := w.touchDoubted(ctx, tableGroups, keys...); err != nil {
		return err
	}
	return w.execRows(ctx, `INSERT INTO group_records (org, id, name, name_key, synced, directory, scim_id, scim_asked,
		roles, roles_read, resources, refreshed, run, users, members, sealed, doubted, changed, lost, settled, outcome,
		by_whom) VALUES`, marks(13)+`, 0, '', 0, 0, 1, 0, 0, '', ''`, `ON CONFLICT (org, id) DO UPDATE SET
		name = excluded.name, name_key = excluded.name_key, synced = excluded.synced,
		directory = CASE WHEN excluded.scim_id <> '' THEN excluded.directory ELSE group_records.directory END,
		scim_id = CASE WHEN excluded.scim_id <> '' THEN excluded.scim_id ELSE group_records.scim_id END,
		scim_asked = CASE WHEN excluded.scim_asked > 0 THEN excluded.scim_asked ELSE group_records.scim_asked END,
		roles = CASE WHEN excluded.roles_read > 0 THEN excluded.roles ELSE group_records.roles END,
		roles_read = CASE WHEN excluded.roles_read > 0 THEN excluded.roles_read ELSE group_records.roles_read END,
		resources = CASE WHEN excluded.roles_read > 0 THEN excluded.resources ELSE group_records.resources END,
		refreshed = excluded.refreshed, run = excluded.run, lost = 0, settled = 0, outcome = '', by_whom = ''`, rows)
}

// RefreshedGroups records that a run's search showed all groups that are not lost.
func (l *Ledger) RefreshedGroups(ctx context.Context, org, run string, at time.Time) error {
	return l.write(ctx, org, "note which groups are there", func(w *write) error {
		_, err := w.exec(ctx, `UPDATE group_records SET refreshed = ?, run = ? WHERE org = ? AND lost = 0`,
			instant(orNow(at)), run, org)
		return err
	})
}

// LoseGroup records that a group does not exist any more. What is known of it stays as it is.
func (l *Ledger) LoseGroup(ctx context.Context, org, id string, at time.Time) error {
	return l.write(ctx, org, "note that group "+id+" is lost", func(w *write) error {
		if err := w.touchDoubted(ctx, tableGroups, []any{id}); err != nil {
			return err
		}
		_, err := w.exec(ctx, `UPDATE group_records SET lost = ? WHERE org = ? AND id = ? AND lost = 0`,
			instant(orNow(at)), org, id)
		return err
	})
}

// SettleGroup records how the loss of a group was settled: it is not reported any more.
func (l *Ledger) SettleGroup(ctx context.Context, org, id, outcome, by string, at time.Time) error {
	return l.write(ctx, org, "settle the loss of group "+id, func(w *write) error {
		if err := w.touchDoubted(ctx, tableGroups, []any{id}); err != nil {
			return err
		}
		_, err := w.exec(ctx, `UPDATE group_records SET settled = ?, outcome = ?, by_whom = ?
			WHERE org = ? AND id = ? AND lost > 0 AND outcome <> ?`, instant(orNow(at)), outcome, clean(by), org, id, outcome)
		return err
	})
}

// Conditions on the members of one group. Instants follow the organization and the group among the arguments.
const (
	// trustedMembers are those who count as members, with the instant since when the reads are doubted, twice.
	trustedMembers = `(gone = 0 OR CAST(? AS BIGINT) > 0 AND gone > ?)`
	// formerMembers are those who counted when the group was sealed last: with that instant twice, and as above.
	formerMembers = `since <= ? AND (gone = 0 OR gone > ? OR CAST(? AS BIGINT) > 0 AND gone > ?)`
)

// membersDigest returns the digest of a group's members that a condition selects.
func (d database) membersDigest(ctx context.Context, org, group, condition string, args ...any) (string, error) {
	sum := sha256.New()
	err := d.each(ctx, func(row scanner) error {
		var account string
		err := row.Scan(&account)
		sum.Write([]byte(account + "\n"))
		return err
	}, `SELECT account FROM group_members WHERE org = ? AND group_id = ? AND `+condition+` ORDER BY account`,
		append([]any{org, group}, args...)...)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// GroupMember is a member of a group, now or formerly.
type GroupMember struct {
	Account string // account id
	Email   string // as last seen
	Since   time.Time
	Gone    time.Time // zero: a member
}

// GroupMembers returns who counts as a member of a group by its record, by account: at most limit (1,000 for 0) after
// the account named.
func (l *Ledger) GroupMembers(ctx context.Context, org string, g GroupRecord, after string, limit int) ([]GroupMember,
	error) {
	all, err := collect(ctx, l.reads, func(row scanner) (m GroupMember, err error) {
		var since, gone int64
		err = row.Scan(&m.Account, &since, &gone)
		m.Since, m.Gone = fromInstant(since), fromInstant(gone)
		return m, err
	}, `SELECT account, since, gone FROM group_members WHERE org = ? AND group_id = ? AND `+trustedMembers+`
		AND account > ? ORDER BY account LIMIT ?`, org, g.ID, instant(g.Doubted), instant(g.Doubted), after, atMost(limit))
	if err != nil {
		return nil, reading(err, "who was in group "+g.ID, org)
	}
	ids := make([]string, len(all))
	for n, m := range all {
		ids[n] = m.Account
	}
	known, err := l.KnownEmails(ctx, org, ids)
	for n := range all {
		all[n].Email = known[all[n].Account]
	}
	return all, err
}

// CountGroupMembers returns how many people count as members of a group by its record.
func (l *Ledger) CountGroupMembers(ctx context.Context, org string, g GroupRecord) (n int, err error) {
	n, err = first(ctx, l.reads, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM group_members WHERE org = ? AND group_id = ? AND `+trustedMembers, org, g.ID,
		instant(g.Doubted), instant(g.Doubted))
	return n, reading(err, "how many were in group "+g.ID, org)
}
