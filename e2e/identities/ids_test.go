package identities_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// recordForm is the form of the ids of records; those of accounts have others.
var recordForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// TestIDsOfAccountsAndRecordsAreNeverSwapped: through linking, hiring, leaving and memberships, no call carries the id
// of one where the other belongs, and both are shown for what they are.
func TestIDsOfAccountsAndRecordsAreNeverSwapped(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	file := crew()
	file.Invited = []string{"p00"}
	o := start(t, file)
	o.Staff["e-new"] = hire("new")
	o.Groups["engineers"] = []string{"e-p00", "e-p01", "e-new"}
	o.Export()
	o.provisioned(nil)
	o.become(tools, "new", "p00", "p01")

	o.Change(leaves, "e-p01")
	o.Change(moveTo("Lab"), "e-p02", "e-new")
	o.Export()
	o.personAt(o.Staff["e-p01"].Email, deactivated)
	o.inDepartment(o.Staff["e-new"].Email, "Lab")
	o.become(tools, "new", "p00")
	o.provisionNow()

	stats := o.stats()
	require.Empty(t, stats.Misplaced)
	require.Zero(t, stats.Statuses["400"])
	require.Zero(t, stats.ByOperation["scim.users.get"]["404"])
	for _, operation := range []string{"scim.users.create", "scim.users.patch", "scim.users.get", "memberships.add",
		"memberships.remove"} {
		require.NotZero(t, stats.Operations[operation], operation)
	}
	o.requireShown(o.records())
}

// requireShown checks what starter shows of everybody's account and record, in both ways.
func (o *testOrg) requireShown(records map[string]cloud.SCIMRecord) {
	o.t.Helper()
	var list messages.ReportAnswer
	o.ask(&list, "identities", org)
	require.Len(o.t, list.People, len(o.Staff))
	for _, p := range list.People {
		truth := records[p.Address]
		require.Regexp(o.t, recordForm, truth.ID)
		require.NotRegexp(o.t, recordForm, truth.AccountID)
		require.Equal(o.t, truth.ID, p.Record, p.Identity)
		require.Equal(o.t, truth.AccountID, p.Account, p.Identity)

		var one messages.ReportAnswer
		o.ask(&one, "explain", org, p.Identity)
		identities, provisioned := one.Explain.Identities, one.Explain.Records
		require.Len(o.t, identities, 1, p.Identity)
		require.Len(o.t, provisioned, 1, p.Identity)
		require.Equal(o.t, truth.AccountID, one.Explain.Person.ID)
		require.Equal(o.t, truth.AccountID, identities[0].Account)
		require.Equal(o.t, truth.AccountID, provisioned[0].Account)
		require.Equal(o.t, truth.ID, provisioned[0].Record)
		require.Equal(o.t, "binding", provisioned[0].Found)
		require.False(o.t, provisioned[0].Bound.IsZero())
	}
}

// ask has starter answer a question.
func (o *testOrg) ask(answer any, command ...string) {
	o.t.Helper()
	out, err := o.Starter(o.t.Context(), append([]string{"--json"}, command...)...)
	require.NoError(o.t, err)
	require.NoError(o.t, json.Unmarshal([]byte(out), answer))
}
