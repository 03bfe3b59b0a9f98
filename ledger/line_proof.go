package ledger

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/castellan-io/castellan/access"
)

// ProvenLines returns which of a run's done lines were written according to the chain: with the same action, group and
// values.
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
	entries, err := changeEntries(ctx, l.reads, org, run, lines)
	if err != nil {
		return err
	}
	var numbers []int64
	for _, e := range slices.Concat(slices.Collect(maps.Values(entries))...) {
		numbers = append(numbers, e.seq)
	}
	inPlace, err := l.inPlace(ctx, org, numbers)
	if err != nil {
		return err
	}
	for _, c := range lines {
		for _, e := range entries[writeOf(run, c)] {
			if inPlace[e.seq] && e.groupID == c.GroupID && e.edits == editsDigest(c.Edits) &&
				c.State == access.Done {
				written[Key{c.Action, c.Person, c.Target}] = true
			}
		}
	}
	return nil
}

// lineWrite is the write in an entry.
type lineWrite struct {
	run, person string
	target      access.Entitlement
	action      access.Action
}

func writeOf(run string, c access.Change) lineWrite {
	return lineWrite{run, accountID(c.Person), c.Target, c.Action}
}

// writeEntry is the entry about it.
type writeEntry struct {
	seq     int64
	groupID string
	edits   string
}

// changeEntries returns the entries about writes of the run ("": of any) that were done; of the people of the lines,
// and of the targets of lines of people who had no account then, whose entries name nobody.
func changeEntries(ctx context.Context, d database, org, run string,
	lines []access.Change) (map[lineWrite][]writeEntry, error) {
	entries := map[lineWrite][]writeEntry{}
	note := func(row scanner) error {
		e, err := scanEntry(row)
		if err != nil {
			return err
		}
		var is changeBody
		if json.Unmarshal(e.Body, &is) == nil && is.State == access.Done {
			key := lineWrite{e.Run, e.Person, e.Target, is.Action}
			entries[key] = append(entries[key], writeEntry{e.Seq, is.GroupID, is.Edits})
		}
		return nil
	}
	ofRun, args := ` AND kind = ?`, []any{EntryChange}
	if run != "" {
		ofRun, args = ofRun+` AND run || '' = ?`, append(args, run)
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
	where, whose := among("org", "person", people, org)
	if err := d.each(ctx, note, selectEntry+` WHERE `+where+ofRun, append(whose, args...)...); err != nil {
		return nil, err
	}
	for target := range targets {
		if err := d.each(ctx, note, selectEntry+` WHERE org = ? AND target = ? AND person || '' = ''`+ofRun,
			append([]any{org, string(target)}, args...)...); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// inPlace returns those of the entries that are in their places in the chain.
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

// lines names the done lines without an entry about their write in the chain.
func (v *rowsVerifier) lines(ctx context.Context) error {
	var last RunLine
	for {
		some, err := collect(ctx, v.database, func(row scanner) (is RunLine, err error) {
			var edits string
			if err := row.Scan(&is.Run, &is.Person, &is.Target, &is.Action, &edits); err != nil {
				return is, err
			}
			is.Edits, err = fromList[access.Edit](edits)
			return is, err
		}, doneLines, v.org, last.Person, last.Run, string(last.Target), rowsAtOnce)
		if err != nil || len(some) == 0 {
			return err
		}
		last = some[len(some)-1]
		changes := make([]access.Change, len(some))
		for i, is := range some {
			changes[i] = is.Change
		}
		written, err := changeEntries(ctx, v.database, v.org, "", changes)
		if err != nil {
			return err
		}
		for _, is := range some {
			key := []string{is.Run, is.Person, string(is.Target)}
			entries := written[writeOf(is.Run, is.Change)]
			switch sum := editsDigest(is.Edits); {
			case len(entries) == 0:
				v.check.name(&recordedTable{name: "lines"}, key, "it is done, and no entry of the chain says so")
			case !slices.ContainsFunc(entries, func(e writeEntry) bool { return e.edits == sum }):
				v.check.name(&recordedTable{name: "lines"}, key, "it is done, and the chain speaks of other values")
			}
		}
		v.beat(v.after)
	}
}

// doneLines has the states in the form of the index lines_written, and goes person by person, which is how their
// entries are found.
const doneLines = `SELECT run, person, target, action, edits FROM lines WHERE state IN ('sent', 'done', 'already') AND state = 'done'
	AND org = ? AND (person, run, target) > (?, ?, ?) ORDER BY person, run, target LIMIT ?`
