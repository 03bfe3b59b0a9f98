package ledger

import (
	"context"
	"errors"
	"fmt"
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

// Hold is a list of changes that a guard held. An organization has at most one open hold; its lines are the held lines
// of its run.
type Hold struct {
	Org      string     `json:"org"`
	Plan     string     `json:"plan"` // hash over the held lines
	Run      string     `json:"run"`
	Adds     int        `json:"adds"`
	Removals int        `json:"removals"`
	Adopts   int        `json:"adopts"`
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

const selectHold = `SELECT number, org, plan, run, adds, removals, adopts, people, rules, changed, opened, decided, decision,
	by_whom, note FROM holds`

func scanHold(row scanner) (h numbered, err error) {
	var opened, decided int64
	var rules string
	if err := row.Scan(&h.number, &h.Org, &h.Plan, &h.Run, &h.Adds, &h.Removals, &h.Adopts, &h.People, &rules,
		&h.Changed,
		&opened, &decided, &h.Decision, &h.By, &h.Note); err != nil {
		return h, err
	}
	h.Opened, h.Decided = fromInstant(opened), fromInstant(decided)
	h.Rules, err = fromList[HoldRule](rules)
	return h, err
}

// CurrentHold returns the organization's open hold, or ErrNotFound.
func (l *Ledger) CurrentHold(ctx context.Context, org string) (Hold, error) {
	h, err := current(ctx, l.reads, org)
	return h.Hold, reading(err, "the open hold", org)
}

func current(ctx context.Context, d database, org string) (numbered, error) {
	return first(ctx, d, scanHold, selectHold+` WHERE org = ? AND decision = ''`, org)
}

// Holds returns at most limit holds (1,000 for 0), the newest first.
func (l *Ledger) Holds(ctx context.Context, org string, limit int) ([]Hold, error) {
	all, err := collect(ctx, l.reads, func(row scanner) (Hold, error) {
		h, err := scanHold(row)
		return h.Hold, err
	}, selectHold+` WHERE org = ? ORDER BY number DESC LIMIT ?`, org, atMost(limit))
	return all, reading(err, "the holds", org)
}

// OpenHold replaces the open hold. The same plan keeps the open hold with its Opened, and updates the rest. A hold on a
// plan of a run that people have decided is not opened again by a late repeat.
func (l *Ledger) OpenHold(ctx context.Context, h Hold) error {
	h.Opened = orNow(h.Opened)
	return l.write(ctx, h.Org, "open the hold on plan "+h.Plan, func(w *write) error {
		var number int64
		newest, err := first(ctx, w.database, scanHold, selectHold+` WHERE org = ? ORDER BY number DESC LIMIT 1`, h.Org)
		switch {
		case errors.Is(err, ErrNotFound):
			number = 1
		case err != nil:
			return err
		case newest.Plan == h.Plan && newest.Decision == "":
			if err := w.touchDoubted(ctx, tableHolds, []any{newest.number}); err != nil {
				return err
			}
			_, err := w.exec(ctx, `UPDATE holds SET run = ?, adds = ?, removals = ?, adopts = ?, people = ?, rules = ?, changed = ?
				WHERE org = ? AND number = ?`,
				h.Run, h.Adds, h.Removals, h.Adopts, h.People, list(h.Rules), h.Changed, h.Org, newest.number)
			return err
		case newest.Plan == h.Plan && newest.Run == h.Run && (newest.Decision == Approve || newest.Decision == Reject):
			return nil
		default:
			number = newest.number + 1
			if newest.Decision == "" {
				if err := w.endHold(ctx, newest, Replaced, "", "by plan "+h.Plan, h.Opened); err != nil {
					return err
				}
			}
		}
		if err := w.touch(ctx, tableHolds, []any{number}); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `INSERT INTO holds (org, number, plan, run, adds, removals, adopts, people, rules, changed,
			opened, decided, decision, by_whom, note) VALUES (`+marks(11)+`, 0, '', '', '')`,
			h.Org, number, h.Plan, h.Run, h.Adds, h.Removals, h.Adopts, h.People, list(h.Rules), h.Changed,
			instant(h.Opened)); err != nil {
			return err
		}
		return w.append(ctx, Entry{At: h.Opened, Kind: EntryHoldOpened, Run: h.Run, Body: body(map[string]any{
			"plan": h.Plan, "adds": h.Adds, "removals": h.Removals, "adopts": h.Adopts, "people": h.People,
			"rules": h.Rules, "changed": h.Changed,
		})})
	})
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
	return w.append(ctx, Entry{At: at, Kind: EntryHoldDecided, Run: h.Run, Body: body(map[string]any{
		"plan": h.Plan, "decision": decision, "by": by, "note": note,
	})})
}

// DecideHold approves or rejects the open hold, which must be of exactly that plan, and returns it as decided. Approved
// lines become Planned. Rejected ones become Rejected and are remembered, so that they are not planned again until what
// asked for them has gone (see Page.Lift); not so when the hold asked for consent to the first run.
//
// Repeating the decision on the plan decided last returns it again. ErrNotOpen: another plan waits, or none.
func (l *Ledger) DecideHold(ctx context.Context, org, plan, decision, by, note string, at time.Time) (Hold, error) {
	if decision != Approve && decision != Reject {
		return Hold{}, fmt.Errorf("ledger: decide the hold on plan %s (organization %s): %q is no decision: write %s or %s", plan, org, decision, Approve, Reject)
	}
	at = orNow(at)
	var decided numbered
	err := l.write(ctx, org, decision+" the hold on plan "+plan, func(w *write) error {
		open, err := current(ctx, w.database, org)
		if errors.Is(err, ErrNotFound) {
			return w.repeated(ctx, plan, decision, "no hold is open", &decided)
		}
		if err != nil {
			return err
		}
		if open.Plan != plan {
			return w.repeated(ctx, plan, decision, "the open hold is on plan "+open.Plan, &decided)
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
func (w *write) repeated(ctx context.Context, plan, decision, why string, decided *numbered) error {
	was, err := first(ctx, w.database, scanHold, selectHold+` WHERE org = ? AND plan = ? ORDER BY number DESC LIMIT 1`,
		w.org, plan)
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
		held_by, answer, at)
		SELECT org, person, target, action, group_id, email, reasons, sources, loses, held_by, answer, CAST(? AS BIGINT)
		FROM lines WHERE org = ? AND run = ? AND state = 'held'
		ON CONFLICT (org, person, target, action) DO UPDATE SET group_id = excluded.group_id, email = excluded.email,
			reasons = excluded.reasons, sources = excluded.sources, loses = excluded.loses, held_by = excluded.held_by,
			answer = excluded.answer, at = excluded.at`, instant(at), w.org, h.Run); err != nil {
		return err
	}
	return w.moveHeld(ctx, h.Run, access.Rejected, at)
}

// CloseHold ends the open hold, if there is one, because nothing is held any more, for the reason why.
func (l *Ledger) CloseHold(ctx context.Context, org, why string) error {
	return l.write(ctx, org, "close the hold", func(w *write) error {
		open, err := current(ctx, w.database, org)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return w.endHold(ctx, open, Closed, "", why, orNow(time.Time{}))
	})
}
