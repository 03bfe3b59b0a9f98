package activities_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestAdmitTakesAPolicyIntoForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.admit("")
	require.True(t, first.Changed)
	require.False(t, first.Adopted)
	require.Equal(t, 2, first.Mappings)
	require.Equal(t, 2, first.Targets)
	require.Equal(t, "6h0m0s", first.Settings.Every.String())
	require.Equal(t, 8, first.Settings.InFlight)

	again := w.admit("")
	require.False(t, again.Changed)
	require.Equal(t, first.Policy, again.Policy)

	other := w.admit(auto)
	require.True(t, other.Changed)
	require.True(t, other.Adopted, "guard.adopt: auto is the consent")
	require.NotEqual(t, first.Policy, other.Policy)
	known, err := w.ledger.Organization(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, other.Policy, known.Policy)
	require.Equal(t, w.sim.Info().DirectoryID, known.Directory, "the only directory is found")
}

func TestAdmitTakesJSONToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, err := json.Marshal(map[string]any{
		"version": 1, "organization": map[string]any{"name": org, "id": w.sim.Info().OrgID, "key": "env:KEY"},
		"mappings": []any{map[string]any{"name": "b", "from": []string{"eng"}, "to": []string{"group:builders"}}},
	})
	require.NoError(t, err)
	require.Equal(t, 1, must[activities.AdmitResult](w, w.acts.Admit, activities.AdmitInput{Org: org, Policy: body}).Mappings)
}

func TestAdmitRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	swap := func(old, new string) func(*world) activities.AdmitInput {
		return func(w *world) activities.AdmitInput {
			text := w.text("")
			require.Contains(w.t, text, old)
			return w.admitIn(strings.ReplaceAll(text, old, new))
		}
	}
	for name, c := range map[string]struct {
		in    func(*world) activities.AdmitInput
		setUp func(*world)
		kind  string
		want  string
	}{
		"another organization's name": {swap("name: acme", "name: other"), nil, activities.ErrPolicy, `the policy is for organization "other", this workflow for "acme"`},
		"a mistake in the file":       {swap("mappings:", "mapings:"), nil, activities.ErrPolicy, "mapings"},
		"no file":                     {func(*world) activities.AdmitInput { return activities.AdmitInput{Org: org} }, nil, activities.ErrPolicy, "not accepted"},
		"a synced target":             {swap("group:builders", "group:unused"), nil, activities.ErrPolicy, "unused"},
		"an expired key": {swap("", ""), func(w *world) {
			w.configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{w.key: cloud.KeyExpired} })
		}, activities.ErrKeyRefused, "make a new one"},
		"a key that nobody knows": {swap("", ""), func(w *world) { w.key = "0123456789abcdef" }, activities.ErrKeyRefused, "Atlassian refused the organization key"},
		"another organization's key": {swap("", ""), func(w *world) {
			w.configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{w.key: cloud.KeyOtherOrg} })
		}, activities.ErrForbidden, "organization.id"},
		"another organization's id": {func(w *world) activities.AdmitInput {
			return w.admitIn(strings.ReplaceAll(w.text(""), w.sim.Info().OrgID, "0a1b2c3d-0000-4000-8000-000000000001"))
		}, nil, activities.ErrForbidden, "organization.id"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.setUp != nil {
				c.setUp(w)
			}
			_, err := call[activities.AdmitResult](w, w.acts.Admit, c.in(w))
			app := application(t, err)
			require.Equal(t, c.kind, app.Type(), "%v", err)
			require.True(t, app.NonRetryable())
			require.Contains(t, app.Message(), c.want)
			require.NotContains(t, app.Message(), w.key, "no secret stands in an error")
			_, err = w.ledger.Organization(t.Context(), org)
			require.Error(t, err, "nothing is taken into force")
			require.Zero(t, w.sim.Stats().Writes)
		})
	}
}

func TestAPreviewedPolicyIsNotInForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit("")
	in := w.admitIn(w.text(auto))
	in.Preview = true
	draft := must[activities.AdmitResult](w, w.acts.Admit, in)
	require.NotEqual(t, w.policy, draft.Policy)
	known, err := w.ledger.Organization(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, w.policy, known.Policy)
	require.True(t, known.AdoptedAt.IsZero())

	current := must[activities.AdmitResult](w, w.acts.Admit, activities.AdmitInput{Org: org, Preview: true})
	require.Equal(t, w.policy, current.Policy, "without a policy, the one in force is previewed")
}

func TestANewPolicyClosesTheHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit("")
	run := w.newRun()
	w.sweep(run)
	hold := w.judge(run).Hold
	require.NotNil(t, hold)
	w.admit("sync: {every: 1h}")
	_, err := call[activities.DecideResult](w, w.acts.Decide, activities.DecideInput{
		Org: org, Decision: "approve", DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol"},
	})
	require.Equal(t, activities.ErrNotOpen, application(t, err).Type())
}
