package ledger

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/castellan-io/castellan/review"
)

// SaveReviewCode stores the hash of a code that a reviewer is sent.
func (l *Ledger) SaveReviewCode(ctx context.Context, org, review, reviewer, hash string, at time.Time) error {
	return l.write(ctx, org, "keep the code of "+reviewer+" for review "+review, func(w *write) error {
		if _, err := w.review(ctx, review); err != nil {
			return err
		}
		_, err := w.exec(ctx, `INSERT INTO review_codes (org, review, reviewer, hash, at, used) VALUES (?, ?, ?, ?, ?, 0)
			ON CONFLICT (org, review, reviewer, hash) DO NOTHING`, org, review, reviewer, hash, instant(orNow(at)))
		return err
	})
}

// Pass is how a reviewer proves who they are.
type Pass struct {
	Trusted  bool // the caller has made sure
	CodeHash string
	Shown    string // the use by which the code was spent
	Proof    string
	Proves   func(codeHash string) bool // whether Proof was made with the code of this hash
}

// admit checks a pass. A plain code counts once, since it may have been read on the way. A proof counts once too, so
// that nobody repeats an old message; spent: it counted before.
func (w *write) admit(ctx context.Context, id string, by review.Names, p Pass, at time.Time) (spent bool, err error) {
	if p.Trusted {
		return false, nil
	}
	who, args := in("reviewer", by.List())
	where := ` WHERE org = ? AND review = ? AND ` + who
	args = append([]any{w.org, id}, args...)
	switch {
	case p.Proof != "":
		hashes, err := collect(ctx, w.database,
			func(row scanner) (hash string, err error) { return hash, row.Scan(&hash) },
			`SELECT hash FROM review_codes`+where+` AND used = 0`, args...)
		if err != nil {
			return false, err
		}
		for _, hash := range hashes {
			if p.Proves(hash) {
				n, err := w.exec(ctx, `INSERT INTO review_proofs (org, review, proof, at) VALUES (?, ?, ?, ?) ON CONFLICT (org, review, proof) DO NOTHING`,
					w.org, id, p.Proof, instant(at))
				return n == 0, err
			}
		}
		known, err := w.proven(ctx, `SELECT COUNT(*) FROM review_proofs WHERE org = ? AND review = ? AND proof = ?`,
			id, p.Proof)
		if err != nil {
			return false, err
		}
		for _, name := range by.List() {
			if known {
				break
			}
			if err := w.burnAfterGuess(ctx, BurntCode{Org: w.org, Review: id, Name: name}, "", at); err != nil {
				return false, err
			}
		}
		return false, ErrCode
	case p.CodeHash != "":
		good, values := ` AND used = 0 AND hash = ?`, append(append([]any{instant(at)}, args...), p.CodeHash)
		if p.Shown != "" { // it was spent as it came
			good, values = ` AND hash = ? AND presentation = ?`, append(values, p.Shown)
		}
		n, err := w.exec(ctx, `UPDATE review_codes SET used = ?, presentation = ''`+where+good, values...)
		if err == nil && n == 0 {
			err = ErrCode
		}
		return false, err
	}
	return false, ErrCode
}

// ReviewLink is a link to a reviewer's page that was sent.
type ReviewLink struct {
	ID, Review, Reviewer string // Reviewer is an account id
	At, Expires, Revoked time.Time
}

// SaveReviewLink records a link that is about to be sent; older ones stay valid.
func (l *Ledger) SaveReviewLink(ctx context.Context, org string, k ReviewLink) error {
	return l.write(ctx, org, "keep a link of review "+k.Review, func(w *write) error {
		if _, err := w.review(ctx, k.Review); err != nil {
			return err
		}
		if err := w.touch(ctx, tableLinks, []any{k.ID}); err != nil {
			return err
		}
		_, err := w.exec(ctx, `INSERT INTO review_links (org, id, review, reviewer, at, expires, revoked) VALUES (?, ?, ?, ?, ?, ?, 0)
			ON CONFLICT (org, id) DO NOTHING`, org, k.ID, k.Review, k.Reviewer, instant(orNow(k.At)), instant(k.Expires))
		return err
	})
}

// ReviewLink returns a link that the chain explains, or ErrNotFound.
func (l *Ledger) ReviewLink(ctx context.Context, org, id string) (ReviewLink, error) {
	k, err := first(ctx, l.reads, func(row scanner) (k ReviewLink, err error) {
		var at, expires, revoked int64
		err = row.Scan(&k.ID, &k.Review, &k.Reviewer, &at, &expires, &revoked)
		k.At, k.Expires, k.Revoked = fromInstant(at), fromInstant(expires), fromInstant(revoked)
		return k, err
	}, `SELECT id, review, reviewer, at, expires, revoked FROM review_links WHERE org = ? AND id = ?`, org, id)
	if errors.Is(err, ErrNotFound) {
		return k, err
	}
	if err != nil {
		return k, reading(err, "a link", org)
	}
	explained, err := l.explainedRows(ctx, org, tableLinks, [][]string{{id}})
	if err == nil && !explained[id] {
		return ReviewLink{}, ErrNotFound
	}
	return k, reading(err, "what the chain says of a link", org)
}

// RevokeReviewLinks revokes the links of one reviewer of a review, or of all of them for "", and their codes, and
// returns the number of links.
func (l *Ledger) RevokeReviewLinks(ctx context.Context, org, review, reviewer string, at time.Time) (revoked int,
	err error) {
	err = l.write(ctx, org, "revoke links of review "+review, func(w *write) error {
		where, args := ` WHERE org = ? AND review = ?`, []any{org, review}
		if reviewer != "" {
			known, err := w.namesOf(ctx, review, reviewer)
			if err != nil {
				return err
			}
			who, values := in("reviewer", known.List())
			where, args = where+` AND `+who, append(args, values...)
		}
		if err := w.touchDoubtedWhere(ctx, tableLinks,
			strings.TrimPrefix(where, ` WHERE org = ? AND `)+` AND revoked = 0`, args[1:]...); err != nil {
			return err
		}
		stamp := []any{instant(orNow(at))}
		if revoked, err = w.exec(ctx, `UPDATE review_links SET revoked = ?`+where+` AND revoked = 0`,
			append(stamp[:1:1], args...)...); err != nil {
			return err
		}
		_, err := w.exec(ctx, `UPDATE review_codes SET used = ?`+where+` AND used = 0`, append(stamp[:1:1], args...)...)
		return err
	})
	return revoked, err
}
