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

// testOrg is one organization with everything that keeps it.
type testOrg struct {
	*stack.Stack
	t   *testing.T
	idp scim.Writer
}

// start starts a test organization in a namespace of its own on the shared server.
func start(t *testing.T, flags ...string) *testOrg {
	t.Helper()
	return live(t, suite.Start(t, flags...))
}

func live(t *testing.T, s *stack.Stack) *testOrg {
	t.Helper()
	idp, err := s.Simulator.SCIM()
	require.NoError(t, err)
	return &testOrg{Stack: s, t: t, idp: idp}
}

// crowd is n keys of people: p001, p002, …
func crowd(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("p%03d", i+1)
	}
	return keys
}

// mostlyFilled puts nine of ten people where the mappings want them, by hand: each addition is an activity of its own,
// and adopting takes one for all. Groups names the group behind each target.
func mostlyFilled(file cloud.OrgFile, mappings []mapping, groups map[string]string) cloud.OrgFile {
	filled := map[string][]string{}
	for _, m := range mappings {
		for _, g := range file.Groups {
			if !matchesAny(m.From, g.Name) || matchesAny(m.Except, g.Name) {
				continue
			}
			for _, to := range m.To {
				filled[groups[to]] = append(filled[groups[to]], g.Members...)
			}
		}
	}
	for name, members := range filled {
		slices.Sort(members)
		members = slices.Compact(members)
		for i := 0; i < len(members); i += 9 {
			members = slices.Delete(members, i, i+1)
		}
		filled[name] = members
	}
	file.Foreign = filled
	return file
}

// state returns the truth at Atlassian.
func (o *testOrg) state() cloud.State { o.t.Helper(); return suite.State(o.t, o.Stack) }

func (o *testOrg) stats() cloud.Stats { o.t.Helper(); return suite.Stats(o.t, o.Stack) }

func (o *testOrg) resetStats() {
	o.t.Helper()
	require.NoError(o.t, o.Simulator.ResetStats(o.t.Context()))
}

func (o *testOrg) set(settings map[string]any) { o.t.Helper(); suite.Set(o.t, o.Stack, settings) }

// person finds an account by its key in the org file.
func person(t *testing.T, state cloud.State, key string) cloud.StatePerson {
	t.Helper()
	return suite.Person(t, state, key)
}

func group(t *testing.T, state cloud.State, name string) cloud.StateGroup {
	t.Helper()
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == name })
	require.GreaterOrEqual(t, i, 0, "no group is called %s", name)
	return state.Groups[i]
}

// join and leave change a source group as its identity provider does.
func (o *testOrg) join(source string, keys ...string) { o.t.Helper(); o.change(source, keys, true) }

func (o *testOrg) leave(source string, keys ...string) { o.t.Helper(); o.change(source, keys, false) }

func (o *testOrg) change(source string, keys []string, add bool) {
	o.t.Helper()
	state := o.state()
	var ids []string
	for _, key := range keys {
		ids = append(ids, person(o.t, state, key).SCIMUserID)
	}
	change := o.idp.RemoveMembers
	if add {
		change = o.idp.AddMembers
	}
	_, err := change(o.t.Context(), group(o.t, state, source).SCIMGroupID, ids...)
	require.NoError(o.t, err)
}

// newSource makes a group at the identity provider, with members.
func (o *testOrg) newSource(name string, keys ...string) {
	o.t.Helper()
	_, err := o.idp.CreateGroup(o.t.Context(), scim.Group{DisplayName: name})
	require.NoError(o.t, err)
	if len(keys) > 0 {
		o.join(name, keys...)
	}
}

// invite puts people into a group as an administrator would.
func (o *testOrg) invite(target string, keys ...string) {
	o.t.Helper()
	state := o.state()
	var ids []string
	for _, key := range keys {
		ids = append(ids, person(o.t, state, key).AccountID)
	}
	require.NoError(o.t, o.Simulator.Invite(o.t.Context(), target, ids...))
}

// in reports whether somebody is in a group.
func (o *testOrg) in(target, key string) bool {
	o.t.Helper()
	state := o.state()
	return slices.Contains(stack.Members(state, target), person(o.t, state, key).AccountID)
}

// apply takes a policy into force.
func (o *testOrg) apply(p policyFile) messages.PolicyAnswer {
	o.t.Helper()
	answer, err := o.Apply(o.t.Context(), org, p.text(o))
	require.NoError(o.t, err)
	return answer
}

// settled applies a policy and consents to its first plan.
func (o *testOrg) settled(p policyFile) messages.OrgSyncState {
	o.t.Helper()
	return suite.Settle(o.t, o.Stack, p.text(o))
}

func (o *testOrg) status() messages.OrgSyncState {
	o.t.Helper()
	state, err := o.Status(o.t.Context(), org)
	require.NoError(o.t, err)
	return state
}

func (o *testOrg) until(want func(messages.OrgSyncState) bool) messages.OrgSyncState {
	o.t.Helper()
	return suite.Until(o.t, o.Stack, want)
}

// syncNow asks for a full verification and returns the status once it is over and nothing more is due, whether it went
// well or not.
func (o *testOrg) syncNow() messages.OrgSyncState {
	o.t.Helper()
	before := o.askForSync()
	return o.until(func(s messages.OrgSyncState) bool { return over(s) && fullSince(s, before) })
}

// syncWritten is syncNow, but waits neither until a run that has written everything has read it back, nor any longer
// once there is a problem.
func (o *testOrg) syncWritten() messages.OrgSyncState {
	o.t.Helper()
	before := o.askForSync()
	return o.until(func(s messages.OrgSyncState) bool {
		verifying := s.Running != nil && s.Running.Scope == messages.ScopeFull && s.Running.Run > before &&
			s.Running.State == messages.RunVerifying
		return verifying || s.Problem != nil || over(s) && fullSince(s, before)
	})
}

// askForSync asks for a full verification and returns the last run before it.
func (o *testOrg) askForSync() string {
	o.t.Helper()
	before := o.status().LastID
	var answer messages.Answer
	require.NoError(o.t, o.Update(o.t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"}, &answer))
	return before
}

// over reports whether nothing is running and nothing waits but the clock and people.
func over(s messages.OrgSyncState) bool {
	p := s.Pending
	return s.Running == nil && p.Full == "" && len(p.People)+len(p.Groups)+len(p.Settling)+len(p.Jobs) == 0 &&
		!p.Fresh &&
		s.State != messages.StateApplying && s.State != messages.StateVerifying
}

// fullSince reports whether a full verification with a later id than the given one has ended, well or badly.
func fullSince(s messages.OrgSyncState, id string) bool {
	full := func(r *messages.RunSummary) bool { return r != nil && r.Scope == messages.ScopeFull && r.Run > id }
	return full(s.LastFull) || full(s.LastRun)
}

// eventually tries until it works.
func (o *testOrg) eventually(try func() error) { o.t.Helper(); suite.Eventually(o.t, try) }
