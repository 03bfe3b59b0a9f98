// Package contract_test holds the product's requests, and the simulator's answers, against the vendor's own OpenAPI
// files.
package contract_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestContract needs the folder of the vendor's files in CASTELLAN_SPECS: organization.2026-08-21.json,
// user-provisioning.2023-08-08.json and user-management.2026-06-11.json.
func TestContract(t *testing.T) {
	folder := os.Getenv("CASTELLAN_SPECS")
	if folder == "" {
		t.Skip("CASTELLAN_SPECS is not set: say make contract SPECS=<folder of the vendor's OpenAPI files>")
	}
	check := newChecker(loadVendor(t, folder))
	t.Run("provisioning client", func(t *testing.T) { driveSCIM(newContractTest(t, check, nil)) })
	t.Run("organization client", func(t *testing.T) { driveOrganization(newContractTest(t, check, nil)) })
	t.Run("other provisioning operations", func(t *testing.T) { driveOtherSCIM(newContractTest(t, check, nil)) })
	t.Run("other organization operations", func(t *testing.T) { driveOtherOrganization(newContractTest(t, check, nil)) })
	t.Run("records", func(t *testing.T) { driveRecords(newContractTest(t, check, nil)) })
	t.Run("account operations", func(t *testing.T) { driveAccounts(newContractTest(t, check, nil)) })
	t.Run("a large organization", func(t *testing.T) { driveSweep(t, check) })
	t.Run("refusals", func(t *testing.T) { driveRefusals(t, check) })

	open := unjustified(deviations, check.violations)
	used := 0
	for _, d := range deviations {
		used += min(d.used, 1)
		if !t.Failed() { // what was not driven to its end cannot tell
			require.NotZero(t, d.used, "this deviation is not needed any more: %s, %s, %s", d.operation, d.side, d.text)
		}
	}
	fmt.Printf("contract: %d operations covered, %d requests and %d answers checked, %d deviations used, %d violations\n",
		len(check.covered), check.requests, check.answers, used, len(open))
	for _, line := range slices.Sorted(maps.Keys(open)) {
		t.Errorf("%s (%d times)", line, open[line])
	}
	t.Log("covered:\n  " + strings.Join(slices.Sorted(maps.Keys(check.covered)), "\n  "))
}
