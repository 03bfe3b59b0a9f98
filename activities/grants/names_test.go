package grants_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/messages"
)

func TestRequestGrantLooksAtATargetByAllItsNames(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, `
grants:
  - {name: rested, targets: ["default:jira/acme/admin"], duration: {max: 4h}, cooldown: 1d}
  - {name: loose, targets: ["group:jira-admins-acme"], duration: {max: 8h}}
`)
	in := o.RequestOf("kim@example.com", "group:jira-admins-acme", 5*time.Hour)
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
		return err
	}, "4h at most, by entry rested")
	o.Grant("kim", "group:jira-admins-acme", time.Hour)
	in = o.RequestOf("kim@example.com", "default:jira/acme/admin", time.Hour)
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
		return err
	}, "there must be 1d between two grants, by entry rested")
}

func TestDecideGrantCountsWhatIsHeldByAllNames(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, `
grants:
  - {name: admin, targets: ["default:jira/acme/admin", "group:jira-admins-acme"], duration: {max: 4h}, approval: {by: [carol@example.com], wait: 1d}, extend: {max: 6h}}
`)
	var waiting []access.Grant
	for _, target := range []access.Entitlement{"default:jira/acme/admin", "group:jira-admins-acme",
		"default:jira/acme/admin"} {
		in := o.RequestOf("kim@example.com", target, 4*time.Hour)
		waiting = append(waiting, activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0])
	}
	approve := func(i int) grants.DecideGrantInput { return approvalOf(waiting[i], "carol@example.com") }
	first := o.Decide(approve(0)).Grants[0]
	o.AdvanceToEnd(first)
	second := o.Decide(approve(1)).Grants[0]
	require.Equal(t, 2*time.Hour, second.Until.Sub(second.From))
	o.AdvanceToEnd(second)
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, approve(2))
		return err
	}, "one after the other", "after a break")
}

func TestRequestGrantCountsWhatWasHeldWhateverWasAskedSince(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, `
grants:
  - {name: strict, targets: ["group:jira-admins-acme"], duration: {max: 4h}, ahead: 7d}
`)
	held := o.Grant("kim", "group:jira-admins-acme", 4*time.Hour)
	for i := range 120 {
		fill := held
		fill.ID, fill.Start = fmt.Sprintf("fill-%d", i), o.Clock().Add(24*time.Hour)
		_, _, err := o.Ledger.RequestGrant(t.Context(), activitytest.Org, fill)
		require.NoError(t, err)
		_, err = o.Ledger.EndGrant(t.Context(), activitytest.Org, fill.ID, fill.By, "not needed", o.Clock())
		require.NoError(t, err)
	}
	o.Advance(time.Minute)
	in := o.RequestOf("kim@example.com", "group:jira-admins-acme", 4*time.Hour)
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
		return err
	}, "4h in a row, by entry strict")
	in.Start = held.Until
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
		return err
	}, "4h in a row, by entry strict")
	in.Start = held.Until.Add(time.Hour)
	activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
}
