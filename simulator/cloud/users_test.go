package cloud_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/stretchr/testify/require"
)

func TestMembershipsShowAfterTheLag(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"lag": "3s"})
	require.Equal(t, 204, s.add("reviewers", "ana").status)
	require.Equal(t, "409 ADMIN-409-28", codes(s.add("reviewers", "ana")), "the write side knows at once")
	require.Equal(t, 204, s.remove("reviewers", "dan").status)

	expanded := func(name string) string {
		return s.must("D/users/search",
			map[string]any{"emails": []string{name + "@example.com"}, "expand": []string{"groups"}}).text
	}
	count := func() any {
		return s.must("D/groups/search",
			map[string]any{"groupNames": []string{"reviewers"}, "expand": []string{"counts.users"}}).at("data", 0,
			"counts", "users")
	}
	require.Equal(t, []string{s.account("dan")}, s.membersOf("reviewers"))
	require.NotContains(t, expanded("ana"), "reviewers")
	require.Contains(t, expanded("dan"), "reviewers")
	require.EqualValues(t, 1, count())
	s.c.Advance(3 * time.Second)
	require.Equal(t, []string{s.account("ana")}, s.membersOf("reviewers"))
	require.Contains(t, expanded("ana"), "reviewers")
	require.NotContains(t, expanded("dan"), "reviewers")
	require.EqualValues(t, 1, count())
}

func TestOrgAdminRoleSettlesLate(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"roleLag": "30s"})
	admins := func() []string {
		return s.must("D/users/search", map[string]any{"roleIds": []string{"atlassian/org-admin"}}).each("accountId")
	}
	path := "V1/users/" + s.account("dan") + "/role-assignments/"
	require.Equal(t, 204, s.post(path+"assign", map[string]string{"role": "atlassian/org-admin"}).status)
	require.Len(t, admins(), 2)
	s.c.Advance(30 * time.Second)
	require.Len(t, admins(), 3)
	require.Equal(t, 204, s.post(path+"revoke", map[string]string{"role": "atlassian/org-admin"}).status)
	require.Equal(t, "400 ADMIN-UAM-400-1", codes(s.post(path+"assign", map[string]string{"role": "atlassian/user"})))
	require.Equal(t, "404 ADMIN-UAM-404-3",
		codes(s.post("V1/users/nobody/role-assignments/assign", map[string]string{"role": "atlassian/org-admin"})))
	r := s.get("D/users/" + s.account("ana") + "/role-assignments")
	require.Equal(t, "platform", r.at("data", 0, "resourceOwner"))
	require.Equal(t, "direct", r.at("data", 0, "roleAssignments", 0, "roleAssignmentMethods", 0))
}

func TestUserSearchFilters(t *testing.T) {
	s := start(t)
	require.Equal(t, 204, s.post("D/users/"+s.account("dan")+"/suspend", nil).status)
	ana, bo, carol, dan := s.account("ana"), s.account("bo"), s.account("carol"), s.account("dan")
	for name, c := range map[string]struct {
		body map[string]any
		want []string
	}{
		"nothing":     {map[string]any{}, []string{ana, bo, carol, dan}},
		"account ids": {map[string]any{"accountIds": []string{bo, "nobody"}}, []string{bo}},
		"e-mails":     {map[string]any{"emails": []string{"ANA@example.com", "x@example.com"}}, []string{ana}},
		"one group":   {map[string]any{"groupIds": []string{s.group("sales").ID}}, []string{carol, dan}},
		"groups, joined": {map[string]any{"groupIds": []string{s.group("sales").ID, s.group("reviewers").ID,
			s.group("engineering").ID}}, []string{ana, bo, carol, dan}},
		"group as ARI": {map[string]any{"groupIds": []string{"ari:cloud:identity::group/" + s.group("reviewers").ID}},
			[]string{dan}},
		"person, group": {map[string]any{"groupIds": []string{s.group("sales").ID}, "accountIds": []string{ana, dan}},
			[]string{dan}},
		"suspended":      {map[string]any{"membershipStatus": []string{"suspended"}}, []string{dan}},
		"status":         {map[string]any{"status": []string{"active"}}, []string{ana, bo, carol}},
		"unmanaged":      {map[string]any{"claimStatus": "unmanaged"}, []string{}},
		"domain":         {map[string]any{"emailDomains": []string{"example.com"}}, []string{ana, bo, carol, dan}},
		"term":           {map[string]any{"searchTerm": "CAR"}, []string{carol}},
		"app":            {map[string]any{"resourceIds": []string{s.resource("jira-software")}}, []string{bo}},
		"role":           {map[string]any{"roleIds": []string{"atlassian/org-admin"}}, []string{ana, carol}},
		"nobody's group": {map[string]any{"groupIds": []string{"00000000-0000-4000-8000-000000000000"}}, []string{}},
	} {
		require.ElementsMatch(t, c.want, s.must("D/users/search", c.body).each("accountId"), name)
	}
}

func TestExpandIsNeededToSeeMore(t *testing.T) {
	s := start(t)
	plain := s.must("D/users/search", map[string]any{"accountIds": []string{s.account("bo")}})
	for _, member := range []string{"platformRoles", "groups", "productAccess", "counts"} {
		require.Nil(t, plain.at("data", 0, member))
	}
	full := s.must("D/users/search",
		map[string]any{"accountIds": []string{s.account("bo")},
			"expand": []string{"platformRoles", "groups", "productAccess", "counts.resources"}})
	require.Equal(t, []any{}, full.at("data", 0, "platformRoles"))
	require.Len(t, full.at("data", 0, "groups"), 2)
	require.True(t, strings.HasPrefix(full.word("data", 0, "groups", 0, "id"), "ari:cloud:identity::group/"))
	require.Equal(t, s.resource("jira-software"), full.at("data", 0, "productAccess", 0, "id"))
	require.EqualValues(t, 1, full.at("data", 0, "counts", "resources"))
}

func TestPagesShowEverybodyOnceWhilePeopleCome(t *testing.T) {
	s := generated(t, 5, 230, 10, 400)
	want := len(s.c.State().People)
	r := s.must("D/users/search", map[string]any{"limit": 100})
	seen := r.each("accountId")
	for i := range 20 {
		r := s.call("POST", "S/Users", map[string]any{"userName": "new" + string(rune('a'+i)) + "@acme.example"})
		require.Equal(t, 201, r.status)
	}
	seen = append(seen, s.walk("D/users/search", map[string]any{"cursor": r.word("links", "next")}, "accountId")...)
	require.GreaterOrEqual(t, len(seen), want)
	slices.Sort(seen)
	require.Equal(t, seen, slices.Compact(slices.Clone(seen)), "nobody twice")

	byNick := func(direction string) []string {
		return s.walk("D/users/search",
			map[string]any{"limit": 17, "sortBy": []any{map[string]string{"field": "nick_name",
				"direction": direction}}}, "accountId")
	}
	up, down := byNick("asc"), byNick("desc")
	require.Len(t, up, want+20)
	slices.Reverse(down)
	require.Equal(t, up, down)
}

func TestSuspendKeepsGroupsAndRemoveLosesThem(t *testing.T) {
	s := startWith(t, cloud.Options{},
		cloud.OrgFile{People: []string{"ana", "eve"}, Invited: []string{"eve"}, Admins: []string{"ana"},
			Local: []cloud.OrgGroup{{Name: "reviewers", Members: []string{"eve"}}}})
	eve := s.account("eve")
	require.Equal(t, 204, s.post("D/users/"+eve+"/suspend", nil).status)
	require.Equal(t, "suspended", s.get("D/users/"+eve).at("data", "membershipStatus"))
	require.Equal(t, []string{eve}, s.membersOf("reviewers"))
	require.Equal(t, 204, s.post("D/users/"+eve+"/restore", nil).status)
	require.Equal(t, "active", s.get("D/users/"+eve).at("data", "membershipStatus"))

	require.Equal(t, 204, s.delete("D/users/"+eve).status)
	require.Empty(t, s.membersOf("reviewers"))
	require.Empty(t, s.must("D/users/search", map[string]any{"accountIds": []string{eve}}).at("data"))
	require.Equal(t, []string{eve},
		s.must("D/users/search", map[string]any{"accountIds": []string{eve},
			"membershipStatus": []string{"no_membership"}}).each("accountId"))
	require.EqualValues(t, 2, s.get("D/users/count").at("count"),
		"the count includes managed accounts outside the directory")
	require.Equal(t, 404, s.delete("D/users/"+eve).status)
}

func TestInvite(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"licences": map[string]int{"confluence/acme": 0}})
	r := s.must("O/users/invite", map[string]any{"emails": []string{"eve@elsewhere.example"},
		"additionalGroups": []string{s.group("reviewers").ID},
		"permissionRules": []any{map[string]string{"resource": s.resource("jira-software"), "role": "atlassian/user"},
			map[string]string{"resource": s.resource("confluence"), "role": "atlassian/user"}}})
	require.Equal(t, 206, r.status)
	require.Equal(t, "ERROR", r.at("data", 0, "results", 0, "roleAssignmentResult", 1, "status"))
	eve := s.account("eve@elsewhere.example")
	require.Contains(t, s.group("jira-users-acme").Members, eve)
	require.Contains(t, s.group("reviewers").Members, eve)
	require.Equal(t, "unmanaged", s.get("D/users/"+eve).at("data", "claimStatus"))
}

func TestDirectRoles(t *testing.T) {
	s := start(t)
	path := "V1/users/" + s.account("dan") + "/roles/"
	body := map[string]string{"role": "atlassian/user", "resource": s.resource("confluence")}
	require.Equal(t, 204, s.post(path+"assign", body).status)
	r := s.get("D/users/" + s.account("dan") + "/role-assignments")
	require.Equal(t, []any{"direct"}, r.at("data", 0, "roleAssignments", 0, "roleAssignmentMethods"))
	require.Equal(t, 204, s.post(path+"revoke", body).status)
	s.settings(map[string]any{"licences": map[string]int{"confluence/acme": 0}})
	require.Equal(t, "409 ADMIN-UAM-409-3", codes(s.post(path+"assign", body)))
	require.Equal(t, "400 ADMIN-UAM-400-3",
		codes(s.post(path+"assign", map[string]string{"role": "atlassian/user", "resource": "acme"})))
}

func TestLastActive(t *testing.T) {
	s := start(t)
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	s.must("/_sim/activity", map[string]any{"people": []string{"bo"}, "app": "jira", "site": "acme", "at": at})
	r := s.get("V1/directory/users/" + s.account("bo") + "/last-active-dates")
	require.Equal(t, "2026-01-31", r.at("data", "product_access", 0, "last_active"))
	s.must("/_sim/activity", map[string]any{"people": []string{"bo"}, "app": "jira", "site": "acme"})
	require.Empty(t, s.get("V1/directory/users/"+s.account("bo")+"/last-active-dates").at("data", "product_access"),
		"never used: absent")
	require.Equal(t, "404 ADMIN-404-8", codes(s.get("V1/directory/users/nobody/last-active-dates")))
}
