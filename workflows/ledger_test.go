package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

func TestLedgerRunsUntilItIsCancelled(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	ended := false
	env.RegisterDelayedCallback(func() {
		ended = env.IsWorkflowCompleted()
		env.CancelWorkflow()
	}, 365*24*time.Hour)
	env.ExecuteWorkflow(workflows.Ledger, messages.LedgerInput{Ledger: "L1"})
	require.False(t, ended)
	require.ErrorContains(t, env.GetWorkflowError(), "canceled")
}
