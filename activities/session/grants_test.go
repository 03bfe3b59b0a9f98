package session_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// workflows are those that run at a Temporal server.
type workflows struct {
	session.Starter
	running map[string]int // by ID, how often each was signalled
}

func (w workflows) SignalWorkflow(_ context.Context, id, _, _ string, _ any) error {
	if _, running := w.running[id]; !running {
		return serviceerror.NewNotFound("no such workflow")
	}
	w.running[id]++
	return nil
}

func (w workflows) SignalWithStartWorkflow(_ context.Context, id, _ string, _ any, _ client.StartWorkflowOptions, _ any,
	_ ...any) (client.WorkflowRun, error) {
	w.running[id]++
	return nil, nil
}

// A grant whose workflow began under an ID that is longer than IDs are today has no second clock.
func TestWakeGrantFindsAWorkflowUnderAFormerID(t *testing.T) {
	g := access.Grant{Target: access.GroupEntitlement(strings.Repeat("ü", 255)), Key: "557058:8c9e"}
	id, former := messages.GrantID("acme", g.Target, g.Key), messages.FormerGrantIDs("acme", g.Target, g.Key)[0]
	require.NotEqual(t, id, former)
	for _, c := range []struct{ running, woken string }{{former, former}, {id, id}, {"", id}} {
		w := workflows{running: map[string]int{c.running: 0}}
		env := session.NewEnv(session.Options{Temporal: w})
		require.NoError(t, env.WakeGrant(t.Context(), "acme", g))
		require.Equal(t, 1, w.running[c.woken])
		require.Len(t, w.running, len(map[string]bool{c.running: true, c.woken: true}))
	}
}
