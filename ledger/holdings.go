package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

const selectHolding = `SELECT person, target, group_id, owned, reasons, run, since, until FROM holdings`

func scanHolding(row scanner) (h access.Holding, err error) {
	var reasons string
	var since, until int64
	if err := row.Scan(&h.Person, &h.Target, &h.GroupID, &h.Owned, &reasons, &h.Run, &since, &until); err != nil {
		return h, err
	}
	h.From, h.Until = fromInstant(since), fromInstant(until)
	h.Reasons, err = fromList[access.Reason](reasons)
	return h, err
}

// openHoldings selects what the people hold now, with until = 0 as in the index holdings_open.
func openHoldings(org string, people []string) (string, []any) {
	where, args := among("org", "person", people, org)
	return selectHolding + ` WHERE until = 0 AND ` + where, args
}

// Holding returns the person's open holding of the target, or ErrNotFound.
func (l *Ledger) Holding(ctx context.Context, org, person string, target access.Entitlement) (access.Holding, error) {
	h, err := first(ctx, l.reads, scanHolding,
		selectHolding+` WHERE until = 0 AND org = ? AND person = ? AND target = ?`,
		org, person, string(target))
	return h, reading(err, "what "+person+" holds of "+string(target), org)
}

// HoldingsAt returns what was held at a past instant or is held now, by person, target and beginning: by the person
// (and, with a target, of that target), or, with person "", everyone's holdings of the target. A holding counts from
// its From up to, not including, its Until.
func (l *Ledger) HoldingsAt(ctx context.Context, org, person string, target access.Entitlement,
	at time.Time) ([]access.Holding, error) {
	if person == "" && target == "" {
		return nil, reading(errors.New("name a person, a target or both"), "holdings", org)
	}
	query, args := holdingsAtQuery(org, person, target, at)
	all, err := collect(ctx, l.reads, scanHolding, query, args...)
	return all, reading(err, "what "+person+" held at "+at.UTC().Format(time.RFC3339), org)
}

func holdingsAtQuery(org, person string, target access.Entitlement, at time.Time) (string, []any) {
	query, args := selectHolding+` WHERE org = ?`, []any{org}
	if person != "" {
		query += ` AND person = ?`
		args = append(args, person)
	}
	if target != "" {
		query += ` AND target = ?`
		args = append(args, string(target))
	}
	return query + ` AND since <= ? AND (until = 0 OR until > ?) ORDER BY person, target, since`,
		append(args, instant(at), instant(at))
}

// Foreign returns at most limit (1,000 for 0) standing holdings that Castellan neither made nor adopted, of the target
// ("": of all), by target and person. After is the last of the page before; its Action does not matter.
func (l *Ledger) Foreign(ctx context.Context, org string, target access.Entitlement, limit int,
	after Key) ([]access.Holding, error) {
	query, args := foreignQuery(org, target, limit, after)
	all, err := collect(ctx, l.reads, scanHolding, query, args...)
	return all, reading(err, "foreign holdings", org)
}

func foreignQuery(org string, target access.Entitlement, limit int, after Key) (string, []any) {
	query, args := selectHolding+` WHERE org = ? AND until = 0 AND owned = 0`, []any{org}
	if target != "" {
		query += ` AND target = ?`
		args = append(args, string(target))
	}
	if after != (Key{}) {
		query += ` AND (target, person) > (?, ?)`
		args = append(args, string(after.Target), after.Person)
	}
	return query + ` ORDER BY target, person LIMIT ?`, append(args, atMost(limit))
}

// History returns the chain's newest entries about a person (and, with a target, that target), or, with person "",
// about a target; newest first, at most limit (1,000 for 0).
func (l *Ledger) History(ctx context.Context, org, person string, target access.Entitlement,
	limit int) ([]Entry, error) {
	if person == "" && target == "" {
		return nil, reading(errors.New("name a person, a target or both"), "a history", org)
	}
	query, args := historyQuery(org, person, target, limit)
	all, err := collect(ctx, l.reads, scanEntry, query, args...)
	return all, reading(err, "the history of "+person+" "+string(target), org)
}

func historyQuery(org, person string, target access.Entitlement, limit int) (string, []any) {
	query, args := selectEntry+` WHERE org = ?`, []any{org}
	if person != "" {
		query += ` AND person = ?`
		args = append(args, person)
	}
	if target != "" {
		query += ` AND target = ?`
		args = append(args, string(target))
	}
	return query + ` ORDER BY seq DESC LIMIT ?`, append(args, atMost(limit))
}

// applyHoldings opens and closes holdings. Opening an equal one that is open does nothing; opening it with other
// reasons or another owner ends the old span and begins a new one. An owned one stays owned until it is closed, so
// finding it again does not make it foreign; a holding given both to close and to open is replaced as given. Closing
// one that is not open does nothing; with a From, only that very holding is closed. At stands for missing instants.
func (w *write) applyHoldings(ctx context.Context, run string, open, closing []access.Holding, at time.Time) error {
	if len(open)+len(closing) == 0 {
		return nil
	}
	standing, err := w.standing(ctx, open, closing)
	if err != nil {
		return err
	}
	s := spans{org: w.org, run: run, at: at, standing: standing, opening: make(map[lineKey]access.Holding, len(open)),
		replaced: map[lineKey]bool{}}
	for _, h := range open {
		s.opening[lineKey{h.Person, h.Target}] = h
	}
	for _, h := range closing {
		s.close(h)
	}
	for _, h := range open {
		s.open(lineKey{h.Person, h.Target})
	}
	return w.saveSpans(ctx, s)
}

// spans are the spans of holdings that one call of applyHoldings ends and begins, as rows.
type spans struct {
	org, run     string
	at           time.Time
	standing     map[lineKey]access.Holding
	opening      map[lineKey]access.Holding // still to open: the last one given for each key
	replaced     map[lineKey]bool           // given both to close and to open
	ends, begins [][]any
}

func (s *spans) end(h access.Holding, until time.Time) {
	if until.Before(h.From) {
		until = h.From
	}
	s.ends = append(s.ends, []any{s.org, h.Person, string(h.Target), instant(h.From), instant(until)})
}

func (s *spans) close(h access.Holding) {
	key := lineKey{h.Person, h.Target}
	if _, again := s.opening[key]; again {
		s.replaced[key] = true
		return
	}
	was, stands := s.standing[key]
	if !stands || !h.From.IsZero() && instant(h.From) != instant(was.From) {
		return
	}
	s.end(was, orAt(h.Until, s.at))
	delete(s.standing, key)
}

// open begins the span of a key; for a key that was given twice, once.
func (s *spans) open(key lineKey) {
	h, last := s.opening[key]
	if !last {
		return
	}
	delete(s.opening, key)
	since := orAt(h.From, s.at)
	if was, stands := s.standing[key]; stands {
		h.Owned = h.Owned || was.Owned && !s.replaced[key]
		if was.Owned == h.Owned && was.GroupID == h.GroupID && list(was.Reasons) == list(h.Reasons) {
			return
		}
		if was.From.Before(since) && instant(was.From) != instant(since) {
			s.end(was, since)
		} else {
			since = was.From // of the same instant: the new one replaces it
		}
	}
	if h.Run == "" {
		h.Run = s.run
	}
	s.begins = append(s.begins, []any{s.org, h.Person, string(h.Target), instant(since), h.GroupID, flag(h.Owned),
		list(h.Reasons), h.Run, flag(access.HasKind(h.Reasons, access.ReasonGrant))})
}

func (w *write) saveSpans(ctx context.Context, s spans) error {
	var keys [][]any
	for _, row := range slices.Concat(s.ends, s.begins) {
		keys = append(keys, row[1:4])
	}
	if err := w.touchDoubted(ctx, tableHoldings, keys...); err != nil {
		return err
	}
	if err := w.execRows(ctx, `UPDATE holdings SET until = v.column5 FROM (VALUES`,
		`?, ?, ?, CAST(? AS BIGINT), CAST(? AS BIGINT)`,
		`) AS v WHERE org = v.column1 AND person = v.column2 AND target = v.column3 AND since = v.column4`,
		s.ends); err != nil {
		return err
	}
	return w.execRows(ctx, `INSERT INTO holdings (org, person, target, since, group_id, owned, reasons, run, granted, until) VALUES`,
		marks(9)+", 0", `ON CONFLICT (org, person, target, since) DO UPDATE SET group_id = excluded.group_id,
		owned = excluded.owned, reasons = excluded.reasons, run = excluded.run, granted = excluded.granted, until = 0`, s.begins)
}

// standing reads the open ones of the holdings to open and close.
func (w *write) standing(ctx context.Context, lists ...[]access.Holding) (map[lineKey]access.Holding, error) {
	var people []string
	asked := map[string]bool{}
	for _, holdings := range lists {
		for _, h := range holdings {
			if !asked[h.Person] {
				asked[h.Person] = true
				people = append(people, h.Person)
			}
		}
	}
	standing := map[lineKey]access.Holding{}
	for _, some := range chunks(people) {
		query, args := openHoldings(w.org, some)
		err := w.each(ctx, func(row scanner) error {
			h, err := scanHolding(row)
			standing[lineKey{h.Person, h.Target}] = h
			return err
		}, query, args...)
		if err != nil {
			return nil, err
		}
	}
	return standing, nil
}

func orAt(t, at time.Time) time.Time {
	if t.IsZero() {
		return at
	}
	return t
}
