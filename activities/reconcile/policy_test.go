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
	o := activitytest.New(t)
	first := o.Admit("")
	require.True(t, first.Changed)
	require.False(t, first.Adopted)
	require.Equal(t, 2, first.Mappings)
	require.Equal(t, 2, first.Targets)
	require.Equal(t, "6h0m0s", first.Settings.Every.String())
	require.Equal(t, 8, first.Settings.InFlight)

	again := o.Admit("")
	require.False(t, again.Changed)
	require.Equal(t, first.Policy, again.Policy)

	other := o.Admit(activitytest.AutoAdopt)
	require.True(t, other.Changed)
	require.True(t, other.Adopted, "guard.adopt: auto is the consent")
	require.NotEqual(t, first.Policy, other.Policy)
	known, err := o.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, other.Policy, known.Policy)
	require.Equal(t, o.Sim.Info().DirectoryID, known.Directory, "the only directory is found")
}

func TestAdmitTakesJSONToo(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	body, err := json.Marshal(map[string]any{
		"version": 1, "organization": map[string]any{"name": activitytest.Org, "id": o.Sim.Info().OrgID,
			"key": "env:KEY"},
		"mappings": []any{map[string]any{"name": "b", "from": []string{"eng"}, "to": []string{"group:builders"}}},
	})
	require.NoError(t, err)
	require.Equal(t, 1, activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
		reconcile.AdmitInput{Org: activitytest.Org, Policy: body}).Mappings)
}

func TestAdmitRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	swap := func(old, new string) func(*activitytest.SimulatedOrg) reconcile.AdmitInput {
		return func(o *activitytest.SimulatedOrg) reconcile.AdmitInput {
			text := o.PolicyText("")
			require.Contains(o.T, text, old)
			return o.AdmitIn(strings.ReplaceAll(text, old, new))
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
		"an expired key": {swap("", ""), func(o *activitytest.SimulatedOrg) {
			o.Configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{o.Key: cloud.KeyExpired} })
		}, session.ErrKeyRefused, "make a new one"},
		"a key that nobody knows": {swap("", ""), func(o *activitytest.SimulatedOrg) { o.Key = "0123456789abcdef" },
			session.ErrKeyRefused, "Atlassian refused the organization key"},
		"another organization's key": {swap("", ""), func(o *activitytest.SimulatedOrg) {
			o.Configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{o.Key: cloud.KeyOtherOrg} })
		}, session.ErrForbidden, "organization.id"},
		"another organization's id": {func(o *activitytest.SimulatedOrg) reconcile.AdmitInput {
			return o.AdmitIn(strings.ReplaceAll(o.PolicyText(""), o.Sim.Info().OrgID, "0a1b2c3d-0000-4000-8000-000000000001"))
		}, nil, session.ErrForbidden, "organization.id"},
	} {
		t.Run(name, func(t *testing.T) {
			o := activitytest.New(t)
			if c.setUp != nil {
				c.setUp(o)
			}
			_, err := activitytest.Call[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, c.in(o))
			app := activitytest.ApplicationError(t, err)
			require.Equal(t, c.kind, app.Type(), "%v", err)
			require.True(t, app.NonRetryable())
			require.Contains(t, app.Message(), c.want)
			require.NotContains(t, app.Message(), o.Key, "no secret stands in an error")
			_, err = o.Ledger.Organization(t.Context(), activitytest.Org)
			require.Error(t, err, "nothing is taken into force")
			require.Zero(t, o.Sim.Stats().Writes)
		})
	}
}

func TestPreviewPutsNoPolicyIntoForce(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit("")
	in := o.AdmitIn(o.PolicyText(activitytest.AutoAdopt))
	in.Preview = true
	draft := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, in)
	require.NotEqual(t, o.Policy, draft.Policy)
	known, err := o.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, o.Policy, known.Policy)
	require.True(t, known.AdoptedAt.IsZero())

	current := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
		reconcile.AdmitInput{Org: activitytest.Org, Preview: true})
	require.Equal(t, o.Policy, current.Policy, "without a policy, the one in force is previewed")
}

func TestAdmitClosesTheHold(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit("")
	run := o.NewRun()
	o.Sweep(run)
	hold := o.Judge(run).Hold
	require.NotNil(t, hold)
	o.Admit("sync: {every: 1h}")
	_, err := activitytest.Call[reconcile.DecideResult](o, o.Acts.Reconcile.Decide, reconcile.DecideInput{
		Org: activitytest.Org, Decision: "approve", DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"},
	})
	require.Equal(t, session.ErrNotOpen, activitytest.ApplicationError(t, err).Type())
}

// What is accepted can be read again, though with its defaults it is larger than a file may be.
func TestAdmitTakesALargePolicy(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	var mappings strings.Builder
	for i := 0; mappings.Len() < policy.MaxFile-20_000; i++ {
		fmt.Fprintf(&mappings, "  - {name: m%d, from: [eng], to: [\"group:builders\"], description: %s}\n", i,
			strings.Repeat("d", 480))
	}
	text, _, _ := strings.Cut(o.PolicyText(activitytest.AutoAdopt), "mappings:")
	large := o.AdmitIn(text + "mappings:\n" + mappings.String() + "ignore: [\"*\"]\n")
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, large).Policy
	run := o.NewRun()
	o.Sweep(run)
	verdict := o.Judge(run) // by the policy as the ledger has it
	require.NotZero(t, verdict.Counts.Adds)
}

// A text that was written past the ledger is put right by applying the policy, or another one.
func TestAdmitMendsAPolicyThatWasChangedInTheLedger(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]string{"the same": "", "another": activitytest.AutoAdopt} {
		t.Run(name, func(t *testing.T) {
			o := activitytest.New(t)
			o.Admit("")
			db, err := sql.Open("sqlite", o.File)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			_, err = db.ExecContext(t.Context(), `UPDATE policies SET body = '{"version":1}'`)
			require.NoError(t, err)
			o.Admit(then)
			run := o.NewRun()
			o.Sweep(run)
			require.NotZero(t, o.Judge(run).Counts.Adds)
		})
	}
}
