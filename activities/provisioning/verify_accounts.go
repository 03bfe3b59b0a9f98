package provisioning

import (
	"cmp"
	"context"
	"errors"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/account"
)

// leaver is a deactivated record that was read back, and the account that it is linked to.
type leaver struct {
	change  access.Change
	account string
}

// accounts sees whether the accounts of deactivated records are deactivated: that is what counts, and only Atlassian's
// answer about the account shows it. Those that are still active are unverified, and a finding names them.
func (v *verification) accounts(ctx context.Context) error {
	if len(v.leavers) == 0 {
		return nil
	}
	var ids []string
	for _, l := range v.leavers {
		ids = append(ids, l.account)
	}
	people, err := v.ReadPeople(ctx, ids)
	if err != nil {
		return err
	}
	status := map[string]string{}
	for _, p := range people {
		status[p.ID] = p.AccountStatus
	}
	var findings []access.Finding
	var seen []access.Change
	for _, l := range v.leavers {
		if status[l.account] == "" {
			if status[l.account], err = v.managedStatus(ctx, l.account); err != nil {
				return err
			}
		}
		detail := ""
		switch status[l.account] {
		case account.StatusActive:
			detail = "the record is deactivated, and the account is still active: look at it in admin.atlassian.com, and deactivate it there"
		case notKnown:
			detail = "the record is deactivated, and whether the account is cannot be read: the directory does not show it, and the organization's key may not read accounts; make a key without scopes"
		default:
			seen = append(seen, l.change)
			continue
		}
		findings = append(findings, access.Finding{Rule: "account-active",
			Subject: cmp.Or(l.change.Email, l.change.Person), Detail: detail})
	}
	v.result.Verified += len(seen)
	v.result.Unverified += len(findings)
	v.result.Findings, v.result.Reported = access.Summarize(findings, 20), len(findings)
	return v.Ledger.Verified(ctx, v.Org, v.run, seen)
}

// notKnown stands for the status of an account that nobody may read.
const notKnown = "not known"

// managedStatus returns the status of an account that the organization's directory does not show; "" if the
// organization does not manage it either: then it has nothing left to deactivate.
func (v *verification) managedStatus(ctx context.Context, id string) (string, error) {
	client, err := v.UserManagement()
	if err != nil {
		return "", err
	}
	profile, err := client.Profile(ctx, id)
	switch {
	case errors.Is(err, account.ErrNotFound), errors.Is(err, account.ErrNotManaged):
		return "", nil
	case errors.Is(err, account.ErrForbidden):
		return notKnown, nil
	}
	return profile.Status, session.WrapAPIError("read account "+id, err)
}
