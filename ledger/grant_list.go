package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// GrantFilter selects grants. The zero GrantFilter selects the newest 1,000.
type GrantFilter struct {
	States    []access.GrantState // none: any
	Person    string              // account id; in lower case the address of somebody who has none yet; "": anyone
	Target    access.Entitlement  // in any case; "": any
	Unsettled bool                // only those about which something is left to do
	After     string              // id of the last grant of the page before
	Limit     int                 // 0: 1,000
}

// Grants returns grants, the newest request first.
func (l *Ledger) Grants(ctx context.Context, org string, f GrantFilter) ([]access.Grant, error) {
	query, args := grantsQuery(org, f)
	all, err := collect(ctx, l.reads, scanGrant, query, args...)
	return all, reading(err, "the grants", org)
}

func grantsQuery(org string, f GrantFilter) (string, []any) {
	where, args, order := `org = ?`, []any{org}, `requested DESC, id DESC`
	requested := `requested`
	if f.Person != "" {
		where, args = `org = ? AND person = ?`, []any{org, f.Person}
		// without statistics SQLite would scan everybody's by time
		requested, order = `+requested`, `+requested DESC, id DESC`
	}
	query := selectGrant + ` WHERE ` + where
	and := func(condition string, values ...any) {
		query += ` AND ` + condition
		args = append(args, values...)
	}
	if len(f.States) > 0 {
		where, values := in("state", f.States)
		and(where, values...)
	}
	if f.Target != "" {
		and(`target_key = ?`, access.Fold(string(f.Target)))
	}
	if f.Unsettled {
		and(`settled = 0`)
	}
	if f.After != "" {
		and(`(`+requested+`, id) < (SELECT requested, id FROM grants WHERE org = ? AND id = ?)`, org, f.After)
	}
	return query + ` ORDER BY ` + order + ` LIMIT ?`, append(args, atMost(f.Limit))
}

// GrantsOf returns the unsettled grants of a person, by the grants' Key, of a target, by request.
func (l *Ledger) GrantsOf(ctx context.Context, org, key string, target access.Entitlement) ([]access.Grant, error) {
	query, args := grantsOfQuery(org, key, target)
	all, err := collect(ctx, l.reads, scanGrant, query, args...)
	return all, reading(err, "the grants of "+string(target)+" to "+key, org)
}

func grantsOfQuery(org, key string, target access.Entitlement) (string, []any) {
	return selectGrant + ` WHERE org = ? AND target_key = ? AND person_key = ? AND settled = 0 ORDER BY requested, id`,
		[]any{org, access.Fold(string(target)), key}
}

// GrantsFormerly returns the unsettled grants of a target that the workflow of a former key has to hand over, by
// request.
func (l *Ledger) GrantsFormerly(ctx context.Context, org, key string, target access.Entitlement) ([]access.Grant,
	error) {
	all, err := collect(ctx, l.reads, scanGrant, selectGrant+` WHERE org = ? AND former_key = ? AND former_key <> '' AND target_key = ?
		AND settled = 0 ORDER BY requested, id`, org, key, access.Fold(string(target)))
	return all, reading(err, "the grants of "+string(target)+" that were kept under "+key, org)
}

// RecordHandOver records that the grants' own workflow knows them: that of their former key is no longer responsible.
func (l *Ledger) RecordHandOver(ctx context.Context, org string, ids []string) error {
	return l.write(ctx, org, fmt.Sprintf("record that the grants %v were handed over", ids), func(w *write) error {
		for _, id := range ids {
			if _, err := w.exec(ctx, `UPDATE grants SET former_key = '' WHERE org = ? AND id = ?`, org,
				id); err != nil {
				return err
			}
		}
		return nil
	})
}

// ArrivedAs returns the account ID that the grants of a target, stored under an address, went over to; "" if they have
// not.
func (l *Ledger) ArrivedAs(ctx context.Context, org, address string, target access.Entitlement) (string, error) {
	account, err := first(ctx, l.reads, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT person FROM grants WHERE org = ? AND email_key = ? AND target_key = ? AND settled = 0 AND person <> email_key
		ORDER BY requested DESC, id DESC LIMIT 1`, org, strings.ToLower(address), access.Fold(string(target)))
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return account, reading(err, "who arrived as "+address, org)
}

// EarlierGrants returns at most limit grants (1,000 for 0) of the target that a person was ever given, refused or waits
// for, newest request first; by account ID, or the address in lower case of somebody who has none yet.
func (l *Ledger) EarlierGrants(ctx context.Context, org, person string, target access.Entitlement,
	limit int) ([]access.Grant, error) {
	query, args := earlierQuery(org, person, target, limit)
	all, err := collect(ctx, l.reads, scanGrant, query, args...)
	return all, reading(err, "the earlier grants of "+string(target)+" to "+person, org)
}

func earlierQuery(org, person string, target access.Entitlement, limit int) (string, []any) {
	return selectGrant + ` WHERE org = ? AND person = ? AND target_key = ? ORDER BY +requested DESC, id DESC LIMIT ?`,
		[]any{org, person, access.Fold(string(target)), atMost(limit)}
}

// GrantsNear returns a person's grants, of whatever target, that are in force after the instant, and those that wait:
// what the limits on consecutive grants and on the rest between two grants count. One that was withdrawn before it
// began is not held. However often somebody asks and withdraws, nothing is left out.
func (l *Ledger) GrantsNear(ctx context.Context, org, person string, after time.Time) ([]access.Grant, error) {
	all, err := l.reads.near(ctx, org, person, after)
	return all, reading(err, "what "+person+" was granted", org)
}

func (d database) near(ctx context.Context, org, person string, after time.Time) ([]access.Grant, error) {
	query, args := heldQuery(org, person, after)
	held, err := collect(ctx, d, scanGrant, query, args...)
	if err != nil {
		return nil, err
	}
	query, args = awaitedQuery(org, person)
	awaited, err := collect(ctx, d, scanGrant, query, args...)
	return append(held, awaited...), err
}

func heldQuery(org, person string, after time.Time) (string, []any) {
	return selectGrant + ` WHERE org = ? AND person = ? AND until > ? AND until > since ORDER BY until, id`,
		[]any{org, person, instant(after)}
}

// awaitedQuery needs no condition on states: until is 0 while a grant waits, and it is not settled.
func awaitedQuery(org, person string) (string, []any) {
	return selectGrant + ` WHERE org = ? AND person = ? AND until = 0 AND settled = 0 ORDER BY +requested, id`,
		[]any{org, person}
}

// OverdueGrants returns at most limit grants (1,000 for 0) that ended before the instant and of which something may be
// left to remove, the earliest end first: those of lost workflows.
func (l *Ledger) OverdueGrants(ctx context.Context, org string, before time.Time, limit int) ([]access.Grant, error) {
	query, args := lapsedQuery(org, before, limit)
	all, err := collect(ctx, l.reads, scanGrant, query, args...)
	return all, reading(err, "the grants that ended before "+before.UTC().Format(time.RFC3339), org)
}

// lapsedQuery needs no condition on states: until is 0 while a grant waits.
func lapsedQuery(org string, before time.Time, limit int) (string, []any) {
	return selectGrant + ` WHERE org = ? AND settled = 0 AND until > 0 AND until < ? ORDER BY until, id LIMIT ?`,
		[]any{org, instant(before), atMost(limit)}
}

// standingGrants selects what may be a reason for the people now, or has just ceased to be one.
func standingGrants(org string, people []string) (string, []any) {
	where, args := among("org", "person", people, org)
	return selectGrant + ` WHERE settled = 0 AND until > 0 AND ` + where, args
}
