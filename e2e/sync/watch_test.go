package sync_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// However many organizations are watched, what is to be done for them finds a place: here there are more watches than
// places for calls.
func TestWatchesTakeNoSlotsFromCalls(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	crowd, err := stack.StartCrowd(14, cloud.OrgFile{
		People: []string{"ana", "bo"}, Admins: []string{"ana"},
		Groups: []cloud.OrgGroup{{Name: "eng", Members: []string{"ana", "bo"}}},
		Local:  []cloud.OrgGroup{{Name: "builders"}},
	})
	require.NoError(t, err)
	t.Cleanup(crowd.Stop)
	temporal, dir := suite.Namespace(t), t.TempDir()
	worker, err := stack.StartWorker(suite.Programs, dir, "", temporal.Address, crowd.URL,
		append(append(temporal.Env(), crowd.Keys()...), "CASTELLAN_ACTIVITIES=10")...)
	require.NoError(t, err)
	t.Cleanup(func() { worker.Stop(10 * time.Second) })
	s := &stack.Stack{Dir: dir, Bin: suite.Programs, Temporal: temporal, Worker: worker}
	for i := range crowd.Orgs {
		require.NoError(t, stack.Eventually(t.Context(), suite.Patience, func() error {
			_, err := s.Apply(t.Context(), crowd.Name(i),
				crowd.Policy(i, "guard: {adopt: auto, settle: 1s}\nmappings: [{name: builders, from: [eng], to: [\"group:builders\"], adopt: true}]\n"))
			return err
		}))
	}
	for i := range crowd.Orgs {
		_, err := s.Until(t.Context(), crowd.Name(i), suite.Patience,
			func(state messages.OrgSyncState) bool { return stack.Idle(state) && state.Feed.Problem == "" })
		require.NoError(t, err)
		state := crowd.Orgs[i].State()
		require.Len(t, stack.Members(state, "builders"), 2)
	}
}
