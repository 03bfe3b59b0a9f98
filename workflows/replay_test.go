package workflows_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

// histories are recorded by TestRecord; a file is named <workflow>-<path>.json.
const histories = "testdata/histories"

var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// Workflows that run now must be able to go on under this code: every history that was ever recorded replays. Where one
// does not, guard the change with workflow.GetVersion; record anew only what no running workflow can have done.
func TestRecordedHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(histories, "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "there are no histories: record them (see record_test.go)")
	replayed := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.Open(file)
			require.NoError(t, err)
			defer func() { require.NoError(t, data.Close()) }()
			history, err := client.HistoryFromJSON(data, client.HistoryJSONOptions{})
			require.NoError(t, err)
			replayer := worker.NewWorkflowReplayer()
			register(replayer)
			original := worker.ReplayWorkflowHistoryOptions{
				OriginalExecution: workflow.Execution{ID: idOf(t, name, history)}}
			require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(quiet, history, original))
		})
		flow, _, _ := strings.Cut(name, "-")
		replayed[flow] = true
	}
	for _, flow := range []string{"orgsync", "reconcile", "report", "grant", "review", "link", "restore"} {
		require.True(t, replayed[flow], "no history of %s is recorded", flow)
	}
}

// idOf returns the workflow ID, which a history does not hold: OrgSync reads its organization from it, the others
// check it.
func idOf(t *testing.T, name string, history *historypb.History) string {
	t.Helper()
	began := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()
	read := func(in any) {
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(began.GetInput(), in))
	}
	switch began.GetWorkflowType().GetName() {
	case messages.TemporaryGrant:
		var in messages.TemporaryGrantInput
		read(&in)
		return messages.GrantID(in.Org, in.Target, in.Key)
	case messages.AccessReview:
		var in messages.AccessReviewInput
		read(&in)
		return reviewID(in.Campaign)
	case messages.Link: // its input does not say which batch it is, but the file's name does
		return messages.LinkID(org, strings.Split(name, "-")[1])
	case messages.GroupRestore: // so is the group's id
		var in messages.RestoreInput
		if read(&in); in.State != nil {
			return in.State.Workflow
		}
		return messages.RestoreID(org, "some-group")
	case messages.Reconcile:
		var in messages.ReconcileInput
		read(&in)
		if in.Scope.Kind == messages.ScopeHold {
			return messages.ReconcileID(in.Org, in.Run) + ":approved"
		}
		return messages.ReconcileID(in.Org, in.Run)
	}
	return messages.OrgSyncID(org)
}

// registry is where workflows are registered: a worker or a replayer.
type registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

func register(r registry) {
	r.RegisterWorkflowWithOptions(workflows.OrgSync, workflow.RegisterOptions{Name: messages.OrgSync})
	r.RegisterWorkflowWithOptions(workflows.Reconcile, workflow.RegisterOptions{Name: messages.Reconcile})
	r.RegisterWorkflowWithOptions(workflows.TemporaryGrant, workflow.RegisterOptions{Name: messages.TemporaryGrant})
	r.RegisterWorkflowWithOptions(workflows.Link, workflow.RegisterOptions{Name: messages.Link})
	r.RegisterWorkflowWithOptions(workflows.GroupRestore, workflow.RegisterOptions{Name: messages.GroupRestore})
	r.RegisterWorkflowWithOptions(workflows.AccessReview, workflow.RegisterOptions{Name: messages.AccessReview})
	r.RegisterWorkflowWithOptions(workflows.Report, workflow.RegisterOptions{Name: messages.Report})
	r.RegisterWorkflowWithOptions(workflows.Ledger, workflow.RegisterOptions{Name: messages.Ledger})
}
