package session_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/session"
)

// Whatever a run asks for that was reset is refused before it begins; a run under way, and whoever is no run, is
// served.
func TestCurrentRunsRefusesARunThatWasReset(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&session.CurrentRuns{}}})
	var is string
	served := 0
	write := func(ctx context.Context, _ apply.ChangeInput) error {
		served++
		is = activity.GetInfo(ctx).WorkflowExecution.RunID
		return nil
	}
	verify := func(context.Context, session.RunInput) error { served++; return nil }
	env.RegisterActivityWithOptions(write, activity.RegisterOptions{Name: "Apply"})
	env.RegisterActivityWithOptions(verify, activity.RegisterOptions{Name: "Verify"})
	run := func(execution string) session.RunInput {
		return session.RunInput{Org: activitytest.Org, Run: "r1", Execution: execution}
	}
	ask := func(name string, in any) error {
		_, err := env.ExecuteActivity(name, in)
		return err
	}
	require.NoError(t, ask("Apply", apply.ChangeInput{RunInput: run("")}))
	require.NoError(t, ask("Apply", apply.ChangeInput{RunInput: run(is)}))
	require.NoError(t, ask("Verify", run(is)))
	require.Equal(t, 3, served)
	for name, in := range map[string]any{"Apply": apply.ChangeInput{RunInput: run("former")}, "Verify": run("former")} {
		err := ask(name, in)
		require.ErrorContains(t, err, "run r1 of organization acme was reset", name)
		var app *temporal.ApplicationError
		require.True(t, errors.As(err, &app))
		require.True(t, app.NonRetryable())
		require.Equal(t, session.ErrReset, app.Type())
	}
	require.Equal(t, 3, served)
}
