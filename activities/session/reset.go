package session

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
)

// ErrReset is the error type for the activities of a run that was reset.
const ErrReset = "Reset"

// CurrentRuns refuses the activities of a run whose workflow was reset: a reset run would repeat what the
// organization's loop has long seen the end of, beside whatever the loop has written since, and the loop cannot pause
// it. The loop itself starts another run.
type CurrentRuns struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity checks each activity before it begins.
func (CurrentRuns) InterceptActivity(_ context.Context,
	next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &currentRun{interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type currentRun struct {
	interceptor.ActivityInboundInterceptorBase
}

func (c *currentRun) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	for _, arg := range in.Args {
		of, is := arg.(interface{ run() RunInput })
		if !is {
			continue
		}
		if run := of.run(); run.Execution != "" && run.Execution != activity.GetInfo(ctx).WorkflowExecution.RunID {
			return nil, NonRetryable(ErrReset,
				fmt.Errorf("run %s of organization %s was reset, and a run that was reset does nothing: ask for another by sync-now", run.Run, run.Org))
		}
	}
	return c.Next.ExecuteActivity(ctx, in)
}

func (in RunInput) run() RunInput { return in }
