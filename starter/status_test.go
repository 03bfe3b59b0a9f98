package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
)

// A loop that does not run any more says what it last knew, or nothing: neither is the organization's state.
func TestStatusSaysThatTheLoopEnded(t *testing.T) {
	for is, why := range map[enumspb.WorkflowExecutionStatus]string{
		enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED: "the loop org-sync:acme was terminated",
		enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:   "the loop org-sync:acme was cancelled",
		enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:  "the loop org-sync:acme was ended by a failure",
	} {
		f := &fakeTemporal{lives: is}
		s, out, _ := f.acting()
		c := s.status()
		c.SetArgs([]string{"acme"})
		c.SilenceUsage, c.SilenceErrors = true, true
		err := c.ExecuteContext(t.Context())
		require.ErrorContains(t, err, why)
		require.ErrorContains(t, err, "starter apply FILE")
		require.Empty(t, out.String())
	}
	refused := &fakeTemporal{lives: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
		start: temporal.NewApplicationError("the policy is for another organization", "Misnamed")}
	s, _, _ := refused.acting()
	require.ErrorContains(t, s.ended(t.Context(), "acme"),
		"was ended by a failure (the policy is for another organization): nothing is watched")
	s, _, _ = (&fakeTemporal{}).acting()
	require.NoError(t, s.ended(t.Context(), "acme"))
}
