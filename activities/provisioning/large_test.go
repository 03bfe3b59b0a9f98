package provisioning_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// TestProvisioningOfTenThousand: a run over 10,000 people in step reads each page of the directory once and writes
// nothing.
func TestProvisioningOfTenThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 people: make test-large")
	}
	o := start(t, "")
	o.inStep()
	const people = 10_000
	var records []ledger.Record
	var bindings []ledger.Binding
	for n := range people {
		key := fmt.Sprintf("e%05d", n)
		address := key + "@acme.example"
		o.staff[key] = identity{address: address}
		records = append(records, ledger.Record{ID: "r-" + key, Account: "a-" + key, Active: true, Address: address,
			Values: map[string]string{"userName": address, "emails": address, "displayName": key}})
		bindings = append(bindings, ledger.Binding{Source: "hr", Key: key, Record: "r-" + key, Account: "a-" + key})
	}
	o.read()
	require.NoError(t, o.Ledger.SaveRecords(t.Context(), "acme", o.Sim.Info().SCIMDirectoryID, 0, records, o.Clock()))
	require.NoError(t, o.Ledger.BindRecords(t.Context(), "acme", "staff", bindings, o.Clock()))
	in := provisioning.RunInput{RunInput: o.NewRun(), Provision: "staff"}
	met, after := 0, ""
	for block := 0; block == 0 || after != ""; block++ {
		result := activitytest.Must[provisioning.DecideResult](o.SimulatedOrg, o.Acts.Provisioning.DecideRecords,
			provisioning.DecideInput{RunInput: in, After: after, Block: block})
		met += result.People
		after = result.Next
	}
	require.Equal(t, people, met)
	lines, err := o.Ledger.Lines(t.Context(), "acme", in.Run, ledger.Filter{})
	require.NoError(t, err)
	require.Empty(t, lines)
}

// TestSyncedGroupsOfFiftyThousandMemberships: 200 groups with 250 members each are made by at most 750 writes, read and
// read back in few calls, and a second look writes nothing.
func TestSyncedGroupsOfFiftyThousandMemberships(t *testing.T) {
	if testing.Short() {
		t.Skip("50,000 memberships: make test-large")
	}
	const people, groups, members = 1000, 200, 250
	file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss"}, Admins: []string{"boss"},
		Local: []cloud.OrgGroup{{Name: "builders"}}}
	var keys []string
	for n := range people {
		keys = append(keys, fmt.Sprintf("e%03d", n))
	}
	file.People = append(file.People, keys...) // all have records
	o := startOf(t, file, syncsAll)
	o.admit(syncsAll, "displayName: name, ", "")
	o.VerifyEverybody()
	o.hire(people)
	o.inStep()
	for n := range groups {
		name := fmt.Sprintf("g%03d team-%03d", n, n)
		for i := range members {
			o.groups[name] = append(o.groups[name], keys[(n*7+i)%people])
		}
	}
	o.read()
	var in provisioning.RunInput
	began := time.Now()
	made := o.Calls(func() {
		in, _ = o.run()
		o.writeGroups(in, false)
	})
	t.Logf("first run: %d writes, %d other calls, %s: %v", writes(made), total(made)-writes(made), time.Since(began), made)
	require.LessOrEqual(t, writes(made), 750)
	require.LessOrEqual(t, total(made)-writes(made), 400)
	var seen provisioning.VerifyResult
	made = o.Calls(func() { seen = o.verify(in) })
	t.Logf("read back: %d calls: %v", total(made), made)
	require.Equal(t, []any{groups * (members + 1), 0}, []any{seen.Verified, seen.Unverified})
	began = time.Now()
	made = o.Calls(func() {
		_, verdict := o.run()
		require.Zero(t, verdict.Open)
		require.Nil(t, verdict.Hold)
	})
	t.Logf("nothing to change: %d writes, %d other calls, %s", writes(made), total(made)-writes(made), time.Since(began))
	require.Zero(t, writes(made))
}

func total(made map[string]int) (n int) {
	for _, calls := range made {
		n += calls
	}
	return n
}
