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
	w := activitytest.WithGrants(t, `
grants:
  - {name: rested, targets: ["default:jira/acme/admin"], duration: {max: 4h}, cooldown: 1d}
  - {name: loose, targets: ["group:jira-admins-acme"], duration: {max: 8h}}
`)
	in := w.RequestOf("kim@example.com", "group:jira-admins-acme", 5*time.Hour)
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
		return err
	}, "4h at most, by entry rested")
	w.Grant("kim", "group:jira-admins-acme", time.Hour)
	in = w.RequestOf("kim@example.com", "default:jira/acme/admin", time.Hour)
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
		return err
	}, "there must be 1d between two grants, by entry rested")
}

func TestDecideGrantCountsWhatIsHeldByAllNames(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, `
grants:
  - {name: admin, targets: ["default:jira/acme/admin", "group:jira-admins-acme"], duration: {max: 4h}, approval: {by: [carol@example.com], wait: 1d}, extend: {max: 6h}}
`)
	var waiting []access.Grant
	for _, target := range []access.Entitlement{"default:jira/acme/admin", "group:jira-admins-acme",
		"default:jira/acme/admin"} {
		in := w.RequestOf("kim@example.com", target, 4*time.Hour)
		waiting = append(waiting, activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in).Grants[0])
	}
	approve := func(i int) grants.DecideGrantInput { return approvalOf(waiting[i], "carol@example.com") }
	first := w.Decide(approve(0)).Grants[0]
	w.Until(first)
	second := w.Decide(approve(1)).Grants[0]
	require.Equal(t, 2*time.Hour, second.Until.Sub(second.From))
	w.Until(second)
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant, approve(2))
		return err
	}, "one after the other", "after a break")
}

func TestRequestGrantCountsWhatWasHeldWhateverWasAskedSince(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, `
grants:
  - {name: strict, targets: ["group:jira-admins-acme"], duration: {max: 4h}, ahead: 7d}
`)
	held := w.Grant("kim", "group:jira-admins-acme", 4*time.Hour)
	for i := range 120 {
		fill := held
		fill.ID, fill.Start = fmt.Sprintf("fill-%d", i), w.Clock().Add(24*time.Hour)
		_, _, err := w.Ledger.RequestGrant(t.Context(), activitytest.Org, fill)
		require.NoError(t, err)
		_, err = w.Ledger.EndGrant(t.Context(), activitytest.Org, fill.ID, fill.By, "not needed", w.Clock())
		require.NoError(t, err)
	}
	w.Pass(time.Minute)
	in := w.RequestOf("kim@example.com", "group:jira-admins-acme", 4*time.Hour)
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
		return err
	}, "4h in a row, by entry strict")
	in.Start = held.Until
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
		return err
	}, "4h in a row, by entry strict")
	in.Start = held.Until.Add(time.Hour)
	activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
}
