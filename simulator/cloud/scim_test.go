package cloud_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/stretchr/testify/require"
)

func member(ids ...string) []any {
	out := []any{}
	for _, id := range ids {
		out = append(out, map[string]string{"value": id})
	}
	return out
}

func patch(operations ...map[string]any) map[string]any {
	return map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": operations}
}

func TestSCIMGroupShowsAsSyncedGroup(t *testing.T) {
	s := start(t)
	r := s.must("S/Groups", map[string]any{"displayName": "ops", "members": member(s.scimUser("ana"))})
	require.Equal(t, 201, r.status)
	g := s.group("ops")
	require.True(t, g.Synced)
	require.Equal(t, g.SCIMGroupID, r.word("id"))
	require.NotEqual(t, g.ID, r.word("id"), "SCIM has ids of its own")
	require.Equal(t, []string{s.account("ana")}, s.membersOf("ops"))
	require.Equal(t, "403 ADMIN-403-5", codes(s.add("ops", "bo")))
	feed := s.get("V1/events-stream")
	require.Equal(t, []string{"group_created", "user_added_to_group"}, feed.actions())
	require.Equal(t, "SCIM", feed.at("data", 1, "attributes", "actor", "name"))

	require.Equal(t, 204, s.delete("S/Groups/"+r.word("id")).status)
	require.Equal(t, 404, s.get("S/Groups/"+r.word("id")).status)
	require.Empty(t, s.must("D/groups/search", map[string]any{"groupNames": []string{"ops"}}).at("data"),
		"the organization's group goes too")
}

// TestSCIMGroupsEver: the control API tells of groups that were deleted, too, and who made them for what.
func TestSCIMGroupsEver(t *testing.T) {
	s := start(t)
	ever := func(name string) (all []cloud.SCIMGroup) {
		for _, g := range s.c.SCIMDirectories()[0].Ever {
			if g.Name == name {
				all = append(all, g)
			}
		}
		return all
	}
	for _, key := range []string{"k1", "k2"} {
		made := s.must("S/Groups", map[string]any{"displayName": "ops", "externalId": key})
		there := ever("ops")
		require.Equal(t, key, there[len(there)-1].ExternalID)
		require.Zero(t, there[len(there)-1].Deleted)
		s.must("/_sim/clock", map[string]string{"advance": "1h"})
		require.Equal(t, 204, s.delete("S/Groups/"+made.word("id")).status)
		s.must("/_sim/clock", map[string]string{"advance": "1h"})
	}
	gone := ever("ops")
	require.Len(t, gone, 2)
	require.Equal(t, []string{"k1", "k2"}, []string{gone[0].ExternalID, gone[1].ExternalID})
	require.False(t, gone[0].Deleted.IsZero() || gone[1].Deleted.IsZero(), gone)
}

func TestSCIMGroupNames(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"groupConflicts": cloud.ConflictsRefused})
	for _, taken := range []string{"Engineering", "reviewers"} {
		r := s.post("S/Groups", map[string]any{"displayName": taken})
		require.Equal(t, 409, r.status)
		require.Equal(t, "Resource [GROUP]: with displayName already exists.", r.at("detail"))
		require.Equal(t, "uniqueness", r.at("scimType"))
	}
	before := len(s.c.State().Groups)
	phantom := s.must("S/Groups", map[string]any{"displayName": "jira-users-acme",
		"members": member(s.scimUser("carol"))})
	require.Equal(t, 201, phantom.status, "the name of a default group is accepted")
	require.Len(t, s.c.State().Groups, before)
	require.Equal(t, []string{s.account("bo")}, s.group("jira-users-acme").Members, "and changes nothing")
	require.Len(t, phantom.at("members"), 1)
	require.Equal(t, 204, s.delete("S/Groups/"+phantom.word("id")).status)

	renamed := s.call("PUT", "S/Groups/"+s.group("sales").SCIMGroupID, map[string]any{"displayName": "revenue"})
	require.Equal(t, 400, renamed.status, "no rename")
	require.Equal(t, "BAD_REQUEST", renamed.at("responseStatus"))
}

// TestSCIMGroupConflicts: a group with the name of a local one is held back until a person accepts it; then its members
// replace the local ones.
func TestSCIMGroupConflicts(t *testing.T) {
	s := start(t)
	accept := "/_sim/scim/" + s.c.Info().SCIMDirectoryID + "/groups/reviewers/accept"
	require.Equal(t, 400, s.post(accept, nil).status, "nothing waits")
	before := s.group("reviewers")
	pushed := s.must("S/Groups", map[string]any{"displayName": "Reviewers", "members": member(s.scimUser("carol"))})
	require.Equal(t, 201, pushed.status)
	require.Equal(t, 200, s.call("PATCH", "S/Groups/"+pushed.word("id"), patch(map[string]any{"op": "add",
		"path": "members", "value": member(s.scimUser("bo"))})).status)
	require.Equal(t, before, s.group("reviewers"), "the local group is as it was")

	s.must(accept, nil)
	after := s.group("reviewers")
	require.Equal(t, before.ID, after.ID)
	require.True(t, after.Synced)
	require.ElementsMatch(t, []string{s.account("bo"), s.account("carol")}, after.Members)
	require.Equal(t, 400, s.post(accept, nil).status)
	require.Equal(t, 204, s.delete("S/Groups/"+pushed.word("id")).status)
}

func TestSCIMMembersOfARequest(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"scimMembers": 1})
	both := member(s.scimUser("bo"), s.scimUser("carol"))
	require.Equal(t, 413, s.post("S/Groups", map[string]any{"displayName": "new", "members": both}).status)
	r := s.call("PATCH", "S/Groups/"+s.group("sales").SCIMGroupID,
		patch(map[string]any{"op": "add", "path": "members", "value": both}))
	require.Equal(t, []any{413, "tooMany"}, []any{r.status, r.at("scimType")})
}

func TestSCIMGroupPatch(t *testing.T) {
	s := start(t)
	path := "S/Groups/" + s.group("engineering").SCIMGroupID
	ana, bo, carol := s.scimUser("ana"), s.scimUser("bo"), s.scimUser("carol")
	for _, step := range []struct {
		name string
		body any
		want []string
	}{
		{"add", patch(map[string]any{"op": "add", "path": "members", "value": member(carol, ana)}),
			[]string{"ana", "bo", "carol"}},
		{"add one, object", patch(map[string]any{"op": "Add", "path": "members",
			"value": map[string]string{"value": bo}}), []string{"ana", "bo", "carol"}},
		{"remove by filter", patch(map[string]any{"op": "remove", "path": `members[value eq "` + bo + `"]`}),
			[]string{"ana", "carol"}},
		{"remove by list", patch(map[string]any{"op": "remove", "path": "members", "value": member(ana)}),
			[]string{"carol"}},
		{"remove absent", patch(map[string]any{"op": "remove", "path": "members", "value": member(ana)}),
			[]string{"carol"}},
		{"replace", patch(map[string]any{"op": "replace", "path": "members", "value": member(ana, bo)}),
			[]string{"ana", "bo"}},
		{"without path", patch(map[string]any{"op": "add", "value": map[string]any{"members": member(carol)}}),
			[]string{"ana", "bo", "carol"}},
		{"small operations", map[string]any{"operations": []any{map[string]any{"op": "remove", "path": "members"}}},
			[]string{}},
	} {
		r := s.call("PATCH", path, step.body)
		require.Equal(t, 200, r.status, "%s: %s", step.name, r.text)
		want := []string{}
		for _, name := range step.want {
			want = append(want, s.account(name))
		}
		require.ElementsMatch(t, want, s.group("engineering").Members, step.name)
		require.Len(t, r.at("members"), len(want), step.name)
	}
	for name, bad := range map[string]any{
		"unknown member": patch(map[string]any{"op": "add", "path": "members", "value": member(carol)},
			map[string]any{"op": "add", "path": "members", "value": member("nobody")}),
		"unknown op":   patch(map[string]any{"op": "move", "path": "members"}),
		"unknown path": patch(map[string]any{"op": "add", "path": "owners", "value": member(carol)}),
		"rename":       patch(map[string]any{"op": "replace", "path": "displayName", "value": "x"}),
		"nothing":      map[string]any{},
	} {
		require.Equal(t, 400, s.call("PATCH", path, bad).status, name)
		require.Empty(t, s.group("engineering").Members, "%s: all or nothing", name)
	}
}

func TestSCIMFiltersAndPages(t *testing.T) {
	s := start(t)
	r := s.get("S/Users?filter=" + escape(`userName eq "bo@example.com"`))
	require.EqualValues(t, 1, r.at("totalResults"))
	require.Equal(t, s.account("bo"),
		r.at("Resources", 0, "urn:scim:schemas:extension:atlassian-external:1.0", "atlassianAccountId"))
	require.Equal(t, "engineering", r.at("Resources", 0, "groups", 0, "display"))
	require.EqualValues(t, 1, s.get("S/Groups?filter="+escape(`displayName eq "SALES"`)).at("totalResults"))
	require.EqualValues(t, 0, s.get("S/Groups?filter="+escape(`displayName eq "x"`)).at("totalResults"))
	require.Equal(t, "invalidFilter", s.get("S/Groups?filter="+escape(`displayName co "s"`)).at("scimType"))
	page := s.get("S/Users?startIndex=2&count=2")
	require.EqualValues(t, 4, page.at("totalResults"))
	require.EqualValues(t, 2, page.at("startIndex"))
	require.Len(t, page.at("Resources"), 2)
	require.Equal(t, 400, s.get("S/Users?attributes=userName&excludedAttributes=groups").status)
	require.Nil(t, s.get("S/Users?attributes=userName").at("Resources", 0, "groups"))
	require.Equal(t, true, s.get("S/ServiceProviderConfig").at("patch", "supported"))
}

func TestSCIMUserLife(t *testing.T) {
	s := startWith(t, cloud.Options{},
		cloud.OrgFile{People: []string{"ana", "eve"}, Invited: []string{"eve"}, Admins: []string{"ana"}})
	linked := s.must("S/Users", map[string]any{"userName": "eve@example.com",
		"emails": []any{map[string]any{"value": "EVE@example.com", "primary": true}}})
	require.Equal(t, s.account("eve"),
		linked.at("urn:scim:schemas:extension:atlassian-external:1.0", "atlassianAccountId"),
		"an account of that address is linked")
	require.Equal(t, "USER", linked.at("meta", "resourceType"))
	require.Equal(t, 409, s.post("S/Users", map[string]any{"userName": "eve@example.com"}).status)
	require.Equal(t, 400, s.post("S/Users", map[string]any{"displayName": "x"}).status)

	id, eve := linked.word("id"), s.account("eve")
	require.Equal(t, 200, s.call("PATCH", "S/Users/"+id,
		patch(map[string]any{"op": "replace", "path": "active", "value": "False"})).status)
	require.Equal(t, "deactivated", s.get("D/users/"+eve).at("data", "status"))
	require.Equal(t, 200, s.call("PATCH", "S/Users/"+id,
		patch(map[string]any{"op": "replace",
			"value": map[string]any{"active": true, "name.givenName": "Eve", "title": "Chief"}})).status)
	require.Equal(t, "active", s.get("D/users/"+eve).at("data", "status"))
	require.Equal(t, "Chief", s.get("D/users/"+eve).at("data", "jobTitle"))
	replaced := s.call("PUT", "S/Users/"+id, map[string]any{"userName": "eve@example.com"})
	require.Nil(t, replaced.at("title"), "PUT clears what is left out")

	require.Equal(t, 204, s.delete("S/Users/"+id).status)
	require.Equal(t, 404, s.get("S/Users/"+id).status)
	require.Equal(t, "deactivated", s.get("D/users/"+eve).at("data", "status"))
	again := s.must("S/Users", map[string]any{"userName": "eve@example.com"})
	require.NotEqual(t, id, again.word("id"), "a record that was deleted does not come back")
}

func TestSCIMExternalPersonLosesTheLinkWithTheAddress(t *testing.T) {
	s := start(t)
	r := s.must("S/Users", map[string]any{"userName": "max@partner.example"})
	s.must("S/Groups", map[string]any{"displayName": "partners", "members": member(r.word("id"))})
	require.Len(t, s.group("partners").Members, 1)
	require.Equal(t, 200, s.call("PUT", "S/Users/"+r.word("id"),
		map[string]any{"userName": "max@other.example"}).status)
	require.Empty(t, s.group("partners").Members)
	require.Nil(t, s.get("S/Users/"+r.word("id")).at("urn:scim:schemas:extension:atlassian-external:1.0",
		"atlassianAccountId"))
}

func TestSCIMHasItsOwnKeyAndErrors(t *testing.T) {
	s := start(t)
	request, err := http.NewRequestWithContext(t.Context(), "GET",
		s.url+"/scim/directory/"+s.info.SCIMDirectoryID+"/Users", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultKey)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, 401, answer.StatusCode, "the organization's key does not open the SCIM directory")

	missing := s.get("S/Groups/none")
	require.Equal(t, "404", missing.at("status"))
	require.Equal(t, []any{"urn:ietf:params:scim:api:messages:2.0:Error"}, missing.at("schemas"))
	s.settings(map[string]any{"lag": "2s"})
	require.Equal(t, 200, s.call("PATCH", "S/Groups/"+s.group("sales").SCIMGroupID,
		patch(map[string]any{"op": "remove", "path": "members"})).status)
	require.Len(t, s.membersOf("sales"), 2, "the organization's reads lag behind SCIM too")
	s.c.Advance(2 * time.Second)
	require.Empty(t, s.membersOf("sales"))
}
