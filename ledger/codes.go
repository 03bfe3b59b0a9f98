package ledger

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
)

// MostWrongCodes is how often somebody is sent a new code for a request or a review because of wrong ones given in
// their name.
const MostWrongCodes = 5

// BurntCode is a spent code: it was typed where others may read it, or somebody guessed at it.
type BurntCode struct {
	Org    string
	Grant  string // the request that it was sent for; or
	Review string // the review
	Name   string // of the person it was sent to
}

// Presented is what somebody typed as codes.
type Presented struct {
	ID     string   // of this use of them: the decision that it belongs to may count by it
	Hashes []string // of everything that may be a code
	Wrong  bool     // something was meant as a code: if it is nobody's, it was a wrong one
	By     string   // the name it was given for, as typed
	Grant  string   // for which request, or
	Review string   // for which review
}

// codeTable is the table of one kind of codes.
type codeTable struct{ kind, name, id, who string }

var (
	grantCodes  = codeTable{"grant", "grant_codes", "grant_id", "approver"}
	reviewCodes = codeTable{"review", "review_codes", "review", "reviewer"}
)

// find returns the owners of the codes that match a condition.
func (t codeTable) find(ctx context.Context, d database, where string, args ...any) ([]BurntCode, error) {
	return collect(ctx, d, func(row scanner) (b BurntCode, err error) {
		err = row.Scan(&b.Org, &b.Grant, &b.Name)
		if t == reviewCodes {
			b.Grant, b.Review = "", b.Grant
		}
		return b, err
	}, `SELECT DISTINCT org, `+t.id+`, `+t.who+` FROM `+t.name+` WHERE `+where+` ORDER BY org, `+t.id+`, `+t.who,
		args...)
}

// BurnCodes spends codes, whatever they were sent for: somebody typed them, so they are in a history. A wrong code
// spends those that it may be a misspelling of, which a reader could guess. It returns the owners of the spent codes; a
// repeat changes nothing and returns the same.
func (l *Ledger) BurnCodes(ctx context.Context, org string, p Presented, at time.Time) ([]BurntCode, error) {
	if len(p.Hashes) == 0 && !p.Wrong {
		return nil, nil
	}
	var burnt []BurntCode
	err := l.write(ctx, org, "burn codes that were typed", func(w *write) error {
		burnt = nil
		for _, table := range []codeTable{grantCodes, reviewCodes} {
			if len(p.Hashes) == 0 {
				continue
			}
			which, values := in("hash", p.Hashes)
			found, err := table.find(ctx, w.database, which, values...)
			if err != nil {
				return err
			}
			if burnt = append(burnt, found...); len(found) == 0 {
				continue
			}
			if _, err := w.exec(ctx, `UPDATE `+table.name+` SET used = ?, presentation = ? WHERE used = 0 AND `+which,
				append([]any{instant(orNow(at)), p.ID}, values...)...); err != nil {
				return err
			}
		}
		if len(burnt) > 0 || !p.Wrong {
			return nil
		}
		var err error
		burnt, err = w.burnGuessed(ctx, p, at)
		return err
	})
	return burnt, err
}

// burnGuessed spends the codes that a wrong one may be a misspelling of: those of the person it was given for; for the
// request or review that it was given for, if they have some, and all of theirs otherwise. For an unknown person, all
// codes of the request or review.
func (w *write) burnGuessed(ctx context.Context, p Presented, at time.Time) ([]BurntCode, error) {
	ids, err := collect(ctx, w.database, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT id FROM people WHERE org = ? AND (id = ? OR email_key = ?)`, w.org, p.By, access.FoldAddress(p.By))
	if err != nil {
		return nil, err
	}
	table, subject := grantCodes, p.Grant
	if p.Review != "" {
		table, subject = reviewCodes, p.Review
	}
	mark := "wrong " + p.ID // by which a repeat finds them
	where, args := `org = ? AND (used = 0 OR presentation = ?)`, []any{w.org, mark}
	who, people := in(table.who, append(ids, p.By))
	both := where + ` AND ` + table.id + ` = ?`
	found, err := table.find(ctx, w.database, both+` AND `+who, append(append(args[:2:2], subject), people...)...)
	if err != nil {
		return nil, err
	}
	for _, table := range []codeTable{grantCodes, reviewCodes} {
		if len(found) > 0 {
			break
		}
		who, people := in(table.who, append(ids, p.By))
		if found, err = table.find(ctx, w.database, where+` AND `+who, append(args[:2:2], people...)...); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 && len(ids) == 0 {
		if found, err = table.find(ctx, w.database, both, append(args[:2:2], subject)...); err != nil {
			return nil, err
		}
	}
	for _, one := range found {
		if err := w.burnAfterGuess(ctx, one, mark, at); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// burnAfterGuess spends somebody's codes because of a wrong one, and counts how often that happened.
func (w *write) burnAfterGuess(ctx context.Context, of BurntCode, mark string, at time.Time) error {
	table, subject := grantCodes, of.Grant
	if of.Review != "" {
		table, subject = reviewCodes, of.Review
	}
	n, err := w.exec(ctx, `UPDATE `+table.name+` SET used = ?, presentation = ? WHERE org = ? AND `+table.id+
		` = ? AND `+table.who+` = ? AND used = 0`,
		instant(orNow(at)), mark, of.Org, subject, of.Name)
	if err != nil || n == 0 {
		return err
	}
	_, err = w.exec(ctx, `INSERT INTO wrong_codes (org, kind, subject, person, n) VALUES (?, ?, ?, ?, 1)
		ON CONFLICT (org, kind, subject, person) DO UPDATE SET n = wrong_codes.n + 1`, of.Org, table.kind, subject, of.Name)
	return err
}

// proven reports whether a proof has counted before: a repeat is no guess.
func (w *write) proven(ctx context.Context, query, subject, proof string) (bool, error) {
	n, err := first(ctx, w.database, func(row scanner) (n int, err error) { return n, row.Scan(&n) }, query, w.org,
		subject, proof)
	return n > 0, err
}

// MayResendCode reports whether somebody may be sent a new code for a request or a review: they have none, and not too
// many wrong ones were given in their name. again: sending one was tried before, so the one they have may never have
// reached them.
func (l *Ledger) MayResendCode(ctx context.Context, code BurntCode, again bool) (bool, error) {
	table, subject := grantCodes, code.Grant
	if code.Review != "" {
		table, subject = reviewCodes, code.Review
	}
	n, err := first(ctx, l.reads, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT (SELECT COUNT(*) FROM `+table.name+` WHERE org = ? AND `+table.id+` = ? AND `+table.who+` = ? AND used = 0 AND ? = 0)
			+ (SELECT COUNT(*) FROM wrong_codes WHERE org = ? AND kind = ? AND subject = ? AND person = ? AND n > ?)`,
		code.Org, subject, code.Name, flag(again), code.Org, table.kind, subject, code.Name, MostWrongCodes)
	return n == 0, reading(err, "codes", code.Org)
}
