package identities_test

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// TestRecordsOfExternalPeopleAreNotWritten: not by a full run, not when they change in the source, and not when they
// leave; that is only said. Any write would unlink them.
func TestRecordsOfExternalPeopleAreNotWritten(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	const paul = "paul@partner.example"
	file := crew()
	file.People = append(file.People, paul)
	o := start(t, file)
	o.Change(moveTo(""), "e-"+paul) // as the record has it
	o.Export()
	o.provisioned(nil)
	o.provisionNow()
	before := o.records()[paul]
	require.NotEmpty(t, before.AccountID)
	require.Zero(t, before.Writes)

	o.Change(moveTo("Lab"), "e-"+paul, "e-p01")
	o.Export()
	o.inDepartment(o.Staff["e-p01"].Email, "Lab")
	o.notices(string(identity.FindExternal))
	require.Equal(t, before, o.records()[paul])

	o.Change(leaves, "e-"+paul, "e-p01")
	o.Export()
	o.personAt(o.Staff["e-p01"].Email, deactivated)
	o.notices(string(identity.FindUnmanaged))
	require.Equal(t, before, o.records()[paul])
}

// TestGoneFromAllSources: somebody stays as long as one source has them, which then says what they are; the source
// that comes first wins an attribute.
func TestGoneFromAllSources(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, crew())
	payroll := suite.NewFiles(t, "payroll", filepath.Join(o.Folder, "payroll"))
	for _, name := range []string{"p00", "p01"} {
		e := o.Staff["e-"+name]
		e.Department = "Payroll"
		payroll.Staff["n-"+name] = e
	}
	payroll.Export()
	o.provisioned(map[string]any{"sources": []any{o.Source(), payroll.Source()},
		"provision": o.provision("hr", "payroll")})
	first, both, only := o.Staff["e-p00"].Email, o.Staff["e-p01"].Email, o.Staff["e-p02"].Email
	o.inDepartment(both, "Works")
	o.provisionNow()

	for _, key := range []string{"e-p01", "e-p02"} {
		delete(o.Staff, key)
	}
	o.Export()
	o.personAt(only, deactivated)
	o.inDepartment(both, "Payroll")
	require.False(t, o.personAt(both, anybody).Inactive)

	delete(payroll.Staff, "n-p01")
	payroll.Export()
	o.personAt(both, deactivated)
	require.False(t, o.personAt(first, anybody).Inactive)
	o.inDepartment(first, "Works")
}

// TestRecordAddressChangesByConsent: a new address waits for somebody's word and keeps nothing else waiting; with it
// the record has the address, and is the same account's still. What came up meanwhile is asked for next.
func TestRecordAddressChangesByConsent(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, crew())
	o.Groups["engineers"] = []string{"e-p00"}
	o.Export()
	o.provisioned(nil)
	o.become(tools, "p00")
	before := o.records()[o.Staff["e-p00"].Email]

	const moved = "p.moved@example.com"
	o.Change(func(e *suite.Employee) { e.Email = moved }, "e-p00")
	o.Change(moveTo("Lab"), "e-p01")
	o.Export()
	hold := o.heldRecords()
	require.Len(t, hold.Rules, 1)
	require.Contains(t, hold.Rules[0], identity.HoldEmailChange)
	require.Equal(t, 1, hold.Updates)
	o.inDepartment(o.Staff["e-p01"].Email, "Lab")
	require.Equal(t, before, o.records()[before.Email])

	const later = "later@example.com"
	o.Change(func(e *suite.Employee) { e.Email = later }, "e-p02")
	o.Change(moveTo("Office"), "e-p01")
	o.Export()
	o.inDepartment(o.Staff["e-p01"].Email, "Office")
	require.Equal(t, hold.Plan, o.heldRecords().Plan, "what is looked at can be approved")

	o.approveRecords()
	after := o.personAt(moved, anybody)
	next := o.until(func(s messages.OrgSyncState) bool {
		return s.IdentityHold != nil && s.IdentityHold.Plan != hold.Plan
	}).IdentityHold
	require.Equal(t, 1, next.Updates)
	o.approveRecords()
	o.personAt(later, linked)
	o.until(func(s messages.OrgSyncState) bool { return s.IdentityHold == nil && provisionedAll(s) })
	require.Equal(t, before.AccountID, after.AccountID)
	require.Equal(t, before.ID, after.SCIMUserID)
	record := o.records()[moved]
	require.Equal(t, before.ID, record.ID)
	require.Equal(t, moved, record.UserName)
	require.Equal(t, []string{after.Name}, o.members(tools))
}

// TestReturnerWithOtherGroups: whoever comes back to another department has its groups, not those of before, and can
// use its app, though Atlassian opens nothing to people who are reactivated. It is told of those whose groups are not
// Castellan's: they can use nothing.
func TestReturnerWithOtherGroups(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	const jira, confluence = "jira-users-acme", "confluence-users-acme"
	o := start(t, crew())
	suite.Set(t, o.Stack, map[string]any{"stuckReactivations": true})
	o.Groups["engineers"], o.Groups["sellers"] = []string{"e-p00", "e-p01"}, []string{"e-p03"}
	o.Export()
	o.provisioned(map[string]any{"mappings": append(slices.Clone(engineers),
		map[string]any{"name": "sellers", "from": []string{"hr:sellers"}, "to": []string{"default:jira/acme/user"}})})
	o.become(tools, "p00", "p01")
	o.become(jira, "p03")
	moved, byHand := o.Staff["e-p00"].Email, o.Staff["e-p02"].Email
	require.NoError(t, o.Simulator.Invite(t.Context(), confluence, "p02"))

	o.Change(leaves, "e-p00", "e-p02")
	o.Export()
	o.personAt(moved, deactivated)
	o.personAt(byHand, deactivated)
	o.become(tools, "p01")

	o.Change(returns, "e-p00", "e-p02")
	o.Groups["engineers"], o.Groups["sellers"] = []string{"e-p01"}, []string{"e-p00", "e-p03"}
	o.Export()
	o.become(jira, "p00", "p03")
	o.personAt(moved, func(p cloud.StatePerson) bool { return !p.Inactive && !p.Stuck })
	o.become(tools, "p01")
	o.notices("no-access " + byHand)
	require.True(t, o.personAt(byHand, activated).Stuck)
}

// TestReturnerHasTheSameRecord: somebody who was disabled and comes back has the record and the account of before, and
// the groups that the source says now.
func TestReturnerHasTheSameRecord(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, crew())
	o.Groups["engineers"] = []string{"e-p00", "e-p01"}
	o.Export()
	o.provisioned(nil)
	o.become(tools, "p00", "p01")
	address := o.Staff["e-p00"].Email
	before := slices.Sorted(maps.Keys(o.records()))
	record := o.records()[address]

	o.Change(leaves, "e-p00")
	o.Export()
	o.personAt(address, deactivated)
	o.become(tools, "p01")
	require.False(t, o.records()[address].Active)

	o.Change(returns, "e-p00")
	o.Export()
	after := o.personAt(address, activated)
	require.Equal(t, record.AccountID, after.AccountID)
	require.Equal(t, record.ID, o.records()[address].ID)
	require.True(t, o.records()[address].Active)
	require.Equal(t, before, slices.Sorted(maps.Keys(o.records())))
	o.become(tools, "p00", "p01")
}
