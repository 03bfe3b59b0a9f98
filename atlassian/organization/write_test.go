package organization_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

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
			http.MethodPost, "/admin/v2/orgs/org-1/directories/d1/groups/g1/memberships", map[string]any{"accountId": "712020:a|b"}},
		"remove member": {func(ctx context.Context) error { return client.RemoveMember(ctx, "d1", "g1", "712020:a|b") },
			http.MethodDelete, "/admin/v2/orgs/org-1/directories/d1/groups/g1/memberships/712020:a%7Cb", nil},
		"create group": {func(ctx context.Context) error { return client.CreateGroup(ctx, "d1", "new", "") },
			http.MethodPost, "/admin/v2/orgs/org-1/directories/d1/groups", map[string]any{"name": "new"}},
		"assign role": {func(ctx context.Context) error { return client.AssignOrgRole(ctx, "a", organization.RoleOrgAdmin) },
			http.MethodPost, "/admin/v1/orgs/org-1/users/a/role-assignments/assign", map[string]any{"role": "atlassian/org-admin"}},
		"revoke role": {func(ctx context.Context) error { return client.RevokeOrgRole(ctx, "a", organization.RoleOrgAdmin) },
			http.MethodPost, "/admin/v1/orgs/org-1/users/a/role-assignments/revoke", map[string]any{"role": "atlassian/org-admin"}},
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
	good := map[string]error{
		"ten accounts":       users(organization.UserQuery{AccountIDs: many(10)}),
		"hundred addresses":  users(organization.UserQuery{Emails: many(100)}),
		"hundred names":      groups(organization.GroupQuery{Names: many(100)}),
		"twenty resources":   users(organization.UserQuery{ResourceIDs: many(20)}),
		"ten, one of twice":  users(organization.UserQuery{AccountIDs: append(many(10), "v3")}),
		"the greatest page":  users(organization.UserQuery{Limit: 100}),
		"a group and a term": groups(organization.GroupQuery{GroupIDs: many(1), SearchTerm: "x"}),
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
	}
	for name, err := range bad {
		require.ErrorIs(t, err, organization.ErrInvalid, name)
		require.ErrorContains(t, err, "nothing was sent", name)
	}
	require.Equal(t, sent, x.calls)
}
