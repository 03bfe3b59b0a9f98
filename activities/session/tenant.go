package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// CheckTaken refuses a policy for an Atlassian organization that this ledger serves under another name, and otherwise
// reports whether it serves it at all.
func (a *Env) CheckTaken(ctx context.Context, org string, p *policy.Policy) (served bool, err error) {
	other, err := a.Ledger.ServedAs(ctx, p.Organization.ID)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return false, nil
	case err == nil && other != org:
		err = NonRetryable(ErrPolicy, fmt.Errorf(
			"organization id %s is served as %q already, and %q would write against it: give this policy to %q, or stop that one and give the id free (worker --retire %s)",
			p.Organization.ID, other, org, other, other))
	}
	return err == nil, err
}

// CheckServed is CheckTaken for all work under a policy, and also returns an error if the organization was retired.
// Nothing serves the organization of a first policy yet.
func (a *Env) CheckServed(ctx context.Context, org string, p *policy.Policy) error {
	served, err := a.CheckTaken(ctx, org, p)
	if err != nil || served {
		return err
	}
	known, err := a.Ledger.Organization(ctx, org)
	if err == nil && strings.EqualFold(known.OrgID, p.Organization.ID) {
		return NonRetryable(ErrRetired,
			fmt.Errorf("organization %s was retired: apply a policy to take it up again, or end its workflows", org))
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	return err
}
