package grants_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// What somebody takes by hand from a running grant stays taken, whether a worker saw it or none was there; with
// handTaken: restore it is given back. A short run tries the group, without a worker.
func TestGrantTakenByHandStaysTaken(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{access.OrgAdmin, "group:vault"} {
		for _, down := range []bool{false, true} {
			t.Run(string(target)+map[bool]string{true: " without a worker"}[down], func(t *testing.T) {
				if !down || target == access.OrgAdmin {
					suite.Long(t)
				}
				t.Parallel()
				o := start(t, openGrants, "--lag", "500ms", "--role-lag", "3s")
				answer, err := o.ask("dan", target, 50*time.Minute)
				require.NoError(t, err)
				o.until(answer.Workflow, is(messages.GrantActive))
				if down {
					o.Worker.Kill()
				}
				o.take("dan", target)
				if down {
					require.NoError(t, o.StartWorker())
					var said messages.Answer
					require.NoError(t, o.Update(t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"},
						&said))
				}
				o.over(answer.Workflow)
				grants, err := o.Ask(t.Context(),
					messages.ReportInput{Org: org, Kind: messages.ReportGrants, Grant: answer.Grants[0].ID})
				require.NoError(t, err)
				require.True(t, grants.Grants[0].RemovedByHand)
				spans := o.held("dan", string(target))
				require.Len(t, spans, 1, "it was not given back")
				require.False(t, spans[0][1].IsZero())
			})
		}
	}
	t.Run("restore", func(t *testing.T) {
		suite.Long(t)
		t.Parallel()
		o := start(t, strings.Replace(openGrants, `["role:org-admin"], duration: {max: 1h}`,
			`["role:org-admin"], duration: {max: 1h}, handTaken: restore`, 1), "--lag", "500ms", "--role-lag", "3s")
		answer, err := o.ask("dan", access.OrgAdmin, 50*time.Minute)
		require.NoError(t, err)
		o.until(answer.Workflow, is(messages.GrantActive))
		o.take("dan", access.OrgAdmin)
		o.eventually(func() bool {
			spans := o.held("dan", string(access.OrgAdmin))
			return len(spans) == 2 && spans[1][1].IsZero()
		})
		o.until(answer.Workflow, is(messages.GrantActive))
	})
}

// take takes something from somebody as an administrator would.
func (o *testOrg) take(name string, target access.Entitlement) {
	o.t.Helper()
	if target == access.OrgAdmin {
		require.NoError(o.t, o.Simulator.Person(o.t.Context(), o.person(name).Email, map[string]any{"orgAdmin": false}))
		return
	}
	require.NoError(o.t, o.Simulator.Expel(o.t.Context(), target.Group(), o.person(name).AccountID))
}
