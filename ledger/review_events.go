package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/castellan-io/castellan/access"
)

// chained are the events that are in the organization's chain too.
var chained = map[string]string{
	access.EventOpened: EntryReviewOpened, access.EventDecided: EntryReviewDecided,
	access.EventReopened: EntryReviewReopened,
	access.EventExtended: EntryReviewExtended, access.EventClosed: EntryReviewClosed,
	access.EventCancelled: EntryReviewCancelled,
	access.EventEnded:     EntryReviewEnded,
}

// note adds events to a review's log, and some of them to the chain.
func (w *write) note(ctx context.Context, review string, events ...access.ReviewEvent) error {
	return w.noteOf(ctx, review, nil, events...)
}

// noteOf is note for events about items.
func (w *write) noteOf(ctx context.Context, review string, items map[int]access.Item,
	events ...access.ReviewEvent) error {
	if len(events) == 0 {
		return nil
	}
	last, err := w.lastEvent(ctx, review)
	if err != nil {
		return err
	}
	var rows, keys [][]any
	var entries []Entry
	for i := range events {
		e := &events[i]
		last++
		e.Seq, e.At = last, cut(orNow(e.At))
		keys = append(keys, []any{review, e.Seq})
		rows = append(rows, []any{w.org, review, e.Seq, instant(e.At), e.Kind, e.By, e.Via, e.Item, e.Stage,
			string(e.Verdict), e.Bulk, e.To, e.Text, e.ByEmail, e.ToEmail})
		kind, is := chained[e.Kind]
		if !is {
			continue
		}
		fields := map[string]any{"review": review}
		for name, value := range map[string]string{"by": e.By, "verdict": string(e.Verdict), "text": e.Text} {
			if value != "" {
				fields[name] = value
			}
		}
		for name, value := range map[string]int{"item": e.Item, "stage": e.Stage} {
			if value != 0 {
				fields[name] = value
			}
		}
		entries = append(entries, Entry{At: e.At, Kind: kind, Person: items[e.Item].Person,
			Target: items[e.Item].Target, Body: body(fields)})
	}
	if err := errors.Join(w.touchDoubted(ctx, tableEvents, keys...),
		w.touchDoubted(ctx, tableReviews, []any{review})); err != nil {
		return err
	}
	if err := w.execRows(ctx, `INSERT INTO review_events (org, review, seq, at, kind, by_whom, via, n, stage, verdict, bulk, to_whom, body, by_email, to_email) VALUES`,
		marks(15), ``, rows); err != nil {
		return err
	}
	if _, err := w.exec(ctx, `UPDATE reviews SET events = ? WHERE org = ? AND id = ?`, last, w.org,
		review); err != nil {
		return err
	}
	return w.append(ctx, entries...)
}

// lastEvent returns the number of the last entry of a review's log.
func (w *write) lastEvent(ctx context.Context, review string) (int, error) {
	return first(ctx, w.database, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT events FROM reviews WHERE org = ? AND id = ?`, w.org, review)
}

// NoteReview adds events to a review's log. One that is there already, with the same At and all else, is not added
// again; so give a fixed At if the call may be repeated (a zero At means now).
func (l *Ledger) NoteReview(ctx context.Context, org, review string, events ...access.ReviewEvent) error {
	return l.write(ctx, org, "note in review "+review, func(w *write) error {
		var fresh []access.ReviewEvent
		for _, e := range events {
			there, err := w.noted(ctx, review, e)
			if err != nil {
				return err
			}
			if !there {
				fresh = append(fresh, e)
			}
		}
		return w.note(ctx, review, fresh...)
	})
}

// noted reports whether the event is in the log.
func (w *write) noted(ctx context.Context, review string, e access.ReviewEvent) (bool, error) {
	if e.At.IsZero() {
		return false, nil
	}
	return w.exists(ctx, `SELECT 1 FROM review_events WHERE `+byPerson+` AND by_whom = ? AND kind = ? AND at = ?
		AND via = ? AND n = ? AND stage = ? AND verdict = ? AND bulk = ? AND to_whom = ? AND body = ?`,
		w.org, review, e.By, e.Kind, instant(e.At), e.Via, e.Item, e.Stage, string(e.Verdict), e.Bulk, e.To, e.Text)
}

// byPerson keeps a query for one person's events from scanning the whole log of a review, which either database
// prefers: with the review in this form only the index by person can be used.
const byPerson = `org || '' = ? AND review || '' = ?`

// exists reports whether a query has a row.
func (w *write) exists(ctx context.Context, query string, args ...any) (bool, error) {
	some, err := collect(ctx, w.database, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		query+` LIMIT 1`, args...)
	return len(some) > 0, err
}

// ReviewEvents returns at most limit events (1,000 for 0) of a review after one, in order.
func (l *Ledger) ReviewEvents(ctx context.Context, org, review string, after, limit int) ([]access.ReviewEvent, error) {
	all, err := collect(ctx, l.reads, func(row scanner) (e access.ReviewEvent, err error) {
		var at int64
		err = row.Scan(&e.Seq, &at, &e.Kind, &e.By, &e.Via, &e.Item, &e.Stage, &e.Verdict, &e.Bulk, &e.To, &e.Text,
			&e.ByEmail, &e.ToEmail)
		e.At = fromInstant(at)
		return e, err
	}, `SELECT seq, at, kind, by_whom, via, n, stage, verdict, bulk, to_whom, body, by_email, to_email FROM review_events
		WHERE org = ? AND review = ? AND seq > ? ORDER BY seq LIMIT ?`, org, review, after, atMost(limit))
	return all, reading(err, "what was said in review "+review, org)
}

// SeenReview records that a reviewer opened their page or list, unless that was recorded within the time before.
func (l *Ledger) SeenReview(ctx context.Context, org, review string, by access.Person, via string, at time.Time,
	every time.Duration) error {
	at = orNow(at)
	return l.write(ctx, org, "note that "+by.ID+" looks at review "+review, func(w *write) error {
		recent, err := w.exists(ctx, `SELECT 1 FROM review_events WHERE `+byPerson+
			` AND by_whom = ? AND kind = ? AND at >= ?`,
			org, review, by.ID, access.EventSeen, instant(at.Add(-every)))
		if err != nil || recent {
			return err
		}
		return w.note(ctx, review, access.ReviewEvent{At: at, Kind: access.EventSeen, By: by.ID,
			ByEmail: by.Email, Via: via})
	})
}

// NotifiedReviewers returns the accounts of the reviewers who were notified in a stage of a review that they have
// items.
func (l *Ledger) NotifiedReviewers(ctx context.Context, org, review string, stage int) (map[string]bool, error) {
	told := map[string]bool{}
	err := l.reads.each(ctx, func(row scanner) error {
		var name string
		err := row.Scan(&name)
		told[name] = true
		return err
	}, `SELECT DISTINCT COALESCE((SELECT n.account FROM review_names n WHERE n.org = e.org AND n.review = e.review AND n.written = e.to_whom), e.to_whom)
		FROM review_events e WHERE org = ? AND review = ? AND by_whom = '' AND kind = ? AND stage = ?`,
		org, review, access.EventReminded, stage)
	return told, reading(err, "who was told of review "+review, org)
}
