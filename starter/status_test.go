package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
)

// A loop that has ended answers queries with its last state, or not at all: neither is the organization's state.
func TestStatusReportsAnEndedLoop(t *testing.T) {
	for is, why := range map[enumspb.WorkflowExecutionStatus]string{
		enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED: "the loop org-sync:acme was terminated",
		enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:   "the loop org-sync:acme was cancelled",
		enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:  "the loop org-sync:acme was ended by a failure",
	} {
		f := &fakeTemporal{workflowStatus: is}
		s, out, _ := f.session()
		c := s.status()
		c.SetArgs([]string{"acme"})
		c.SilenceUsage, c.SilenceErrors = true, true
		err := c.ExecuteContext(t.Context())
		require.ErrorContains(t, err, why)
		require.ErrorContains(t, err, "starter apply FILE")
		require.Empty(t, out.String())
	}
	refused := &fakeTemporal{workflowStatus: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
		start: temporal.NewApplicationError("the policy is for another organization", "Misnamed")}
	s, _, _ := refused.session()
	require.ErrorContains(t, s.checkLoopRuns(t.Context(), "acme"),
		"was ended by a failure (the policy is for another organization): nothing is watched")
	s, _, _ = (&fakeTemporal{}).session()
	require.NoError(t, s.checkLoopRuns(t.Context(), "acme"))
}
