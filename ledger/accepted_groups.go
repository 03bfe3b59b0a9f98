package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/castellan-io/castellan/access"
)

// AcceptedGroup is a group at Atlassian in whose place a person accepted a synced one there, and what was shown before.
type AcceptedGroup struct {
	Shown   GroupConflict // the conflict that was open until then; or, of a group that was found otherwise, that
	Applied string        // AppliedAsShown, AppliedOtherwise, AppliedCorrected
	Differ  int           // people who are in it otherwise than was shown
}

// What became of a group that was accepted at Atlassian.
const (
	AppliedAsShown   = "as shown"
	AppliedOtherwise = "otherwise than shown"
	AppliedCorrected = "as shown, after it was otherwise"
)

func (g AcceptedGroup) entry(at time.Time) Entry {
	c := g.Shown
	return Entry{At: at, Kind: EntryGroupConflict, Target: access.GroupEntitlement(c.GroupName),
		Body: body(map[string]any{"source": c.Source, "key": keyPart(c.Key), "name": c.SourceName, "group": c.GroupID,
			"missing": c.Missing, "extra": c.Extra, "opens": c.Opens, "conflict": c.Hash, "decision": DecisionAccepted,
			"where": "Atlassian", "applied": g.Applied, "differ": g.Differ})}
}

// AcceptedMember is what is known of a person and a group that was accepted at Atlassian.
type AcceptedMember struct {
	GroupDifference      // as the conflict shows the person
	Shown           bool // whether it does
	Before          bool // in the group when it was shown
	Removed         bool // taken out of it later, by the event feed
	Record          bool // has a record in the directory
}

// AcceptedMembers returns what a conflict shows of people, and what became known of them since, by account id. What it
// shows is what the run found that looked at everybody last before the group was accepted.
func (l *Ledger) AcceptedMembers(ctx context.Context, org, directory string, c GroupConflict,
	people []string) (all map[string]AcceptedMember, err error) {
	began, ended := c.At, c.At
	run, err := l.Run(ctx, org, c.Run)
	switch {
	case err == nil:
		if began, ended = run.Started, run.Ended; ended.IsZero() {
			ended = began
		}
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	all = map[string]AcceptedMember{}
	for _, some := range chunks(people) {
		if err := l.acceptedMembers(ctx, org, directory, c, some, began, ended, all); err != nil {
			return nil, reading(err, "who was in group "+c.GroupName+" before it was accepted", org)
		}
	}
	return all, nil
}

func (l *Ledger) acceptedMembers(ctx context.Context, org, directory string, c GroupConflict, people []string, began,
	ended time.Time, all map[string]AcceptedMember) error {
	shown, args := among("org, run, source, key, group_id", "person", people, org, c.Run, c.Source, c.Key, c.GroupID)
	if err := l.reads.each(ctx, func(row scanner) error {
		d, err := scanDifference(row)
		one := all[d.Person]
		one.GroupDifference, one.Shown = d, true
		all[d.Person] = one
		return err
	}, selectDifference+` WHERE `+shown, args...); err != nil {
		return err
	}
	mark := func(how func(*AcceptedMember)) func(scanner) error {
		return func(row scanner) error {
			var id string
			err := row.Scan(&id)
			one := all[id]
			how(&one)
			all[id] = one
			return err
		}
	}
	members, args := among("org, group_id", "account", people, org, c.GroupID)
	if err := l.reads.each(ctx, mark(func(m *AcceptedMember) { m.Before = true }),
		`SELECT account FROM group_members WHERE `+members+` AND since <= ? AND (gone = 0 OR gone > ?)`,
		append(args, instant(began), instant(began))...); err != nil {
		return err
	}
	removed, args := among("org, what", "person", people, org, c.GroupID)
	if err := l.reads.each(ctx, mark(func(m *AcceptedMember) { m.Removed = true }),
		`SELECT person FROM removal_events WHERE `+removed+` AND at >= ?`, append(args, instant(ended))...); err != nil {
		return err
	}
	records, err := l.FindRecords(ctx, org, directory, RecordQuery{Accounts: people})
	for _, r := range records {
		one := all[r.Account]
		one.Record = true
		all[r.Account] = one
	}
	return err
}

// awaitsAcceptance reports whether a group of the organization's own was shown as one in whose place a person may
// accept a synced one at Atlassian.
func (d database) awaitsAcceptance(ctx context.Context, org, group string) (bool, error) {
	n, err := first(ctx, d, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM group_conflicts WHERE org = ? AND group_id = ? AND policy_entry <> '' AND kind <> ?
		AND linked = 0`, org, group, kindLocal)
	return n > 0, err
}
