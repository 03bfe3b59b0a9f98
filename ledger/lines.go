package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Key is a position in a listing: the next page begins after it. The zero Key is the beginning.
type Key struct {
	Action access.Action      `json:"action,omitempty"`
	Person string             `json:"person,omitempty"`
	Target access.Entitlement `json:"target,omitempty"`
}

// Filter selects lines of a plan. The zero Filter selects the first 1,000.
type Filter struct {
	States  []access.ChangeState // none: any
	Actions []access.Action      // none: any
	Person  string               // account id; "": anyone
	Target  access.Entitlement   // "": any
	After   Key                  // the last line of the page before, whole
	Through Key                  // the last line that is wanted, whole
	Waited  *bool                // whether lines waited for a person's decision; nil: both
	Limit   int                  // 0: 1,000
}

// Lines returns lines of a run's plan: adds, adopts and updates, then removals; within these by person and target, byte
// by byte.
func (l *Ledger) Lines(ctx context.Context, org, run string, f Filter) ([]access.Change, error) {
	query, args := linesQuery(org, run, f)
	lines, err := collect(ctx, l.reads, scanChange, query, args...)
	return lines, reading(err, "the plan lines of run "+run, org)
}

func linesQuery(org, run string, f Filter) (string, []any) {
	query, args := selectChange+` WHERE org = ? AND run = ?`, []any{org, run}
	and := func(condition string, values ...any) {
		query += ` AND ` + condition
		args = append(args, values...)
	}
	if len(f.States) > 0 {
		where, values := in("state", f.States)
		and(where, values...)
	}
	if len(f.Actions) > 0 {
		where, values := in("action", f.Actions)
		and(where, values...)
	}
	if f.Person != "" {
		and(`person = ?`, f.Person)
	}
	if f.Target != "" {
		and(`target = ?`, string(f.Target))
	}
	if f.Waited != nil {
		and(`(held_by <> '') = ?`, *f.Waited)
	}
	if f.Through != (Key{}) {
		and(`(rank, person, target) <= (?, ?, ?)`, rank(f.Through.Action), f.Through.Person, string(f.Through.Target))
	}
	if f.After != (Key{}) {
		and(`(rank, person, target) > (?, ?, ?)`, rank(f.After.Action), f.After.Person, string(f.After.Target))
	}
	if f.Person != "" { // else a person's few lines are looked for in the order of all
		return query + ` ORDER BY +rank, target LIMIT ?`, append(args, atMost(f.Limit))
	}
	return query + ` ORDER BY rank, person, target LIMIT ?`, append(args, atMost(f.Limit))
}

// LinesInHashOrder returns at most limit lines (1,000 for 0) in one of the states (none: any) by person and target,
// byte by byte: the order in which a plan is hashed. After is the last line of the page before; its Action does not
// matter.
func (l *Ledger) LinesInHashOrder(ctx context.Context, org, run string, states []access.ChangeState, after Key,
	limit int) ([]access.Change, error) {
	query, args := hashOrderQuery(org, run, states, after, limit)
	lines, err := collect(ctx, l.reads, scanChange, query, args...)
	return lines, reading(err, "the plan lines of run "+run, org)
}

func hashOrderQuery(org, run string, states []access.ChangeState, after Key, limit int) (string, []any) {
	query, args := selectChange+` WHERE org = ? AND run = ? AND (person, target) > (?, ?)`,
		[]any{org, run, after.Person, string(after.Target)}
	if len(states) > 0 {
		where, values := in("state", states)
		query += ` AND ` + where
		args = append(args, values...)
	}
	return query + ` ORDER BY person, target LIMIT ?`, append(args, atMost(limit))
}

// Line returns one line, or ErrNotFound.
func (l *Ledger) Line(ctx context.Context, org, run, person string, target access.Entitlement) (access.Change, error) {
	c, err := first(ctx, l.reads, scanChange, selectChange+` WHERE org = ? AND run = ? AND person = ? AND target = ?`,
		org, run, person, string(target))
	return c, reading(err, "the line "+person+" "+string(target)+" of run "+run, org)
}

// UpdateLines sets State, HeldBy, Answer and At of lines while a run is planned. Lines whose write was begun stay, and
// missing ones are ignored.
func (l *Ledger) UpdateLines(ctx context.Context, org, run string, changes []access.Change) error {
	return l.write(ctx, org, "update plan lines of run "+run, func(w *write) error {
		now := time.Now()
		rows := make([][]any, len(changes))
		for i, c := range changes {
			if c.At.IsZero() {
				c.At = now
			}
			rows[i] = []any{org, run, c.Person, string(c.Target), string(c.State), list(c.HeldBy), c.Answer,
				instant(c.At)}
		}
		return w.execRows(ctx, `UPDATE lines SET state = v.column5, held_by = v.column6, answer = v.column7, at = v.column8 FROM (VALUES`,
			`?, ?, ?, ?, ?, ?, ?, CAST(? AS BIGINT)`, `) AS v WHERE `+wholeKey+` AND attempts = 0`, rows)
	})
}

// GroupMade sets the id of the group that a run has made in those of its lines that have none.
func (l *Ledger) GroupMade(ctx context.Context, org, run, group string) error {
	return l.write(ctx, org, "note the group that run "+run+" made", func(w *write) error {
		_, err := w.exec(ctx, `UPDATE lines SET group_id = ? WHERE org = ? AND run = ? AND group_id = ''`, group, org, run)
		return err
	})
}

// Verified records that a later read showed changes that were done.
func (l *Ledger) Verified(ctx context.Context, org, run string, changes []access.Change) error {
	return l.write(ctx, org, "note which lines of run "+run+" were read back", func(w *write) error {
		for _, c := range changes {
			if _, err := w.exec(ctx,
				`UPDATE lines SET verified = 1 WHERE org = ? AND run = ? AND person = ? AND target = ? AND state = 'done'`,
				org, run, c.Person, string(c.Target)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Supersede ends the planned lines that other runs still have for these people, because this run decided them again.
// Held lines are left to their hold, those that somebody approved to Approved, begun ones to their attempt, and those
// of runs of the scopes but to their runs.
func (l *Ledger) Supersede(ctx context.Context, org, run string, people []string, at time.Time, but ...string) error {
	return l.write(ctx, org, "supersede older plan lines by run "+run, func(w *write) error {
		for _, some := range chunks(people) {
			query, args := supersedeQuery(org, run, some, at, but)
			if _, err := w.exec(ctx, query, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Approved returns the planned lines that other runs, but those of the scopes, still have for these people and that
// somebody approved.
func (l *Ledger) Approved(ctx context.Context, org, run string, people []string, but ...string) (all []RunChange,
	err error) {
	kept, scopes := in("r.scope", but)
	for _, some := range chunks(people) {
		where, args := among("org", "person", some, org)
		lines, err := collect(ctx, l.reads, scanRunChange, `SELECT run, `+changeColumns+` FROM lines
			WHERE state = 'planned' AND held_by <> '' AND run <> ? AND NOT EXISTS (
				SELECT 1 FROM runs r WHERE r.org = lines.org AND r.id = lines.run AND `+kept+`) AND `+where,
			slices.Concat([]any{run}, scopes, args)...)
		if err != nil {
			return nil, reading(err, "the plan lines that were approved", org)
		}
		all = append(all, lines...)
	}
	return all, nil
}

// supersedeQuery has the state in the form of the index lines_planned.
func supersedeQuery(org, run string, people []string, at time.Time, but []string) (string, []any) {
	where, args := among("org", "person", people, org)
	kept, scopes := in("r.scope", but)
	return `UPDATE lines SET state = 'superseded', answer = 'decided anew by a later run', at = ?
		WHERE state = 'planned' AND held_by = '' AND run <> ? AND NOT EXISTS (
			SELECT 1 FROM runs r WHERE r.org = lines.org AND r.id = lines.run AND ` + kept + `) AND ` + where,
		slices.Concat([]any{instant(orNow(at)), run}, scopes, args)
}

// wholeKey joins lines to a list of values that begins with their key. The list has the whole key, though org and run
// are constant: otherwise SQLite would scan all lines of the run for each list.
const wholeKey = `org = v.column1 AND run = v.column2 AND person = v.column3 AND target = v.column4`

// replaceLines replaces all lines of the people in the run whose write was not begun by the changes.
func (w *write) replaceLines(ctx context.Context, run string, people []access.Person, changes []access.Change,
	at time.Time) error {
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	for _, some := range chunks(ids) {
		where, args := among("org, run", "person", some, w.org, run)
		if _, err := w.exec(ctx, `DELETE FROM lines WHERE attempts = 0 AND `+where, args...); err != nil {
			return err
		}
	}
	return w.insertLines(ctx, run, changes, at)
}

// insertLines adds lines; an existing one stays.
func (w *write) insertLines(ctx context.Context, run string, changes []access.Change, at time.Time) error {
	rows := make([][]any, len(changes))
	for i, c := range changes {
		if c.At.IsZero() {
			c.At = at
		}
		if c.State == "" {
			c.State = access.Planned
		}
		rows[i] = []any{w.org, run, c.Person, string(c.Target), rank(c.Action), string(c.Action), c.GroupID, c.Email,
			string(c.State),
			list(c.Reasons), list(c.Sources), list(c.Loses), list(c.HeldBy), c.Answer, instant(c.At),
			flag(c.Lapse()), flag(access.HasKind(c.Reasons, access.ReasonGrant)), list(c.Edits)}
	}
	return w.execRows(ctx, `INSERT INTO lines (org, run, person, target, rank, action, group_id, email, state, reasons, sources,
		loses, held_by, answer, at, lapse, granted, edits, attempts) VALUES`, marks(18)+", 0", `ON CONFLICT (org, run, person, target) DO NOTHING`, rows)
}

// rank returns the order of the actions in a listing: access is given before it is removed.
func rank(action access.Action) int {
	switch action {
	case access.Add:
		return 0
	case access.Adopt, access.Update:
		return 1
	default:
		return 2
	}
}

const changeColumns = `person, target, action, group_id, email, state, reasons, sources, loses, held_by, edits, answer, verified, settling, at`

// RunChange is a change of a run.
type RunChange struct {
	Run string
	access.Change
}

func scanRunChange(row scanner) (c RunChange, err error) {
	c.Change, err = scanChange(after{row, &c.Run})
	return c, err
}

// Unverified returns changes of a target that were made at t or later and that no read has shown since, the latest
// first, at most limit.
func (l *Ledger) Unverified(ctx context.Context, org string, target access.Entitlement, t time.Time, limit int) (
	[]RunChange, error) {
	changes, err := collect(ctx, l.reads, scanRunChange, `SELECT run, `+changeColumns+` FROM lines WHERE org = ? AND target = ? AND at >= ? AND state = 'done' AND verified = 0
		ORDER BY at DESC, run DESC, person LIMIT ?`, org, string(target), instant(t), limit)
	return changes, reading(err, "the unverified changes of "+string(target), org)
}

// after is a row with a column before those that are asked for.
type after struct {
	row   scanner
	first *string
}

func (a after) Scan(dest ...any) error { return a.row.Scan(append([]any{a.first}, dest...)...) }

const selectChange = `SELECT ` + changeColumns + ` FROM lines`

func scanChange(row scanner) (c access.Change, err error) {
	var reasons, sources, loses, heldBy, edits string
	var at int64
	if err := row.Scan(&c.Person, &c.Target, &c.Action, &c.GroupID, &c.Email, &c.State, &reasons, &sources,
		&loses, &heldBy, &edits,
		&c.Answer, &c.Verified, &c.Settling, &at); err != nil {
		return c, err
	}
	c.At = fromInstant(at)
	if c.Reasons, err = fromList[access.Reason](reasons); err != nil {
		return c, err
	}
	if c.Sources, err = fromList[string](sources); err != nil {
		return c, err
	}
	if c.Loses, err = fromList[string](loses); err != nil {
		return c, err
	}
	if c.HeldBy, err = fromList[string](heldBy); err != nil {
		return c, err
	}
	c.Edits, err = fromList[access.Edit](edits)
	return c, err
}

// CopyHeld copies the held lines of an earlier run to another, except for the people listed, whom the later run decided
// again, and returns how many. Lines that the later run has already stay. It reads and writes some hundred lines at a
// time.
func (l *Ledger) CopyHeld(ctx context.Context, org, from, to string, except []string) (int, error) {
	skip := make(map[string]bool, len(except))
	for _, person := range except {
		skip[person] = true
	}
	copied := 0
	err := l.write(ctx, org, "carry held lines from run "+from+" to run "+to, func(w *write) error {
		after := Key{}
		for {
			query, args := hashOrderQuery(org, from, []access.ChangeState{access.Held}, after, 500)
			held, err := collect(ctx, w.database, scanChange, query, args...)
			if err != nil || len(held) == 0 {
				return err
			}
			after = Key{Person: held[len(held)-1].Person, Target: held[len(held)-1].Target}
			var take []access.Change
			for _, c := range held {
				if !skip[c.Person] {
					take = append(take, c)
				}
			}
			if err := w.insertLines(ctx, to, take, time.Time{}); err != nil {
				return err
			}
			copied += len(take)
		}
	})
	if err != nil {
		return 0, err
	}
	return copied, nil
}
