package identities_test

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/messages"
)

// TestRecordsOfExternalPeopleAreNotWritten: not by a full run, not when they change in the source, and not when they
// leave; that is only said. Any write would unlink them.
func TestRecordsOfExternalPeopleAreNotWritten(t *testing.T) {
	t.Parallel()
	const paul = "paul@partner.example"
	file := crew()
	file.People = append(file.People, paul)
	o := start(t, file)
	o.change(moveTo(""), "e-"+paul) // as the record has it
	o.export()
	o.provisioned(nil)
	o.provisionNow()
	before := o.records()[paul]
	require.NotEmpty(t, before.AccountID)
	require.Zero(t, before.Writes)

	o.change(moveTo("Lab"), "e-"+paul, "e-p01")
	o.export()
	o.inDepartment(o.staff["e-p01"].email, "Lab")
	o.notices(string(identity.FindExternal))
	require.Equal(t, before, o.records()[paul])

	o.change(leaves, "e-"+paul, "e-p01")
	o.export()
	o.personAt(o.staff["e-p01"].email, deactivated)
	o.notices(string(identity.FindUnmanaged))
	require.Equal(t, before, o.records()[paul])
}

// TestGoneFromAllSources: somebody stays as long as one source has them, which then says what they are; the source
// that comes first wins an attribute.
func TestGoneFromAllSources(t *testing.T) {
	t.Parallel()
	o := start(t, crew())
	payroll := newFiles(t, "payroll", filepath.Join(o.folder, "payroll"))
	for _, name := range []string{"p00", "p01"} {
		e := o.staff["e-"+name]
		e.department = "Payroll"
		payroll.staff["n-"+name] = e
	}
	payroll.export()
	o.provisioned(map[string]any{"sources": []any{o.source(), payroll.source()},
		"provision": o.provision("hr", "payroll")})
	first, both, only := o.staff["e-p00"].email, o.staff["e-p01"].email, o.staff["e-p02"].email
	o.inDepartment(both, "Works")
	o.provisionNow()

	for _, key := range []string{"e-p01", "e-p02"} {
		delete(o.staff, key)
	}
	o.export()
	o.personAt(only, deactivated)
	o.inDepartment(both, "Payroll")
	require.False(t, o.personAt(both, anybody).Inactive)

	delete(payroll.staff, "n-p01")
	payroll.export()
	o.personAt(both, deactivated)
	require.False(t, o.personAt(first, anybody).Inactive)
	o.inDepartment(first, "Works")
}

// TestAnAddressChangesByConsent: a new address waits for somebody's word and keeps nothing else waiting; with it the
// record has the address, and is the same account's still. What came up meanwhile is asked for next.
func TestAnAddressChangesByConsent(t *testing.T) {
	t.Parallel()
	o := start(t, crew())
	o.groups["engineers"] = []string{"e-p00"}
	o.export()
	o.provisioned(nil)
	o.become(tools, "p00")
	before := o.records()[o.staff["e-p00"].email]

	const moved = "p.moved@example.com"
	o.change(func(e *employee) { e.email = moved }, "e-p00")
	o.change(moveTo("Lab"), "e-p01")
	o.export()
	hold := o.heldRecords()
	require.Len(t, hold.Rules, 1)
	require.Contains(t, hold.Rules[0], identity.HoldEmailChange)
	require.Equal(t, 1, hold.Updates)
	o.inDepartment(o.staff["e-p01"].email, "Lab")
	require.Equal(t, before, o.records()[before.Email])

	const later = "later@example.com"
	o.change(func(e *employee) { e.email = later }, "e-p02")
	o.change(moveTo("Office"), "e-p01")
	o.export()
	o.inDepartment(o.staff["e-p01"].email, "Office")
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

// TestAReturnerHasTheSameRecord: somebody who was disabled and comes back has the record and the account of before, and
// the groups that the source says now.
func TestAReturnerHasTheSameRecord(t *testing.T) {
	t.Parallel()
	o := start(t, crew())
	o.groups["engineers"] = []string{"e-p00", "e-p01"}
	o.export()
	o.provisioned(nil)
	o.become(tools, "p00", "p01")
	address := o.staff["e-p00"].email
	before := slices.Sorted(maps.Keys(o.records()))
	record := o.records()[address]

	o.change(leaves, "e-p00")
	o.export()
	o.personAt(address, deactivated)
	o.become(tools, "p01")
	require.False(t, o.records()[address].Active)

	o.change(returns, "e-p00")
	o.export()
	after := o.personAt(address, activated)
	require.Equal(t, record.AccountID, after.AccountID)
	require.Equal(t, record.ID, o.records()[address].ID)
	require.True(t, o.records()[address].Active)
	require.Equal(t, before, slices.Sorted(maps.Keys(o.records())))
	o.become(tools, "p00", "p01")
}
