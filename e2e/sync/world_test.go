package sync_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	org      = suite.Org
	patience = suite.Patience
)

// world is one organization with everything that keeps it.
type world struct {
	*stack.Stack
	t   *testing.T
	idp *scim.Client
}

// start starts a world in a namespace of its own on the shared server.
func start(t *testing.T, flags ...string) *world {
	t.Helper()
	return live(t, suite.Start(t, flags...))
}

func live(t *testing.T, s *stack.Stack) *world {
	t.Helper()
	idp, err := s.Simulator.SCIM()
	require.NoError(t, err)
	return &world{Stack: s, t: t, idp: idp}
}

// crowd is n keys of people: p001, p002, …
func crowd(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("p%03d", i+1)
	}
	return keys
}

// state is the truth at Atlassian.
func (w *world) state() cloud.State {
	w.t.Helper()
	state, err := w.Simulator.State(w.t.Context())
	require.NoError(w.t, err)
	return state
}

func (w *world) stats() cloud.Stats {
	w.t.Helper()
	stats, err := w.Simulator.Stats(w.t.Context())
	require.NoError(w.t, err)
	return stats
}

func (w *world) resetStats() {
	w.t.Helper()
	require.NoError(w.t, w.Simulator.ResetStats(w.t.Context()))
}

func (w *world) set(settings map[string]any) {
	w.t.Helper()
	require.NoError(w.t, w.Simulator.Set(w.t.Context(), settings))
}

// person finds an account by its key in the org file.
func person(t *testing.T, state cloud.State, key string) cloud.StatePerson {
	t.Helper()
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == key })
	require.GreaterOrEqual(t, i, 0, "nobody is called %s", key)
	return state.People[i]
}

func group(t *testing.T, state cloud.State, name string) cloud.StateGroup {
	t.Helper()
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == name })
	require.GreaterOrEqual(t, i, 0, "no group is called %s", name)
	return state.Groups[i]
}

// join and leave change a source group as its identity provider does.
func (w *world) join(source string, keys ...string) { w.t.Helper(); w.change(source, keys, true) }

func (w *world) leave(source string, keys ...string) { w.t.Helper(); w.change(source, keys, false) }

func (w *world) change(source string, keys []string, add bool) {
	w.t.Helper()
	state := w.state()
	var ids []string
	for _, key := range keys {
		ids = append(ids, person(w.t, state, key).SCIMUserID)
	}
	change := w.idp.RemoveMembers
	if add {
		change = w.idp.AddMembers
	}
	_, err := change(w.t.Context(), group(w.t, state, source).SCIMGroupID, ids...)
	require.NoError(w.t, err)
}

// newSource makes a group at the identity provider, with members.
func (w *world) newSource(name string, keys ...string) {
	w.t.Helper()
	_, err := w.idp.CreateGroup(w.t.Context(), scim.Group{DisplayName: name})
	require.NoError(w.t, err)
	if len(keys) > 0 {
		w.join(name, keys...)
	}
}

// invite puts people into a group as an administrator would.
func (w *world) invite(target string, keys ...string) {
	w.t.Helper()
	state := w.state()
	var ids []string
	for _, key := range keys {
		ids = append(ids, person(w.t, state, key).AccountID)
	}
	require.NoError(w.t, w.Simulator.Invite(w.t.Context(), target, ids...))
}

// in says whether somebody is in a group.
func (w *world) in(target, key string) bool {
	w.t.Helper()
	state := w.state()
	return slices.Contains(stack.Members(state, target), person(w.t, state, key).AccountID)
}

// apply takes a policy into force.
func (w *world) apply(p policyFile) messages.PolicyAnswer {
	w.t.Helper()
	answer, err := w.Apply(w.t.Context(), org, p.text(w))
	require.NoError(w.t, err)
	return answer
}

// settled applies a policy and consents to its first plan.
func (w *world) settled(p policyFile) messages.OrgSyncState {
	w.t.Helper()
	w.apply(p)
	state, err := w.Adopt(w.t.Context(), org, patience)
	require.NoError(w.t, err)
	return state
}

func (w *world) status() messages.OrgSyncState {
	w.t.Helper()
	state, err := w.Status(w.t.Context(), org)
	require.NoError(w.t, err)
	return state
}

func (w *world) until(want func(messages.OrgSyncState) bool) messages.OrgSyncState {
	w.t.Helper()
	state, err := w.Until(w.t.Context(), org, patience, want)
	require.NoError(w.t, err)
	return state
}

// syncNow asks for a full verification and returns the status once it is over and nothing more is due, whether it went
// well or not.
func (w *world) syncNow() messages.OrgSyncState {
	w.t.Helper()
	before := w.askForSync()
	return w.until(func(s messages.OrgSyncState) bool { return over(s) && fullSince(s, before) })
}

// syncWritten is syncNow, but waits neither until a run that has written everything has read it back, nor any longer
// once there is a problem.
func (w *world) syncWritten() messages.OrgSyncState {
	w.t.Helper()
	before := w.askForSync()
	return w.until(func(s messages.OrgSyncState) bool {
		verifying := s.Running != nil && s.Running.Scope == messages.ScopeFull && s.Running.Run > before &&
			s.Running.State == messages.RunVerifying
		return verifying || s.Problem != nil || over(s) && fullSince(s, before)
	})
}

// askForSync asks for a full verification and returns the last run before it.
func (w *world) askForSync() string {
	w.t.Helper()
	before := w.status().LastID
	var answer messages.Answer
	require.NoError(w.t, w.Update(w.t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"}, &answer))
	return before
}

// over says that nothing is running and nothing waits but the clock and people.
func over(s messages.OrgSyncState) bool {
	p := s.Pending
	return s.Running == nil && p.Full == "" && len(p.People)+len(p.Groups)+len(p.Settling)+len(p.Jobs) == 0 &&
		!p.Fresh &&
		s.State != messages.StateApplying && s.State != messages.StateVerifying
}

// fullSince says that a full verification with a later id than the given one has ended, well or badly.
func fullSince(s messages.OrgSyncState, id string) bool {
	full := func(r *messages.RunSummary) bool { return r != nil && r.Scope == messages.ScopeFull && r.Run > id }
	return full(s.LastFull) || full(s.LastRun)
}

// eventually tries until it works.
func (w *world) eventually(try func() error) {
	w.t.Helper()
	require.NoError(w.t, stack.Eventually(w.t.Context(), patience, try))
}
