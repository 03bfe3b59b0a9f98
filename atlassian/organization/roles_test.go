package organization_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

func TestUserRoleAssignments(t *testing.T) {
	x := &exchange{answer: `{"data":[
		{"resourceId":"ari:cloud:jira-software::site/1","resourceOwner":"jira-software","directoryId":"d1","userDirectoryStatus":"active","roles":["atlassian/user"],
		 "roleAssignments":[{"role":"atlassian/user","roleAssignmentMethods":["direct","group_direct"]},{"role":"atlassian/admin","roleAssignmentMethods":["direct"]},
			{"role":"atlassian/ai-access"}]},
		{"resourceId":"ari:cloud:platform::org/1","resourceOwner":"platform","directoryId":null,"userDirectoryStatus":null,"roles":["atlassian/org-admin"]},
		{"resourceId":"ari:cloud:confluence::site/1","roleAssignments":[]}],"links":{"self":"s","next":"c1"}}`}
	client := x.client(t)
	page, err := client.UserRoleAssignments(t.Context(), "-", "712020:a|b", organization.RoleFilter{
		ResourceIDs: []string{"ari:cloud:jira-software::site/1", "ari:cloud:confluence::site/1"},
		RoleIDs:     []string{"atlassian/admin"},
	}, "")
	require.NoError(t, err)
	require.Equal(t, "c1", page.Next)
	require.Equal(t, []organization.UserRoles{
		{ResourceID: "ari:cloud:jira-software::site/1", ResourceOwner: "jira-software", DirectoryID: "d1",
			MembershipStatus: "active",
			Roles:            []string{"atlassian/user", "atlassian/admin", "atlassian/ai-access"},
			Methods: map[string][]string{
				"atlassian/user":      {organization.MethodDirect, organization.MethodGroup},
				"atlassian/admin":     {organization.MethodDirect},
				"atlassian/ai-access": nil,
			}},
		{ResourceID: "ari:cloud:platform::org/1", ResourceOwner: "platform",
			Roles: []string{organization.RoleOrgAdmin}},
		{ResourceID: "ari:cloud:confluence::site/1", Methods: map[string][]string{}},
	}, page.Items)
	require.Equal(t, "/admin/v2/orgs/org-1/directories/-/users/712020:a%7Cb/role-assignments", x.path)
	query, err := url.ParseQuery(x.query)
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"limit": {"100"}, "roleIds": {"atlassian/admin"},
		"resourceIds": {"ari:cloud:jira-software::site/1", "ari:cloud:confluence::site/1"},
	}, query)

	_, err = client.UserRoleAssignments(t.Context(), "d1", "a", organization.RoleFilter{}, "c0")
	require.NoError(t, err)
	require.Equal(t, "cursor=c0&limit=100", x.query, "no filter is no parameter")
	_, err = client.UserRoleAssignments(t.Context(), "d1", "a", organization.RoleFilter{}, "c1")
	require.ErrorIs(t, err, organization.ErrMalformed, "a repeated cursor")
	x.status = 404
	_, err = client.UserRoleAssignments(t.Context(), "d1", "a", organization.RoleFilter{}, "")
	require.ErrorIs(t, err, organization.ErrNotFound)
}

func TestBrokenRoleAssignmentsAreNotTrusted(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	for _, answer := range []string{
		`{"data":[{"roles":["atlassian/user"]}]}`,
		`{"data":[{"resourceId":"r","roleAssignments":[{"roleAssignmentMethods":["direct"]}]}]}`,
		`{"data":[{"resourceId":"r","roles":"atlassian/user"}]}`, `{"data":null}`, `{}`,
	} {
		x.answer = answer
		page, err := client.UserRoleAssignments(t.Context(), "d1", "a", organization.RoleFilter{}, "")
		require.ErrorIs(t, err, organization.ErrMalformed, answer)
		require.Empty(t, page.Items, "never a part of a page")
	}
}

func TestUser(t *testing.T) {
	x := &exchange{answer: `{"data":{"accountId":"712020:a|b","email":"ana@acme.example","membershipStatus":"suspended","platformRoles":["atlassian/org-admin"],"deactivatedOn":null}}`}
	client := x.client(t)
	user, err := client.User(t.Context(), "d1", "712020:a|b")
	require.NoError(t, err)
	require.Equal(t, organization.User{AccountID: "712020:a|b", Email: "ana@acme.example",
		MembershipStatus: "suspended", PlatformRoles: []string{organization.RoleOrgAdmin}}, user)
	require.Equal(t, "/admin/v2/orgs/org-1/directories/d1/users/712020:a%7Cb", x.path)
	x.answer = `{"data":{}}`
	_, err = client.User(t.Context(), "d1", "a")
	require.ErrorIs(t, err, organization.ErrMalformed)
	x.status, x.answer = 404, ``
	_, err = client.User(t.Context(), "d1", "a")
	require.ErrorIs(t, err, organization.ErrNotFound)
	_, err = client.User(t.Context(), "d1", "")
	require.ErrorIs(t, err, organization.ErrInvalid)
}
