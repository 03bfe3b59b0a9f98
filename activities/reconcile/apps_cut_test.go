package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// cutApps has searches for people show none of the apps that they have access to.
var cutApps = cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedApps,
	Params: cloud.FaultParams{Share: 1}}

func TestSweepGivesNothingThatHangsOnAListOfAppsCutShort(t *testing.T) {
	t.Parallel()
	for name, condition := range map[string]string{
		"the list":                   `!("jira-software" in apps)`,
		"any of the list":            `!apps.exists(a, a.startsWith("jira"))`,
		"inactive in the app":        `!inactive("30d", "jira")`,
		"inactive in it on its site": `!inactive("30d", "jira/acme")`,
		"inactive":                   `inactive("400d")`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := activitytest.NewOf(t, activitytest.Company)
			w.ByHand("POST", "jira-users-acme", "dan")
			w.Used("jira-software", w.Clock().Add(-100*activitytest.Day), "dan")
			w.Take(activitytest.Consenting +
				activitytest.RulesOf(`{name: vault, mode: enforce, when: 'email == "dan@acme.example" && `+condition+
					`', give: ["group:finance-space"]}`))
			if name == "inactive" {
				w.Pass(500 * activitytest.Day)
				w.Used("jira-software", w.Clock(), "dan")
			}
			w.Inject(cutApps)
			w.Verify()
			require.Empty(t, w.Members("finance-space"))
			require.Contains(t, fmt.Sprint(w.Findings()), "absence-doubted")
			w.Sim.ClearFaults("")
			w.Verify()
			require.Empty(t, w.Members("finance-space"), "nor does a whole list give it")
			if name == "inactive" {
				return
			}
			w.ByHand("DELETE", "jira-users-acme", "dan")
			w.Verify()
			require.Equal(t, "dan", w.Members("finance-space"), "what all searches agree on is done")
		})
	}
}

func TestSweepRestoresAndSuspendsNobodyOnAListOfAppsCutShort(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Company)
	w.ByHand("POST", "jira-users-acme", "dan", "fay")
	w.Take(activitytest.Consenting + activitytest.RulesOf(
		`{name: away, owner: ana@acme.example, mode: enforce, when: 'title == "Engineer"', suspend: true}`,
		`{name: back, mode: enforce, when: 'title == "Manager" && !("jira-software" in apps)', restore: true}`,
		`{name: useless, owner: ana@acme.example, mode: enforce, when: 'title == "Controller" && !("jira-software" in apps)', suspend: true, after: 1d}`,
	))
	w.Verify()
	require.Equal(t, "dan", w.Suspended())
	w.Set("dan", map[string]any{"title": "Manager"})
	w.Inject(cutApps)
	w.Verify()
	w.Pass(2 * activitytest.Day)
	w.Verify()
	require.Equal(t, "dan", w.Suspended())
	w.Sim.ClearFaults("")
	w.ByHand("DELETE", "jira-users-acme", "dan", "fay")
	w.Verify()
	w.Pass(2 * activitytest.Day)
	w.Verify()
	require.Equal(t, "fay", w.Suspended(), "what all searches agree on is done")
}

// A role of an app stays on the books where one of the reads lacks it: of the sites, or of the person's roles.
func TestCloseEndedKeepsAppRolesThatOneReadHides(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]cloud.Fault{
		"of the sites": {Operations: []string{"workspaces"}, Kind: cloud.FaultTruncatedPage,
			Params: cloud.FaultParams{Share: 0.5}},
		"of the roles": {Operations: []string{"users.role-assignments"}, Kind: cloud.FaultEmptyPage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := lent(t, activitytest.Lendable, activitytest.Jira)
			for fault.Seed = range 12 {
				w.Pass(10 * time.Minute)
				w.Inject(fault)
				w.Verified()
				require.NotNil(t, w.Held("ivo", activitytest.Jira), "seed %d", fault.Seed)
				w.Sim.ClearFaults("")
			}
		})
	}
}
