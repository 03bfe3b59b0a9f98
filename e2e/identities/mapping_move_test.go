package identities_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// moveOrg is an organization in which a mapping gives builders to the synced group Jira Staff, while the source hr has
// a group of the same name.
type moveOrg struct {
	*testOrg
	staff []string // names of those in the synced group
}

// startMove starts the organization with a group in the source that has the people of the synced one, changed by how.
func startMove(t *testing.T, how func(keys []string) []string) *moveOrg {
	t.Helper()
	o := &moveOrg{testOrg: start(t, syncedStaff())}
	var keys []string
	o.staff = o.members("Jira Staff")
	require.Len(t, o.staff, 30)
	for _, name := range o.staff {
		keys = append(keys, "e-"+name)
	}
	o.Groups["Jira Staff"] = how(keys)
	o.Export()
	state := o.settled(o.from("Jira Staff"))
	o.become("builders", o.staff...)
	require.Equal(t, 31, state.Sources[0].People)
	require.Equal(t, 1, state.Sources[0].Groups, "the source's group was read, too")
	o.until(stack.Idle)
	require.NoError(t, o.Simulator.ResetStats(t.Context()))
	return o
}

// from is the policy that maps a source group to builders.
func (o *moveOrg) from(group string) string {
	o.t.Helper()
	return o.policy([]map[string]any{{"name": "builders", "from": []string{group},
		"to": []string{"group:builders"}}}, nil)
}

// preview returns what starter says a policy would change, and its plan.
func (o *moveOrg) preview(policy string) (text string, page messages.PlanPage) {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), "acme.yaml")
	require.NoError(o.t, os.WriteFile(path, []byte(policy), 0o600))
	text, err := o.Starter(o.t.Context(), "plan", path)
	require.NoError(o.t, err, text)
	out, err := o.Starter(o.t.Context(), "--json", "plan", path)
	require.NoError(o.t, err, out)
	answer := decoded[messages.ReportAnswer](o.t, out)
	require.NotNil(o.t, answer.Plan, out)
	require.Equal(o.t, 31, answer.Plan.Run.Counts.People, "everybody was read")
	return text, *answer.Plan
}

// history returns every change that took effect so far.
func (o *moveOrg) history() []cloud.Change {
	o.t.Helper()
	all, err := o.Simulator.History(o.t.Context())
	require.NoError(o.t, err)
	return all
}

// TestMappingMovesFromSyncedGroupsToTheSource: a mapping is moved from a synced group to the source's group of the same
// name and the same people. The preview shows no change and nobody is removed, not even to be added again; from then
// on the source's group gives the target, and the synced one does not.
func TestMappingMovesFromSyncedGroupsToTheSource(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := startMove(t, slices.Clone[[]string])
	before, was := o.history(), o.state()
	moved := o.from("hr:Jira Staff")
	text, page := o.preview(moved)
	require.Contains(t, text, "31 people read: 0 adds, 0 removals, 0 adoptions; the guard holds 0 of these changes")
	require.Empty(t, page.Lines)
	require.Zero(t, o.stats().Writes, "a preview writes nothing")

	earlier := o.until(stack.Idle)
	_, err := o.Apply(t.Context(), org, moved)
	require.NoError(t, err)
	state := o.until(func(s messages.OrgSyncState) bool {
		return stack.Idle(s) && s.Policy != earlier.Policy && s.LastFull.Run > earlier.LastFull.Run
	})
	require.Nil(t, state.Hold)
	require.Len(t, state.Findings, 1)
	require.Contains(t, state.Findings[0], "uncovered-group Jira Staff", "and nothing else")
	require.Equal(t, []int{31, 0, 0, 0}, []int{state.LastFull.Counts.People, state.LastFull.Counts.Adds,
		state.LastFull.Counts.Removals, state.LastFull.Counts.Adopts})
	stats := o.stats()
	require.Zero(t, stats.Writes, stats.Operations)
	require.Equal(t, before, o.history(), "nobody was removed or added, even for a moment")
	require.Equal(t, was.Groups, o.state().Groups)
	why, err := o.Starter(t.Context(), "explain", org, o.Staff["e-p07"].Email)
	require.NoError(t, err)
	require.Contains(t, why, "source hr → group Jira Staff → builders → group:builders")

	idp, err := o.Simulator.SCIM()
	require.NoError(t, err)
	i := slices.IndexFunc(was.Groups, func(g cloud.StateGroup) bool { return g.Name == "Jira Staff" })
	_, err = idp.ReplaceMembers(t.Context(), was.Groups[i].SCIMGroupID)
	require.NoError(t, err)
	require.Empty(t, o.members("Jira Staff"))
	o.verified()
	require.Equal(t, o.staff, o.members("builders"), "the synced group gives nothing any more")

	// p00 leaves the source's group, and the boss joins it.
	o.Groups["Jira Staff"] = append(o.Groups["Jira Staff"][1:], "e-boss")
	o.Export()
	o.become("builders", append(slices.Clone(o.staff[1:]), "boss")...)
	var of []string
	for _, c := range o.history()[len(before):] {
		if c.What == "group:builders" {
			of = append(of, c.Email)
		}
	}
	require.ElementsMatch(t, []string{o.Staff["e-p00"].Email, o.Staff["e-boss"].Email}, of,
		"each once, and nobody else")
}

// TestMappingMovesFromSyncedGroupsToTheSourceShowsWhoDiffers: one person is another in the source's group, and the
// preview of the move names the two of them and nobody else.
func TestMappingMovesFromSyncedGroupsToTheSourceShowsWhoDiffers(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := startMove(t, func(keys []string) []string { return append(slices.Clone(keys[1:]), "e-boss") })
	before := o.history()
	moved := o.from("hr:Jira Staff")
	text, page := o.preview(moved)
	require.Contains(t, text, "31 people read: 1 adds, 1 removals, 0 adoptions; the guard holds 0 of these changes")
	require.Regexp(t, `add +boss@acme\.example +group:builders`, text)
	require.Regexp(t, `remove +p00@acme\.example +group:builders`, text)
	changes := map[string]access.Action{}
	for _, l := range page.Lines {
		require.Equal(t, access.GroupEntitlement("builders"), l.Target)
		changes[l.Email] = l.Action
	}
	require.Equal(t, map[string]access.Action{"boss@acme.example": access.Add, "p00@acme.example": access.Remove},
		changes)
	require.Len(t, page.Lines, 2)
	require.Zero(t, o.stats().Writes)
	require.Equal(t, before, o.history())

	_, err := o.Apply(t.Context(), org, moved)
	require.NoError(t, err)
	o.become("builders", append(slices.Clone(o.staff[1:]), "boss")...)
	after := o.until(stack.Idle)
	require.Nil(t, after.Hold)
	require.Len(t, o.history(), len(before)+2, "what the preview showed, and nothing else")
}
