package identities_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// TestProvisionGivesPeopleOfFilesRecords: the first plan waits for consent; then who logged in before is linked to that
// very account, who is hired gets a record and an account, and who leaves is deactivated.
func TestProvisionGivesPeopleOfFilesRecords(t *testing.T) {
	t.Parallel()
	file := shop()
	file.Invited = append(file.Invited, "p00", "p01", "p02")
	o := start(t, file)
	for key := range o.Staff {
		if !slices.Contains([]string{"e-p00", "e-p01", "e-p02"}, key) {
			delete(o.Staff, key)
		}
	}
	o.Groups["engineers"] = []string{"e-p00"}
	o.Export()
	before := o.personAt(o.Staff["e-p00"].Email, anybody)
	require.Empty(t, before.SCIMUserID)

	_, err := o.Apply(t.Context(), org, o.policy(engineers, map[string]any{"provision": o.provision(),
		"guard": map[string]any{"settle": "0s", "adopt": "ask"}}))
	require.NoError(t, err)
	o.approveRecords()
	after := o.personAt(before.Email, linked)
	require.Equal(t, before.AccountID, after.AccountID)
	state, err := o.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	require.NotEmpty(t, state.Provisions)

	o.Staff["e-new"] = suite.Employee{Email: "new@" + domainOf(before.Email), Department: "Works"}
	o.Export()
	o.personAt(o.Staff["e-new"].Email, linked)
	o.until(func(s messages.OrgSyncState) bool {
		return slices.Contains(s.Provisions[0].States, messages.StateCount{State: "linked", Count: 4})
	})

	o.Change(leaves, "e-p01")
	o.Export()
	o.personAt(o.Staff["e-p01"].Email, deactivated)
}

func domainOf(address string) string { return address[slices.Index([]byte(address), '@')+1:] }

// hire is an employee at the organization's domain.
func hire(name string) suite.Employee {
	return suite.Employee{Email: name + "@example.com", Name: name, Department: "Works"}
}

// groupsOf are the names of the groups that an account is in.
func groupsOf(state cloud.State, account string) (names []string) {
	for _, g := range state.Groups {
		if slices.Contains(g.Members, account) {
			names = append(names, g.Name)
		}
	}
	return names
}

// TestLinkingKeepsEverything: an account that a login made is the same after it was linked, with its groups, its role
// and what it has written; and a second look writes nothing.
func TestLinkingKeepsEverything(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	file := crew()
	file.Local = append(file.Local, cloud.OrgGroup{Name: "club"})
	o := start(t, file)
	jit := hire("jit")
	require.NoError(t, o.Simulator.Login(t.Context(), jit.Email, jit.Name, "jira", "acme"))
	require.NoError(t, o.Simulator.Invite(t.Context(), "club", jit.Email))
	require.NoError(t, o.Simulator.Person(t.Context(), jit.Email, map[string]any{"orgAdmin": true}))
	require.NoError(t, o.Simulator.Content(t.Context(), jit.Email, "page 1", "issue 2"))
	before := o.personAt(jit.Email, anybody)
	groups := groupsOf(o.state(), before.AccountID)
	require.Subset(t, groups, []string{"club", "jira-users-acme"})
	require.True(t, before.OrgAdmin)
	require.Len(t, before.Content, 2)
	require.Empty(t, before.SCIMUserID)

	o.Staff["e-jit"] = jit
	o.Export()
	o.provisioned(nil)
	after := o.personAt(jit.Email, linked)
	before.SCIMUserID = o.records()[jit.Email].ID
	require.Equal(t, before, after)
	require.Equal(t, groups, groupsOf(o.state(), after.AccountID))

	require.NoError(t, o.Simulator.ResetStats(t.Context()))
	o.provisionNow()
	stats := o.stats()
	require.NotZero(t, stats.Operations["scim.users.list"], "it was looked at")
	require.Zero(t, stats.Writes, stats.Operations)
}
