package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
)

// A condition that asks about the time is answered anew when that changes its answer, for the people whose answer hangs
// on it.
func TestRuleTimeNamesWhoseConditionsAreAnsweredOtherwise(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t) // on Monday, 2 March 2026, past nine
	o.Admit(strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1) + `
rules:
  - {name: early, mode: enforce, owner: ana@example.com, when: 'in("support") && now >= timestamp("2026-03-02T10:00:03Z")', give: ["group:other"]}
  - {name: hourly, when: 'now.getHours() == 10', give: ["group:other"]}
  - {name: new, mode: enforce, owner: ana@example.com, when: 'in("support") && addedWithin("5m") && now < timestamp("2026-03-02T09:00:00Z")', give: ["group:other"]}
`)
	results, _ := o.VerifyFully()
	require.Empty(t, results)
	asked := o.Clock()
	together := time.Date(2026, 3, 2, 10, 0, 10, 0, time.UTC)
	soon := o.RuleTime(asked)
	require.Equal(t, together, soon.Next, "of what is enforced, with all who are due at about the same time")
	require.Empty(t, soon.People)
	require.False(t, soon.Full)

	o.Advance(together.Sub(o.Clock()))
	now := o.RuleTime(asked)
	due := []string{o.AccountID("finn"), o.AccountID("hana"), o.AccountID("lea")}
	slices.Sort(due)
	require.Equal(t, due, now.People)
	require.False(t, now.Full)
	require.Zero(t, now.Next)
	asked = o.Clock()
	o.LookAndWrite(now.People...)
	for _, name := range []string{"finn", "hana", "lea"} {
		require.Contains(t, o.Members("other"), name)
	}
	require.Empty(t, o.RuleTime(asked).People, "each is named once")

	o.Admit(activitytest.OpenGuard)
	o.VerifyFully()
	require.Zero(t, o.RuleTime(o.Clock()).Next, "another policy asks no more")
}
