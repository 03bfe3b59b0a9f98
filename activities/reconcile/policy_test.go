package reconcile_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestAdmitTakesAPolicyIntoForce(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	first := w.Admit("")
	require.True(t, first.Changed)
	require.False(t, first.Adopted)
	require.Equal(t, 2, first.Mappings)
	require.Equal(t, 2, first.Targets)
	require.Equal(t, "6h0m0s", first.Settings.Every.String())
	require.Equal(t, 8, first.Settings.InFlight)

	again := w.Admit("")
	require.False(t, again.Changed)
	require.Equal(t, first.Policy, again.Policy)

	other := w.Admit(activitytest.AutoAdopt)
	require.True(t, other.Changed)
	require.True(t, other.Adopted, "guard.adopt: auto is the consent")
	require.NotEqual(t, first.Policy, other.Policy)
	known, err := w.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, other.Policy, known.Policy)
	require.Equal(t, w.Sim.Info().DirectoryID, known.Directory, "the only directory is found")
}

func TestAdmitTakesJSONToo(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	body, err := json.Marshal(map[string]any{
		"version": 1, "organization": map[string]any{"name": activitytest.Org, "id": w.Sim.Info().OrgID,
			"key": "env:KEY"},
		"mappings": []any{map[string]any{"name": "b", "from": []string{"eng"}, "to": []string{"group:builders"}}},
	})
	require.NoError(t, err)
	require.Equal(t, 1, activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit,
		reconcile.AdmitInput{Org: activitytest.Org, Policy: body}).Mappings)
}

func TestAdmitRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	swap := func(old, new string) func(*activitytest.SimulatedOrg) reconcile.AdmitInput {
		return func(w *activitytest.SimulatedOrg) reconcile.AdmitInput {
			text := w.Text("")
			require.Contains(w.T, text, old)
			return w.AdmitIn(strings.ReplaceAll(text, old, new))
		}
	}
	for name, c := range map[string]struct {
		in    func(*activitytest.SimulatedOrg) reconcile.AdmitInput
		setUp func(*activitytest.SimulatedOrg)
		kind  string
		want  string
	}{
		"another organization's name": {swap("name: acme", "name: other"), nil, session.ErrMisnamed,
			`the policy is for organization "other", this workflow for "acme"`},
		"a mistake in the file": {swap("mappings:", "mapings:"), nil, session.ErrPolicy, "mapings"},
		"no file": {func(*activitytest.SimulatedOrg) reconcile.AdmitInput {
			return reconcile.AdmitInput{Org: activitytest.Org}
		}, nil, session.ErrPolicy, "not accepted"},
		"a synced target": {swap("group:builders", "group:unused"), nil, session.ErrPolicy, "unused"},
		"an expired key": {swap("", ""), func(w *activitytest.SimulatedOrg) {
			w.Configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{w.Key: cloud.KeyExpired} })
		}, session.ErrKeyRefused, "make a new one"},
		"a key that nobody knows": {swap("", ""), func(w *activitytest.SimulatedOrg) { w.Key = "0123456789abcdef" },
			session.ErrKeyRefused, "Atlassian refused the organization key"},
		"another organization's key": {swap("", ""), func(w *activitytest.SimulatedOrg) {
			w.Configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{w.Key: cloud.KeyOtherOrg} })
		}, session.ErrForbidden, "organization.id"},
		"another organization's id": {func(w *activitytest.SimulatedOrg) reconcile.AdmitInput {
			return w.AdmitIn(strings.ReplaceAll(w.Text(""), w.Sim.Info().OrgID, "0a1b2c3d-0000-4000-8000-000000000001"))
		}, nil, session.ErrForbidden, "organization.id"},
	} {
		t.Run(name, func(t *testing.T) {
			w := activitytest.New(t)
			if c.setUp != nil {
				c.setUp(w)
			}
			_, err := activitytest.Call[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, c.in(w))
			app := activitytest.ApplicationError(t, err)
			require.Equal(t, c.kind, app.Type(), "%v", err)
			require.True(t, app.NonRetryable())
			require.Contains(t, app.Message(), c.want)
			require.NotContains(t, app.Message(), w.Key, "no secret stands in an error")
			_, err = w.Ledger.Organization(t.Context(), activitytest.Org)
			require.Error(t, err, "nothing is taken into force")
			require.Zero(t, w.Sim.Stats().Writes)
		})
	}
}

func TestAPreviewedPolicyIsNotInForce(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit("")
	in := w.AdmitIn(w.Text(activitytest.AutoAdopt))
	in.Preview = true
	draft := activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, in)
	require.NotEqual(t, w.Policy, draft.Policy)
	known, err := w.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, w.Policy, known.Policy)
	require.True(t, known.AdoptedAt.IsZero())

	current := activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit,
		reconcile.AdmitInput{Org: activitytest.Org, Preview: true})
	require.Equal(t, w.Policy, current.Policy, "without a policy, the one in force is previewed")
}

func TestANewPolicyClosesTheHold(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit("")
	run := w.NewRun()
	w.Sweep(run)
	hold := w.Judge(run).Hold
	require.NotNil(t, hold)
	w.Admit("sync: {every: 1h}")
	_, err := activitytest.Call[reconcile.DecideResult](w, w.Acts.Reconcile.Decide, reconcile.DecideInput{
		Org: activitytest.Org, Decision: "approve", DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"},
	})
	require.Equal(t, session.ErrNotOpen, activitytest.ApplicationError(t, err).Type())
}

// What is accepted can be read again, though with its defaults it is larger than a file may be.
func TestAdmitTakesALargePolicy(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	var mappings strings.Builder
	for i := 0; mappings.Len() < policy.MaxFile-20_000; i++ {
		fmt.Fprintf(&mappings, "  - {name: m%d, from: [eng], to: [\"group:builders\"], description: %s}\n", i,
			strings.Repeat("d", 480))
	}
	text, _, _ := strings.Cut(w.Text(activitytest.AutoAdopt), "mappings:")
	large := w.AdmitIn(text + "mappings:\n" + mappings.String() + "ignore: [\"*\"]\n")
	w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, large).Policy
	run := w.NewRun()
	w.Sweep(run)
	verdict := w.Judge(run) // by the policy as the ledger has it
	require.NotZero(t, verdict.Counts.Adds)
}

// A text that was written past the ledger is put right by applying the policy, or another one.
func TestAdmitMendsAPolicyThatWasChangedInTheLedger(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]string{"the same": "", "another": activitytest.AutoAdopt} {
		t.Run(name, func(t *testing.T) {
			w := activitytest.New(t)
			w.Admit("")
			db, err := sql.Open("sqlite", w.File)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			_, err = db.ExecContext(t.Context(), `UPDATE policies SET body = '{"version":1}'`)
			require.NoError(t, err)
			w.Admit(then)
			run := w.NewRun()
			w.Sweep(run)
			require.NotZero(t, w.Judge(run).Counts.Adds)
		})
	}
}
