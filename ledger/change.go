package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// ErrAnswered is the error for an answer that contradicts a line's final answer, which stays.
var ErrAnswered = errors.New("the change already has another answer")

// BeginChange is called right before a change is written to Atlassian. It marks the line Sent and returns it as it was:
//
//	Planned  nobody tried yet: write it
//	Sent     an earlier attempt began and its outcome is not known: read first
//	others   nothing may be written: it is held, or it has its answer; the line was not touched
//
// ErrNotFound: the run has no such line.
func (l *Ledger) BeginChange(ctx context.Context, org, run, person string, target access.Entitlement,
	at time.Time) (before access.Change, err error) {
	err = l.write(ctx, org, "begin the change of "+person+" in "+string(target)+" of run "+run, func(w *write) error {
		before, err = w.begin(ctx, run, lineKey{person, target}, at, nil)
		return err
	})
	return before, err
}

// begin marks a line Sent and returns it as it was. It stays as it is if may is given and says no.
func (w *write) begin(ctx context.Context, run string, key lineKey, at time.Time,
	may func(access.Change) bool) (before access.Change, err error) {
	before, err = first(ctx, w.database, scanChange,
		selectChange+` WHERE org = ? AND run = ? AND person = ? AND target = ?`, w.org, run, key.person, string(key.target))
	if err != nil || before.State != access.Planned && before.State != access.Sent || may != nil && !may(before) {
		return before, err
	}
	_, err = w.exec(ctx, `UPDATE lines SET state = 'sent', at = ?, attempts = attempts + 1
		WHERE org = ? AND run = ? AND person = ? AND target = ?`, instant(orNow(at)), w.org, run, key.person,
		string(key.target))
	return before, err
}

// CancelChange reverses a BeginChange that found the line Planned, if the write certainly did not reach Atlassian: the
// line is Planned again, and the next attempt need not read first. A line with an answer stays as it is.
func (l *Ledger) CancelChange(ctx context.Context, org, run, person string, target access.Entitlement) error {
	return l.write(ctx, org, "cancel the change of "+person+" in "+string(target)+" of run "+run, func(w *write) error {
		_, err := w.exec(ctx, `UPDATE lines SET state = 'planned', attempts = attempts - 1
			WHERE org = ? AND run = ? AND person = ? AND target = ? AND state = 'sent' AND attempts = 1`,
			org, run, person, string(target))
		return err
	})
}

// EndChange records a change's final answer: State, Answer, Settling and At of c, found by its Person and Target; what
// was decided about it is in the line. In the same transaction the answer goes into the chain, unless it is Superseded,
// and the holding is opened (Done: owned; Already: foreign, unless an earlier attempt of ours may have made it or it is
// owned already) or, for a removal, closed.
//
// Repeating an answer does nothing. A late Done replaces every other answer but Already; any other contradiction is
// ErrAnswered, except that after Done or Already the other of these two is ignored. ErrNotFound: no such line.
func (l *Ledger) EndChange(ctx context.Context, org, run string, c access.Change) error {
	return l.write(ctx, org, "record the answer to "+c.Label()+" of run "+run, func(w *write) error {
		return w.record(ctx, run, []access.Change{c})
	})
}

// EndAndBegin is EndChange for one change of a run and BeginChange for another, in one transaction, since each waits
// for the disk. The other is returned as it was, and not begun unless may says so of it; none is returned if there is
// no such line.
func (l *Ledger) EndAndBegin(ctx context.Context, org, run string, c access.Change, person string,
	target access.Entitlement, at time.Time, may func(access.Change) bool) (before *access.Change, err error) {
	what := "record the answer to " + c.Label() + " of run " + run + ", and begin the next change"
	err = l.write(ctx, org, what, func(w *write) error {
		if err := w.record(ctx, run, []access.Change{c}); err != nil {
			return err
		}
		next, err := w.begin(ctx, run, lineKey{person, target}, at, may)
		if before = &next; errors.Is(err, ErrNotFound) {
			before, err = nil, nil
		}
		return err
	})
	return before, err
}

// RecordLines is EndChange for several lines in one transaction: all are recorded or none.
func (l *Ledger) RecordLines(ctx context.Context, org, run string, changes []access.Change) error {
	return l.write(ctx, org, fmt.Sprintf("record %d answers of run %s", len(changes), run), func(w *write) error {
		for _, some := range chunks(changes) {
			if err := w.record(ctx, run, some); err != nil {
				return err
			}
		}
		return nil
	})
}

// lineKey is a line's key within its run, and a holding's within its organization.
type lineKey struct {
	person string
	target access.Entitlement
}

// attempted is a stored line and how often its write was begun.
type attempted struct {
	access.Change
	attempts int
}

func (w *write) record(ctx context.Context, run string, changes []access.Change) error {
	lines, err := w.attempted(ctx, run, changes)
	if err != nil {
		return err
	}
	var rows [][]any
	var entries []Entry
	var opened, closed []access.Holding
	var answered []attempted
	for _, c := range changes {
		key := lineKey{c.Person, c.Target}
		line, found := lines[key]
		if !found {
			return fmt.Errorf("%s: %w", c.Label(), ErrNotFound)
		}
		fresh, err := replaces(line.State, c.State)
		if err != nil {
			return fmt.Errorf("%s is %s, and %s came after it: %w", line.Label(), line.State, c.State, err)
		}
		if !fresh {
			continue
		}
		line.State, line.Answer, line.Settling, line.At = c.State, clean(c.Answer), c.Settling, orNow(c.At)
		lines[key] = line
		rows = append(rows, []any{w.org, run, line.Person, string(line.Target), string(line.State), line.Answer,
			instant(line.At), flag(line.Settling)})
		if line.State != access.Superseded {
			entries = append(entries, line.entry(run))
		}
		answered = append(answered, line)
		open, end := line.holding(run)
		opened, closed = append(opened, open...), append(closed, end...)
	}
	if len(rows) == 0 {
		return nil
	}
	// A line with an answer counts as begun, so that a late repeat of its page cannot plan it again.
	if err := w.execRows(ctx, `UPDATE lines SET state = v.column5, answer = v.column6, at = v.column7, settling = v.column8,
		attempts = CASE WHEN attempts = 0 THEN 1 ELSE attempts END FROM (VALUES`,
		`?, ?, ?, ?, ?, ?, CAST(? AS BIGINT), CAST(? AS SMALLINT)`, `) AS v WHERE `+wholeKey, rows); err != nil {
		return err
	}
	if err := w.applyHoldings(ctx, run, opened, closed, time.Time{}); err != nil {
		return err
	}
	if err := w.suspend(ctx, run, answered); err != nil {
		return err
	}
	return w.append(ctx, entries...)
}

// replaces reports whether the answer is new for a line in the state.
func replaces(state, answer access.ChangeState) (bool, error) {
	switch {
	case answer.Open() || answer == access.Recorded || answer == access.Rejected || answer == "":
		return false, fmt.Errorf("%q is no final answer", answer)
	case state == answer:
		return false, nil
	case state.Open():
		return true, nil
	case answer == access.Already && state == access.Done, answer == access.Done && state == access.Already:
		return false, nil
	case answer == access.Done && state != access.Rejected && state != access.Recorded:
		return true, nil // the API acknowledged it, however late
	case state == access.Failed || state == access.Superseded:
		return true, nil
	}
	return false, ErrAnswered
}

// attempted reads the stored lines of the changes.
func (w *write) attempted(ctx context.Context, run string, changes []access.Change) (map[lineKey]attempted, error) {
	people := make([]string, 0, len(changes))
	for _, c := range changes {
		people = append(people, c.Person)
	}
	where, args := among("org, run", "person", people, w.org, run)
	if first := changes[0].Target; !slices.ContainsFunc(changes,
		func(c access.Change) bool { return c.Target != first }) { // people may have many other lines
		where += ` AND target = ?`
		args = append(args, string(changes[0].Target))
	}
	lines := make(map[lineKey]attempted, len(changes))
	err := w.each(ctx, func(row scanner) error {
		var attempts int
		c, err := scanChange(extraColumn{row, &attempts})
		lines[lineKey{c.Person, c.Target}] = attempted{c, attempts}
		return err
	}, `SELECT `+changeColumns+`, attempts FROM lines WHERE `+where, args...)
	return lines, err
}

// extraColumn scans one more column than its scan function has.
type extraColumn struct {
	scanner
	last any
}

func (a extraColumn) Scan(dest ...any) error { return a.scanner.Scan(append(dest, a.last)...) }

// entry returns the chain's entry for the answer: who, what, why, answer; without the e-mail address.
func (c attempted) entry(run string) Entry {
	return Entry{At: c.At, Kind: EntryChange, Run: run, Person: accountID(c.Person), Target: c.Target,
		Body: body(changeBody{c.Action, c.State, c.GroupID, c.Reasons, c.Sources, c.HeldBy, c.Answer,
			editsDigest(c.Edits)})}
}

// editsDigest returns the hash by which the chain covers the values that a change writes: they may be addresses. None
// for no edits.
func editsDigest(edits []access.Edit) string {
	if len(edits) == 0 {
		return ""
	}
	return digest(list(edits))
}

// changeBody is the body of an entry of kind [EntryChange].
type changeBody struct {
	Action  access.Action      `json:"action"`
	State   access.ChangeState `json:"state"`
	GroupID string             `json:"groupId,omitempty"`
	Reasons []access.Reason    `json:"reasons,omitempty"`
	Sources []string           `json:"sources,omitempty"`
	HeldBy  []string           `json:"heldBy,omitempty"`
	Answer  string             `json:"answer,omitempty"`
	Edits   string             `json:"edits,omitempty"` // editsDigest
}

// holding returns the holdings that the answer opens or closes.
func (c attempted) holding(run string) (opened, closed []access.Holding) {
	if c.State != access.Done && c.State != access.Already || c.Action == access.Update ||
		c.Target.Kind() == access.KindSCIMGroupExists { // nobody's
		return nil, nil
	}
	if c.Target.Restores() {
		return nil, nil // what was there before was not Castellan's own, and is not by being restored
	}
	h := access.Holding{
		Person: c.Person, Target: c.Target, GroupID: c.GroupID, Reasons: c.Reasons, Run: run,
		Owned: c.State == access.Done || c.attempts > 1,
	}
	if c.Action == access.Remove {
		h.Until = c.At
		return nil, []access.Holding{h}
	}
	if c.Target.Presence() && access.OnlyRules(c.Reasons) {
		return nil, nil // there is no holding for being there again
	}
	h.From = c.At
	return []access.Holding{h}, nil
}
