package provisioning_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// TestProvisioningStopsWhenRecordsLoseTheirAccounts: however many runs see it, nothing is provisioned while more
// records than the policy allows have lost their accounts.
func TestProvisioningStopsWhenRecordsLoseTheirAccounts(t *testing.T) {
	t.Parallel()
	o := start(t, "guard: {adopt: auto, unlinked: {people: 1}}")
	for _, key := range []string{"ana", "bo", "carol"} {
		o.staff[key] = identity{address: key + "@acme.example"}
	}
	o.inStep()
	for _, name := range []string{"ana", "bo"} {
		o.ChangePerson(name, map[string]any{"email": name + "@elsewhere.example"})
		o.patch(name+"@elsewhere.example", "nickName", "x") // any change unlinks an account that is not managed
	}
	o.staff["carol"] = identity{address: "carol@acme.example", more: map[string]any{"title": "Lead"}}
	o.read()
	for range 3 {
		in, verdict := o.run()
		require.Zero(t, verdict.Open)
		require.NotNil(t, verdict.Hold)
		require.Contains(t, activitytest.Joined(verdict.Hold.Rules), "unlink-wave")
		require.Contains(t, activitytest.Joined(verdict.Findings), "unlinked")
		require.Empty(t, o.write(in, false))
	}
}

// approve consents to what is held, and writes it.
func (o *provisioned) approve(in provisioning.RunInput,
	verdict provisioning.JudgeResult) map[string]apply.ChangeResult {
	o.T.Helper()
	_, err := o.Ledger.DecideHoldIn(o.T.Context(), "acme", ledger.LaneIdentity, verdict.Hold.Plan, ledger.Approve,
		"bo", "", o.Clock())
	require.NoError(o.T, err)
	return o.write(in, true)
}

// TestProvisioningOfARehire: a new key under an old address waits for somebody, even if nothing of the record changes;
// then record and account are the new identity's, and the old one takes nothing.
func TestProvisioningOfARehire(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"name": "Ana"}}
	o.inStep()
	delete(o.staff, "e1")
	o.staff["e9"] = identity{address: "ana@acme.example", more: map[string]any{"name": "Ana"}}
	o.read()
	o.read()
	_, err := o.Ledger.SetIdentityState(t.Context(), "acme", "hr", "e1", ledger.StateGone, o.Clock())
	require.NoError(t, err)
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.NotNil(t, verdict.Hold)
	require.Contains(t, activitytest.Joined(verdict.Hold.Rules), "rebind")
	lines, err := o.Ledger.Lines(t.Context(), "acme", in.Run, ledger.Filter{})
	require.NoError(t, err)
	require.Equal(t, []access.Edit{{Attribute: "identity", From: "hr:e1", To: "hr:e9"}}, lines[0].Edits)

	made := o.Calls(func() {
		for label, result := range o.approve(in, verdict) {
			require.Equal(t, access.Done, result.State, "%s: %s", label, result.Answer)
		}
	})
	require.Zero(t, made["scim.users.create"]+made["scim.users.patch"], "%v", made)
	e1, e9 := ledger.Ref{Source: "hr", Key: "e1"}, ledger.Ref{Source: "hr", Key: "e9"}
	records, err := o.Ledger.Bindings(t.Context(), "acme", "staff", []ledger.Ref{e1, e9})
	require.NoError(t, err)
	require.Equal(t, o.record("ana@acme.example").SCIMUserID, records[e9].Record)
	require.NotContains(t, records, e1)
	accounts, err := o.Ledger.Bindings(t.Context(), "acme", "", []ledger.Ref{e1, e9})
	require.NoError(t, err)
	require.Equal(t, o.record("ana@acme.example").AccountID, accounts[e9].Account)
	require.NotContains(t, accounts, e1)
	_, verdict = o.run()
	require.Zero(t, verdict.Open)
	require.Nil(t, verdict.Hold)
	require.Equal(t, "linked", o.states()["e9"])
}

// TestProvisioningAfterALostAnswer: a record whose creation was answered to nobody is found by the next attempt.
func TestProvisioningAfterALostAnswer(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "new@acme.example"}
	o.read()
	in, verdict := o.run()
	require.Equal(t, 1, verdict.Open)
	o.Inject(cloud.Fault{Operations: []string{"scim.users.create"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
	next := activitytest.Must[apply.NextResult](o.SimulatedOrg, o.Acts.Apply.Next, apply.NextInput{
		RunInput: in.RunInput, Actions: []access.Action{access.Add}, Limit: 1})
	change := apply.ChangeInput{RunInput: in.RunInput, Person: next.Lines[0].Person, Target: next.Lines[0].Target}
	_, err := activitytest.Call[apply.ChangeResult](o.SimulatedOrg, o.Acts.Apply.Apply, change)
	require.Error(t, err)
	made := o.Calls(func() {
		result := activitytest.Must[apply.ChangeResult](o.SimulatedOrg, o.Acts.Apply.Apply, change)
		require.Equal(t, access.Done, result.State, result.Answer)
	})
	require.Zero(t, made["scim.users.create"], "%v", made)
	_, verdict = o.run()
	require.Zero(t, verdict.Open)
	require.Equal(t, "linked", o.states()["e1"])
}

// TestProvisioningOfANarrowerScope: whom an edit of the policy puts out of scope waits, by name.
func TestProvisioningOfANarrowerScope(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"unit": "works"}}
	o.staff["e2"] = identity{address: "bo@acme.example", more: map[string]any{"unit": "office"}}
	o.inStep()
	o.admit("", "groupsFile: groups.csv", `groupsFile: groups.csv, people: {scope: 'unit == "office"'}`)
	o.VerifyEverybody()
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Contains(t, activitytest.Joined(verdict.Hold.Rules), "scope-change")
	lines, err := o.Ledger.Lines(t.Context(), "acme", in.Run, ledger.Filter{})
	require.NoError(t, err)
	require.Len(t, lines, 1)
	require.Equal(t, "ana@acme.example", lines[0].Email)
	require.Empty(t, o.write(in, false))
}

// TestProvisioningInObserveMode: where another provider writes, nothing is written.
func TestProvisioningInObserveMode(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.admit("", `key: "env:SCIM"}`, `key: "env:SCIM", mode: observe}`)
	o.VerifyEverybody()
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.read()
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Nil(t, verdict.Hold)
	require.Empty(t, o.write(in, false))
}

// TestProvisioningWithAForgedBinding: for somebody whose binding was changed past Castellan nothing is written, and a
// finding says so; for others it goes on.
func TestProvisioningWithAForgedBinding(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"changed": `UPDATE bindings SET bound = 'other' WHERE key = 'e1' AND provision = 'staff'`,
		"deleted": `DELETE FROM bindings WHERE key = 'e1' AND provision = 'staff'`,
		"account": `DELETE FROM bindings WHERE key = 'e1' AND provision = ''`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t, "")
			o.staff["e1"] = identity{address: "ana@acme.example"}
			o.staff["e2"] = identity{address: "bo@acme.example"}
			o.inStep()
			o.Forge(statement)
			o.staff["e1"] = identity{address: "ana@acme.example", disabled: true}
			o.staff["e2"] = identity{address: "bo@acme.example", more: map[string]any{"title": "Lead"}}
			o.read()
			in, verdict := o.run()
			require.Equal(t, 1, verdict.Open)
			require.Contains(t, activitytest.Joined(verdict.Findings), "verify-ledger")
			o.write(in, false)
			require.True(t, o.active("ana@acme.example"))
		})
	}
}

// TestProvisioningOfADisabledPersonInAStaleSource: what a source said before it was not read for long may not hold any
// more.
func TestProvisioningOfADisabledPersonInAStaleSource(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.inStep()
	o.staff["e1"] = identity{address: "ana@acme.example", disabled: true}
	o.read()
	o.Advance(3 * time.Hour)
	_, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Contains(t, activitytest.Joined(verdict.Findings), "identity-suspect")
}

// TestProvisioningNoticesAnotherWriter: a record that somebody else changed between plan and write is decided again.
func TestProvisioningNoticesAnotherWriter(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.inStep()
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"title": "Lead"}}
	o.read()
	in, _ := o.run()
	o.patch("ana@acme.example", "title", "Somebody else's")
	made := o.Calls(func() {
		for _, result := range o.write(in, false) {
			require.Equal(t, access.Superseded, result.State)
		}
	})
	require.Zero(t, made["scim.users.patch"], "%v", made)
}

// TestProvisioningLeavesTheHoldOfAnother: a plan of one provision that waits for a decision is neither closed nor
// replaced by the run of another.
func TestProvisioningLeavesTheHoldOfAnother(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.staff["e2"] = identity{address: "bo@acme.example"}
	o.inStep()
	o.admit("", "mappings:", `  - name: second
    from: [hr]
    directory: {id: 11111111-2222-3333-4444-555555555555, key: "env:SECOND"}
    attributes: {userName: email, emails: email, displayName: name}
mappings:`)
	o.VerifyEverybody()
	o.staff["e1"] = identity{address: "ana.silva@acme.example"}
	o.read()
	_, verdict := o.run()
	require.NotNil(t, verdict.Hold)

	second := provisioning.RunInput{RunInput: o.NewRun(), Provision: "second"}
	require.NoError(t, o.Ledger.BeginRun(t.Context(), ledger.Run{Org: "acme", ID: second.Run, Started: o.Clock(),
		Scope: messages.ScopeProvision, Policy: o.Policy}))
	activitytest.Must[provisioning.JudgeResult](o.SimulatedOrg, o.Acts.Provisioning.JudgeRecords,
		provisioning.JudgeInput{RunInput: second})
	open, err := o.Ledger.CurrentHoldIn(t.Context(), "acme", ledger.LaneIdentity)
	require.NoError(t, err)
	require.Equal(t, verdict.Hold.Plan, open.Plan)
}

// TestProvisioningKeepsWhatOthersWrote: an attribute of which the policy says nothing survives, and the record of
// somebody who is missing is not written.
func TestProvisioningKeepsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.staff["e2"] = identity{address: "bo@acme.example"}
	o.inStep()
	o.patch("ana@acme.example", "nickName", "Annie")
	delete(o.staff, "e2") // missing, which proves nothing yet
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"title": "Lead"}}
	o.read()
	in, verdict := o.run()
	require.Equal(t, 1, verdict.Open)
	o.write(in, false)
	o.run()
	found, err := o.Ledger.FindRecords(t.Context(), "acme", o.Sim.Info().SCIMDirectoryID,
		ledger.RecordQuery{Addresses: []string{"ana@acme.example"}})
	require.NoError(t, err)
	require.Equal(t, "Annie", found[0].Values["nickName"])
	require.Equal(t, "Lead", found[0].Values["title"])
}

// TestReadRecordsWithARefusedKey: a key that the directory refuses is a plain problem that says what to do.
func TestReadRecordsWithARefusedKey(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.admit("", `key: "env:SCIM"}`, `key: "env:OTHER"}`) // the organization's key is none of the directory
	o.VerifyEverybody()
	in := provisioning.RunInput{RunInput: o.NewRun(), Provision: "staff"}
	_, err := activitytest.Call[provisioning.ReadResult](o.SimulatedOrg, o.Acts.Provisioning.ReadRecords,
		provisioning.ReadInput{RunInput: in, Started: o.Clock()})
	require.Error(t, err)
	app := activitytest.ApplicationError(t, err)
	require.Contains(t, []string{session.ErrKeyRefused, session.ErrForbidden}, app.Type())
	require.NotContains(t, err.Error(), o.Key)
}

// TestProvisioningNoticesASecondWriter: what another provider changed since Castellan wrote it is not written over by
// itself, and nothing else is provisioned meanwhile; what the source changed is no such thing.
func TestProvisioningNoticesASecondWriter(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"title": "Agent"}}
	o.staff["e2"] = identity{address: "bo@acme.example", more: map[string]any{"title": "Agent"}}
	o.inStep()
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"title": "Lead"}}
	o.inStep()

	o.patch("ana@acme.example", "title", "Boss")
	o.staff["e2"] = identity{address: "bo@acme.example", more: map[string]any{"title": "Lead"}}
	o.read()
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.NotNil(t, verdict.Hold)
	require.Contains(t, activitytest.Joined(verdict.Hold.Rules), "second-writer: somebody else changed 1 records")
	require.Contains(t, activitytest.Joined(verdict.Findings), "overwritten")
	require.Equal(t, "Boss", o.titleOf("ana@acme.example"))

	_, err := o.Ledger.DecideHoldIn(t.Context(), "acme", ledger.LaneIdentity, verdict.Hold.Plan, ledger.Approve, "bo", "",
		o.Clock())
	require.NoError(t, err)
	o.write(in, true)
	require.Equal(t, "Lead", o.titleOf("ana@acme.example"))
	_, verdict = o.run()
	require.Nil(t, verdict.Hold)
	require.Zero(t, verdict.Open)
}

// titleOf is the title in a record, as it was last read or written.
func (o *provisioned) titleOf(address string) string {
	o.T.Helper()
	found, err := o.Ledger.FindRecords(o.T.Context(), "acme", o.Sim.Info().SCIMDirectoryID,
		ledger.RecordQuery{Addresses: []string{address}})
	require.NoError(o.T, err)
	require.Len(o.T, found, 1)
	return found[0].Values["title"]
}
