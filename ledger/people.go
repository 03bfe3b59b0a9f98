package ledger

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

const selectPerson = `SELECT id, email, name, account_type, account_status, membership_status, claim_status,
	management_source FROM people`

func scanPerson(row scanner) (p access.Person, err error) {
	err = row.Scan(&p.ID, &p.Email, &p.Name, &p.AccountType, &p.AccountStatus, &p.MembershipStatus, &p.ClaimStatus,
		&p.ManagementSource)
	return p, err
}

// savePeople writes the people with changes. Groups and roles are not stored here.
func (w *write) savePeople(ctx context.Context, people []access.Person, at time.Time) error {
	known := make(map[string]access.Person, len(people))
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	for _, some := range chunks(ids) {
		where, args := among("org", "id", some, w.org)
		err := w.each(ctx, func(row scanner) error {
			p, err := scanPerson(row)
			known[p.ID] = p
			return err
		}, selectPerson+` WHERE `+where, args...)
		if err != nil {
			return err
		}
	}
	var rows, former [][]any
	for _, p := range people {
		p = access.Person{
			ID: clean(p.ID), Email: clean(p.Email), Name: clean(p.Name), AccountType: p.AccountType,
			AccountStatus:    p.AccountStatus,
			MembershipStatus: p.MembershipStatus, ClaimStatus: p.ClaimStatus, ManagementSource: p.ManagementSource,
		}
		if was, found := known[p.ID]; found && samePerson(was, p) {
			continue
		} else if found && was.Email != "" && !access.SameAddress(was.Email, p.Email) {
			former = append(former, []any{w.org, access.FoldAddress(was.Email), p.ID, instant(at)})
		}
		known[p.ID] = p // the same person twice in one statement would be an error on PostgreSQL
		rows = append(rows, []any{w.org, p.ID, p.Email, access.FoldAddress(p.Email), p.Name, p.AccountType,
			p.AccountStatus,
			p.MembershipStatus, p.ClaimStatus, p.ManagementSource, instant(at)})
	}
	if err := w.former(ctx, former); err != nil {
		return err
	}
	return w.execRows(ctx, `INSERT INTO people (org, id, email, email_key, name, account_type, account_status,
		membership_status, claim_status, management_source, at) VALUES`, marks(11),
		`ON CONFLICT (org, id) DO UPDATE SET email = excluded.email, email_key = excluded.email_key, name = excluded.name,
		account_type = excluded.account_type, account_status = excluded.account_status,
		membership_status = excluded.membership_status, claim_status = excluded.claim_status,
		management_source = excluded.management_source, at = excluded.at`, rows)
}

func samePerson(a, b access.Person) bool {
	return a.Email == b.Email && a.Name == b.Name && a.AccountType == b.AccountType &&
		a.AccountStatus == b.AccountStatus &&
		a.MembershipStatus == b.MembershipStatus && a.ClaimStatus == b.ClaimStatus &&
		a.ManagementSource == b.ManagementSource
}

// KnownEmails returns the last known e-mail addresses of the account IDs; IDs without one are left out.
func (l *Ledger) KnownEmails(ctx context.Context, org string, ids []string) (map[string]string, error) {
	emails := make(map[string]string, len(ids))
	for _, some := range chunks(ids) {
		where, args := among("org", "id", some, org)
		err := l.reads.each(ctx, func(row scanner) error {
			var id, email string
			err := row.Scan(&id, &email)
			emails[id] = email
			return err
		}, `SELECT id, email FROM people WHERE email <> '' AND `+where, args...)
		if err != nil {
			return nil, reading(err, "e-mail addresses", org)
		}
	}
	return emails, nil
}

// FindPerson returns the person with the account ID or e-mail address (in any case), as last seen, without groups and
// roles, or ErrNotFound. Of several accounts with one address, an active one comes first, then the one that changed
// last.
func (l *Ledger) FindPerson(ctx context.Context, org, emailOrID string) (access.Person, error) {
	where, key := ` WHERE org = ? AND id = ?`, emailOrID
	if strings.Contains(emailOrID, "@") {
		where = ` WHERE org = ? AND email_key = ?
			ORDER BY CASE WHEN account_status = 'active' THEN 0 ELSE 1 END, at DESC, id LIMIT 1`
		key = access.FoldAddress(emailOrID)
	}
	p, err := first(ctx, l.reads, scanPerson, selectPerson+where, org, key)
	return p, reading(err, "the person "+emailOrID, org)
}

// PeopleAt returns the people who have one of these addresses or account ids, as last seen, without groups and roles,
// by account id.
func (l *Ledger) PeopleAt(ctx context.Context, org string, addresses, ids []string) ([]access.Person, error) {
	folded := make([]string, len(addresses))
	for i, address := range addresses {
		folded[i] = access.FoldAddress(address)
	}
	found := map[string]access.Person{}
	for _, by := range []struct {
		column string
		values []string
	}{{"email_key", folded}, {"id", ids}} {
		for _, some := range chunks(by.values) {
			where, args := among("org", by.column, some, org)
			if err := l.reads.each(ctx, func(row scanner) error {
				p, err := scanPerson(row)
				found[p.ID] = p
				return err
			}, selectPerson+` WHERE `+where, args...); err != nil {
				return nil, reading(err, "people", org)
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b access.Person) int { return cmp.Compare(a.ID, b.ID) }), nil
}
