package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Why a decision on a grant is refused. Nothing but ErrTooLate changes the grant: that one ends it as expired.
var (
	ErrTooLate     = errors.New("the time to decide is over")
	ErrNotApprover = errors.New("only the approvers that the request names may decide")
	ErrSelf        = errors.New("nobody decides on a grant for themselves, or on one they asked for")
	ErrCode        = errors.New("the code is not the one that this approver was sent for this grant, or it was used already")
)

// Decision is what an approver says to a grant.
type Decision struct {
	By       string // e-mail address or account id, as typed
	Account  string // the account id behind By, where it is known
	Approve  bool   // otherwise it is a denial
	Note     string
	CodeHash string    // of the one-time code, where the grant asks for one
	At       time.Time // zero: now
}

// DecideGrant records one approver's decision on a waiting grant. A denial ends it. The last approval that it needs
// grants it: it begins then, or at its later Start. Decided says that the grant was decided by this very call. An
// approver is one person by whichever address or account id: everything that the ledger knows them by counts.
//
// The same approver repeating the same decision changes nothing and is no error. ErrNotFound: there is no such grant.
// ErrNotOpen: it does not wait any more. ErrTooLate, ErrSelf, ErrNotApprover and ErrCode say why the decision does not
// count.
func (l *Ledger) DecideGrant(ctx context.Context, org, id string, d Decision) (g access.Grant, decided bool, err error) {
	d.At = orNow(d.At)
	verb := "deny"
	if d.Approve {
		verb = "approve"
	}
	late := false
	err = l.write(ctx, org, verb+" grant "+id+" for "+d.By, func(w *write) error {
		decided, late = false, false
		if g, err = w.grant(ctx, id); err != nil {
			return err
		}
		names, err := w.namesOf(ctx, d.By, d.Account)
		if err != nil || repeats(g, d, names) {
			return err
		}
		if g.State != access.GrantWaiting {
			return fmt.Errorf("%w: it is %s", ErrNotOpen, g.State)
		}
		if late = undecided(g, d.At); late {
			g, err = w.expire(ctx, g, d.At)
			return err
		}
		if err := w.mayDecide(ctx, g, d, names); err != nil {
			return err
		}
		g, err = w.decide(ctx, g, d)
		decided = g.State != access.GrantWaiting
		return err
	})
	if late && err == nil {
		err = fmt.Errorf("ledger: %s grant %s for %s (organization %s): %w: it waited until %s",
			verb, id, d.By, org, ErrTooLate, g.Decide.Format(time.RFC3339))
	}
	return g, decided && err == nil, err
}

// undecided says that the grant waited for its approvals in vain.
func undecided(g access.Grant, at time.Time) bool {
	return g.State == access.GrantWaiting && !g.Decide.IsZero() && !at.Before(g.Decide)
}

// names are all that one person goes by, in lower case, and account ids as they are too.
type names map[string]bool

func (n names) has(name string) bool { return name != "" && n[strings.ToLower(name)] }

// list is the names as arguments of a statement.
func (n names) list() []string { return slices.Collect(maps.Keys(n)) }

// namesOf adds to what somebody typed the addresses of account ids and the account ids behind addresses.
func (w *write) namesOf(ctx context.Context, typed ...string) (names, error) {
	known := names{}
	for _, name := range typed {
		if name != "" {
			known[strings.ToLower(name)], known[taskName(name)] = true, true
		}
	}
	if len(known) == 0 {
		return known, nil
	}
	query, args := namesQuery(w.org, typed)
	err := w.each(ctx, func(row scanner) error {
		var id, address string
		err := row.Scan(&id, &address)
		known[strings.ToLower(id)], known[id] = true, true
		if address != "" {
			known[address] = true
		}
		return err
	}, query, args...)
	return known, err
}

func namesQuery(org string, typed []string) (string, []any) {
	var pairs []string
	for _, name := range typed {
		pairs = append(pairs, "id", name, "email_key", strings.ToLower(name))
	}
	where, args := either(org, pairs...)
	return `SELECT id, email_key FROM people WHERE ` + where, args
}

// repeats says that the approver has decided so before.
func repeats(g access.Grant, d Decision, by names) bool {
	if !d.Approve {
		return g.State == access.GrantDenied && by.has(g.ClosedBy)
	}
	for _, a := range g.Approvals {
		if by.has(a.By) {
			return true
		}
	}
	return false
}

// mayDecide checks who decides and uses up the code.
func (w *write) mayDecide(ctx context.Context, g access.Grant, d Decision, by names) error {
	if by.has(g.Person) || by.has(g.Email) || by.has(g.By) {
		return ErrSelf
	}
	named := false
	for _, approver := range g.Approvers {
		named = named || by.has(approver)
	}
	if !named {
		return ErrNotApprover
	}
	if !g.Codes {
		return nil
	}
	approver, args := in("approver", by.list())
	where := ` WHERE org = ? AND grant_id = ? AND used = 0 AND ` + approver
	args = append([]any{w.org, g.ID}, args...)
	_, err := first(ctx, w.database, func(row scanner) (at int64, err error) { return at, row.Scan(&at) },
		`SELECT at FROM grant_codes`+where+` AND hash = ?`, append(args[:len(args):len(args)], d.CodeHash)...)
	if errors.Is(err, ErrNotFound) {
		return ErrCode
	}
	if err != nil {
		return err
	}
	_, err = w.exec(ctx, `UPDATE grant_codes SET used = ?`+where, append([]any{instant(d.At)}, args...)...)
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
	if len(g.Approvals) >= g.Needs {
		begin(&g, cut(d.At))
		entries = append(entries, grantedEntry(g, d.At))
	}
	return w.change(ctx, g, entries...)
}

// change saves the grant and adds what happened to it to the chain.
func (w *write) change(ctx context.Context, g access.Grant, entries ...Entry) (access.Grant, error) {
	g, err := w.saveGrant(ctx, g)
	if err != nil {
		return g, err
	}
	return g, w.append(ctx, entries...)
}

// SaveCode keeps the hash of a one-time code that the approver is sent for the grant. A notice may be sent twice, so
// several codes of one approver may stand; the first that is used uses up all of them. ErrNotFound: there is no such
// grant.
func (l *Ledger) SaveCode(ctx context.Context, org, grant, approver, hash string, at time.Time) error {
	return l.write(ctx, org, "keep the code of "+approver+" for grant "+grant, func(w *write) error {
		if _, err := w.grant(ctx, grant); err != nil {
			return err
		}
		_, err := w.exec(ctx, `INSERT INTO grant_codes (org, grant_id, approver, hash, at, used) VALUES (?, ?, ?, ?, ?, 0)
			ON CONFLICT (org, grant_id, approver, hash) DO NOTHING`,
			org, grant, strings.ToLower(approver), hash, instant(orNow(at)))
		return err
	})
}
