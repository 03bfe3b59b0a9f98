package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// DirectoryGroup is a group of a SCIM directory, as it was last shown or written.
type DirectoryGroup struct {
	ID      string // in the directory: never that of the organization's group
	Name    string
	Members []string  // ids of records
	Digest  string    // of name and members, as the caller makes it
	Count   int       // of members; set by the ledger
	Since   time.Time // when it was first shown; set by the ledger
}

// DirectoryGroupDigests is SourceDigests for the groups of a SCIM directory.
func (l *Ledger) DirectoryGroupDigests(ctx context.Context, org, directory string) (map[string]string, error) {
	all, err := l.digests(ctx, `SELECT id, digest FROM scim_groups WHERE org = ? AND directory = ?`, org, directory)
	return all, reading(err, "the digests of the groups of directory "+directory, org)
}

// SaveDirectoryGroups stores groups that were shown, each with all its members: those that are new, or whose digest is
// another than before. Memory is in proportion to the members given and stored.
func (l *Ledger) SaveDirectoryGroups(ctx context.Context, org, directory string, groups []DirectoryGroup,
	now time.Time) error {
	now = orNow(now)
	return l.write(ctx, org, "save groups of directory "+directory, func(w *write) error {
		for _, g := range groups {
			if err := w.saveDirectoryGroup(ctx, directory, g, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *write) saveDirectoryGroup(ctx context.Context, directory string, g DirectoryGroup, now time.Time) error {
	g.ID = clean(g.ID)
	if _, err := w.exec(ctx, `INSERT INTO scim_groups (org, directory, id, name, digest, since) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, directory, id) DO UPDATE SET name = excluded.name, digest = excluded.digest`,
		w.org, directory, g.ID, g.Name, g.Digest, instant(now)); err != nil {
		return err
	}
	stored, err := w.directoryMembers(ctx, w.org, directory, g.ID)
	if err != nil {
		return err
	}
	left := make(map[string]bool, len(stored))
	for _, m := range stored {
		left[m] = true
	}
	var joined []string
	for _, m := range g.Members {
		if m = clean(m); !left[m] {
			joined = append(joined, m)
		}
		delete(left, m)
	}
	gone := slices.DeleteFunc(stored, func(m string) bool { return !left[m] })
	return w.moveSCIMMembers(ctx, directory, g.ID, joined, gone)
}

// moveSCIMMembers adds records to a group in the replica, and takes others out of it.
func (w *write) moveSCIMMembers(ctx context.Context, directory, group string, joined, left []string) error {
	rows := make([][]any, len(joined))
	for n, record := range joined {
		rows[n] = []any{w.org, directory, group, record}
	}
	if err := w.execRows(ctx, `INSERT INTO scim_members (org, directory, group_id, record) VALUES`, marks(4),
		`ON CONFLICT (org, directory, group_id, record) DO NOTHING`, rows); err != nil {
		return err
	}
	for _, some := range chunks(left) {
		where, args := among("org, directory, group_id", "record", some, w.org, directory, group)
		if _, err := w.exec(ctx, `DELETE FROM scim_members WHERE `+where, args...); err != nil {
			return err
		}
	}
	return nil
}

// MoveDirectoryMembers records that a write has put records into a group of a directory, or taken them out. The next
// read saves the group again.
func (l *Ledger) MoveDirectoryMembers(ctx context.Context, org, directory, group string, joined, left []string) error {
	return l.write(ctx, org, "record members of group "+group+" of directory "+directory, func(w *write) error {
		if _, err := w.exec(ctx, `UPDATE scim_groups SET digest = '' WHERE org = ? AND directory = ? AND id = ?`, org,
			directory, group); err != nil {
			return err
		}
		return w.moveSCIMMembers(ctx, directory, group, joined, left)
	})
}

// DirectoryGroupGone records that a look-up, or a deletion of Castellan's own, says that there is no such group.
func (l *Ledger) DirectoryGroupGone(ctx context.Context, org, directory, id string) error {
	return l.write(ctx, org, "note that group "+id+" of directory "+directory+" is gone", func(w *write) error {
		if _, err := w.exec(ctx, `DELETE FROM scim_members WHERE org = ? AND directory = ? AND group_id = ?`, org,
			directory, id); err != nil {
			return err
		}
		_, err := w.exec(ctx, `DELETE FROM scim_groups WHERE org = ? AND directory = ? AND id = ?`, org, directory, id)
		return err
	})
}

// DirectoryGroups returns the groups of a directory by id, with the numbers of their members, but not the members.
func (l *Ledger) DirectoryGroups(ctx context.Context, org, directory string) ([]DirectoryGroup, error) {
	all, err := collect(ctx, l.reads, func(row scanner) (g DirectoryGroup, err error) {
		var since int64
		err = row.Scan(&g.ID, &g.Name, &g.Digest, &since, &g.Count)
		g.Since = fromInstant(since)
		return g, err
	}, `SELECT g.id, g.name, g.digest, g.since, (SELECT COUNT(*) FROM scim_members m WHERE m.org = g.org
		AND m.directory = g.directory AND m.group_id = g.id) FROM scim_groups g
		WHERE g.org = ? AND g.directory = ? ORDER BY g.id`, org, directory)
	return all, reading(err, "the groups of directory "+directory, org)
}

// DirectoryMembers returns the ids of the records that are in a group of a directory, sorted.
func (l *Ledger) DirectoryMembers(ctx context.Context, org, directory, group string) ([]string, error) {
	all, err := l.reads.directoryMembers(ctx, org, directory, group)
	return all, reading(err, "the members of group "+group+" of directory "+directory, org)
}

func (d database) directoryMembers(ctx context.Context, org, directory, group string) ([]string, error) {
	return collect(ctx, d, func(row scanner) (record string, err error) { return record, row.Scan(&record) },
		`SELECT record FROM scim_members WHERE org = ? AND directory = ? AND group_id = ? ORDER BY record`, org, directory,
		group)
}

// DirectoryGroupsOf returns the ids of the groups that records of a directory are in, by record, sorted.
func (l *Ledger) DirectoryGroupsOf(ctx context.Context, org, directory string, records []string) (map[string][]string,
	error) {
	all := map[string][]string{}
	for _, some := range chunks(records) {
		rows := make([][]any, len(some))
		for n, record := range some {
			rows[n] = []any{record, directory, org}
		}
		where, args := amongRows("record, directory, org", rows)
		if err := l.reads.each(ctx, func(row scanner) error {
			var record, group string
			err := row.Scan(&record, &group)
			all[record] = append(all[record], group)
			return err
		}, `SELECT record, group_id FROM scim_members WHERE `+where+` ORDER BY record, group_id`, args...); err != nil {
			return nil, reading(err, "the groups that records of directory "+directory+" are in", org)
		}
	}
	return all, nil
}

// StrayMembers returns the records that are in a group of a directory and that a run (with run "", the last one about
// each person) found to be nobody's in the provision, by id, at most limit.
func (l *Ledger) StrayMembers(ctx context.Context, org, provision, run, directory, group string, limit int) ([]Record,
	error) {
	all, err := collect(ctx, l.reads, scanRecord, selectRecord+` WHERE org = ? AND directory = ? AND state <> 'gone'
		AND id IN (SELECT m.record FROM scim_members m WHERE m.org = ? AND m.directory = ? AND m.group_id = ?)
		AND id NOT IN (SELECT s.record FROM person_states s WHERE s.org = ? AND s.provision = ? AND s.source <> ''
			AND (s.run = ? OR ? = '')) ORDER BY id LIMIT ?`, org, directory, org, directory, group, org, provision, run,
		run, atMost(limit))
	return all, reading(err, "who is in group "+group+" of directory "+directory+" for no reason", org)
}

// ofSCIMGroups holds for the lines of groups in SCIM directories, in the words of their index.
const ofSCIMGroups = `target >= 'scim-group' AND target < 'scim-grouq'`

// GroupWork is how many lines of a run are to be written for a group of a SCIM directory, of one action.
type GroupWork struct {
	Target access.Entitlement `json:"target"`
	Action access.Action      `json:"action"`
	Lines  int                `json:"lines"`
}

// GroupWork returns the groups of SCIM directories for which a run has lines to write, by target and action. waited
// selects lines that waited for a person's decision, or that did not.
func (l *Ledger) GroupWork(ctx context.Context, org, run string, waited *bool) ([]GroupWork, error) {
	query, args := `SELECT target, action, COUNT(*) FROM lines WHERE `+ofSCIMGroups+` AND org = ? AND run = ?
		AND state IN ('planned', 'sent')`, []any{org, run}
	if waited != nil {
		query, args = query+` AND (held_by <> '') = ?`, append(args, *waited)
	}
	all, err := collect(ctx, l.reads, func(row scanner) (g GroupWork, err error) {
		return g, row.Scan(&g.Target, &g.Action, &g.Lines)
	}, query+` GROUP BY target, action ORDER BY target, action`, args...)
	return all, reading(err, "what run "+run+" has to write for groups", org)
}

// GroupLines returns the next lines of a run that are to be written for a group of a SCIM directory, by person. after
// is the person of the last one before; waited selects as in GroupWork.
func (l *Ledger) GroupLines(ctx context.Context, org, run string, of GroupWork, waited *bool, after string,
	limit int) ([]access.Change, error) {
	query, args := selectChange+` WHERE `+ofSCIMGroups+` AND org = ? AND run = ? AND target = ? AND person > ?
		AND action = ? AND state IN ('planned', 'sent')`, []any{org, run, string(of.Target), after, string(of.Action)}
	if waited != nil {
		query, args = query+` AND (held_by <> '') = ?`, append(args, *waited)
	}
	all, err := collect(ctx, l.reads, scanChange, query+` ORDER BY person LIMIT ?`, append(args, atMost(limit))...)
	return all, reading(err, "the lines of "+string(of.Target)+" of run "+run, org)
}

// BeginChanges is BeginChange for several lines of one target, in one transaction. Lines that may not be written, for
// one of the reasons that BeginChange names, are returned as they are.
func (l *Ledger) BeginChanges(ctx context.Context, org, run string, target access.Entitlement, people []string,
	at time.Time) (before []access.Change, err error) {
	err = l.write(ctx, org, "begin changes in "+string(target)+" of run "+run, func(w *write) error {
		before = nil
		rows := make([][]any, len(people))
		for n, person := range people {
			rows[n] = []any{org, run, person, string(target)}
		}
		for _, some := range chunks(rows) {
			where, args := amongRows("org, run, person, target", some)
			lines, err := collect(ctx, w.database, scanChange, selectChange+` WHERE `+where+` ORDER BY person`, args...)
			if err != nil {
				return err
			}
			before = append(before, lines...)
			if _, err := w.exec(ctx, `UPDATE lines SET state = 'sent', at = ?, attempts = attempts + 1
				WHERE state IN ('planned', 'sent') AND `+where, append([]any{instant(orNow(at))}, args...)...); err != nil {
				return err
			}
		}
		return nil
	})
	return before, err
}

// CancelChanges is CancelChange for several lines of one target.
func (l *Ledger) CancelChanges(ctx context.Context, org, run string, target access.Entitlement, people []string) error {
	return l.write(ctx, org, "cancel changes in "+string(target)+" of run "+run, func(w *write) error {
		for _, person := range people {
			if _, err := w.exec(ctx, `UPDATE lines SET state = 'planned', attempts = attempts - 1
				WHERE org = ? AND run = ? AND person = ? AND target = ? AND state = 'sent' AND attempts = 1`,
				org, run, person, string(target)); err != nil {
				return err
			}
		}
		return nil
	})
}
