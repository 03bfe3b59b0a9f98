package cloud_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// withEve has somebody whom no identity provider owns.
var withEve = cloud.OrgFile{People: []string{"ana", "eve"}, Invited: []string{"eve"}, Admins: []string{"ana"},
	Local: []cloud.OrgGroup{{Name: "reviewers", Members: []string{"eve"}}}}

func (s *sim) changeRole(verb, person, role, app string) reply {
	s.t.Helper()
	return s.post("V1/users/"+s.account(person)+"/roles/"+verb,
		map[string]string{"role": role, "resource": s.resource(app)})
}

func TestDirectRolesSettleLate(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"roleLag": "30s"})
	held := func() any { return s.get("D/users/" + s.account("dan") + "/role-assignments").at("data") }
	shows := []any{"direct"}
	require.Equal(t, 204, s.changeRole("assign", "dan", "atlassian/admin", "confluence").status)
	require.Empty(t, held())
	s.c.Advance(30 * time.Second)
	require.Equal(t, shows, reply{json: held()}.at(0, "roleAssignments", 0, "roleAssignmentMethods"))
	require.Equal(t, 204, s.changeRole("revoke", "dan", "atlassian/admin", "confluence").status)
	require.Equal(t, shows, reply{json: held()}.at(0, "roleAssignments", 0, "roleAssignmentMethods"))
	s.c.Advance(30 * time.Second)
	require.Empty(t, held())
}

func TestRevokingWhatIsNotHeldIsNoChange(t *testing.T) {
	s := startWith(t, cloud.Options{}, withEve)
	orgRole := map[string]string{"role": "atlassian/org-admin"}
	require.Equal(t, 204, s.changeRole("revoke", "eve", "atlassian/admin", "confluence").status)
	require.Equal(t, 204, s.post("V1/users/"+s.account("eve")+"/role-assignments/revoke", orgRole).status)
	require.Empty(t, s.get("V1/events-stream").actions())

	require.Equal(t, 204, s.delete("D/users/"+s.account("eve")).status)
	require.Equal(t, "404 ADMIN-UAM-404-3", codes(s.changeRole("revoke", "eve", "atlassian/admin", "confluence")))
	require.Equal(t, "404 ADMIN-UAM-404-3",
		codes(s.post("V1/users/"+s.account("eve")+"/role-assignments/revoke", orgRole)))
}

func TestThoseRemovedComeBackWithNothing(t *testing.T) {
	s := startWith(t, cloud.Options{}, withEve)
	eve := s.account("eve")
	require.Equal(t, 204, s.changeRole("assign", "eve", "atlassian/admin", "jira-software").status)
	require.Equal(t, 204, s.post("D/users/"+eve+"/suspend", nil).status)
	require.Equal(t, 204, s.delete("D/users/"+eve).status)
	require.Equal(t, eve, s.must("O/users/invite", map[string]any{"emails": []string{"Eve@example.com"}}).word("data",
		0, "id"))

	r := s.must("D/users/search", map[string]any{"accountIds": []string{eve},
		"expand": []string{"groups", "platformRoles", "productAccess"}})
	require.Equal(t, "active", r.at("data", 0, "membershipStatus"))
	for _, member := range []string{"groups", "platformRoles", "productAccess"} {
		require.Empty(t, r.at("data", 0, member), member)
	}
	require.Equal(t, []string{"user_granted_role", "user_access_suspended", "user_removed_from_group",
		"user_revoked_role", "user_removed_from_directory", "user_invited"},
		s.get("V1/events-stream").actions())
}

func TestRestoringNeedsSeats(t *testing.T) {
	s := startWith(t, cloud.Options{}, withEve)
	eve := s.account("eve")
	require.Equal(t, 204, s.changeRole("assign", "eve", "atlassian/user", "jira-software").status)
	require.Equal(t, 204, s.post("D/users/"+eve+"/suspend", nil).status)
	s.settings(map[string]any{"licences": map[string]int{"jira/acme": 0}})
	require.Equal(t, "400 ADMIN-400-32", codes(s.post("D/users/"+eve+"/restore", nil)))
	require.Equal(t, "suspended", s.get("D/users/"+eve).at("data", "membershipStatus"))
	s.settings(map[string]any{"licences": map[string]int{"jira/acme": 1}})
	require.Equal(t, 204, s.post("D/users/"+eve+"/restore", nil).status)
	require.Equal(t, 204, s.post("D/users/"+eve+"/restore", nil).status, "who has the seats needs no others")
	require.Equal(t, "active", s.get("D/users/"+eve).at("data", "membershipStatus"))
}

func TestThoseInvitedShowAfterTheLag(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"lag": "3s"})
	eve := s.must("O/users/invite", map[string]any{"emails": []string{"eve@elsewhere.example"}}).word("data", 0, "id")
	found := func() []string {
		return s.must("D/users/search",
			map[string]any{"emails": []string{"eve@elsewhere.example"},
				"membershipStatus": []string{"active", "no_membership"}}).each("accountId")
	}
	require.Equal(t, 404, s.get("D/users/"+eve).status)
	require.Equal(t, 404, s.get("D/users/"+eve+"/role-assignments").status)
	require.Empty(t, found())
	s.c.Advance(3 * time.Second)
	require.Equal(t, "active", s.get("D/users/"+eve).at("data", "membershipStatus"))
	require.Equal(t, []string{eve}, found())
}
