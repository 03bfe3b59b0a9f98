package identities_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// provision makes the people of the files records of the simulated SCIM directory.
func (o *testOrg) provision() []any {
	return []any{map[string]any{
		"name": "staff", "from": []string{"hr"},
		"directory":  map[string]any{"id": o.Simulator.SCIMDirectoryID, "key": "env:" + stack.SCIMKeyVariable},
		"attributes": map[string]any{"userName": "email", "emails": "email", "department": "department"},
	}}
}

// accountOf waits until somebody with an address is as wanted, and returns them.
func (o *testOrg) personAt(address string, want func(cloud.StatePerson) bool) (found cloud.StatePerson) {
	o.t.Helper()
	require.NoError(o.t, stack.Eventually(o.t.Context(), patience, func() error {
		people := o.state().People
		i := slices.IndexFunc(people, func(p cloud.StatePerson) bool { return p.Email == address })
		if i < 0 {
			return fmt.Errorf("nobody has %s", address)
		}
		if found = people[i]; !want(found) {
			return fmt.Errorf("%s is not so yet: %+v", address, found)
		}
		return nil
	}))
	return found
}

// approveRecords approves what is held of records, once something is.
func (o *testOrg) approveRecords() {
	o.t.Helper()
	state := o.until(func(s messages.OrgSyncState) bool { return s.IdentityHold != nil })
	require.NoError(o.t, o.Decide(o.t.Context(), org, messages.ApprovePlan, state.IdentityHold.Plan))
}

// TestPeopleOfFilesGetRecords: the first plan waits for consent; then who logged in before is linked to that very
// account, who is hired gets a record and an account, and who leaves is deactivated.
func TestPeopleOfFilesGetRecords(t *testing.T) {
	t.Parallel()
	file := shop()
	file.Invited = append(file.Invited, "p00", "p01", "p02")
	o := start(t, file)
	for key := range o.staff {
		if !slices.Contains([]string{"e-p00", "e-p01", "e-p02"}, key) {
			delete(o.staff, key)
		}
	}
	o.groups["engineers"] = []string{"e-p00"}
	o.export()
	before := o.personAt(o.staff["e-p00"].email, func(cloud.StatePerson) bool { return true })
	require.Empty(t, before.SCIMUserID)

	_, err := o.Apply(t.Context(), org, o.policy(engineers, map[string]any{"provision": o.provision(),
		"guard": map[string]any{"settle": "0s", "adopt": "ask"}}))
	require.NoError(t, err)
	o.approveRecords()
	linked := func(p cloud.StatePerson) bool { return p.SCIMUserID != "" }
	after := o.personAt(before.Email, linked)
	require.Equal(t, before.AccountID, after.AccountID)
	state, err := o.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	require.NotEmpty(t, state.Provisions)

	o.staff["e-new"] = employee{email: "new@" + domainOf(before.Email), department: "Works"}
	o.export()
	o.personAt(o.staff["e-new"].email, linked)
	o.until(func(s messages.OrgSyncState) bool {
		return slices.Contains(s.Provisions[0].States, messages.StateCount{State: "linked", Count: 4})
	})

	left := o.staff["e-p01"]
	left.disabled = true
	o.staff["e-p01"] = left
	o.export()
	o.personAt(left.email, func(p cloud.StatePerson) bool { return p.Inactive })
}

func domainOf(address string) string { return address[slices.Index([]byte(address), '@')+1:] }
