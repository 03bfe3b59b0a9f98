package identities_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// decoded reads a command's JSON.
func decoded[T any](t *testing.T, text string) (value T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &value), text)
	return value
}

// adoptAccess approves the first plan of access, while that of records waits.
func (o *testOrg) adoptAccess() messages.OrgSyncState {
	o.t.Helper()
	state := o.until(func(s messages.OrgSyncState) bool { return s.Hold != nil || s.Adopted })
	if state.Hold != nil {
		require.NoError(o.t, o.Decide(o.t.Context(), org, messages.ApprovePlan, state.Hold.Plan))
	}
	return o.until(func(s messages.OrgSyncState) bool {
		return s.Adopted && s.IdentityHold != nil && len(s.Provisions) > 0 && s.Running == nil
	})
}

// approveBatch approves the preview of a batch.
func (o *testOrg) approveBatch(s messages.LinkState) {
	o.t.Helper()
	require.NotNil(o.t, s.Hold, "nobody is to be linked: %+v", s)
	var answer messages.Answer
	require.NoError(o.t, o.UpdateOn(o.t.Context(), s.Workflow, messages.ApprovePlan,
		messages.DecisionInput{Plan: s.Hold.Plan, By: "boss@example.com"}, &answer))
}

// batchEnds waits until a batch is over, its workflow too.
func (o *testOrg) batchEnds(batch, state string) (s messages.LinkState) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), patience)
	defer cancel()
	require.NoError(o.t, o.Temporal.Client.GetWorkflow(ctx, messages.LinkID(org, batch), "").Get(ctx, &s))
	require.Equal(o.t, state, s.State, "%+v", s)
	return s
}

// recordsOf returns the records of those of these people who have one.
func (o *testOrg) recordsOf(names ...string) (records []string) {
	o.t.Helper()
	for _, p := range o.state().People {
		named := func(name string) bool { return p.Email == o.Staff["e-"+name].Email }
		if slices.ContainsFunc(names, named) && p.SCIMUserID != "" {
			records = append(records, p.SCIMUserID)
		}
	}
	return records
}

// TestLinkBatches: while the first plan of a provision waits, ops link a few people by the commands, then the rest;
// the gap reaches zero, and all that people had is as it was.
func TestLinkBatches(t *testing.T) {
	t.Parallel()
	file := shop()
	file.Invited = append(file.Invited, "p00", "p01", "p02", "p03")
	o := start(t, file)
	o.Groups["engineers"] = []string{"e-p00"}
	o.Export()
	_, err := o.Apply(t.Context(), org, o.policy(engineers, map[string]any{"provision": o.provision(),
		"guard": map[string]any{"settle": "0s", "adopt": "ask"}}))
	require.NoError(t, err)
	state := o.adoptAccess()
	gap := state.Provisions[0].Gap
	require.GreaterOrEqual(t, gap, 4)
	before := o.state()

	link := func(args ...string) messages.LinkState {
		out, err := o.Starter(t.Context(), append([]string{"--by", "boss@example.com", "--json", "link"}, args...)...)
		require.NoError(t, err, out)
		return decoded[messages.LinkState](t, out)
	}
	address := func(name string) string { return o.Staff["e-"+name].Email }
	pilot := link("pilot", address("p00"), address("p01"), "--provision", "staff", "--wave", "1")
	require.Equal(t, messages.LinkHeld, pilot.State)
	require.Equal(t, 2, pilot.Hold.People)
	require.Empty(t, o.recordsOf("p00", "p01"), "nothing is written before it is approved")
	o.approveBatch(pilot)
	o.batchEnds("pilot", messages.LinkDone)
	require.Len(t, o.recordsOf("p00", "p01"), 2)
	require.Empty(t, o.recordsOf("p02", "p03"))
	o.until(func(s messages.OrgSyncState) bool { return s.Provisions[0].Gap == gap-2 })

	again := link("pilot", address("p00"), "--provision", "staff")
	require.Equal(t, messages.LinkDone, again.State)
	require.Equal(t, []messages.StateCount{{State: "already-linked", Count: 1}}, again.Counts)

	rest := link("rest", "--provision", "staff")
	o.approveBatch(rest)
	o.batchEnds("rest", messages.LinkDone)
	o.until(func(s messages.OrgSyncState) bool { return s.Provisions[0].Gap == 0 })
	for _, was := range before.People {
		is := o.personAt(was.Email, func(cloud.StatePerson) bool { return true })
		require.Equal(t, was.AccountID, is.AccountID)
		require.Equal(t, was.OrgAdmin, is.OrgAdmin)
		for _, g := range before.Groups {
			if slices.Contains(g.Members, was.AccountID) && !g.Synced {
				require.Contains(t, stack.Members(o.state(), g.Name), was.AccountID)
			}
		}
	}
	out, err := o.Starter(t.Context(), "links", org, "rest")
	require.NoError(t, err)
	require.Contains(t, out, address("p03"))
}

// TestLinkBatchStopsAtASurprise: somebody takes a group away between preview and link; nobody further is linked.
func TestLinkBatchStopsAtASurprise(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	file := shop()
	file.Invited, file.Local = append(file.Invited, "p00", "p01"), append(file.Local, cloud.OrgGroup{Name: "crew"})
	o := start(t, file)
	o.Groups["engineers"] = []string{}
	o.Export()
	_, err := o.Apply(t.Context(), org, o.policy(engineers, map[string]any{"provision": o.provision(),
		"guard": map[string]any{"settle": "0s", "adopt": "ask"}}))
	require.NoError(t, err)
	o.adoptAccess()
	require.NoError(t, o.Simulator.Invite(t.Context(), "crew", "p00"))
	out, err := o.Starter(t.Context(), "--by", "boss@example.com", "--json", "link", "pilot", o.Staff["e-p00"].Email,
		o.Staff["e-p01"].Email, "--provision", "staff", "--wave", "1")
	require.NoError(t, err, out)
	require.NoError(t, o.Simulator.Expel(t.Context(), "crew", "p00"))
	o.approveBatch(decoded[messages.LinkState](t, out))
	stopped := o.batchEnds("pilot", messages.LinkStopped)
	require.Contains(t, stopped.Surprise[0], "crew is gone")
	require.Empty(t, o.recordsOf("p01"))
}
