package ledger

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/castellan-io/castellan/access"
)

// ProvenLines returns which of a run's done lines the chain says were written just so: the same action, and the same
// group.
func (l *Ledger) ProvenLines(ctx context.Context, org, run string, lines []access.Change) (map[Key]bool, error) {
	written := map[Key]bool{}
	for _, some := range chunks(lines) {
		if err := l.provenLines(ctx, org, run, some, written); err != nil {
			return nil, reading(err, "what the chain says of run "+run, org)
		}
	}
	return written, nil
}

func (l *Ledger) provenLines(ctx context.Context, org, run string, lines []access.Change, written map[Key]bool) error {
	entries, err := l.changeEntries(ctx, org, run, lines)
	if err != nil {
		return err
	}
	inPlace, err := l.inPlace(ctx, org, slices.Concat(slices.Collect(maps.Values(entries))...))
	if err != nil {
		return err
	}
	for _, c := range lines {
		for _, seq := range entries[lineWrite{accountID(c.Person), c.Target, c.Action, c.GroupID}] {
			if inPlace[seq] && c.State == access.Done {
				written[Key{c.Action, c.Person, c.Target}] = true
			}
		}
	}
	return nil
}

// lineWrite is what an entry says was written.
type lineWrite struct {
	person  string
	target  access.Entitlement
	action  access.Action
	groupID string
}

// changeEntries returns the numbers of the entries that say of writes of the run that they were done; of the people of
// the lines, and of the targets of lines of people who had no account then: their entries name nobody.
func (l *Ledger) changeEntries(ctx context.Context, org, run string, lines []access.Change) (map[lineWrite][]int64,
	error) {
	entries := map[lineWrite][]int64{}
	note := func(row scanner) error {
		e, err := scanEntry(row)
		if err != nil {
			return err
		}
		var is changeBody
		if json.Unmarshal(e.Body, &is) == nil && is.State == access.Done {
			key := lineWrite{e.Person, e.Target, is.Action, is.GroupID}
			entries[key] = append(entries[key], e.Seq)
		}
		return nil
	}
	var people []string
	targets := map[access.Entitlement]bool{}
	for _, c := range lines {
		if person := accountID(c.Person); person != "" {
			people = append(people, person)
		} else {
			targets[c.Target] = true
		}
	}
	where, args := among("org", "person", people, org)
	if err := l.reads.each(ctx, note, selectEntry+` WHERE `+where+` AND kind = ? AND run || '' = ?`,
		append(args, EntryChange, run)...); err != nil {
		return nil, err
	}
	for target := range targets {
		if err := l.reads.each(ctx, note,
			selectEntry+` WHERE org = ? AND target = ? AND kind = ? AND run || '' = ? AND person || '' = ''`,
			org, string(target), EntryChange, run); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// inPlace returns those of the entries that stand in their places in the chain.
func (l *Ledger) inPlace(ctx context.Context, org string, numbers []int64) (map[int64]bool, error) {
	inPlace := map[int64]bool{}
	for some := range slices.Chunk(numbers, rowsAtOnce) {
		found, err := linked(ctx, l.reads, org, some)
		if err != nil {
			return nil, err
		}
		for seq := range found {
			inPlace[seq] = true
		}
	}
	return inPlace, nil
}

// lines names the done lines of which no entry says that they were written.
func (v *rowsVerifier) lines(ctx context.Context) error {
	return v.each(ctx, func(row scanner) error {
		var run, person, target string
		err := row.Scan(&run, &person, &target)
		v.check.name(&recordedTable{name: "lines"}, []string{run, person, target},
			"it is done, and no entry of the chain says so")
		return err
	}, unwritten, v.org, EntryChange, EntryChange)
}

// unwritten looks entries up by whichever of their two indexes finds few: an address has no entries of its own.
const unwritten = `SELECT run, person, target FROM lines WHERE org = ? AND state = 'done' AND NOT CASE WHEN person LIKE '%@%'
	THEN EXISTS (SELECT 1 FROM entries e WHERE e.org = lines.org AND e.target = lines.target AND e.person || '' = '' AND e.kind = ? AND e.run || '' = lines.run
		AND e.body LIKE '{"action":"' || lines.action || '","state":"done"%')
	ELSE EXISTS (SELECT 1 FROM entries e WHERE e.org = lines.org AND e.person = lines.person AND e.target || '' = lines.target AND e.kind = ? AND e.run || '' = lines.run
		AND e.body LIKE '{"action":"' || lines.action || '","state":"done"%') END`
