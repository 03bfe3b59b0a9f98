package session_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

func TestPolicyServesItsOwnOrganizationOnly(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	o.Outline(o.NewRun())
	run := o.NewRun()
	run.Org = "evil"
	_, err := activitytest.Call[reconcile.OutlineResult](o, o.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: run, Trigger: "by hand", Started: o.Clock()})
	require.ErrorContains(t, err, "not in the ledger", "what one organization has read is nobody else's")
}

func TestOrganizationIsServedUnderOneName(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	for _, preview := range []bool{false, true} {
		in := o.AdmitAs("evil")
		in.Preview = preview
		_, err := activitytest.Call[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, in)
		require.Equal(t, session.ErrPolicy, activitytest.ApplicationError(t, err).Type())
		require.ErrorContains(t, err, `is served as "acme" already, and "evil" would write against it`)
	}
	in := o.AdmitAs("evil")
	var text string
	require.NoError(t, json.Unmarshal(in.Policy, &text))
	in = o.AdmitIn(strings.ReplaceAll(text, o.Sim.Info().OrgID, strings.ToUpper(o.Sim.Info().OrgID)))
	in.Org = "evil"
	_, err := activitytest.Call[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, in)
	require.ErrorContains(t, err, `is served as "acme" already`, "however it is written")
}

func TestOrganizationIsFreeOnceRetired(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	id, err := o.Ledger.Retire(t.Context(), activitytest.Org, "ana", o.Clock())
	require.NoError(t, err)
	require.Equal(t, strings.ToLower(o.Sim.Info().OrgID), id)
	_, err = activitytest.Call[reconcile.OutlineResult](o, o.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: o.NewRun(), Trigger: "on schedule", Started: o.Clock()})
	require.Equal(t, session.ErrRetired, activitytest.ApplicationError(t, err).Type())
	require.ErrorContains(t, err, "organization acme was retired")

	require.True(t, activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitAs("other")).Changed)
	_, err = activitytest.Call[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitAs(activitytest.Org))
	require.ErrorContains(t, err, `is served as "other" already`)
	_, err = o.Ledger.Retire(t.Context(), "other", "ana", o.Clock())
	require.NoError(t, err)
	require.True(t, o.Admit(activitytest.AutoAdopt).Changed, "taken up again, by the same policy")
	o.Outline(o.NewRun())
	require.True(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
}

func TestOrganizationOfTwoNamesStopsWritingUnderTheLater(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	require.NoError(t, o.Ledger.KeepPolicy(t.Context(), o.Version("later")))
	o.Forge(`INSERT INTO organizations (org, org_id, directory, policy, policy_at, adopted_at) SELECT 'later', org_id, directory, 'x', policy_at, adopted_at FROM organizations`)
	run := o.NewRun()
	run.Org, run.Policy = "later", o.Version("later").Hash
	_, err := activitytest.Call[reconcile.OutlineResult](o, o.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: run, Trigger: "on schedule", Started: o.Clock()})
	require.ErrorContains(t, err, `is served as "acme" already, and "later" would write against it`)
	o.Outline(o.NewRun())
}

func TestPolicyTextThatDoesNotMatchItsHashIsRefused(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	o.Forge(`UPDATE policies SET body = REPLACE(body, 'group:builders', 'group:helpers')`)
	o.Restart()
	_, err := activitytest.Call[reconcile.OutlineResult](o, o.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: o.NewRun(), Trigger: "on schedule", Started: o.Clock()})
	require.ErrorContains(t, err, "another text under this hash")
	require.Contains(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Message,
		"policies "+o.Policy+": its text hashes to")
	o.Forge(`DELETE FROM policies`)
	require.Contains(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Message,
		"policies "+o.Policy+": it is in force, and its text is not there")
}
