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

func TestAPolicyServesItsOwnOrganizationOnly(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	w.Outline(w.NewRun())
	run := w.NewRun()
	run.Org = "evil"
	_, err := activitytest.Call[reconcile.OutlineResult](w, w.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: run, Trigger: "by hand", Started: w.Clock()})
	require.ErrorContains(t, err, "not in the ledger", "what one organization has read is nobody else's")
}

func TestAnOrganizationIsServedUnderOneName(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	for _, preview := range []bool{false, true} {
		in := w.As("evil")
		in.Preview = preview
		_, err := activitytest.Call[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, in)
		require.Equal(t, session.ErrPolicy, activitytest.ApplicationError(t, err).Type())
		require.ErrorContains(t, err, `is served as "acme" already, and "evil" would write against it`)
	}
	in := w.As("evil")
	var text string
	require.NoError(t, json.Unmarshal(in.Policy, &text))
	in = w.AdmitIn(strings.ReplaceAll(text, w.Sim.Info().OrgID, strings.ToUpper(w.Sim.Info().OrgID)))
	in.Org = "evil"
	_, err := activitytest.Call[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, in)
	require.ErrorContains(t, err, `is served as "acme" already`, "however it is written")
}

func TestARetiredOrganizationIsFree(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	id, err := w.Ledger.Retire(t.Context(), activitytest.Org, "ana", w.Clock())
	require.NoError(t, err)
	require.Equal(t, strings.ToLower(w.Sim.Info().OrgID), id)
	_, err = activitytest.Call[reconcile.OutlineResult](w, w.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: w.NewRun(), Trigger: "on schedule", Started: w.Clock()})
	require.Equal(t, session.ErrRetired, activitytest.ApplicationError(t, err).Type())
	require.ErrorContains(t, err, "organization acme was retired")

	require.True(t, activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.As("other")).Changed)
	_, err = activitytest.Call[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.As(activitytest.Org))
	require.ErrorContains(t, err, `is served as "other" already`)
	_, err = w.Ledger.Retire(t.Context(), "other", "ana", w.Clock())
	require.NoError(t, err)
	require.True(t, w.Admit(activitytest.AutoAdopt).Changed, "taken up again, by the same policy")
	w.Outline(w.NewRun())
	require.True(t, w.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
}

func TestOfTwoNamesFromBeforeTheLaterStopsWriting(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	require.NoError(t, w.Ledger.KeepPolicy(t.Context(), w.Version("later")))
	w.Forge(`INSERT INTO organizations (org, org_id, directory, policy, policy_at, adopted_at) SELECT 'later', org_id, directory, 'x', policy_at, adopted_at FROM organizations`)
	run := w.NewRun()
	run.Org, run.Policy = "later", w.Version("later").Hash
	_, err := activitytest.Call[reconcile.OutlineResult](w, w.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: run, Trigger: "on schedule", Started: w.Clock()})
	require.ErrorContains(t, err, `is served as "acme" already, and "later" would write against it`)
	w.Outline(w.NewRun())
}

func TestAPolicyTextThatIsNotItsHashIsRefused(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	w.Forge(`UPDATE policies SET body = REPLACE(body, 'group:builders', 'group:helpers')`)
	w.Restart()
	_, err := activitytest.Call[reconcile.OutlineResult](w, w.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: w.NewRun(), Trigger: "on schedule", Started: w.Clock()})
	require.ErrorContains(t, err, "another text under this hash")
	require.Contains(t, w.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Message,
		"policies "+w.Policy+": its text hashes to")
	w.Forge(`DELETE FROM policies`)
	require.Contains(t, w.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Message,
		"policies "+w.Policy+": it is in force, and its text is not there")
}
