package ledger

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
)

// former records that a person had another address before. Recording it again moves its end.
func (w *write) former(ctx context.Context, rows [][]any) error {
	return w.execRows(ctx, `INSERT INTO former_addresses (org, address, person, until) VALUES`, marks(4),
		`ON CONFLICT (org, address, person) DO UPDATE SET until = excluded.until`, rows)
}

// KeepPeople stores people as a read outside of any run showed them.
func (l *Ledger) KeepPeople(ctx context.Context, org string, people []access.Person, at time.Time) error {
	if len(people) == 0 {
		return nil
	}
	return l.write(ctx, org, "keep who was read", func(w *write) error { return w.savePeople(ctx, people, orNow(at)) })
}

// Addressed returns the accounts of an e-mail address as far as the ledger knows: those last seen with it, and those
// that had it before. Only the directory knows who has it now.
func (l *Ledger) Addressed(ctx context.Context, org, address string) (last, before []access.Person, err error) {
	key := access.FoldAddress(address)
	last, err = collect(ctx, l.reads, scanPerson, selectPerson+` WHERE org = ? AND email_key = ? ORDER BY id`, org, key)
	if err == nil {
		before, err = collect(ctx, l.reads, scanPerson, selectPerson+` WHERE org = ? AND email_key <> ? AND id IN (
			SELECT person FROM former_addresses WHERE org = ? AND address = ?) ORDER BY id`, org, key, org, key)
	}
	return last, before, reading(err, "who goes by "+address, org)
}
