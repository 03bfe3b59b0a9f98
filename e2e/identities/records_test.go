package identities_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// crew is a small organization with SCIM: everybody has a record.
func crew() cloud.OrgFile {
	return cloud.OrgFile{People: []string{"boss", "p00", "p01", "p02", "p03", "p04", "p05", "p06"}, Admins: []string{"boss"},
		Local: []cloud.OrgGroup{{Name: tools}}}
}

// provision makes the people of files, or of these sources, records of the simulated SCIM directory.
func (o *testOrg) provision(from ...string) []any {
	if from == nil {
		from = []string{"hr"}
	}
	return []any{map[string]any{
		"name": "staff", "from": from,
		"directory": map[string]any{"id": o.Simulator.SCIMDirectoryID, "key": "env:" + stack.SCIMKeyVariable},
		"attributes": map[string]any{"userName": "email", "emails": "email", "displayName": "name",
			"department": "department"},
	}}
}

// provisioned applies a policy that provisions the people of the files without being asked, and more, and waits until
// everybody has the record that they should have. All of them change by that, so that all of them are bound.
func (o *testOrg) provisioned(more map[string]any) messages.OrgSyncState {
	o.t.Helper()
	all := map[string]any{"provision": o.provision(), "guard": map[string]any{"settle": "0s", "adopt": "auto"}}
	maps.Copy(all, more)
	_, err := o.Apply(o.t.Context(), org, o.policy(engineers, all))
	require.NoError(o.t, err)
	return o.until(provisionedAll)
}

// provisionedAll reports whether nothing runs, and no provision is due.
func provisionedAll(s messages.OrgSyncState) bool {
	waits := func(p messages.ProvisionStatus) bool { return p.Problem != nil || p.Done.IsZero() }
	return stack.Idle(s) && s.Adopted && len(s.Pending.Provisions) == 0 && len(s.Provisions) > 0 &&
		!slices.ContainsFunc(s.Provisions, waits)
}

// personAt waits until somebody with an address is as wanted, and returns them.
func (o *testOrg) personAt(address string, want func(cloud.StatePerson) bool) cloud.StatePerson {
	o.t.Helper()
	return suite.PersonAt(o.t, o.Stack, address, want)
}

func anybody(cloud.StatePerson) bool       { return true }
func linked(p cloud.StatePerson) bool      { return p.SCIMUserID != "" }
func deactivated(p cloud.StatePerson) bool { return p.Inactive }
func activated(p cloud.StatePerson) bool   { return !p.Inactive }

func leaves(e *suite.Employee)  { e.Disabled = true }
func returns(e *suite.Employee) { e.Disabled = false }

func moveTo(department string) func(*suite.Employee) {
	return func(e *suite.Employee) { e.Department = department }
}

// records returns the records of the SCIM directory, by their addresses.
func (o *testOrg) records() map[string]cloud.SCIMRecord {
	o.t.Helper()
	d, err := o.Simulator.Directory(o.t.Context())
	require.NoError(o.t, err)
	all := map[string]cloud.SCIMRecord{}
	for _, r := range d.Records {
		require.NotContains(o.t, all, r.Email, "two records have the address")
		all[r.Email] = r
	}
	return all
}

// user is a record as the SCIM API shows it.
func (o *testOrg) user(record string) scim.User {
	o.t.Helper()
	client, err := o.Simulator.SCIM()
	require.NoError(o.t, err)
	user, err := client.User(o.t.Context(), record)
	require.NoError(o.t, err)
	return user
}

// inDepartment waits until the record of an address shows a department.
func (o *testOrg) inDepartment(address, department string) {
	o.t.Helper()
	o.eventually(func() error {
		if is := o.user(o.records()[address].ID).Department; is != department {
			return fmt.Errorf("the record of %s has the department %q, not %q", address, is, department)
		}
		return nil
	})
}

// notices waits until the provision has a finding.
func (o *testOrg) notices(finding string) {
	o.t.Helper()
	o.until(func(s messages.OrgSyncState) bool {
		return len(s.Provisions) > 0 && slices.ContainsFunc(s.Provisions[0].Findings,
			func(f string) bool { return strings.Contains(f, finding) })
	})
}

// heldRecords waits until something of records is held.
func (o *testOrg) heldRecords() *messages.Hold {
	o.t.Helper()
	return o.until(func(s messages.OrgSyncState) bool { return s.IdentityHold != nil }).IdentityHold
}

// approveRecords approves what is held of records, once something is.
func (o *testOrg) approveRecords() {
	o.t.Helper()
	require.NoError(o.t, o.Decide(o.t.Context(), org, messages.ApprovePlan, o.heldRecords().Plan))
}

// provisionNow has everybody verified and provisioned anew, and waits until that is over.
func (o *testOrg) provisionNow() {
	o.t.Helper()
	before, err := o.Status(o.t.Context(), org)
	require.NoError(o.t, err)
	var answer messages.Answer
	require.NoError(o.t, o.Update(o.t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"}, &answer))
	o.until(func(s messages.OrgSyncState) bool {
		return provisionedAll(s) && s.LastFull.Run > before.LastID && s.Provisions[0].Run > s.LastFull.Run
	})
}
