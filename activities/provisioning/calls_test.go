package provisioning_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
)

// verify reads back what a run wrote.
func (o *provisioned) verify(in provisioning.RunInput) provisioning.VerifyResult {
	o.T.Helper()
	return activitytest.Must[provisioning.VerifyResult](o.SimulatedOrg, o.Acts.Provisioning.VerifyRecords, in)
}

// hire adds so many people to the source.
func (o *provisioned) hire(people int) {
	for n := range people {
		key := fmt.Sprintf("e%03d", n)
		o.staff[key] = identity{address: key + "@acme.example"}
	}
}

// TestProvisioningOfManyCountsCalls: many records cost one call each, and pages to read before and to read back. What
// somebody else changed meanwhile is no success, and what is read back once is not asked for again.
func TestProvisioningOfManyCountsCalls(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	const people = 150
	o.hire(people)
	o.read()
	var in provisioning.RunInput
	made := o.Calls(func() {
		in, _ = o.run()
		for label, result := range o.write(in, false) { // the first hundred, as the test's harness writes them
			require.Equal(t, access.Done, result.State, label)
		}
		o.write(in, false)
	})
	require.Equal(t, people, made["scim.users.create"])
	require.Equal(t, 1, made["scim.users.list"]+made["scim.users.get"], "%v", made)

	o.patch("e007@acme.example", "displayName", "Somebody else's")
	var seen provisioning.VerifyResult
	made = o.Calls(func() { seen = o.verify(in) })
	require.Equal(t, provisioning.VerifyResult{Verified: people - 1, Unverified: 1, Calls: seen.Calls}, seen)
	require.LessOrEqual(t, made["scim.users.list"], 2, "%v", made)
	require.Zero(t, made["scim.users.get"])
	require.Len(t, o.states(), people)
	for key, state := range o.states() {
		require.Equal(t, "linked", state, key)
	}

	made = o.Calls(func() { seen = o.verify(in) })
	require.Equal(t, people-1, seen.Verified)
	require.Equal(t, 1, made["scim.users.list"]+made["scim.users.get"], "only the one that differs: %v", made)
}

// TestProvisioningMeetsANameThatIsTaken: a record that another provider made after the directory was read refuses the
// creation. It is found then, nothing of it is overwritten, and the next run takes it for the person's.
func TestProvisioningMeetsANameThatIsTaken(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "new@acme.example"}
	o.read()
	in, verdict := o.run()
	require.Equal(t, 1, verdict.Open)
	o.Send(http.MethodPost, "/scim/directory/"+o.Sim.Info().SCIMDirectoryID+"/Users", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "new@acme.example",
		"emails": []any{map[string]any{"value": "new@acme.example", "primary": true}}, "displayName": "e1",
		"nickName": "Newt", "active": true,
	})
	made := o.Calls(func() {
		for label, result := range o.write(in, false) {
			require.Equal(t, access.Superseded, result.State, "%s: %s", label, result.Answer)
		}
	})
	require.Equal(t, 1, made["scim.users.create"], "%v", made)
	require.Zero(t, made["scim.users.patch"])
	in, verdict = o.run()
	require.Zero(t, verdict.Open)
	require.Equal(t, map[string]string{"e1": "linked"}, o.states())
	o.staff["e1"] = identity{address: "new@acme.example", more: map[string]any{"title": "Lead"}}
	o.read()
	in, _ = o.run()
	o.write(in, false)
	records, err := o.Ledger.Records(t.Context(), activitytest.Org, o.Sim.Info().SCIMDirectoryID, "", 0)
	require.NoError(t, err)
	for _, r := range records {
		if r.Address == "new@acme.example" {
			require.Equal(t, "Newt", r.Values["nickName"])
			require.Equal(t, "Lead", r.Values["title"])
		}
	}
}

// TestExamineOfManyNewAccounts: accounts that were provisioned and never read are asked for by their records'
// addresses, a hundred in a call.
func TestExamineOfManyNewAccounts(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.hire(60)
	o.inStep()
	var accounts []string
	for key := range o.staff {
		accounts = append(accounts, o.record(key+"@acme.example").AccountID)
	}
	made := o.Calls(func() {
		o.Examine(o.NewRun(), "", accounts...)
	})
	require.LessOrEqual(t, made["users.search"], 2, "%v", made)
}
