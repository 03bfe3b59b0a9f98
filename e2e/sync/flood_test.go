package sync_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// Signals of more than a megabyte each, of known and unknown names, are dropped unread and shown with their sender's
// name; the loop goes on in a fresh history, and hears what comes after them.
func TestOrgSyncOutlivesLargeSignals(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	for i := range 24 {
		name := []string{messages.SyncNow, "no-such-signal", messages.ReconcileGrant}[i%3]
		text := []string{"x", "a ", "ﷺ", "2 ", "ABCDE2-"}[i%5] // what takes long where codes are looked for in it
		body := map[string]any{"by": "mallory@example.com", "person": strings.Repeat(text, 3<<19/len(text))}
		require.NoError(t, o.Temporal.Client.SignalWorkflow(t.Context(), workflowID, "", name, body))
	}
	state := o.until(func(s messages.OrgSyncState) bool { return len(s.Refused) == 10 && over(s) })
	for _, r := range state.Refused {
		require.Equal(t, "mallory@example.com", r.By)
		require.Greater(t, r.Size, 1<<20)
	}
	require.NoError(t, o.Update(t.Context(), org, messages.Pause, messages.PauseInput{By: "ana@example.com"}, nil),
		"it listens")
	is, err := o.Temporal.Client.DescribeWorkflowExecution(t.Context(), workflowID, "")
	require.NoError(t, err)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, is.WorkflowExecutionInfo.GetStatus())
	require.Less(t, is.WorkflowExecutionInfo.GetHistorySizeBytes(), int64(45<<20))
	o.until(func(s messages.OrgSyncState) bool { return s.Paused != nil })
}
