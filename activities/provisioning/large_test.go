package provisioning_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/ledger"
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
