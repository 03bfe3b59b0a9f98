package ledger

import (
	"context"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// GrantFilter chooses grants. The zero GrantFilter chooses the newest 1,000.
type GrantFilter struct {
	States    []access.GrantState // none: any
	Person    string              // account id or e-mail address, in any case; "": anyone
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
	where, args := `org = ?`, []any{org}
	if f.Person != "" {
		where, args = either(org, "person", f.Person, "email_key", strings.ToLower(f.Person))
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
		and(`target_key = ?`, strings.ToLower(string(f.Target)))
	}
	if f.Unsettled {
		and(`settled = 0`)
	}
	if f.After != "" {
		and(`(requested, id) < (SELECT requested, id FROM grants WHERE org = ? AND id = ?)`, org, f.After)
	}
	return query + ` ORDER BY requested DESC, id DESC LIMIT ?`, append(args, atMost(f.Limit))
}

// GrantsOf returns the unsettled grants of a person, by the grants' Key, of a target, by request.
func (l *Ledger) GrantsOf(ctx context.Context, org, key string, target access.Entitlement) ([]access.Grant, error) {
	query, args := grantsOfQuery(org, key, target)
	all, err := collect(ctx, l.reads, scanGrant, query, args...)
	return all, reading(err, "the grants of "+string(target)+" to "+key, org)
}

func grantsOfQuery(org, key string, target access.Entitlement) (string, []any) {
	return selectGrant + ` WHERE org = ? AND target_key = ? AND person_key = ? AND settled = 0 ORDER BY requested, id`,
		[]any{org, strings.ToLower(string(target)), key}
}

// Earlier returns at most limit grants (1,000 for 0) of the target that a person was ever given, refused or waits for,
// newest request first; by account id, or by e-mail address ("": not known).
func (l *Ledger) Earlier(ctx context.Context, org, person, email string, target access.Entitlement, limit int) ([]access.Grant, error) {
	query, args := earlierQuery(org, person, email, target, limit)
	all, err := collect(ctx, l.reads, scanGrant, query, args...)
	return all, reading(err, "the earlier grants of "+string(target)+" to "+person, org)
}

func earlierQuery(org, person, email string, target access.Entitlement, limit int) (string, []any) {
	if email == "" && isAddress(person) {
		email = person
	}
	where, args := either(org, "person", person, "email_key", strings.ToLower(email))
	return selectGrant + ` WHERE ` + where + ` AND target_key = ? ORDER BY requested DESC, id DESC LIMIT ?`,
		append(args, strings.ToLower(string(target)), atMost(limit))
}

// Lapsed returns at most limit grants (1,000 for 0) whose time was over before the instant and of which something may
// be left to take back, the longest over first: what a lost workflow leaves behind.
func (l *Ledger) Lapsed(ctx context.Context, org string, before time.Time, limit int) ([]access.Grant, error) {
	query, args := lapsedQuery(org, before, limit)
	all, err := collect(ctx, l.reads, scanGrant, query, args...)
	return all, reading(err, "the grants that ended before "+before.UTC().Format(time.RFC3339), org)
}

// lapsedQuery needs no word on states: until is 0 while a grant waits.
func lapsedQuery(org string, before time.Time, limit int) (string, []any) {
	return selectGrant + ` WHERE org = ? AND settled = 0 AND until > 0 AND until < ? ORDER BY until, id LIMIT ?`,
		[]any{org, instant(before), atMost(limit)}
}

// standingGrants selects what may be a reason for the people now, or has just ceased to be one.
func standingGrants(org string, people []string) (string, []any) {
	where, args := among("org", "person", people, org)
	return selectGrant + ` WHERE settled = 0 AND until > 0 AND ` + where, args
}
