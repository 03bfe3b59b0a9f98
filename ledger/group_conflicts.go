package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// GroupDifference is a person who is in one of two groups and not in the other; or who lost one of them unseen.
type GroupDifference struct {
	Source  string
	Key     string // of the source's group
	GroupID string // at Atlassian
	Person  string // account id
	Missing bool   // in the source's group and not at Atlassian; otherwise the other way round
	// Lost: in neither, and was in that at Atlassian until it was accepted there, which nobody was shown.
	Lost bool
}

// The ways in which somebody differs, as rows have them, in the order in which people are listed and hashed.
const (
	differsExtra = iota
	differsMissing
	differsLost
)

func (d GroupDifference) way() int {
	switch {
	case d.Lost:
		return differsLost
	case d.Missing:
		return differsMissing
	}
	return differsExtra
}

// GroupConflict is the difference between a group of a source and its counterpart at Atlassian, and what a person
// decided about exactly that.
type GroupConflict struct {
	Source     string
	Key        string // of the source's group
	GroupID    string // at Atlassian
	SourceName string
	GroupName  string
	Entry      string // of the policy's groups; "": none, the names are just equal
	Kind       string // what that entry wants the group to be
	Fit        bool   // accepting is possible
	// Linked: the group follows already, and the extra people are somebody else's. A synced one was accepted at
	// Atlassian, and the people are those in whom it is otherwise than was shown before.
	Linked  bool
	Missing int // people in the source's group who are not in that at Atlassian, and those who lost it unseen
	Extra   int // the other way round
	// Opens is what the group opens at Atlassian: roles on apps on sites, sorted.
	Opens []string
	// Hash is over both ids, everybody who is missing or extra, and what the group opens.
	Hash string
	Run  string    // that found it, and has the people
	At   time.Time // when a run found exactly this first

	Decision string // DecisionAccepted, DecisionRejected; "": open
	By, Note string
	Decided  time.Time
}

// What a person may decide about a conflict of groups.
const (
	DecisionAccepted = "accepted"
	DecisionRejected = "rejected"
)

// Synced reports whether the policy wants a synced group in place of Atlassian's own, which a person accepts there.
func (c GroupConflict) Synced() bool { return c.Entry != "" && c.Kind != kindLocal }

// Open reports whether a person is to decide.
func (c GroupConflict) Open() bool { return c.Entry != "" && c.Decision == "" && (c.Fit || c.Synced()) }

func (c GroupConflict) key() []any { return []any{c.Source, c.Key, c.GroupID} }

// saveDifferences replaces the differences of a page.
func (w *write) saveDifferences(ctx context.Context, run, page string, differences []GroupDifference) error {
	if _, err := w.exec(ctx, `DELETE FROM group_differences WHERE org = ? AND run = ? AND page = ?`, w.org, run,
		page); err != nil {
		return err
	}
	rows := make([][]any, len(differences))
	for n, d := range differences {
		rows[n] = []any{w.org, run, page, d.Source, d.Key, d.GroupID, d.Person, d.way()}
	}
	return w.execRows(ctx, `INSERT INTO group_differences (org, run, page, source, key, group_id, person, missing)
		VALUES`, marks(8), `ON CONFLICT (org, run, source, key, group_id, missing, person) DO UPDATE SET
		page = excluded.page`, rows)
}

// conflictSum is the hash of a conflict in the making.
type conflictSum struct {
	GroupConflict
	sum hash.Hash
}

func newConflictSum(source, key, group string) *conflictSum {
	c := &conflictSum{GroupConflict: GroupConflict{Source: source, Key: key, GroupID: group}, sum: sha256.New()}
	c.put(source, key, group)
	return c
}

func (c *conflictSum) put(fields ...string) {
	for _, f := range fields {
		_, _ = fmt.Fprintf(c.sum, "%d:%s\n", len(f), f) // a hash takes everything
	}
}

// add takes the next person, of those who are extra, then of those who are missing, then of those who lost the group,
// each in order.
func (c *conflictSum) add(d GroupDifference) {
	if d.Missing || d.Lost {
		c.Missing++
	} else {
		c.Extra++
	}
	if c.put(d.Person, fmt.Sprint(d.Missing)); d.Lost {
		c.put("lost")
	}
}

func (c *conflictSum) end(opens []string) GroupConflict {
	c.Opens = opens
	c.put(opens...)
	c.Hash = "sha256:" + hex.EncodeToString(c.sum.Sum(nil))
	return c.GroupConflict
}

// UnprovenPair is the conflict of two groups in which nobody is known to differ, and that are the same by name only. It
// has both ids, what the group at Atlassian opens, and the hash.
func UnprovenPair(source, key, group string, opens []string) GroupConflict {
	return newConflictSum(source, key, group).end(opens)
}

// Differences returns how the groups of a source and their counterparts differ in what a run saw: with the numbers, the
// hash and the run, and nothing else. opens returns what a group at Atlassian opens.
func (l *Ledger) Differences(ctx context.Context, org, run string,
	opens func(groupID string) []string) (all []GroupConflict, err error) {
	var c *conflictSum
	end := func() {
		if c != nil {
			c.Run = run
			all = append(all, c.end(opens(c.GroupID)))
		}
	}
	err = l.reads.each(ctx, func(row scanner) error {
		d, err := scanDifference(row)
		if err != nil {
			return err
		}
		if c == nil || c.Source != d.Source || c.Key != d.Key || c.GroupID != d.GroupID {
			end()
			c = newConflictSum(d.Source, d.Key, d.GroupID)
		}
		c.add(d)
		return nil
	}, selectDifference+` WHERE org = ? AND run = ?`+orderDifferences, org, run)
	end()
	return all, reading(err, "how groups differ in run "+run, org)
}

const (
	selectDifference = `SELECT source, key, group_id, person, missing FROM group_differences`
	orderDifferences = ` ORDER BY source, key, group_id, missing, person`
)

// DifferencesOf returns at most limit people (1,000 for 0) of a conflict, those who are extra first, by account id.
func (l *Ledger) DifferencesOf(ctx context.Context, org string, c GroupConflict, after GroupDifference,
	limit int) ([]GroupDifference, error) {
	all, err := collect(ctx, l.reads, scanDifference, selectDifference+` WHERE org = ? AND run = ? AND source = ?
		AND key = ? AND group_id = ? AND (missing, person) > (?, ?)`+orderDifferences+` LIMIT ?`, org, c.Run, c.Source,
		c.Key, c.GroupID, after.way(), after.Person, atMost(limit))
	return all, reading(err, "the people of a conflict", org)
}

func scanDifference(row scanner) (d GroupDifference, err error) {
	var way int
	err = row.Scan(&d.Source, &d.Key, &d.GroupID, &d.Person, &way)
	d.Missing, d.Lost = way == differsMissing, way == differsLost
	return d, err
}

// KeepConflicts records the conflicts of a full verification in place of all others. A decision stays where the hash is
// the same. One that names an earlier run is kept with the people whom that one found. What no conflict refers to any
// more is deleted. What became of groups that were accepted at Atlassian gets entries of the chain. It returns the
// conflicts with their decisions.
func (l *Ledger) KeepConflicts(ctx context.Context, org, run string, found []GroupConflict, accepted []AcceptedGroup,
	now time.Time) (kept []GroupConflict, err error) {
	now = orNow(now)
	err = l.write(ctx, org, "keep conflicts of groups", func(w *write) error {
		before, err := w.conflicts(ctx)
		if err != nil {
			return err
		}
		if before, err = l.explainedConflicts(ctx, org, before); err != nil {
			return err
		}
		if err := w.forgetWhere(ctx, tableGroupConflicts, `decision <> ''`); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `DELETE FROM group_conflicts WHERE org = ?`, org); err != nil {
			return err
		}
		kept = slices.Clone(found)
		for n := range kept {
			kept[n].Run, kept[n].At = cmp.Or(kept[n].Run, run), now
			for _, was := range before {
				if was.Hash == kept[n].Hash && (!was.Synced() || was.Linked == kept[n].Linked) {
					kept[n].At, kept[n].Decision, kept[n].Decided = was.At, was.Decision, was.Decided
					kept[n].By, kept[n].Note = was.By, was.Note
				}
			}
		}
		if err := w.saveConflicts(ctx, kept); err != nil {
			return err
		}
		for _, g := range accepted {
			if err := w.append(ctx, g.entry(now)); err != nil {
				return err
			}
		}
		_, err = w.exec(ctx, `DELETE FROM group_differences WHERE org = ? AND run <> ? AND NOT EXISTS (
			SELECT 1 FROM group_conflicts c WHERE c.org = group_differences.org AND c.run = group_differences.run
			AND c.source = group_differences.source AND c.key = group_differences.key
			AND c.group_id = group_differences.group_id)`, org, run)
		return err
	})
	return kept, err
}

func (w *write) saveConflicts(ctx context.Context, all []GroupConflict) error {
	rows := make([][]any, len(all))
	var keys [][]any
	for n, c := range all {
		rows[n] = []any{w.org, c.Source, c.Key, c.GroupID, c.Hash, c.SourceName, c.GroupName, c.Entry, c.Kind,
			flag(c.Fit), flag(c.Linked), c.Missing, c.Extra, list(c.Opens), c.Run, instant(c.At), c.Decision, c.By,
			clean(c.Note), instant(c.Decided)}
		if c.Decision != "" {
			keys = append(keys, c.key())
		}
	}
	if err := w.touch(ctx, tableGroupConflicts, keys...); err != nil {
		return err
	}
	return w.execRows(ctx, `INSERT INTO group_conflicts (org, source, key, group_id, hash, source_name, group_name,
		policy_entry, kind, fit, linked, missing, extra, opens, run, since, decision, by_whom, note, decided) VALUES`,
		marks(20), `ON CONFLICT (org, source, key, group_id) DO UPDATE SET hash = excluded.hash,
		decision = excluded.decision, by_whom = excluded.by_whom, note = excluded.note, decided = excluded.decided,
		linked = excluded.linked`, rows)
}

// Conflicts returns the differences between groups that the last full verification found, by source and key. A decision
// that the chain does not explain is none.
func (l *Ledger) Conflicts(ctx context.Context, org string) ([]GroupConflict, error) {
	all, err := l.reads.conflicts(ctx, org)
	if err == nil {
		all, err = l.explainedConflicts(ctx, org, all)
	}
	return all, reading(err, "conflicts of groups", org)
}

func (w *write) conflicts(ctx context.Context) ([]GroupConflict, error) {
	return w.database.conflicts(ctx, w.org)
}

func (d database) conflicts(ctx context.Context, org string) ([]GroupConflict, error) {
	return collect(ctx, d, func(row scanner) (c GroupConflict, err error) {
		var fit, linked int
		var since, decided int64
		var opens string
		if err := row.Scan(&c.Source, &c.Key, &c.GroupID, &c.Hash, &c.SourceName, &c.GroupName, &c.Entry, &c.Kind, &fit,
			&linked, &c.Missing, &c.Extra, &opens, &c.Run, &since, &c.Decision, &c.By, &c.Note, &decided); err != nil {
			return c, err
		}
		c.Fit, c.Linked, c.At, c.Decided = fit != 0, linked != 0, fromInstant(since), fromInstant(decided)
		c.Opens, err = fromList[string](opens)
		return c, err
	}, `SELECT source, key, group_id, hash, source_name, group_name, policy_entry, kind, fit, linked, missing, extra,
		opens, run, since, decision, by_whom, note, decided FROM group_conflicts WHERE org = ?
		ORDER BY source, key, group_id`, org)
}

func (l *Ledger) explainedConflicts(ctx context.Context, org string, all []GroupConflict) ([]GroupConflict, error) {
	var keys [][]string
	for _, c := range all {
		if c.Decision != "" {
			keys = append(keys, []string{c.Source, c.Key, c.GroupID})
		}
	}
	explained, err := l.explainedRows(ctx, org, tableGroupConflicts, keys)
	for n, c := range all {
		if c.Decision != "" && !explained[strings.Join([]string{c.Source, c.Key, c.GroupID}, "\x00")] {
			all[n].Decision, all[n].By, all[n].Note, all[n].Decided = "", "", "", time.Time{}
		}
	}
	return all, err
}

// AcceptConflict records that a person accepts a difference: the group at Atlassian follows the source's from now on,
// and whoever is extra in it now may be removed. RejectConflict records the contrary. gone are as for LinkGroups.
// Accepting again does nothing. ErrNotFound: no conflict has this hash any more; ErrNotOpen: the people have changed.
func (l *Ledger) AcceptConflict(ctx context.Context, org, hash string, gone []Ref, by, note string,
	now time.Time) (c GroupConflict, err error) {
	accept := func(w *write, c GroupConflict) error {
		if !c.Linked {
			if err := w.linkGroup(ctx, GroupLink{Source: c.Source, Key: c.Key, Name: c.SourceName, GroupID: c.GroupID,
				By: by}, gone, orNow(now)); err != nil {
				return err
			}
		}
		return w.acceptExtras(ctx, c, orNow(now))
	}
	return l.decideConflict(ctx, org, hash, DecisionAccepted, by, note, orNow(now), accept)
}

// kindLocal is provision.Local, as conflicts have it.
const kindLocal = "local"

// RejectConflict records that a person rejects a difference: the two groups stay as they are, and nothing more is said
// of this difference.
func (l *Ledger) RejectConflict(ctx context.Context, org, hash, by, note string,
	now time.Time) (c GroupConflict, err error) {
	return l.decideConflict(ctx, org, hash, DecisionRejected, by, note, orNow(now),
		func(*write, GroupConflict) error { return nil })
}

func (l *Ledger) decideConflict(ctx context.Context, org, hash, decision, by, note string, now time.Time,
	do func(*write, GroupConflict) error) (c GroupConflict, err error) {
	err = l.write(ctx, org, "decide on a conflict of groups", func(w *write) error {
		all, err := w.conflicts(ctx)
		if err != nil {
			return err
		}
		n := slices.IndexFunc(all, func(one GroupConflict) bool { return one.Hash == hash })
		if n < 0 {
			return fmt.Errorf("conflict %s: %w", hash, ErrNotFound)
		}
		if c = all[n]; c.Decision == DecisionAccepted && decision == DecisionRejected {
			return fmt.Errorf("conflict %s: %w: it was accepted, and what follows from that is being written", hash,
				ErrNotOpen)
		}
		if c.Decision == decision {
			doubted, err := w.doubts(ctx, tableGroupConflicts, [][]any{c.key()})
			if err != nil || len(doubted) == 0 {
				return err
			}
		}
		if err := w.sameConflict(ctx, c); err != nil {
			return err
		}
		if err := w.forget(ctx, tableGroupConflicts, c.key()); err != nil {
			return err
		}
		c.Decision, c.By, c.Note, c.Decided = decision, by, note, now
		if err := do(w, c); err != nil {
			return err
		}
		c.Linked = c.Linked || decision == DecisionAccepted
		if err := w.saveConflicts(ctx, []GroupConflict{c}); err != nil {
			return err
		}
		return w.append(ctx, Entry{At: now, Kind: EntryGroupConflict, Target: access.GroupEntitlement(c.GroupName),
			Body: body(map[string]any{"source": c.Source, "key": keyPart(c.Key), "name": c.SourceName,
				"group": c.GroupID, "missing": c.Missing, "extra": c.Extra, "opens": c.Opens, "conflict": c.Hash,
				"decision": decision, "by": by, "note": note})})
	})
	return c, err
}

// sameConflict returns ErrNotOpen unless the people of a conflict are still those that its hash is over.
func (w *write) sameConflict(ctx context.Context, c GroupConflict) error {
	sum := newConflictSum(c.Source, c.Key, c.GroupID)
	err := w.each(ctx, func(row scanner) error {
		d, err := scanDifference(row)
		sum.add(d)
		return err
	}, selectDifference+` WHERE org = ? AND run = ? AND source = ? AND key = ? AND group_id = ?`+orderDifferences,
		w.org, c.Run, c.Source, c.Key, c.GroupID)
	if err == nil && sum.end(c.Opens).Hash != c.Hash {
		err = fmt.Errorf("conflict %s: %w: its people have changed", c.Hash, ErrNotOpen)
	}
	return err
}

// acceptExtras records whom a conflict shows as extra.
func (w *write) acceptExtras(ctx context.Context, c GroupConflict, now time.Time) error {
	people, err := collect(ctx, w.database, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT person FROM group_differences WHERE org = ? AND run = ? AND source = ? AND key = ? AND group_id = ?
		AND missing = 0 ORDER BY person`, w.org, c.Run, c.Source, c.Key, c.GroupID)
	if err != nil {
		return err
	}
	keys, rows := make([][]any, len(people)), make([][]any, len(people))
	for n, id := range people {
		keys[n], rows[n] = []any{id, c.GroupID}, []any{w.org, id, c.GroupID, c.Hash, instant(now)}
	}
	if err := w.forget(ctx, tableGroupAccepted, keys...); err != nil {
		return err
	}
	return w.execRows(ctx, `INSERT INTO group_accepted (org, person, group_id, hash, since) VALUES`, marks(5),
		`ON CONFLICT (org, person, group_id) DO UPDATE SET hash = excluded.hash, since = excluded.since`, rows)
}

// EndAccepted forgets the memberships that were accepted to be removed before a run began and that, after it, no open
// holding is about any more.
func (l *Ledger) EndAccepted(ctx context.Context, org string, began time.Time) error {
	const over = `since < ? AND NOT EXISTS (SELECT 1 FROM holdings h WHERE h.org = group_accepted.org AND h.until = 0
		AND h.person = group_accepted.person AND h.group_id = group_accepted.group_id)`
	n, err := first(ctx, l.reads, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM group_accepted WHERE org = ? AND `+over, org, instant(began))
	if err != nil || n == 0 {
		return reading(err, "what was accepted to be removed", org)
	}
	return l.write(ctx, org, "forget what was accepted to be removed", func(w *write) error {
		if err := w.forgetWhere(ctx, tableGroupAccepted, over, instant(began)); err != nil {
			return err
		}
		_, err := w.exec(ctx, `DELETE FROM group_accepted WHERE org = ? AND `+over, org, instant(began))
		return err
	})
}

// accepted adds to the states of people the memberships that a person decided to have follow a source. What the chain
// does not explain is ignored.
func (r *stateReader) accepted(ctx context.Context) error {
	where, args := among("org", "person", r.people, r.org)
	type row struct{ person, group, hash string }
	all, err := collect(ctx, r.reads, func(s scanner) (one row, err error) {
		return one, s.Scan(&one.person, &one.group, &one.hash)
	}, `SELECT person, group_id, hash FROM group_accepted WHERE `+where+` ORDER BY person, group_id`, args...)
	if err != nil || len(all) == 0 {
		return err
	}
	keys := make([][]string, len(all))
	for n, one := range all {
		keys[n] = []string{one.person, one.group}
	}
	explained, err := r.explainedRows(ctx, r.org, tableGroupAccepted, keys)
	for n, one := range all {
		if explained[strings.Join(keys[n], "\x00")] {
			r.of(one.person, func(s *PersonState) {
				s.Accepted = append(s.Accepted, access.AcceptedMembership{GroupID: one.group, Conflict: one.hash})
			})
		}
	}
	return err
}
