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
			o := activitytest.NewOf(t, activitytest.Company)
			o.ByHand("POST", "jira-users-acme", "dan")
			o.Used("jira-software", o.Clock().Add(-100*activitytest.Day), "dan")
			o.AdmitRules(activitytest.Consenting +
				activitytest.RulesOf(`{name: vault, mode: enforce, when: 'email == "dan@acme.example" && `+condition+
					`', give: ["group:finance-space"]}`))
			if name == "inactive" {
				o.Advance(500 * activitytest.Day)
				o.Used("jira-software", o.Clock(), "dan")
			}
			o.Inject(cutApps)
			o.Verify()
			require.Empty(t, o.Members("finance-space"))
			require.Contains(t, fmt.Sprint(o.Findings()), "absence-doubted")
			o.Sim.ClearFaults("")
			o.Verify()
			require.Empty(t, o.Members("finance-space"), "nor does a whole list give it")
			if name == "inactive" {
				return
			}
			o.ByHand("DELETE", "jira-users-acme", "dan")
			o.Verify()
			require.Equal(t, "dan", o.Members("finance-space"), "what all searches agree on is done")
		})
	}
}

func TestSweepRestoresAndSuspendsNobodyOnAListOfAppsCutShort(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	o.ByHand("POST", "jira-users-acme", "dan", "fay")
	o.AdmitRules(activitytest.Consenting + activitytest.RulesOf(
		`{name: away, owner: ana@acme.example, mode: enforce, when: 'title == "Engineer"', suspend: true}`,
		`{name: back, mode: enforce, when: 'title == "Manager" && !("jira-software" in apps)', restore: true}`,
		`{name: useless, owner: ana@acme.example, mode: enforce, when: 'title == "Controller" && !("jira-software" in apps)', suspend: true, after: 1d}`,
	))
	o.Verify()
	require.Equal(t, "dan", o.Suspended())
	o.ChangePerson("dan", map[string]any{"title": "Manager"})
	o.Inject(cutApps)
	o.Verify()
	o.Advance(2 * activitytest.Day)
	o.Verify()
	require.Equal(t, "dan", o.Suspended())
	o.Sim.ClearFaults("")
	o.ByHand("DELETE", "jira-users-acme", "dan", "fay")
	o.Verify()
	o.Advance(2 * activitytest.Day)
	o.Verify()
	require.Equal(t, "fay", o.Suspended(), "what all searches agree on is done")
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
			o, _ := lent(t, activitytest.Lendable, activitytest.Jira)
			for fault.Seed = range 12 {
				o.Advance(10 * time.Minute)
				o.Inject(fault)
				o.VerifyFully()
				require.NotNil(t, o.Held("ivo", activitytest.Jira), "seed %d", fault.Seed)
				o.Sim.ClearFaults("")
			}
		})
	}
}
