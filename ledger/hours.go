package ledger

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Privilege is how long one person held one target by grants in one month.
type Privilege struct {
	Person string
	Email  string // the last known address, if any
	Target access.Entitlement
	Month  string        // 2026-11, in UTC
	Held   time.Duration // from the write that gave it to the one that removed it
	Grants int           // grants that were a reason for it
}

// Hours sums up from the holdings what was held by grants in [from, to), by month, person and target. Open holdings
// count up to to.
func (l *Ledger) Hours(ctx context.Context, org string, from, to time.Time) ([]Privilege, error) {
	sums := hours{}
	query, args := hoursQuery(org, from, to)
	err := l.reads.each(ctx, func(row scanner) error {
		h, err := scanHolding(row)
		if err == nil {
			sums.add(h, from, to)
		}
		return err
	}, query, args...)
	if err != nil {
		return nil, reading(err, "the hours of privilege", org)
	}
	all, people := sums.list()
	emails, err := l.KnownEmails(ctx, org, people)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Email = emails[all[i].Person]
	}
	return all, nil
}

// hoursQuery has the condition of the index holdings_by_grant.
func hoursQuery(org string, from, to time.Time) (string, []any) {
	return selectHolding + ` WHERE org = ? AND since < ? AND (until = 0 OR until > ?) AND granted = 1`,
		[]any{org, instant(to), instant(from)}
}

// hours are the sums by month.
type hours map[monthKey]*monthSum

type monthKey struct {
	lineKey
	month string
}

type monthSum struct {
	held   time.Duration
	grants map[string]bool
}

// add splits the holding's span at the months and at the ends.
func (s hours) add(h access.Holding, from, to time.Time) {
	var grants []string
	for _, r := range h.Reasons {
		if r.Kind == access.ReasonGrant {
			grants = append(grants, r.Name)
		}
	}
	start, end := h.From, h.Until
	if start.Before(from) {
		start = from
	}
	if end.IsZero() || end.After(to) {
		end = to
	}
	for start = start.UTC(); len(grants) > 0 && start.Before(end); {
		next := time.Date(start.Year(), start.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		if next.After(end) {
			next = end
		}
		key := monthKey{lineKey{h.Person, h.Target}, start.Format("2006-01")}
		if s[key] == nil {
			s[key] = &monthSum{grants: map[string]bool{}}
		}
		s[key].held += next.Sub(start)
		for _, id := range grants {
			s[key].grants[id] = true
		}
		start = next
	}
}

// list returns the sums in order, and the people in them.
func (s hours) list() (all []Privilege, people []string) {
	for key, sum := range s {
		all = append(all, Privilege{
			Person: key.person, Target: key.target, Month: key.month, Held: sum.held, Grants: len(sum.grants),
		})
		people = append(people, key.person)
	}
	slices.SortFunc(all, func(a, b Privilege) int {
		return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Person, b.Person), cmp.Compare(a.Target, b.Target))
	})
	slices.Sort(people)
	return all, slices.Compact(people)
}
