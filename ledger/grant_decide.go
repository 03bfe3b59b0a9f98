package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// ErrCode is the error for a decision with a code that does not count.
var ErrCode = errors.New("the code is not the one that this approver was sent for this grant, or it was used already")

// errGuess is ErrCode for a proof that was made with none of the approver's codes: repeated attempts could find out a
// code.
var errGuess = fmt.Errorf("%w: a wrong proof", ErrCode)

// Decision is an approver's decision on a grant.
type Decision struct {
	By       string // account id
	Approve  bool   // otherwise it is a denial
	Note     string
	CodeHash string                     // of the one-time code, where the grant asks for one,
	Shown    string                     // and by which presentation it was burnt; or
	Proof    string                     // that the approver knows it
	Proves   func(codeHash string) bool // whether Proof was made with the code of this hash
	At       time.Time                  // zero: now
	// whether the name means the grant's target too: consecutive grants of it count together
	Same func(access.Entitlement) bool
}

// DecideGrant records one approver's decision on a waiting grant. A denial ends it. The last approval that it needs
// grants it: it begins then, or at its later Start. Decided says that the grant was decided by this very call. People
// are compared by account id alone.
//
// The same approver repeating the same decision changes nothing and is no error. ErrNotFound: there is no such grant.
// ErrNotOpen: it does not wait any more. ErrCode and the errors of review.MayDecide and review.Limit say why the
// decision does not count; review.ErrTooLate, that it came after the deadline.
func (l *Ledger) DecideGrant(ctx context.Context, org, id string, d Decision) (g access.Grant, decided bool,
	err error) {
	d.At = orNow(d.At)
	verb := "deny"
	if d.Approve {
		verb = "approve"
	}
	late, wrong := false, false
	err = l.write(ctx, org, verb+" grant "+id+" for "+d.By, func(w *write) error {
		decided, late, wrong = false, false, false
		if g, err = w.grant(ctx, id); err != nil {
			return err
		}
		if review.HasDecided(g, d.By, d.Approve) {
			return nil
		}
		if g.State != access.GrantWaiting {
			return fmt.Errorf("%w: it is %s", ErrNotOpen, g.State)
		}
		if late = review.Expired(g, d.At); late {
			g, err = w.expire(ctx, g, d.At)
			return err
		}
		if d.Approve {
			if err := w.touch(ctx, tableGrants, []any{id}); err != nil {
				return err
			}
		}
		if err := w.mayDecide(ctx, g, d); err != nil {
			if wrong = errors.Is(err, errGuess); wrong {
				return w.burnAfterGuess(ctx, BurntCode{Org: org, Grant: id, Name: d.By}, "", d.At)
			}
			return err
		}
		g, err = w.decide(ctx, g, d)
		decided = g.State != access.GrantWaiting
		return err
	})
	if wrong && err == nil {
		err = fmt.Errorf("ledger: %s grant %s for %s (organization %s): %w", verb, id, d.By, org, ErrCode)
	}
	if late && err == nil {
		err = fmt.Errorf("ledger: %s grant %s for %s (organization %s): %w: it waited until %s",
			verb, id, d.By, org, review.ErrTooLate, g.ApprovalDeadline.Format(time.RFC3339))
	}
	return g, decided && err == nil, err
}

func (w *write) mayDecide(ctx context.Context, g access.Grant, d Decision) error {
	asker, err := w.exists(ctx, `SELECT 1 FROM people WHERE org = ? AND id = ?`, w.org, g.By)
	if err != nil {
		return err
	}
	if err := review.MayDecide(g, d.By, d.Approve, asker); err != nil || !g.Codes {
		return err
	}
	where, args := ` WHERE org = ? AND grant_id = ? AND approver = ?`, []any{w.org, g.ID, d.By}
	good, values := ` AND used = 0`, args
	if d.Proof == "" && d.Shown != "" { // it was burnt as it came
		good, values = ` AND presentation = ?`, append(args[:3:3], d.Shown)
	}
	hashes, err := collect(ctx, w.database, func(row scanner) (hash string, err error) { return hash, row.Scan(&hash) },
		`SELECT hash FROM grant_codes`+where+good, values...)
	if err != nil {
		return err
	}
	known := func(hash string) bool { return hash == d.CodeHash }
	if d.Proof != "" {
		known = d.Proves
	}
	switch {
	case slices.ContainsFunc(hashes, known):
	case d.Proof != "":
		known, err := w.proven(ctx, `SELECT COUNT(*) FROM grant_proofs WHERE org = ? AND grant_id = ? AND proof = ?`,
			g.ID, d.Proof)
		if err != nil {
			return err
		}
		if !known {
			return errGuess
		}
		return ErrCode
	default:
		return ErrCode
	}
	if d.Proof != "" {
		if err := w.useProof(ctx, g, d); err != nil {
			return err
		}
	}
	_, err = w.exec(ctx, `UPDATE grant_codes SET used = ?, presentation = ''`+where,
		append([]any{instant(d.At)}, args...)...)
	return err
}

// useProof records a proof, so that nobody repeats what another approver has proven.
func (w *write) useProof(ctx context.Context, g access.Grant, d Decision) error {
	fresh, err := w.exec(ctx, `INSERT INTO grant_proofs (org, grant_id, proof, at) VALUES (?, ?, ?, ?)
		ON CONFLICT (org, grant_id, proof) DO NOTHING`, w.org, g.ID, d.Proof, instant(d.At))
	if err == nil && fresh == 0 {
		return ErrCode
	}
	return err
}

// decide carries out a decision that counts.
func (w *write) decide(ctx context.Context, g access.Grant, d Decision) (access.Grant, error) {
	fields := map[string]any{"by": d.By}
	if d.Note != "" {
		fields["note"] = d.Note
	}
	if !d.Approve {
		return w.change(ctx, review.Deny(g, d.By, d.Note), grantEntry(g, EntryGrantDenied, d.At, fields))
	}
	g = review.Approve(g, access.Approval{By: d.By, At: cut(d.At), Note: d.Note})
	entries := []Entry{grantEntry(g, EntryGrantApproved, d.At, fields)}
	if g.State == access.GrantGranted {
		others, err := w.others(ctx, g, d.Same)
		if err != nil {
			return g, err
		}
		if g, err = review.Limit(g, others); err != nil {
			return g, err
		}
		entries = append(entries, grantedEntry(g, d.At))
	}
	return w.change(ctx, g, entries...)
}

// others returns the person's grants of the same target that affect whether a grant may begin.
func (w *write) others(ctx context.Context, g access.Grant, same func(access.Entitlement) bool) ([]access.Grant,
	error) {
	reach := review.LookBack(g)
	if reach == 0 {
		return nil, nil
	}
	all, err := w.near(ctx, w.org, g.Person, g.From.Add(-reach))
	return slices.DeleteFunc(all, func(is access.Grant) bool {
		return is.ID == g.ID || !is.Target.Same(g.Target) && (same == nil || !same(is.Target))
	}), err
}

// change saves the grant and adds to the chain what happened to it.
func (w *write) change(ctx context.Context, g access.Grant, entries ...Entry) (access.Grant, error) {
	g, err := w.saveGrant(ctx, g)
	if err != nil {
		return g, err
	}
	return g, w.append(ctx, entries...)
}

// SaveCode keeps the hash of a one-time code that the approver, by account id, is sent for the grant. A notice may be
// sent twice, so several codes of one approver may stand; the first that is used uses up all of them. ErrNotFound:
// there is no such grant.
func (l *Ledger) SaveCode(ctx context.Context, org, grant, approver, hash string, at time.Time) error {
	return l.write(ctx, org, "keep the code of "+approver+" for grant "+grant, func(w *write) error {
		if _, err := w.grant(ctx, grant); err != nil {
			return err
		}
		_, err := w.exec(ctx, `INSERT INTO grant_codes (org, grant_id, approver, hash, at, used) VALUES (?, ?, ?, ?, ?, 0)
			ON CONFLICT (org, grant_id, approver, hash) DO NOTHING`,
			org, grant, approver, hash, instant(orNow(at)))
		return err
	})
}
