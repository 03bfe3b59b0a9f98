package organization_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

const jira = "ari:cloud:jira-software::site/1"

func TestWrites(t *testing.T) {
	x := &exchange{status: 204}
	client := x.client(t)
	tests := map[string]struct {
		do           func(context.Context) error
		method, path string
		body         map[string]any
	}{
		"add member": {func(ctx context.Context) error {
			return client.AddMember(ctx, "d1", "ari:cloud:identity::group/g1", "712020:a|b")
		},
			http.MethodPost, "/admin/v2/orgs/org-1/directories/d1/groups/g1/memberships",
			map[string]any{"accountId": "712020:a|b"}},
		"remove member": {func(ctx context.Context) error { return client.RemoveMember(ctx, "d1", "g1", "712020:a|b") },
			http.MethodDelete, "/admin/v2/orgs/org-1/directories/d1/groups/g1/memberships/712020:a%7Cb", nil},
		"create group": {func(ctx context.Context) error { return client.CreateGroup(ctx, "d1", "new", "") },
			http.MethodPost, "/admin/v2/orgs/org-1/directories/d1/groups", map[string]any{"name": "new"}},
		"assign role": {func(ctx context.Context) error {
			return client.AssignOrgRole(ctx, "a",
				organization.RoleOrgAdmin)
		},
			http.MethodPost, "/admin/v1/orgs/org-1/users/a/role-assignments/assign",
			map[string]any{"role": "atlassian/org-admin"}},
		"revoke role": {func(ctx context.Context) error {
			return client.RevokeOrgRole(ctx, "a",
				organization.RoleOrgAdmin)
		},
			http.MethodPost, "/admin/v1/orgs/org-1/users/a/role-assignments/revoke",
			map[string]any{"role": "atlassian/org-admin"}},
		"assign app role": {func(ctx context.Context) error {
			return client.AssignRole(ctx, "712020:a|b",
				"atlassian/admin", jira)
		},
			http.MethodPost, "/admin/v1/orgs/org-1/users/712020:a%7Cb/roles/assign",
			map[string]any{"role": "atlassian/admin", "resource": jira}},
		"revoke app role": {func(ctx context.Context) error {
			return client.RevokeRole(ctx, "a",
				"atlassian/admin", jira)
		},
			http.MethodPost, "/admin/v1/orgs/org-1/users/a/roles/revoke",
			map[string]any{"role": "atlassian/admin", "resource": jira}},
		"assign role to group": {func(ctx context.Context) error {
			return client.AssignGroupRole(ctx, "d1", "g1", "atlassian/user", jira)
		},
			http.MethodPost, "/admin/v2/orgs/org-1/directories/d1/groups/g1/role-assignments/assign",
			map[string]any{"resourceId": jira, "roleId": "atlassian/user"}},
		"suspend": {func(ctx context.Context) error { return client.SuspendUser(ctx, "d1", "a") },
			http.MethodPost, "/admin/v2/orgs/org-1/directories/d1/users/a/suspend", nil},
		"restore": {func(ctx context.Context) error { return client.RestoreUser(ctx, "d1", "a") },
			http.MethodPost, "/admin/v2/orgs/org-1/directories/d1/users/a/restore", nil},
		"remove user": {func(ctx context.Context) error { return client.RemoveUser(ctx, "d1", "712020:a|b") },
			http.MethodDelete, "/admin/v2/orgs/org-1/directories/d1/users/712020:a%7Cb", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x.status, x.answer = 204, ""
			require.NoError(t, test.do(t.Context()))
			require.Equal(t, test.method, x.method)
			require.Equal(t, test.path, x.path)
			require.Equal(t, test.body, x.body)

			x.status, x.answer = 404, ""
			require.ErrorIs(t, test.do(t.Context()), organization.ErrNotFound)
			x.status, x.answer = 502, "<html>"
			require.ErrorIs(t, test.do(t.Context()), organization.ErrOutcomeUnknown)
		})
	}
}

func TestMeaningsOf409(t *testing.T) {
	x := &exchange{status: 409}
	client := x.client(t)
	x.answer = `{"errors":[{"status":"409","code":"ADMIN-409-28","title":"Conflict","detail":"User is already a member"}]}`
	require.ErrorIs(t, client.AddMember(t.Context(), "d", "g", "a"), organization.ErrAlreadyMember)
	x.answer = `{"errors":[{"status":"409","code":"ADMIN-409-3","title":"License limit exceeded"}]}`
	require.ErrorIs(t, client.AddMember(t.Context(), "d", "g", "a"), organization.ErrLicenceLimit)
	x.answer = ``
	require.ErrorIs(t, client.AddMember(t.Context(), "d", "g", "a"), organization.ErrConflict)
	require.ErrorIs(t, client.CreateGroup(t.Context(), "d", "n", ""), organization.ErrNameTaken)
}

func TestMeaningsOfAShortage(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	said := func(code string) string {
		return `{"errors":[{"id":"1","status":"4","code":"` + code + `","title":"No","detail":null}]}`
	}
	x.status, x.answer = 409, said("ADMIN-UAM-409-3")
	require.ErrorIs(t, client.AssignRole(t.Context(), "a", "atlassian/user", jira), organization.ErrLicenceLimit)
	x.status, x.answer = 409, said("ADMIN-409-3")
	require.ErrorIs(t, client.AssignGroupRole(t.Context(), "d", "g", "atlassian/user", jira), organization.ErrLicenceLimit)
	require.ErrorIs(t, client.RestoreUser(t.Context(), "d", "a"), organization.ErrLicenceLimit)
	x.status, x.answer = 400, said("ADMIN-400-32")
	require.ErrorIs(t, client.RestoreUser(t.Context(), "d", "a"), organization.ErrLicenceLimit)
	require.ErrorIs(t, client.SuspendUser(t.Context(), "d", "a"), organization.ErrInvalid,
		"who is suspended needs no licence")
	x.status, x.answer = 400, said("ADMIN-UAM-400-3")
	require.ErrorIs(t, client.AssignRole(t.Context(), "a", "atlassian/customer", jira), organization.ErrInvalid)
	x.status, x.answer = 403, said("ADMIN-UAM-403-1")
	require.ErrorIs(t, client.RevokeRole(t.Context(), "a", "atlassian/user", jira), organization.ErrForbidden)
}

func TestProgrammingErrorsAreNotSent(t *testing.T) {
	x := &exchange{answer: `{"data":[]}`}
	client := x.client(t)
	many := func(n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("v%d", i)
		}
		return all
	}
	users := func(q organization.UserQuery) error {
		_, err := client.SearchUsers(t.Context(), "-", q)
		return err
	}
	groups := func(q organization.GroupQuery) error {
		_, err := client.SearchGroups(t.Context(), "-", q)
		return err
	}
	roles := func(f organization.RoleFilter) error {
		_, err := client.UserRoleAssignments(t.Context(), "-", "a", f, "")
		return err
	}
	invite := func(i organization.Invitation) error {
		_, err := client.Invite(t.Context(), i)
		return err
	}
	good := map[string]error{
		"ten accounts":       users(organization.UserQuery{AccountIDs: many(10)}),
		"hundred addresses":  users(organization.UserQuery{Emails: many(100)}),
		"hundred names":      groups(organization.GroupQuery{Names: many(100)}),
		"twenty resources":   users(organization.UserQuery{ResourceIDs: many(20)}),
		"ten, one of twice":  users(organization.UserQuery{AccountIDs: append(many(10), "v3")}),
		"the greatest page":  users(organization.UserQuery{Limit: 100}),
		"a group and a term": groups(organization.GroupQuery{GroupIDs: many(1), SearchTerm: "x"}),
		"roles, narrowed":    roles(organization.RoleFilter{ResourceIDs: many(20), RoleIDs: many(10)}),
	}
	for name, err := range good {
		require.NoError(t, err, name)
	}
	sent := x.calls
	bad := map[string]error{
		"accounts":          users(organization.UserQuery{AccountIDs: many(11)}),
		"groups of users":   users(organization.UserQuery{GroupIDs: many(11)}),
		"addresses":         users(organization.UserQuery{Emails: many(101)}),
		"domains":           users(organization.UserQuery{EmailDomains: many(11)}),
		"directories":       users(organization.UserQuery{DirectoryIDs: many(11)}),
		"resources":         users(organization.UserQuery{ResourceIDs: many(21)}),
		"roles":             users(organization.UserQuery{RoleIDs: many(11)}),
		"status":            users(organization.UserQuery{Status: many(5)}),
		"account status":    users(organization.UserQuery{AccountStatus: many(4)}),
		"membership status": users(organization.UserQuery{MembershipStatus: many(4)}),
		"page of users":     users(organization.UserQuery{Limit: 101}),
		"negative page":     users(organization.UserQuery{Limit: -1}),
		"address and term":  users(organization.UserQuery{Emails: many(1), SearchTerm: "x"}),
		"nobody":            users(organization.UserQuery{AccountIDs: []string{}}),
		"empty value":       users(organization.UserQuery{AccountIDs: []string{""}}),
		"groups":            groups(organization.GroupQuery{GroupIDs: many(11)}),
		"names":             groups(organization.GroupQuery{Names: many(101)}),
		"members":           groups(organization.GroupQuery{AccountIDs: many(11)}),
		"owners":            groups(organization.GroupQuery{ResourceOwners: many(11)}),
		"no groups":         groups(organization.GroupQuery{GroupIDs: []string{}}),
		"names and ids":     groups(organization.GroupQuery{Names: many(1), GroupIDs: many(1)}),
		"names and term":    groups(organization.GroupQuery{Names: many(1), SearchTerm: "x"}),
		"write everywhere":  client.AddMember(t.Context(), "-", "g", "a"),
		"remove everywhere": client.RemoveMember(t.Context(), "-", "g", "a"),
		"create everywhere": client.CreateGroup(t.Context(), "-", "n", ""),
		"no name":           client.CreateGroup(t.Context(), "d", " ", ""),
		"no group":          client.AddMember(t.Context(), "d", "", "a"),
		"no account":        client.AddMember(t.Context(), "d", "g", ""),
		"path in an id":     client.RemoveMember(t.Context(), "d", "g", "../users/a"),
		"no directory":      client.RemoveMember(t.Context(), "", "g", "a"),
		"unknown role":      client.AssignOrgRole(t.Context(), "a", "atlassian/site-admin"),
		"org-admin on app":  client.AssignRole(t.Context(), "a", organization.RoleOrgAdmin, jira),
		"org-admin off app": client.RevokeRole(t.Context(), "a", organization.RoleOrgAdmin, jira),
		"unknown app role":  client.AssignRole(t.Context(), "a", "atlassian/king", jira),
		"short app role":    client.RevokeRole(t.Context(), "a", "admin", jira),
		"no ARI":            client.AssignRole(t.Context(), "a", "atlassian/admin", "acme"),
		"group, no ARI":     client.AssignGroupRole(t.Context(), "d", "g", "atlassian/admin", "acme"),
		"group, no role":    client.AssignGroupRole(t.Context(), "d", "g", "", jira),
		"nobody's role":     client.RevokeRole(t.Context(), "", "atlassian/admin", jira),
		"suspended where":   client.SuspendUser(t.Context(), "-", "a"),
		"restored where":    client.RestoreUser(t.Context(), "-", "a"),
		"removed where":     client.RemoveUser(t.Context(), "-", "a"),
		"nobody removed":    client.RemoveUser(t.Context(), "d", ""),
		"path in a user":    client.SuspendUser(t.Context(), "d", "a/b"),
		"resources of one":  roles(organization.RoleFilter{ResourceIDs: many(21)}),
		"roles of one":      roles(organization.RoleFilter{RoleIDs: many(11)}),
		"no resources":      roles(organization.RoleFilter{ResourceIDs: []string{}}),
		"nobody invited":    invite(organization.Invitation{}),
		"invited by name":   invite(organization.Invitation{Email: "Eve <eve@acme.example>"}),
		"invited twice":     invite(organization.Invitation{Email: "eve@acme.example, bo@acme.example"}),
		"into no group":     invite(organization.Invitation{Email: "eve@acme.example", Groups: []string{""}}),
		"to no resource": invite(organization.Invitation{Email: "eve@acme.example",
			Rules: []organization.InviteRule{{Role: "atlassian/user"}}}),
		"to a short role": invite(organization.Invitation{Email: "eve@acme.example",
			Rules: []organization.InviteRule{{Resource: jira, Role: "user"}}}),
		"unsent text": invite(organization.Invitation{Email: "eve@acme.example", Text: "Welcome"}),
	}
	for name, err := range bad {
		require.ErrorIs(t, err, organization.ErrInvalid, name)
		require.ErrorContains(t, err, "nothing was sent", name)
	}
	require.Equal(t, sent, x.calls)
}
