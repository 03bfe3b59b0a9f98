package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// ErrUnexplained is the error for a row of the ledger that differs from its last entry in the chain: something else
// wrote it.
var ErrUnexplained = errors.New(
	"the ledger's chain does not explain it: it was written past Castellan; starter verify-ledger names all such rows")

// UnprovenGrants returns those of the grants, by ID, that according to the chain were not granted, or not as they are
// now. They are no reason to give anything.
func (l *Ledger) UnprovenGrants(ctx context.Context, org string, grants []access.Grant) (map[string]bool, error) {
	unproven, err := l.unproven(ctx, org, grants)
	return unproven, reading(err, "what the chain says of grants", org)
}

func (l *Ledger) unproven(ctx context.Context, org string, grants []access.Grant) (map[string]bool, error) {
	var keys [][]string
	for _, g := range grants {
		keys = append(keys, []string{g.ID})
	}
	explained, err := l.explainedRows(ctx, org, tableGrants, keys)
	if err != nil {
		return nil, err
	}
	unproven := map[string]bool{}
	for _, g := range grants {
		proven, there := explained[g.ID]
		if proven {
			if proven, err = granted(ctx, l.reads, org, g); err != nil {
				return nil, err
			}
		}
		if there && !proven {
			unproven[g.ID] = true
		}
	}
	return unproven, nil
}

// granted reports whether the chain contains that a grant was granted.
func granted(ctx context.Context, d database, org string, g access.Grant) (bool, error) {
	said := false
	look := func(person string) error {
		where := `person = ? AND target = ?`
		args := []any{org, person, string(g.Target)}
		if person == "" { // there are many entries without a person, but few of one target
			where = `target = ? AND person || '' = ''`
			args = []any{org, string(g.Target)}
		}
		return d.each(ctx, func(row scanner) error {
			e, err := scanEntry(row)
			if err != nil {
				return err
			}
			var of struct {
				Grant string `json:"grant"`
			}
			if err := json.Unmarshal(e.Body, &of); err != nil || of.Grant != g.ID || e.Sum() != e.Hash {
				return nil //nolint:nilerr // it says nothing of the grant
			}
			said = true
			return errStop
		}, selectEntry+` WHERE org = ? AND `+where+` AND kind = ? ORDER BY seq DESC`, append(args, EntryGrantGranted)...)
	}
	err := look(accountID(g.Person))
	if err == nil && !said && accountID(g.Person) != "" {
		err = look("") // it was granted while the account was not known
	}
	if errors.Is(err, errStop) {
		return true, nil
	}
	return said, err
}

// proveGrants drops the grants that the chain does not explain from the reasons.
func (l *Ledger) proveGrants(ctx context.Context, org string, states map[string]PersonState) error {
	var all []access.Grant
	for _, state := range states {
		all = append(all, state.Grants...)
	}
	if len(all) == 0 {
		return nil
	}
	unproven, err := l.unproven(ctx, org, all)
	if err != nil || len(unproven) == 0 {
		return err
	}
	for person, state := range states {
		for i := range state.Grants {
			if unproven[state.Grants[i].ID] {
				state.Unproven = append(state.Unproven, state.Grants[i].ID)
				state.Grants[i].From, state.Grants[i].Until = time.Time{}, time.Time{}
			}
		}
		states[person] = state
	}
	return nil
}

// proveStates drops rejections, marks, rulings and suspensions that the chain does not explain.
func (l *Ledger) proveStates(ctx context.Context, org string, states map[string]PersonState) error {
	keys := map[*recordedTable][][]string{}
	note := func(t *recordedTable, key ...string) { keys[t] = append(keys[t], key) }
	for _, state := range states {
		for _, c := range state.Rejected {
			note(tableRejections, c.Person, string(c.Target), string(c.Action))
		}
		for _, m := range state.Marks {
			note(tableMarks, m.Person, m.Rule)
		}
		for _, r := range state.Rulings {
			note(tableRulings, r.Person, string(r.Target), r.Review)
		}
		if state.Suspension != nil {
			note(tableSuspensions, state.Suspension.Person)
		}
	}
	explained := map[*recordedTable]map[string]bool{}
	for t := range keys {
		var err error
		if explained[t], err = l.explainedRows(ctx, org, t, keys[t]); err != nil {
			return err
		}
	}
	forged := func(t *recordedTable, key ...string) bool { return !explained[t][strings.Join(key, "\x00")] }
	for person, state := range states {
		state.Rejected = slices.DeleteFunc(state.Rejected, func(c access.Change) bool {
			return forged(tableRejections, c.Person, string(c.Target), string(c.Action))
		})
		state.Marks = slices.DeleteFunc(state.Marks,
			func(m access.RuleMatch) bool { return forged(tableMarks, m.Person, m.Rule) })
		state.Rulings = slices.DeleteFunc(state.Rulings, func(r access.Ruling) bool {
			return forged(tableRulings, r.Person, string(r.Target), r.Review)
		})
		if state.Suspension != nil && forged(tableSuspensions, person) {
			state.Suspension = nil
		}
		states[person] = state
	}
	return nil
}
