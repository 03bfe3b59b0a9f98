package identities_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// syncedStaff is an organization with a synced group of thirty people.
func syncedStaff() cloud.OrgFile {
	file := cloud.OrgFile{Domains: []string{"acme.example"}, Admins: []string{"boss"}, People: []string{"boss"},
		Local: []cloud.OrgGroup{{Name: "builders"}}}
	staff := cloud.OrgGroup{Name: "Jira Staff"}
	for n := range 30 {
		name := fmt.Sprintf("p%02d", n)
		file.People, staff.Members = append(file.People, name), append(staff.Members, name)
	}
	file.Groups = []cloud.OrgGroup{staff}
	return file
}

// restoreOrg is an organization whose synced group opens Jira and Confluence.
type restoreOrg struct {
	*testOrg
	was   cloud.StateGroup
	seats map[string]int // by resource, before anything is lost
}

func startRestores(t *testing.T) *restoreOrg {
	t.Helper()
	o := &restoreOrg{testOrg: start(t, syncedStaff())}
	client, err := organization.New(organization.Options{BaseURL: o.Simulator.URL + "/admin", OrgID: o.Simulator.OrgID,
		Key: func(context.Context) (string, error) { return stack.OrgKey, nil }})
	require.NoError(t, err)
	opened := 0
	for _, r := range o.state().Resources {
		if r.App == "jira-software" || r.App == "confluence" {
			require.NoError(t, organization.NewWriter(client).AssignGroupRole(t.Context(), o.Simulator.DirectoryID,
				o.group("Jira Staff").ID, "atlassian/user", r.Resource))
			opened++
		}
	}
	require.GreaterOrEqual(t, opened, 2)
	o.was, o.seats = o.group("Jira Staff"), o.seatsTaken()
	require.Len(t, o.was.Members, 30)
	o.Groups["engineers"] = []string{"e-boss"}
	o.Export()
	o.settled(o.policy([]map[string]any{{"name": "builders", "from": []string{"hr:engineers"},
		"to": []string{"group:builders"}}}, nil))
	return o
}

func (o *restoreOrg) group(name string) cloud.StateGroup {
	o.t.Helper()
	state := o.state()
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == name })
	require.GreaterOrEqual(o.t, i, 0, "there is no group %s", name)
	return state.Groups[i]
}

func (o *restoreOrg) seatsTaken() map[string]int {
	o.t.Helper()
	seats := map[string]int{}
	for _, r := range o.state().Resources {
		seats[r.Resource] = r.Seats
	}
	return seats
}

// empties removes everybody from the group, as the identity provider does.
func (o *restoreOrg) empties() {
	o.t.Helper()
	idp, err := o.Simulator.SCIM()
	require.NoError(o.t, err)
	_, err = idp.ReplaceMembers(o.t.Context(), o.was.SCIMGroupID)
	require.NoError(o.t, err)
}

// deletes deletes the group, as the identity provider does.
func (o *restoreOrg) deletes() {
	o.t.Helper()
	idp, err := o.Simulator.SCIM()
	require.NoError(o.t, err)
	require.NoError(o.t, idp.DeleteGroup(o.t.Context(), o.was.SCIMGroupID))
	for _, g := range o.state().Groups {
		require.NotEqual(o.t, o.was.ID, g.ID, "Atlassian deletes it, too")
	}
}

// verify has everybody verified.
func (o *restoreOrg) verify() messages.OrgSyncState {
	o.t.Helper()
	before := o.until(stack.Idle)
	require.NoError(o.t, o.Update(o.t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "boss@acme.example"}, nil))
	return o.until(func(s messages.OrgSyncState) bool {
		return stack.Idle(s) && s.LastFull != nil && s.LastFull.Run > before.LastFull.Run
	})
}

// reported waits for the finding that a group is lost.
func (o *restoreOrg) reported() {
	o.t.Helper()
	o.verify()
	state := o.until(func(s messages.OrgSyncState) bool {
		return slices.ContainsFunc(s.Findings, func(f string) bool { return strings.HasPrefix(f, "group-lost") })
	})
	i := slices.IndexFunc(state.Findings, func(f string) bool { return strings.HasPrefix(f, "group-lost") })
	require.Contains(o.t, state.Findings[i], "30 members")
	require.Contains(o.t, state.Findings[i], "user of jira-software/")
	require.Contains(o.t, state.Findings[i], "starter restore "+org+" "+o.was.ID)
}

func (o *restoreOrg) restore(args ...string) messages.RestoreState {
	o.t.Helper()
	out, err := o.Starter(o.t.Context(), append([]string{"--by", "boss@acme.example", "--json", "restore", org}, args...)...)
	require.NoError(o.t, err, out)
	return decoded[messages.RestoreState](o.t, out)
}

// approve approves the preview.
func (o *restoreOrg) approve(s messages.RestoreState) {
	o.t.Helper()
	require.NotNil(o.t, s.Hold, "nothing is to be restored: %+v", s)
	var answer messages.Answer
	require.NoError(o.t, o.UpdateOn(o.t.Context(), s.Workflow, messages.ApprovePlan,
		messages.DecisionInput{Plan: s.Hold.Plan, By: "boss@acme.example"}, &answer))
}

// ends waits until the restore is over.
func (o *restoreOrg) ends(s messages.RestoreState, state string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), patience)
	defer cancel()
	require.NoError(o.t, o.Temporal.Client.GetWorkflow(ctx, s.Workflow, "").Get(ctx, &s))
	require.Equal(o.t, state, s.State, "%+v", s)
	require.Empty(o.t, s.Differs)
}

// asBefore requires that the group has the members and roles that it had, and that they open the apps.
func (o *restoreOrg) asBefore() {
	o.t.Helper()
	is := o.group(o.was.Name)
	require.False(o.t, is.Synced)
	require.ElementsMatch(o.t, o.was.Members, is.Members)
	require.ElementsMatch(o.t, o.was.Roles, is.Roles)
	require.Equal(o.t, o.seats, o.seatsTaken())
}

// writes is how many calls changed groups, roles or memberships so far.
func (o *restoreOrg) writes() (n int) {
	o.t.Helper()
	for operation, count := range o.stats().Operations {
		if strings.HasSuffix(operation, ".assign") || strings.HasSuffix(operation, ".add") ||
			strings.HasSuffix(operation, ".create") {
			n += count
		}
	}
	return n
}

// TestRestoreOfADeletedGroup: an identity provider deletes a group that opens apps for thirty people; the next
// verification tells, and the restored group gives the same access. A second restore writes nothing.
func TestRestoreOfADeletedGroup(t *testing.T) {
	t.Parallel()
	o := startRestores(t)
	o.deletes()
	require.NotEqual(t, o.seats, o.seatsTaken(), "people lost their apps")
	o.reported()
	out, err := o.Starter(t.Context(), "groups", org, "--lost")
	require.NoError(t, err, out)
	require.Contains(t, out, "Jira Staff")
	require.Contains(t, out, o.was.ID)
	require.Contains(t, out, "synced")
	require.Contains(t, out, "space permissions in Confluence", "what no record has is said")
	members, err := o.Starter(t.Context(), "groups", org, "jira staff", "--format", "csv", "--limit", "0")
	require.NoError(t, err, members)
	require.Equal(t, 31, strings.Count(members, "\n"))

	preview := o.restore("Jira Staff")
	require.Equal(t, messages.RestoreHeld, preview.State)
	require.Equal(t, []messages.StateCount{{State: messages.RestorePending, Count: 30}}, preview.Counts)
	require.NotEmpty(t, preview.ByHand)
	before := o.writes()
	o.approve(preview)
	o.ends(preview, messages.RestoreDone)
	o.asBefore()
	require.Equal(t, before+1+len(o.was.Roles)+30, o.writes(), "each once")

	o.until(func(s messages.OrgSyncState) bool {
		return stack.Idle(s) && !slices.ContainsFunc(s.Findings, func(f string) bool { return strings.HasPrefix(f, "group-lost") })
	})
	before = o.writes()
	again := o.restore(o.was.ID)
	require.Equal(t, messages.RestoreDone, again.State)
	require.Equal(t, []messages.StateCount{{State: messages.RestoreAlready, Count: 30}}, again.Counts)
	require.Equal(t, before, o.writes(), "nothing is written")
	o.asBefore()
	check, err := o.Starter(t.Context(), "verify-ledger", org)
	require.NoError(t, err, check)
}

// TestRestoreOfAGroupThatWasEmptiedFirst: emptied, verified, deleted: the record still has everybody.
func TestRestoreOfAGroupThatWasEmptiedFirst(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := startRestores(t)
	o.empties()
	require.Empty(t, o.group("Jira Staff").Members)
	o.verify()
	o.verify()
	o.deletes()
	o.reported()
	preview := o.restore(o.was.ID)
	o.approve(preview)
	o.ends(preview, messages.RestoreDone)
	o.asBefore()
}

// TestRestoreSurvivesAKilledWorker: a worker dies in the middle of the additions; another goes on, and nobody is added
// twice.
func TestRestoreSurvivesAKilledWorker(t *testing.T) {
	t.Parallel()
	o := startRestores(t)
	o.deletes()
	o.reported()
	preview := o.restore(o.was.ID)
	require.NoError(t, o.Simulator.Fault(t.Context(), cloud.Fault{Operations: []string{"memberships.add"},
		Kind: cloud.FaultLatency, Params: cloud.FaultParams{Delay: cloud.Duration(300 * time.Millisecond)}}))
	o.approve(preview)
	o.eventually(func() error {
		state := o.state()
		i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == o.was.Name })
		if i < 0 || len(state.Groups[i].Members) < 5 {
			return errors.New("fewer than five are added")
		}
		return nil
	})
	o.Worker.Kill()
	require.Less(t, len(o.group(o.was.Name).Members), 30, "it was in the middle")
	require.NoError(t, o.Simulator.ClearFaults(t.Context()))
	require.NoError(t, o.StartWorker())
	o.ends(preview, messages.RestoreDone)
	o.asBefore()
}
