package grants_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// What somebody takes by hand from a running grant stays taken, whether a worker saw it or none was there; with
// handTaken: restore it is given back.
func TestWhatIsTakenByHandStaysTaken(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{access.OrgAdmin, "group:vault"} {
		for _, down := range []bool{false, true} {
			t.Run(string(target)+map[bool]string{true: " without a worker"}[down], func(t *testing.T) {
				t.Parallel()
				w := start(t, openGrants, "--lag", "500ms", "--role-lag", "3s")
				answer, err := w.ask("dan", target, 50*time.Minute)
				require.NoError(t, err)
				w.until(answer.Workflow, is(messages.GrantActive))
				if down {
					w.Worker.Kill()
				}
				w.take("dan", target)
				if down {
					require.NoError(t, w.StartWorker())
					var said messages.Answer
					require.NoError(t, w.Update(t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"},
						&said))
				}
				w.over(answer.Workflow)
				grants, err := w.Ask(t.Context(),
					messages.ReportInput{Org: org, Kind: messages.ReportGrants, Grant: answer.Grants[0].ID})
				require.NoError(t, err)
				require.True(t, grants.Grants[0].HandTaken)
				spans := w.held("dan", string(target))
				require.Len(t, spans, 1, "it was not given back")
				require.False(t, spans[0][1].IsZero())
			})
		}
	}
	t.Run("restore", func(t *testing.T) {
		t.Parallel()
		w := start(t, strings.Replace(openGrants, `["role:org-admin"], duration: {max: 1h}`,
			`["role:org-admin"], duration: {max: 1h}, handTaken: restore`, 1), "--lag", "500ms", "--role-lag", "3s")
		answer, err := w.ask("dan", access.OrgAdmin, 50*time.Minute)
		require.NoError(t, err)
		w.until(answer.Workflow, is(messages.GrantActive))
		w.take("dan", access.OrgAdmin)
		w.eventually(func() bool {
			spans := w.held("dan", string(access.OrgAdmin))
			return len(spans) == 2 && spans[1][1].IsZero()
		})
		w.until(answer.Workflow, is(messages.GrantActive))
	})
}

// take takes something from somebody as an administrator would.
func (w *world) take(name string, target access.Entitlement) {
	w.t.Helper()
	if target == access.OrgAdmin {
		require.NoError(w.t, w.Simulator.Person(w.t.Context(), w.person(name).Email, map[string]any{"orgAdmin": false}))
		return
	}
	require.NoError(w.t, w.Simulator.Expel(w.t.Context(), target.Group(), w.person(name).AccountID))
}
