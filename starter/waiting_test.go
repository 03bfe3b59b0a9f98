package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/castellan-io/castellan/messages"
)

func failureOf(kind, message string) *failurepb.Failure {
	return &failurepb.Failure{Message: message, FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
		ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: kind},
	}}
}

func failing(activity string, attempt int32,
	failure *failurepb.Failure) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{PendingActivities: []*workflowpb.PendingActivityInfo{
		{ActivityType: &commonpb.ActivityType{Name: activity}, Attempt: attempt, LastFailure: failure},
		{ActivityType: &commonpb.ActivityType{Name: "Watch"}, Attempt: 1},
	}}
}

func TestExplainWait(t *testing.T) {
	loop := messages.OrgSyncID("acme")
	for name, c := range map[string]struct {
		temporal fakeTemporal
		want     []string
	}{
		"no worker": {fakeTemporal{idle: true},
			[]string{"waiting for an answer; it comes from a worker, and none runs in namespace default"}},
		"a worker": {fakeTemporal{}, []string{"waiting for an answer; a worker of namespace default is working on it"}},
		"gone":     {fakeTemporal{gone: true}, []string{"is one running in namespace default?"}},
		"an activity fails": {
			fakeTemporal{waits: func(string) *workflowservice.DescribeWorkflowExecutionResponse {
				return failing("Admit", 4, failureOf("Unavailable", "look up organization acme: connection refused"))
			}}, []string{"Admit failed 3 times, the last time with: Unavailable: look up organization acme: connection refused", "retried automatically"},
		},
		"an activity of a run fails": {
			fakeTemporal{waits: func(id string) *workflowservice.DescribeWorkflowExecutionResponse {
				if id == loop {
					return &workflowservice.DescribeWorkflowExecutionResponse{
						PendingChildren: []*workflowpb.PendingChildExecutionInfo{{WorkflowId: "reconcile:acme:1"}}}
				}
				return failing("Sweep", 2, failureOf("RateLimited", "wait"))
			}}, []string{"Sweep failed once, the last time with: RateLimited: wait"},
		},
		"the workflow fails": {
			fakeTemporal{failed: failureOf("BadSearchAttributes", "CastellanOrg is not registered"),
				waits: func(string) *workflowservice.DescribeWorkflowExecutionResponse {
					return &workflowservice.DescribeWorkflowExecutionResponse{
						PendingWorkflowTask: &workflowpb.PendingWorkflowTaskInfo{Attempt: 3}}
				}}, []string{"tried 2 times to continue org-sync:acme, and failed: BadSearchAttributes: CastellanOrg is not registered"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, notes := c.temporal.session()
				end := s.explainWait(loop)
				<-time.After(hintAfter - time.Second) // on the clock of the bubble
				synctest.Wait()
				require.Empty(t, notes.String(), "most answers come soon")
				<-time.After(2*time.Second + 3*hintInterval) // on the clock of the bubble
				synctest.Wait()
				end()
				synctest.Wait()
				for _, want := range c.want {
					require.Contains(t, notes.String(), want)
				}
				require.Equal(t, 1, strings.Count(notes.String(), "waiting for an answer"), "it is said once")
			})
		})
	}
}
