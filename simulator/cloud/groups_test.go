package cloud_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/stretchr/testify/require"
)

func TestCreateGroupReturnsNoIDAndShowsAfterTheLag(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"lag": "2s"})
	r := s.must("D/groups", map[string]string{"name": "New Group"})
	require.Equal(t, 201, r.status)
	require.Empty(t, r.text)

	byName := map[string]any{"groupNames": []string{"NEW group"}}
	require.Empty(t, s.must("D/groups/search", byName).at("data"))
	require.Equal(t, "409 ADMIN-409-28", codes(s.post("D/groups", map[string]string{"name": "new GROUP"})),
		"the write side knows at once")
	s.c.Advance(2 * time.Second)
	require.Equal(t, []string{"New Group"}, s.must("D/groups/search", byName).each("name"))
}

func TestGroupFields(t *testing.T) {
	s := start(t)
	r := s.must("D/groups/search", map[string]any{"groupNames": []string{"engineering", "reviewers", "jira-users-acme"},
		"expand": []string{"counts.users", "counts.resources"}})
	require.Equal(t, []string{"engineering", "jira-users-acme", "reviewers"}, r.each("name"))
	require.Equal(t, map[string]any{"deletable": false, "modifiable": false, "readable": true},
		r.at("data", 0, "managementAccess"))
	require.Equal(t, true, r.at("data", 0, "externalSynced"))
	require.Equal(t, "external", r.at("data", 0, "managedBy"))
	require.EqualValues(t, 2, r.at("data", 0, "counts", "users"))
	require.Equal(t, map[string]any{"deletable": false, "modifiable": true, "readable": true},
		r.at("data", 1, "managementAccess"))
	require.EqualValues(t, 1, r.at("data", 1, "counts", "resources"))
	require.Equal(t, map[string]any{"deletable": true, "modifiable": true, "readable": true},
		r.at("data", 2, "managementAccess"))
	require.Nil(t, s.must("D/groups/search", "{}").at("data", 0, "counts"), "counts come only when asked for")
}

func TestMembershipConflicts(t *testing.T) {
	s := start(t)
	require.Equal(t, 204, s.add("reviewers", "ana").status)
	again := s.add("reviewers", "ana")
	require.Equal(t, "409 ADMIN-409-28", codes(again))
	require.Contains(t, again.text, "already")

	s.settings(map[string]any{"licences": map[string]int{"jira/acme": 2}})
	require.Equal(t, 204, s.add("jira-users-acme", "ana").status, "Bo has the first seat, Ana the second")
	full := s.add("jira-users-acme", "carol")
	require.Equal(t, "409 ADMIN-409-3", codes(full))
	require.NotContains(t, full.text, "already")
	require.Equal(t, 204, s.add("jira-admins-acme", "ana").status, "a second role on the same app takes no second seat")

	require.Equal(t, 204, s.post("D/users/"+s.account("bo")+"/suspend", nil).status)
	require.Equal(t, 204, s.add("jira-users-acme", "carol").status, "a suspended person gives the seat back")
}

func TestRemovingWhoIsNotAMember(t *testing.T) {
	s := start(t)
	require.Equal(t, 204, s.remove("reviewers", "dan").status)
	require.Equal(t, 404, s.remove("reviewers", "dan").status)
	s.settings(map[string]any{"absentRemoval": 204})
	require.Equal(t, 204, s.remove("reviewers", "dan").status)
}

func TestSyncedGroupsAreReadOnly(t *testing.T) {
	s := start(t)
	require.Equal(t, "403 ADMIN-403-5", codes(s.add("engineering", "carol")))
	require.Equal(t, "403 ADMIN-403-5", codes(s.remove("engineering", "ana")))
	require.Equal(t, "403 ADMIN-403-5", codes(s.delete("D/groups/"+s.group("engineering").ID)))
	require.Len(t, s.group("engineering").Members, 2)
	s.settings(map[string]any{"syncedRefusal": 400})
	require.Equal(t, 400, s.add("engineering", "carol").status)
}

func TestProtectedGroupsCannotBeDeleted(t *testing.T) {
	s := start(t)
	for name, want := range map[string]string{
		"jira-users-acme": "403 ADMIN-403-6", "jira-admins-acme": "403 ADMIN-403-6", "org-admins": "403 ADMIN-403-7",
		"reviewers": "204 ",
	} {
		require.Equal(t, want, codes(s.delete("D/groups/"+s.group(name).ID)), name)
	}
}

func TestOrgAdminsGroupMakesNobodyAnAdmin(t *testing.T) {
	s := start(t)
	require.Equal(t, 204, s.add("org-admins", "dan").status)
	r := s.must("D/users/search", map[string]any{"accountIds": []string{s.account("dan")},
		"expand": []string{"platformRoles"}})
	require.Equal(t, []any{}, r.at("data", 0, "platformRoles"))
}

func TestWritesWantARealDirectory(t *testing.T) {
	s := start(t)
	all := "/admin/v2/orgs/" + s.info.OrgID + "/directories/-"
	require.Equal(t, 200, s.post(all+"/groups/search", "{}").status)
	require.Equal(t, 404, s.post(all+"/groups", map[string]string{"name": "x"}).status)
	scim := "/admin/v2/orgs/" + s.info.OrgID + "/directories/" + s.info.SCIMDirectoryID
	require.Equal(t, 404, s.post(scim+"/groups/search", "{}").status, "the SCIM directory is not the organization's")
}

func TestRequestBounds(t *testing.T) {
	s := start(t)
	many := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprint("x", i))
		}
		return out
	}
	for _, bad := range []struct {
		path string
		body map[string]any
	}{
		{"D/users/search", map[string]any{"accountIds": many(11)}},
		{"D/users/search", map[string]any{"accountIds": []string{}}},
		{"D/users/search", map[string]any{"groupIds": many(11)}},
		{"D/users/search", map[string]any{"emails": many(101)}},
		{"D/users/search", map[string]any{"emails": []string{"a", "a"}}},
		{"D/users/search", map[string]any{"emails": many(1), "searchTerm": "a"}},
		{"D/users/search", map[string]any{"limit": 101}},
		{"D/users/search", map[string]any{"limit": 0}},
		{"D/users/search", map[string]any{"status": []string{"gone"}}},
		{"D/users/search", map[string]any{"expand": []string{"everything"}}},
		{"D/users/search", map[string]any{"resourceIds": many(21)}},
		{"D/groups/search", map[string]any{"groupIds": many(11)}},
		{"D/groups/search", map[string]any{"groupNames": many(101)}},
		{"D/groups/search", map[string]any{"accountIds": many(11)}},
		{"D/groups/search", map[string]any{"groupIds": many(1), "groupNames": many(1)}},
		{"D/groups/search", map[string]any{"groupNames": many(1), "searchTerm": "a"}},
		{"D/groups/search", map[string]any{"sortBy": []any{map[string]string{"field": "size", "direction": "asc"}}}},
		{"D/groups/search", map[string]any{"cursor": "kloHX1ZQVasDAkx_P48NYQ"}},
	} {
		require.Equal(t, 400, s.post(bad.path, bad.body).status, "%s %v", bad.path, bad.body)
	}
	require.Equal(t, 200, s.post("D/users/search", map[string]any{"accountIds": many(10)}).status)
	require.Equal(t, 200, s.post("D/groups/search", map[string]any{"groupNames": many(100)}).status)
}

func TestCursorsCarryTheQuestion(t *testing.T) {
	s := generated(t, 3, 300, 40, 900)
	r := s.must("D/groups/search", map[string]any{"searchTerm": "eng-", "limit": 2, "expand": []string{"counts.users"}})
	next := r.word("links", "next")
	for _, char := range []string{"/", "+", "="} {
		require.Contains(t, next, char)
	}
	second := s.must("D/groups/search", map[string]any{"cursor": next, "searchTerm": "sales-", "limit": 100})
	require.Len(t, second.each("name"), 2, "everything beside a cursor is ignored")
	require.Contains(t, second.word("data", 0, "name"), "eng-")
	require.NotNil(t, second.at("data", 0, "counts", "users"))
	require.Equal(t, 400, s.post("D/users/search", map[string]any{"cursor": next}).status,
		"a cursor belongs to its operation")
	require.Equal(t, 200, s.get("D/groups?cursor="+escape(s.get("D/groups?limit=2").word("links", "next"))).status)
	require.Equal(t, 400, s.get("D/groups?cursor="+s.get("D/groups?limit=2").word("links", "next")).status,
		"an unescaped plus sign spoils it")
}

func TestPageCapAndURLCursors(t *testing.T) {
	s := generated(t, 3, 50, 5, 60)
	s.settings(map[string]any{"maxPage": 7, "urlCursors": true})
	r := s.must("D/users/search", map[string]any{"limit": 100})
	require.Len(t, r.at("data"), 7)
	require.Contains(t, r.word("links", "next"), s.url+"/admin/v2/orgs/")
}

func TestGroupSearchByMemberAndOrder(t *testing.T) {
	s := start(t)
	mine := s.must("D/groups/search", map[string]any{"accountIds": []string{s.account("bo")}})
	require.Equal(t, []string{"engineering", "jira-users-acme"}, mine.each("name"))
	down := s.walk("D/groups/search",
		map[string]any{"limit": 2, "sortBy": []any{map[string]string{"field": "name", "direction": "desc"}}}, "name")
	up := s.walk("D/groups/search", map[string]any{"limit": 3}, "name")
	slices.Reverse(down)
	require.Equal(t, up, down)
	owner := s.must("D/groups/search",
		map[string]any{"resourceOwners": []string{"jira-software"}, "roleIds": []string{"atlassian/user"}})
	require.Equal(t, []string{"jira-users-acme"}, owner.each("name"))
	require.EqualValues(t, len(up), s.get("D/groups/count").at("count"))
	require.EqualValues(t, 2, s.get("D/groups/stats").at("totals", "synced"))
}

func TestDefaultRoleTellsTheDefaultGroup(t *testing.T) {
	s := startWith(t, cloud.Options{Apps: []string{"jira", "jsm"}}, smallOrg)
	roles := func(group string) reply { return s.get("D/groups/" + s.group(group).ID + "/role-assignments") }
	r := roles("jira-users-acme")
	require.Equal(t, "atlassian/user", r.at("data", 0, "defaultRole"))
	require.Equal(t, s.resource("jira-software"), r.at("data", 0, "resourceId"))
	require.Equal(t, "atlassian/customer", roles("jira-servicemanagement-customers-acme").at("data", 0, "defaultRole"))
	require.Empty(t, roles("reviewers").at("data"))

	s.must("/_sim/defaults", map[string]any{"app": "jira", "site": "acme", "role": "user", "group": "reviewers"})
	require.Nil(t, roles("jira-users-acme").at("data", 0, "defaultRole"))
	require.Equal(t, []any{"atlassian/user"}, roles("jira-users-acme").at("data", 0, "roles"))
	require.Equal(t, "atlassian/user", roles("reviewers").at("data", 0, "defaultRole"))
	require.Equal(t, 400, s.post("/_sim/defaults",
		map[string]any{"app": "jira", "site": "acme", "role": "user", "group": "engineering"}).status)
}

func TestGroupRoleAssignment(t *testing.T) {
	s := start(t)
	path := "D/groups/" + s.group("reviewers").ID + "/role-assignments/"
	body := map[string]string{"resourceId": s.resource("confluence"), "roleId": "atlassian/user"}
	require.Equal(t, 200, s.post(path+"assign", body).status)
	require.Equal(t, []cloud.StateRole{{Resource: s.resource("confluence"), App: "confluence", Site: "acme",
		Role: "atlassian/user"}}, s.group("reviewers").Roles)
	require.Equal(t, 204, s.post(path+"revoke", body).status)
	require.Empty(t, s.group("reviewers").Roles)
	require.Equal(t, 404, s.post(path+"assign",
		map[string]string{"resourceId": "acme", "roleId": "atlassian/user"}).status)
	require.Equal(t, 400, s.post(path+"assign",
		map[string]string{"resourceId": s.resource("confluence"), "roleId": "boss"}).status)
	s.settings(map[string]any{"licences": map[string]int{"confluence/acme": 0}})
	require.Equal(t, "409 ADMIN-409-3", codes(s.post(path+"assign", body)))
}
