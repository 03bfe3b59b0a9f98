package provisioning_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	syncs = `groups: [{name: g, from: ["hr:*"], as: synced, create: true}]
`
	syncsAll = syncs + activitytest.OpenGuard
)

// crew are so many people of the source, all in step.
func (o *provisioned) crew(people int) (keys []string) {
	o.T.Helper()
	o.hire(people)
	o.inStep()
	for n := range people {
		keys = append(keys, fmt.Sprintf("e%03d", n))
	}
	return keys
}

// synced provisions until the groups are as the source has them.
func (o *provisioned) synced() {
	o.T.Helper()
	o.read()
	in, _ := o.run()
	o.write(in, false)
	_, verdict := o.run()
	require.Zero(o.T, verdict.Open)
	require.Nil(o.T, verdict.Hold)
}

// shows lets the organization show what it has, and a verification read it.
func (o *provisioned) shows() {
	o.T.Helper()
	o.Advance(5 * time.Minute)
	o.VerifyEverybody()
}

// group is a group of the organization, with the keys of its members.
func (o *provisioned) group(name string) (g cloud.StateGroup, keys []string) {
	o.T.Helper()
	state := o.Sim.State()
	for _, one := range state.Groups {
		if strings.EqualFold(one.Name, name) {
			for _, p := range state.People {
				if slices.Contains(one.Members, p.AccountID) {
					keys = append(keys, strings.TrimSuffix(p.Email, "@acme.example"))
				}
			}
			slices.Sort(keys)
			return one, keys
		}
	}
	return g, nil
}

func (o *provisioned) members(name string) []string {
	o.T.Helper()
	_, keys := o.group(name)
	return keys
}

func (o *provisioned) consent(plan string) {
	o.T.Helper()
	_, err := o.Ledger.DecideHoldIn(o.T.Context(), "acme", ledger.LaneIdentity, plan, ledger.Approve, "bo", "", o.Clock())
	require.NoError(o.T, err)
}

func writes(made map[string]int) (n int) {
	for name, calls := range made {
		if strings.HasPrefix(name, "scim.") && !strings.HasSuffix(name, ".get") && !strings.HasSuffix(name, ".list") {
			n += calls
		}
	}
	return n
}

// TestGroupsAreMadeFilledAndFollowed: groups of a source become synced groups with its members, in batches; a change of
// one is one write, and a second look writes nothing.
func TestGroupsAreMadeFilledAndFollowed(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(250)
	o.groups["g1 eng"], o.groups["g2 Ops"] = keys, keys[:3]
	o.read()
	var in provisioning.RunInput
	made := o.Calls(func() {
		in, _ = o.run()
		o.write(in, false)
	})
	require.Equal(t, 2, made["scim.groups.create"], "%v", made)
	require.Equal(t, 2, made["scim.groups.patch"], "a hundred with the group, a hundred, and fifty: %v", made)
	require.Equal(t, keys, o.members("eng"))
	require.Equal(t, keys[:3], o.members("ops"))
	g, _ := o.group("eng")
	require.True(t, g.Synced)
	seen := o.verify(in)
	require.Equal(t, []any{255, 0}, []any{seen.Verified, seen.Unverified}, "253 members, two groups: %+v", seen)

	made = o.Calls(func() {
		_, verdict := o.run()
		require.Zero(t, verdict.Open)
		require.Empty(t, verdict.Findings)
	})
	require.Zero(t, writes(made), "%v", made)
	require.Equal(t, 1, made["scim.groups.list"])

	o.groups["g2 Ops"] = []string{keys[0], keys[2], keys[9]}
	o.read()
	o.read()
	made = o.Calls(func() {
		in, _ = o.run(append([]string{"hr:" + keys[1]}, "hr:"+keys[9])...)
		o.write(in, false)
	})
	require.Equal(t, 2, writes(made), "%v", made)
	require.Equal(t, []string{keys[0], keys[2], keys[9]}, o.members("ops"))
}

// TestGroupsOfLeaversAndReturners: whoever leaves is in no group of the directory any more, and returns to the groups
// that the source has them in then.
func TestGroupsOfLeaversAndReturners(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(5)
	o.groups["g1 eng"], o.groups["g2 ops"] = keys, keys[1:]
	o.synced()
	o.Change("e001", func(i *identity) { i.disabled = true })
	o.read()
	in, _ := o.run("hr:e001")
	o.write(in, false)
	require.NotContains(t, o.members("eng"), "e001")
	require.NotContains(t, o.members("ops"), "e001")

	o.groups["g1 eng"] = slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k == "e001" })
	o.Change("e001", func(i *identity) { i.disabled = false })
	o.read()
	o.read()
	in, _ = o.run()
	o.write(in, false)
	require.NotContains(t, o.members("eng"), "e001")
	require.Contains(t, o.members("ops"), "e001")
}

// Change changes somebody of the source.
func (o *provisioned) Change(key string, how func(*identity)) {
	one := o.staff[key]
	how(&one)
	o.staff[key] = one
}

// TestGroupsJudgedLikeLocalOnes: more removals from a group than the policy allows wait as one plan, and name their
// target.
func TestGroupsJudgedLikeLocalOnes(t *testing.T) {
	t.Parallel()
	o := start(t, syncs+strings.Replace(activitytest.OpenGuard, "target: {removals: 1000", "target: {removals: 2", 1))
	keys := o.crew(9)
	o.groups["g1 eng"], o.groups["g2 ops"] = keys, keys
	o.synced()
	o.groups["g1 eng"], o.groups["g2 ops"] = keys[3:], keys[1:]
	o.read()
	o.read()
	in, verdict := o.run()
	require.Equal(t, []any{1, 3}, []any{verdict.Open, verdict.Hold.Removals}, "%v", verdict.Hold)
	require.Contains(t, verdict.Hold.Rules[0], "target-removals: the run would remove 3 people from scim-group:staff/eng")
	o.write(in, false)
	require.Len(t, o.members("eng"), 9)
	require.Len(t, o.members("ops"), 8)
	o.consent(verdict.Hold.Plan)
	o.write(in, true)
	require.Len(t, o.members("eng"), 6)
}

// TestGroupsOfASuspectSource: nobody leaves a group on the word of a source that was not read for long.
func TestGroupsOfASuspectSource(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(3)
	o.groups["g1 eng"] = keys
	o.synced()
	o.groups["g1 eng"] = keys[1:]
	o.read()
	o.read()
	o.Advance(3 * time.Hour)
	_, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Nil(t, verdict.Hold)
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "1 memberships in groups of provision staff would end")
	delete(o.groups, "g1 eng")
	o.read()
	o.read()
	o.Advance(3 * time.Hour)
	_, verdict = o.run()
	require.Nil(t, verdict.Hold, "nor is the group deleted")
}

// TestGroupsThatAreGoneAreHeld: a group that the source no longer has stays, until somebody who saw each member and
// app has approved its deletion; and one more member is not deleted with it.
func TestGroupsThatAreGoneAreHeld(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(3)
	o.groups["g1 eng"], o.groups["g2 ops"] = keys, keys
	o.synced()
	o.open("eng")
	o.shows()
	delete(o.groups, "g1 eng")
	o.read()
	_, verdict := o.run()
	require.Nil(t, verdict.Hold, "one read proves nothing")
	o.read()
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Equal(t, 4, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "group-delete: group eng of hr:eng would be deleted with its 3 members; it opens jira-software/acme")
	lines, err := o.Ledger.Lines(t.Context(), "acme", in.Run, ledger.Filter{})
	require.NoError(t, err)
	for _, line := range lines {
		if line.Target.Kind() == access.KindSCIMGroup {
			require.Equal(t, []string{"jira-software/acme"}, line.Loses)
			require.Equal(t, []string{"group-delete"}, line.HeldBy)
		}
	}
	require.Empty(t, o.writeGroups(in, false))

	o.put("eng", "ana@acme.example")
	o.consent(verdict.Hold.Plan)
	require.Equal(t, map[access.ChangeState]int{access.Superseded: 4}, o.writeGroups(in, true))
	require.Len(t, o.members("eng"), 4)

	in, verdict = o.run()
	require.Equal(t, 5, verdict.Hold.Removals)
	o.consent(verdict.Hold.Plan)
	require.Equal(t, map[access.ChangeState]int{access.Done: 5}, o.writeGroups(in, true))
	require.Empty(t, o.members("eng"))
	require.Len(t, o.members("ops"), 3)
	seen := o.verify(in)
	require.Equal(t, []any{5, 0}, []any{seen.Verified, seen.Unverified})
	_, verdict = o.run()
	require.Nil(t, verdict.Hold)
	require.Zero(t, verdict.Open)
}

// open gives a group of the organization access to Jira.
func (o *provisioned) open(group string) {
	o.T.Helper()
	o.Send(http.MethodPost, "/_sim/groups/"+group+"/roles", map[string]any{"app": "jira", "site": "acme", "role": "user"})
}

// put has another identity provider put somebody into a group of the directory.
func (o *provisioned) put(group, address string) {
	o.T.Helper()
	g, _ := o.group(group)
	path := "/scim/directory/" + o.Sim.Info().SCIMDirectoryID
	if !slices.ContainsFunc(o.Sim.State().People, func(p cloud.StatePerson) bool {
		return p.Email == address && p.SCIMUserID != ""
	}) {
		o.Send(http.MethodPost, path+"/Users", map[string]any{
			"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": address,
			"emails": []any{map[string]any{"value": address, "primary": true}}, "active": true})
	}
	o.Send(http.MethodPatch, path+"/Groups/"+g.SCIMGroupID, map[string]any{
		"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{map[string]any{"op": "add", "path": "members",
			"value": []any{map[string]string{"value": o.record(address).SCIMUserID}}}},
	})
}

// TestGroupsWithMembersOfOthers: whoever another provider puts into a group is named, and leaves it by a decision only.
func TestGroupsWithMembersOfOthers(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(4)
	o.groups["g1 eng"] = keys[:3]
	o.synced()
	o.put("eng", keys[3]+"@acme.example")
	o.put("eng", "ana@acme.example")
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Equal(t, 2, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "stray-member: 2 changes")
	o.consent(verdict.Hold.Plan)
	require.Equal(t, map[access.ChangeState]int{access.Done: 2}, o.writeGroups(in, true))
	require.Equal(t, keys[:3], o.members("eng"))
}

// TestGroupsRenamedAreReplaced: the new group gets everybody first, and the former one is deleted once the new one
// gives the same; until then everybody has what they had.
func TestGroupsRenamedAreReplaced(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(3)
	o.groups["g1 eng"] = keys
	o.synced()
	o.open("eng")
	o.shows()
	delete(o.groups, "g1 eng")
	o.groups["g1 Engineering"] = keys
	o.read()
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Contains(t, strings.Join(verdict.Hold.Rules, "\n"), "group-replace")
	require.Equal(t, []int{4, 4}, []int{verdict.Hold.Adds, verdict.Hold.Removals})
	o.consent(verdict.Hold.Plan)
	o.write(in, true)
	require.Equal(t, keys, o.members("Engineering"))
	require.Equal(t, keys, o.members("eng"), "the new one opens nothing yet")

	o.open("Engineering")
	o.shows()
	in, verdict = o.run()
	require.Zero(t, verdict.Open)
	require.Equal(t, []int{0, 4}, []int{verdict.Hold.Adds, verdict.Hold.Removals})
	o.consent(verdict.Hold.Plan)
	o.write(in, true)
	require.Empty(t, o.members("eng"))
	require.Equal(t, keys, o.members("engineering"))
	_, verdict = o.run()
	require.Nil(t, verdict.Hold)
}

// approveAll writes and approves whatever is asked for until nothing is, and lets each of some groups open Jira.
func (o *provisioned) approveAll(open ...string) {
	o.T.Helper()
	for range 6 {
		in, verdict := o.run()
		if verdict.Open == 0 && verdict.Hold == nil {
			return
		}
		o.write(in, false)
		if verdict.Hold != nil {
			o.consent(verdict.Hold.Plan)
			o.write(in, true)
		}
		for _, name := range open {
			if g, _ := o.group(name); g.Name != "" && len(g.Roles) == 0 {
				o.open(name)
			}
		}
		o.shows()
	}
	o.T.Fatal("the same is asked for again and again")
}

// TestGroupsRenamedOnceMore: whatever the source does with a group while the one that it replaces is still there, in
// the end there is one of its name, or none.
func TestGroupsRenamedOnceMore(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(o *provisioned, keys []string){
		"again": func(o *provisioned, keys []string) { o.groups["g1 Makers"] = keys },
		"back":  func(o *provisioned, keys []string) { o.groups["g1 eng"] = keys },
		"gone":  func(*provisioned, []string) {},
		"and another one has the former name": func(o *provisioned, keys []string) {
			o.groups["g1 Engineering"], o.groups["g0 eng"] = keys, keys[1:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t, syncsAll)
			keys := o.crew(3)
			o.groups["g1 eng"] = keys
			o.synced()
			o.open("eng")
			o.shows()
			delete(o.groups, "g1 eng")
			o.groups["g1 Engineering"] = keys
			o.read()
			in, verdict := o.run()
			o.consent(verdict.Hold.Plan)
			o.write(in, true)
			require.Equal(t, []any{keys, keys}, []any{o.members("Engineering"), o.members("eng")}, "the new one opens nothing")

			delete(o.groups, "g1 Engineering")
			then(o, keys)
			o.read()
			o.read()
			o.shows()
			want := map[string][]string{}
			for name, members := range o.groups {
				want[name[3:]] = members
			}
			o.approveAll("eng", "Engineering", "Makers")
			for _, name := range []string{"eng", "Engineering", "Makers"} {
				require.Equal(t, want[name], o.members(name), name)
			}
		})
	}
}

// TestGroupsThatAtlassianDrops: the name of a default group is refused where it is known, with what to write instead;
// and where it becomes one, the group is found, and its deletion offered.
func TestGroupsThatAtlassianDrops(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(2)
	o.groups["g1 jira-users-acme"], o.groups["g2 Administrators"] = keys, keys
	o.read()
	_, verdict := o.run()
	require.Zero(t, verdict.Open)
	findings := strings.Join(verdict.Findings, "\n")
	require.Contains(t, findings, `Write a mapping from ["hr:jira-users-acme"] to ["default:jira-software/acme/user"], or an entry of groups with as: local, from: ["hr:jira-users-acme"] and to: "jira-users-acme"`)
	require.Contains(t, findings, "group-dropped Administrators")

	o.groups = map[string][]string{"g3 late": keys}
	o.read()
	in, _ := o.run()
	o.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "late"})
	o.Send(http.MethodPost, "/_sim/defaults", map[string]any{"app": "jira", "site": "acme", "role": "user", "group": "late",
		"also": true})
	o.write(in, false)
	seen := o.verify(in)
	require.Contains(t, strings.Join(seen.Findings, "\n"), "group-conflict late")
	o.shows()
	in, verdict = o.run()
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "default:jira-software/acme/user")
	require.Equal(t, 1, verdict.Hold.Removals, "nobody loses anything")
	require.Contains(t, verdict.Hold.Rules[0], "group-dropped", "%v", verdict)
	o.consent(verdict.Hold.Plan)
	o.write(in, true)
	_, verdict = o.run()
	require.Nil(t, verdict.Hold)
	require.Zero(t, verdict.Open)
}

// TestGroupsInConflictWithLocalOnes: a group with the name of a local one is made by consent, waits at Atlassian until
// a person accepts it there, and follows its source from then on.
func TestGroupsInConflictWithLocalOnes(t *testing.T) {
	t.Parallel()
	for _, conflicts := range []string{cloud.ConflictsHeld, cloud.ConflictsRefused} {
		t.Run(conflicts, func(t *testing.T) {
			t.Parallel()
			o := start(t, syncsAll)
			keys := o.crew(2)
			o.groups["g1 builders"] = keys
			o.Send(http.MethodPost, "/_sim/settings", map[string]any{"groupConflicts": conflicts})
			o.read()
			in, verdict := o.run()
			require.Zero(t, verdict.Open)
			require.Contains(t, verdict.Hold.Rules[0], "group-conflict")
			o.consent(verdict.Hold.Plan)
			o.write(in, true)
			require.Empty(t, o.members("builders"))
			if conflicts == cloud.ConflictsRefused {
				_, verdict = o.run()
				require.NotNil(t, verdict.Hold, "it is asked for again")
				return
			}
			o.shows()
			_, verdict = o.run()
			require.Contains(t, strings.Join(verdict.Findings, "\n"), "Atlassian holds the group builders back")
			o.Send(http.MethodPost, "/_sim/scim/"+o.Sim.Info().SCIMDirectoryID+"/groups/builders/accept", nil)
			require.Equal(t, keys, o.members("builders"))
			o.shows()
			_, verdict = o.run()
			require.Empty(t, verdict.Findings)
		})
	}
}

// shownConflict is an organization whose local group makers waits until a person accepts the synced one: of its
// members, e000 is in the source's group and bo is not; e001 and e002 are in that alone. What is in the feed is known.
func shownConflict(t *testing.T) (o *provisioned, cursor string) {
	t.Helper()
	file := people
	file.Local = append(slices.Clone(file.Local), cloud.OrgGroup{Name: "makers", Members: []string{"bo"}})
	o = startOf(t, file, syncsAll)
	keys := o.crew(3)
	o.ByHand(http.MethodPost, "makers", keys[0])
	o.groups["g1 makers"] = keys
	o.read()
	o.VerifyEverybody()
	in, verdict := o.run()
	require.Contains(t, verdict.Hold.Rules[0], "group-conflict")
	o.consent(verdict.Hold.Plan)
	o.write(in, true)
	o.shows()
	require.Contains(t, o.Findings(), "group-conflict makers")
	answer := o.conflicts("makers")
	require.Equal(t, []int{2, 1}, []int{answer.Conflicts[0].Missing, answer.Conflicts[0].Extra})
	return o, o.Watch("").Cursor
}

func (o *provisioned) conflicts(group string) messages.ReportAnswer {
	o.T.Helper()
	return o.Ask(messages.ReportInput{Kind: messages.ReportConflicts, ID: group})
}

// accepted has a person accept the synced group makers at Atlassian, and everybody verified.
func (o *provisioned) accepted(cursor string) {
	o.T.Helper()
	o.Send(http.MethodPost, "/_sim/scim/"+o.Sim.Info().SCIMDirectoryID+"/groups/makers/accept", nil)
	o.Watch(cursor)
	o.shows()
}

// applied lists what the chain says became of groups that were accepted at Atlassian.
func (o *provisioned) applied() (all []string) {
	o.T.Helper()
	entries, err := o.Ledger.Entries(o.T.Context(), "acme", 0, 1000)
	require.NoError(o.T, err)
	for _, e := range entries {
		var said struct{ Where, Applied string }
		if e.Kind == ledger.EntryGroupConflict {
			require.NoError(o.T, json.Unmarshal([]byte(e.Body), &said))
			require.Equal(o.T, "Atlassian", said.Where)
			all = append(all, said.Applied)
		}
	}
	return all
}

// TestGroupsAcceptedAsShown: the conflict ends, and the chain says that what was applied is what was shown.
func TestGroupsAcceptedAsShown(t *testing.T) {
	t.Parallel()
	o, cursor := shownConflict(t)
	o.accepted(cursor)
	require.Equal(t, []string{"e000", "e001", "e002"}, o.members("makers"))
	o.shows()
	require.NotContains(t, o.Findings(), "group-conflict makers")
	require.NotContains(t, o.Findings(), "group-accepted-otherwise makers")
	require.Empty(t, o.conflicts("").Conflicts)
	require.Equal(t, []string{ledger.AppliedAsShown}, o.applied())
}

// TestGroupsAcceptedOtherwiseThanShown: whoever lost a group, or is in it, without having been shown is named until it
// is right again, or until a person leaves it so.
func TestGroupsAcceptedOtherwiseThanShown(t *testing.T) {
	t.Parallel()
	const otherwise = "group-accepted-otherwise makers"
	t.Run("lost unseen", func(t *testing.T) {
		t.Parallel()
		o, cursor := shownConflict(t)
		o.ByHand(http.MethodPost, "makers", "carol")
		o.accepted(cursor)
		for range 2 {
			require.Contains(t, o.Findings()[otherwise], "of 1 people, 1 are not in it")
			require.Equal(t, []messages.ConflictPerson{{Account: o.AccountID("carol"), Email: "carol@acme.example",
				Lost: true}}, o.conflicts("makers").Conflicted)
			o.shows()
		}
		require.Equal(t, []string{ledger.AppliedOtherwise}, o.applied())
		_, err := o.Ledger.RejectConflict(t.Context(), "acme", o.conflicts("makers").Conflicts[0].Conflict, "bo", "",
			o.Clock())
		require.NoError(t, err)
		o.shows()
		require.NotContains(t, o.Findings(), otherwise)
	})
	t.Run("stayed by another writer", func(t *testing.T) {
		t.Parallel()
		o, cursor := shownConflict(t)
		o.Send(http.MethodPost, "/_sim/scim/"+o.Sim.Info().SCIMDirectoryID+"/groups/makers/accept", nil)
		o.put("makers", "bo@acme.example")
		o.Watch(cursor)
		o.shows()
		require.Contains(t, o.Findings()[otherwise], "1 are in it who were not to be")
		in, verdict := o.run()
		o.consent(verdict.Hold.Plan)
		o.writeGroups(in, true)
		o.shows()
		require.NotContains(t, o.Findings(), otherwise)
		require.Empty(t, o.conflicts("").Conflicts)
		require.Equal(t, []string{ledger.AppliedOtherwise, ledger.AppliedCorrected}, o.applied())
	})
	t.Run("a source that cannot tell", func(t *testing.T) {
		t.Parallel()
		o, cursor := shownConflict(t)
		o.ByHand(http.MethodPost, "makers", "carol")
		o.Advance(3 * time.Hour)
		o.accepted(cursor)
		require.Empty(t, o.applied(), "it waits")
		o.read()
		o.shows()
		require.Contains(t, o.Findings(), otherwise)
	})
}

// TestGroupsOfOthersAreTakenOver: a group that another provider made is taken over by consent, and what it has for no
// reason is removed by consent as well.
func TestGroupsOfOthersAreTakenOver(t *testing.T) {
	t.Parallel()
	o := startOf(t, cloud.OrgFile{Domains: people.Domains, People: append([]string{"zoe"}, people.People...),
		Admins: people.Admins, Invited: people.Invited, Local: people.Local,
		Groups: []cloud.OrgGroup{{Name: "eng", Members: []string{"zoe"}}}}, syncsAll)
	keys := o.crew(2)
	o.groups["g1 Eng"] = keys
	o.read()
	in, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Contains(t, strings.Join(verdict.Hold.Rules, "\n"), "group-takeover")
	o.consent(verdict.Hold.Plan)
	o.write(in, true)
	require.Subset(t, o.members("eng"), keys)
	_, verdict = o.run()
	require.Zero(t, verdict.Open)
}

// TestGroupsAfterLostAnswers: whatever answer is lost, there is one group, with everybody once.
func TestGroupsAfterLostAnswers(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(130)
	o.groups["g1 eng"] = keys
	o.read()
	in, _ := o.run()
	approved := false
	for _, operation := range []string{"scim.groups.create", "scim.groups.patch"} {
		_, err := o.Sim.Inject(cloud.Fault{Operations: []string{operation}, Kind: cloud.FaultTimeoutAfter, Count: 1})
		require.NoError(t, err)
	}
	next := apply.GroupChangeInput{RunInput: in.RunInput, Provision: "staff", Group: "eng", Action: access.Add,
		Approved: &approved}
	_, err := activitytest.Call[apply.GroupChangeResult](o.SimulatedOrg, o.Acts.Apply.ApplyGroup, next)
	require.Error(t, err)
	result := activitytest.Must[apply.GroupChangeResult](o.SimulatedOrg, o.Acts.Apply.ApplyGroup, next)
	next.After = result.After
	_, err = activitytest.Call[apply.GroupChangeResult](o.SimulatedOrg, o.Acts.Apply.ApplyGroup, next)
	require.Error(t, err)
	o.writeGroups(in, false)
	require.Equal(t, keys, o.members("eng"))
	seen := o.verify(in)
	require.Equal(t, []any{131, 0}, []any{seen.Verified, seen.Unverified})
	_, verdict := o.run()
	require.Zero(t, verdict.Open)
}

// TestGroupsInSmallerBatches: a directory that takes fewer people at once is asked for half of them, and again; and one
// that answers and stores nothing is not believed.
func TestGroupsInSmallerBatches(t *testing.T) {
	t.Parallel()
	o := start(t, syncsAll)
	keys := o.crew(120)
	o.groups["g1 eng"] = keys
	o.Send(http.MethodPost, "/_sim/settings", map[string]any{"scimMembers": 30})
	o.synced()
	require.Equal(t, keys, o.members("eng"))

	o.groups["g1 eng"] = keys[:119]
	o.read()
	o.read()
	_, err := o.Sim.Inject(cloud.Fault{Operations: []string{"scim.groups.patch"}, Kind: cloud.FaultUnstored, Count: 1})
	require.NoError(t, err)
	in, _ := o.run()
	require.Equal(t, map[access.ChangeState]int{access.Done: 1}, o.writeGroups(in, false), "as it was answered")
	require.Equal(t, 1, o.verify(in).Unverified)
	in, _ = o.run()
	require.Equal(t, map[access.ChangeState]int{access.Done: 1}, o.writeGroups(in, false))
	require.Equal(t, keys[:119], o.members("eng"))
}
