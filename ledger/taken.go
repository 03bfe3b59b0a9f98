package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// Removal is the event feed's report that somebody else removed something from a person.
type Removal struct {
	Person string
	What   string // a group's ID, an entitlement that is held without a group, or LeftOrganization
	access.OutOfBandRemoval
}

// LeftOrganization is the What of a person's removal from the organization, which ends all they held.
const LeftOrganization = "organization"

// of reports whether the removal concerns the holding.
func (r Removal) of(h access.Holding) bool {
	switch {
	case !h.Owned || !r.At.After(h.From) || h.Target.Presence():
		return false
	case h.GroupID != "":
		return r.What == LeftOrganization || r.What == h.GroupID
	}
	return r.What == LeftOrganization || r.What == string(h.Target)
}

// NoteRemoval records a removal that affects anything of Castellan's own, or a group that waits until a person accepts
// the synced one of its name at Atlassian: see AcceptedMembers. Of several, the last one stays.
func (l *Ledger) NoteRemoval(ctx context.Context, org string, r Removal) error {
	query, args := openHoldings(org, []string{r.Person})
	standing, err := collect(ctx, l.reads, scanHolding, query, args...)
	if err != nil {
		return reading(err, "what "+r.Person+" holds", org)
	}
	if !slices.ContainsFunc(standing, r.of) {
		waits, err := l.reads.awaitsAcceptance(ctx, org, r.What)
		if err != nil || !waits {
			return reading(err, "whether group "+r.What+" waits to be accepted", org)
		}
	}
	return l.write(ctx, org, "note what was taken from "+r.Person, func(w *write) error {
		if err := w.forget(ctx, tableRemovalEvents, []any{r.Person, r.What}); err != nil {
			return err
		}
		_, err := w.exec(ctx, `INSERT INTO removal_events (org, person, what, at, action) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, person, what) DO UPDATE SET at = excluded.at, action = excluded.action WHERE excluded.at > removal_events.at`,
			org, r.Person, r.What, instant(r.At), clean(r.Action))
		return err
	})
}

// taken records in open holdings what somebody else removed of them, unless Castellan has written them since. Rows that
// the chain does not explain are ignored.
func (l *Ledger) taken(ctx context.Context, org string, people []string, states map[string]PersonState) error {
	where, args := among("org", "person", people, org)
	removals, err := collect(ctx, l.reads, func(row scanner) (r Removal, err error) {
		var at int64
		err = row.Scan(&r.Person, &r.What, &at, &r.Action)
		r.At = fromInstant(at)
		return r, err
	}, `SELECT person, what, at, action FROM removal_events WHERE `+where+` ORDER BY person, at`, args...)
	if err != nil || len(removals) == 0 {
		return err
	}
	keys := make([][]string, len(removals))
	for i, r := range removals {
		keys[i] = []string{r.Person, r.What}
	}
	explained, err := l.explainedRows(ctx, org, tableRemovalEvents, keys)
	if err != nil {
		return err
	}
	for i, r := range removals {
		if !explained[strings.Join(keys[i], "\x00")] {
			continue
		}
		held := states[r.Person].Holdings
		for j := range held {
			if !r.of(held[j]) {
				continue
			}
			written, err := first(ctx, l.reads, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
				`SELECT COUNT(*) FROM lines WHERE org = ? AND person = ? AND at >= ? AND state IN ('sent', 'done', 'already')
				AND target = ? AND (state <> 'already' OR attempts > 1)`, org, r.Person, instant(r.At), string(held[j].Target))
			if err != nil {
				return err
			}
			if written == 0 {
				held[j].Taken = &access.OutOfBandRemoval{At: r.At, Action: r.Action}
			}
		}
	}
	return nil
}

// givenSince is why a holding ended that somebody else removed and gave again.
func givenSince(h access.Holding) string {
	return fmt.Sprintf("somebody else took it (event %s): what is there now was given since", h.Taken.Action)
}
