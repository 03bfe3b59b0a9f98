package suite

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// State returns the truth at Atlassian.
func State(t *testing.T, s *stack.Stack) cloud.State {
	t.Helper()
	state, err := s.Simulator.State(t.Context())
	require.NoError(t, err)
	return state
}

// Person finds an account by its key in the org file.
func Person(t *testing.T, state cloud.State, key string) cloud.StatePerson {
	t.Helper()
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == key })
	require.GreaterOrEqual(t, i, 0, "nobody is called %s", key)
	return state.People[i]
}

// PersonAt waits until somebody with an address is as wanted, and returns them.
func PersonAt(t *testing.T, s *stack.Stack, address string, want func(cloud.StatePerson) bool) (
	found cloud.StatePerson) {
	t.Helper()
	Eventually(t, func() error {
		people := State(t, s).People
		i := slices.IndexFunc(people, func(p cloud.StatePerson) bool { return p.Email == address })
		if i < 0 {
			return fmt.Errorf("nobody has %s", address)
		}
		if found = people[i]; !want(found) {
			return fmt.Errorf("%s is not so yet: %+v", address, found)
		}
		return nil
	})
	return found
}

// Stats returns the calls made since the start or the last reset.
func Stats(t *testing.T, s *stack.Stack) cloud.Stats {
	t.Helper()
	stats, err := s.Simulator.Stats(t.Context())
	require.NoError(t, err)
	return stats
}

// Set changes settings of the simulator, named as in its JSON.
func Set(t *testing.T, s *stack.Stack, settings map[string]any) {
	t.Helper()
	require.NoError(t, s.Simulator.Set(t.Context(), settings))
}

// Settle applies a policy and consents to its first plan.
func Settle(t *testing.T, s *stack.Stack, policy string) messages.OrgSyncState {
	t.Helper()
	_, err := s.Apply(t.Context(), Org, policy)
	require.NoError(t, err)
	state, err := s.Adopt(t.Context(), Org, Patience)
	require.NoError(t, err)
	return state
}

// Until waits for the organization's status to be as wanted.
func Until(t *testing.T, s *stack.Stack, want func(messages.OrgSyncState) bool) messages.OrgSyncState {
	t.Helper()
	state, err := s.Until(t.Context(), Org, Patience, want)
	require.NoError(t, err)
	return state
}

// Eventually tries until it works.
func Eventually(t *testing.T, try func() error) {
	t.Helper()
	require.NoError(t, stack.Eventually(t.Context(), Patience, try))
}
