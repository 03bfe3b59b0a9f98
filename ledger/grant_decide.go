package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Why a decision on a grant is refused. Nothing but ErrTooLate changes the grant: that one ends it as expired.
var (
	ErrTooLate     = errors.New("the time to decide is over")
	ErrNotApprover = errors.New("only the approvers that the request names may decide")
	ErrSelf        = errors.New("nobody decides on a grant for themselves, or on one they asked for")
	ErrAsker       = errors.New("it is not known which account asked for it, so that might be whoever decides: have it asked for again")
	ErrRow         = errors.New("grants one after the other would be held for longer than the policy allows; approve it after a break, or deny it")
	ErrCode        = errors.New("the code is not the one that this approver was sent for this grant, or it was used already")
)

// RestError says that an approved grant would begin too soon after another of the person's, or end too soon before one.
type RestError struct {
	Rest  access.Duration // that has to lie between two
	Other access.Grant
}

func (e *RestError) Error() string {
	return fmt.Sprintf("there must be %s between two grants, and grant %s is in force from %s to %s",
		e.Rest, e.Other.ID, e.Other.From.Format(time.RFC3339), e.Other.Until.Format(time.RFC3339))
}

// errGuess is ErrCode for a proof that was made with no code of the approver's: whoever may try such could find out a
// code.
var errGuess = fmt.Errorf("%w: a wrong proof", ErrCode)

// Decision is what an approver says to a grant.
type Decision struct {
	By       string // account id
	Approve  bool   // otherwise it is a denial
	Note     string
	CodeHash string                     // of the one-time code, where the grant asks for one,
	Shown    string                     // and by which presentation it was burnt; or
	Proof    string                     // that the approver knows it
	Proves   func(codeHash string) bool // whether Proof was made with the code of this hash
	At       time.Time                  // zero: now
	// whether the name means the grant's target too: what was granted by it is held in the same row
	Same func(access.Entitlement) bool
}

// DecideGrant records one approver's decision on a waiting grant. A denial ends it. The last approval that it needs
// grants it: it begins then, or at its later Start. Decided says that the grant was decided by this very call. People
// are compared by account id alone.
//
// The same approver repeating the same decision changes nothing and is no error. ErrNotFound: there is no such grant.
// ErrNotOpen: it does not wait any more. ErrTooLate, ErrSelf, ErrAsker, ErrNotApprover, ErrRow, a *RestError and
// ErrCode say why the decision does not count.
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
		if repeats(g, d) {
			return nil
		}
		if g.State != access.GrantWaiting {
			return fmt.Errorf("%w: it is %s", ErrNotOpen, g.State)
		}
		if late = undecided(g, d.At); late {
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
				return w.guessed(ctx, BurntCode{Org: org, Grant: id, Name: d.By}, "", d.At)
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
			verb, id, d.By, org, ErrTooLate, g.ApprovalDeadline.Format(time.RFC3339))
	}
	return g, decided && err == nil, err
}

// undecided says that the grant waited for its approvals in vain.
func undecided(g access.Grant, at time.Time) bool {
	return g.State == access.GrantWaiting && !g.ApprovalDeadline.IsZero() && !at.Before(g.ApprovalDeadline)
}

// repeats says that the approver has decided so before.
func repeats(g access.Grant, d Decision) bool {
	if !d.Approve {
		return g.State == access.GrantDenied && g.ClosedBy == d.By
	}
	return slices.ContainsFunc(g.Approvals, func(a access.Approval) bool { return a.By == d.By })
}

// mayDecide checks who decides and uses up the code.
func (w *write) mayDecide(ctx context.Context, g access.Grant, d Decision) error {
	if d.By == "" || d.By == g.Person || d.By == g.By {
		return ErrSelf
	}
	if !slices.Contains(g.Approvers, d.By) || isAddress(d.By) {
		return ErrNotApprover
	}
	if d.Approve { // a request from before accounts were kept may name its asker by an address that nobody has any more
		_, err := first(ctx, w.database, scanPerson, selectPerson+` WHERE org = ? AND id = ?`, w.org, g.By)
		if errors.Is(err, ErrNotFound) {
			return ErrAsker
		}
		if err != nil {
			return err
		}
	}
	if !g.Codes {
		return nil
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
		g.State, g.ClosedBy, g.ClosedWhy = access.GrantDenied, d.By, d.Note
		return w.change(ctx, g, grantEntry(g, EntryGrantDenied, d.At, fields))
	}
	g.Approvals = append(g.Approvals, access.Approval{By: d.By, At: d.At, Note: d.Note})
	entries := []Entry{grantEntry(g, EntryGrantApproved, d.At, fields)}
	if consents(g) >= g.Needs {
		begin(&g, cut(d.At))
		if err := w.limitRow(ctx, &g, d.Same); err != nil {
			return g, err
		}
		if err := w.rested(ctx, g, d.Same); err != nil {
			return g, err
		}
		entries = append(entries, grantedEntry(g, d.At))
	}
	return w.change(ctx, g, entries...)
}

// limitRow ends a grant that begins now sooner, where others that were approved meanwhile are held before or after it
// in a row.
func (w *write) limitRow(ctx context.Context, g *access.Grant, same func(access.Entitlement) bool) error {
	if g.MostInRow == 0 {
		return nil
	}
	others, err := w.others(ctx, *g, access.RowReach(g.MostInRow), same)
	if err != nil {
		return err
	}
	room := access.RowRoom(g.From, g.MostInRow, others).Truncate(time.Second)
	if room < time.Second {
		return fmt.Errorf("%w: %s at most", ErrRow, g.MostInRow)
	}
	if room < g.Duration.Std() {
		g.Duration, g.Until = access.Duration(room), g.From.Add(room)
		g.Limit = fmt.Sprintf("no more is left of %s in a row", g.MostInRow)
	}
	return nil
}

// rested refuses a grant that begins now within the rest before or after another, that was approved meanwhile or has
// lasted longer.
func (w *write) rested(ctx context.Context, g access.Grant, same func(access.Entitlement) bool) error {
	if g.Rest == 0 {
		return nil
	}
	others, err := w.others(ctx, g, g.Rest.Std(), same)
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.Disturbs(g.From, g.Until, g.Rest.Std()) {
			return &RestError{g.Rest, other}
		}
	}
	return nil
}

// others are the person's grants of the same target that end after a span before the grant, or later.
func (w *write) others(ctx context.Context, g access.Grant, before time.Duration,
	same func(access.Entitlement) bool) ([]access.Grant, error) {
	all, err := w.near(ctx, w.org, g.Person, g.From.Add(-before))
	return slices.DeleteFunc(all, func(is access.Grant) bool {
		return is.ID == g.ID || !is.Target.Same(g.Target) && (same == nil || !same(is.Target))
	}), err
}

// consents counts the accounts that approved. What is still written as an address is nobody's.
func consents(g access.Grant) int {
	by := map[string]bool{}
	for _, a := range g.Approvals {
		if !isAddress(a.By) {
			by[a.By] = true
		}
	}
	return len(by)
}

// change saves the grant and adds what happened to it to the chain.
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
