package identities_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// generous is a guard that holds nothing for its number.
var generous = map[string]any{"settle": "0s", "adopt": "auto", "run": map[string]any{"share": "100%"},
	"target": map[string]any{"share": "100%"}, "window": map[string]any{"share": "100%"},
	"lastAccess": map[string]any{"people": 100}, "source": map[string]any{"share": "100%"}}

// syncing is a policy with synced groups of all groups of the files whose names begin so.
func (o *testOrg) syncing(from ...string) map[string]any {
	return map[string]any{"provision": o.provision(), "guard": generous,
		"groups": []any{map[string]any{"name": "synced", "from": from, "as": "synced", "create": true}}}
}

// isSynced waits until a group is synced and has exactly these members.
func (o *testOrg) isSynced(group string, names ...string) {
	o.t.Helper()
	o.become(group, names...)
	i := slices.IndexFunc(o.state().Groups, func(g cloud.StateGroup) bool { return g.Name == group })
	require.True(o.t, o.state().Groups[i].Synced)
}

// opens gives a group of the organization access to Jira.
func (o *testOrg) opens(group string) {
	o.t.Helper()
	require.NoError(o.t, o.Simulator.GroupRole(o.t.Context(), group, "jira", "acme", "user"))
}

// heldNow has everybody verified and provisioned until something of records is held.
func (o *testOrg) heldNow() *messages.Hold {
	o.t.Helper()
	for {
		before, err := o.Status(o.t.Context(), org)
		require.NoError(o.t, err)
		var answer messages.Answer
		require.NoError(o.t, o.Update(o.t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"}, &answer))
		after := o.until(func(s messages.OrgSyncState) bool {
			return s.IdentityHold != nil || provisionedAll(s) && s.LastFull.Run > before.LastID &&
				s.Provisions[0].Run > s.LastFull.Run
		})
		if after.IdentityHold != nil {
			return after.IdentityHold
		}
	}
}

// TestSyncedGroupsFollow: groups are made and filled, each change in the source is one write, and nothing is written
// where nothing changes. Whoever leaves is in none.
func TestSyncedGroupsFollow(t *testing.T) {
	t.Parallel()
	o := start(t, crew())
	o.Groups["team-eng"], o.Groups["team-ops"] = []string{"e-p00", "e-p01", "e-p02"}, []string{"e-p03"}
	o.Export()
	o.provisioned(o.syncing("hr:team-*"))
	o.isSynced("team-eng", "p00", "p01", "p02")
	o.isSynced("team-ops", "p03")
	o.provisionNow()
	require.NoError(t, o.Simulator.ResetStats(t.Context()))
	o.provisionNow()
	stats := o.stats()
	require.NotZero(t, stats.Operations["scim.groups.list"], "they were looked at")
	require.Zero(t, stats.Writes, stats.Operations)

	o.Groups["team-eng"] = []string{"e-p00", "e-p01", "e-p02", "e-p04"}
	o.Export()
	o.isSynced("team-eng", "p00", "p01", "p02", "p04")
	o.Groups["team-eng"] = []string{"e-p01", "e-p02", "e-p04"}
	o.Export()
	o.isSynced("team-eng", "p01", "p02", "p04")
	stats = o.stats()
	require.Equal(t, 2, stats.Writes, stats.Operations)
	out, err := o.Starter(t.Context(), "explain", org, o.Staff["e-p01"].Email)
	require.NoError(t, err)
	require.Contains(t, out, "member; of hr:team-eng, by synced")
	o.until(stack.Idle)
	out, err = o.Starter(t.Context(), "status", org)
	require.NoError(t, err)
	require.Contains(t, out, "groups: 2, with 4 memberships")

	o.Change(leaves, "e-p01")
	o.Export()
	o.personAt(o.Staff["e-p01"].Email, deactivated)
	o.isSynced("team-eng", "p02", "p04")
	require.Nil(t, o.until(provisionedAll).IdentityHold)
}

// TestSyncedGroupIsDeletedByConsent: a group that the source no longer has stays, with everybody and every app that
// would be lost in the plan, until somebody approves that.
func TestSyncedGroupIsDeletedByConsent(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, crew())
	o.Groups["team-eng"], o.Groups["team-ops"] = []string{"e-p00", "e-p01"}, []string{"e-p03"}
	o.Export()
	o.provisioned(o.syncing("hr:team-*"))
	o.isSynced("team-eng", "p00", "p01")
	o.opens("team-eng")
	o.provisionNow()

	delete(o.Groups, "team-eng")
	o.Export()
	o.until(func(s messages.OrgSyncState) bool { return s.Sources[0].Groups == 1 && s.Sources[0].Missing == 0 })
	hold := o.heldNow()
	require.Equal(t, 3, hold.Removals)
	require.Contains(t, hold.Rules[0], "group-delete: group team-eng of hr:team-eng would be deleted with its 2 members; it opens jira-software/acme")
	out, err := o.Starter(t.Context(), "plan", "--held", org)
	require.NoError(t, err)
	for _, person := range []string{"e-p00", "e-p01"} {
		require.Regexp(t, `remove +team-eng +`+o.Staff[person].Email+` .*jira-software/acme`, out)
	}
	require.Regexp(t, `delete +team-eng`, out)
	o.isSynced("team-eng", "p00", "p01")
	o.approveRecords()
	o.eventually(func() error {
		if slices.ContainsFunc(o.state().Groups, func(g cloud.StateGroup) bool { return g.Name == "team-eng" }) {
			return fmt.Errorf("team-eng is still there")
		}
		return nil
	})
	o.isSynced("team-ops", "p03")
	require.Nil(t, o.until(provisionedAll).IdentityHold)
}

// TestSyncedGroupIsReplaced: a group that is renamed in the source is replaced by consent, and nobody is without
// access in between: the former group stays until the new one opens what it opens.
func TestSyncedGroupIsReplaced(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	directory := startDirectory(t, 3, 3)
	file := cloud.OrgFile{People: []string{"boss", "p0", "p1", "p2"}, Admins: []string{"boss"},
		Local: []cloud.OrgGroup{{Name: tools}}}
	o := &testOrg{t: t, Stack: suite.StartWith(t, stack.SourceSecret(directory.Address(), "secret"),
		"--org", suite.OrgFile(t, file))}
	o.Files = suite.NewFiles(t, "hr", stack.SourceFolder(o.Dir))
	provision := o.provision("corp")
	provision[0].(map[string]any)["attributes"] = map[string]any{"userName": "mail", "emails": "mail"}
	more := o.syncing("corp:*")
	more["provision"] = provision
	more["sources"] = []any{map[string]any{"name": "corp", "kind": "ldap", "url": "ldap://" + directory.Address(),
		"base": "DC=acme", "bind": reader, "secret": "env:" + stack.SourceVariable, "activeDirectory": true, "every": "5s"}}
	_, err := o.Apply(t.Context(), org, o.policy([]map[string]any{{"name": "unused", "from": []string{"corp:none"}, "to": []string{"group:" + tools}}},
		more))
	require.NoError(t, err)
	o.until(provisionedAll)
	o.isSynced("engineers", "p0", "p1", "p2")
	o.opens("engineers")
	o.provisionNow()

	require.NoError(t, directory.Set(team, "cn", "developers"))
	o.heldNow()
	var answer messages.Answer // what a run about a few people holds is not the whole replacement
	require.NoError(t, o.Update(t.Context(), org, messages.ProvisionNow,
		messages.ProvisionNowInput{Provision: "staff", By: "test"}, &answer))
	hold := o.until(func(s messages.OrgSyncState) bool {
		return s.IdentityHold != nil && s.IdentityHold.Removals > 0
	}).IdentityHold
	require.Contains(t, strings.Join(hold.Rules, "\n"), "group-replace")
	require.Equal(t, []int{4, 4}, []int{hold.Adds, hold.Removals})
	o.approveRecords()
	o.isSynced("developers", "p0", "p1", "p2")
	o.until(func(s messages.OrgSyncState) bool { return s.IdentityHold != nil && s.IdentityHold.Plan != hold.Plan })
	o.isSynced("engineers", "p0", "p1", "p2")

	o.opens("developers")
	o.approveRecords()
	o.eventually(func() error {
		if slices.ContainsFunc(o.state().Groups, func(g cloud.StateGroup) bool { return g.Name == "engineers" }) {
			return fmt.Errorf("the former group is still there")
		}
		return nil
	})
	o.isSynced("developers", "p0", "p1", "p2")
	history, err := o.Simulator.History(t.Context())
	require.NoError(t, err)
	in := map[string]int{}
	for _, c := range history {
		group := c.What == "group:engineers" || c.What == "group:developers"
		switch {
		case group && c.Holds:
			in[c.Account]++
		case group:
			in[c.Account]--
			require.Positive(t, in[c.Account], "%s was in neither group", c.Email)
		}
	}
	require.Nil(t, o.until(provisionedAll).IdentityHold)
}

// TestSyncedGroupsOfReservedNames: the name of a default group is found within one cycle, with what to write instead,
// and nothing is sent.
func TestSyncedGroupsOfReservedNames(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, crew())
	o.Groups["jira-users-acme"] = []string{"e-p00"}
	o.Export()
	o.provisioned(o.syncing("hr:*"))
	o.notices("group-dropped jira-users-acme")
	state := o.until(provisionedAll)
	findings := strings.Join(state.Provisions[0].Findings, "\n")
	require.Contains(t, findings, `["default:jira-software/acme/user"]`)
	require.Zero(t, o.stats().Operations["scim.groups.create"])
}

// TestSyncedGroupsSurviveTrouble: whatever answers are lost, and whenever the worker dies, there is one group each,
// with everybody in it.
func TestSyncedGroupsSurviveTrouble(t *testing.T) {
	t.Parallel()
	o := start(t, crew())
	o.provisioned(o.syncing("hr:team-*"))
	require.NoError(t, o.Simulator.Fault(t.Context(), cloud.Fault{Operations: []string{"scim.groups.create", "scim.groups.patch"},
		Kind: cloud.FaultTimeoutAfter, Probability: 0.5, Count: 6, Seed: 7}))
	for n := range 6 {
		o.Groups[fmt.Sprintf("team-%d", n)] = []string{"e-p00", "e-p01", fmt.Sprintf("e-p0%d", n)}
	}
	o.Export()
	o.eventually(func() error {
		if o.stats().Operations["scim.groups.create"] < 2 {
			return fmt.Errorf("nothing was made yet")
		}
		return nil
	})
	o.Worker.Kill()
	require.NoError(t, o.StartWorker())
	for n := range 6 {
		names := []string{"p00", "p01"}
		if n > 1 {
			names = append(names, fmt.Sprintf("p0%d", n))
		}
		o.isSynced(fmt.Sprintf("team-%d", n), names...)
	}
	o.until(provisionedAll)
	d, err := o.Simulator.Directory(t.Context())
	require.NoError(t, err)
	require.Equal(t, 6, d.Groups)
}
