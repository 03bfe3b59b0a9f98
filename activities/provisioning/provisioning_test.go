package provisioning_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// TestProvisioningLinksAccountsThatLoginsMade: somebody with an account and no record gets one, linked to that very
// account, with all it had; a second run writes nothing.
func TestProvisioningLinksAccountsThatLoginsMade(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.staff["e2"] = identity{address: "new@acme.example"}
	before := o.Sim.State()
	o.read()
	in, verdict := o.run()
	require.Equal(t, map[string]string{"e1": "jit-only", "e2": "absent"}, o.states())
	require.Equal(t, 2, verdict.Open)
	for label, result := range o.write(in, false) {
		require.Equal(t, access.Done, result.State, "%s: %s", label, result.Answer)
	}
	ana := o.record("ana@acme.example")
	for _, p := range before.People {
		if p.Email == "ana@acme.example" {
			require.Equal(t, p.AccountID, ana.AccountID)
			require.NotEqual(t, ana.AccountID, ana.SCIMUserID)
		}
	}
	require.NotEmpty(t, o.record("new@acme.example").SCIMUserID)

	made := o.Calls(func() {
		in, verdict = o.run()
		require.Zero(t, verdict.Open)
	})
	require.Zero(t, made["scim.users.create"]+made["scim.users.patch"], "%v", made)
	require.Equal(t, map[string]string{"e1": "linked", "e2": "linked"}, o.states())
}

// TestProvisioningChangesWhatDiffers: one PATCH of one attribute, and what another wrote beside survives.
func TestProvisioningChangesWhatDiffers(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.inStep()
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"title": "Lead"}}
	o.read()
	in, verdict := o.run()
	require.Equal(t, messages.Counts{Updates: 1}.Updates, verdict.Counts.Updates)
	lines, err := o.Ledger.Lines(t.Context(), "acme", in.Run, ledger.Filter{})
	require.NoError(t, err)
	require.Equal(t, []access.Edit{{Attribute: "title", From: "", To: "Lead"}}, lines[0].Edits)
	o.write(in, false)
	_, verdict = o.run()
	require.Zero(t, verdict.Open)
}

// TestProvisioningHoldsByValue: approving a plan approves its values. What the source says otherwise afterwards is not
// written.
func TestProvisioningHoldsByValue(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.inStep()
	o.staff["e1"] = identity{address: "ana.lima@acme.example"}
	o.read()
	in, verdict := o.run()
	require.NotNil(t, verdict.Hold)
	require.Contains(t, verdict.Hold.Rules[0], "email-change")
	plan := verdict.Hold.Plan

	o.staff["e1"] = identity{address: "ana.silva@acme.example"}
	o.read()
	_, err := o.Ledger.DecideHoldIn(t.Context(), "acme", ledger.LaneIdentity, plan, ledger.Approve, "bo", "", o.Clock())
	require.NoError(t, err)
	for _, result := range o.write(in, true) {
		require.Equal(t, access.Superseded, result.State)
	}
	require.NotEmpty(t, o.record("ana@acme.example").SCIMUserID)
	_, verdict = o.run()
	require.NotNil(t, verdict.Hold)
	require.NotEqual(t, plan, verdict.Hold.Plan)
}

// TestProvisioningDeactivatesLeavers: who is disabled in the source is deactivated after one read; who is missing from
// it only once that is proved; and who returns is active again.
func TestProvisioningDeactivatesLeavers(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.staff["e2"] = identity{address: "bo@acme.example"}
	o.inStep()

	o.staff["e1"] = identity{address: "ana@acme.example", disabled: true}
	delete(o.staff, "e2")
	o.read()
	in, verdict := o.run()
	require.Equal(t, 1, verdict.Open)
	o.write(in, false)
	require.False(t, o.active("ana@acme.example"))
	require.True(t, o.active("bo@acme.example"))

	o.read()
	_, err := o.Ledger.SetIdentityState(t.Context(), "acme", "hr", "e2", ledger.StateGone, o.Clock())
	require.NoError(t, err)
	in, verdict = o.run()
	require.Equal(t, "orphaned", o.states()["e2"])
	o.write(in, false)
	require.False(t, o.active("bo@acme.example"))

	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.read()
	in, _ = o.run()
	require.Equal(t, "locked", o.states()["e1"])
	o.write(in, false)
	require.True(t, o.active("ana@acme.example"))
}

// TestProvisioningHasPeopleDecidedAgain: those who are active again, since they may hold what mappings give, and those
// of whom anything changed where rules may ask for it. No event tells of these writes: they are Castellan's own.
func TestProvisioningHasPeopleDecidedAgain(t *testing.T) {
	t.Parallel()
	const rules = `
rules:
  - {name: it, when: 'department == "IT"', give: ["group:builders"]}`
	ana := identity{address: "ana@acme.example"}
	away := identity{address: ana.address, disabled: true}
	moved := identity{address: ana.address, more: map[string]any{"name": "Ana B."}}
	for name, c := range map[string]struct {
		more string
		then []identity
		want int
	}{
		"left":                {"", []identity{away}, 0},
		"came back":           {"", []identity{away, ana}, 1},
		"changed":             {"", []identity{moved}, 0},
		"left, with rules":    {rules, []identity{away}, 1},
		"changed, with rules": {rules, []identity{moved}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t, c.more)
			o.staff["e1"] = ana
			o.inStep()
			var in provisioning.RunInput
			for _, now := range c.then {
				o.staff["e1"] = now
				o.read()
				in, _ = o.run()
				require.Len(t, o.write(in, false), 1)
			}
			sum := o.Finish(in.RunInput, messages.ScopeProvision)
			require.Equal(t, c.want, sum.Due)
			_, verdict, _ := o.FollowUp(in.RunInput, o.Clock())
			require.Equal(t, c.want, verdict.Counts.People)
		})
	}
}

func (o *provisioned) active(address string) bool {
	o.T.Helper()
	found, err := o.Ledger.FindRecords(o.T.Context(), "acme", o.Sim.Info().SCIMDirectoryID,
		ledger.RecordQuery{Addresses: []string{address}})
	require.NoError(o.T, err)
	require.Len(o.T, found, 1)
	return found[0].Active
}

// TestProvisioningHoldsManyDeactivations: more than the policy allows wait as one plan.
func TestProvisioningHoldsManyDeactivations(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	for _, key := range []string{"ana", "bo", "carol"} {
		o.staff[key] = identity{address: key + "@acme.example"}
	}
	o.inStep()
	for _, key := range []string{"ana", "bo", "carol"} {
		o.staff[key] = identity{address: key + "@acme.example", disabled: true}
	}
	o.read()
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Equal(t, 3, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "deactivate 3 of 3 people")
	require.Empty(t, o.write(in, false))
	_, err := o.Ledger.DecideHoldIn(t.Context(), "acme", ledger.LaneIdentity, verdict.Hold.Plan, ledger.Approve, "bo", "",
		o.Clock())
	require.NoError(t, err)
	require.Len(t, o.write(in, true), 3)
	require.False(t, o.active("ana@acme.example"))
}

// TestProvisioningOfAStaleSource: nobody is deactivated on the word of a source that was not read for long.
func TestProvisioningOfAStaleSource(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.inStep()
	delete(o.staff, "e1")
	o.read()
	o.read()
	_, err := o.Ledger.SetIdentityState(t.Context(), "acme", "hr", "e1", ledger.StateGone, o.Clock())
	require.NoError(t, err)
	o.Advance(3 * time.Hour)
	_, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Nil(t, verdict.Hold)
}

// TestProvisioningOfAFew: a run about one identity reads its record alone.
func TestProvisioningOfAFew(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.inStep()
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"title": "Lead"}}
	o.read()
	made := o.Calls(func() {
		in, verdict := o.run("hr:e1")
		require.Equal(t, 1, verdict.Open)
		o.write(in, false)
	})
	require.LessOrEqual(t, made["scim.users.list"]+made["scim.users.get"]+made["scim.users.patch"], 3, "%v", made)
}

// TestProvisioningIsNotUndone: the inverse of what was written to records is no plan of access, and the sources would
// have it written again; who asks for it is told what to do instead.
func TestProvisioningIsNotUndone(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.read()
	in, _ := o.run()
	o.write(in, false)
	_, err := activitytest.Call[messages.RunSummary](o.SimulatedOrg, o.Acts.Reconcile.FindRun, in.RunInput)
	require.ErrorContains(t, err, "correct the source or the policy's provision")
	undo := o.NewRun()
	_, err = activitytest.Call[int](o.SimulatedOrg, o.Acts.Reconcile.PlanUndo,
		reconcile.UndoInput{RunInput: undo, Of: in.Run, By: "bo"})
	require.ErrorContains(t, err, "correct the source or the policy's provision")
	_, err = o.Ledger.Run(t.Context(), activitytest.Org, undo.Run)
	require.ErrorIs(t, err, ledger.ErrNotFound, "nothing is planned")
}
