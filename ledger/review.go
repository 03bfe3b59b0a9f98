package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
)

// BeginReview stores a review that begins, and returns it as stored. The same workflow again (by Run) finds it.
// ErrConflict: another workflow had the same ID before.
func (l *Ledger) BeginReview(ctx context.Context, org string, r access.Review) (stored access.Review, err error) {
	r.State, r.Stage, r.Opened = access.ReviewOpening, 0, orNow(r.Opened)
	err = l.write(ctx, org, "begin review "+r.ID, func(w *write) error {
		stored, err = w.review(ctx, r.ID)
		if err == nil && stored.Run != r.Run {
			return fmt.Errorf("%w: review %s was begun at %s and is %s; a campaign has one review of a date",
				ErrConflict, r.ID,
				stored.Opened.Format(time.RFC3339), stored.State)
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := w.saveReview(ctx, r); err != nil {
			return err
		}
		if stored, err = w.review(ctx, r.ID); err != nil {
			return err
		}
		return w.note(ctx, r.ID, access.ReviewEvent{At: r.Opened, Kind: access.EventOpened, By: r.By})
	})
	return stored, err
}

// ChangeReview changes a review by a function, which reports whether there is anything to change, and adds events to
// its log. So a repeat finds the change done, and does nothing.
func (l *Ledger) ChangeReview(ctx context.Context, org, id string, change func(*access.Review) bool,
	events ...access.ReviewEvent) (r access.Review, err error) {
	err = l.write(ctx, org, "change review "+id, func(w *write) error {
		_, r, err = w.changeReview(ctx, id, change, events...)
		return err
	})
	return r, err
}

func (w *write) changeReview(ctx context.Context, id string, change func(*access.Review) bool,
	events ...access.ReviewEvent) (changed bool, r access.Review, err error) {
	if r, err = w.review(ctx, id); err != nil || !change(&r) {
		return false, r, err
	}
	r.ID = id
	if err := w.saveReview(ctx, r); err != nil {
		return false, r, err
	}
	if r, err = w.review(ctx, id); err != nil {
		return false, r, err
	}
	return true, r, w.note(ctx, id, events...)
}

// Review returns one review, or ErrNotFound.
func (l *Ledger) Review(ctx context.Context, org, id string) (access.Review, error) {
	r, err := readReview(ctx, l.reads, org, id)
	return r, reading(err, "review "+id, org)
}

// Reviews returns at most limit reviews (1,000 for 0), the newest first; after is the id of the last one of the page
// before.
func (l *Ledger) Reviews(ctx context.Context, org, campaign, after string, limit int) ([]access.Review, error) {
	query, args := selectReview+` WHERE org = ?`, []any{org}
	if campaign != "" {
		query, args = query+` AND campaign = ?`, append(args, campaign)
	}
	if after != "" {
		query += ` AND (opened, id) < (SELECT opened, id FROM reviews WHERE org = ? AND id = ?)`
		args = append(args, org, after)
	}
	all, err := collect(ctx, l.reads, scanReview, query+` ORDER BY opened DESC, id DESC LIMIT ?`,
		append(args, atMost(limit))...)
	return all, reading(err, "the reviews", org)
}

func (w *write) review(ctx context.Context, id string) (access.Review, error) {
	return readReview(ctx, w.database, w.org, id)
}

func readReview(ctx context.Context, d database, org, id string) (access.Review, error) {
	return first(ctx, d, scanReview, selectReview+` WHERE org = ? AND id = ?`, org, id)
}

const selectReview = `SELECT id, campaign, state, stage, opened, body FROM reviews`

func scanReview(row scanner) (r access.Review, err error) {
	var id, campaign, state, stored string
	var stage int
	var opened int64
	if err = row.Scan(&id, &campaign, &state, &stage, &opened, &stored); err != nil {
		return r, err
	}
	err = json.Unmarshal([]byte(stored), &r)
	r.ID, r.Campaign, r.State, r.Stage, r.Opened = id, campaign, access.ReviewState(state), stage, fromInstant(opened)
	return r, err
}

func (w *write) saveReview(ctx context.Context, r access.Review) error {
	rest := r
	rest.ID, rest.Campaign, rest.State, rest.Stage, rest.Opened = "", "", "", 0, time.Time{}
	rest.Due, rest.Closed, rest.Ended = cut(r.Due), cut(r.Closed), cut(r.Ended)
	if err := w.touchDoubted(ctx, tableReviews, []any{r.ID}); err != nil {
		return err
	}
	_, err := w.exec(ctx, `INSERT INTO reviews (org, id, campaign, state, stage, opened, events, ranked, body) VALUES (`+marks(9)+`)
		ON CONFLICT (org, id) DO UPDATE SET state = excluded.state, stage = excluded.stage, body = excluded.body`,
		w.org, r.ID, r.Campaign, string(r.State), r.Stage, instant(r.Opened), 0, 0, text(rest))
	return err
}
