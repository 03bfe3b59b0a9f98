package ledger

import (
	"context"

	"github.com/castellan-io/castellan/access"
)

// GrantedTargets returns the targets of all unsettled grants, in order: they stay managed until then, whatever happens
// to the policy.
func (l *Ledger) GrantedTargets(ctx context.Context, org string) ([]access.Entitlement, error) {
	all, err := collect(ctx, l.reads, func(row scanner) (e access.Entitlement, err error) { return e, row.Scan(&e) },
		`SELECT DISTINCT target FROM grants WHERE org = ? AND settled = 0 ORDER BY target`, org)
	return all, reading(err, "the targets of grants", org)
}
