package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestCheckDecider(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	check := func(by string) error {
		_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Reconcile.CheckDecider },
			reconcile.DeciderInput{Org: activitytest.Org, By: by})
		return err
	}
	for _, by := range []string{"carol@example.com", "CAROL@example.com", "ci", o.AccountID("carol"), ""} {
		require.NoError(t, check(by), by)
	}
	o.ChangePerson("dan", map[string]any{"suspended": true})
	for by, why := range map[string]string{
		"nobody@example.com":        "the directory shows nobody named nobody@example.com",
		"Carol <carol@example.com>": "names nobody",
		messages.You:                "stands for you in printed commands: put your own e-mail address or account id there",
		"dan@example.com":           "who is not active in the directory (suspended)",
	} {
		err := check(by)
		require.ErrorContains(t, err, why)
		require.Equal(t, session.ErrUnknown, activitytest.ApplicationError(t, err).Type())
		require.True(t, activitytest.ApplicationError(t, err).NonRetryable())
	}
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus,
		Params: cloud.FaultParams{Status: 503}})
	require.False(t, activitytest.ApplicationError(t, check("carol@example.com")).NonRetryable(),
		"it may be tried again")
}

func TestCheckDeciderRefusesPlaceholders(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	in := o.AdmitIn(o.PolicyText(activitytest.OpenGuard))
	in.By = messages.You
	_, err := activitytest.Call[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, in)
	require.ErrorContains(t, err, "put your own e-mail address or account id there")
	o.Rename("jo", messages.You)
	activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, in)
}

// TestWhoeverIsLookedUpIsShownAsTheyAreCalledNow: an answer by the new address has it, before everybody was looked at
// again.
func TestWhoeverIsLookedUpIsShownAsTheyAreCalledNow(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	o.Rename("kim", "kim.lee@example.com")
	listed := o.Ask(messages.ReportInput{Kind: messages.ReportGrants, Person: "kim.lee@example.com"})
	require.Len(t, listed.Grants, 1)
	require.Equal(t, g.ID, listed.Grants[0].ID)
	require.Equal(t, "kim.lee@example.com", listed.Grants[0].Email)
	require.Equal(t, access.GrantGranted, listed.Grants[0].State)
}
