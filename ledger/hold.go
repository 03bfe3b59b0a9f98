package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// ErrNotOpen is the error for a plan or a grant that does not wait for a decision; its text says what does, or how it
// ended.
var ErrNotOpen = errors.New("it does not wait for a decision")

// The decisions that end a hold. People approve or reject it; the ledger replaces or closes it.
const (
	Approve  = "approve"
	Reject   = "reject"
	Replaced = "replaced" // another plan was held in its place
	Closed   = "closed"   // nothing is held any more
)

// ruleAdopt is the guard's rule that asks for approval of the first run. Rejecting that does not reject its lines.
const ruleAdopt = "adopt"

// Lane is what the changes of a hold are about. People decide the lanes one by one.
type Lane string

// The lanes.
const (
	LaneAccess   Lane = ""         // what people may do: memberships, roles, presence
	LaneIdentity Lane = "identity" // records in SCIM directories
)

// laneOfLinks begins the lanes of batches of links.
const laneOfLinks = "link:"

// LaneOfBatch returns the lane of a batch of links.
func LaneOfBatch(batch string) Lane { return Lane(laneOfLinks + batch) }

// laneOfRestores begins the lanes of restores of groups.
const laneOfRestores = "group-restore:"

// LaneOfRestore returns the lane of the restore of a lost group, by the id that it had.
func LaneOfRestore(group string) Lane { return Lane(laneOfRestores + group) }

// Hold is a list of changes that a guard held. An organization has at most one open hold in each lane; its lines are
// the held lines of its run, which are all of one lane.
type Hold struct {
	Org      string     `json:"org"`
	Lane     Lane       `json:"lane,omitempty"`
	Plan     string     `json:"plan"` // hash over the held lines
	Run      string     `json:"run"`
	Adds     int        `json:"adds"`
	Removals int        `json:"removals"`
	Adopts   int        `json:"adopts"`
	Updates  int        `json:"updates,omitempty"`
	People   int        `json:"people"`
	Rules    []HoldRule `json:"rules"`
	Changed  string     `json:"changed,omitempty"` // how it differs from the hold before it
	Opened   time.Time  `json:"opened"`
	Decided  time.Time  `json:"decided,omitzero"`
	Decision string     `json:"decision,omitempty"` // empty while it is open
	By       string     `json:"by,omitempty"`
	Note     string     `json:"note,omitempty"`
}

// HoldRule is a guard rule that held changes.
type HoldRule struct {
	Rule   string `json:"rule"`            // stable key
	Scope  string `json:"scope,omitempty"` // its subject: a target, a source group
	Detail string `json:"detail"`          // numbers and limits
}

// numbered is a hold and its number within the organization.
type numbered struct {
	Hold
	number int64
}

const selectHold = `SELECT number, org, lane, plan, run, adds, removals, adopts, updates, people, rules, changed, opened,
	decided, decision, by_whom, note FROM holds`

func scanHold(row scanner) (h numbered, err error) {
	var opened, decided int64
	var rules string
	if err := row.Scan(&h.number, &h.Org, &h.Lane, &h.Plan, &h.Run, &h.Adds, &h.Removals, &h.Adopts, &h.Updates,
		&h.People, &rules, &h.Changed, &opened, &decided, &h.Decision, &h.By, &h.Note); err != nil {
		return h, err
	}
	h.Opened, h.Decided = fromInstant(opened), fromInstant(decided)
	h.Rules, err = fromList[HoldRule](rules)
	return h, err
}

// CurrentHold returns the organization's open hold in the lane of access, or ErrNotFound.
func (l *Ledger) CurrentHold(ctx context.Context, org string) (Hold, error) {
	return l.CurrentHoldIn(ctx, org, LaneAccess)
}

// CurrentHoldIn returns the organization's open hold in a lane, or ErrNotFound.
func (l *Ledger) CurrentHoldIn(ctx context.Context, org string, lane Lane) (Hold, error) {
	h, err := current(ctx, l.reads, org, lane)
	return h.Hold, reading(err, "the open hold", org)
}

func current(ctx context.Context, d database, org string, lane Lane) (numbered, error) {
	return first(ctx, d, scanHold, selectHold+` WHERE org = ? AND lane = ? AND decision = ''`, org, string(lane))
}

// Holds returns at most limit holds (1,000 for 0) in the lane of access, the newest first.
func (l *Ledger) Holds(ctx context.Context, org string, limit int) ([]Hold, error) {
	return l.HoldsIn(ctx, org, LaneAccess, limit)
}

// HoldsIn returns at most limit holds (1,000 for 0) in a lane, the newest first.
func (l *Ledger) HoldsIn(ctx context.Context, org string, lane Lane, limit int) ([]Hold, error) {
	all, err := collect(ctx, l.reads, func(row scanner) (Hold, error) {
		h, err := scanHold(row)
		return h.Hold, err
	}, selectHold+` WHERE org = ? AND lane = ? ORDER BY number DESC LIMIT ?`, org, string(lane), atMost(limit))
	return all, reading(err, "the holds", org)
}

// OpenHold replaces the open hold of its lane. The same plan keeps the open hold with its Opened, and updates the rest.
// A hold on a plan of a run that people have decided is not opened again by a late repeat. A run with an open hold in
// one lane is refused in another: deciding one would release the lines of both.
func (l *Ledger) OpenHold(ctx context.Context, h Hold) error {
	h.Opened = orNow(h.Opened)
	return l.write(ctx, h.Org, "open the hold on plan "+h.Plan, func(w *write) error {
		number, err := w.nextHold(ctx, h)
		if err != nil {
			return err
		}
		newest, err := first(ctx, w.database, scanHold,
			selectHold+` WHERE org = ? AND lane = ? ORDER BY number DESC LIMIT 1`, h.Org, string(h.Lane))
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		case newest.Plan == h.Plan && newest.Decision == "":
			if err := w.touchDoubted(ctx, tableHolds, []any{newest.number}); err != nil {
				return err
			}
			_, err := w.exec(ctx, `UPDATE holds SET run = ?, adds = ?, removals = ?, adopts = ?, updates = ?, people = ?, rules = ?,
				changed = ? WHERE org = ? AND number = ?`, h.Run, h.Adds, h.Removals, h.Adopts, h.Updates, h.People,
				list(h.Rules), h.Changed, h.Org, newest.number)
			return err
		case newest.Plan == h.Plan && newest.Run == h.Run && (newest.Decision == Approve || newest.Decision == Reject):
			return nil
		case newest.Decision == "":
			if err := w.endHold(ctx, newest, Replaced, "", "by plan "+h.Plan, h.Opened); err != nil {
				return err
			}
		}
		if err := w.touch(ctx, tableHolds, []any{number}); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `INSERT INTO holds (org, number, lane, plan, run, adds, removals, adopts, updates, people,
			rules, changed, opened, decided, decision, by_whom, note) VALUES (`+marks(13)+`, 0, '', '', '')`,
			h.Org, number, string(h.Lane), h.Plan, h.Run, h.Adds, h.Removals, h.Adopts, h.Updates, h.People,
			list(h.Rules), h.Changed, instant(h.Opened)); err != nil {
			return err
		}
		opened := h.inLane(map[string]any{"plan": h.Plan, "adds": h.Adds, "removals": h.Removals, "adopts": h.Adopts,
			"people": h.People, "rules": h.Rules, "changed": h.Changed})
		if h.Updates > 0 {
			opened["updates"] = h.Updates
		}
		return w.append(ctx, Entry{At: h.Opened, Kind: EntryHoldOpened, Run: h.Run, Body: body(opened)})
	})
}

// nextHold returns the number of the organization's next hold.
func (w *write) nextHold(ctx context.Context, h Hold) (int64, error) {
	var number, elsewhere int64
	err := w.each(ctx, func(row scanner) error { return row.Scan(&number, &elsewhere) },
		`SELECT COALESCE(MAX(number), 0) + 1, COUNT(CASE WHEN decision = '' AND run = ? AND lane <> ? THEN 1 END)
		FROM holds WHERE org = ?`, h.Run, string(h.Lane), w.org)
	if err == nil && elsewhere > 0 {
		err = fmt.Errorf("run %s has an open hold in another lane: hold the changes of lane %q in a run of their own",
			h.Run, h.Lane)
	}
	return number, err
}

// inLane adds the lane to an entry's body; entries of the lane of access are as they were when it was the only one.
func (h Hold) inLane(entry map[string]any) map[string]any {
	if h.Lane != LaneAccess {
		entry["lane"] = h.Lane
	}
	return entry
}

// endHold records how a hold ended, in its row and in the chain.
func (w *write) endHold(ctx context.Context, h numbered, decision, by, note string, at time.Time) error {
	if err := w.touchDoubted(ctx, tableHolds, []any{h.number}); err != nil {
		return err
	}
	if _, err := w.exec(ctx, `UPDATE holds SET decision = ?, by_whom = ?, note = ?, decided = ? WHERE org = ? AND number = ?`,
		decision, by, note, instant(at), w.org, h.number); err != nil {
		return err
	}
	return w.append(ctx, Entry{At: at, Kind: EntryHoldDecided, Run: h.Run, Body: body(h.inLane(map[string]any{
		"plan": h.Plan, "decision": decision, "by": by, "note": note,
	}))})
}

// DecideHold is DecideHoldIn for the lane of access.
func (l *Ledger) DecideHold(ctx context.Context, org, plan, decision, by, note string, at time.Time) (Hold, error) {
	return l.DecideHoldIn(ctx, org, LaneAccess, plan, decision, by, note, at)
}

// DecideHoldIn approves or rejects the open hold of a lane, which must be of exactly that plan, and returns it as
// decided. Approved lines become Planned. Rejected ones become Rejected and are remembered, so that they are not
// planned again until what asked for them has gone (see Page.Lift); not so when the hold asked for consent to the first
// run, to a batch of links, or to the restore of a group.
//
// Repeating the decision on the plan decided last returns it again. ErrNotOpen: another plan waits, or none.
func (l *Ledger) DecideHoldIn(ctx context.Context, org string, lane Lane, plan, decision, by, note string,
	at time.Time) (Hold, error) {
	if decision != Approve && decision != Reject {
		return Hold{}, fmt.Errorf("ledger: decide the hold on plan %s (organization %s): %q is no decision: write %s or %s", plan, org, decision, Approve, Reject)
	}
	at = orNow(at)
	var decided numbered
	err := l.write(ctx, org, decision+" the hold on plan "+plan, func(w *write) error {
		open, err := current(ctx, w.database, org, lane)
		if errors.Is(err, ErrNotFound) {
			return w.repeated(ctx, lane, plan, decision, "no hold is open", &decided)
		}
		if err != nil {
			return err
		}
		if open.Plan != plan {
			return w.repeated(ctx, lane, plan, decision, "the open hold is on plan "+open.Plan, &decided)
		}
		if err := w.touch(ctx, tableHolds, []any{open.number}); err != nil {
			return err
		}
		if decision == Approve {
			err = w.moveHeld(ctx, open.Run, access.Planned, at)
		} else {
			err = w.rejectHeld(ctx, open, at)
		}
		if err != nil {
			return err
		}
		if err := w.endHold(ctx, open, decision, by, note, at); err != nil {
			return err
		}
		decided = open
		decided.Decision, decided.By, decided.Note, decided.Decided = decision, clean(by), clean(note),
			fromInstant(instant(at))
		return nil
	})
	return decided.Hold, err
}

// repeated finds the decision on the plan that this call repeats, or returns an error.
func (w *write) repeated(ctx context.Context, lane Lane, plan, decision, why string, decided *numbered) error {
	was, err := first(ctx, w.database, scanHold,
		selectHold+` WHERE org = ? AND lane = ? AND plan = ? ORDER BY number DESC LIMIT 1`, w.org, string(lane), plan)
	if err == nil && was.Decision == decision {
		*decided = was
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil {
		why = "this one was ended by " + was.Decision + "; " + why
	}
	return fmt.Errorf("%w: %s", ErrNotOpen, why)
}

func (w *write) moveHeld(ctx context.Context, run string, to access.ChangeState, at time.Time) error {
	_, err := w.exec(ctx, `UPDATE lines SET state = ?, at = ? WHERE org = ? AND run = ? AND state = 'held'`,
		string(to), instant(at), w.org, run)
	return err
}

func (w *write) rejectHeld(ctx context.Context, h numbered, at time.Time) error {
	if strings.HasPrefix(string(h.Lane), laneOfLinks) || strings.HasPrefix(string(h.Lane), laneOfRestores) {
		// the batch, or the restore, is rejected, not its people for good
		return w.moveHeld(ctx, h.Run, access.Rejected, at)
	}
	for _, rule := range h.Rules {
		if rule.Rule == ruleAdopt {
			return w.moveHeld(ctx, h.Run, access.Rejected, at)
		}
	}
	keys, err := collect(ctx, w.database, func(row scanner) ([]any, error) {
		var person, target, action string
		err := row.Scan(&person, &target, &action)
		return []any{person, target, action}, err
	}, `SELECT person, target, action FROM lines WHERE org = ? AND run = ? AND state = 'held'`, w.org, h.Run)
	if err != nil {
		return err
	}
	if err := w.forget(ctx, tableRejections, keys...); err != nil {
		return err
	}
	if _, err := w.exec(ctx, `INSERT INTO rejections (org, person, target, action, group_id, email, reasons, sources, loses,
		held_by, answer, edits, at)
		SELECT org, person, target, action, group_id, email, reasons, sources, loses, held_by, answer, edits,
			CAST(? AS BIGINT)
		FROM lines WHERE org = ? AND run = ? AND state = 'held'
		ON CONFLICT (org, person, target, action) DO UPDATE SET group_id = excluded.group_id, email = excluded.email,
			reasons = excluded.reasons, sources = excluded.sources, loses = excluded.loses, held_by = excluded.held_by,
			answer = excluded.answer, edits = excluded.edits, at = excluded.at`,
		instant(at), w.org, h.Run); err != nil {
		return err
	}
	return w.moveHeld(ctx, h.Run, access.Rejected, at)
}

// CloseHold is CloseHoldIn for the lane of access.
func (l *Ledger) CloseHold(ctx context.Context, org, why string) error {
	return l.CloseHoldIn(ctx, org, LaneAccess, why)
}

// CloseHoldIn ends the open hold of a lane, if there is one, because nothing is held any more, for the reason why.
func (l *Ledger) CloseHoldIn(ctx context.Context, org string, lane Lane, why string) error {
	return l.write(ctx, org, "close the hold", func(w *write) error {
		open, err := current(ctx, w.database, org, lane)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return w.endHold(ctx, open, Closed, "", why, orNow(time.Time{}))
	})
}
