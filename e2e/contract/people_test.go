package contract_test

import (
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

// drivePeople runs the client through what it can do to one person: app roles, suspension, leaving, and coming back.
func drivePeople(c *contractTest, ana string) {
	t, ctx, client, directory := c.t, c.t.Context(), c.org, c.info.DirectoryID
	const admin = "atlassian/admin"
	require.NoError(t, client.AssignOrgRole(ctx, ana, organization.RoleOrgAdmin))
	require.NoError(t, client.AssignRole(ctx, ana, admin, c.app()))
	roles := func(f organization.RoleFilter) map[string][]string {
		methods := map[string][]string{}
		for cursor, more := "", true; more; more = cursor != "" {
			page, err := client.UserRoleAssignments(ctx, organization.AllDirectories, ana, f, cursor)
			require.NoError(t, err)
			for _, r := range page.Items {
				require.NotNil(t, r.Methods)
				for role, how := range r.Methods {
					methods[r.ResourceOwner+" "+role] = how
				}
			}
			cursor = page.Next
		}
		return methods
	}
	direct := []string{organization.MethodDirect}
	require.Equal(t, map[string][]string{"jira-software " + admin: direct,
		"platform " + organization.RoleOrgAdmin: direct}, roles(organization.RoleFilter{}))
	require.Equal(t, map[string][]string{"jira-software " + admin: direct},
		roles(organization.RoleFilter{ResourceIDs: []string{c.app(), c.resource("confluence")},
			RoleIDs: []string{admin, "atlassian/user"}}))
	require.NoError(t, client.RevokeRole(ctx, ana, admin, c.app()))
	require.NoError(t, client.RevokeRole(ctx, ana, admin, c.app()), "what is not held is revoked all the same")
	require.Empty(t, roles(organization.RoleFilter{RoleIDs: []string{admin}}))

	group := c.group("guests")
	eve, err := client.Invite(ctx, organization.Invitation{
		Email: "eve@outside.example", Groups: []string{group},
		Rules: []organization.InviteRule{{Resource: c.app(), Role: "atlassian/user"}}, Notify: true, Text: "Welcome",
	})
	require.NoError(t, err)
	require.Empty(t, eve.Failed)
	status := func() string {
		user, err := client.User(ctx, directory, eve.AccountID)
		require.NoError(t, err)
		require.Equal(t, "eve@outside.example", user.Email)
		return user.MembershipStatus
	}
	require.Equal(t, "active", status())
	require.NoError(t, client.SuspendUser(ctx, directory, eve.AccountID))
	require.Equal(t, "suspended", status())
	require.NoError(t, client.RestoreUser(ctx, directory, eve.AccountID))
	require.NoError(t, client.RemoveUser(ctx, directory, eve.AccountID))
	require.Equal(t, "no_membership", status())
	require.ErrorIs(t, client.RemoveUser(ctx, directory, eve.AccountID), organization.ErrNotFound)
	again, err := client.Invite(ctx, organization.Invitation{Email: "eve@outside.example"})
	require.NoError(t, err)
	require.Equal(t, organization.Invited{AccountID: eve.AccountID}, again)
	page, err := client.SearchUsers(ctx, directory,
		organization.UserQuery{AccountIDs: []string{eve.AccountID},
			Expand: []string{organization.ExpandGroups, organization.ExpandPlatformRoles}})
	require.NoError(t, err)
	require.Empty(t, page.Items[0].GroupIDs)
	require.Empty(t, page.Items[0].PlatformRoles)
}
