package provisioning

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/account"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
)

// linkedChange is the change of a record that was read back, and the account that it is linked to.
type linkedChange struct {
	change  access.Change
	account string
}

// asksAccount notes a change that only the account can prove.
func (v *verification) asksAccount(c access.Change, account string) bool {
	switch {
	case account == "":
		return false
	case c.Action == access.Remove:
		v.leavers = append(v.leavers, linkedChange{c, account})
	case session.Reactivates(c):
		v.returners = append(v.returners, linkedChange{c, account})
	default:
		return false
	}
	return true
}

// The bounds of what is asked about again.
const (
	askedFor  = 30 * 24 * time.Hour // since the write
	mostAsked = 50
)

// stillUnverified asks again about accounts that earlier runs' leavers and returners have, and that were not as they
// should be when they were read back. Whatever was written since about somebody counts in place of it.
//
// Calls: as for the accounts in VerifyRecords.
func (j *judgement) stillUnverified(ctx context.Context) (findings []access.Finding, err error) {
	changes, err := j.Ledger.Unverified(ctx, j.Org, access.RecordTarget(j.Spec.Name), j.Now().Add(-askedFor), mostAsked)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	active, err := j.activeRecords(ctx, changes)
	if err != nil {
		return nil, err
	}
	runs, seen := map[string]*verification{}, map[string]bool{}
	for _, c := range changes {
		is, known := active[c.Person]
		if decidedSince := is == (c.Action == access.Remove); seen[c.Person] || !known || decidedSince {
			continue
		}
		v := runs[c.Run]
		if v == nil {
			v = &verification{Provisioner: j.Provisioner, run: c.Run}
			runs[c.Run] = v
		}
		seen[c.Person] = v.asksAccount(c.Change, c.Person)
	}
	for _, run := range session.SortedKeys(runs) {
		some, err := runs[run].accounts(ctx)
		if err != nil {
			return findings, err
		}
		findings = append(findings, some...)
	}
	return findings, nil
}

// activeRecords reports whether the records of the changes' people are active now, by account.
func (j *judgement) activeRecords(ctx context.Context, changes []ledger.RunChange) (map[string]bool, error) {
	var accounts []string
	for _, c := range changes {
		accounts = append(accounts, c.Person)
	}
	records, err := j.Ledger.FindRecords(ctx, j.Org, j.Spec.Directory.ID, ledger.RecordQuery{Accounts: accounts})
	active := map[string]bool{}
	for _, r := range records {
		active[r.Account] = r.Active
	}
	return active, err
}

// accounts sees whether the accounts of deactivated records are deactivated, and whether those of reactivated ones can
// be used: that is what counts, and only Atlassian's answer about the account shows it. The others are unverified, and
// a finding names them.
func (v *verification) accounts(ctx context.Context) ([]access.Finding, error) {
	leavers, err := v.stillActive(ctx)
	if err != nil {
		return nil, err
	}
	returners, err := v.withoutAccess(ctx)
	findings := append(leavers, returners...)
	v.result.Unverified += len(findings)
	return findings, err
}

// stillActive are the leavers whose accounts are not seen to be deactivated.
func (v *verification) stillActive(ctx context.Context) (findings []access.Finding, err error) {
	if len(v.leavers) == 0 {
		return nil, nil
	}
	people, err := v.ReadPeople(ctx, accountsOf(v.leavers))
	if err != nil {
		return nil, err
	}
	status := map[string]string{}
	for _, p := range people {
		status[p.ID] = p.AccountStatus
	}
	var seen []access.Change
	for _, l := range v.leavers {
		if status[l.account] == "" {
			if status[l.account], err = v.managedStatus(ctx, l.account); err != nil {
				return nil, err
			}
		}
		switch status[l.account] {
		case account.StatusActive:
			findings = append(findings, l.about(access.Finding{Rule: "account-active", Detail: "the record is deactivated, and " +
				"the account is still active: look at it in admin.atlassian.com, and deactivate it there"}))
		case notKnown:
			findings = append(findings, l.about(access.Finding{Rule: "account-active", Detail: "the record is deactivated, and " +
				"whether the account is cannot be read: the directory does not show it, and the organization's key may not " +
				"read accounts; make a key without scopes"}))
		default:
			seen = append(seen, l.change)
		}
	}
	v.result.Verified += len(seen)
	return findings, v.Ledger.Verified(ctx, v.Org, v.run, seen)
}

// withoutAccess are the returners to whom their groups open no app: at times Atlassian shows somebody who was
// reactivated in all groups, and lets them use nothing (jira.atlassian.com/browse/ID-7848).
func (v *verification) withoutAccess(ctx context.Context) (findings []access.Finding, err error) {
	closed := map[string][]string{} // groups of people who can use no app, by account
	for _, some := range session.Chunks(accountsOf(v.returners), session.MostAccountIDs) {
		q := organization.UserQuery{AccountIDs: some, Limit: session.PageSize,
			Expand: []string{organization.ExpandGroups, organization.ExpandProductAccess}}
		err := v.EachPerson(ctx, "read what people who returned can use", q,
			func(page []organization.User) (bool, error) {
				for _, u := range page {
					if u.ProductAccess != nil && len(u.ProductAccess) == 0 && u.MembershipStatus == "active" {
						closed[u.AccountID] = u.GroupIDs
					}
				}
				return true, nil
			})
		if err != nil {
			return nil, err
		}
	}
	var seen []access.Change
	for _, r := range v.returners {
		opening, err := v.OpeningGroups(ctx, closed[r.account])
		if err != nil {
			return nil, err
		}
		if len(opening) == 0 {
			seen = append(seen, r.change)
			continue
		}
		findings = append(findings, r.about(access.Finding{Rule: "no-access", Detail: "the account is active again and in " +
			opening[0] + ", and Atlassian opens no app to it: remove it from that group, and add it again"}))
	}
	v.result.Verified += len(seen)
	return findings, v.Ledger.Verified(ctx, v.Org, v.run, seen)
}

// about makes a finding one about the change's person.
func (l linkedChange) about(f access.Finding) access.Finding {
	f.Subject = cmp.Or(l.change.Email, l.change.Person)
	return f
}

func accountsOf(changes []linkedChange) (ids []string) {
	for _, c := range changes {
		ids = append(ids, c.account)
	}
	return ids
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
