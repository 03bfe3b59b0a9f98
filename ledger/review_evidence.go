package ledger

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
)

// SaveEvidence stores one piece of a review's evidence, numbered from 0; a repeat replaces it and deletes the pieces
// after it. Once the review's state is final, its evidence stays as it is.
func (l *Ledger) SaveEvidence(ctx context.Context, org, review string, piece int, body string) error {
	return l.write(ctx, org, "keep evidence of review "+review, func(w *write) error {
		r, err := w.review(ctx, review)
		if err != nil || r.State.Final() {
			return err
		}
		if _, err := w.exec(ctx, `DELETE FROM review_evidence WHERE org = ? AND review = ? AND piece >= ?`, org, review,
			piece); err != nil {
			return err
		}
		_, err = w.exec(ctx, `INSERT INTO review_evidence (org, review, piece, body) VALUES (?, ?, ?, ?)`, org, review,
			piece, body)
		return err
	})
}

// Evidence returns one piece of a review's evidence, and whether there is another after it. ErrNotFound: there is no
// such piece.
func (l *Ledger) Evidence(ctx context.Context, org, review string, piece int) (body string, more bool, err error) {
	body, err = first(ctx, l.reads, func(row scanner) (s string, err error) {
		var after int
		err = row.Scan(&s, &after)
		more = after > 0
		return s, err
	}, `SELECT body, (SELECT COUNT(*) FROM review_evidence n WHERE n.org = e.org AND n.review = e.review AND n.piece = e.piece + 1)
		FROM review_evidence e WHERE org = ? AND review = ? AND piece = ?`, org, review, piece)
	return body, more, reading(err, "the evidence of review "+review, org)
}

// EndReview makes a review's state final, with the head of its evidence in the log's last entry of the chain, and
// deletes what the pages counted. A repeat changes nothing.
func (l *Ledger) EndReview(ctx context.Context, org, id string, state access.ReviewState, head string, lines int,
	at time.Time) (access.Review, error) {
	at = cut(orNow(at))
	said := string(state)
	if head != "" {
		said += ", evidence " + head
	}
	var r access.Review
	err := l.write(ctx, org, "end review "+id, func(w *write) (err error) {
		var changed bool
		if changed, r, err = w.changeReview(ctx, id, func(r *access.Review) bool {
			if r.State.Final() {
				return false
			}
			r.State, r.Ended, r.Head, r.Lines = state, at, head, lines
			return true
		}, access.ReviewEvent{At: at, Kind: access.EventEnded, Text: said}); err != nil || !changed {
			return err
		}
		_, err = w.exec(ctx, `DELETE FROM review_pages WHERE org = ? AND review = ?`, org, id)
		return err
	})
	return r, err
}
